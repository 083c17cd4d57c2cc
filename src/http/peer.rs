//! Who is at the other end of a connection, found out once, when it opens.
//!
//! What nginx says of a request is believed, so it matters that it is nginx who says it. A unix
//! socket is guarded by its mode; over TCP only the listed peers are trusted. What can't be told
//! is not trusted.
//!
//! Who may have the upstream's credentials is a narrower question: whoever may ask could else take them home.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::request::header::RequestHeader;
use crate::upstream::secret_file::CurrentCredentials;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// `None` for a unix socket.
    pub address: Option<IpAddr>,
    /// Whether it may ask.
    pub is_trusted: bool,
}

impl Peer {
    /// The peer of a unix socket, whose mode says who can reach it.
    pub const UNIX: Self = Self { address: None, is_trusted: true };

    /// The peer at `address`, which is trusted if a network of `trusted` holds it.
    pub fn tcp(address: SocketAddr, trusted: &[IpNet]) -> Self {
        let address = address.ip().to_canonical();
        Self { address: Some(address), is_trusted: trusted.iter().any(|network| network.contains(&address)) }
    }
}

/// Who may have the upstream's credentials: whoever shows the proxy's secret. Neither the peer's address nor a unix
/// socket proves anything: a location that is published by mistake comes through the proxy's own socket.
#[derive(Clone, Debug, Default)]
pub struct ProxySecret(Option<Arc<CurrentCredentials>>);

impl ProxySecret {
    /// Whoever shows this secret; nobody if there is none.
    pub fn new(secret: Option<Arc<CurrentCredentials>>) -> Self {
        Self(secret)
    }

    /// Whether a peer that shows `secret` may have them. Compares in constant time.
    pub(super) fn is_matched_by(&self, secret: RequestHeader<'_>) -> bool {
        match (&self.0, secret) {
            (Some(kept), RequestHeader::Once(shown)) => kept.is_valid_secret(shown),
            (None, _)
            | (Some(_), RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid) => false,
        }
    }
}
