//! Sockets that systemd listens on for us (sd_listen_fds_with_names(3)): there before the service,
//! kept while it restarts, and at addresses that the service itself may not open.

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

use super::bind_error::BindError;

/// What systemd calls a socket whose unit was not passed on (sd_listen_fds_with_names(3)).
const UNNAMED_SOCKET: &str = "unknown";

/// A socket that systemd passed to this process.
pub enum InheritedSocket {
    /// On TCP, with its address.
    Tcp(TcpListener, SocketAddr),
    /// On a unix socket.
    Unix(UnixListener),
}

/// The sockets that were passed to this process.
pub struct SystemdSockets {
    sockets: ListenFd,
    /// `FileDescriptorName=` of each, or its unit's name.
    names: Vec<String>,
}

impl SystemdSockets {
    /// Those of `LISTEN_FDS` and `LISTEN_FDNAMES`, if they are meant for this process.
    pub fn from_environment() -> Self {
        let sockets = ListenFd::from_env();
        let given = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names: Vec<String> = given.split(':').map(str::to_owned).collect();
        names.resize(sockets.len(), UNNAMED_SOCKET.to_owned());
        Self { sockets, names }
    }

    /// Takes all sockets of that name.
    ///
    /// # Errors
    /// If there is none, or one of them is no listener of a stream.
    pub fn take(&mut self, name: &str) -> Result<Vec<InheritedSocket>, BindError> {
        let named = self.names.iter().enumerate().filter(|(_, given)| *given == name);
        let indexes: Vec<usize> = named.map(|(index, _)| index).collect();
        let mut taken = Vec::new();
        for index in indexes {
            taken.extend(self.take_at(name, index)?);
        }
        if taken.is_empty() {
            let there = if self.sockets.len() == 0 { "none".to_owned() } else { self.names.join(", ") };
            return Err(BindError::NoSuchSystemdSocket(name.to_owned(), there));
        }
        Ok(taken)
    }

    fn take_at(&mut self, name: &str, index: usize) -> Result<Option<InheritedSocket>, BindError> {
        let fault = |error| BindError::Io(format!("systemd:{name}"), error);
        // The wrong kind is an error, and leaves the socket where it is.
        if let Ok(Some(listener)) = self.sockets.take_tcp_listener(index) {
            listener.set_nonblocking(true).map_err(fault)?;
            let address = listener.local_addr().map_err(fault)?;
            return Ok(Some(InheritedSocket::Tcp(listener, address)));
        }
        let Some(listener) = self.sockets.take_unix_listener(index).map_err(fault)? else { return Ok(None) };
        listener.set_nonblocking(true).map_err(fault)?;
        Ok(Some(InheritedSocket::Unix(listener)))
    }
}
