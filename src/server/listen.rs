//! Binds the listeners before anything else starts.

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

/// Connections that can wait to be accepted. The kernel reduces it to its own limit.
const BACKLOG: i32 = 1024;

/// A bound listener.
pub enum BoundListener {
    /// A TCP socket and its address.
    Tcp(TcpListener, SocketAddr),
    /// A unix socket, whose path is removed at the end.
    Unix(UnixListener, SocketPath),
    /// A unix socket from systemd, which removes the path.
    SystemdUnix(UnixListener),
}

impl BoundListener {
    /// Binds an address of the setting `key`, or takes the sockets that systemd has bound. A unix socket that we bind
    /// gets `mode`.
    pub fn bind(
        listen: &ListenAddress,
        key: &'static str,
        mode: u32,
        inherited: &mut SystemdSockets,
    ) -> Result<Vec<Self>, BindError> {
        let to_error = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse(listen.to_string(), key),
            _ => BindError::Io(listen.to_string(), error),
        };
        match listen {
            ListenAddress::Tcp(address) => {
                let listener = bind_tcp(*address).map_err(to_error)?;
                let address = listener.local_addr().map_err(to_error)?;
                Ok(vec![Self::Tcp(listener, address)])
            }
            ListenAddress::Unix(path) => {
                remove_stale_socket(path)?;
                let (listener, path) = bind_unix(path, mode).map_err(to_error)?;
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

    /// Checks that a socket from systemd that other machines can reach has trusted peers beyond loopback. Addresses in
    /// the configuration itself were checked with it.
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

    /// Returns the address if other machines can reach it.
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
                _ => f.write_str("a socket from systemd"),
            },
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Otherwise a restart must wait for the connections of the previous process.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Removes a socket on which no process listens: a killed process leaves one behind.
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
    // The socket must never be more accessible than `mode`, not even before the mode is set.
    let before = rustix::process::umask(Mode::from_raw_mode(0o777 & !mode));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    let inode = std::fs::symlink_metadata(path)?.ino();
    Ok((listener, SocketPath { path: path.to_owned(), inode }))
}

/// The path of a bound socket. Dropping it removes the path if it still belongs to this socket.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // The next process can have its own socket at this path, even with the same inode, since a freed inode is
        // soon reused. That socket accepts a connection. The socket of this process no longer does.
        let is_ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode);
        if is_ours && UnixStream::connect(&self.path).is_err() {
            // On an error the next start removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
