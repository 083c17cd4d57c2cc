//! What is asked: nginx's word on the client's request, header by header.

use std::net::IpAddr;

use super::credentials::Header;
use super::verdict::Denied;

/// What nginx tells of the client's request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subrequest<'a> {
    /// The client's `Authorization`.
    pub authorization: Header<'a>,
    /// `X-Real-IP`: the client's address, as nginx writes it.
    pub real_ip: Header<'a>,
    /// The address of the peer itself; `None` for a unix socket.
    pub peer: Option<IpAddr>,
    /// `X-Original-Method`: the client's method.
    pub method: Header<'a>,
    /// `X-Original-URI`: the client's URI, raw.
    pub uri: Header<'a>,
    /// `X-Original-Host`: the host that the proxy chose its server by.
    pub host: Header<'a>,
    /// `X-Original-Content-Type`: `ct:` and the client's.
    pub content_type: Header<'a>,
    /// Whether the proxy asks the backend for what `X-Upstream-URI` says.
    pub rewrites: bool,
    /// Whether the peer may have the upstream's credentials.
    pub is_entitled: bool,
}

impl Subrequest<'_> {
    /// The client's address as nginx gives it, or the peer's own where it gives none; `None` where
    /// there is none to be had.
    ///
    /// An `X-Real-IP` that can't be read is a refusal: to pass it over would be to count somebody's
    /// failures against somebody else.
    pub fn client(&self) -> Result<Option<IpAddr>, Denied> {
        match self.real_ip {
            Header::Absent => Ok(self.peer),
            Header::Unclear => Err(Denied::Incomplete),
            // What nginx sends for a client that came over a unix socket.
            Header::Once(b"unix:") => Ok(None),
            Header::Once(text) => match std::str::from_utf8(text).map(str::parse) {
                Ok(Ok(address)) => Ok(Some(address)),
                Ok(Err(_)) | Err(_) => Err(Denied::Incomplete),
            },
        }
    }
}
