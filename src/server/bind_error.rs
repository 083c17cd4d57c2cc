//! Why a socket cannot be listened on.

use std::io;
use std::net::SocketAddr;

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("{0}: the address is in use; stop the program that uses it, or choose another with --{flag}", flag = .1.replace('.', "-"))]
    AddressInUse(String, &'static str),
    /// Another process answers at this socket.
    #[error("{0}: a process that is alive listens on this socket; stop it, or choose another path")]
    SocketInUse(String),
    /// The path is taken by something that is not a socket.
    #[error("{0}: there is something that is not a socket; remove it, or choose another path")]
    NotASocket(String),
    /// systemd passed no socket of that name.
    #[error(
        "systemd:{0}: no socket of this name was passed by systemd (passed: {1}); set FileDescriptorName={0} in the socket unit, and Sockets= in the service"
    )]
    NoSuchSystemdSocket(String, String),
    /// A socket that systemd opened to other machines, with nobody to be trusted there.
    #[error(
        "systemd:{0}: {1} can be reached from other machines, and whoever reaches it could ask in nginx's name: set {2} to nginx's address or network"
    )]
    NoTrustedPeers(String, SocketAddr, &'static str),
    /// Anything else.
    #[error("{0}: can't listen there: {1}")]
    Io(String, io::Error),
}
