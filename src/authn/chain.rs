//! The chain: authenticators that are asked one after the other.
//!
//! Accepted and rejected end it, unknown asks the next. One that is in trouble ends it too, with no
//! answer, unless a later one was told to cover for it, and for all in between: somebody whom one of them
//! would have rejected must not get in because nobody asked.
//!
//! A question holds a place in one queue at a time, and moves on to the next by itself: whoever asked may
//! have hung up long since.

mod run;

use std::sync::Arc;
use std::time::Duration;

pub use self::run::{ChainCallback, ChainNotStarted, ChainResult, ChainRun};
use super::api_key::ApiKeys;
use super::hash_pool::HashPool;
use super::htpasswd::Htpasswd;
use super::http::AuthBackend;
use super::queue::job::RequesterId;
use super::{AnswerLifetime, Identity, LocalRecord};

/// The most authenticators in a chain: a bit of [`Covers`] for each.
pub const AUTHENTICATORS_MAX: usize = 32;

/// What a client that finds a service's queue full is told to wait: about what a full share takes.
const BACKEND_RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long an answer is good for that was given in place of one who could not be asked: short, since
/// he may say something else when he is back.
const FALLBACK_LIFETIME: AnswerLifetime =
    AnswerLifetime { cache_ttl: Some(Duration::from_secs(30)), stale_ttl: Some(Duration::ZERO) };

/// A set of authenticators, by their places in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthenticatorSet(u32);

impl AuthenticatorSet {
    /// With one more.
    #[must_use]
    pub fn with(self, place: usize) -> Self {
        Self(self.0 | u32::try_from(place).ok().and_then(|place| 1_u32.checked_shl(place)).unwrap_or(0))
    }

    /// Whether all of the others are in it.
    pub fn contains_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// How an authenticator finds out.
#[derive(Clone)]
pub enum AuthenticatorKind {
    /// By a line of the htpasswd file.
    Htpasswd(Arc<Htpasswd>, Arc<HashPool>),
    /// By asking a service.
    Http(Arc<AuthBackend>),
}

/// One authenticator.
#[derive(Clone)]
pub struct Authenticator {
    /// In `X-Auth-By`, logs and metrics.
    pub name: Arc<str>,
    /// How it finds out.
    pub kind: AuthenticatorKind,
    /// For whom it is asked when they are in trouble.
    pub fallback_for: AuthenticatorSet,
}

/// The authenticators, in the order in which they are asked; and the keys, which are asked alone.
#[derive(Clone)]
pub struct AuthenticatorChain {
    authenticators: Arc<[Authenticator]>,
    api_keys: Option<Arc<ApiKeys>>,
}

impl AuthenticatorChain {
    /// In this order; at most [`AUTHENTICATORS_MAX`].
    pub fn new(chain: Vec<Authenticator>, keys: Option<Arc<ApiKeys>>) -> Self {
        Self { authenticators: chain.into(), api_keys: keys }
    }

    /// The same with keys.
    #[cfg(test)]
    pub(crate) fn with_api_keys(self, keys: Option<Arc<ApiKeys>>) -> Self {
        Self { api_keys: keys, ..self }
    }

    /// The keys, if there are any.
    pub fn api_keys(&self) -> Option<&Arc<ApiKeys>> {
        self.api_keys.as_ref()
    }

    /// The htpasswd file alone.
    pub fn htpasswd_only(users: Arc<Htpasswd>, pool: Arc<HashPool>) -> Self {
        let kind = AuthenticatorKind::Htpasswd(users, pool);
        Self::new(
            vec![Authenticator { name: "htpasswd".into(), kind, fallback_for: AuthenticatorSet::default() }],
            None,
        )
    }

    fn find_htpasswd(&self) -> Option<&Arc<Htpasswd>> {
        self.authenticators.iter().find_map(|one| match &one.kind {
            AuthenticatorKind::Htpasswd(users, _) => Some(users),
            AuthenticatorKind::Http(_) => None,
        })
    }

