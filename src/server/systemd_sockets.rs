//! Sockets that systemd passes to the process (sd_listen_fds_with_names(3)). They exist before the service starts, stay
//! open while it restarts, and can have addresses that the service itself must not bind.

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

use super::bind_error::BindError;

/// The name that systemd uses for a socket without one (sd_listen_fds_with_names(3)).
const UNNAMED_SOCKET: &str = "unknown";

/// A socket that systemd passed to this process.
pub enum InheritedSocket {
    /// A TCP socket and its address.
    Tcp(TcpListener, SocketAddr),
    /// A unix socket.
    Unix(UnixListener),
}

/// The sockets that systemd passed to this process.
pub struct SystemdSockets {
    sockets: ListenFd,
    /// The `FileDescriptorName=` of each, or the name of its unit.
    names: Vec<String>,
}

impl SystemdSockets {
    /// Returns the sockets of `LISTEN_FDS` and `LISTEN_FDNAMES`, if they are for this process.
    pub fn from_environment() -> Self {
        let sockets = ListenFd::from_env();
        let given = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names: Vec<String> = given.split(':').map(str::to_owned).collect();
        names.resize(sockets.len(), UNNAMED_SOCKET.to_owned());
        Self { sockets, names }
    }

    /// Takes all sockets with this name.
    ///
    /// # Errors
    /// There is none, or one of them is not a listening stream socket.
    pub fn take(&mut self, name: &str) -> Result<Vec<InheritedSocket>, BindError> {
        let named = self.names.iter().enumerate().filter(|(_, given)| *given == name);
        let indexes: Vec<usize> = named.map(|(index, _)| index).collect();
        let mut taken = Vec::new();
        for index in indexes {
            taken.extend(self.take_at(name, index)?);
        }
        if taken.is_empty() {
            let passed = if self.sockets.len() == 0 { "none".to_owned() } else { self.names.join(", ") };
            return Err(BindError::NoSuchSystemdSocket(name.to_owned(), passed));
        }
        Ok(taken)
    }

    fn take_at(&mut self, name: &str, index: usize) -> Result<Option<InheritedSocket>, BindError> {
        let to_error = |error| BindError::Io(format!("systemd:{name}"), error);
        // A socket of another kind is an error, and stays available.
        if let Ok(Some(listener)) = self.sockets.take_tcp_listener(index) {
            listener.set_nonblocking(true).map_err(to_error)?;
            let address = listener.local_addr().map_err(to_error)?;
            return Ok(Some(InheritedSocket::Tcp(listener, address)));
        }
        let Some(listener) = self.sockets.take_unix_listener(index).map_err(to_error)? else {
            return Ok(None);
        };
        listener.set_nonblocking(true).map_err(to_error)?;
        Ok(Some(InheritedSocket::Unix(listener)))
    }
}
