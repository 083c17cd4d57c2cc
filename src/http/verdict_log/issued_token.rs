//! The line about a token that was issued: what was requested, what was granted and what was denied.
//!
//! A registry that verifies tokens itself refuses what is not in one without telling doorward. So a token with less
//! than a user requested is logged like a refusal, at level info and within the same budgets. Any other token is logged
//! at level debug, or info with `log.allowed_requests`.

use std::hash::BuildHasher;

use super::VerdictLog;
use super::line::{RequestLine, VerdictLogLine};
use crate::http::AppState;
use crate::http::subrequest::ReceivedSubrequest;
use crate::pipeline::verdict::Reason;

/// Characters of a list of scopes that a line shows: those of a push with a few mounts.
const SCOPES_SHOWN_MAX: usize = 400;

/// What the log says of a token.
pub(in crate::http) struct IssuedTokenEntry<'t> {
    /// The user's name; empty for a client without credentials.
    pub(in crate::http) user: &'t [u8],
    /// What was requested, as it was written.
    pub(in crate::http) requested: &'t str,
    /// What was granted.
    pub(in crate::http) granted: &'t str,
    /// What was not granted.
    pub(in crate::http) denied: &'t str,
    /// The token's `jti`.
    pub(in crate::http) id: &'t str,
    /// Whether it follows from the last answer of an authenticator that could not be asked.
    pub(in crate::http) is_stale: bool,
}

/// As much of a list of scopes as a line shows.
fn truncate_scopes(list: &str) -> String {
    let mut shown: String = list.chars().take(SCOPES_SHOWN_MAX).collect();
    if shown.len() < list.len() {
        shown.push('…');
    }
    shown
}

impl VerdictLog {
    /// Logs a token that was issued, if it is to be logged.
    pub(in crate::http) fn log_issued_token(
        &self,
        front: &AppState,
        received: &ReceivedSubrequest<'_>,
        seen: RequestLine<'_>,
        token: &IssuedTokenEntry<'_>,
    ) {
        let is_narrower = !token.denied.is_empty() && !token.user.is_empty();
        let is_notable = is_narrower || token.is_stale;
        if !is_notable && !front.is_allowed_logged() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let line = VerdictLogLine::new(front, received, Some(seen), Reason::Allowed, Some(token.user));
        let suppressed = if is_notable {
            let reason = if is_narrower { Reason::Policy } else { Reason::Allowed };
            let says = (&line.client, &line.user, &line.host, token.requested, token.denied);
            match self.decide(front, &line, reason, self.hasher.hash_one(says)) {
                Some(suppressed) => suppressed,
                None => return,
            }
        } else {
            0
        };
        let VerdictLogLine { user, client, network, host, request_id, method: _, path: _ } = &line;
        let network = network.to_string();
        let [requested, granted, denied] =
            [token.requested, token.granted, token.denied].map(truncate_scopes);
        let denied = Some(denied).filter(|denied| !denied.is_empty());
        let IssuedTokenEntry { id, is_stale: stale, .. } = token;
        macro_rules! log_line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    user, client, network, host, requested, granted, denied, id, stale, request_id,
                    suppressed, $text
                )
            };
        }
        if is_narrower {
            log_line!(info, "token issued without all that was requested");
        } else if token.is_stale || front.is_allowed_logged() {
            log_line!(info, "token issued");
        } else {
            log_line!(debug, "token issued");
        }
    }
}
