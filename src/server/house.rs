//! Everything but the listeners, put together from the settings.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::listen::BindFault;
use crate::authn::Authenticators;
use crate::authn::htpasswd::file::Rules;
use crate::authn::htpasswd::reload::Reloader;
use crate::authn::htpasswd::source::FileFault;
use crate::authn::pool::HashPool;
use crate::clock::{Clock, Moment};
use crate::gate::policy::Policy;
use crate::gate::policy::reload::{self as policy_reload, File, PolicyFault};
use crate::gate::{Gate, Parts};
use crate::http::Front;
use crate::http::probe::Readiness;
use crate::http::refusals::RefusalLog;
use crate::http::reply::Challenge;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::watch::{Reload, Source};

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
    /// The policy or the group file can't be used.
    #[error(transparent)]
    Policy(#[from] PolicyFault),
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

/// What answers, what it waits for, and what keeps it fresh.
pub struct House {
    /// What the listeners serve.
    pub front: Arc<Front>,
    /// What `/readyz` tells.
    pub readiness: Arc<Readiness>,
    /// Wants threads to run it.
    pub pool: Arc<HashPool>,
    /// Want a thread that has them look.
    pub reloaders: Vec<Box<dyn Reload>>,
    /// The time for all of them.
    pub clock: Clock,
}

impl House {
    /// Loads the files that the settings name, and puts the gate together. No thread is started.
    pub fn build(settings: &Settings, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let path = settings.htpasswd.clone().ok_or(StartError::NoAuthenticator)?;
        let source = Source { path, max_bytes: settings.htpasswd_max_bytes };
        let rules = Rules { key: random()?, allowed: settings.htpasswd_allow };
        let users = Reloader::start(source, rules, Arc::clone(&metrics), clock.now())?;
        let (policy, files) = policy(settings, &metrics, clock.now())?;
        let freshness = files.iter().map(policy_reload::Reloader::freshness).chain([users.freshness()]);
        let readiness = Arc::new(Readiness::new(freshness.collect()));
        let pool = Arc::new(HashPool::new(settings.hash, clock.clone(), Arc::clone(&metrics)));
        let gate = Gate::new(Parts {
            authenticators: Authenticators::new(users.htpasswd()),
            pool: Arc::clone(&pool),
            policy,
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
            has_policy: settings.policy.is_some(),
        });
        let mut reloaders: Vec<Box<dyn Reload>> = vec![Box::new(users)];
        reloaders.extend(files.into_iter().map(|file| Box::new(file) as Box<dyn Reload>));
        Ok(Self { front, readiness, pool, reloaders, clock })
    }
}

fn random() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(bytes)
}

/// The policy, and what keeps its files fresh.
fn policy(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    now: Moment,
) -> Result<(Arc<Policy>, Vec<policy_reload::Reloader>), PolicyFault> {
    let policy = Arc::new(Policy::default());
    let files = [(File::Rules, &settings.policy), (File::Groups, &settings.groups)];
    let start = |(file, path): (File, &Option<PathBuf>)| {
        let source = Source { path: path.clone()?, max_bytes: policy_reload::FILE_MAX };
        Some(policy_reload::Reloader::start(
            file,
            source,
            settings.groups.is_some(),
            Arc::clone(&policy),
            Arc::clone(metrics),
            now,
        ))
    };
    let reloaders = files.into_iter().filter_map(start).collect::<Result<_, _>>()?;
    Ok((policy, reloaders))
}
