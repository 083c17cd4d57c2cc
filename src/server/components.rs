//! Everything but the listeners, put together from the settings.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::issuing::{challenge, issuing, tokens};

use super::start_error::StartError;
use super::upstreams::Kept;
use crate::authn::api_key::{self, Keys};
use crate::authn::chain::{self, Authenticators};
use crate::authn::hash_pool::HashPool;
use crate::authn::htpasswd::Htpasswd;
use crate::authn::htpasswd::file::Rules;
use crate::authn::htpasswd::reload::{HtpasswdFile, Reloader};
use crate::authn::http::Service;
use crate::authn::queue::Limits;
use crate::clock::{Clock, Moment};
use crate::config::authenticator::{Authenticator, Kind};
use crate::config::{KeyOwners, Settings};
use crate::http::AppState;
use crate::http::access::AdminAccess;
use crate::http::health::Readiness;
use crate::http::peer::ProxySecret;
use crate::http::refusals::VerdictLog;
use crate::http::reply::{Challenge, IdentityHeaders};
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, PipelineDependencies};
use crate::policy::Policy;
use crate::policy::reload::{self as policy_reload, PolicyFileKind, PolicyLoadError};
use crate::reload::{Reload, Source};
use crate::token;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::{self, lease::Lease};
use crate::upstream::file::{self};

/// What answers, what it waits for, and what keeps it fresh.
pub struct House {
    /// What the listeners serve.
    pub front: Arc<AppState>,
    /// What `/readyz` tells.
    pub readiness: Arc<Readiness>,
    /// Wants threads to run it.
    pub pool: Arc<HashPool>,
    /// Want a thread that runs them.
    pub services: Vec<Arc<Service>>,
    /// Want a thread that has them look.
    pub reloaders: Vec<Box<dyn Reload>>,
    /// Want somebody who fetches them.
    #[cfg(feature = "ecr")]
    pub leases: Vec<(ecr::AwsAccount, Arc<Lease>)>,
    /// The time for all of them.
    pub clock: Clock,
}

impl House {
    /// Loads the files that the settings name, and puts the gate together. No thread is started.
    pub fn build(settings: &Settings, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        if settings.authenticators.is_empty() {
            return Err(StartError::NoAuthenticator);
        }
        let users = users(settings, &metrics, clock.now())?;
        let services = services(settings, &clock, &metrics)?;
        let keys = keys(settings, &metrics, clock.now())?;
        let (policy, files) = policy(settings, &clock, &metrics)?;
        let upstreams = Kept::build(settings, &clock, &metrics)?;
        let tokens = tokens(settings, clock.now())?;
        let health = files.iter().map(policy_reload::PolicyFileReloader::health);
        let health = health.chain(users.iter().map(Reloader::health));
        let health = health.chain(keys.iter().map(api_key::reload::Reloader::health));
        let health = health.chain(upstreams.files.iter().map(file::SecretFileReloader::health));
        let health = health.chain(tokens.iter().map(token::reload::SigningKeyFileReloader::health)).collect();
        let readiness = Readiness::new(health, services.clone());
        #[cfg(feature = "ecr")]
        let readiness =
            readiness.with_leases(upstreams.leases.iter().map(|(_, lease)| Arc::clone(lease)).collect());
        let readiness = Arc::new(readiness);
        let pool = Arc::new(pool(settings, users.as_ref(), &clock, &metrics));
        let gate = Pipeline::new(PipelineDependencies {
            authenticators: authenticators(
                settings,
                users.as_ref().map(|users| users.kind().htpasswd()),
                &pool,
                &services,
                keys.as_ref().map(|keys| keys.kind().keys()),
            ),
            policy,
            upstreams: upstreams.upstreams.clone(),
            token_issuer: tokens.as_ref().map(|tokens| issuing(settings, tokens)),
            cache: settings.cache,
            throttle: settings.throttle,
            prefixes: settings.prefixes,
            check_timeout: settings.longest_wait(),
            process_key: random()?,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        });
        let sees = Sees {
            readiness: Arc::clone(&readiness),
            entitlement: upstreams.entitlement,
            admin: AdminAccess::new(
                settings.admin_hosts.iter().cloned(),
                upstreams.admin_token.clone(),
                clock.clone(),
            ),
        };
        let front = Arc::new(front(settings, gate, sees, &clock, metrics)?);
        let mut reloaders: Vec<Box<dyn Reload>> = Vec::new();
        reloaders.extend(users.map(|users| Box::new(users) as Box<dyn Reload>));
        reloaders.extend(keys.map(|keys| Box::new(keys) as Box<dyn Reload>));
        reloaders.extend(files.into_iter().map(|file| Box::new(file) as Box<dyn Reload>));
        reloaders.extend(tokens.map(|tokens| Box::new(tokens) as Box<dyn Reload>));
        reloaders.extend(upstreams.files.into_iter().map(|file| Box::new(file) as Box<dyn Reload>));
        Ok(Self {
            front,
            readiness,
            pool,
            services,
            reloaders,
            #[cfg(feature = "ecr")]
            leases: upstreams.leases,
            clock,
        })
    }
}

struct Sees {
    readiness: Arc<Readiness>,
    entitlement: Option<ProxySecret>,
    admin: AdminAccess,
}

