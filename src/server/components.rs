//! Everything but the listeners, put together from the settings.

use crate::reload::FileReloader;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::token_issuer::{build_challenge, build_token_issuer, start_signing_key_reloader};

use super::start_error::StartError;
use super::upstreams::UpstreamParts;
use crate::authn::api_key::{self, ApiKeys};
use crate::authn::chain::{self, AuthenticatorChain};
use crate::authn::hash_pool::HashPool;
use crate::authn::htpasswd::Htpasswd;
use crate::authn::htpasswd::file::HtpasswdParseOptions;
use crate::authn::htpasswd::reload::HtpasswdFile;
use crate::authn::queue::QueueLimits;
use crate::authn::remote::RemoteSource;
use crate::clock::{Clock, Moment};
use crate::config::authenticator::{AuthenticatorConfig, AuthenticatorType};
use crate::config::{ApiKeyOwners, Config};
use crate::http::AppState;
use crate::http::admin_access::AdminAccess;
use crate::http::health::Readiness;
use crate::http::peer::ProxySecret;
use crate::http::response::{Challenge, IdentityHeaders};
use crate::http::verdict_log::VerdictLog;
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, PipelineDependencies};
use crate::policy::Policy;
use crate::policy::reload::{self as policy_reload, PolicyFileKind, PolicyLoadError};
use crate::reload::{PollFile, SourceFile};
#[cfg(feature = "ecr")]
use crate::upstream::ecr::{self, lease::Lease};

/// What answers, what it waits for, and what keeps it fresh.
pub struct Components {
    /// What the listeners serve.
    pub app_state: Arc<AppState>,
    /// What `/readyz` tells.
    pub readiness: Arc<Readiness>,
    /// Wants threads to run it.
    pub hash_pool: Arc<HashPool>,
    /// Want a thread that runs them.
    pub auth_backends: Vec<Arc<RemoteSource>>,
    /// Want a thread that has them look.
    pub file_reloaders: Vec<Box<dyn PollFile>>,
    /// Want somebody who fetches them.
    #[cfg(feature = "ecr")]
    pub ecr_leases: Vec<(ecr::AwsAccount, Arc<Lease>)>,
    /// The time for all of them.
    pub clock: Clock,
}

impl Components {
    /// Loads the files that the settings name, and puts the gate together. No thread is started.
    pub fn build(settings: &Config, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        if settings.authenticators.is_empty() {
            return Err(StartError::NoAuthenticatorConfigured);
        }
        let users = start_htpasswd_reloader(settings, &metrics, clock.now())?;
        let services = build_auth_backends(settings, &clock, &metrics)?;
        let keys = start_api_key_reloader(settings, &metrics, clock.now())?;
        let (policy, files) = start_policy_reloaders(settings, &clock, &metrics)?;
        let upstreams = UpstreamParts::build(settings, &clock, &metrics)?;
        let tokens = start_signing_key_reloader(settings, clock.now())?;
        let health = files.iter().map(FileReloader::health);
        let health = health.chain(users.iter().map(FileReloader::health));
        let health = health.chain(keys.iter().map(FileReloader::health));
        let health = health.chain(upstreams.file_reloaders.iter().map(FileReloader::health));
        let health = health.chain(tokens.iter().map(FileReloader::health)).collect();
        let readiness = Readiness::new(health, services.clone());
        #[cfg(feature = "ecr")]
        let readiness =
            readiness.with_leases(upstreams.ecr_leases.iter().map(|(_, lease)| Arc::clone(lease)).collect());
        let readiness = Arc::new(readiness);
        let pool = Arc::new(build_hash_pool(settings, users.as_ref(), &clock, &metrics));
        let gate = Pipeline::new(PipelineDependencies {
            authenticators: build_authenticators(
                settings,
                users.as_ref().map(|users| users.target().htpasswd()),
                &pool,
                &services,
                keys.as_ref().map(|keys| keys.target().api_keys()),
            ),
            policy,
            upstreams: upstreams.upstreams.clone(),
            token_issuer: tokens.as_ref().map(|tokens| build_token_issuer(settings, tokens)),
            cache: settings.cache,
            throttle: settings.throttle,
            prefixes: settings.network_prefixes,
            check_timeout: settings.max_authentication_time(),
            process_key: random_key()?,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        });
        let sees = AppStateDependencies {
            readiness: Arc::clone(&readiness),
            proxy_secret: upstreams.proxy_secret,
            admin_access: AdminAccess::new(
                settings.admin_allowed_hosts.iter().cloned(),
                upstreams.admin_token.clone(),
                clock.clone(),
            ),
        };
        let front = Arc::new(build_app_state(settings, gate, sees, &clock, metrics)?);
        let mut reloaders: Vec<Box<dyn PollFile>> = Vec::new();
        reloaders.extend(users.map(|users| Box::new(users) as Box<dyn PollFile>));
        reloaders.extend(keys.map(|keys| Box::new(keys) as Box<dyn PollFile>));
        reloaders.extend(files.into_iter().map(|file| Box::new(file) as Box<dyn PollFile>));
        reloaders.extend(tokens.map(|tokens| Box::new(tokens) as Box<dyn PollFile>));
        reloaders
            .extend(upstreams.file_reloaders.into_iter().map(|file| Box::new(file) as Box<dyn PollFile>));
        Ok(Self {
            app_state: front,
            readiness,
            hash_pool: pool,
            auth_backends: services,
            file_reloaders: reloaders,
            #[cfg(feature = "ecr")]
            ecr_leases: upstreams.ecr_leases,
            clock,
        })
    }
}

