//! The nginx dialect: from the headers of nginx's subrequest to a [`Subrequest`].
//!
//! The contract is closed. A header is *read*, *conflicting* (only proxies of another kind send it, or a client
//! whose headers the proxy passes on), or *ignored*. Only headers are read that our nginx configuration itself
//! sets on every subrequest. A read header that is doubled, and a conflicting one, make the subrequest
//! incomplete, with and without a policy: each of them shows that not everything comes from nginx.
//!
//! | header | |
//! |---|---|
//! | `Authorization`, `X-Auth-Proxy-Secret`, `X-Real-IP`, `X-Request-ID`, `X-Original-URI`, `X-Original-Method`, `X-Original-Host`, `X-Original-Content-Type`, `X-Auth-Rewrite` | read |
//! | [`CONFLICTING`] | conflicting |
//! | every other, `X-Forwarded-For`, `-Host`, `-Proto` and `-Port` among them | ignored |
//!
//! All headers are read in one pass, which costs less than looking each of them up.

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderName, HeaderValue};

use super::AppState;
use super::peer::Peer;
use crate::pipeline::verdict::Verdict;
use crate::policy::denial::Denied;
use crate::request::header::RequestHeader;
use crate::request::original::DeclaredUpstream;
use crate::request::subrequest::Subrequest;
use crate::request::subrequest::{ClientAddress, HeaderNames, ProxyHeaderError, ProxyHeaderErrorKind};

/// `$request_id`.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The value of [`ClientAddress::Local`]: what nginx sends as `$remote_addr` of a client on a unix socket.
const UNIX_CLIENT: &[u8] = b"unix:";

/// What nginx writes before the content type, so that an empty one and a missing header differ.
const CONTENT_TYPE_PREFIX: &[u8] = b"ct:";

/// The longest `X-Request-ID` that is echoed; nginx's has 32 characters.
const REQUEST_ID_MAX: usize = 128;

/// Names that messages use for what has no place in [`HeaderNames`].
const REQUEST_ID_NAME: &str = "X-Request-ID";
const AUTH_REWRITE_NAME: &str = "X-Auth-Rewrite";

/// Headers by which other proxies describe the original request: Traefik and Caddy (`X-Forwarded-Method`,
/// `X-Forwarded-Uri`), ingress-nginx (`X-Original-URL`, `X-Sent-From`, `X-Auth-Request-Redirect`), Envoy
/// (`X-Envoy-Original-Path`), and IIS, Symfony and others (`X-Rewrite-URL`). Lower case, and as messages show it.
pub const CONFLICTING: [(&str, &str); 7] = [
    ("x-original-url", "X-Original-URL"),
    ("x-forwarded-uri", "X-Forwarded-Uri"),
    ("x-forwarded-method", "X-Forwarded-Method"),
    ("x-sent-from", "X-Sent-From"),
    ("x-auth-request-redirect", "X-Auth-Request-Redirect"),
    ("x-envoy-original-path", "X-Envoy-Original-Path"),
    ("x-rewrite-url", "X-Rewrite-URL"),
];

/// The headers of one subrequest, read. `V` is the value of a header.
#[derive(Debug)]
pub struct NginxHeaders<'r, V = &'r [u8]> {
    subrequest: Subrequest<'r>,
    proxy_secret: RequestHeader<'r>,
    auth_rewrite: RequestHeader<'r>,
    request_id: Option<V>,
    error: Option<ProxyHeaderError>,
}

