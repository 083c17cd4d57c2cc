//! Builds all parts of the server except the listeners.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::file_reloaders::FileReloaders;
use super::start_error::StartError;
use super::token_issuer::{build_challenge, build_token_issuer, start_signing_key_reloader};
use super::upstreams::UpstreamParts;
use crate::authn::api_key::{self, ApiKeys};
use crate::authn::chain::{self, AuthenticatorChain};
use crate::authn::hash_pool::HashPool;
use crate::authn::htpasswd::Htpasswd;
use crate::authn::htpasswd::file::HtpasswdParseOptions;
use crate::authn::htpasswd::reload::HtpasswdFile;
use crate::authn::queue::job::QueueLimits;
use crate::authn::remote::RemoteSource;
use crate::clock::{Clock, Moment};
use crate::config::authenticator::{AuthenticatorConfig, AuthenticatorType};
use crate::config::table::ConfigValues;
use crate::config::{ApiKeyOwners, Config};
use crate::http::AppState;
use crate::http::admin_access::AdminAccess;
use crate::http::challenge::Challenge;
use crate::http::health::Readiness;
use crate::http::response::IdentityHeaders;
use crate::http::verdict_log::VerdictLog;
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, PipelineDependencies};
use crate::policy::Policy;
use crate::policy::reload::{self as policy_reload, PolicyFileKind, PolicyLoadError};
use crate::reload::{FileReloader, PollFile, SourceFile};
#[cfg(feature = "ecr")]
use crate::upstream::ecr::{aws::AwsAccount, token_store::TokenStore};

/// The state of the server, and the parts that need threads.
pub(crate) struct Components {
    /// The state that the handlers share.
    pub(crate) app_state: Arc<AppState>,
    /// The state that `/readyz` reports.
    pub(crate) readiness: Arc<Readiness>,
    /// Needs hash threads.
    pub(crate) hash_pool: Arc<HashPool>,
    /// Each needs a thread for its calls.
    pub(crate) remote_sources: Vec<Arc<RemoteSource>>,
    /// Each needs a thread that polls its file.
    pub(crate) file_reloaders: Vec<Box<dyn PollFile>>,
    /// Need a thread that fetches their tokens.
    #[cfg(feature = "ecr")]
    pub(crate) ecr_token_stores: Vec<(AwsAccount, Arc<TokenStore>)>,
    /// The clock of all of them.
    pub(crate) clock: Clock,
}

impl Components {
    /// Loads the files that the configuration names, and builds the pipeline. Starts no thread.
    pub(crate) fn build(config: &Config, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        if config.authenticators.is_empty() {
            return Err(StartError::NoAuthenticatorConfigured);
        }
        let mut files = FileReloaders::default();
        let policy = start_policy_reloaders(config, &clock, &metrics, &mut files)?;
        let users = start_htpasswd_reloader(config, &metrics, clock.now())?
            .map(|reloader| files.add(reloader, HtpasswdFile::htpasswd));
        let api_keys = start_api_key_reloader(config, &metrics, clock.now())?
            .map(|reloader| files.add(reloader, api_key::reload::ApiKeyFile::api_keys));
        let upstreams = UpstreamParts::build(config, &clock, &metrics, &mut files)?;
        let token_issuer = start_signing_key_reloader(config, clock.now())?
            .map(|reloader| files.add(reloader, |file| build_token_issuer(config, file)));
        let remote_sources = build_remote_sources(config, &clock, &metrics)?;
        let readiness = Readiness::new(files.health, remote_sources.clone());
        #[cfg(feature = "ecr")]
        let readiness = readiness.with_token_stores(
            upstreams.ecr_token_stores.iter().map(|(_, token_store)| Arc::clone(token_store)).collect(),
        );
        let readiness = Arc::new(readiness);
        let hash_pool = Arc::new(build_hash_pool(config, users.as_ref(), &clock, &metrics));
        let pipeline = Pipeline::new(PipelineDependencies {
            authenticators: build_authenticators(config, users, &hash_pool, &remote_sources, api_keys),
            policy,
            upstreams: upstreams.upstreams,
            token_issuer,
            cache: config.cache.limits(),
            throttle: config.throttle.limits(),
            prefixes: config.throttle.network_prefixes(),
            check_timeout: config.max_authentication_time(),
            process_key: random_key()?,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        });
        let log = || VerdictLog::new(config.log.denials_per_second, clock.clone());
        let app_state = AppState {
            pipeline: Arc::new(pipeline),
            challenge: build_challenge(config)?,
            token_challenge: Challenge::basic(&config.realm)
                .map_err(|_| StartError::InvalidChallengeHeader)?,
            clock: clock.clone(),
            identity_headers: build_identity_headers(config)?,
            verdict_log: log(),
            upstream_refused_log: log(),
            readiness: Arc::clone(&readiness),
            allowed_counter: AppState::register_verdicts(&metrics),
            metrics,
            prefixes: config.throttle.network_prefixes(),
            header_bytes_max: config.limits.max_header_bytes,
            log_allowed: AtomicBool::new(config.log.allowed_requests),
            proxy_secret: upstreams.proxy_secret,
            dialects: config.dialects.clone().into(),
            admin_access: AdminAccess::new(
                config.admin.allowed_hosts.iter().cloned(),
                upstreams.admin_token,
                clock.clone(),
            ),
            reload_handle: OnceLock::new(),
        };
        Ok(Self {
            app_state: Arc::new(app_state),
            readiness,
            hash_pool,
            remote_sources,
            file_reloaders: files.pollers,
            #[cfg(feature = "ecr")]
            ecr_token_stores: upstreams.ecr_token_stores,
            clock,
        })
    }
}

