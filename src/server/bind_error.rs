//! Errors of listeners at the start.

use std::io;
use std::net::SocketAddr;

/// The error of a listener that cannot be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another program listens on this address.
    #[error("{0}: the address is in use; stop the other program, or set another address with --{flag}", flag = .1.replace('.', "-"))]
    AddressInUse(String, &'static str),
    /// Another process listens on this socket.
    #[error("{0}: another process listens on this socket; stop it, or set another path")]
    SocketInUse(String),
    /// The path exists and is not a socket.
    #[error("{0}: the path exists and is not a socket; remove it, or set another path")]
    NotASocket(String),
    /// systemd passed no socket of that name.
    #[error(
        "systemd:{0}: systemd passed no socket of this name (passed: {1}); set FileDescriptorName={0} in the socket unit, and Sockets= in the service"
    )]
    NoSuchSystemdSocket(String, String),
    /// systemd passed a socket that other machines can reach, and no peer is trusted there.
    #[error(
        "systemd:{0}: other machines can reach {1}: every client that reaches it could pose as nginx; set {2} to the address or network of nginx"
    )]
    NoTrustedPeers(String, SocketAddr, &'static str),
    /// Any other error.
    #[error("{0}: cannot listen on this address: {1}")]
    Io(String, io::Error),
}
