//! Builds and runs the server. Only this module uses the concrete types of all layers.

mod admission;
pub(crate) mod bind_error;
pub(crate) mod components;
pub(crate) mod config_reload;
#[cfg(feature = "ecr")]
mod ecr_token_refresh;
pub(crate) mod file_descriptors;
pub(crate) mod file_reloaders;
pub(crate) mod http_server;
mod idle_timeout;
pub(crate) mod listen;
mod poll_when_woken;
pub(crate) mod signals;
mod start_error;
pub(crate) mod systemd_sockets;
mod token_issuer;
pub(crate) mod upstreams;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use sd_notify::NotifyState;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::bind_error::BindError;
use self::components::Components;
use self::config_reload::{ConfigReloadDependencies, ConfigReloadRequest, ConfigReloader};
use self::listen::BoundListener;
use self::signals::Signals;
pub(crate) use self::start_error::StartError;
use self::systemd_sockets::SystemdSockets;
use crate::authn::hash_pool::HashPool;
use crate::authn::remote::RemoteSource;
use crate::clock::Clock;
use crate::config::{Config, ListenAddress};
use crate::http::AppState;
use crate::http::service::ListenerKind;
use crate::metrics::Metrics;
use crate::reload::{self, PollFile, PollNow};
#[cfg(feature = "ecr")]
use crate::upstream::ecr::aws::{AwsAccount, EcrTokenClient};
#[cfg(feature = "ecr")]
use crate::upstream::ecr::token_store::TokenStore;

/// The niceness of hash threads (nice(2)), so that a cached answer does not wait for a core that is hashing. It gives a
/// third of the weight of a normal thread, so that logins proceed even if other programs use all cores.
const HASH_NICENESS: i32 = 5;

/// The time that a shutdown gives the workers to start with accepted connections.
const ACCEPTED_CONNECTIONS_GRACE: Duration = Duration::from_millis(100);

/// Simultaneous name lookups for one service. Each lookup of the system blocks a thread.
const RESOLVER_THREADS: usize = 4;

/// SIGHUPs that can wait to be handled. One that waits includes all later ones.
const RELOAD_SIGNALS_QUEUED_MAX: usize = 1;

/// A server with bound listeners and loaded files.
pub(crate) struct Server {
    config: Config,
    /// The kind and the sockets of each listener.
    listeners: Vec<(ListenerKind, Vec<BoundListener>)>,
    components: Components,
}

impl Server {
    /// Binds the listeners, loads the files and builds the pipeline. Serves no request yet.
    pub(crate) fn bind_listener(config: Config) -> Result<Self, StartError> {
        if config.authenticators.is_empty() {
            return Err(StartError::NoAuthenticatorConfigured);
        }
        file_descriptors::raise_limit(&config)?;
        let mut inherited = SystemdSockets::from_environment();
        let mut listeners = Vec::new();
        for kind in [ListenerKind::Auth, ListenerKind::Public, ListenerKind::Admin] {
            listeners.push((kind, bind(&config, kind, &mut inherited)?));
        }
        let components =
            Components::build(&config, Clock::system(), Arc::new(Metrics::with_initial_series()))?;
        Ok(Self { config, listeners, components })
    }

