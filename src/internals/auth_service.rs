//! The service of the auth listener, for a bench that serves it on a socket of its own.

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::{Extensions, Request, Response};
use actix_service::ServiceFactory;
use actix_web::dev::AppConfig;

use crate::authn::hash_pool::HashPool;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::layers::ConfigLayers;
use crate::http::AppState;
use crate::http::peer::Peer;
use crate::http::service::{ListenerKind, service_factory};
use crate::server::components::Components;

/// The service of the auth listener without its sockets, and without the threads that poll the files.
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
        let layers = ConfigLayers::default().with_environment(variables);
        let config = layers.into_config().map_err(|errors| format!("{errors:?}"))?;
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

    /// Returns `limits.keepalive_timeout` and `limits.header_timeout`.
    pub fn timeouts(&self) -> [Duration; 2] {
        [self.config.limits.keepalive_timeout, self.config.limits.header_timeout]
    }

    /// Records the peer of a connection, as the auth listener does it.
    pub fn record_peer(&self, address: SocketAddr, notes: &mut Extensions) {
        notes.insert(Peer::tcp(address, &self.config.trusted_peers));
    }

    /// Returns the service of one worker.
    pub fn service(
        &self,
    ) -> impl ServiceFactory<
        Request,
        Config = AppConfig,
        Response = Response<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    > + use<> {
        service_factory(Arc::clone(&self.app_state), ListenerKind::Auth)
    }
}
