//! The composition root: from settings to listeners that answer. The one place that knows every
//! concrete type.

mod admission;
pub mod bind_error;
pub mod components;
#[cfg(feature = "ecr")]
mod ecr_token_refresh;
pub mod file_descriptors;
mod http_server;
pub mod listen;
pub mod signals;
mod start_error;
pub mod systemd_sockets;
mod token_issuer;
pub mod upstreams;

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
use self::listen::BoundListener;
use self::signals::Signals;
pub use self::start_error::StartError;
use self::systemd_sockets::SystemdSockets;
use crate::authn::hash_pool::HashPool;
use crate::authn::remote::RemoteSource;
use crate::clock::Clock;
use crate::config::{Config, ListenAddress};
use crate::http::service::ListenerKind;
use crate::metrics::Metrics;
use crate::reload;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::{AwsAccount, aws::EcrTokenClient, lease::Lease};

/// How much nicer than the rest a hash thread is (nice(2)): an answer at hand does not wait for a
/// core that is hashing. A third of a core's weight, so that a log-in still gets through beside
/// other programs that use all cores.
const HASH_NICENESS: i32 = 5;

/// How long a shutdown lets the workers begin with what was accepted.
const ACCEPTED_CONNECTIONS_GRACE: Duration = Duration::from_millis(100);

/// Look-ups of a service's name at one time; the system's way to do it holds a thread.
const RESOLVER_THREADS: usize = 4;

/// Requests to look at the file that wait; more say nothing new.
const RELOAD_SIGNALS_QUEUED_MAX: usize = 1;

/// A server whose listeners are bound and whose users are loaded.
pub struct Server {
    config: Config,
    /// What each listener serves, and its sockets.
    listeners: Vec<(ListenerKind, Vec<BoundListener>)>,
    components: Components,
}

impl Server {
    /// Binds the listeners, loads the users and puts the gate together. Nobody is answered yet.
    pub fn bind_listener(settings: Config) -> Result<Self, StartError> {
        if settings.authenticators.is_empty() {
            return Err(StartError::NoAuthenticatorConfigured);
        }
        file_descriptors::raise_limit(&settings)?;
        let mut inherited = SystemdSockets::from_environment();
        let mut listeners = Vec::new();
        for kind in [ListenerKind::Auth, ListenerKind::Public, ListenerKind::Admin] {
            listeners.push((kind, bind(&settings, kind, &mut inherited)?));
        }
        let house = Components::build(&settings, Clock::system(), Arc::new(Metrics::with_initial_series()))?;
        Ok(Self { config: settings, listeners, components: house })
    }

    /// Answers until SIGTERM, SIGINT or SIGQUIT, and then until the requests in flight are done.
    /// SIGHUP has the htpasswd file looked at.
    pub async fn run(self, mut signals: Signals, started: Instant) -> Result<(), StartError> {
        let Components {
            app_state: front,
            readiness,
            hash_pool: pool,
            auth_backends: services,
            file_reloaders: reloaders,
            clock,
            ..
        } = self.components;
        let hashes = self.config.htpasswd_file.is_some();
        let hashers = spawn_hash_threads(&pool, if hashes { self.config.hash_threads } else { 0 })?;
        #[cfg(feature = "ecr")]
        let fetchers = start_ecr_token_refresh(self.components.ecr_leases).await?;
        let callers = services.iter().map(spawn_auth_backend_thread).collect::<io::Result<Vec<_>>>()?;
        let (look, looks) = sync_channel(RELOAD_SIGNALS_QUEUED_MAX);
        let poll = self.config.reload_poll_interval;
        // It was empty before.
        let _ = front.reload_handle.set(reload::spawn_poll_threads(reloaders, poll, &clock, looks)?);

        let (users, keys) = (front.metrics.htpasswd_users.get(), front.metrics.api_keys.get());
        let addresses = |kind| -> Vec<String> {
            let of = self.listeners.iter().filter(|(of, _)| *of == kind);
            of.flat_map(|(_, listeners)| listeners).map(ToString::to_string).collect()
        };
        let (auth, public, admin) =
            (addresses(ListenerKind::Auth), addresses(ListenerKind::Public), addresses(ListenerKind::Admin));
        // Their paths are removed when this goes, at the end.
        let mut sockets = Vec::new();
        let mut servers = Vec::new();
        for (kind, listeners) in self.listeners {
            if !listeners.is_empty() {
                servers.push(http_server::serve(&self.config, &front, kind, listeners, &mut sockets)?);
            }
        }
        let handles: Vec<_> = servers.iter().map(actix_web::dev::Server::handle).collect();
        let mut servers: JoinSet<io::Result<()>> = servers.into_iter().collect();
        let start_millis = started.elapsed().as_millis() as u64;
        tracing::info!(listen = ?auth, public = ?public, admin = ?admin, users, keys, start_millis, "doorward is ready");
        notify_systemd(NotifyState::Ready);

        tokio::select! {
            () = signals.wait_for_shutdown(&look) => {}
            Some(ended) = servers.join_next() => ended.map_err(io::Error::other)??,
        }
        readiness.start_draining();
        notify_systemd(NotifyState::Stopping);
        tracing::info!("shutting down");
        let graceful = stop_gracefully(&handles, self.config.shutdown_delay);
        tokio::select! {
            () = graceful => {}
            // Told twice, it means at once.
            () = signals.wait_for_shutdown(&look) => {
                for handle in &handles {
                    handle.stop(false).await;
                }
            }
        }
        while let Some(ended) = servers.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        pool.close();
        // Nobody waits for a call any more.
        drop(callers);
        #[cfg(feature = "ecr")]
        drop(fetchers);
        drop(look);
        for hasher in hashers {
            // The check that it is at takes a second at most; its thread has nothing to say.
            let _ = hasher.join();
        }
        tracing::info!("doorward has ended");
        Ok(())
    }
}

