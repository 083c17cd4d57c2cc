//! The fields of a log line about one verdict.

use std::net::IpAddr;

use crate::http::AppState;
use crate::http::response::TokenRequestError;
use crate::http::subrequest::ReceivedSubrequest;
use crate::network::ClientNetwork;
use crate::pipeline::verdict::{Reason, Verdict};
use crate::request::header::RequestHeader;

/// Maximum number of logged characters of a client value. An escaped character can take ten bytes.
const VALUE_SHOWN_MAX: usize = 100;

/// Maximum number of logged characters of a list of scopes: enough for a push with a few mounts.
const SCOPES_SHOWN_MAX: usize = 400;

/// The method and path of a request that the headers of the proxy do not describe.
#[derive(Clone, Copy)]
pub(in crate::http) struct RequestLine<'s> {
    /// The method.
    pub(in crate::http) method: &'s str,
    /// The path.
    pub(in crate::http) path: &'s str,
}

/// The result of a request, for the log.
pub(in crate::http) struct VerdictLogEntry {
    /// The reason, which also names the verdict.
    pub(super) reason: Reason,
    /// The detail that is added to the reason; empty if there is none.
    pub(super) detail: String,
    /// The scope that the policy or the token does not permit, if the request is for a registry.
    scope: Option<String>,
    /// The name of the user, if it can differ from the name in the credentials.
    user: Option<Box<[u8]>>,
    /// True if the request is allowed by the last answer of an unavailable authenticator.
    is_stale: bool,
}

impl VerdictLogEntry {
    /// Creates the entry of a request to `/auth`.
    pub(super) fn from_verdict(verdict: &Verdict) -> Self {
        let (user, is_stale) = match verdict {
            Verdict::Allow(allowed) => {
                let user = allowed.identity().map_or(&b""[..], |identity| identity.user.as_bytes());
                (Some(user.into()), allowed.is_stale())
            }
            Verdict::Challenge(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoUpstreamCredentials(_) => (None, false),
        };
        Self { reason: verdict.to_reason(), detail: verdict.detail(), scope: verdict.scope(), user, is_stale }
    }

    /// Creates the entry of a request to `/token` that got no token.
    pub(super) fn from_token_error(error: &TokenRequestError) -> Self {
        Self { reason: error.to_reason(), detail: error.detail(), scope: None, user: None, is_stale: false }
    }
}

/// Returns true if a request with this result came from a trusted proxy.
pub(super) fn is_from_trusted_proxy(reason: Reason) -> bool {
    match reason {
        Reason::ProxySecret => false,
        Reason::Allowed
        | Reason::NoCredentials
        | Reason::MalformedCredentials
        | Reason::UnsupportedScheme
        | Reason::WrongCredentials
        | Reason::InvalidApiKey
        | Reason::InvalidToken
        | Reason::InsufficientScope
        | Reason::Policy
        | Reason::MalformedReference
        | Reason::InvalidProxyHeaders
        | Reason::Throttled
        | Reason::Busy
        | Reason::AuthenticatorUnavailable
        | Reason::TokenSigning
        | Reason::UpstreamCredentials
        | Reason::TokenRequest
        | Reason::RefreshToken => true,
    }
}

/// The fields of a log line. Values of the client are truncated here. The log format escapes them.
pub(super) struct VerdictLogLine {
    pub(super) user: String,
    pub(super) client: String,
    pub(super) network: ClientNetwork,
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) request_id: String,
}

/// Returns the logged part of a client value.
fn truncate(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(VALUE_SHOWN_MAX).collect()
}

/// Returns the logged part of a list of scopes.
pub(super) fn truncate_scopes(list: &str) -> String {
    let mut shown: String = list.chars().take(SCOPES_SHOWN_MAX).collect();
    if shown.len() < list.len() {
        shown.push('…');
    }
    shown
}

