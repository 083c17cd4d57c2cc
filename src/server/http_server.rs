//! HTTP on the listeners: how many connections and threads each has, and how long a request may take.
//!
//! Each listener has threads and places for connections of its own, so that nothing that happens on the public and
//! the admin listener delays an answer on the auth listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, HttpServiceBuilder, Protocol};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config};
use actix_web::dev::AppConfig;
use actix_web::rt::net::{ActixStream, TcpStream, UnixStream};

use super::admission::{ConnectionAdmission, HEALTH_CHECK_CONNECTIONS_MAX};
use super::listen::{BoundListener, SocketPath};
use super::trusted_peers;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::AppState;
use crate::http::peer::Peer;
use crate::http::rate_limited_log::RateLimitedLog;
use crate::http::service::{ListenerKind, expect_service_factory, service_factory};
use crate::metrics::ListenerLabel;

/// Connections to the public listener at one time. They are nginx's, which keeps 64 of them and opens more for
/// requests that wait.
const PUBLIC_CONNECTIONS: usize = 512;

/// Connections of trusted peers to the admin listener at one time: a few monitors and administrators.
const ADMIN_CONNECTIONS: usize = 64;

/// Threads of the admin listener, which a monitor asks now and then.
const ADMIN_WORKERS: usize = 1;

/// The most threads of a listener, a limit of actix-server.
const WORKERS_MAX: usize = 512;

/// How long a connection that is being closed may take over it.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What a listener may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListenerCapacity {
    /// Threads.
    pub(super) workers: usize,
    /// Connections of each.
    connections_per_worker: usize,
}

impl ListenerCapacity {
    /// The share of the listener `kind`.
    pub(super) fn for_listener(settings: &Config, kind: ListenerKind) -> Self {
        let workers = settings.limits.workers.min(WORKERS_MAX);
        let (workers, connections) = match kind {
            ListenerKind::Auth => (workers, settings.limits.max_connections),
            // Signing and judging a token costs more than an answer on the auth listener, which keeps half of the cores.
            ListenerKind::Public => (workers.div_ceil(2), PUBLIC_CONNECTIONS),
            ListenerKind::Admin => (ADMIN_WORKERS, ADMIN_CONNECTIONS + HEALTH_CHECK_CONNECTIONS_MAX),
        };
        Self { workers, connections_per_worker: connections.div_ceil(workers) }
    }

    /// Connections of all threads.
    pub(super) fn total_connections(self) -> usize {
        self.workers * self.connections_per_worker
    }
}

/// Answers on these sockets. Those whose path must be removed at the end are added to `sockets`.
pub(super) fn serve(
    settings: &Config,
    front: &Arc<AppState>,
    kind: ListenerKind,
    listeners: Vec<BoundListener>,
    sockets: &mut Vec<SocketPath>,
) -> io::Result<Server> {
    let share = ListenerCapacity::for_listener(settings, kind);
    let refused = front.metrics.connections_rejected.get_or_create(&ListenerLabel { listener: kind.name() });
    let (_, peers) = trusted_peers(settings, kind);
    let log = RateLimitedLog::new(Clock::system());
    let admission = Arc::new(ConnectionAdmission::new(kind, peers.to_vec(), refused.clone(), log));
    drop(refused);
    let builder = Server::build()
        .workers(share.workers)
        .max_concurrent_connections(share.connections_per_worker)
        .shutdown_timeout(settings.limits.shutdown_timeout.as_secs())
        .disable_signals();
    let http = HttpServices {
        app_state: Arc::clone(front),
        kind,
        keepalive_timeout: settings.limits.keepalive_timeout,
        header_timeout: settings.limits.header_timeout,
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

/// What HTTP is served with.
#[derive(Clone)]
struct HttpServices {
    app_state: Arc<AppState>,
    kind: ListenerKind,
    keepalive_timeout: Duration,
    header_timeout: Duration,
    shutdown: GracefulShutdownSignal,
}

impl HttpServices {
    /// HTTP over connections of the type `T`, whose peer `note` finds out.
    fn service_over<T: ActixStream + 'static, N: Fn(&T, &mut Extensions) + 'static>(
        &self,
        note: N,
    ) -> impl ServiceFactory<
        (T, Protocol, Option<SocketAddr>),
        Config = (),
        Response = (),
        Error = DispatchError,
        InitError = (),
    > + use<T, N> {
        let shutdown = self.shutdown.clone();
        let answers =
            service_factory(Arc::clone(&self.app_state), self.kind).map_err(|error| error.error_response());
        let builder = HttpService::<T, _, BoxBody>::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .keep_alive(self.keepalive_timeout)
            .client_request_timeout(self.header_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .on_connect_ext(note);
        HttpServiceBuilder::expect(builder, expect_service_factory(Arc::clone(&self.app_state), self.kind))
            .finish(map_config(answers, |()| AppConfig::default()))
    }
}

/// Serves TCP connections, and closes those of peers that may not use the listener.
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
    let admission = Arc::clone(admission);
    apply_fn_factory(http.service_over(note), move |connection: TcpStream, http| {
        let address = connection.peer_addr().ok();
        // Dropped otherwise, which closes it.
        let kept = admission.admit(address).map(|admitted| {
            // A response behind another one would wait for the client's acknowledgement (RFC 896). Without it, it is slow.
            let _ = connection.set_nodelay(true);
            (admitted, http.call((connection, Protocol::Http1, address)))
        });
        async move {
            match kept {
                Some((_admitted, connection)) => connection.await,
                None => Ok(()),
            }
        }
    })
}

/// Serves connections of a unix socket.
fn unix_service(
    http: &HttpServices,
) -> impl ServiceFactory<UnixStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let note = |_: &UnixStream, notes: &mut Extensions| {
        notes.insert(Peer::UNIX);
    };
    apply_fn_factory(http.service_over(note), |connection: UnixStream, http| {
        http.call((connection, Protocol::Http1, None))
    })
}
