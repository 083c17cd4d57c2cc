//! The client's request as the proxy describes it. It is parsed once, and the policy, the upstream selection and the
//! challenge share the result.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::registry::{self, RegistryRequest};
use super::site;
use crate::permissions::host::normalize_host;

/// The kind of upstream that the proxy declares in `X-Auth-Rewrite`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeclaredUpstream {
    /// The proxy does not declare it.
    #[default]
    Unspecified,
    /// The upstream is a registry. The proxy sends it the URI of `X-Upstream-URI` instead of the client's URI.
    Registry,
    /// The upstream is not a registry.
    Other,
}

/// The client's request. Each part is parsed when it is first needed, and never twice.
#[derive(Debug)]
pub(crate) struct OriginalRequest<'r> {
    /// The method.
    pub(crate) method: &'r str,
    /// The URI as the client sent it.
    pub(crate) uri: &'r str,
    /// The host by which the proxy chose its server.
    pub(crate) host: &'r str,
    /// The `Content-Type`; empty if there is none.
    pub(crate) content_type: &'r str,
    /// The kind of upstream that the proxy declares.
    pub(crate) declared_upstream: DeclaredUpstream,
    host_name: OnceLock<Result<Cow<'r, str>, &'static str>>,
    registry_request: OnceLock<Result<RegistryRequest<'r>, &'static str>>,
    path_segments: OnceLock<Result<Vec<Cow<'r, str>>, &'static str>>,
}

impl<'r> OriginalRequest<'r> {
    /// Creates the request from its parts. Nothing is parsed yet.
    pub(crate) fn new(
        method: &'r str,
        uri: &'r str,
        host: &'r str,
        content_type: &'r str,
        declared_upstream: DeclaredUpstream,
    ) -> Self {
        Self {
            method,
            uri,
            host,
            content_type,
            declared_upstream,
            host_name: OnceLock::new(),
            registry_request: OnceLock::new(),
            path_segments: OnceLock::new(),
        }
    }

    /// Returns true if the proxy sends the URI of `X-Upstream-URI` to the upstream.
    pub(crate) fn has_uri_rewrite(&self) -> bool {
        self.declared_upstream == DeclaredUpstream::Registry
    }

    /// Returns the host in lower case, without port and trailing dot.
    ///
    /// # Errors
    /// Returns an error if it is neither a host name nor an IP address.
    pub(crate) fn host_name(&self) -> Result<&str, &'static str> {
        self.host_name.get_or_init(|| normalize_host(self.host)).as_deref().map_err(|error| *error)
    }

    /// Returns the request in terms of the registry protocol.
    ///
    /// # Errors
    /// Returns the reason if the request does not follow the registry protocol.
    pub(crate) fn registry_request(&self) -> Result<&RegistryRequest<'r>, &'static str> {
        let parse = || registry::parse_request(self.method, self.uri, self.content_type);
        self.registry_request.get_or_init(parse).as_ref().map_err(|error| *error)
    }

    /// Returns the segments of the path of a site.
    ///
    /// # Errors
    /// Returns the reason if two programs could read the path differently.
    pub(crate) fn path_segments(&self) -> Result<&[Cow<'r, str>], &'static str> {
        let parse = || site::parse_path_segments(self.uri);
        self.path_segments.get_or_init(parse).as_deref().map_err(|error| *error)
    }
}

/// Checks that a URI is `/v2` or below `/v2/` for every server that could read it.
///
/// The proxy selects the location by the decoded and normalized path, but passes on the URI as the client sent it. A
/// registry that routes by the raw path would serve another resource. Therefore every path is rejected that a proxy or
/// server could resolve to another one. Rejected are dot segments, empty segments, backslashes and semicolons, also in
/// encoded form, and double encoding. No registry client sends any of them. The query is not checked: it does not
/// change the path.
///
/// # Errors
/// Returns the first error in the path.
pub(crate) fn check_below_v2(uri: &[u8]) -> Result<(), &'static str> {
    const OUTSIDE: &str = "the path does not begin with /v2/";
    let rest = uri.strip_prefix(b"/v2").ok_or(OUTSIDE)?;
    if !matches!(rest.first(), None | Some(b'/' | b'?')) {
        return Err(OUTSIDE);
    }
    // The length of the current segment, and whether it consists of dots.
    let (mut length, mut is_dots) = (1_usize, false);
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b'?' => break,
            b'%' => match (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit)) {
                (Some(high), Some(low)) if !b"%?".contains(&(high << 4 | low)) => high << 4 | low,
                (Some(_), Some(_)) => {
                    return Err("the path is percent-encoded twice, or has an encoded question mark");
                }
                (Some(_) | None, _) => return Err("the path has an invalid percent-encoding"),
            },
            plain => plain,
        };
        match byte {
            b'/' if length == 0 => return Err("the path has two consecutive slashes"),
            b'/' if is_dots => return Err("the path has a dot segment"),
            b'/' => (length, is_dots) = (0, true),
            b';' | b'\\' | b'#' => return Err("the path has a semicolon, a backslash or a #"),
            b'!'..=b'~' => (length, is_dots) = (length + 1, is_dots && byte == b'.'),
            _ => return Err("the path has a character that is not valid in the path of a registry"),
        }
    }
    if length > 0 && is_dots { Err("the path has a dot segment") } else { Ok(()) }
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