    /// How often any local record may have changed; see [`Htpasswd::replaced`].
    pub fn record_generation(&self) -> u64 {
        self.find_htpasswd().map_or(0, |users| users.generation())
    }

    /// Looks up every local record that the answer for `user` depends on. Does not wait.
    pub fn look_up(&self, user: &[u8]) -> LocalRecord {
        let whole_password = self.is_whole_password_significant();
        let has_service =
            self.authenticators.iter().any(|one| matches!(one.kind, AuthenticatorKind::Http(_)));
        LocalRecord {
            htpasswd: self.find_htpasswd().map(|users| users.look_up(user)),
            is_whole_password_significant: whole_password,
            has_auth_backend: has_service,
        }
    }

    /// Whether a service may be asked about somebody who has a line: before it, or in its place.
    fn is_whole_password_significant(&self) -> bool {
        let hashed =
            self.authenticators.iter().position(|one| matches!(one.kind, AuthenticatorKind::Htpasswd(..)));
        hashed.is_some_and(|place| {
            let itself = AuthenticatorSet::default().with(place);
            let asked = |(other, one): (usize, &Authenticator)| {
                other < place || one.fallback_for.contains_all(itself)
            };
            self.authenticators.iter().enumerate().filter(|(other, _)| *other != place).any(asked)
        })
    }

    /// Who is asked first about a user with these records; `None` where there is nobody but the keys.
    pub fn first_authenticator(&self, records: &LocalRecord) -> Option<usize> {
        self.next_authenticator(0, AuthenticatorSet::default(), records)
    }

    /// Whether a question of `asker`'s would find no place where it comes in.
    pub fn is_queue_full_for(&self, entrance: usize, asker: RequesterId) -> bool {
        match self.authenticators.get(entrance).map(|one| &one.kind) {
            Some(AuthenticatorKind::Htpasswd(_, pool)) => pool.is_full_for(asker),
            Some(AuthenticatorKind::Http(service)) => service.is_full_for(asker),
            None => true,
        }
    }

    /// After which time a question that found no place there may find one.
    pub fn retry_after(&self, entrance: usize) -> Duration {
        match self.authenticators.get(entrance).map(|one| &one.kind) {
            Some(AuthenticatorKind::Htpasswd(_, pool)) => pool.retry_after(),
            Some(AuthenticatorKind::Http(_)) | None => BACKEND_RETRY_AFTER,
        }
    }

    /// Whether who is asked there hashes.
    pub fn is_htpasswd(&self, place: usize) -> bool {
        matches!(self.authenticators.get(place).map(|one| &one.kind), Some(AuthenticatorKind::Htpasswd(..)))
    }

    /// The next one, from `from` on, that may speak in place of all who could not be asked; whoever is
    /// passed over for that could not either. Who has no line in the file is not looked for there with a
    /// dummy's work if somebody behind it is asked anyway: neither holds up the other.
    fn next_authenticator(
        &self,
        from: usize,
        unasked: AuthenticatorSet,
        records: &LocalRecord,
    ) -> Option<usize> {
        let (mut unasked, mut dummy) = (unasked, None);
        for (place, one) in self.authenticators.iter().enumerate().skip(from) {
            let is_stranger = matches!(one.kind, AuthenticatorKind::Htpasswd(..)) && !records.has_line();
            match one.fallback_for.contains_all(unasked) {
                true if is_stranger => dummy = dummy.or(Some(place)),
                true => return Some(place),
                false if is_stranger => {}
                false => unasked = unasked.with(place),
            }
        }
        dummy
    }

    /// Whether a service at `place` vouches for a name that the file before it decides about.
    fn is_name_owned_by_htpasswd(&self, place: usize, given: &[u8], identity: &Identity) -> bool {
        let before = self.authenticators.iter().take(place).find_map(|one| match &one.kind {
            AuthenticatorKind::Htpasswd(users, _) => Some(users),
            AuthenticatorKind::Http(_) => None,
        });
        let name = identity.user.as_bytes();
        name != given && before.is_some_and(|users| users.look_up(name).has_line())
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