/// Returns the logged part of a header; empty unless the header occurs exactly once.
pub(in crate::http) fn header_for_log(header: RequestHeader<'_>) -> String {
    match header {
        RequestHeader::Once(value) => truncate(value),
        RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid => String::new(),
    }
}

pub(super) fn address_for_log(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

impl VerdictLogLine {
    pub(super) fn new(
        state: &AppState,
        received: &ReceivedSubrequest<'_>,
        request_line: Option<RequestLine<'_>>,
        reason: Reason,
        user: Option<&[u8]>,
    ) -> Self {
        let request = &received.subrequest;
        // The headers of an untrusted peer are ignored, so the client is the peer itself.
        let client = if is_from_trusted_proxy(reason) {
            request.client_address().ok().flatten()
        } else {
            request.peer
        };
        let (method, path) = match request_line {
            Some(request_line) => {
                (truncate(request_line.method.as_bytes()), truncate(request_line.path.as_bytes()))
            }
            None => (header_for_log(request.method), header_for_log(without_query(request.uri))),
        };
        Self {
            // A token contains the user name; the credentials of the request do not.
            user: truncate(user.unwrap_or_else(|| request.user())),
            client: address_for_log(client),
            network: ClientNetwork::from_address(client, state.prefixes),
            method,
            host: header_for_log(request.host),
            path,
            request_id: received.request_id.map(|id| truncate(id.as_bytes())).unwrap_or_default(),
        }
    }

    /// Creates the line of a denied or allowed request.
    pub(super) fn for_entry(
        state: &AppState,
        received: &ReceivedSubrequest<'_>,
        request_line: Option<RequestLine<'_>>,
        entry: &VerdictLogEntry,
    ) -> Self {
        Self::new(state, received, request_line, entry.reason, entry.user.as_deref())
    }

    pub(super) fn write(&self, entry: &VerdictLogEntry, suppressed: u64) {
        let (name, reason) = (entry.reason.verdict_name(), entry.reason.name());
        // A field without a value is omitted.
        let detail = Some(&*entry.detail).filter(|detail| !detail.is_empty());
        let scope = entry.scope.as_deref().map(truncate_scopes);
        let Self { user, client, network, method, host, path, request_id } = self;
        let network = network.to_string();
        macro_rules! log_line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    verdict = name,
                    reason,
                    detail,
                    user,
                    scope,
                    client,
                    network,
                    method,
                    host,
                    path,
                    request_id,
                    suppressed,
                    $text
                )
            };
        }
        match entry.reason {
            Reason::Allowed if entry.is_stale => log_line!(warn, "request allowed by stale answer"),
            Reason::Allowed => log_line!(info, "request allowed"),
            Reason::NoCredentials => log_line!(debug, "request denied"),
            Reason::AuthenticatorUnavailable | Reason::TokenSigning | Reason::UpstreamCredentials => {
                log_line!(error, "request denied")
            }
            Reason::MalformedCredentials
            | Reason::UnsupportedScheme
            | Reason::WrongCredentials
            | Reason::InvalidApiKey
            | Reason::InvalidToken
            | Reason::InsufficientScope
            | Reason::Policy
            | Reason::MalformedReference
            | Reason::InvalidProxyHeaders
            | Reason::ProxySecret
            | Reason::Throttled
            | Reason::Busy
            | Reason::TokenRequest
            | Reason::RefreshToken => log_line!(warn, "request denied"),
        }
    }
}

/// Removes the query of a URI, which can contain a token.
fn without_query(uri: RequestHeader<'_>) -> RequestHeader<'_> {
    match uri {
        RequestHeader::Once(uri) => RequestHeader::Once(uri.split(|b| *b == b'?').next().unwrap_or_default()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_value_is_truncated_and_line_breaks_are_escaped() {
        assert_eq!(format!("{:?}", truncate(b"a\nb\x1b[31m")), r#""a\nb\u{1b}[31m""#);
        assert!(truncate(&[b'x'; 10_000]).len() <= VALUE_SHOWN_MAX);
    }
}
