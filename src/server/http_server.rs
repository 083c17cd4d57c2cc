//! Serves HTTP on the listeners, with limits for connections, threads and time.
//!
//! Each listener has its own threads and connections, so that no load on the public and the admin listener delays a
//! response on the auth listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, HttpServiceBuilder, KeepAlive, Protocol};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config};
use actix_web::dev::AppConfig;
use actix_web::rt::net::{ActixStream, TcpStream, UnixStream};

use super::admission::{ConnectionAdmission, HEALTH_CHECK_CONNECTIONS_MAX};
use super::idle_timeout::{self, IdleLimits, TrackedStream};
use super::listen::{BoundListener, SocketPath};
use super::poll_when_woken::PollWhenWoken;
use super::trusted_peers;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::AppState;
use crate::http::peer::Peer;
use crate::http::rate_limited_log::RateLimitedLog;
use crate::http::service::{ListenerKind, expect_service_factory, service_factory};
use crate::metrics::ListenerLabel;

/// Simultaneous connections to the public listener. nginx keeps 64 of them open, and opens more for waiting requests.
const PUBLIC_CONNECTIONS: usize = 512;

/// Simultaneous connections of trusted peers to the admin listener: a few monitors and administrators.
const ADMIN_CONNECTIONS: usize = 64;

/// Threads of the admin listener, which serves a few requests per second.
const ADMIN_WORKERS: usize = 1;

/// The limit of actix-server for the threads of a listener.
const WORKERS_MAX: usize = 512;

/// The time in which a request must arrive completely and be answered. After `proxy_read_timeout`, nginx has given it up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The time in which the client must complete the close of a connection.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The threads and connections of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerCapacity {
    /// The number of threads.
    pub(crate) workers: usize,
    /// The connections of each thread.
    pub(crate) connections_per_worker: usize,
}

impl ListenerCapacity {
    /// Returns the capacity of the listener `kind`.
    pub(crate) fn for_listener(config: &Config, kind: ListenerKind) -> Self {
        let workers = config.limits.workers.min(WORKERS_MAX);
        let (workers, connections) = match kind {
            ListenerKind::Auth => (workers, config.limits.max_connections),
            // To sign a token costs more than a response on the auth listener, which keeps half of the cores.
            ListenerKind::Public => (workers.div_ceil(2), PUBLIC_CONNECTIONS),
            ListenerKind::Admin => (ADMIN_WORKERS, ADMIN_CONNECTIONS + HEALTH_CHECK_CONNECTIONS_MAX),
        };
        Self { workers, connections_per_worker: connections.div_ceil(workers) }
    }

    /// Returns the connections of all threads.
    pub(super) fn total_connections(self) -> usize {
        self.workers * self.connections_per_worker
    }
}

/// Serves HTTP on these listeners. Adds the socket paths that must be removed at the end to `sockets`.
pub(crate) fn serve(
    config: &Config,
    app_state: &Arc<AppState>,
    kind: ListenerKind,
    listeners: Vec<BoundListener>,
    sockets: &mut Vec<SocketPath>,
) -> io::Result<Server> {
    let capacity = ListenerCapacity::for_listener(config, kind);
    let refused =
        app_state.metrics.connections_rejected.get_or_create(&ListenerLabel { listener: kind.name() });
    let (_, peers) = trusted_peers(config, kind);
    let log = RateLimitedLog::new(Clock::system());
    let admission = Arc::new(ConnectionAdmission::new(kind, peers.to_vec(), refused.clone(), log));
    drop(refused);
    let builder = Server::build()
        .workers(capacity.workers)
        .max_concurrent_connections(capacity.connections_per_worker)
        .shutdown_timeout(config.limits.shutdown_timeout.as_secs())
        .disable_signals();
    let http = HttpServices {
        app_state: Arc::clone(app_state),
        kind,
        idle: IdleLimits {
            keepalive: config.limits.keepalive_timeout,
            request: config.proxy_read_timeout.max(REQUEST_TIMEOUT),
        },
        header_timeout: config.limits.header_timeout,
        shutdown: builder.graceful_shutdown_signal(),
    };
    let listen = |builder: ServerBuilder, listener| {
        let http = http.clone();
        match listener {
            BoundListener::Tcp(listener, address) => {
                let admission = Arc::clone(&admission);
                let name = format!("{}-{address}", kind.name());
                builder.listen(name, listener, move || tcp_service(&http, &admission))
            }
            BoundListener::Unix(listener, path) => {
                sockets.push(path);
                builder.listen_uds(kind.name(), listener, move || unix_service(&http))
            }
            BoundListener::SystemdUnix(listener) => {
                builder.listen_uds(kind.name(), listener, move || unix_service(&http))
            }
        }
    };
    listeners.into_iter().try_fold(builder, listen).map(ServerBuilder::run)
}

