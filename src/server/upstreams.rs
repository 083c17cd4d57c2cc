//! The upstreams of the settings, with what keeps their credentials fresh.

use crate::reload::FileReloader;
use std::path::PathBuf;
use std::sync::Arc;

use super::start_error::StartError;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::upstream::{UpstreamConfig, UpstreamType};
use crate::http::peer::ProxySecret;
use crate::metrics::Metrics;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::{aws::AwsAccount, lease::Lease};
use crate::upstream::secret_file::{self, SecretFile, SecretFormat};
use crate::upstream::{self, CredentialSource, UpstreamEntry, Upstreams};

/// What the gate chooses from, and what has to be kept fresh.
#[derive(Default)]
pub struct UpstreamParts {
    /// `None` where no table is set.
    pub upstreams: Option<Arc<Upstreams>>,
    /// Who may have the credentials, where there are any.
    pub proxy_secret: Option<ProxySecret>,
    /// The token of the admin listener.
    pub admin_token: Option<Arc<upstream::secret_file::CurrentCredentials>>,
    /// Of the files.
    pub file_reloaders: Vec<FileReloader<SecretFile>>,
    /// Of the tokens, each of which wants somebody to fetch it.
    #[cfg(feature = "ecr")]
    pub ecr_leases: Vec<(AwsAccount, Arc<Lease>)>,
}

impl UpstreamParts {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// [`StartError::Upstream`], [`StartError::ProxySecret`].
    pub fn build(settings: &Config, clock: &Clock, metrics: &Arc<Metrics>) -> Result<Self, StartError> {
        let mut kept = Self::default();
        let secret = start_proxy_secret_reloader(settings, clock)?;
        let shown = secret.as_ref().map(|secret| secret.target().current());
        kept.file_reloaders.extend(secret);
        let token = start_admin_token_reloader(settings, clock)?;
        kept.admin_token = token.as_ref().map(|token| token.target().current());
        kept.file_reloaders.extend(token);
        if settings.upstreams.is_empty() {
            return Ok(kept);
        }
        let mut tables = Vec::new();
        for one in &settings.upstreams {
            tables.push(UpstreamEntry {
                name: Arc::clone(&one.name),
                hosts: one.hosts.clone(),
                repositories: one.repositories.clone(),
                is_anonymous_allowed: one.allow_anonymous,
                credential_source: kept.build_source(one, clock, metrics)?,
            });
        }
        if settings.upstreams.iter().any(UpstreamConfig::has_credentials) {
            kept.proxy_secret = Some(ProxySecret::new(shown));
        }
        kept.upstreams = Some(Arc::new(Upstreams::new(tables)));
        Ok(kept)
    }

    #[cfg_attr(not(feature = "ecr"), expect(unused_variables, reason = "a token has figures"))]
    fn build_source(
        &mut self,
        one: &UpstreamConfig,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<CredentialSource, StartError> {
        let mut file = |path: &PathBuf, form| {
            let started = secret_file::start(path.clone(), form, clock.now());
            let fault = |fault| {
                StartError::UpstreamCredentialsUnusable(one.origin.clone(), Arc::clone(&one.name), fault)
            };
            let reloader = started.map_err(fault)?;
            let source = CredentialSource::File(reloader.target().current());
            self.file_reloaders.push(reloader);
            Ok(source)
        };
        match &one.kind {
            UpstreamType::None => Ok(CredentialSource::None),
            UpstreamType::Basic(username, path) => file(path, SecretFormat::BasicPassword(username.clone())),
            UpstreamType::Bearer(path) => file(path, SecretFormat::BearerToken),
            UpstreamType::File(path) => file(path, SecretFormat::HeaderValue),
            #[cfg(feature = "ecr")]
            UpstreamType::Ecr(account) => {
                // Two tables with one account have one token.
                let known = self.ecr_leases.iter().find(|(other, _)| other == account);
                let lease = match known {
                    Some((_, lease)) => Arc::clone(lease),
                    None => {
                        let name = Arc::clone(&one.name);
                        let lease = Arc::new(Lease::new(name, clock.clone(), Arc::clone(metrics)));
                        self.ecr_leases.push((account.clone(), Arc::clone(&lease)));
                        lease
                    }
                };
                Ok(CredentialSource::Ecr(lease))
            }
        }
    }
}

/// The token of the admin listener, if one is set.
///
/// # Errors
/// [`StartError::AdminToken`].
pub fn start_admin_token_reloader(
    settings: &Config,
    clock: &Clock,
) -> Result<Option<FileReloader<SecretFile>>, StartError> {
    let start = |path: &PathBuf| secret_file::start(path.clone(), SecretFormat::AdminToken, clock.now());
    settings.admin_token_file.as_ref().map(start).transpose().map_err(StartError::AdminTokenUnusable)
}

/// What nginx shows, where it has to.
///
/// # Errors
/// [`StartError::ProxySecret`].
pub fn start_proxy_secret_reloader(
    settings: &Config,
    clock: &Clock,
) -> Result<Option<FileReloader<SecretFile>>, StartError> {
    let start = |path: &PathBuf| secret_file::start(path.clone(), SecretFormat::ProxySecret, clock.now());
    settings.proxy_secret_file.as_ref().map(start).transpose().map_err(StartError::ProxySecretUnusable)
}
