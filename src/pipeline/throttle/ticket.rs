//! One question that was let through: what becomes of it decides whether it stays counted as a failure.

use std::sync::Arc;

use super::{TIER_COUNT, ThrottleKeys, Throttle};

/// Dropping it leaves the failure counted; [`Ticket::succeed`] takes it back.
#[must_use = "dropping a ticket counts a failure"]
pub struct AttemptGuard {
    throttle: Arc<Throttle>,
    tags: ThrottleKeys,
    question: u64,
    /// In which tiers the question was new.
    counted: [bool; TIER_COUNT],
    end: AttemptResult,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptResult {
    /// Nothing good, as far as is known.
    Failed,
    /// A good answer.
    Succeeded,
    /// Nobody could be asked.
    Unasked,
    /// An authenticator gave it no answer, and answered others meanwhile.
    Unanswered,
}

impl AttemptGuard {
    pub(super) fn new(throttle: Arc<Throttle>, tags: ThrottleKeys, question: u64, counted: [bool; TIER_COUNT]) -> Self {
        Self { throttle, tags, question, counted, end: AttemptResult::Failed }
    }

    /// The answer was good.
    pub fn succeed(mut self) {
        self.end = AttemptResult::Succeeded;
    }

    /// Nobody could be asked.
    pub fn unasked(mut self) {
        self.end = AttemptResult::Unasked;
    }

    /// An authenticator gave it no answer, and answered others meanwhile.
    pub fn unanswered(mut self) {
        self.end = AttemptResult::Unanswered;
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Self { throttle, tags, question, counted, end } = self;
        match end {
            AttemptResult::Succeeded => throttle.undo_failure(tags, *question),
            AttemptResult::Failed => throttle.record_failure(tags, *question, *counted),
            AttemptResult::Unasked => throttle.record_backend_error(tags, *question, *counted),
            AttemptResult::Unanswered => throttle.record_no_response(tags, *question, *counted),
        }
        throttle.end_attempt(tags, *question);
    }
}
