//! The chain of authenticators, which are called one after the other.
//!
//! An accepted or rejected outcome ends the chain; an unknown user continues it. A failure ends the chain with an error,
//! unless a later authenticator is a fallback for the failed one and for all that are skipped between them. Otherwise a
//! user that a skipped authenticator rejects could be accepted by a later one.
//!
//! A query has a place in one queue at a time, and moves to the next queue by itself, even if the client has closed its
//! connection.

mod authenticator;
mod run;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::authenticator::{Authenticator, AuthenticatorKind};
pub(crate) use self::run::{ChainResult, ChainRun};
use super::api_key::ApiKeys;
#[cfg(test)]
use super::hash_pool::HashPool;
use super::htpasswd::Htpasswd;
use super::queue::job::RequesterId;
use super::remote::QUEUE_FULL_RETRY_AFTER;
use super::{AnswerLifetime, Identity, LocalRecord};
use crate::metrics::Metrics;

/// The largest number of authenticators in a chain: [`AuthenticatorSet`] has one bit for each.
pub(crate) const AUTHENTICATORS_MAX: usize = 32;

/// The lifetime of a fallback's answer. The time is short, because the authenticator that failed can give another
/// answer when it is up again.
const FALLBACK_LIFETIME: AnswerLifetime =
    AnswerLifetime { cache_ttl: Some(Duration::from_secs(30)), stale_ttl: Some(Duration::ZERO) };

/// A set of authenticators, by their positions in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuthenticatorSet(u32);

impl AuthenticatorSet {
    /// Returns the set with one more authenticator.
    #[must_use]
    pub(crate) fn with(self, position: usize) -> Self {
        let bit = u32::try_from(position).ok().and_then(|position| 1_u32.checked_shl(position));
        Self(self.0 | bit.unwrap_or(0))
    }

    /// Returns whether all of `others` are in the set.
    pub(crate) fn contains_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The authenticators in the order in which they are called, and the API keys, which are not part of the order.
#[derive(Clone)]
pub(crate) struct AuthenticatorChain {
    authenticators: Arc<[Authenticator]>,
    api_keys: Option<Arc<ApiKeys>>,
    /// Whether a service can be called for a user that has a line in the htpasswd file.
    is_whole_password_significant: bool,
    has_remote: bool,
}

impl AuthenticatorChain {
    /// Creates a chain of at most [`AUTHENTICATORS_MAX`] authenticators.
    pub(crate) fn new(authenticators: Vec<Authenticator>, api_keys: Option<Arc<ApiKeys>>) -> Self {
        Self {
            is_whole_password_significant: is_whole_password_significant(&authenticators),
            has_remote: authenticators.iter().any(Authenticator::is_remote),
            authenticators: authenticators.into(),
            api_keys,
        }
    }

    /// Returns the chain with other API keys.
    #[cfg(test)]
    pub(crate) fn with_api_keys(self, api_keys: Option<Arc<ApiKeys>>) -> Self {
        Self { api_keys, ..self }
    }

    /// Returns the API keys, if there are any.
    pub(crate) fn api_keys(&self) -> Option<&Arc<ApiKeys>> {
        self.api_keys.as_ref()
    }

    /// Creates a chain of the htpasswd file alone.
    #[cfg(test)]
    pub(crate) fn htpasswd_only(users: Arc<Htpasswd>, pool: Arc<HashPool>) -> Self {
        let kind = AuthenticatorKind::Htpasswd(users, pool);
        let fallback_for = AuthenticatorSet::default();
        Self::new(vec![Authenticator { name: "htpasswd".into(), kind, fallback_for }], None)
    }

    fn htpasswd(&self) -> Option<&Arc<Htpasswd>> {
        self.authenticators.iter().find_map(Authenticator::htpasswd)
    }

    /// Returns a number that changes with every change of local records; see [`Htpasswd::generation`].
    pub(crate) fn generation(&self) -> u64 {
        self.htpasswd().map_or(0, |users| users.generation())
    }

    /// Looks up every local record that the answer for `user` depends on. Does not wait.
    pub(crate) fn look_up(&self, user: &[u8]) -> LocalRecord {
        LocalRecord {
            htpasswd: self.htpasswd().map(|users| users.look_up(user)),
            is_whole_password_significant: self.is_whole_password_significant,
            has_remote_source: self.has_remote,
        }
    }

    /// Returns the position of the authenticator that is called first for a user with this record, or `None` if there
    /// are only API keys.
    pub(crate) fn first_authenticator(&self, record: &LocalRecord) -> Option<usize> {
        self.next_authenticator(0, AuthenticatorSet::default(), record)
    }

    /// Returns whether the queue of the authenticator at `position` is full for this requester.
    pub(crate) fn is_queue_full_for(&self, position: usize, requester: RequesterId) -> bool {
        self.authenticators
            .get(position)
            .is_none_or(|authenticator| authenticator.is_queue_full_for(requester))
    }

    /// Returns when a client that found the queue at `position` full can try again.
    pub(crate) fn retry_after(&self, position: usize) -> Duration {
        self.authenticators.get(position).map_or(QUEUE_FULL_RETRY_AFTER, Authenticator::retry_after)
    }

    /// Counts a query for a user with this record that was refused because the queue was full.
    pub(crate) fn count_queue_full(&self, record: &LocalRecord, metrics: &Metrics) {
        let first = self.first_authenticator(record).and_then(|position| self.authenticators.get(position));
        if let Some(authenticator) = first {
            authenticator.count_queue_full(metrics);
        }
    }

    /// Returns the next authenticator from position `from` on that is a fallback for all `skipped` ones. An
    /// authenticator that is not such a fallback counts as skipped too.
    ///
    /// For a user without a line in the htpasswd file, the dummy check of the file is done only if no later
    /// authenticator is called. So neither the hash pool nor the service delays the other.
    fn next_authenticator(
        &self,
        from: usize,
        skipped: AuthenticatorSet,
        record: &LocalRecord,
    ) -> Option<usize> {
        let (mut skipped, mut dummy) = (skipped, None);
        for (position, authenticator) in self.authenticators.iter().enumerate().skip(from) {
            let is_unlisted = authenticator.htpasswd().is_some() && !record.has_line();
            match authenticator.fallback_for.contains_all(skipped) {
                true if is_unlisted => dummy = dummy.or(Some(position)),
                true => return Some(position),
                false if is_unlisted => {}
                false => skipped = skipped.with(position),
            }
        }
        dummy
    }

    /// Returns whether the authenticator at `position` accepted the user as another user, who has a line in an htpasswd
    /// file before it. Such an acceptance is a rejection: the file decides about its own users.
    fn is_name_owned_by_htpasswd(&self, position: usize, sent_name: &[u8], identity: &Identity) -> bool {
        let earlier = self.authenticators.iter().take(position).find_map(Authenticator::htpasswd);
        let name = identity.user.as_bytes();
        name != sent_name && earlier.is_some_and(|users| users.look_up(name).has_line())
    }
}

/// Returns whether an authenticator besides the htpasswd file can be called for a user that has a line there: one before
/// the file, or a fallback for it.
fn is_whole_password_significant(authenticators: &[Authenticator]) -> bool {
    let htpasswd = authenticators.iter().position(|authenticator| authenticator.htpasswd().is_some());
    htpasswd.is_some_and(|htpasswd| {
        let file = AuthenticatorSet::default().with(htpasswd);
        let is_called = |(position, authenticator): (usize, &Authenticator)| {
            position < htpasswd || position > htpasswd && authenticator.fallback_for.contains_all(file)
        };
        authenticators.iter().enumerate().any(is_called)
    })
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