    /// Serves requests until SIGTERM, SIGINT or SIGQUIT, and then until the requests in flight are done. SIGHUP reloads
    /// the settings file and all watched files.
    pub(crate) async fn run(
        self,
        mut signals: Signals,
        reload: ConfigReloadDependencies,
        started: Instant,
    ) -> Result<(), StartError> {
        let Components { app_state, readiness, hash_pool, remote_sources, file_reloaders, clock, .. } =
            self.components;
        let threads = if self.config.htpasswd.file.is_some() { self.config.hash.threads } else { 0 };
        let hash_threads = spawn_hash_threads(&hash_pool, threads)?;
        #[cfg(feature = "ecr")]
        let token_refresh = start_ecr_token_refresh(self.components.ecr_token_stores).await?;
        let remote_source_threads =
            remote_sources.iter().map(spawn_remote_source_thread).collect::<io::Result<Vec<_>>>()?;
        let on_hangup = start_reloads(&self.config, reload, &app_state, file_reloaders, &clock)?;

        let (users, keys) = (app_state.metrics.htpasswd_users.get(), app_state.metrics.api_keys.get());
        let [auth, public, admin] = [ListenerKind::Auth, ListenerKind::Public, ListenerKind::Admin]
            .map(|kind| addresses(&self.listeners, kind));
        // Dropped at the end, which removes the paths.
        let mut sockets = Vec::new();
        let mut servers = Vec::new();
        for (kind, listeners) in self.listeners {
            if !listeners.is_empty() {
                servers.push(http_server::serve(&self.config, &app_state, kind, listeners, &mut sockets)?);
            }
        }
        let handles: Vec<_> = servers.iter().map(actix_web::dev::Server::handle).collect();
        let mut servers: JoinSet<io::Result<()>> = servers.into_iter().collect();
        let start_millis = started.elapsed().as_millis() as u64;
        tracing::info!(listen = ?auth, public = ?public, admin = ?admin, users, keys, start_millis, "doorward started");
        notify_systemd(NotifyState::Ready);

        tokio::select! {
            () = signals.wait_for_shutdown(&on_hangup) => {}
            Some(ended) = servers.join_next() => ended.map_err(io::Error::other)??,
        }
        readiness.start_draining();
        notify_systemd(NotifyState::Stopping);
        tracing::info!("shutting down");
        tokio::select! {
            () = stop_gracefully(&handles, self.config.limits.shutdown_delay) => {}
            // A second signal ends the server at once.
            () = signals.wait_for_shutdown(&on_hangup) => stop_at_once(&handles).await,
        }
        while let Some(ended) = servers.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        hash_pool.close();
        // No request waits for a call any more.
        drop(remote_source_threads);
        #[cfg(feature = "ecr")]
        drop(token_refresh);
        // Ends the threads that reload the configuration and the files.
        drop(on_hangup);
        for thread in hash_threads {
            // The check in progress takes a second at most. A panic was logged already.
            let _ = thread.join();
        }
        tracing::info!("doorward stopped");
        Ok(())
    }
}

/// Starts the threads that reload the settings and the watched files. Returns what SIGHUP calls; dropping it ends the
/// threads.
fn start_reloads(
    config: &Config,
    reload: ConfigReloadDependencies,
    app_state: &Arc<AppState>,
    file_reloaders: Vec<Box<dyn PollFile>>,
    clock: &Clock,
) -> io::Result<impl Fn() + use<>> {
    let (request_config_reload, config_requests) = sync_channel(RELOAD_SIGNALS_QUEUED_MAX);
    ConfigReloader::new(reload, config.clone(), Arc::clone(app_state)).spawn(config_requests)?;
    let (poll_now, poll_requests) = sync_channel(RELOAD_SIGNALS_QUEUED_MAX);
    let interval = config.reload.poll_interval;
    let handle = reload::spawn_poll_threads(file_reloaders, interval, clock, poll_requests)?;
    // The cell is empty, so this cannot fail.
    let _ = app_state.reload_handle.set(handle);
    Ok(move || {
        // A full channel has a request that includes this one.
        let _ = poll_now.try_send(PollNow);
        let _ = request_config_reload.try_send(ConfigReloadRequest);
    })
}

/// Returns the addresses of a listener, for the log.
fn addresses(listeners: &[(ListenerKind, Vec<BoundListener>)], kind: ListenerKind) -> Vec<String> {
    let of_kind = listeners.iter().filter(|(listener, _)| *listener == kind);
    of_kind.flat_map(|(_, listeners)| listeners).map(ToString::to_string).collect()
}

