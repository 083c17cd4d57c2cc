//! What is left of the path when the cache has no answer: a place in a queue, or in the flight of an
//! equal question, and the wait. Where nobody can be asked, the last acceptance may still do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pipeline;
use super::answers::rejection_reason;
use super::single_flight::{CheckRequest, Join, wait_for_answer};
use super::throttle::{AttemptGuard, ThrottleKeys};
use super::verdict::Verdict;
use crate::authn::{FailureCause, Identity, Outcome};
use crate::request::subrequest::Subrequest;

/// Who was vouched for.
pub struct Authenticated {
    /// Who.
    pub identity: Arc<Identity>,
    /// Where nobody could be asked now: for how long this may be said.
    pub stale_remaining: Option<Duration>,
}

/// A question that has to be checked. Dropping it counts as a failure, as its ticket does.
pub struct PendingCheck {
    pipeline: Arc<Pipeline>,
    attempt: AttemptGuard,
    throttle_keys: ThrottleKeys,
    request: CheckRequest,
}

impl PendingCheck {
    pub(super) fn new(
        gate: Arc<Pipeline>,
        ticket: AttemptGuard,
        tags: ThrottleKeys,
        question: CheckRequest,
    ) -> Self {
        Self { pipeline: gate, attempt: ticket, throttle_keys: tags, request: question }
    }

    /// Has the credentials checked, and judges the request that they came with.
    pub async fn evaluate(self, request: &Subrequest<'_>) -> Verdict {
        let gate = Arc::clone(&self.pipeline);
        request.set_user(self.request.credentials.user());
        match self.authenticate().await {
            Ok(Authenticated { identity, stale_remaining: None }) => gate.authorize(identity, request),
            Ok(Authenticated { identity, stale_remaining: Some(_) }) => {
                match gate.authorize(identity, request) {
                    Verdict::Allow(grant) => Verdict::Allow(grant.with_stale(true)),
                    refusal => refusal,
                }
            }
            Err(refusal) => refusal,
        }
    }

    /// Has the credentials checked: whose they are.
    ///
    /// # Errors
    /// The verdict that there is instead.
    pub async fn who(self) -> Result<Authenticated, Verdict> {
        self.authenticate().await
    }

    /// Who it is; the last acceptance counts where nobody could be asked.
    async fn authenticate(self) -> Result<Authenticated, Verdict> {
        let Self { pipeline: gate, attempt: ticket, throttle_keys: tags, request: question } = self;
        match run_check(&gate, &tags, &question).await {
            Ok(identity) => {
                ticket.record_success();
                Ok(Authenticated { identity, stale_remaining: None })
            }
            Err(Verdict::Unavailable(trouble)) => {
                let stale = trouble
                    .permits_stale_answer()
                    .then(|| gate.cache.stale_answer(&question.cache_keys.answer_key, gate.clock.now()));
                if let Some((identity, left)) = stale.flatten() {
                    ticket.record_success();
                    gate.metrics.stale_answers.inc();
                    return Ok(Authenticated { identity, stale_remaining: Some(left) });
                }
                match trouble.cause() {
                    FailureCause::Requester => ticket.record_no_response(),
                    // An outage, or the beginning of one, must not throttle a network.
                    FailureCause::Outage | FailureCause::Undetermined => ticket.record_backend_error(),
                }
                Err(Verdict::Unavailable(trouble))
            }
            // Its turn did not come. That is no fault of the others in its network, of whom there may be many.
            Err(Verdict::Limited(limited)) => {
                ticket.record_backend_error();
                Err(Verdict::Limited(limited))
            }
            Err(refusal) => Err(refusal),
        }
    }
}

/// Has the question checked, once for all who ask it at this time.
async fn run_check(
    gate: &Pipeline,
    tags: &ThrottleKeys,
    question: &CheckRequest,
) -> Result<Arc<Identity>, Verdict> {
    let busy = || gate.busy_verdict(&question.records);
    let rejected = || rejection_reason(&question.credentials, &question.records);
    let until = Instant::now() + gate.check_timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let boarding = gate.in_flight_checks.join_or_start(question, tags, left).map_err(|_| {
            gate.count_queue_full(&question.records);
            busy()
        })?;
        let (end, led) = match boarding {
            Join::Answered(known) => {
                return gate.resolve_known_answer(known, rejected).map(|answer| answer.identity());
            }
            Join::Started(end) => (end, true),
            Join::Joined(end) => {
                gate.metrics.cache_coalesced.inc();
                (end, false)
            }
        };
        match wait_for_answer(end, left).await {
            Some(Ok(Outcome::Accepted(identity))) => {
                gate.cache.mark_seen(&question.cache_keys.answer_key, tags.requester_id().network_tag);
                return Ok(identity);
            }
            Some(Ok(Outcome::Rejected | Outcome::UnknownUser)) => {
                return Err(Verdict::Challenge(rejected()));
            }
            Some(Err(trouble)) => return Err(Verdict::Unavailable(trouble)),
            // The check was dropped: who had joined it asks for a place of his own.
            None if !led && Instant::now() < until => {}
            None => return Err(busy()),
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
