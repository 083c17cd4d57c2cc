//! The composition root: from settings to listeners that answer. The one place that knows every
//! concrete type.

pub mod inherited;
pub mod listen;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use actix_web::HttpServer;
use ipnet::IpNet;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use self::inherited::Inherited;
use self::listen::{BindFault, Listener, SocketPath};
use crate::authn::Authenticators;
use crate::authn::htpasswd::file::Rules;
use crate::authn::htpasswd::reload::{LookNow, Reloader};
use crate::authn::htpasswd::source::{FileFault, Source};
use crate::authn::pool::HashPool;
use crate::clock::Clock;
use crate::gate::{Gate, Parts};
use crate::http::probe::Readiness;
use crate::http::refusals::RefusalLog;
use crate::http::reply::Challenge;
use crate::http::service::{Kind, service};
use crate::http::{Front, peer};
use crate::metrics::Metrics;
use crate::settings::{Listen, Settings};

/// How much nicer than the rest a hash thread is (nice(2)): an answer at hand does not wait for a
/// core that is hashing. A third of a core's weight, so that a log-in still gets through beside
/// other programs that use all cores.
const HASH_NICENESS: i32 = 5;

/// Threads for the private listener, which a monitor asks now and then.
const ADMIN_WORKERS: usize = 1;

/// How long a connection that is being closed may take over it.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Requests to look at the file that wait; more say nothing new.
const LOOKS_WAITING: usize = 1;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing says who may enter.
    #[error(
        "no htpasswd file is set: use --htpasswd FILE, DOORWARD_HTPASSWD, or htpasswd = \"FILE\" in the settings"
    )]
    NoAuthenticator,
    /// The htpasswd file can't be used.
    #[error(transparent)]
    Htpasswd(#[from] FileFault),
    /// An address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindFault),
    /// The realm can't stand in a header; the settings should have seen to that.
    #[error("realm: it can't be sent in a header")]
    Realm,
    /// The system gave no random bytes.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// A thread or a signal handler could not be had.
    #[error("the system refuses a thread or a signal handler: {0}")]
    System(#[from] io::Error),
}

/// A server whose listeners are bound and whose users are loaded.
pub struct Server {
    settings: Settings,
    public: Vec<Listener>,
    admin: Vec<Listener>,
    front: Arc<Front>,
    readiness: Arc<Readiness>,
    pool: Arc<HashPool>,
    reloader: Reloader,
    clock: Clock,
}

fn random() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(bytes)
}

impl Server {
    /// Binds the listeners, loads the users and puts the gate together. Nobody is answered yet.
    pub fn bind(settings: Settings) -> Result<Self, StartError> {
        let path = settings.htpasswd.clone().ok_or(StartError::NoAuthenticator)?;
        let mut inherited = Inherited::from_environment();
        let mut bind = |listen: &[Listen], mode, trusted: &[IpNet]| {
            let mut bound = Vec::new();
            for one in listen {
                let listeners = Listener::bind(one, mode, &mut inherited)?;
                listeners.iter().try_for_each(|listener| listener.check_reach(one, trusted))?;
                bound.extend(listeners);
            }
            Ok::<_, BindFault>(bound)
        };
        let public = bind(&settings.listen, settings.socket_mode, &settings.trusted_peers)?;
        let admin = bind(&settings.admin_listen, settings.admin_socket_mode, &settings.admin_peers)?;
        let clock = Clock::system();
        let metrics = Arc::new(Metrics::started());
        let source = Source { path, max_bytes: settings.htpasswd_max_bytes };
        let reloader = Reloader::start(
            source,
            Rules { key: random()?, allowed: settings.htpasswd_allow },
            Arc::clone(&metrics),
            clock.now(),
        )?;
        let pool = Arc::new(HashPool::new(settings.hash, clock.clone(), Arc::clone(&metrics)));
        let readiness = Arc::new(Readiness::new(reloader.freshness()));
        let gate = Gate::new(Parts {
            authenticators: Authenticators::new(reloader.htpasswd()),
            pool: Arc::clone(&pool),
            cache: settings.cache,
            throttle: settings.throttle,
            prefixes: settings.prefixes,
            wait: settings.hash_wait,
            random: random()?,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        });
        let front = Arc::new(Front {
            gate: Arc::new(gate),
            challenge: Challenge::basic(&settings.realm).map_err(|_| StartError::Realm)?,
            refusals: RefusalLog::new(settings.log_refusals, clock.clone()),
            readiness: Arc::clone(&readiness),
            allowed: Front::allowed_counter(&metrics),
            metrics,
            prefixes: settings.prefixes,
            header_bytes: settings.header_bytes,
            log_allowed: settings.log_allowed,
        });
        Ok(Self { settings, public, admin, front, readiness, pool, reloader, clock })
    }

