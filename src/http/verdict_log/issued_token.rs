//! The log line of an issued token: the requested, granted and denied scopes.
//!
//! A registry that verifies tokens itself denies requests without a call to doorward. If a user gets less than
//! requested, the token is therefore logged at level info, and within the budgets of denied requests. Any other token
//! is logged at level debug, or at level info with `log.allowed_requests`.

use std::hash::BuildHasher;

use super::VerdictLog;
use super::line::{RequestLine, VerdictLogLine, truncate_scopes};
use crate::http::AppState;
use crate::http::subrequest::ReceivedSubrequest;
use crate::pipeline::verdict::Reason;

/// The properties of an issued token that are logged.
pub(in crate::http) struct IssuedTokenEntry<'t> {
    /// The name of the user; empty for a client without credentials.
    pub(in crate::http) user: &'t [u8],
    /// The requested scopes, as they were sent.
    pub(in crate::http) requested: &'t str,
    /// The granted scopes.
    pub(in crate::http) granted: &'t str,
    /// The denied scopes.
    pub(in crate::http) denied: &'t str,
    /// The `jti` of the token.
    pub(in crate::http) id: &'t str,
    /// True if the token is based on the last answer of an unavailable authenticator.
    pub(in crate::http) is_stale: bool,
}

impl VerdictLog {
    /// Logs an issued token, unless the configuration or a budget suppresses the line.
    pub(in crate::http) fn log_issued_token(
        &self,
        state: &AppState,
        received: &ReceivedSubrequest<'_>,
        request_line: RequestLine<'_>,
        token: &IssuedTokenEntry<'_>,
    ) {
        let is_reduced = !token.denied.is_empty() && !token.user.is_empty();
        let is_notable = is_reduced || token.is_stale;
        if !is_notable && !state.is_allowed_logged() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let line =
            VerdictLogLine::new(state, received, Some(request_line), Reason::Allowed, Some(token.user));
        let suppressed = if is_notable {
            let reason = if is_reduced { Reason::Policy } else { Reason::Allowed };
            let cause = (&line.client, &line.user, &line.host, token.requested, token.denied);
            match self.decide(state, &line, reason, self.hasher.hash_one(cause)) {
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
            ($level:ident) => {
                tracing::$level!(
                    user,
                    client,
                    network,
                    host,
                    requested,
                    granted,
                    denied,
                    id,
                    stale,
                    request_id,
                    suppressed,
                    "token issued"
                )
            };
        }
        if is_notable || state.is_allowed_logged() {
            log_line!(info);
        } else {
            log_line!(debug);
        }
    }
}
