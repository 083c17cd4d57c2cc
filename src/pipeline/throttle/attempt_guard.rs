//! One question that was let through: what becomes of it decides whether it stays counted as a failure.

use std::sync::Arc;

use super::{TIER_COUNT, Throttle, ThrottleKeys};

/// Dropping it leaves the failure counted; [`Ticket::succeed`] takes it back.
#[must_use = "dropping a ticket counts a failure"]
pub struct AttemptGuard {
    throttle: Arc<Throttle>,
    throttle_keys: ThrottleKeys,
    attempt_id: u64,
    /// In which tiers the question was new.
    newly_counted: [bool; TIER_COUNT],
    result: AttemptResult,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptResult {
    /// Nothing good, as far as is known.
    Failed,
    /// A good answer.
    Succeeded,
    /// Nobody could be asked.
    BackendError,
    /// An authenticator gave it no answer, and answered others meanwhile.
    NoResponse,
}

impl AttemptGuard {
    pub(super) fn new(
        throttle: Arc<Throttle>,
        tags: ThrottleKeys,
        question: u64,
        counted: [bool; TIER_COUNT],
    ) -> Self {
        Self {
            throttle,
            throttle_keys: tags,
            attempt_id: question,
            newly_counted: counted,
            result: AttemptResult::Failed,
        }
    }

    /// The answer was good.
    pub fn record_success(mut self) {
        self.result = AttemptResult::Succeeded;
    }

    /// Nobody could be asked.
    pub fn record_backend_error(mut self) {
        self.result = AttemptResult::BackendError;
    }

    /// An authenticator gave it no answer, and answered others meanwhile.
    pub fn record_no_response(mut self) {
        self.result = AttemptResult::NoResponse;
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Self { throttle, throttle_keys: tags, attempt_id: question, newly_counted: counted, result: end } =
            self;
        match end {
            AttemptResult::Succeeded => throttle.undo_failure(tags, *question),
            AttemptResult::Failed => throttle.record_failure(tags, *question, *counted),
            AttemptResult::BackendError => throttle.record_backend_error(tags, *question, *counted),
            AttemptResult::NoResponse => throttle.record_no_response(tags, *question, *counted),
        }
        throttle.end_attempt(tags, *question);
    }
}
