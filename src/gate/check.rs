//! What is left of the path when the cache has no answer: a place in the hash queue, or in the
//! flight of an equal question, and the wait.

use std::sync::Arc;
use std::time::Instant;

use super::flight::{Boarding, Question, land};
use super::throttle::Ticket;
use super::verdict::{Limited, Refusal, Verdict};
use super::{BUSY_WAIT, Gate, Subrequest};
use crate::authn::Outcome;
use crate::authn::pool::Asker;
use crate::identity::Identity;

/// A question that has to be checked. Dropping it counts as a failure, as its ticket does.
pub struct Check {
    gate: Arc<Gate>,
    ticket: Ticket,
    asker: Asker,
    question: Question,
}

impl Check {
    pub(super) fn new(gate: Arc<Gate>, ticket: Ticket, asker: Asker, question: Question) -> Self {
        Self { gate, ticket, asker, question }
    }

    /// Has the password checked, and judges the request that it came with.
    pub async fn verdict(self, request: &Subrequest<'_>) -> Verdict {
        let gate = Arc::clone(&self.gate);
        match self.identity().await {
            Ok(identity) => gate.admit(identity, request),
            Err(refusal) => refusal,
        }
    }

    /// Has the question checked, once for all who ask it at this time.
    async fn identity(self) -> Result<Arc<Identity>, Verdict> {
        let Self { gate, ticket, asker, question } = self;
        let busy = || Verdict::Limited(Limited::Busy(BUSY_WAIT));
        let until = Instant::now() + gate.wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let boarding = gate.flights.board(&question, asker, left).map_err(|_| {
                gate.metrics.hash_shed.inc();
                busy()
            })?;
            let (end, led) = match boarding {
                Boarding::Known(known) => {
                    return gate.settle_known(ticket, known).map(|answer| answer.identity());
                }
                Boarding::Led(end) => (end, true),
                Boarding::Joined(end) => {
                    gate.metrics.cache_coalesced.inc();
                    (end, false)
                }
            };
            match land(end, left).await {
                Some(Ok(Outcome::Accepted(identity))) => {
                    ticket.succeed();
                    gate.cache.acquaint(&question.key, asker.network);
                    return Ok(identity);
                }
                Some(Ok(Outcome::Rejected | Outcome::Unknown)) => {
                    return Err(Verdict::Challenge(Refusal::Wrong));
                }
                Some(Err(trouble)) => return Err(Verdict::Unavailable(trouble)),
                // The check was dropped: who had joined it asks for a place of his own.
                None if !led && Instant::now() < until => {}
                None => return Err(busy()),
            }
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
