//! The guard of one attempt. Its result decides whether the attempt stays counted as a failure.

use std::sync::Arc;

use super::{TIER_COUNT, Throttle, ThrottleKeys};

/// An attempt that was counted as a failure when it started. Dropping the guard leaves it counted.
/// [`AttemptGuard::record_success`] undoes the failure.
#[must_use = "dropping the guard counts a failure"]
pub(crate) struct AttemptGuard {
    throttle: Arc<Throttle>,
    throttle_keys: ThrottleKeys,
    attempt_id: u64,
    /// The tiers in which the start of the attempt counted a new failure.
    newly_counted: [bool; TIER_COUNT],
    result: AttemptResult,
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptResult {
    /// The credentials were not accepted, or the result is not known.
    Failed,
    /// The credentials were accepted.
    Succeeded,
    /// No authenticator was available.
    Unavailable,
    /// The authenticator did not respond to this attempt, and responded to others meanwhile.
    Unanswered,
}

impl AttemptGuard {
    pub(super) fn new(
        throttle: Arc<Throttle>,
        throttle_keys: ThrottleKeys,
        attempt_id: u64,
        newly_counted: [bool; TIER_COUNT],
    ) -> Self {
        Self { throttle, throttle_keys, attempt_id, newly_counted, result: AttemptResult::Failed }
    }

    /// Records that the credentials were accepted.
    pub(crate) fn record_success(mut self) {
        self.result = AttemptResult::Succeeded;
    }

    /// Records that no authenticator was available.
    pub(crate) fn record_unavailable(mut self) {
        self.result = AttemptResult::Unavailable;
    }

    /// Records that the authenticator did not respond to this attempt, and responded to others meanwhile.
    pub(crate) fn record_unanswered(mut self) {
        self.result = AttemptResult::Unanswered;
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Self { throttle, throttle_keys, attempt_id, newly_counted, result } = self;
        match result {
            AttemptResult::Succeeded => throttle.undo_failure(throttle_keys, *attempt_id),
            AttemptResult::Failed => throttle.record_failure(throttle_keys, *attempt_id, *newly_counted),
            AttemptResult::Unavailable => {
                throttle.record_unavailable(throttle_keys, *attempt_id, *newly_counted)
            }
            AttemptResult::Unanswered => {
                throttle.record_unanswered(throttle_keys, *attempt_id, *newly_counted)
            }
        }
        throttle.end_attempt(throttle_keys, *attempt_id);
    }
}