    /// Answers until SIGTERM, SIGINT or SIGQUIT, and then until the requests in flight are done.
    /// SIGHUP has the htpasswd file looked at.
    pub async fn run(self, mut signals: Signals, started: Instant) -> Result<(), StartError> {
        let hashers = spawn_hashers(&self.pool, self.settings.hash_threads)?;
        let (look, looks) = sync_channel(LOOKS_WAITING);
        let (reloader, clock, poll) = (self.reloader, self.clock, self.settings.htpasswd_poll);
        thread::Builder::new()
            .name("doorward-reload".into())
            .spawn(move || reloader.run(poll, &clock, &looks))?;

        let users = self.front.metrics.htpasswd_users.get();
        let addresses: Vec<String> = self.public.iter().map(ToString::to_string).collect();
        let private: Vec<String> = self.admin.iter().map(ToString::to_string).collect();
        // Their paths are removed when this goes, at the end.
        let mut sockets = Vec::new();
        let mut servers = Vec::new();
        for (kind, listeners) in [(Kind::Public, self.public), (Kind::Admin, self.admin)] {
            if !listeners.is_empty() {
                servers.push(http_server(&self.settings, &self.front, kind, listeners, &mut sockets)?);
            }
        }
        let handles: Vec<_> = servers.iter().map(actix_web::dev::Server::handle).collect();
        let mut servers: JoinSet<io::Result<()>> = servers.into_iter().collect();
        let start_millis = started.elapsed().as_millis() as u64;
        tracing::info!(listen = ?addresses, admin = ?private, users, start_millis, "doorward is ready");
        notify(NotifyState::Ready);

        tokio::select! {
            () = signals.wait_for_end(&look) => {}
            Some(ended) = servers.join_next() => ended.map_err(io::Error::other)??,
        }
        self.readiness.drain();
        notify(NotifyState::Stopping);
        tracing::info!("shutting down");
        let graceful = async {
            tokio::time::sleep(self.settings.drain).await;
            for handle in &handles {
                handle.stop(true).await;
            }
        };
        tokio::select! {
            () = graceful => {}
            // Told twice, it means at once.
            () = signals.wait_for_end(&look) => {
                for handle in &handles {
                    handle.stop(false).await;
                }
            }
        }
        while let Some(ended) = servers.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        self.pool.close();
        drop(look);
        for hasher in hashers {
            // The check that it is at takes a second at most; its thread has nothing to say.
            let _ = hasher.join();
        }
        tracing::info!("doorward has ended");
        Ok(())
    }
}

/// Tells systemd, where it waits for that (`Type=notify`, sd_notify(3)).
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd can't be told");
    }
}

fn http_server(
    settings: &Settings,
    front: &Arc<Front>,
    kind: Kind,
    listeners: Vec<Listener>,
    sockets: &mut Vec<SocketPath>,
) -> io::Result<actix_web::dev::Server> {
    let (workers, peers) = match kind {
        Kind::Public => (settings.workers, settings.trusted_peers.clone()),
        Kind::Admin => (ADMIN_WORKERS, settings.admin_peers.clone()),
    };
    let front = Arc::clone(front);
    let mut server = HttpServer::new(move || service(Arc::clone(&front), kind))
        .workers(workers)
        .max_connections(settings.connections.div_ceil(workers))
        .keep_alive(settings.keep_alive)
        .client_request_timeout(settings.head_timeout)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .shutdown_timeout(settings.shutdown_timeout.as_secs())
        .disable_signals()
        .on_connect(move |connection, notes| peer::note(&peers, connection, notes));
    for listener in listeners {
        server = match listener {
            Listener::Tcp(listener, _) => server.listen(listener)?,
            Listener::Unix(listener, path) => {
                sockets.push(path);
                server.listen_uds(listener)?
            }
            Listener::InheritedUnix(listener) => server.listen_uds(listener)?,
        };
    }
    Ok(server.run())
}

fn spawn_hashers(pool: &Arc<HashPool>, threads: usize) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let spawn = |number| {
        let pool = Arc::clone(pool);
        thread::Builder::new().name(format!("doorward-hash-{number}")).spawn(move || {
            // On Linux this is the calling thread's alone.
            if let Err(error) = rustix::process::setpriority_process(None, HASH_NICENESS) {
                tracing::warn!(%error, "hash threads keep the ordinary priority");
            }
            pool.run();
        })
    };
    (0..threads).map(spawn).collect()
}

/// The signals that the process obeys.
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves. To be called before anything that
    /// takes time, on the runtime that the server will run on.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is told to end; passes SIGHUP on in the meantime.
    async fn wait_for_end(&mut self, look: &SyncSender<LookNow>) {
        let signal = loop {
            tokio::select! {
                Some(()) = self.term.recv() => break "SIGTERM",
                Some(()) = self.int.recv() => break "SIGINT",
                Some(()) = self.quit.recv() => break "SIGQUIT",
                // A look that waits already will do.
                Some(()) = self.hup.recv() => drop(look.try_send(LookNow)),
            }
        };
        tracing::info!(signal, "told to end");
    }
}
