//! Verdicts for known answers, rejections and full queues.

use std::sync::Arc;

use super::Pipeline;
use super::cache::CachedAnswer;
use super::challenge::ChallengeReason;
use super::single_flight::KnownAnswer;
use super::verdict::{Limited, Verdict};
use crate::authn::hash::PASSWORD_LENGTH_MAX;
use crate::authn::{Credentials, LocalRecord};

impl Pipeline {
    /// Returns the verdict for a check that found no place in the queue of the first authenticator for `records`.
    pub(super) fn busy_verdict(&self, records: &LocalRecord) -> Verdict {
        let first_authenticator = self.authenticators.first_authenticator(records).unwrap_or_default();
        Verdict::Limited(Limited::Busy(self.authenticators.retry_after(first_authenticator)))
    }

    pub(super) fn count_queue_full(&self, records: &LocalRecord) {
        self.authenticators.count_queue_full(records, &self.metrics);
    }

    /// Counts a known answer and returns it. A rejection becomes a challenge with the reason that `rejection`
    /// returns.
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

/// Returns the reason for the log why credentials were rejected.
pub(super) fn rejection_reason(credentials: &Credentials, records: &LocalRecord) -> ChallengeReason {
    if let Some(error) = records.line_error() {
        return ChallengeReason::InvalidHtpasswdLine(error);
    }
    let is_too_long = credentials.password().len() > PASSWORD_LENGTH_MAX && records.is_decided_by_htpasswd();
    if is_too_long { ChallengeReason::PasswordTooLong } else { ChallengeReason::WrongCredentials }
}
