//! API keys: many for an account, each with a name, an end and rights of its own, revoked one by one.
//!
//! A key is 178 random bits, so no throttle has to keep anybody from guessing, and a fast hash is as good
//! as a slow one. A check takes a microsecond and is done at once: nothing is cached, and so a key is
//! gone with its line. A secret that begins as keys do is never shown to another authenticator.

pub mod edit;
pub mod file;
pub mod reload;
pub mod secret;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use self::file::{Found, KeyFile};
use self::secret::{Digest, Id, Presented};
use super::Identity;
use crate::identity::sanitize_for_display;
use crate::metrics::{ApiKeyLabel, Metrics};
use crate::permissions::scope::ApiKeyScope;

/// The most keys that figures are shown of; a monitor takes no more lines than that gladly.
const MEASURED_MAX: usize = 10_000;

/// What an identity shows of the key by which it was proved.
#[derive(Debug)]
pub struct Key {
    /// The key's public part.
    pub id: Id,
    /// What its owner calls it.
    pub name: Box<str>,
    /// What may be done with it, as far as its owner may; `None` is all of that.
    pub scope: Option<Arc<ApiKeyScope>>,
    /// When it ends, in seconds since 1970: nothing that is given out for it may last longer.
    pub expires: Option<u64>,
    /// How it was used.
    pub uses: Arc<Uses>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name && self.scope == other.scope
    }
}

impl Eq for Key {}

/// How often a key was good, and when last; since the process was started.
#[derive(Debug, Default)]
pub struct Uses {
    count: AtomicU64,
    last: AtomicU64,
}

impl Uses {
    fn note(&self, now: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last.store(now, Ordering::Relaxed);
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// In seconds since 1970; 0 for never.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

/// Why a key is no good. The client is not told which of these it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Cut, mistyped, or not one of ours.
    #[error("it is no whole key: its length, its characters or its checksum are wrong")]
    Mistyped,
    /// There is no such key.
    #[error("key {0} is not in the file: it was revoked, or never there")]
    Unknown(Id),
    /// There is one with this id, and another secret.
    #[error("key {0} has another secret")]
    Secret(Id),
    /// Its line can't be used.
    #[error("key {0}: its line {1} can't be used; doorward check says why")]
    Line(Id, usize),
    /// Its time is over.
    #[error("key {0} has expired")]
    Expired(Id),
    /// It was presented with the name of another user.
    #[error("key {0} is {1}'s, and was used with another name")]
    Owner(Id, String),
    /// Its owner may not log in any more.
    #[error("key {0}: its owner {1} has no line in the htpasswd file")]
    OwnerGone(Id, String),
}

impl KeyFault {
    /// Whether the key itself was right.
    pub fn is_proved(&self) -> bool {
        matches!(self, Self::Expired(_) | Self::Owner(..) | Self::OwnerGone(..))
    }
}

/// Who may have keys, and how they are presented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The user name with which any key may be presented; empty for none.
    pub username: Box<str>,
    /// Whether an owner needs a line in the htpasswd file, where there is one.
    pub owners_in_htpasswd: bool,
}

/// The keys in force.
#[derive(Debug)]
pub struct Keys {
    file: ArcSwap<KeyFile>,
    rules: Rules,
}

impl Keys {
    /// Starts from a file that was read.
    pub fn new(file: KeyFile, rules: Rules) -> Self {
        Self { file: ArcSwap::from_pointee(file), rules }
    }

    /// Puts another file in force.
    pub fn replace(&self, file: KeyFile) {
        self.file.store(Arc::new(file));
    }

    /// The file in force.
    pub fn file(&self) -> Arc<KeyFile> {
        self.file.load_full()
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Brings the figures of the keys up to date: of those that were used, the latest ones.
    pub fn measure(&self, metrics: &Metrics) {
        let file = self.file();
        let mut used: Vec<&Arc<Key>> =
            file.records().filter_map(|record| record.identity.key.as_ref()).collect();
        used.retain(|key| key.uses.count() > 0);
        used.sort_unstable_by_key(|key| std::cmp::Reverse(key.uses.last()));
        metrics.api_key_uses.clear();
        metrics.api_key_last_used_timestamp.clear();
        for key in used.into_iter().take(MEASURED_MAX) {
            let label = ApiKeyLabel { id: key.id.to_string() };
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            metrics.api_key_uses.get_or_create(&label).set(number(key.uses.count()));
            metrics.api_key_last_used_timestamp.get_or_create(&label).set(number(key.uses.last()));
        }
    }

    /// Whose key `secret` is, presented with the name `user`, or with none as a bearer. `now` is in
    /// seconds since 1970; `may_log_in` says whether an owner is in the htpasswd file.
    ///
    /// # Errors
    /// Why it is no good. An unknown key and one with another secret take the same work.
    pub fn check(
        &self,
        user: Option<&[u8]>,
        secret: &[u8],
        now: u64,
        may_log_in: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Arc<Identity>, KeyFault> {
        let Presented { id, digest } = Presented::read(secret).ok_or(KeyFault::Mistyped)?;
        let file = self.file.load();
        let found = file.find(&id);
        let kept = match &found {
            Some(Found::ApiKey(record)) => &record.digest,
            Some(Found::Bad(_)) | None => &Digest::NONE,
        };
        let same = bool::from(kept.ct_eq(&digest));
        let record = match found {
            Some(Found::ApiKey(record)) if same => record,
            Some(Found::ApiKey(_)) => return Err(KeyFault::Secret(id)),
            Some(Found::Bad(line)) => return Err(KeyFault::Line(id, line)),
            None => return Err(KeyFault::Unknown(id)),
        };
        if record.expires.is_some_and(|expires| now >= expires) {
            return Err(KeyFault::Expired(id));
        }
        let owner = record.identity.user.as_bytes();
        let known =
            |user: &[u8]| user == owner || (!user.is_empty() && user == self.rules.username.as_bytes());
        if !user.is_none_or(known) {
            return Err(KeyFault::Owner(id, sanitize_for_display(owner)));
        }
        if self.rules.owners_in_htpasswd && !may_log_in(owner) {
            return Err(KeyFault::OwnerGone(id, sanitize_for_display(owner)));
        }
        if let Some(key) = &record.identity.key {
            key.uses.note(now);
        }
        Ok(Arc::clone(&record.identity))
    }
}

#[cfg(test)]
#[path = "api_key_tests.rs"]
mod tests;
