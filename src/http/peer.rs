//! Who is at the other end of a connection, found out once, when it opens.
//!
//! What nginx says of a request is believed, so it matters that it is nginx who says it. A unix
//! socket is guarded by its mode; over TCP only the listed peers are trusted. What can't be told
//! is not trusted.
//!
//! Who may have the upstream's credentials is a narrower question: whoever may ask could else take them home.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::dev::Extensions;
use actix_web::rt::net::{TcpStream, UnixStream};
use ipnet::IpNet;

use crate::gate::credentials::Header;
use crate::upstream::file::Kept;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// `None` for a unix socket.
    pub address: Option<IpAddr>,
    /// Whether it may ask.
    pub trusted: bool,
}

/// Notes the peer of a connection that opens, for the requests that come over it.
pub fn note(trusted: &[IpNet], connection: &dyn Any, notes: &mut Extensions) {
    if connection.is::<UnixStream>() {
        notes.insert(Peer { address: None, trusted: true });
    } else if let Some(Ok(peer)) = connection.downcast_ref::<TcpStream>().map(TcpStream::peer_addr) {
        let address = peer.ip().to_canonical();
        let trusted = trusted.iter().any(|network| network.contains(&address));
        notes.insert(Peer { address: Some(address), trusted });
    }
}

/// Who may have the upstream's credentials: whoever shows the proxy's secret. Neither the peer's address nor a unix
/// socket proves anything: a location that is published by mistake comes through the proxy's own socket.
#[derive(Clone, Debug, Default)]
pub struct Entitlement(Option<Arc<Kept>>);

impl Entitlement {
    /// Whoever shows this secret; nobody if there is none.
    pub fn new(secret: Option<Arc<Kept>>) -> Self {
        Self(secret)
    }

    /// Whether a peer that shows `secret` may have them. Compares in constant time.
    pub(super) fn is_given(&self, secret: Header<'_>) -> bool {
        match (&self.0, secret) {
            (Some(kept), Header::Once(shown)) => kept.is_shown(shown),
            (None, _) | (Some(_), Header::Absent | Header::Repeated | Header::Unreadable) => false,
        }
    }
}
