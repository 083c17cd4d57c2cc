//! One question that was let through: what becomes of it decides whether it stays counted as a failure.

use std::sync::Arc;

use super::{TIERS, Tags, Throttle};

/// Dropping it leaves the failure counted; [`Ticket::succeed`] takes it back.
#[must_use = "dropping a ticket counts a failure"]
pub struct Ticket {
    throttle: Arc<Throttle>,
    tags: Tags,
    question: u64,
    /// In which tiers the question was new.
    counted: [bool; TIERS],
    end: End,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing good, as far as is known.
    Failed,
    /// A good answer.
    Succeeded,
    /// Nobody could be asked.
    Unasked,
    /// An authenticator gave it no answer, and answered others meanwhile.
    Unanswered,
}

impl Ticket {
    pub(super) fn new(throttle: Arc<Throttle>, tags: Tags, question: u64, counted: [bool; TIERS]) -> Self {
        Self { throttle, tags, question, counted, end: End::Failed }
    }

    /// The answer was good.
    pub fn succeed(mut self) {
        self.end = End::Succeeded;
    }

    /// Nobody could be asked.
    pub fn unasked(mut self) {
        self.end = End::Unasked;
    }

    /// An authenticator gave it no answer, and answered others meanwhile.
    pub fn unanswered(mut self) {
        self.end = End::Unanswered;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Self { throttle, tags, question, counted, end } = self;
        match end {
            End::Succeeded => throttle.forgive(tags, *question),
            End::Failed => throttle.fail(tags, *question, *counted),
            End::Unasked => throttle.unasked(tags, *question, *counted),
            End::Unanswered => throttle.unanswered(tags, *question, *counted),
        }
        throttle.close(tags, *question);
    }
}
