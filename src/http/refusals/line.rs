//! What a line about one verdict says.

use std::net::IpAddr;

use crate::http::Front;
use crate::http::reply::TokenFault;
use crate::http::subrequest::Received;
use crate::network::ClientNetwork;
use crate::pipeline::verdict::{Reason, Verdict};
use crate::request::header::Header;

/// Characters of a client's value that a line shows; escaped, each may become ten bytes.
const SHOWN_MAX: usize = 100;

/// What was asked, where it is not what the proxy's headers say.
#[derive(Clone, Copy)]
pub(in crate::http) struct Seen<'s> {
    /// The method.
    pub(in crate::http) method: &'s str,
    /// The path.
    pub(in crate::http) path: &'s str,
}

/// What became of a request, as the log has it.
pub(in crate::http) struct Entry {
    /// The verdict and its reason.
    pub(super) reason: Reason,
    /// What there is to say besides; empty for nothing.
    pub(super) detail: String,
    /// The user, if it is another than the one whom the credentials name.
    user: Option<Box<[u8]>>,
    /// Whether it is allowed by the last answer of an authenticator that could not be asked.
    is_stale: bool,
}

impl Entry {
    /// Of a request to `/auth`.
    pub(super) fn of_verdict(verdict: &Verdict) -> Self {
        let (user, is_stale) = match verdict {
            Verdict::Allow(grant) => {
                let user = grant.identity().map_or(&b""[..], |identity| identity.user.as_bytes());
                (Some(user.into()), grant.is_stale())
            }
            Verdict::Challenge(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoCredentials(_) => (None, false),
        };
        Self { reason: verdict.label(), detail: verdict.detail(), user, is_stale }
    }

    /// Of a request to `/token` that was answered without a token.
    pub(super) fn of_token_fault(fault: &TokenFault) -> Self {
        Self { reason: fault.label(), detail: fault.detail(), user: None, is_stale: false }
    }
}

/// Returns whether a request with this answer came from a proxy that may ask.
pub(super) fn is_of_proxy(reason: Reason) -> bool {
    match reason {
        Reason::Untrusted | Reason::ProxySecret => false,
        Reason::Allowed
        | Reason::Missing
        | Reason::Malformed
        | Reason::Scheme
        | Reason::Wrong
        | Reason::Key
        | Reason::Token
        | Reason::Scope
        | Reason::Denied
        | Reason::MalformedReference
        | Reason::Incomplete
        | Reason::Throttled
        | Reason::Busy
        | Reason::Unavailable
        | Reason::Signing
        | Reason::Upstream
        | Reason::TokenRequest
        | Reason::RefreshToken => true,
    }
}

/// What a line says. Values of the client's are cut here, and escaped once, where they are written.
pub(super) struct Line {
    pub(super) user: String,
    pub(super) client: String,
    pub(super) network: ClientNetwork,
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) request_id: String,
}

/// As much of a client's value as a line shows.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(SHOWN_MAX).collect()
}

/// The same of a header; nothing of one that is not there once.
pub(in crate::http) fn shown_header(header: Header<'_>) -> String {
    match header {
        Header::Once(value) => shown(value),
        Header::Absent | Header::Repeated | Header::Unreadable => String::new(),
    }
}

pub(super) fn shown_address(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

impl Line {
    pub(super) fn of(
        front: &Front,
        received: &Received<'_>,
        seen: Option<Seen<'_>>,
        reason: Reason,
        user: Option<&[u8]>,
    ) -> Self {
        let request = &received.subrequest;
        // Of an untrusted peer's headers none is believed; the address is its own.
        let client = if is_of_proxy(reason) { request.client().ok().flatten() } else { request.peer };
        let (method, path) = match seen {
            Some(seen) => (shown(seen.method.as_bytes()), shown(seen.path.as_bytes())),
            None => (shown_header(request.method), shown_header(path(request.uri))),
        };
        Self {
            // Of a token the name stands in it, and not in a password.
            user: shown(user.unwrap_or_else(|| request.user())),
            client: shown_address(client),
            network: ClientNetwork::of(client, front.prefixes),
            method,
            host: shown_header(request.host),
            path,
            request_id: received.request_id.map(|id| shown(id.as_bytes())).unwrap_or_default(),
        }
    }

    /// The same for what became of a request.
    pub(super) fn of_entry(
        front: &Front,
        received: &Received<'_>,
        seen: Option<Seen<'_>>,
        entry: &Entry,
    ) -> Self {
        Self::of(front, received, seen, entry.reason, entry.user.as_deref())
    }

    pub(super) fn write(&self, entry: &Entry, suppressed: u64) {
        let (name, reason) = (entry.reason.verdict(), entry.reason.name());
        // Left out of the line where there is none.
        let detail = Some(&*entry.detail).filter(|detail| !detail.is_empty());
        let Self { user, client, network, method, host, path, request_id } = self;
        let network = network.to_string();
        macro_rules! line {
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
            Reason::Allowed if entry.is_stale => line!(warn, "allowed by its last answer, stale=true"),
            Reason::Allowed => line!(info, "allowed"),
            Reason::Missing => line!(debug, "refused"),
            Reason::Unavailable | Reason::Signing | Reason::Upstream => line!(error, "refused"),
            Reason::Malformed
            | Reason::Scheme
            | Reason::Wrong
            | Reason::Key
            | Reason::Token
            | Reason::Scope
            | Reason::Denied
            | Reason::MalformedReference
            | Reason::Incomplete
            | Reason::Untrusted
            | Reason::ProxySecret
            | Reason::Throttled
            | Reason::Busy
            | Reason::TokenRequest
            | Reason::RefreshToken => line!(warn, "refused"),
        }
    }
}

/// The URI without its query, which may hold a token.
fn path(uri: Header<'_>) -> Header<'_> {
    match uri {
        Header::Once(uri) => Header::Once(uri.split(|b| *b == b'?').next().unwrap_or_default()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_no_line_break_of_the_clients() {
        assert_eq!(format!("{:?}", shown(b"a\nb\x1b[31m")), r#""a\nb\u{1b}[31m""#);
        assert!(shown(&[b'x'; 10_000]).len() <= SHOWN_MAX);
    }
}
