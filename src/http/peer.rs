//! The peer of a connection, determined once, when the connection opens.
//!
//! doorward trusts the headers that nginx sends, so the sender must be nginx. A unix socket is protected by its file
//! mode. Over TCP, only the configured peers are trusted. If the peer cannot be determined, it is not trusted.
//!
//! Upstream credentials have a stricter rule, because any peer that can call `/auth` can read them from the response.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::request::header::RequestHeader;
use crate::upstream::secret_file::CurrentCredentials;

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The IP address; `None` for a unix socket.
    pub(crate) address: Option<IpAddr>,
    /// True if the peer is allowed to use the listener.
    pub(crate) is_trusted: bool,
}

impl Peer {
    /// The peer of a unix socket. The file mode of the socket restricts access.
    pub(crate) const UNIX: Self = Self { address: None, is_trusted: true };

    /// Creates the peer at `address`. It is trusted if a network in `trusted` contains the address.
    pub(crate) fn tcp(address: SocketAddr, trusted: &[IpNet]) -> Self {
        let address = address.ip().to_canonical();
        Self { address: Some(address), is_trusted: trusted.iter().any(|network| network.contains(&address)) }
    }
}

/// The secret that a peer must present to get upstream credentials. Neither the address of the peer nor a unix socket
/// is sufficient: requests of a location that is published by mistake arrive through the socket of the proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxySecret(Option<Arc<CurrentCredentials>>);

impl ProxySecret {
    /// Creates the check for this secret. Without a secret, no peer matches.
    pub(crate) fn new(secret: Option<Arc<CurrentCredentials>>) -> Self {
        Self(secret)
    }

    /// Returns true if the peer presents the secret. The comparison takes constant time.
    pub(super) fn is_matched_by(&self, presented: RequestHeader<'_>) -> bool {
        match (&self.0, presented) {
            (Some(secret), RequestHeader::Once(presented)) => secret.is_valid_secret(presented),
            (None, _)
            | (Some(_), RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid) => false,
        }
    }
}
