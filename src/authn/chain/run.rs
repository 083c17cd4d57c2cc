//! One run of the chain: a query that moves from the queue of one authenticator to that of the next.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{AuthenticatorChain, AuthenticatorSet, FALLBACK_LIFETIME};
use crate::authn::queue::job::{EvictedJob, Job, JobCallback, JobResult, RequesterId};
use crate::authn::remote::RemoteQuery;
use crate::authn::{AnswerLifetime, AuthnError, AuthnResult, Credentials, Identity, LocalRecord, Outcome};

/// The result of a run.
#[derive(Clone, Debug)]
pub struct ChainResult {
    /// The answer, or that there is none.
    pub result: JobResult,
    /// The lifetime of the answer.
    pub lifetime: AnswerLifetime,
    /// The names of the authenticators that do not know the user. Their earlier answers are invalid now.
    pub unknown_to: Vec<Arc<str>>,
}

/// Called with the result of a run.
pub type ChainCallback = Box<dyn FnOnce(ChainResult) + Send>;

/// A query for the chain.
pub struct ChainRun {
    /// The authenticators.
    pub chain: AuthenticatorChain,
    /// The credentials that the client sent.
    pub credentials: Arc<Credentials>,
    /// The identity of these credentials when they were accepted last, if they were.
    pub previous_identity: Option<Arc<Identity>>,
    /// The local records that were looked up for the query.
    pub record: LocalRecord,
    /// The requester, whose share of the queues the query uses.
    pub requester: RequesterId,
    /// The deadline of the last request that waits for the query; see [`Job::deadline_millis`].
    pub deadline_millis: Arc<AtomicU64>,
    /// Called once with the result.
    pub on_complete: ChainCallback,
}

/// A run that did not start because the first queue was full. Its callback is not called.
pub struct ChainNotStarted(#[expect(dead_code, reason = "the callback is dropped with it")] JobCallback);

/// A run at one authenticator.
struct ChainStep {
    run: ChainRun,
    position: usize,
    failed_authenticators: AuthenticatorSet,
    first_error: Option<AuthnError>,
    lifetime: AnswerLifetime,
    unknown_to: Vec<Arc<str>>,
}

impl ChainRun {
    /// Queues the query at the first authenticator.
    ///
    /// # Errors
    /// If the queue is full. The caller drops the returned value when it holds no lock.
    pub fn start(self) -> Result<EvictedJob, ChainNotStarted> {
        // A chain without authenticators ends in `submit`.
        let position = self.chain.first_authenticator(&self.record).unwrap_or(usize::MAX);
        let step = ChainStep {
            run: self,
            position,
            failed_authenticators: AuthenticatorSet::default(),
            first_error: None,
            lifetime: AnswerLifetime::UNLIMITED,
            unknown_to: Vec::new(),
        };
        step.submit().map_err(ChainNotStarted)
    }
}

impl ChainStep {
    /// Queues the query at the current authenticator, or returns the callback that ends the run.
    fn submit(self) -> Result<EvictedJob, JobCallback> {
        let Some(authenticator) = self.run.chain.authenticators.get(self.position).cloned() else {
            return Err(Box::new(move |result| self.finish(result)));
        };
        let record = self.run.record.clone();
        let query = Job {
            requester: self.run.requester,
            deadline_millis: Arc::clone(&self.run.deadline_millis),
            work: RemoteQuery {
                credentials: Arc::clone(&self.run.credentials),
                previous_identity: self.run.previous_identity.clone(),
            },
            on_complete: Box::new(move |result| self.handle_result(result)),
        };
        authenticator.submit(query, &record)
    }

    /// Ends the run or continues it, depending on the answer of the current authenticator.
    fn handle_result(mut self, result: JobResult) {
        let answer = match result {
            JobResult::Dropped => return self.finish(JobResult::Dropped),
            JobResult::Completed(answer) => answer,
        };
        let Some(authenticator) = self.run.chain.authenticators.get(self.position).cloned() else {
            return self.finish(JobResult::Dropped);
        };
        self.lifetime = self.lifetime.min(authenticator.answer_lifetime());
        match answer {
            Ok(Outcome::Accepted(identity))
                if self.run.chain.is_name_owned_by_htpasswd(
                    self.position,
                    self.run.credentials.user(),
                    &identity,
                ) =>
            {
                self.finish(JobResult::Completed(Ok(Outcome::Rejected)));
            }
            Ok(Outcome::Accepted(_) | Outcome::Rejected) => self.finish(JobResult::Completed(answer)),
            Ok(Outcome::UnknownUser) => {
                self.unknown_to.push(authenticator.name);
                self.continue_with_next(Ok(Outcome::UnknownUser));
            }
            Err(error) => {
                self.failed_authenticators = self.failed_authenticators.with(self.position);
                self.lifetime = self.lifetime.min(FALLBACK_LIFETIME);
                let first_error = self.first_error.get_or_insert(error).clone();
                self.continue_with_next(Err(first_error));
            }
        }
    }

    /// Queues the query at the next authenticator. If there is none, the run ends with the first error, or with
    /// `answer` if no authenticator failed. A fallback that does not know the user does not replace the one that failed.
    fn continue_with_next(mut self, answer: AuthnResult) {
        let next = self.run.chain.next_authenticator(
            self.position + 1,
            self.failed_authenticators,
            &self.run.record,
        );
        let Some(position) = next else {
            let answer = self.first_error.take().map_or(answer, Err);
            return self.finish(JobResult::Completed(answer));
        };
        self.position = position;
        match self.submit() {
            Ok(evicted) => evicted.notify_dropped(),
            Err(on_result) => on_result(JobResult::Dropped),
        }
    }

    fn finish(self, result: JobResult) {
        (self.run.on_complete)(ChainResult { result, lifetime: self.lifetime, unknown_to: self.unknown_to });
    }
}