impl<'r, V: AsRef<[u8]> + ?Sized> NginxHeaders<'r, &'r V> {
    /// Reads the headers, whose names are in lower case. A value of more than `longest` bytes is unreadable.
    pub fn parse(headers: impl Iterator<Item = (&'r str, &'r V)>, longest: usize) -> Self {
        let mut read = Self {
            subrequest: Subrequest::default(),
            proxy_secret: RequestHeader::Absent,
            auth_rewrite: RequestHeader::Absent,
            request_id: None,
            error: None,
        };
        for (name, value) in headers {
            // Whatever else there is.
            if matches!(name.as_bytes().first(), Some(b'x' | b'a')) {
                read.read_header(name, value, longest);
            }
        }
        read.resolve_values();
        read
    }

    #[inline]
    fn read_header(&mut self, name: &str, given: &'r V, longest: usize) {
        let (of, value) = (&mut self.subrequest, given.as_ref());
        let (place, shown) = match name {
            "x-real-ip" => return self.read_client_address(value),
            "x-request-id" => {
                if self.request_id.replace(given).is_some() {
                    self.record_error(REQUEST_ID_NAME, ProxyHeaderErrorKind::Repeated);
                }
                return;
            }
            "authorization" => (&mut of.authorization, None),
            "x-auth-proxy-secret" => (&mut self.proxy_secret, None),
            "x-original-uri" => (&mut of.uri, Some(HeaderNames::NGINX.uri)),
            "x-original-method" => (&mut of.method, Some(HeaderNames::NGINX.method)),
            "x-original-host" => (&mut of.host, Some(HeaderNames::NGINX.host)),
            "x-original-content-type" => (&mut of.content_type, Some(HeaderNames::NGINX.content_type)),
            "x-auth-rewrite" => (&mut self.auth_rewrite, Some(AUTH_REWRITE_NAME)),
            other => {
                if let Some((_, shown)) = CONFLICTING.iter().find(|(name, _)| *name == other) {
                    self.record_error(shown, ProxyHeaderErrorKind::Conflicting);
                }
                return;
            }
        };
        if *place == RequestHeader::Absent {
            *place = if value.len() <= longest { RequestHeader::Once(value) } else { RequestHeader::Invalid };
            return;
        }
        *place = RequestHeader::Repeated;
        // Doubled credentials are unreadable credentials, and a doubled secret is none.
        if let Some(shown) = shown {
            self.record_error(shown, ProxyHeaderErrorKind::Repeated);
        }
    }

    fn read_client_address(&mut self, value: &'r [u8]) {
        if self.subrequest.client != ClientAddress::Missing {
            self.record_error(HeaderNames::NGINX.client, ProxyHeaderErrorKind::Repeated);
        }
        self.subrequest.client =
            if value == UNIX_CLIENT { ClientAddress::UnixSocket } else { ClientAddress::Text(value) };
    }

    /// What takes more than one header, or the rest of its value.
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

    /// Of several faults the first is told.
    fn record_error(&mut self, header: &'static str, fault: ProxyHeaderErrorKind) {
        self.error = self.error.or(Some(ProxyHeaderError { header, kind: fault }));
    }

    /// Returns the subrequest, if its headers keep to the contract. Nothing is known of the peer yet.
    ///
    /// # Errors
    /// The header that does not.
    pub fn into_subrequest(self) -> Result<Subrequest<'r>, ProxyHeaderError> {
        match self.error {
            None => Ok(self.subrequest),
            Some(fault) => Err(fault),
        }
    }
}

/// A subrequest as it arrived, and what keeps it from being evaluated.
pub(super) struct ReceivedSubrequest<'r> {
    /// What the headers say.
    pub(super) subrequest: Subrequest<'r>,
    /// What is echoed as `X-Request-ID`.
    pub(super) request_id: Option<&'r HeaderValue>,
    error: Option<ProxyHeaderError>,
}

impl<'r> ReceivedSubrequest<'r> {
    /// Reads the headers of a request from `peer`.
    pub(super) fn from_headers(front: &AppState, headers: &'r HeaderMap, peer: Option<&Peer>) -> Self {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value));
        let NginxHeaders { mut subrequest, proxy_secret: secret, request_id, error: fault, .. } =
            NginxHeaders::parse(pairs, front.header_bytes_max);
        subrequest.peer = peer.and_then(|peer| peer.address);
        subrequest.has_proxy_secret = front.proxy_secret.as_ref().is_none_or(|of| of.is_matched_by(secret));
        Self { subrequest, request_id, error: fault }
    }

    /// Returns the subrequest if it may be evaluated at `/auth`: the peer has sent the proxy secret if that is
    /// required, and the headers conform to the contract.
    ///
    /// # Errors
    /// The verdict that there is instead.
    pub(super) fn for_auth(&self) -> Result<&Subrequest<'r>, Verdict> {
        self.checked_subrequest(true)
    }

    /// The same for `/token`, where no upstream credentials are given, and so no secret is required.
    ///
    /// # Errors
    /// The verdict that there is instead.
    pub(super) fn for_token(&self) -> Result<&Subrequest<'r>, Verdict> {
        self.checked_subrequest(false)
    }

    fn checked_subrequest(&self, needs_secret: bool) -> Result<&Subrequest<'r>, Verdict> {
        let denied = if needs_secret && !self.subrequest.has_proxy_secret {
            Denied::ProxySecretMissing
        } else if let Some(fault) = self.error {
            Denied::InvalidProxyHeaders(fault)
        } else {
            return Ok(&self.subrequest);
        };
        Err(Verdict::Forbid(denied))
    }
}

