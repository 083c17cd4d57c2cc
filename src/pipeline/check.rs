//! What is left of the path when the cache has no answer: a place in a queue, or in the flight of an
//! equal question, and the wait. Where nobody can be asked, the last acceptance may still do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Gate;
use super::answers::rejection;
use super::single_flight::{Boarding, Question, land};
use super::throttle::{Tags, Ticket};
use super::verdict::Verdict;
use crate::authn::{Cause, Identity, Outcome};
use crate::request::subrequest::Subrequest;

/// Who was vouched for.
pub struct Vouched {
    /// Who.
    pub identity: Arc<Identity>,
    /// Where nobody could be asked now: for how long this may be said.
    pub stale: Option<Duration>,
}

/// A question that has to be checked. Dropping it counts as a failure, as its ticket does.
pub struct Check {
    gate: Arc<Gate>,
    ticket: Ticket,
    tags: Tags,
    question: Question,
}

impl Check {
    pub(super) fn new(gate: Arc<Gate>, ticket: Ticket, tags: Tags, question: Question) -> Self {
        Self { gate, ticket, tags, question }
    }

    /// Has the credentials checked, and judges the request that they came with.
    pub async fn verdict(self, request: &Subrequest<'_>) -> Verdict {
        let gate = Arc::clone(&self.gate);
        request.set_user(self.question.credentials.user());
        match self.identity().await {
            Ok(Vouched { identity, stale: None }) => gate.admit(identity, request),
            Ok(Vouched { identity, stale: Some(_) }) => match gate.admit(identity, request) {
                Verdict::Allow(grant) => Verdict::Allow(grant.stale(true)),
                refusal => refusal,
            },
            Err(refusal) => refusal,
        }
    }

    /// Has the credentials checked: whose they are.
    ///
    /// # Errors
    /// The verdict that there is instead.
    pub async fn who(self) -> Result<Vouched, Verdict> {
        self.identity().await
    }

    /// Who it is; the last acceptance counts where nobody could be asked.
    async fn identity(self) -> Result<Vouched, Verdict> {
        let Self { gate, ticket, tags, question } = self;
        match asked(&gate, &tags, &question).await {
            Ok(identity) => {
                ticket.succeed();
                Ok(Vouched { identity, stale: None })
            }
            Err(Verdict::Unavailable(trouble)) => {
                let stale = trouble
                    .permits_stale()
                    .then(|| gate.cache.stale(&question.names.answer, gate.clock.now()));
                if let Some((identity, left)) = stale.flatten() {
                    ticket.succeed();
                    gate.metrics.stale.inc();
                    return Ok(Vouched { identity, stale: Some(left) });
                }
                match trouble.cause() {
                    Cause::Requester => ticket.unanswered(),
                    // An outage, or the beginning of one, must not throttle a network.
                    Cause::Outage | Cause::Unclear => ticket.unasked(),
                }
                Err(Verdict::Unavailable(trouble))
            }
            // Its turn did not come. That is no fault of the others in its network, of whom there may be many.
            Err(Verdict::Limited(limited)) => {
                ticket.unasked();
                Err(Verdict::Limited(limited))
            }
            Err(refusal) => Err(refusal),
        }
    }
}

/// Has the question checked, once for all who ask it at this time.
async fn asked(gate: &Gate, tags: &Tags, question: &Question) -> Result<Arc<Identity>, Verdict> {
    let busy = || gate.busy(&question.records);
    let rejected = || rejection(&question.credentials, &question.records);
    let until = Instant::now() + gate.wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let boarding = gate.flights.board(question, tags, left).map_err(|_| {
            gate.shed(&question.records);
            busy()
        })?;
        let (end, led) = match boarding {
            Boarding::Known(known) => return gate.known(known, rejected).map(|answer| answer.identity()),
            Boarding::Led(end) => (end, true),
            Boarding::Joined(end) => {
                gate.metrics.cache_coalesced.inc();
                (end, false)
            }
        };
        match land(end, left).await {
            Some(Ok(Outcome::Accepted(identity))) => {
                gate.cache.acquaint(&question.names.answer, tags.asker().network);
                return Ok(identity);
            }
            Some(Ok(Outcome::Rejected | Outcome::Unknown)) => {
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