fn front(
    settings: &Settings,
    gate: Pipeline,
    sees: Sees,
    clock: &Clock,
    metrics: Arc<Metrics>,
) -> Result<AppState, StartError> {
    Ok(AppState {
        pipeline: Arc::new(gate),
        challenge: challenge(settings)?,
        token_challenge: Challenge::basic(&settings.realm).map_err(|_| StartError::Realm)?,
        clock: clock.clone(),
        identity_headers: identity_headers(settings)?,
        verdict_log: VerdictLog::new(settings.log_refusals, clock.clone()),
        upstream_refused_log: VerdictLog::new(settings.log_refusals, clock.clone()),
        readiness: sees.readiness,
        allowed_counter: AppState::register_verdicts(&metrics),
        metrics,
        prefixes: settings.prefixes,
        header_bytes_max: settings.header_bytes,
        log_allowed: settings.log_allowed,
        proxy_secret: sees.entitlement,
        dialects: settings.dialects.clone().into(),
        admin_access: sees.admin,
        reload_handle: OnceLock::new(),
    })
}

/// The htpasswd file, where it is asked.
fn users(settings: &Settings, metrics: &Arc<Metrics>, now: Moment) -> Result<Option<Reloader>, StartError> {
    let Some(path) = settings.htpasswd.clone() else { return Ok(None) };
    let source = Source { path, max_bytes: settings.htpasswd_max_bytes };
    let rules = Rules { key: random()?, allowed: settings.htpasswd_allow };
    // Keys stand beside the chain, and nobody is asked after them.
    let last = settings.authenticators.iter().rfind(|one| !matches!(one.kind, Kind::Keys));
    let is_last = last.is_some_and(|one| matches!(one.kind, Kind::Htpasswd));
    Ok(Some(Reloader::start(source, HtpasswdFile::new(rules, is_last, Arc::clone(metrics)), now)?))
}

/// The pool that hashes for them.
fn pool(settings: &Settings, users: Option<&Reloader>, clock: &Clock, metrics: &Arc<Metrics>) -> HashPool {
    let (clock, metrics) = (clock.clone(), Arc::clone(metrics));
    match users {
        Some(users) => HashPool::timed(settings.hash_timing(), users.kind().htpasswd(), clock, metrics),
        // Nothing is hashed.
        None => HashPool::new(Limits::default(), clock, metrics),
    }
}

/// The file of keys, where there is one.
fn keys(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    now: Moment,
) -> Result<Option<api_key::reload::Reloader>, StartError> {
    let one = settings.authenticators.iter().find(|one| matches!(one.kind, Kind::Keys));
    let (Some(one), Some(path)) = (one, settings.keys.clone()) else { return Ok(None) };
    let source = Source { path, max_bytes: settings.keys_max_bytes };
    let rules = api_key::Rules {
        username: settings.keys_username.as_str().into(),
        owners_in_htpasswd: settings.htpasswd.is_some() && settings.keys_owners == KeyOwners::Htpasswd,
    };
    let file = api_key::reload::ApiKeyFile::new(Arc::clone(&one.name), rules, Arc::clone(metrics));
    Ok(Some(api_key::reload::Reloader::start(source, file, now)?))
}

/// The services, in the order of the chain.
pub fn services(
    settings: &Settings,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Arc<Service>>, StartError> {
    let service = |one: &Authenticator| {
        let Kind::Http(spec) = &one.kind else { return None };
        let built = Service::build((**spec).clone(), clock.clone(), Arc::clone(metrics));
        let fault = |fault| StartError::Client(one.origin.clone(), Arc::clone(&one.name), fault);
        Some(built.map(Arc::new).map_err(fault))
    };
    settings.authenticators.iter().filter_map(service).collect()
}

fn authenticators(
    settings: &Settings,
    users: Option<Arc<Htpasswd>>,
    pool: &Arc<HashPool>,
    services: &[Arc<Service>],
    keys: Option<Arc<Keys>>,
) -> Authenticators {
    let mut services = services.iter();
    let chain = settings.authenticators.iter().filter_map(|one| {
        let kind = match &one.kind {
            Kind::Htpasswd => chain::Kind::Htpasswd(Arc::clone(users.as_ref()?), Arc::clone(pool)),
            Kind::Http(_) => chain::Kind::Http(Arc::clone(services.next()?)),
            Kind::Keys => return None,
        };
        Some(chain::Authenticator { name: Arc::clone(&one.name), kind, covers: one.covers })
    });
    Authenticators::new(chain.collect(), keys)
}

/// The headers of all facts that any service may give, and the names of all authenticators.
fn identity_headers(settings: &Settings) -> Result<IdentityHeaders, StartError> {
    let of = |kind: &Kind| match kind {
        Kind::Http(spec) => spec.reading.facts.iter().map(|(name, _)| Arc::clone(name)).collect(),
        Kind::Htpasswd | Kind::Keys => Vec::new(),
    };
    let names: std::collections::BTreeSet<Arc<str>> =
        settings.authenticators.iter().flat_map(|one| of(&one.kind)).collect();
    let authenticators = settings.authenticators.iter().map(|one| Arc::clone(&one.name));
    IdentityHeaders::new(names.into_iter(), authenticators).map_err(|_| StartError::Realm)
}

fn random() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(bytes)
}

/// The policy, and what keeps its files fresh.
fn policy(
    settings: &Settings,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Policy>, Vec<policy_reload::PolicyFileReloader>), PolicyLoadError> {
    let policy = Arc::new(Policy::default());
    let files = [(PolicyFileKind::Rules, &settings.policy), (PolicyFileKind::Groups, &settings.groups)];
    let start = |(file, path): (PolicyFileKind, &Option<PathBuf>)| {
        let source = Source { path: path.clone()?, max_bytes: policy_reload::FILE_BYTES_MAX };
        let (policy, metrics) = (Arc::clone(&policy), Arc::clone(metrics));
        let known = settings.groups_known();
        let file = policy_reload::PolicyFile::new(file, known, policy, clock.clone(), metrics);
        Some(policy_reload::PolicyFileReloader::start(source, file, clock.now()))
    };
    let reloaders = files.into_iter().filter_map(start).collect::<Result<_, _>>()?;
    Ok((policy, reloaders))
}