struct AppStateDependencies {
    readiness: Arc<Readiness>,
    proxy_secret: Option<ProxySecret>,
    admin_access: AdminAccess,
}

fn build_app_state(
    settings: &Config,
    gate: Pipeline,
    sees: AppStateDependencies,
    clock: &Clock,
    metrics: Arc<Metrics>,
) -> Result<AppState, StartError> {
    Ok(AppState {
        pipeline: Arc::new(gate),
        challenge: build_challenge(settings)?,
        token_challenge: Challenge::basic(&settings.realm).map_err(|_| StartError::InvalidChallengeHeader)?,
        clock: clock.clone(),
        identity_headers: build_identity_headers(settings)?,
        verdict_log: VerdictLog::new(settings.log_refusals_per_second, clock.clone()),
        upstream_refused_log: VerdictLog::new(settings.log_refusals_per_second, clock.clone()),
        readiness: sees.readiness,
        allowed_counter: AppState::register_verdicts(&metrics),
        metrics,
        prefixes: settings.network_prefixes,
        header_bytes_max: settings.max_header_bytes,
        log_allowed: settings.log_allowed_requests,
        proxy_secret: sees.proxy_secret,
        dialects: settings.dialects.clone().into(),
        admin_access: sees.admin_access,
        reload_handle: OnceLock::new(),
    })
}

/// The htpasswd file, where it is asked.
fn start_htpasswd_reloader(
    settings: &Config,
    metrics: &Arc<Metrics>,
    now: Moment,
) -> Result<Option<FileReloader<HtpasswdFile>>, StartError> {
    let Some(path) = settings.htpasswd_file.clone() else { return Ok(None) };
    let source = SourceFile { path, max_bytes: settings.htpasswd_max_bytes };
    let rules = HtpasswdParseOptions {
        fingerprint_key: random_key()?,
        allowed_formats: settings.htpasswd_insecure_formats,
    };
    // Keys stand beside the chain, and nobody is asked after them.
    let last = settings.authenticators.iter().rfind(|one| !matches!(one.kind, AuthenticatorType::ApiKeys));
    let is_last = last.is_some_and(|one| matches!(one.kind, AuthenticatorType::Htpasswd));
    Ok(Some(FileReloader::start(source, HtpasswdFile::new(rules, is_last, Arc::clone(metrics)), now)?))
}

