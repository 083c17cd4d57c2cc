//! The nginx dialect: converts the headers of nginx's subrequest to a [`Subrequest`].
//!
//! The contract is closed. A header is *read*, *conflicting* or *ignored*. Only headers that the nginx configuration
//! of doorward sets on every subrequest are read. A conflicting header is sent only by other types of proxies, or by
//! a client whose headers the proxy passes on.
//!
//! A repeated header that is read makes the subrequest invalid, and so does a conflicting header. Either one proves
//! that some headers do not come from nginx. This applies with and without a policy. Only two headers differ: a
//! repeated `Authorization` is unreadable, and a repeated `X-Auth-Proxy-Secret` matches no secret.
//!
//! | header | |
//! |---|---|
//! | `Authorization`, `X-Auth-Proxy-Secret`, `X-Real-IP`, `X-Request-ID`, `X-Original-URI`, `X-Original-Method`, `X-Original-Host`, `X-Original-Content-Type`, `X-Auth-Rewrite` | read |
//! | [`CONFLICTING`] | conflicting |
//! | all others, including `X-Forwarded-For`, `-Host`, `-Proto` and `-Port` | ignored |
//!
//! All headers are read in one pass, which costs less than one lookup for each of them.

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderName, HeaderValue};

use super::AppState;
use super::peer::Peer;
use crate::pipeline::verdict::Verdict;
use crate::policy::denial::Denied;
use crate::request::header::RequestHeader;
use crate::request::original::DeclaredUpstream;
use crate::request::subrequest::Subrequest;
use crate::request::subrequest::{ClientAddress, HeaderNames, ProxyHeaderError, ProxyHeaderErrorKind};

/// The header with the value of nginx's `$request_id`.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The value that nginx sends as `$remote_addr` of a client on a unix socket; see [`ClientAddress::UnixSocket`].
const UNIX_CLIENT: &[u8] = b"unix:";

/// The prefix that the nginx configuration adds to the content type. It distinguishes an empty value from a missing
/// header.
const CONTENT_TYPE_PREFIX: &[u8] = b"ct:";

/// Maximum length of an echoed `X-Request-ID`, in bytes. The value of nginx has 32.
const REQUEST_ID_MAX: usize = 128;

/// Header names in messages, for headers that [`HeaderNames`] does not contain.
const REQUEST_ID_NAME: &str = "X-Request-ID";
const AUTH_REWRITE_NAME: &str = "X-Auth-Rewrite";

/// Headers in which other proxies describe the original request: Traefik and Caddy (`X-Forwarded-Method`,
/// `X-Forwarded-Uri`), ingress-nginx (`X-Original-URL`, `X-Sent-From`, `X-Auth-Request-Redirect`), Envoy
/// (`X-Envoy-Original-Path`), and IIS, Symfony and others (`X-Rewrite-URL`). Each is listed in lower case, and in the
/// form for messages.
pub const CONFLICTING: [(&str, &str); 7] = [
    ("x-original-url", "X-Original-URL"),
    ("x-forwarded-uri", "X-Forwarded-Uri"),
    ("x-forwarded-method", "X-Forwarded-Method"),
    ("x-sent-from", "X-Sent-From"),
    ("x-auth-request-redirect", "X-Auth-Request-Redirect"),
    ("x-envoy-original-path", "X-Envoy-Original-Path"),
    ("x-rewrite-url", "X-Rewrite-URL"),
];

/// The parsed headers of one subrequest. `V` is the type of a header value.
#[derive(Debug)]
pub struct NginxHeaders<'r, V = &'r [u8]> {
    subrequest: Subrequest<'r>,
    proxy_secret: RequestHeader<'r>,
    auth_rewrite: RequestHeader<'r>,
    request_id: Option<V>,
    error: Option<ProxyHeaderError>,
}

