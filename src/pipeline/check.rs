//! The check of credentials that have no answer in the cache: it takes a place in a queue or joins a check in
//! flight, and waits. If the authenticator is unavailable, the last accepted answer can be used instead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pipeline;
use super::answers::rejection_reason;
use super::single_flight::{CheckRequest, Join, wait_for_answer};
use super::throttle::{AttemptGuard, ThrottleKeys};
use super::verdict::Verdict;
use crate::authn::{FailureCause, Identity, Outcome};
use crate::request::subrequest::Subrequest;

/// An authenticated identity.
pub(crate) struct Authenticated {
    /// The identity.
    pub(crate) identity: Arc<Identity>,
    /// The time for which a stale answer can still be used; `None` if the answer is not stale.
    pub(crate) stale_remaining: Option<Duration>,
}

/// A check that an authenticator must do. Dropping it counts a failure, see [`AttemptGuard`].
pub(crate) struct PendingCheck {
    pipeline: Arc<Pipeline>,
    attempt: AttemptGuard,
    throttle_keys: ThrottleKeys,
    check_request: CheckRequest,
}

impl PendingCheck {
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        attempt: AttemptGuard,
        throttle_keys: ThrottleKeys,
        check_request: CheckRequest,
    ) -> Self {
        Self { pipeline, attempt, throttle_keys, check_request }
    }

    /// Waits for the check, and evaluates the request for the identity that it returns.
    pub(crate) async fn evaluate(self, request: &Subrequest<'_>) -> Verdict {
        let pipeline = Arc::clone(&self.pipeline);
        request.set_user(self.check_request.credentials.user());
        match self.authenticate().await {
            Ok(Authenticated { identity, stale_remaining: None }) => pipeline.authorize(identity, request),
            Ok(Authenticated { identity, stale_remaining: Some(_) }) => {
                match pipeline.authorize(identity, request) {
                    Verdict::Allow(allowed) => Verdict::Allow(allowed.with_stale(true)),
                    refusal => refusal,
                }
            }
            Err(refusal) => refusal,
        }
    }

    /// Waits for the check and returns the identity. If the authenticator is unavailable, this is the identity of the
    /// last accepted answer, if the configuration permits stale answers.
    ///
    /// # Errors
    /// The verdict if there is no identity.
    pub(crate) async fn authenticate(self) -> Result<Authenticated, Verdict> {
        let Self { pipeline, attempt, throttle_keys, check_request } = self;
        match run_check(&pipeline, &throttle_keys, &check_request).await {
            Ok(identity) => {
                attempt.record_success();
                Ok(Authenticated { identity, stale_remaining: None })
            }
            Err(Verdict::Unavailable(error)) => {
                let stale = error.permits_stale_answer().then(|| {
                    pipeline.cache.stale_answer(&check_request.cache_keys.answer_key, pipeline.clock.now())
                });
                if let Some((identity, remaining)) = stale.flatten() {
                    attempt.record_success();
                    pipeline.metrics.stale_answers.inc();
                    return Ok(Authenticated { identity, stale_remaining: Some(remaining) });
                }
                match error.cause() {
                    FailureCause::Requester => attempt.record_unanswered(),
                    // An outage, or the start of one, must not throttle a network.
                    FailureCause::Service | FailureCause::Undetermined => attempt.record_unavailable(),
                }
                Err(Verdict::Unavailable(error))
            }
            // The check was not done in time. If many users of a network wait, this must not throttle the network.
            Err(Verdict::Limited(limited)) => {
                attempt.record_unavailable();
                Err(Verdict::Limited(limited))
            }
            Err(refusal) => Err(refusal),
        }
    }
}

/// Runs the check, or joins the equal check in flight, and waits for its result.
async fn run_check(
    pipeline: &Pipeline,
    throttle_keys: &ThrottleKeys,
    check_request: &CheckRequest,
) -> Result<Arc<Identity>, Verdict> {
    let busy = || pipeline.busy_verdict(&check_request.records);
    let rejected = || rejection_reason(&check_request.credentials, &check_request.records);
    let deadline = Instant::now() + pipeline.check_timeout;
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let join = pipeline.in_flight_checks.join_or_start(check_request, throttle_keys, remaining).map_err(
            |_| {
                pipeline.count_queue_full(&check_request.records);
                busy()
            },
        )?;
        let (result, is_started) = match join {
            Join::Answered(known) => {
                return pipeline.resolve_known_answer(known, rejected).map(|answer| answer.identity());
            }
            Join::Started(result) => (result, true),
            Join::Joined(result) => {
                pipeline.metrics.cache_coalesced.inc();
                (result, false)
            }
        };
        match wait_for_answer(result, remaining).await {
            Some(Ok(Outcome::Accepted(identity))) => {
                let network_tag = throttle_keys.requester_id().network_tag;
                pipeline.cache.mark_seen(&check_request.cache_keys.answer_key, network_tag);
                return Ok(identity);
            }
            Some(Ok(Outcome::Rejected | Outcome::UnknownUser)) => {
                return Err(Verdict::Challenge(rejected()));
            }
            Some(Err(error)) => return Err(Verdict::Unavailable(error)),
            // The check of another request was dropped: this request tries to get its own place.
            None if !is_started && Instant::now() < deadline => {}
            None => return Err(busy()),
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
