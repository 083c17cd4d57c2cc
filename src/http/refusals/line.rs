//! What a line about one verdict says.

use std::net::IpAddr;

use super::super::Front;
use super::super::subrequest::Received;
use super::is_of_proxy;
use crate::gate::credentials::Header;
use crate::gate::verdict::{Refusal, Verdict};
use crate::network::ClientNetwork;

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

/// What a line says. Values of the client's are cut here, and escaped once, where they are written.
pub(super) struct Line {
    pub(super) user: String,
    pub(super) client: String,
    pub(super) network: ClientNetwork,
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    request_id: String,
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
        verdict: &Verdict,
    ) -> Self {
        let request = &received.subrequest;
        // Of an untrusted peer's headers none is believed; the address is its own.
        let client = if is_of_proxy(verdict) { request.client().ok().flatten() } else { request.peer };
        // Of a token the name stands in it, and not in a password.
        let user = match verdict {
            Verdict::Allow(grant) => grant.identity().map_or(&b""[..], |identity| identity.user.as_bytes()),
            Verdict::Challenge(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoCredentials(_) => request.user(),
        };
        let (method, path) = match seen {
            Some(seen) => (shown(seen.method.as_bytes()), shown(seen.path.as_bytes())),
            None => (shown_header(request.method), shown_header(path(request.uri))),
        };
        Self {
            user: shown(user),
            client: shown_address(client),
            network: ClientNetwork::of(client, front.prefixes),
            method,
            host: shown_header(request.host),
            path,
            request_id: received.request_id.map(|id| shown(id.as_bytes())).unwrap_or_default(),
        }
    }

    pub(super) fn write(&self, verdict: &Verdict, suppressed: u64) {
        let (name, reason) = (verdict.name(), verdict.reason());
        let detail = verdict.detail();
        // Left out of the line where there is none.
        let detail = Some(&*detail).filter(|detail| !detail.is_empty());
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
        match verdict {
            Verdict::Allow(grant) if grant.is_stale() => {
                line!(warn, "allowed by its last answer, stale=true")
            }
            Verdict::Allow(_) => line!(info, "allowed"),
            Verdict::Challenge(Refusal::Missing) => line!(debug, "refused"),
            Verdict::Unavailable(_) | Verdict::NoCredentials(_) => line!(error, "refused"),
            Verdict::Challenge(_) | Verdict::Forbid(_) | Verdict::Limited(_) => line!(warn, "refused"),
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
