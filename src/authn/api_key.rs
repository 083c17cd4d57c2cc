//! API keys: many for an account, each with a name, an end and rights of its own, revoked one by one.
//!
//! A key is 178 random bits, so no throttle has to keep anybody from guessing, and a fast hash is as good
//! as a slow one. A check takes a microsecond and is done at once: nothing is cached, and so a key is
//! gone with its line. A secret that begins as keys do is never shown to another authenticator.

pub mod edit;
pub mod file;
pub mod format;
pub mod reload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use self::file::{ApiKeyIndex, ApiKeyMatch};
use self::format::{ApiKeyDigest, ApiKeyId, PresentedApiKey};
use super::Identity;
use crate::identity::sanitize_for_display;
use crate::metrics::{ApiKeyLabel, Metrics};
use crate::permissions::api_key_scope::ApiKeyScope;

/// The most keys that figures are shown of; a monitor takes no more lines than that gladly.
const METRICS_API_KEYS_MAX: usize = 10_000;

/// What an identity shows of the key by which it was proved.
#[derive(Debug)]
pub struct ApiKey {
    /// The key's public part.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: Box<str>,
    /// What may be done with it, as far as its owner may; `None` is all of that.
    pub scope: Option<Arc<ApiKeyScope>>,
    /// When it ends, in seconds since 1970: nothing that is given out for it may last longer.
    pub expires_at: Option<u64>,
    /// How it was used.
    pub usage: Arc<ApiKeyUsage>,
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name && self.scope == other.scope
    }
}

impl Eq for ApiKey {}

/// How often a key was good, and when last; since the process was started.
#[derive(Debug, Default)]
pub struct ApiKeyUsage {
    count: AtomicU64,
    last_used_at: AtomicU64,
}

impl ApiKeyUsage {
    fn record_use(&self, now: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last_used_at.store(now, Ordering::Relaxed);
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// In seconds since 1970; 0 for never.
    pub fn last_used_at(&self) -> u64 {
        self.last_used_at.load(Ordering::Relaxed)
    }
}

/// Why a key is no good. The client is not told which of these it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Cut, mistyped, or not one of ours.
    #[error("it is no whole key: its length, its characters or its checksum are wrong")]
    Malformed,
    /// There is no such key.
    #[error("key {0} is not in the file: it was revoked, or never there")]
    NotFound(ApiKeyId),
    /// There is one with this id, and another secret.
    #[error("key {0} has another secret")]
    SecretMismatch(ApiKeyId),
    /// Its line can't be used.
    #[error("key {0}: its line {1} can't be used; doorward check says why")]
    InvalidLine(ApiKeyId, usize),
    /// Its time is over.
    #[error("key {0} has expired")]
    Expired(ApiKeyId),
    /// It was presented with the name of another user.
    #[error("key {0} is {1}'s, and was used with another name")]
    OwnerMismatch(ApiKeyId, String),
    /// Its owner may not log in any more.
    #[error("key {0}: its owner {1} has no line in the htpasswd file")]
    OwnerNotInHtpasswd(ApiKeyId, String),
}

impl ApiKeyError {
    /// Whether the key itself was right.
    pub fn has_valid_secret(&self) -> bool {
        matches!(self, Self::Expired(_) | Self::OwnerMismatch(..) | Self::OwnerNotInHtpasswd(..))
    }
}

/// Who may have keys, and how they are presented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeyRules {
    /// The user name with which any key may be presented; empty for none.
    pub username: Box<str>,
    /// Whether an owner needs a line in the htpasswd file, where there is one.
    pub is_owner_line_required: bool,
}

/// The keys in force.
#[derive(Debug)]
pub struct ApiKeys {
    index: ArcSwap<ApiKeyIndex>,
    rules: ApiKeyRules,
}

impl ApiKeys {
    /// Starts from a file that was read.
    pub fn new(file: ApiKeyIndex, rules: ApiKeyRules) -> Self {
        Self { index: ArcSwap::from_pointee(file), rules }
    }

    /// Puts another file in force.
    pub fn replace(&self, file: ApiKeyIndex) {
        self.index.store(Arc::new(file));
    }

    /// The file in force.
    pub fn index(&self) -> Arc<ApiKeyIndex> {
        self.index.load_full()
    }

    /// The rules.
    pub fn rules(&self) -> &ApiKeyRules {
        &self.rules
    }

    /// Brings the figures of the keys up to date: of those that were used, the latest ones.
    pub fn update_metrics(&self, metrics: &Metrics) {
        let file = self.index();
        let mut used: Vec<&Arc<ApiKey>> =
            file.records().filter_map(|record| record.identity.api_key.as_ref()).collect();
        used.retain(|key| key.usage.count() > 0);
        used.sort_unstable_by_key(|key| std::cmp::Reverse(key.usage.last_used_at()));
        metrics.api_key_uses.clear();
        metrics.api_key_last_used_timestamp.clear();
        for key in used.into_iter().take(METRICS_API_KEYS_MAX) {
            let label = ApiKeyLabel { id: key.id.to_string() };
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            metrics.api_key_uses.get_or_create(&label).set(number(key.usage.count()));
            metrics.api_key_last_used_timestamp.get_or_create(&label).set(number(key.usage.last_used_at()));
        }
    }

    /// Whose key `secret` is, presented with the name `user`, or with none as a bearer. `now` is in
    /// seconds since 1970; `may_log_in` says whether an owner is in the htpasswd file.
    ///
    /// # Errors
    /// Why it is no good. An unknown key and one with another secret take the same work.
    pub fn authenticate(
        &self,
        user: Option<&[u8]>,
        secret: &[u8],
        now: u64,
        may_log_in: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Arc<Identity>, ApiKeyError> {
        let PresentedApiKey { id, digest } = PresentedApiKey::parse(secret).ok_or(ApiKeyError::Malformed)?;
        let file = self.index.load();
        let found = file.find(&id);
        let kept = match &found {
            Some(ApiKeyMatch::ApiKey(record)) => &record.digest,
            Some(ApiKeyMatch::InvalidLine(_)) | None => &ApiKeyDigest::UNMATCHABLE,
        };
        let same = bool::from(kept.ct_eq(&digest));
        let record = match found {
            Some(ApiKeyMatch::ApiKey(record)) if same => record,
            Some(ApiKeyMatch::ApiKey(_)) => return Err(ApiKeyError::SecretMismatch(id)),
            Some(ApiKeyMatch::InvalidLine(line)) => return Err(ApiKeyError::InvalidLine(id, line)),
            None => return Err(ApiKeyError::NotFound(id)),
        };
        if record.expires_at.is_some_and(|expires| now >= expires) {
            return Err(ApiKeyError::Expired(id));
        }
        let owner = record.identity.user.as_bytes();
        let known =
            |user: &[u8]| user == owner || (!user.is_empty() && user == self.rules.username.as_bytes());
        if !user.is_none_or(known) {
            return Err(ApiKeyError::OwnerMismatch(id, sanitize_for_display(owner)));
        }
        if self.rules.is_owner_line_required && !may_log_in(owner) {
            return Err(ApiKeyError::OwnerNotInHtpasswd(id, sanitize_for_display(owner)));
        }
        if let Some(key) = &record.identity.api_key {
            key.usage.record_use(now);
        }
        Ok(Arc::clone(&record.identity))
    }
}

#[cfg(test)]
#[path = "api_key_tests.rs"]
mod tests;
