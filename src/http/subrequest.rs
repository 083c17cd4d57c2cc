//! From nginx's headers to [`Subrequest`]: a closed list, each header by its one name. Whatever
//! else a client managed to send along is not looked at.

use actix_http::Request;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::Front;
use super::peer::{Entitlement, Peer};
use crate::gate::Subrequest;
use crate::gate::credentials::Header;
use crate::gate::verdict::Denied;

/// `$remote_addr`.
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// `$request_id`.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `$request_uri`, as the client sent it.
pub(super) const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
/// `$request_method`.
pub(super) const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
/// `$host`.
pub(super) const X_ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-original-host");

/// `ct:$content_type`, so that an empty one and a missing header differ.
const X_ORIGINAL_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-original-content-type");
/// The secret by which a peer is known that may have the upstream's credentials.
const X_AUTH_PROXY_SECRET: HeaderName = HeaderName::from_static("x-auth-proxy-secret");
/// `yes` from a template that asks the backend for what `X-Upstream-URI` says.
const X_AUTH_REWRITE: HeaderName = HeaderName::from_static("x-auth-rewrite");

/// The longest `X-Request-ID` that is echoed; nginx's has 32 characters.
const REQUEST_ID_MAX: usize = 128;

/// The headers of one request, read by the rules.
#[derive(Clone, Copy)]
pub(super) struct Headers<'r> {
    /// As actix parsed them.
    map: &'r HeaderMap,
    /// The longest value that is read; one with more bytes is unclear.
    longest: usize,
    /// Where there are credentials for an upstream.
    entitlement: Option<&'r Entitlement>,
}

impl<'r> Headers<'r> {
    /// Those of `request`.
    pub(super) fn of(front: &'r Front, request: &'r Request) -> Self {
        Self::of_map(front, &request.head().headers)
    }

    /// These.
    pub(super) fn of_map(front: &'r Front, map: &'r HeaderMap) -> Self {
        Self { map, longest: front.header_bytes, entitlement: front.entitlement.as_ref() }
    }

    /// The one value of a header.
    pub(super) fn one(self, name: &HeaderName) -> Header<'r> {
        let mut values = self.map.get_all(name);
        match (values.next(), values.next()) {
            (None, _) => Header::Absent,
            (Some(value), None) if value.len() <= self.longest => Header::Once(value.as_bytes()),
            (Some(_), _) => Header::Unclear,
        }
    }

    /// Reads what the gate needs to know, from a peer that may say it. What only a policy asks for is
    /// read only `for_policy`: it costs as much as all the rest.
    pub(super) fn subrequest(self, peer: Option<&Peer>, for_policy: bool) -> Result<Subrequest<'r>, Denied> {
        let peer = peer.filter(|peer| peer.trusted).ok_or(Denied::Untrusted)?;
        let (authorization, real_ip) = (self.one(&AUTHORIZATION), self.one(&X_REAL_IP));
        let entitled = |of: &Entitlement| of.is_given(peer, self.one(&X_AUTH_PROXY_SECRET));
        let is_entitled = self.entitlement.is_some_and(entitled);
        let subrequest =
            Subrequest { authorization, real_ip, peer: peer.address, is_entitled, ..Subrequest::default() };
        if !for_policy {
            return Ok(subrequest);
        }
        Ok(Subrequest {
            method: self.one(&X_ORIGINAL_METHOD),
            uri: self.one(&X_ORIGINAL_URI),
            host: self.one(&X_ORIGINAL_HOST),
            content_type: self.one(&X_ORIGINAL_CONTENT_TYPE),
            rewrites: self.one(&X_AUTH_REWRITE) == Header::Once(b"yes"),
            ..subrequest
        })
    }

    /// What is echoed as `X-Request-ID`.
    pub(super) fn request_id(self) -> Option<&'r HeaderValue> {
        self.map.get(X_REQUEST_ID).filter(|id| id.len() <= REQUEST_ID_MAX)
    }
}
