//! From a known answer, a rejection or a full queue to a verdict.

use std::sync::Arc;

use super::Gate;
use super::cache::Accepted;
use super::challenge::Refusal;
use super::single_flight::Known;
use super::verdict::{Limited, Verdict};
use crate::authn::hash::PASSWORD_MAX;
use crate::authn::{Credentials, Records};

impl Gate {
    /// When to come again for a question about a user with these records that found no place.
    pub(super) fn busy(&self, records: &Records) -> Verdict {
        let entrance = self.authenticators.entrance(records).unwrap_or_default();
        Verdict::Limited(Limited::Busy(self.authenticators.retry_after(entrance)))
    }

    pub(super) fn shed(&self, records: &Records) {
        let hashes =
            self.authenticators.entrance(records).is_some_and(|place| self.authenticators.hashes(place));
        let shed = if hashes { &self.metrics.hash_shed } else { &self.metrics.http_shed };
        shed.inc();
    }

    /// The answer to a question that is known; `rejection` says why it is a rejection, if it is one.
    pub(super) fn known(
        &self,
        known: Known,
        rejection: impl FnOnce() -> Refusal,
    ) -> Result<Arc<Accepted>, Verdict> {
        match known {
            Known::Accepted(answer) => {
                self.metrics.cache_hits.inc();
                Ok(answer)
            }
            Known::Rejected => {
                self.metrics.cache_rejected_hits.inc();
                Err(Verdict::Challenge(rejection()))
            }
        }
    }
}

/// Why credentials were rejected, for the log.
pub(super) fn rejection(credentials: &Credentials, records: &Records) -> Refusal {
    if let Some(fault) = records.line_fault() {
        return Refusal::Unusable(fault);
    }
    let is_too_long = credentials.password().len() > PASSWORD_MAX && records.hash_decides();
    if is_too_long { Refusal::TooLong } else { Refusal::Wrong }
}
