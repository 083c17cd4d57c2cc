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

use super::admission::{Admission, PROBES_MAX};
use super::listen::{Listener, SocketPath};
use super::peers;
use crate::clock::Clock;
use crate::config::Settings;
use crate::http::AppState;
use crate::http::peer::Peer;
use crate::http::service::{ListenerKind, expect_service_factory, service_factory};
use crate::http::spaced_log::RateLimitedLog;
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
pub(super) struct Share {
    /// Threads.
    pub(super) workers: usize,
    /// Connections of each.
    connections: usize,
}

impl Share {
    /// The share of the listener `kind`.
    pub(super) fn of(settings: &Settings, kind: ListenerKind) -> Self {
        let workers = settings.workers.min(WORKERS_MAX);
        let (workers, connections) = match kind {
            ListenerKind::Auth => (workers, settings.connections),
            // Signing and judging a token costs more than an answer on the auth listener, which keeps half of the cores.
            ListenerKind::Public => (workers.div_ceil(2), PUBLIC_CONNECTIONS),
            ListenerKind::Admin => (ADMIN_WORKERS, ADMIN_CONNECTIONS + PROBES_MAX),
        };
        Self { workers, connections: connections.div_ceil(workers) }
    }

    /// Connections of all threads.
    pub(super) fn connections(self) -> usize {
        self.workers * self.connections
    }
}

/// Answers on these sockets. Those whose path must be removed at the end are added to `sockets`.
pub(super) fn serve(
    settings: &Settings,
    front: &Arc<AppState>,
    kind: ListenerKind,
    listeners: Vec<Listener>,
    sockets: &mut Vec<SocketPath>,
) -> io::Result<Server> {
    let share = Share::of(settings, kind);
    let refused = front.metrics.connections_rejected.get_or_create(&ListenerLabel { listener: kind.name() });
    let (_, peers) = peers(settings, kind);
    let log = RateLimitedLog::new(Clock::system());
    let admission = Arc::new(Admission::new(kind, peers.to_vec(), refused.clone(), log));
    drop(refused);
    let builder = Server::build()
        .workers(share.workers)
        .max_concurrent_connections(share.connections)
        .shutdown_timeout(settings.shutdown_timeout.as_secs())
        .disable_signals();
    let http = Http {
        front: Arc::clone(front),
        kind,
        keep_alive: settings.keep_alive,
        head_timeout: settings.head_timeout,
        shutdown: builder.graceful_shutdown_signal(),
    };
    let listen = |builder: ServerBuilder, listener| {
        let http = http.clone();
        match listener {
            Listener::Tcp(listener, address) => {
                let admission = Arc::clone(&admission);
                let name = format!("{}-{address}", kind.name());
                builder.listen(name, listener, move || tcp(&http, &admission))
            }
            Listener::Unix(listener, path) => {
                sockets.push(path);
                builder.listen_uds(kind.name(), listener, move || unix(&http))
            }
            Listener::InheritedUnix(listener) => {
                builder.listen_uds(kind.name(), listener, move || unix(&http))
            }
        }
    };
    listeners.into_iter().try_fold(builder, listen).map(ServerBuilder::run)
}

/// What HTTP is served with.
#[derive(Clone)]
struct Http {
    front: Arc<AppState>,
    kind: ListenerKind,
    keep_alive: Duration,
    head_timeout: Duration,
    shutdown: GracefulShutdownSignal,
}

impl Http {
    /// HTTP over connections of the type `T`, whose peer `note` finds out.
    fn over<T: ActixStream + 'static, N: Fn(&T, &mut Extensions) + 'static>(
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
        let answers = service_factory(Arc::clone(&self.front), self.kind).map_err(|error| error.error_response());
        let builder = HttpService::<T, _, BoxBody>::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .keep_alive(self.keep_alive)
            .client_request_timeout(self.head_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .on_connect_ext(note);
        HttpServiceBuilder::expect(builder, expect_service_factory(Arc::clone(&self.front), self.kind))
            .finish(map_config(answers, |()| AppConfig::default()))
    }
}

/// Serves TCP connections, and closes those of peers that may not use the listener.
fn tcp(
    http: &Http,
    admission: &Arc<Admission>,
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
    apply_fn_factory(http.over(note), move |connection: TcpStream, http| {
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
fn unix(
    http: &Http,
) -> impl ServiceFactory<UnixStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let note = |_: &UnixStream, notes: &mut Extensions| {
        notes.insert(Peer::UNIX);
    };
    apply_fn_factory(http.over(note), |connection: UnixStream, http| {
        http.call((connection, Protocol::Http1, None))
    })
}