/// The pool that hashes for them.
fn build_hash_pool(
    settings: &Config,
    users: Option<&FileReloader<HtpasswdFile>>,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> HashPool {
    let (clock, metrics) = (clock.clone(), Arc::clone(metrics));
    match users {
        Some(users) => {
            HashPool::with_dynamic_capacity(settings.hash_timing(), users.target().htpasswd(), clock, metrics)
        }
        // Nothing is hashed.
        None => HashPool::new(QueueLimits::default(), clock, metrics),
    }
}

/// The file of keys, where there is one.
fn start_api_key_reloader(
    settings: &Config,
    metrics: &Arc<Metrics>,
    now: Moment,
) -> Result<Option<FileReloader<api_key::reload::ApiKeyFile>>, StartError> {
    let one = settings.authenticators.iter().find(|one| matches!(one.kind, AuthenticatorType::ApiKeys));
    let (Some(one), Some(path)) = (one, settings.api_keys_file.clone()) else { return Ok(None) };
    let source = SourceFile { path, max_bytes: settings.api_keys_max_bytes };
    let rules = api_key::ApiKeyRules {
        username: settings.api_keys_username.as_str().into(),
        is_owner_line_required: settings.htpasswd_file.is_some()
            && settings.api_keys_owners == ApiKeyOwners::Htpasswd,
    };
    let file = api_key::reload::ApiKeyFile::new(Arc::clone(&one.name), rules, Arc::clone(metrics));
    Ok(Some(FileReloader::start(source, file, now)?))
}

/// Builds the remote sources, in the order of the chain.
///
/// # Errors
/// If a file that the settings name is unusable.
pub fn build_auth_backends(
    settings: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Arc<RemoteSource>>, StartError> {
    let source = |authenticator: &AuthenticatorConfig| match &authenticator.kind {
        AuthenticatorType::Remote(spec) => {
            let (origin, name) = (authenticator.origin.clone(), Arc::clone(&authenticator.name));
            let source = RemoteSource::build((**spec).clone(), clock.clone(), Arc::clone(metrics));
            Some(source.map(Arc::new).map_err(|error| StartError::InvalidAuthBackend(origin, name, error)))
        }
        AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => None,
    };
    settings.authenticators.iter().filter_map(source).collect()
}

/// Builds the chain of authenticators. `sources` are the remote ones in the order of the chain.
fn build_authenticators(
    settings: &Config,
    users: Option<Arc<Htpasswd>>,
    pool: &Arc<HashPool>,
    sources: &[Arc<RemoteSource>],
    api_keys: Option<Arc<ApiKeys>>,
) -> AuthenticatorChain {
    let mut sources = sources.iter();
    let chain = settings.authenticators.iter().filter_map(|authenticator| {
        let kind = match &authenticator.kind {
            AuthenticatorType::Htpasswd => {
                chain::AuthenticatorKind::Htpasswd(Arc::clone(users.as_ref()?), Arc::clone(pool))
            }
            AuthenticatorType::Remote(_) => chain::AuthenticatorKind::Remote(Arc::clone(sources.next()?)),
            AuthenticatorType::ApiKeys => return None,
        };
        let (name, fallback_for) = (Arc::clone(&authenticator.name), authenticator.fallback_for);
        Some(chain::Authenticator { name, kind, fallback_for })
    });
    AuthenticatorChain::new(chain.collect(), api_keys)
}

/// Builds the headers of all facts that any authenticator can report, and of the names of all authenticators.
fn build_identity_headers(settings: &Config) -> Result<IdentityHeaders, StartError> {
    let facts = |kind: &AuthenticatorType| match kind {
        AuthenticatorType::Remote(spec) => spec.kind.spec().fact_names(),
        AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => Vec::new(),
    };
    let names: std::collections::BTreeSet<Arc<str>> =
        settings.authenticators.iter().flat_map(|authenticator| facts(&authenticator.kind)).collect();
    let authenticators = settings.authenticators.iter().map(|authenticator| Arc::clone(&authenticator.name));
    IdentityHeaders::new(names.into_iter(), authenticators).map_err(|_| StartError::InvalidChallengeHeader)
}

fn random_key() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StartError::NoRandomBytes(error.to_string()))?;
    Ok(bytes)
}

/// The policy, and what keeps its files fresh.
fn start_policy_reloaders(
    settings: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Policy>, Vec<FileReloader<policy_reload::PolicyFile>>), PolicyLoadError> {
    let policy = Arc::new(Policy::default());
    let files =
        [(PolicyFileKind::Rules, &settings.policy_file), (PolicyFileKind::Groups, &settings.groups_file)];
    let start = |(file, path): (PolicyFileKind, &Option<PathBuf>)| {
        let source = SourceFile { path: path.clone()?, max_bytes: policy_reload::FILE_BYTES_MAX };
        let (policy, metrics) = (Arc::clone(&policy), Arc::clone(metrics));
        let known = settings.group_source();
        let file = policy_reload::PolicyFile::new(file, known, policy, clock.clone(), metrics);
        Some(FileReloader::start(source, file, clock.now()))
    };
    let reloaders = files.into_iter().filter_map(start).collect::<Result<_, _>>()?;
    Ok((policy, reloaders))
}