/// The parts of the HTTP service of a listener.
#[derive(Clone)]
struct HttpServices {
    app_state: Arc<AppState>,
    kind: ListenerKind,
    idle: IdleLimits,
    header_timeout: Duration,
    shutdown: GracefulShutdownSignal,
}

impl HttpServices {
    /// Returns the HTTP service for connections of the type `T`. `note` stores the peer of a connection.
    fn service_over<T: ActixStream + 'static, N: Fn(&T, &mut Extensions) + 'static>(
        &self,
        note: N,
    ) -> impl ServiceFactory<
        (TrackedStream<T>, Protocol, Option<SocketAddr>),
        Config = (),
        Response = (),
        Error = DispatchError,
        InitError = (),
    > + use<T, N> {
        let shutdown = self.shutdown.clone();
        let answers =
            service_factory(Arc::clone(&self.app_state), self.kind).map_err(|error| error.error_response());
        let builder = HttpService::<TrackedStream<T>, _, BoxBody>::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                PollWhenWoken::new(async move { shutdown.notified().await })
            })
            // Without a timer for each request: see `idle_timeout`.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(self.header_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .on_connect_ext(move |connection: &TrackedStream<T>, notes: &mut Extensions| {
                note(connection.get_ref(), notes);
            });
        HttpServiceBuilder::expect(builder, expect_service_factory(Arc::clone(&self.app_state), self.kind))
            .finish(map_config(answers, |()| AppConfig::default()))
    }
}

/// Serves TCP connections, and closes those that are not admitted.
fn tcp_service(
    http: &HttpServices,
    admission: &Arc<ConnectionAdmission>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let note = {
        let admission = Arc::clone(admission);
        move |connection: &TcpStream, notes: &mut Extensions| {
            if let Ok(address) = connection.peer_addr() {
                notes.insert(admission.peer(address));
            }
        }
    };
    let (admission, idle) = (Arc::clone(admission), http.idle);
    apply_fn_factory(http.service_over(note), move |connection: TcpStream, http| {
        let address = connection.peer_addr().ok();
        // A connection that is not admitted is dropped, which closes it.
        let admitted = admission.admit(address).map(|connection_slot| {
            // Otherwise a response would wait until the client acknowledges the one before (RFC 896). An error only
            // makes the connection slower.
            let _ = connection.set_nodelay(true);
            let (connection, idle_timeout) = idle_timeout::track(connection, idle);
            (connection_slot, idle_timeout.limit(http.call((connection, Protocol::Http1, address))))
        });
        async move {
            match admitted {
                Some((_connection_slot, served)) => served.await.unwrap_or(Ok(())),
                None => Ok(()),
            }
        }
    })
}

/// Serves the connections of a unix socket.
fn unix_service(
    http: &HttpServices,
) -> impl ServiceFactory<UnixStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let note = |_: &UnixStream, notes: &mut Extensions| {
        notes.insert(Peer::UNIX);
    };
    let idle = http.idle;
    apply_fn_factory(http.service_over(note), move |connection: UnixStream, http| {
        let (connection, idle_timeout) = idle_timeout::track(connection, idle);
        let served = idle_timeout.limit(http.call((connection, Protocol::Http1, None)));
        async move { served.await.unwrap_or(Ok(())) }
    })
}

#[cfg(test)]
#[path = "http_server_tests.rs"]
mod tests;
