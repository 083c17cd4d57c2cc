//! The client's request as the proxy describes it. It is parsed once; the policy, the upstream selection, the
//! log and the challenge share the result.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::registry::{self, RegistryRequest};
use super::site;

/// What the proxy says of the backend that the request goes to (`X-Auth-Rewrite`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeclaredUpstream {
    /// The proxy does not say.
    #[default]
    Unspecified,
    /// A registry. The proxy asks it for what `X-Upstream-URI` says.
    Registry,
    /// Not a registry.
    Other,
}

/// The client's request. Each part is parsed when it is first needed, and never twice.
#[derive(Debug)]
pub struct OriginalRequest<'r> {
    /// The method.
    pub method: &'r str,
    /// The URI as the client sent it.
    pub uri: &'r str,
    /// The host by which the proxy chose its server.
    pub host: &'r str,
    /// The `Content-Type`; empty if there is none.
    pub content_type: &'r str,
    /// What the proxy says of the backend.
    pub declared_upstream: DeclaredUpstream,
    host_name: OnceLock<Result<Cow<'r, str>, &'static str>>,
    registry_request: OnceLock<Result<RegistryRequest<'r>, &'static str>>,
    path_segments: OnceLock<Result<Vec<Cow<'r, str>>, &'static str>>,
}

impl<'r> OriginalRequest<'r> {
    /// Creates the request from its parts. Nothing is parsed yet.
    pub fn new(
        method: &'r str,
        uri: &'r str,
        host: &'r str,
        content_type: &'r str,
        backend: DeclaredUpstream,
    ) -> Self {
        let (name, asked, segments) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self {
            method,
            uri,
            host,
            content_type,
            declared_upstream: backend,
            host_name: name,
            registry_request: asked,
            path_segments: segments,
        }
    }

    /// Whether the proxy asks the backend for what `X-Upstream-URI` says.
    pub fn has_uri_rewrite(&self) -> bool {
        self.declared_upstream == DeclaredUpstream::Registry
    }

    /// Returns the host in lower case, without port and final dot.
    ///
    /// # Errors
    /// If it is not a host name or an address.
    pub fn host_name(&self) -> Result<&str, &'static str> {
        self.host_name.get_or_init(|| site::normalize_host(self.host)).as_deref().map_err(|why| *why)
    }

    /// Returns what the request does at a registry.
    ///
    /// # Errors
    /// Why the request cannot be read as one of the registry protocol.
    pub fn registry_request(&self) -> Result<&RegistryRequest<'r>, &'static str> {
        let read = || registry::parse_request(self.method, self.uri, self.content_type);
        self.registry_request.get_or_init(read).as_ref().map_err(|why| *why)
    }

    /// Returns the segments of the path, as a site reads it.
    ///
    /// # Errors
    /// Why the path cannot be read in one way only.
    pub fn path_segments(&self) -> Result<&[Cow<'r, str>], &'static str> {
        self.path_segments.get_or_init(|| site::parse_path_segments(self.uri)).as_deref().map_err(|why| *why)
    }
}

/// Checks that a URI is `/v2` or below `/v2/`, whichever way a server reads it.
///
/// The proxy chooses the location by the decoded and normalised path, and passes the URI on as the client sent
/// it. A registry that routes by the raw path would serve something else. So every spelling is refused that a
/// proxy or a server could resolve to another path: dot segments, empty segments, a backslash, a semicolon, each
/// of these encoded too, and what is encoded twice. No registry client sends any of them. The query is not looked
/// at: it does not change the path.
///
/// # Errors
/// What is wrong with the path.
pub fn check_below_v2(uri: &[u8]) -> Result<(), &'static str> {
    const OUTSIDE: &str = "the path does not begin with /v2/";
    let rest = uri.strip_prefix(b"/v2").ok_or(OUTSIDE)?;
    if !matches!(rest.first(), None | Some(b'/' | b'?')) {
        return Err(OUTSIDE);
    }
    // Of the segment that is being read: how long it is, and whether it consists of dots.
    let (mut length, mut dots) = (1_usize, false);
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b'?' => break,
            b'%' => match (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit)) {
                (Some(high), Some(low)) if !b"%?".contains(&(high << 4 | low)) => high << 4 | low,
                (Some(_), Some(_)) => {
                    return Err("the path is encoded twice, or has an encoded question mark");
                }
                (Some(_) | None, _) => return Err("the path has a % that encodes nothing"),
            },
            plain => plain,
        };
        match byte {
            b'/' if length == 0 => return Err("the path has two slashes in a row"),
            b'/' if dots => return Err("the path has a dot segment"),
            b'/' => (length, dots) = (0, true),
            b';' | b'\\' | b'#' => return Err("the path has a semicolon, a backslash or a #"),
            b'!'..=b'~' => (length, dots) = (length + 1, dots && byte == b'.'),
            _ => return Err("the path has a character that no path of a registry has"),
        }
    }
    if length > 0 && dots { Err("the path has a dot segment") } else { Ok(()) }
}

fn hex_digit(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_registry_clients_are_accepted() {
        for uri in [
            "/v2",
            "/v2/",
            "/v2?n=1",
            "/v2/_catalog?n=100&last=a%2Fb/../c;d",
            "/v2/team/app/manifests/v1.0..rc",
            "/v2/team/app/manifests/sha256:0123",
            "/v2/team/app/manifests/sha256%3A0123",
            "/v2/team%2Fapp/manifests/v1%2E0",
            "/v2/team/app.x/blobs/uploads/",
            "/v2/team/app/blobs/uploads/01-ab?_state=x%2F..%2Fy",
        ] {
            assert_eq!(check_below_v2(uri.as_bytes()), Ok(()), "{uri}");
        }
    }

    #[test]
    fn ambiguous_path_below_v2_is_rejected_field_r1() {
        for uri in [
            "",
            "*",
            "?",
            "/",
            "/v1/",
            "/v20/",
            "/v2x",
            "/V2/",
            "//v2/",
            "/./v2/",
            "/api/admin/%2e%2e/%2e%2e/v2/",
            "/api/admin/../../v2/",
            "/%76%32/",
            "/v2%2f",
            "/v2;/",
            "/v2/../api",
            "/v2/..",
            "/v2/.",
            "/v2/./",
            "/v2/a/.../b",
            "/v2/a/..?x",
            "/v2/%2e%2e/api",
            "/v2/%2E./api",
            "/v2/.%2e/api",
            "/v2/..%2fapi",
            "/v2/a%2F..%2Fapi",
            "/v2/a%2F%2Fapi",
            "/v2/a/%2Fapi",
            "/v2/a%2F/api",
            "/v2/a%2F%2e",
            "/v2/a%2F%2E%2e?x",
            "/v2/a%3F/../b",
            "/v2/%252e%252e/api",
            "/v2//a",
            "/v2//",
            "/v2/a//b",
            "/v2/..;/api",
            "/v2/a;b/c",
            "/v2/a%3Bb",
            "/v2\\..\\api",
            "/v2/%5c../api",
            "/v2/a#/../b",
            "/v2/%23",
            "/v2/%",
            "/v2/%2",
            "/v2/%zz",
            "/v2/%+1",
            "/v2/%00",
            "/v2/%0a",
            "/v2/%c0%ae%c0%ae/api",
            "/v2/\u{ff0e}\u{ff0e}/api",
            "/v2/a b",
            "/v2/\t",
        ] {
            assert!(check_below_v2(uri.as_bytes()).is_err(), "{uri}");
        }
    }
}
