//! Binding the listeners, before anything else is started, with errors that say what to do.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustix::fs::Mode;
use socket2::{Domain, Protocol, Socket, Type};

use super::bind_error::BindError;
use super::systemd_sockets::{InheritedSocket, SystemdSockets};
use crate::config::ListenAddress;

/// Connections that wait to be accepted. The kernel cuts it to its own limit.
const BACKLOG: i32 = 1024;

/// A listener that is bound.
pub enum BoundListener {
    /// On TCP.
    Tcp(TcpListener, SocketAddr),
    /// On a unix socket, whose path is removed at the end.
    Unix(UnixListener, SocketPath),
    /// On a unix socket whose path is systemd's to remove.
    SystemdUnix(UnixListener),
}

impl BoundListener {
    /// Binds what the setting `key` names, or takes what systemd has bound; a unix socket of our own gets `mode`.
    pub fn bind(
        listen: &ListenAddress,
        key: &'static str,
        mode: u32,
        inherited: &mut SystemdSockets,
    ) -> Result<Vec<Self>, BindError> {
        let fault = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse(listen.to_string(), key),
            _ => BindError::Io(listen.to_string(), error),
        };
        match listen {
            ListenAddress::Tcp(address) => {
                let listener = bind_tcp(*address).map_err(fault)?;
                let address = listener.local_addr().map_err(fault)?;
                Ok(vec![Self::Tcp(listener, address)])
            }
            ListenAddress::Unix(path) => {
                remove_stale_socket(path)?;
                let (listener, path) = bind_unix(path, mode).map_err(fault)?;
                Ok(vec![Self::Unix(listener, path)])
            }
            ListenAddress::Systemd(name) => Ok(inherited
                .take(name)?
                .into_iter()
                .map(|socket| match socket {
                    InheritedSocket::Tcp(listener, address) => Self::Tcp(listener, address),
                    InheritedSocket::Unix(listener) => Self::SystemdUnix(listener),
                })
                .collect()),
        }
    }

    /// That an address of systemd's choice is not open to other machines without a word about who may
    /// ask there. What the settings themselves name was checked with them.
    pub fn check_trusted_peers(
        &self,
        listen: &ListenAddress,
        peers_key: &'static str,
        trusted: &[IpNet],
    ) -> Result<(), BindError> {
        match (listen, self) {
            (ListenAddress::Systemd(name), Self::Tcp(_, address))
                if !address.ip().to_canonical().is_loopback()
                    && trusted.iter().all(|network| network.addr().is_loopback()) =>
            {
                Err(BindError::NoTrustedPeers(name.clone(), *address, peers_key))
            }
            _ => Ok(()),
        }
    }

    /// The address, if other machines can reach it.
    pub fn non_loopback_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => {
                Some(*address).filter(|address| !address.ip().to_canonical().is_loopback())
            }
            Self::Unix(..) | Self::SystemdUnix(_) => None,
        }
    }
}

impl fmt::Display for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(_, address) => write!(f, "{address}"),
            Self::Unix(_, path) => write!(f, "unix:{}", path.path.display()),
            Self::SystemdUnix(listener) => match listener.local_addr().as_ref().map(|a| a.as_pathname()) {
                Ok(Some(path)) => write!(f, "unix:{}", path.display()),
                _ => f.write_str("a socket of systemd's"),
            },
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Or a restart would have to wait for the connections of the one before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes way for a socket: one that nobody answers at is what a killed process left behind.
fn remove_stale_socket(path: &Path) -> Result<(), BindError> {
    let name = || format!("unix:{}", path.display());
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket(name()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::SocketInUse(name())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| BindError::Io(name(), error))
        }
        Err(error) => Err(BindError::Io(name(), error)),
    }
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketPath)> {
    // The socket must not be open to more than `mode` even before the mode is set.
    let before = rustix::process::umask(Mode::from_raw_mode(0o777 & !mode));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    let inode = std::fs::symlink_metadata(path)?.ino();
    Ok((listener, SocketPath { path: path.to_owned(), inode }))
}

/// The path of a bound socket; dropping it removes the path, if it is still this socket's.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // The next process may have its own socket there, even under the same number: a freed inode
        // is soon used again. It answers; ours does not any more.
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode);
        if ours && UnixStream::connect(&self.path).is_err() {
            // There is nobody to tell, and the next start clears it away.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
