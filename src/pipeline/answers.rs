//! From a known answer, a rejection or a full queue to a verdict.

use std::sync::Arc;

use super::Pipeline;
use super::cache::CachedAnswer;
use super::challenge::Refusal;
use super::single_flight::KnownAnswer;
use super::verdict::{Limited, Verdict};
use crate::authn::hash::PASSWORD_MAX;
use crate::authn::{Credentials, Records};

impl Pipeline {
    /// When to come again for a question about a user with these records that found no place.
    pub(super) fn busy_verdict(&self, records: &Records) -> Verdict {
        let entrance = self.authenticators.entrance(records).unwrap_or_default();
        Verdict::Limited(Limited::Busy(self.authenticators.retry_after(entrance)))
    }

    pub(super) fn count_queue_full(&self, records: &Records) {
        let hashes =
            self.authenticators.entrance(records).is_some_and(|place| self.authenticators.hashes(place));
        let shed = if hashes { &self.metrics.hash_queue_full } else { &self.metrics.http_authenticator_queue_full };
        shed.inc();
    }

    /// The answer to a question that is known; `rejection` says why it is a rejection, if it is one.
    pub(super) fn resolve_known_answer(
        &self,
        known: KnownAnswer,
        rejection: impl FnOnce() -> Refusal,
    ) -> Result<Arc<CachedAnswer>, Verdict> {
        match known {
            KnownAnswer::Accepted(answer) => {
                self.metrics.cache_hits.inc();
                Ok(answer)
            }
            KnownAnswer::Rejected => {
                self.metrics.cache_rejected_hits.inc();
                Err(Verdict::Challenge(rejection()))
            }
        }
    }
}

/// Why credentials were rejected, for the log.
pub(super) fn rejection_reason(credentials: &Credentials, records: &Records) -> Refusal {
    if let Some(fault) = records.line_fault() {
        return Refusal::InvalidHtpasswdLine(fault);
    }
    let is_too_long = credentials.password().len() > PASSWORD_MAX && records.hash_decides();
    if is_too_long { Refusal::PasswordTooLong } else { Refusal::WrongCredentials }
}