impl<'r, V: AsRef<[u8]> + ?Sized> NginxHeaders<'r, &'r V> {
    /// Parses headers, whose names must be in lower case. A value of more than `value_bytes_max` bytes is invalid.
    pub fn parse(headers: impl Iterator<Item = (&'r str, &'r V)>, value_bytes_max: usize) -> Self {
        let mut parsed = Self {
            subrequest: Subrequest::default(),
            proxy_secret: RequestHeader::Absent,
            auth_rewrite: RequestHeader::Absent,
            request_id: None,
            error: None,
        };
        for (name, value) in headers {
            // All headers that are read or conflicting start with one of these letters.
            if matches!(name.as_bytes().first(), Some(b'x' | b'a')) {
                parsed.read_header(name, value, value_bytes_max);
            }
        }
        parsed.resolve_values();
        parsed
    }

    #[inline]
    fn read_header(&mut self, name: &str, raw_value: &'r V, value_bytes_max: usize) {
        let (subrequest, value) = (&mut self.subrequest, raw_value.as_ref());
        let (slot, display_name) = match name {
            "x-real-ip" => return self.read_client_address(value),
            "x-request-id" => {
                if self.request_id.replace(raw_value).is_some() {
                    self.record_error(REQUEST_ID_NAME, ProxyHeaderErrorKind::Repeated);
                }
                return;
            }
            "authorization" => (&mut subrequest.authorization, None),
            "x-auth-proxy-secret" => (&mut self.proxy_secret, None),
            "x-original-uri" => (&mut subrequest.uri, Some(HeaderNames::NGINX.uri)),
            "x-original-method" => (&mut subrequest.method, Some(HeaderNames::NGINX.method)),
            "x-original-host" => (&mut subrequest.host, Some(HeaderNames::NGINX.host)),
            "x-original-content-type" => {
                (&mut subrequest.content_type, Some(HeaderNames::NGINX.content_type))
            }
            "x-auth-rewrite" => (&mut self.auth_rewrite, Some(AUTH_REWRITE_NAME)),
            other => {
                if let Some((_, display_name)) = CONFLICTING.iter().find(|(name, _)| *name == other) {
                    self.record_error(display_name, ProxyHeaderErrorKind::Conflicting);
                }
                return;
            }
        };
        if *slot == RequestHeader::Absent {
            *slot = if value.len() <= value_bytes_max {
                RequestHeader::Once(value)
            } else {
                RequestHeader::Invalid
            };
            return;
        }
        *slot = RequestHeader::Repeated;
        // The headers without a display name are those whose repetition is not an error here.
        if let Some(display_name) = display_name {
            self.record_error(display_name, ProxyHeaderErrorKind::Repeated);
        }
    }

    fn read_client_address(&mut self, value: &'r [u8]) {
        if self.subrequest.client != ClientAddress::Missing {
            self.record_error(HeaderNames::NGINX.client, ProxyHeaderErrorKind::Repeated);
        }
        self.subrequest.client =
            if value == UNIX_CLIENT { ClientAddress::UnixSocket } else { ClientAddress::Text(value) };
    }

    /// Interprets the values of the content type and `X-Auth-Rewrite`, after all headers were read.
    fn resolve_values(&mut self) {
        if let RequestHeader::Once(value) = self.subrequest.content_type {
            self.subrequest.content_type =
                value.strip_prefix(CONTENT_TYPE_PREFIX).map_or(RequestHeader::Invalid, RequestHeader::Once);
        }
        self.subrequest.declared_upstream = match self.auth_rewrite {
            RequestHeader::Absent => DeclaredUpstream::Unspecified,
            RequestHeader::Once(b"yes") => DeclaredUpstream::Registry,
            RequestHeader::Once(b"no" | b"") => DeclaredUpstream::Other,
            RequestHeader::Once(_) | RequestHeader::Repeated | RequestHeader::Invalid => {
                self.record_error(AUTH_REWRITE_NAME, ProxyHeaderErrorKind::Invalid);
                DeclaredUpstream::Unspecified
            }
        };
    }

    /// Records an error. If there are several, the first is kept.
    fn record_error(&mut self, header: &'static str, error: ProxyHeaderErrorKind) {
        self.error = self.error.or(Some(ProxyHeaderError { header, kind: error }));
    }

    /// Returns the subrequest if its headers fulfill the contract. It does not contain the peer yet.
    ///
    /// # Errors
    /// Returns the first header that breaks the contract.
    pub fn into_subrequest(self) -> Result<Subrequest<'r>, ProxyHeaderError> {
        match self.error {
            None => Ok(self.subrequest),
            Some(error) => Err(error),
        }
    }
}

/// A subrequest as it arrived, and the error that prevents its evaluation.
pub(super) struct ReceivedSubrequest<'r> {
    /// The values of the headers.
    pub(super) subrequest: Subrequest<'r>,
    /// The value that is echoed as `X-Request-ID`.
    pub(super) request_id: Option<&'r HeaderValue>,
    error: Option<ProxyHeaderError>,
}

impl<'r> ReceivedSubrequest<'r> {
    /// Reads the headers of a request from `peer`.
    pub(super) fn from_headers(state: &AppState, headers: &'r HeaderMap, peer: Option<&Peer>) -> Self {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value));
        let NginxHeaders { mut subrequest, proxy_secret: secret, request_id, error, .. } =
            NginxHeaders::parse(pairs, state.header_bytes_max);
        subrequest.peer = peer.and_then(|peer| peer.address);
        subrequest.has_proxy_secret =
            state.proxy_secret.as_ref().is_none_or(|expected| expected.is_matched_by(secret));
        Self { subrequest, request_id, error }
    }