/// Binds the sockets of a listener.
fn bind(
    config: &Config,
    kind: ListenerKind,
    inherited: &mut SystemdSockets,
) -> Result<Vec<BoundListener>, BindError> {
    let (key, listen, mode): (_, &[ListenAddress], _) = match kind {
        ListenerKind::Auth => ("listen", &config.listen, config.socket_mode),
        ListenerKind::Public => ("public.listen", &config.public.listen, config.public.socket_mode),
        ListenerKind::Admin => ("admin.listen", &config.admin.listen, config.admin.socket_mode),
    };
    let (peers_key, peers) = trusted_peers(config, kind);
    let mut bound = Vec::new();
    for address in listen {
        let listeners = BoundListener::bind(address, key, mode, inherited)?;
        listeners.iter().try_for_each(|listener| listener.check_trusted_peers(address, peers_key, peers))?;
        bound.extend(listeners);
    }
    for address in bound.iter().filter_map(BoundListener::non_loopback_address) {
        tracing::warn!(
            setting = key,
            %address,
            "credentials unencrypted, listener beyond loopback without TLS"
        );
    }
    Ok(bound)
}

/// Returns the peers that a listener trusts, with the key of their setting.
fn trusted_peers(config: &Config, kind: ListenerKind) -> (&'static str, &[IpNet]) {
    match kind {
        ListenerKind::Auth => ("trusted_peers", &config.trusted_peers),
        ListenerKind::Public => ("public.trusted_peers", &config.public.trusted_peers),
        ListenerKind::Admin => ("admin.trusted_peers", &config.admin.trusted_peers),
    }
}

/// Stops the servers after all accepted connections were served.
async fn stop_gracefully(handles: &[actix_web::dev::ServerHandle], delay: Duration) {
    tokio::time::sleep(delay).await;
    // A stop drops accepted connections that no worker has started with. So no connection is accepted any more before
    // the stop. New clients wait at the socket, for the next process if the socket is from systemd.
    for handle in handles {
        handle.pause().await;
    }
    tokio::time::sleep(ACCEPTED_CONNECTIONS_GRACE).await;
    for handle in handles {
        handle.stop(true).await;
    }
}

/// Stops the servers, and drops all connections.
async fn stop_at_once(handles: &[actix_web::dev::ServerHandle]) {
    for handle in handles {
        handle.stop(false).await;
    }
}

/// Notifies systemd of a change of state (`Type=notify`, sd_notify(3)).
fn notify_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd not notified");
    }
}

/// Starts to fetch tokens, and waits a moment for the first ones.
#[cfg(feature = "ecr")]
async fn start_ecr_token_refresh(
    sources: Vec<(AwsAccount, Arc<TokenStore>)>,
) -> Result<Option<oneshot::Sender<()>>, StartError> {
    let token_stores: Vec<Arc<TokenStore>> =
        sources.iter().map(|(_, token_store)| Arc::clone(token_store)).collect();
    let client = |(account, token_store): (AwsAccount, Arc<TokenStore>)| match EcrTokenClient::new(account) {
        Ok(client) => Ok((client, token_store)),
        Err(error) => Err(StartError::InvalidEcrUpstream(Arc::clone(token_store.name()), error)),
    };
    let clients = sources.into_iter().map(client).collect::<Result<_, _>>()?;
    let stop = ecr_token_refresh::spawn_refresh_thread(clients)?;
    ecr_token_refresh::wait_for_first_tokens(&token_stores).await;
    Ok(stop)
}

/// Starts the thread that calls the service of a remote source. Dropping the returned sender ends the thread and its calls.
fn spawn_remote_source_thread(source: &Arc<RemoteSource>) -> io::Result<oneshot::Sender<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVER_THREADS)
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let calls = Arc::clone(source).run();
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = calls => {}
                // The sender was dropped.
                _ = stopped => {}
            }
        });
        // Does not wait for name lookups.
        runtime.shutdown_background();
    };
    thread::Builder::new().name(format!("doorward-call-{}", source.name())).spawn(run)?;
    Ok(stop)
}

/// Starts the threads that hash passwords.
fn spawn_hash_threads(pool: &Arc<HashPool>, threads: usize) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let spawn = |number| {
        let pool = Arc::clone(pool);
        thread::Builder::new().name(format!("doorward-hash-{number}")).spawn(move || {
            // On Linux this applies to the calling thread only.
            if let Err(error) = rustix::process::setpriority_process(None, HASH_NICENESS) {
                tracing::warn!(%error, "priority of hash thread not lowered");
            }
            pool.run();
        })
    };
    (0..threads).map(spawn).collect()
}