/// The one value of a header that is no part of the contract.
pub(super) fn single_header<'r>(
    headers: &'r HeaderMap,
    name: impl AsHeaderName,
    longest: usize,
) -> RequestHeader<'r> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => RequestHeader::Absent,
        (Some(value), None) if value.len() <= longest => RequestHeader::Once(value.as_bytes()),
        (Some(_), None) => RequestHeader::Invalid,
        (Some(_), Some(_)) => RequestHeader::Repeated,
    }
}

/// What is echoed of an `X-Request-ID`.
pub(super) fn echoed_request_id(id: Option<&HeaderValue>) -> Option<HeaderValue> {
    id.filter(|id| id.len() <= REQUEST_ID_MAX).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'r>(headers: &[(&'r str, &'r str)]) -> Result<Subrequest<'r>, ProxyHeaderError> {
        NginxHeaders::parse(headers.iter().map(|(name, value)| (*name, value.as_bytes())), 100)
            .into_subrequest()
    }

    #[test]
    fn repeated_header_is_reported_by_name() {
        for (name, shown) in [
            ("x-real-ip", "X-Real-IP"),
            ("x-request-id", "X-Request-ID"),
            ("x-original-uri", "X-Original-URI"),
            ("x-original-method", "X-Original-Method"),
            ("x-original-host", "X-Original-Host"),
            ("x-original-content-type", "X-Original-Content-Type"),
            ("x-auth-rewrite", "X-Auth-Rewrite"),
        ] {
            for value in ["no", ""] {
                assert!(read(&[(name, value)]).is_ok());
                let fault = read(&[(name, value), (name, value)]).unwrap_err();
                assert_eq!((fault.header, fault.kind), (shown, ProxyHeaderErrorKind::Repeated));
            }
        }
        let twice = [("authorization", "Basic a"), ("authorization", "Basic a")];
        assert_eq!(read(&twice).unwrap().authorization, RequestHeader::Repeated);
    }

    #[test]
    fn conflicting_header_is_reported_by_name_for_any_value() {
        for (name, shown) in CONFLICTING {
            for value in ["", "/v2/", "GET", "https://a/b"] {
                let fault = read(&[("x-original-uri", "/v2/"), (name, value)]).unwrap_err();
                assert_eq!((fault.header, fault.kind), (shown, ProxyHeaderErrorKind::Conflicting));
                assert_eq!(name, shown.to_ascii_lowercase());
            }
        }
        for name in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "accept"]
        {
            assert!(read(&[(name, "a"), (name, "b")]).is_ok(), "{name}");
        }
    }

    #[test]
    fn nginx_header_values_are_decoded() {
        let subrequest = read(&[("x-real-ip", "unix:"), ("x-original-content-type", "ct:")]).unwrap();
        assert_eq!(
            (subrequest.client, subrequest.content_type),
            (ClientAddress::UnixSocket, RequestHeader::Once(b""))
        );
        let subrequest = read(&[("x-real-ip", "1.2.3.4"), ("x-original-content-type", "a/b")]).unwrap();
        assert_eq!(subrequest.client, ClientAddress::Text(b"1.2.3.4"));
        assert_eq!(subrequest.content_type, RequestHeader::Invalid);
        let subrequest = read(&[]).unwrap();
        assert_eq!(
            (subrequest.client, subrequest.content_type),
            (ClientAddress::Missing, RequestHeader::Absent)
        );
        for (value, backend) in [
            ("yes", DeclaredUpstream::Registry),
            ("no", DeclaredUpstream::Other),
            ("", DeclaredUpstream::Other),
        ] {
            assert_eq!(read(&[("x-auth-rewrite", value)]).unwrap().declared_upstream, backend);
        }
        for value in ["YES", "yes,yes", "y", "1"] {
            assert_eq!(read(&[("x-auth-rewrite", value)]).unwrap_err().header, "X-Auth-Rewrite");
        }
    }
}