/// Binds the sockets of a listener.
fn bind(
    settings: &Config,
    kind: ListenerKind,
    inherited: &mut SystemdSockets,
) -> Result<Vec<BoundListener>, BindError> {
    let (key, listen, mode): (_, &[ListenAddress], _) = match kind {
        ListenerKind::Auth => ("listen", &settings.listen, settings.socket_mode),
        ListenerKind::Public => ("public.listen", &settings.public_listen, settings.public_socket_mode),
        ListenerKind::Admin => ("admin.listen", &settings.admin_listen, settings.admin_socket_mode),
    };
    let (peers_key, peers) = trusted_peers(settings, kind);
    let mut bound = Vec::new();
    for one in listen {
        let listeners = BoundListener::bind(one, key, mode, inherited)?;
        listeners.iter().try_for_each(|listener| listener.check_trusted_peers(one, peers_key, peers))?;
        bound.extend(listeners);
    }
    for address in bound.iter().filter_map(BoundListener::non_loopback_address) {
        tracing::warn!(
            setting = key,
            %address,
            "other machines can reach this listener, and it has no TLS: whoever can read the network reads credentials"
        );
    }
    Ok(bound)
}

/// The peers that a listener trusts, with the name of their setting.
fn trusted_peers(settings: &Config, kind: ListenerKind) -> (&'static str, &[IpNet]) {
    match kind {
        ListenerKind::Auth => ("trusted_peers", &settings.trusted_peers),
        ListenerKind::Public => ("public.trusted_peers", &settings.public_trusted_peers),
        ListenerKind::Admin => ("admin.trusted_peers", &settings.admin_trusted_peers),
    }
}

/// Answers what was accepted, and no more.
async fn stop_gracefully(handles: &[actix_web::dev::ServerHandle], drain: Duration) {
    tokio::time::sleep(drain).await;
    // A stop drops what was accepted and not begun. So nothing more is accepted first: who comes now
    // waits at the socket, for the next process where it is systemd's.
    for handle in handles {
        handle.pause().await;
    }
    tokio::time::sleep(ACCEPTED_CONNECTIONS_GRACE).await;
    for handle in handles {
        handle.stop(true).await;
    }
}

/// Tells systemd, where it waits for that (`Type=notify`, sd_notify(3)).
fn notify_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd can't be told");
    }
}

/// Has tokens fetched, and waits a moment for the first ones.
#[cfg(feature = "ecr")]
async fn start_ecr_token_refresh(
    sources: Vec<(AwsAccount, Arc<Lease>)>,
) -> Result<Option<oneshot::Sender<()>>, StartError> {
    let leases: Vec<Arc<Lease>> = sources.iter().map(|(_, lease)| Arc::clone(lease)).collect();
    let of = |(account, lease): (AwsAccount, Arc<Lease>)| match EcrTokenClient::new(account) {
        Ok(aws) => Ok((aws, lease)),
        Err(fault) => Err(StartError::InvalidEcrUpstream(Arc::clone(lease.name()), fault)),
    };
    let fetchers =
        ecr_token_refresh::spawn_refresh_thread(sources.into_iter().map(of).collect::<Result<_, _>>()?)?;
    ecr_token_refresh::wait_for_first_tokens(&leases).await;
    Ok(fetchers)
}

/// A thread for the calls of a service. It ends, and the calls with it, when what is returned is dropped.
fn spawn_auth_backend_thread(service: &Arc<RemoteSource>) -> io::Result<oneshot::Sender<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVER_THREADS)
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let calls = Arc::clone(service).run();
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = calls => {}
                // Dropping the sender is the word.
                _ = stopped => {}
            }
        });
        // A name that is still looked up is nobody's business any more.
        runtime.shutdown_background();
    };
    thread::Builder::new().name(format!("doorward-call-{}", service.name())).spawn(run)?;
    Ok(stop)
}

fn spawn_hash_threads(pool: &Arc<HashPool>, threads: usize) -> io::Result<Vec<thread::JoinHandle<()>>> {
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
