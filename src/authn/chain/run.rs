//! A question on its way: from the queue of one authenticator to that of the next.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{AuthenticatorChain, AuthenticatorKind, AuthenticatorSet, FALLBACK_LIFETIME};
use crate::authn::http::BackendQuery;
use crate::authn::queue::job::{EvictedJob, Job, JobCallback, JobResult, RequesterId};
use crate::authn::{AnswerLifetime, AuthnError, AuthnResult, Credentials, Identity, LocalRecord, Outcome};

/// What came of a question.
#[derive(Clone, Debug)]
pub struct ChainResult {
    /// The end itself.
    pub result: JobResult,
    /// For how long it is good.
    pub lifetime: AnswerLifetime,
    /// The names of those who were asked and do not know the user: what they said before counts no more.
    pub unknown_to: Vec<Arc<str>>,
}

/// Told what came of a question.
pub type ChainCallback = Box<dyn FnOnce(ChainResult) + Send>;

/// A question on its way along the chain.
pub struct ChainRun {
    /// Who is asked.
    pub chain: AuthenticatorChain,
    /// What was presented.
    pub credentials: Arc<Credentials>,
    /// Whose these credentials were when they were accepted last, if they were.
    pub previous_identity: Option<Arc<Identity>>,
    /// The records that were looked up for it.
    pub record: LocalRecord,
    /// Whose share it takes.
    pub requester: RequesterId,
    /// When nobody waits for it any more; see [`Job::deadline`].
    pub deadline_millis: Arc<AtomicU64>,
    /// What is told.
    pub on_complete: ChainCallback,
}

/// A course for which there was no place.
pub struct ChainNotStarted(#[expect(dead_code, reason = "what it holds is dropped with it")] JobCallback);

struct ChainStep {
    run: ChainRun,
    index: usize,
    /// Who is in trouble, and the first one's.
    failed_authenticators: AuthenticatorSet,
    first_error: Option<AuthnError>,
    lifetime: AnswerLifetime,
    unknown_to: Vec<Arc<str>>,
}

impl ChainRun {
    /// Sets out: takes a place in the first queue, or none at all. Then it is given back, to be dropped
    /// where that does no harm; nobody is told.
    pub fn start(self) -> Result<EvictedJob, ChainNotStarted> {
        // Where there is nobody, the leg finds that out.
        let place = self.chain.first_authenticator(&self.record).unwrap_or(usize::MAX);
        let leg = ChainStep {
            run: self,
            index: place,
            failed_authenticators: AuthenticatorSet::default(),
            first_error: None,
            lifetime: AnswerLifetime::UNLIMITED,
            unknown_to: Vec::new(),
        };
        leg.submit().map_err(ChainNotStarted)
    }
}

impl ChainStep {
    /// Takes a place in the queue of the authenticator whose turn it is. Gives back the end of the leg
    /// if there is none.
    fn submit(self) -> Result<EvictedJob, JobCallback> {
        let (asker, deadline) = (self.run.requester, Arc::clone(&self.run.deadline_millis));
        let Some(one) = self.run.chain.authenticators.get(self.index).cloned() else {
            return Err(Box::new(move |end| self.finish(end)));
        };
        let credentials = Arc::clone(&self.run.credentials);
        match one.kind {
            AuthenticatorKind::Htpasswd(_, pool) => {
                let (records, name) = (self.run.record.clone(), one.name);
                let work = Box::new(move || records.check_password(&credentials, &name));
                let end = Box::new(move |end| self.handle_result(end));
                pool.submit(Job { requester: asker, deadline_millis: deadline, work, on_complete: end })
                    .map_err(|job| job.on_complete)
            }
            AuthenticatorKind::Http(service) => {
                let work =
                    BackendQuery { credentials, previous_identity: self.run.previous_identity.clone() };
                let end = Box::new(move |end| self.handle_result(end));
                service.submit(Job { requester: asker, deadline_millis: deadline, work, on_complete: end })
            }
        }
    }

    /// What one said decides whether another is asked.
    fn handle_result(mut self, end: JobResult) {
        let answer = match end {
            JobResult::Dropped => return self.finish(JobResult::Dropped),
            JobResult::Completed(answer) => answer,
        };
        let Some(one) = self.run.chain.authenticators.get(self.index).cloned() else {
            return self.finish(JobResult::Dropped);
        };
        self.lifetime = self.lifetime.min(match &one.kind {
            AuthenticatorKind::Htpasswd(..) => AnswerLifetime::UNLIMITED,
            AuthenticatorKind::Http(service) => service.answer_lifetime(),
        });
        match answer {
            Ok(Outcome::Accepted(identity))
                if self.run.chain.is_name_owned_by_htpasswd(
                    self.index,
                    self.run.credentials.user(),
                    &identity,
                ) =>
            {
                self.finish(JobResult::Completed(Ok(Outcome::Rejected)));
            }
            Ok(Outcome::Accepted(_) | Outcome::Rejected) => self.finish(JobResult::Completed(answer)),
            Ok(Outcome::UnknownUser) => {
                self.unknown_to.push(one.name);
                self.continue_with_next(Ok(Outcome::UnknownUser));
            }
            Err(trouble) => {
                self.failed_authenticators = self.failed_authenticators.with(self.index);
                self.lifetime = self.lifetime.min(FALLBACK_LIFETIME);
                let first = self.first_error.get_or_insert(trouble).clone();
                self.continue_with_next(Err(first));
            }
        }
    }

    /// Asks the next one; `answer` is the end of it where there is none. To be unknown to who covers is
    /// no answer in place of who could not be asked.
    fn continue_with_next(mut self, answer: AuthnResult) {
        let next =
            self.run.chain.next_authenticator(self.index + 1, self.failed_authenticators, &self.run.record);
        let Some(place) = next else {
            let answer = self.first_error.take().map_or(answer, Err);
            return self.finish(JobResult::Completed(answer));
        };
        self.index = place;
        match self.submit() {
            Ok(displaced) => displaced.notify_dropped(),
            Err(end) => end(JobResult::Dropped),
        }
    }

    fn finish(self, end: JobResult) {
        (self.run.on_complete)(ChainResult {
            result: end,
            lifetime: self.lifetime,
            unknown_to: self.unknown_to,
        });
    }
}
