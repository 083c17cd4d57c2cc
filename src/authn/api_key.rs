//! API keys. A user can have many, each with its own name, expiry and scope, and each can be revoked alone.
//!
//! A key has 178 random bits, so it cannot be guessed. It needs no throttle, and a fast hash is sufficient. A check takes
//! one microsecond and is not cached, so a key is revoked as soon as its line is removed. A secret with the prefix of
//! API keys is never sent to another authenticator.

pub(crate) mod edit;
pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod reload;

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

/// The maximum number of keys with metrics. More time series would burden a monitoring system.
const METRICS_API_KEYS_MAX: usize = 10_000;

/// The public properties of the API key that authenticated an identity.
#[derive(Debug)]
pub(crate) struct ApiKey {
    /// The public part of the key.
    pub(crate) id: ApiKeyId,
    /// The name that the owner chose.
    pub(crate) name: Box<str>,
    /// The scope, which restricts the permissions of the owner; `None` if it does not restrict them.
    pub(crate) scope: Option<Arc<ApiKeyScope>>,
    /// The expiry in Unix seconds. A token that is issued for the key must not expire later.
    pub(crate) expires_at: Option<u64>,
    /// The usage of the key.
    pub(crate) usage: Arc<ApiKeyUsage>,
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name && self.scope == other.scope
    }
}

impl Eq for ApiKey {}

/// The number of accepted uses of a key and the time of the last one, since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct ApiKeyUsage {
    count: AtomicU64,
    last_used_at: AtomicU64,
}

impl ApiKeyUsage {
    fn record_use(&self, now: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last_used_at.store(now, Ordering::Relaxed);
    }

    /// Returns the number of accepted uses.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns the time of the last accepted use in Unix seconds, or 0 if there was none.
    pub(crate) fn last_used_at(&self) -> u64 {
        self.last_used_at.load(Ordering::Relaxed)
    }
}

/// The reason why an API key is rejected. It is logged, and not sent to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiKeyError {
    /// The key is truncated, mistyped, or was not issued by doorward.
    #[error("malformed API key: the length, a character or the checksum is wrong")]
    Malformed,
    /// The file has no key with this id.
    #[error("API key {0} is not in the file: it was revoked or never issued")]
    NotFound(ApiKeyId),
    /// The file has a key with this id and another secret.
    #[error("API key {0} was presented with a wrong secret")]
    SecretMismatch(ApiKeyId),
    /// The line of the key is invalid.
    #[error("API key {0}: line {1} of the file is invalid; to see the reason, run: doorward check")]
    InvalidLine(ApiKeyId, usize),
    /// The key has expired.
    #[error("API key {0} has expired")]
    Expired(ApiKeyId),
    /// The key was presented with the name of another user.
    #[error("API key {0} belongs to {1} and was presented with another user name")]
    OwnerMismatch(ApiKeyId, String),
    /// The owner of the key is not in the htpasswd file.
    #[error("API key {0}: the owner {1} has no line in the htpasswd file")]
    OwnerNotInHtpasswd(ApiKeyId, String),
}

impl ApiKeyError {
    /// Returns true if the secret of the key was correct.
    pub(crate) fn has_valid_secret(&self) -> bool {
        matches!(self, Self::Expired(_) | Self::OwnerMismatch(..) | Self::OwnerNotInHtpasswd(..))
    }
}

/// The rules for the owners of API keys, and for the user name with which a key is presented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiKeyRules {
    /// The user name with which every key can be presented; empty for none.
    pub(crate) username: Box<str>,
    /// Whether a key is accepted only if its owner has a line in the htpasswd file.
    pub(crate) is_owner_line_required: bool,
}

/// The API keys of the current file.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    index: ArcSwap<ApiKeyIndex>,
    rules: ApiKeyRules,
}

impl ApiKeys {
    /// Creates the authenticator from a parsed file.
    pub(crate) fn new(index: ApiKeyIndex, rules: ApiKeyRules) -> Self {
        Self { index: ArcSwap::from_pointee(index), rules }
    }

    /// Replaces the file.
    pub(crate) fn replace(&self, index: ApiKeyIndex) {
        self.index.store(Arc::new(index));
    }

    /// Returns the keys of the current file.
    pub(crate) fn index(&self) -> Arc<ApiKeyIndex> {
        self.index.load_full()
    }

    /// Updates the metrics of the most recently used keys.
    pub(crate) fn update_metrics(&self, metrics: &Metrics) {
        let index = self.index();
        let mut used: Vec<&Arc<ApiKey>> =
            index.records().filter_map(|record| record.identity.api_key.as_ref()).collect();
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

    /// Returns the identity of the owner of the key `secret`. `user` is the presented user name, or `None` for a bearer.
    /// `now` is in Unix seconds. `has_htpasswd_line` returns true if an owner has a line in the htpasswd file.
    ///
    /// # Errors
    /// Returns the reason for a rejection. An unknown key and a wrong secret do the same work.
    pub(crate) fn authenticate(
        &self,
        user: Option<&[u8]>,
        secret: &[u8],
        now: u64,
        has_htpasswd_line: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Arc<Identity>, ApiKeyError> {
        let PresentedApiKey { id, digest } = PresentedApiKey::parse(secret).ok_or(ApiKeyError::Malformed)?;
        let index = self.index.load();
        let found = index.find(&id);
        let expected = match &found {
            Some(ApiKeyMatch::ApiKey(record)) => &record.digest,
            Some(ApiKeyMatch::InvalidLine(_)) | None => &ApiKeyDigest::UNMATCHABLE,
        };
        let is_match = bool::from(expected.ct_eq(&digest));
        let record = match found {
            Some(ApiKeyMatch::ApiKey(record)) if is_match => record,
            Some(ApiKeyMatch::ApiKey(_)) => return Err(ApiKeyError::SecretMismatch(id)),
            Some(ApiKeyMatch::InvalidLine(line)) => return Err(ApiKeyError::InvalidLine(id, line)),
            None => return Err(ApiKeyError::NotFound(id)),
        };
        if record.expires_at.is_some_and(|expires| now >= expires) {
            return Err(ApiKeyError::Expired(id));
        }
        let owner = record.identity.user.as_bytes();
        let is_accepted_name =
            |user: &[u8]| user == owner || (!user.is_empty() && user == self.rules.username.as_bytes());
        if !user.is_none_or(is_accepted_name) {
            return Err(ApiKeyError::OwnerMismatch(id, sanitize_for_display(owner)));
        }
        if self.rules.is_owner_line_required && !has_htpasswd_line(owner) {
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
