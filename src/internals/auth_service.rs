//! The auth listener, for a bench that serves it on a socket of its own, beside servers with the same limits.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_server::Server;

use crate::authn::hash_pool::HashPool;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::layers::ConfigLayers;
use crate::http::AppState;
use crate::http::service::ListenerKind;
use crate::server::components::Components;
use crate::server::http_server::{DISCONNECT_TIMEOUT, ListenerCapacity, serve};
use crate::server::listen::BoundListener;

/// The limits of the auth listener.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredLimits {
    /// The number of threads.
    pub workers: usize,
    /// The connections of each thread.
    pub connections_per_worker: usize,
    /// The time after which an idle connection is closed.
    pub keepalive_timeout: Duration,
    /// The time in which a client must send the first request head.
    pub header_timeout: Duration,
    /// The time in which the client must complete the close of a connection.
    pub disconnect_timeout: Duration,
}

impl MeasuredLimits {
    /// Reads the limits from environment variables.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn from_variables(
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Box<dyn Error>> {
        let config = read_config(variables)?;
        let capacity = ListenerCapacity::for_listener(&config, ListenerKind::Auth);
        Ok(Self {
            workers: capacity.workers,
            connections_per_worker: capacity.connections_per_worker,
            keepalive_timeout: config.limits.keepalive_timeout,
            header_timeout: config.limits.header_timeout,
            disconnect_timeout: DISCONNECT_TIMEOUT,
        })
    }
}

fn read_config(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Config, Box<dyn Error>> {
    let layers = ConfigLayers::default().with_environment(variables);
    Ok(layers.into_config().map_err(|errors| format!("{errors:?}"))?)
}

/// The auth listener without the threads that poll the files.
pub struct MeasuredService {
    config: Config,
    app_state: Arc<AppState>,
    hash_pool: Arc<HashPool>,
}

impl MeasuredService {
    /// Builds the service from environment variables.
    ///
    /// # Errors
    /// A setting or a file is invalid.
    pub fn build(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Box<dyn Error>> {
        let config = read_config(variables)?;
        let Components { app_state, hash_pool, .. } =
            Components::build(&config, Clock::system(), Arc::default())?;
        Ok(Self { config, app_state, hash_pool })
    }

    /// Hashes passwords until [`MeasuredService::close`] is called.
    pub fn run_hash_thread(&self) {
        self.hash_pool.run();
    }

    /// Ends the hash thread.
    pub fn close(&self) {
        self.hash_pool.close();
    }

    /// Serves the auth listener on this socket, as `doorward serve` does.
    ///
    /// # Errors
    /// The socket is unusable.
    pub fn serve(&self, listener: TcpListener) -> io::Result<Server> {
        let address = listener.local_addr()?;
        let listeners = vec![BoundListener::Tcp(listener, address)];
        serve(&self.config, &self.app_state, ListenerKind::Auth, listeners, &mut Vec::new())
    }
}
