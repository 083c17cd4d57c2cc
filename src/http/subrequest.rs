//! From nginx's headers to [`Subrequest`]: a closed list, each header by its one name. Whatever
//! else a client managed to send along is not looked at.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderName};

use super::peer::Peer;
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

/// The one value of a header.
pub(super) fn header<'r>(request: &'r HttpRequest, name: &HeaderName) -> Header<'r> {
    let mut values = request.headers().get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(value), None) => Header::Once(value.as_bytes()),
        (Some(_), Some(_)) => Header::Unclear,
    }
}

/// The client's address as nginx gives it, or the peer's own where it gives none.
///
/// An `X-Real-IP` that can't be read is a refusal: to pass it over would be to count somebody's
/// failures against somebody else.
fn client(request: &HttpRequest, peer: &Peer) -> Result<Option<IpAddr>, Denied> {
    match header(request, &X_REAL_IP) {
        Header::Absent => Ok(peer.address),
        Header::Unclear => Err(Denied::Incomplete),
        Header::Once(text) => {
            let address = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            // nginx sends "unix:" for a client that came over a unix socket.
            match address {
                None if text == b"unix:" => Ok(None),
                None => Err(Denied::Incomplete),
                Some(address) => Ok(Some(address)),
            }
        }
    }
}

/// Reads what the gate needs to know, from a peer that may say it.
pub(super) fn read(request: &HttpRequest) -> Result<Subrequest<'_>, Denied> {
    let peer = request.conn_data::<Peer>().filter(|peer| peer.trusted).ok_or(Denied::Untrusted)?;
    let client = client(request, peer)?;
    Ok(Subrequest { authorization: header(request, &AUTHORIZATION), client })
}
