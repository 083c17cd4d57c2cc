//! What a line about one verdict says.

use std::net::IpAddr;

use crate::http::AppState;
use crate::http::response::TokenRequestError;
use crate::http::subrequest::ReceivedSubrequest;
use crate::network::ClientNetwork;
use crate::pipeline::verdict::{Reason, Verdict};
use crate::request::header::RequestHeader;

/// Characters of a client's value that a line shows; escaped, each may become ten bytes.
const VALUE_SHOWN_MAX: usize = 100;

/// What was asked, where it is not what the proxy's headers say.
#[derive(Clone, Copy)]
pub(in crate::http) struct RequestLine<'s> {
    /// The method.
    pub(in crate::http) method: &'s str,
    /// The path.
    pub(in crate::http) path: &'s str,
}

/// What became of a request, as the log has it.
pub(in crate::http) struct VerdictLogEntry {
    /// The verdict and its reason.
    pub(super) reason: Reason,
    /// What there is to say besides; empty for nothing.
    pub(super) detail: String,
    /// The user, if it is another than the one whom the credentials name.
    user: Option<Box<[u8]>>,
    /// Whether it is allowed by the last answer of an authenticator that could not be asked.
    is_stale: bool,
}

impl VerdictLogEntry {
    /// Of a request to `/auth`.
    pub(super) fn from_verdict(verdict: &Verdict) -> Self {
        let (user, is_stale) = match verdict {
            Verdict::Allow(grant) => {
                let user = grant.identity().map_or(&b""[..], |identity| identity.user.as_bytes());
                (Some(user.into()), grant.is_stale())
            }
            Verdict::Challenge(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoUpstreamCredentials(_) => (None, false),
        };
        Self { reason: verdict.to_reason(), detail: verdict.detail(), user, is_stale }
    }

    /// Of a request to `/token` that was answered without a token.
    pub(super) fn from_token_error(fault: &TokenRequestError) -> Self {
        Self { reason: fault.to_reason(), detail: fault.detail(), user: None, is_stale: false }
    }
}

/// Returns whether a request with this answer came from a proxy that may ask.
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

/// What a line says. Values of the client's are cut here, and escaped once, where they are written.
pub(super) struct VerdictLogLine {
    pub(super) user: String,
    pub(super) client: String,
    pub(super) network: ClientNetwork,
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) request_id: String,
}

/// As much of a client's value as a line shows.
fn truncate(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(VALUE_SHOWN_MAX).collect()
}

/// The same of a header; nothing of one that is not there once.
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
        front: &AppState,
        received: &ReceivedSubrequest<'_>,
        seen: Option<RequestLine<'_>>,
        reason: Reason,
        user: Option<&[u8]>,
    ) -> Self {
        let request = &received.subrequest;
        // Of an untrusted peer's headers none is believed; the address is its own.
        let client = if is_from_trusted_proxy(reason) {
            request.client_address().ok().flatten()
        } else {
            request.peer
        };
        let (method, path) = match seen {
            Some(seen) => (truncate(seen.method.as_bytes()), truncate(seen.path.as_bytes())),
            None => (header_for_log(request.method), header_for_log(without_query(request.uri))),
        };
        Self {
            // Of a token the name stands in it, and not in a password.
            user: truncate(user.unwrap_or_else(|| request.user())),
            client: address_for_log(client),
            network: ClientNetwork::from_address(client, front.prefixes),
            method,
            host: header_for_log(request.host),
            path,
            request_id: received.request_id.map(|id| truncate(id.as_bytes())).unwrap_or_default(),
        }
    }

    /// The same for what became of a request.
    pub(super) fn for_entry(
        front: &AppState,
        received: &ReceivedSubrequest<'_>,
        seen: Option<RequestLine<'_>>,
        entry: &VerdictLogEntry,
    ) -> Self {
        Self::new(front, received, seen, entry.reason, entry.user.as_deref())
    }

    pub(super) fn write(&self, entry: &VerdictLogEntry, suppressed: u64) {
        let (name, reason) = (entry.reason.verdict_name(), entry.reason.name());
        // Left out of the line where there is none.
        let detail = Some(&*entry.detail).filter(|detail| !detail.is_empty());
        let Self { user, client, network, method, host, path, request_id } = self;
        let network = network.to_string();
        macro_rules! log_line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    verdict = name,
                    reason,
                    detail,
                    user,
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
            Reason::Allowed if entry.is_stale => log_line!(warn, "allowed by its last answer, stale=true"),
            Reason::Allowed => log_line!(info, "allowed"),
            Reason::NoCredentials => log_line!(debug, "refused"),
            Reason::AuthenticatorUnavailable | Reason::TokenSigning | Reason::UpstreamCredentials => {
                log_line!(error, "refused")
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
            | Reason::RefreshToken => log_line!(warn, "refused"),
        }
    }
}

/// The URI without its query, which may hold a token.
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