    /// Returns the subrequest if `/auth` may evaluate it. The peer must have sent the proxy secret if
    /// one is required, and the headers must conform to the contract.
    ///
    /// # Errors
    /// Returns the verdict that denies the request.
    pub(super) fn for_auth(&self) -> Result<&Subrequest<'r>, Verdict> {
        self.checked_subrequest(true)
    }

    /// Returns the subrequest if `/token` may evaluate it. The proxy secret is not required, because `/token` returns
    /// no upstream credentials.
    ///
    /// # Errors
    /// Returns the verdict that denies the request.
    pub(super) fn for_token(&self) -> Result<&Subrequest<'r>, Verdict> {
        self.checked_subrequest(false)
    }

    fn checked_subrequest(&self, needs_secret: bool) -> Result<&Subrequest<'r>, Verdict> {
        let denied = if needs_secret && !self.subrequest.has_proxy_secret {
            Denied::ProxySecretMissing
        } else if let Some(error) = self.error {
            Denied::InvalidProxyHeaders(error)
        } else {
            return Ok(&self.subrequest);
        };
        Err(Verdict::Forbid(denied))
    }
}

/// Returns the value of a header that is not part of the contract.
pub(super) fn single_header<'r>(
    headers: &'r HeaderMap,
    name: impl AsHeaderName,
    value_bytes_max: usize,
) -> RequestHeader<'r> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => RequestHeader::Absent,
        (Some(value), None) if value.len() <= value_bytes_max => RequestHeader::Once(value.as_bytes()),
        (Some(_), None) => RequestHeader::Invalid,
        (Some(_), Some(_)) => RequestHeader::Repeated,
    }
}

/// Returns the `X-Request-ID` for the response, unless it is too long.
pub(super) fn echoed_request_id(id: Option<&HeaderValue>) -> Option<HeaderValue> {
    id.filter(|id| id.len() <= REQUEST_ID_MAX).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'r>(headers: &[(&'r str, &'r str)]) -> Result<Subrequest<'r>, ProxyHeaderError> {
        NginxHeaders::parse(headers.iter().map(|(name, value)| (*name, value.as_bytes())), 100)
            .into_subrequest()
    }

    #[test]
    fn repeated_header_is_reported_by_name() {
        for (name, display_name) in [
            ("x-real-ip", "X-Real-IP"),
            ("x-request-id", "X-Request-ID"),
            ("x-original-uri", "X-Original-URI"),
            ("x-original-method", "X-Original-Method"),
            ("x-original-host", "X-Original-Host"),
            ("x-original-content-type", "X-Original-Content-Type"),
            ("x-auth-rewrite", "X-Auth-Rewrite"),
        ] {
            for value in ["no", ""] {
                assert!(parse(&[(name, value)]).is_ok());
                let error = parse(&[(name, value), (name, value)]).unwrap_err();
                assert_eq!((error.header, error.kind), (display_name, ProxyHeaderErrorKind::Repeated));
            }
        }
        let twice = [("authorization", "Basic a"), ("authorization", "Basic a")];
        assert_eq!(parse(&twice).unwrap().authorization, RequestHeader::Repeated);
    }

    #[test]
    fn conflicting_header_is_reported_by_name_for_any_value() {
        for (name, display_name) in CONFLICTING {
            for value in ["", "/v2/", "GET", "https://a/b"] {
                let error = parse(&[("x-original-uri", "/v2/"), (name, value)]).unwrap_err();
                assert_eq!((error.header, error.kind), (display_name, ProxyHeaderErrorKind::Conflicting));
                assert_eq!(name, display_name.to_ascii_lowercase());
            }
        }
        for name in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "accept"]
        {
            assert!(parse(&[(name, "a"), (name, "b")]).is_ok(), "{name}");
        }
    }

    #[test]
    fn nginx_header_values_are_decoded() {
        let subrequest = parse(&[("x-real-ip", "unix:"), ("x-original-content-type", "ct:")]).unwrap();
        assert_eq!(
            (subrequest.client, subrequest.content_type),
            (ClientAddress::UnixSocket, RequestHeader::Once(b""))
        );
        let subrequest = parse(&[("x-real-ip", "1.2.3.4"), ("x-original-content-type", "a/b")]).unwrap();
        assert_eq!(subrequest.client, ClientAddress::Text(b"1.2.3.4"));
        assert_eq!(subrequest.content_type, RequestHeader::Invalid);
        let subrequest = parse(&[]).unwrap();
        assert_eq!(
            (subrequest.client, subrequest.content_type),
            (ClientAddress::Missing, RequestHeader::Absent)
        );
        for (value, backend) in [
            ("yes", DeclaredUpstream::Registry),
            ("no", DeclaredUpstream::Other),
            ("", DeclaredUpstream::Other),
        ] {
            assert_eq!(parse(&[("x-auth-rewrite", value)]).unwrap().declared_upstream, backend);
        }
        for value in ["YES", "yes,yes", "y", "1"] {
            assert_eq!(parse(&[("x-auth-rewrite", value)]).unwrap_err().header, "X-Auth-Rewrite");
        }
    }
}