/// Loads the htpasswd file, and returns the reloader that watches it; `None` if no file is set.
fn start_htpasswd_reloader(
    config: &Config,
    metrics: &Arc<Metrics>,
    now: Moment,
) -> Result<Option<FileReloader<HtpasswdFile>>, StartError> {
    let Some(path) = config.htpasswd.file.clone() else { return Ok(None) };
    let source = SourceFile { path, max_bytes: config.htpasswd.max_bytes };
    let rules = HtpasswdParseOptions {
        fingerprint_key: random_key()?,
        allowed_formats: config.htpasswd.allowed_formats(),
    };
    // API keys are not part of the chain.
    let last = config.authenticators.iter().rfind(|one| !matches!(one.settings, AuthenticatorType::ApiKeys));
    let is_last = last.is_some_and(|one| matches!(one.settings, AuthenticatorType::Htpasswd));
    Ok(Some(FileReloader::start(source, HtpasswdFile::new(rules, is_last, Arc::clone(metrics)), now)?))
}

/// Builds the pool for password hashes.
fn build_hash_pool(
    config: &Config,
    users: Option<&Arc<Htpasswd>>,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> HashPool {
    let (clock, metrics) = (clock.clone(), Arc::clone(metrics));
    match users {
        Some(users) => {
            HashPool::with_dynamic_capacity(config.hash.pool_sizing(), Arc::clone(users), clock, metrics)
        }
        // Without an htpasswd file nothing is hashed.
        None => HashPool::new(QueueLimits::default(), clock, metrics),
    }
}

/// Loads the API key file, and returns the reloader that watches it; `None` if no file is set.
fn start_api_key_reloader(
    config: &Config,
    metrics: &Arc<Metrics>,
    now: Moment,
) -> Result<Option<FileReloader<api_key::reload::ApiKeyFile>>, StartError> {
    let one = config.authenticators.iter().find(|one| matches!(one.settings, AuthenticatorType::ApiKeys));
    let (Some(one), Some(path)) = (one, config.api_keys.file.clone()) else { return Ok(None) };
    let source = SourceFile { path, max_bytes: config.api_keys.max_bytes };
    let rules = api_key::ApiKeyRules {
        username: config.api_keys.username.as_str().into(),
        is_owner_line_required: config.htpasswd.file.is_some()
            && config.api_keys.owners == ApiKeyOwners::Htpasswd,
    };
    let file = api_key::reload::ApiKeyFile::new(Arc::clone(&one.name), rules, Arc::clone(metrics));
    Ok(Some(FileReloader::start(source, file, now)?))
}

/// Builds the remote sources, in the order of the chain.
///
/// # Errors
/// If a file that the config names is unusable.
pub(crate) fn build_remote_sources(
    config: &ConfigValues,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Arc<RemoteSource>>, StartError> {
    let source = |authenticator: &AuthenticatorConfig| match &authenticator.settings {
        AuthenticatorType::Remote(spec) => {
            let (origin, name) = (authenticator.origin.clone(), Arc::clone(&authenticator.name));
            let source = RemoteSource::build((**spec).clone(), clock.clone(), Arc::clone(metrics));
            Some(source.map(Arc::new).map_err(|error| StartError::InvalidRemoteSource(origin, name, error)))
        }
        AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => None,
    };
    config.authenticators.iter().filter_map(source).collect()
}

/// Builds the chain of authenticators. `sources` are the remote ones in the order of the chain.
fn build_authenticators(
    config: &Config,
    users: Option<Arc<Htpasswd>>,
    pool: &Arc<HashPool>,
    sources: &[Arc<RemoteSource>],
    api_keys: Option<Arc<ApiKeys>>,
) -> AuthenticatorChain {
    let mut sources = sources.iter();
    let chain = config.authenticators.iter().filter_map(|authenticator| {
        let kind = match &authenticator.settings {
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
fn build_identity_headers(config: &Config) -> Result<IdentityHeaders, StartError> {
    let facts = |settings: &AuthenticatorType| match settings {
        AuthenticatorType::Remote(spec) => spec.kind.spec().fact_names(),
        AuthenticatorType::Htpasswd | AuthenticatorType::ApiKeys => Vec::new(),
    };
    let names: BTreeSet<Arc<str>> =
        config.authenticators.iter().flat_map(|authenticator| facts(&authenticator.settings)).collect();
    let authenticators = config.authenticators.iter().map(|authenticator| Arc::clone(&authenticator.name));
    IdentityHeaders::new(names.into_iter(), authenticators).map_err(|_| StartError::InvalidChallengeHeader)
}

/// Returns a random key for this process.
fn random_key() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StartError::NoRandomBytes(error.to_string()))?;
    Ok(bytes)
}

/// Loads the policy and the group file, and returns the policy that their reloaders keep current.
fn start_policy_reloaders(
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    files: &mut FileReloaders,
) -> Result<Arc<Policy>, PolicyLoadError> {
    let policy = Arc::new(Policy::default());
    let paths: [(PolicyFileKind, &Option<PathBuf>); 2] =
        [(PolicyFileKind::Rules, &config.policy.file), (PolicyFileKind::Groups, &config.groups.file)];
    for (kind, path) in paths {
        let Some(path) = path.clone() else { continue };
        let source = SourceFile { path, max_bytes: policy_reload::FILE_BYTES_MAX };
        let (group_source, policy) = (config.group_source(), Arc::clone(&policy));
        let file =
            policy_reload::PolicyFile::new(kind, group_source, policy, clock.clone(), Arc::clone(metrics));
        files.add(FileReloader::start(source, file, clock.now())?, |_| ());
    }
    Ok(policy)
}
