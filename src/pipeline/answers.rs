//! From a known answer, a rejection or a full queue to a verdict.

use std::sync::Arc;

use super::Pipeline;
use super::cache::CachedAnswer;
use super::challenge::ChallengeReason;
use super::single_flight::KnownAnswer;
use super::verdict::{Limited, Verdict};
use crate::authn::hash::PASSWORD_LENGTH_MAX;
use crate::authn::{Credentials, LocalRecord};

impl Pipeline {
    /// When to come again for a question about a user with these records that found no place.
    pub(super) fn busy_verdict(&self, records: &LocalRecord) -> Verdict {
        let entrance = self.authenticators.first_authenticator(records).unwrap_or_default();
        Verdict::Limited(Limited::Busy(self.authenticators.retry_after(entrance)))
    }

    pub(super) fn count_queue_full(&self, records: &LocalRecord) {
        self.authenticators.count_queue_full(records, &self.metrics);
    }

    /// The answer to a question that is known; `rejection` says why it is a rejection, if it is one.
    pub(super) fn resolve_known_answer(
        &self,
        known: KnownAnswer,
        rejection: impl FnOnce() -> ChallengeReason,
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
pub(super) fn rejection_reason(credentials: &Credentials, records: &LocalRecord) -> ChallengeReason {
    if let Some(fault) = records.line_error() {
        return ChallengeReason::InvalidHtpasswdLine(fault);
    }
    let is_too_long = credentials.password().len() > PASSWORD_LENGTH_MAX && records.is_decided_by_htpasswd();
    if is_too_long { ChallengeReason::PasswordTooLong } else { ChallengeReason::WrongCredentials }
}
