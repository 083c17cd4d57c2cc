//! One authenticator of the chain. Everything that depends on its kind is in this file.

use std::sync::Arc;
use std::time::Duration;

use super::AuthenticatorSet;
use crate::authn::hash_pool::HashPool;
use crate::authn::htpasswd::Htpasswd;
use crate::authn::queue::job::{EvictedJob, Job, RequesterId};
use crate::authn::remote::queues::JobCallback;
use crate::authn::remote::{QUEUE_FULL_RETRY_AFTER, RemoteQuery, RemoteSource};
use crate::authn::{AnswerLifetime, LocalRecord};
use crate::metrics::Metrics;

/// One authenticator.
#[derive(Clone)]
pub struct Authenticator {
    /// The name in `X-Auth-By`, logs and metrics.
    pub name: Arc<str>,
    /// The method of identification.
    pub kind: AuthenticatorKind,
    /// The earlier authenticators for which it is the fallback when they fail.
    pub fallback_for: AuthenticatorSet,
}

/// The method by which an authenticator identifies users.
#[derive(Clone)]
pub enum AuthenticatorKind {
    /// A lookup in the htpasswd file, and a hash that the pool computes.
    Htpasswd(Arc<Htpasswd>, Arc<HashPool>),
    /// A call to a service.
    Remote(Arc<RemoteSource>),
}

impl Authenticator {
    /// Returns the htpasswd file, if this authenticator reads it.
    pub(super) fn htpasswd(&self) -> Option<&Arc<Htpasswd>> {
        match &self.kind {
            AuthenticatorKind::Htpasswd(users, _) => Some(users),
            AuthenticatorKind::Remote(_) => None,
        }
    }

    /// Returns whether it calls a service.
    pub(super) fn is_remote(&self) -> bool {
        match &self.kind {
            AuthenticatorKind::Htpasswd(..) => false,
            AuthenticatorKind::Remote(_) => true,
        }
    }

    /// Returns whether its queue is full for this requester.
    pub(super) fn is_queue_full_for(&self, requester: RequesterId) -> bool {
        match &self.kind {
            AuthenticatorKind::Htpasswd(_, pool) => pool.is_full_for(requester),
            AuthenticatorKind::Remote(source) => source.is_full_for(requester),
        }
    }

    /// Returns when a client that found the queue full can try again.
    pub(super) fn retry_after(&self) -> Duration {
        match &self.kind {
            AuthenticatorKind::Htpasswd(_, pool) => pool.retry_after(),
            AuthenticatorKind::Remote(_) => QUEUE_FULL_RETRY_AFTER,
        }
    }

    /// Counts a query that was refused because the queue was full.
    pub(super) fn count_queue_full(&self, metrics: &Metrics) {
        match &self.kind {
            AuthenticatorKind::Htpasswd(..) => drop(metrics.hash_queue_full.inc()),
            AuthenticatorKind::Remote(source) => source.count_queue_full(),
        }
    }

    /// Returns how long an answer is valid.
    pub(super) fn answer_lifetime(&self) -> AnswerLifetime {
        match &self.kind {
            AuthenticatorKind::Htpasswd(..) => AnswerLifetime::UNLIMITED,
            AuthenticatorKind::Remote(source) => source.answer_lifetime(),
        }
    }

    /// Queues a query, or returns its callback if the queue is full.
    pub(super) fn submit(
        &self,
        query: Job<RemoteQuery>,
        record: &LocalRecord,
    ) -> Result<EvictedJob, JobCallback> {
        match &self.kind {
            AuthenticatorKind::Htpasswd(_, pool) => {
                let Job { requester, deadline_millis, work: query, on_complete } = query;
                let (record, name) = (record.clone(), Arc::clone(&self.name));
                let work = Box::new(move || record.check_password(&query.credentials, &name));
                pool.submit(Job { requester, deadline_millis, work, on_complete })
                    .map_err(|job| job.on_complete)
            }
            AuthenticatorKind::Remote(source) => source.submit(query),
        }
    }
}
