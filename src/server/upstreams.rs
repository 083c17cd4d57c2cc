//! Builds the upstreams from the configuration, with the sources of their credentials.

use std::path::PathBuf;
use std::sync::Arc;

use super::file_reloaders::FileReloaders;
use super::start_error::StartError;
use crate::clock::Clock;
use crate::config::table::ConfigValues;
use crate::config::upstream::{UpstreamConfig, UpstreamType};
use crate::http::peer::ProxySecret;
use crate::metrics::Metrics;
use crate::reload::FileReloader;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::{aws::AwsAccount, token_store::TokenStore};
use crate::upstream::secret_file::{self, SecretFile, SecretFormat};
use crate::upstream::{self, CredentialSource, UpstreamEntry, Upstreams};

/// The upstreams, and the secrets that belong to them.
#[derive(Default)]
pub(crate) struct UpstreamParts {
    /// The upstreams; `None` without an `[[upstream]]` table.
    pub(crate) upstreams: Option<Arc<Upstreams>>,
    /// The secret that every peer must send; `None` if no upstream has credentials.
    pub(crate) proxy_secret: Option<ProxySecret>,
    /// The token of the admin listener, if one is set.
    pub(crate) admin_token: Option<Arc<upstream::secret_file::CurrentCredentials>>,
    /// The stores of ECR tokens. A thread must fetch the tokens.
    #[cfg(feature = "ecr")]
    pub(crate) ecr_token_stores: Vec<(AwsAccount, Arc<TokenStore>)>,
}

impl UpstreamParts {
    /// Loads the files that the configuration names, and adds their reloaders to `files`.
    ///
    /// # Errors
    /// [`StartError::UpstreamCredentialsUnusable`], [`StartError::ProxySecretUnusable`],
    /// [`StartError::AdminTokenUnusable`].
    pub(crate) fn build(
        config: &ConfigValues,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        files: &mut FileReloaders,
    ) -> Result<Self, StartError> {
        let proxy_secret = start_proxy_secret_reloader(config, clock)?
            .map(|reloader| files.add(reloader, SecretFile::current));
        let mut parts = Self {
            admin_token: start_admin_token_reloader(config, clock)?
                .map(|reloader| files.add(reloader, SecretFile::current)),
            ..Self::default()
        };
        if config.upstreams.is_empty() {
            return Ok(parts);
        }
        let mut entries = Vec::new();
        for upstream in &config.upstreams {
            entries.push(UpstreamEntry {
                name: Arc::clone(&upstream.name),
                hosts: upstream.hosts.clone(),
                repositories: upstream.repositories.clone(),
                is_anonymous_allowed: upstream.allow_anonymous,
                credential_source: parts.build_source(upstream, clock, metrics, files)?,
            });
        }
        if config.upstreams.iter().any(UpstreamConfig::has_credentials) {
            parts.proxy_secret = Some(ProxySecret::new(proxy_secret));
        }
        parts.upstreams = Some(Arc::new(Upstreams::new(entries)));
        Ok(parts)
    }

    /// Builds the source of an upstream's credentials.
    #[cfg_attr(not(feature = "ecr"), expect(unused_variables, reason = "only a token store has metrics"))]
    fn build_source(
        &mut self,
        upstream: &UpstreamConfig,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        files: &mut FileReloaders,
    ) -> Result<CredentialSource, StartError> {
        let mut file = |path: &PathBuf, format| {
            let reloader = secret_file::start(path.clone(), format, clock.now()).map_err(|error| {
                StartError::UpstreamCredentialsUnusable(
                    upstream.origin.clone(),
                    Arc::clone(&upstream.name),
                    error,
                )
            })?;
            Ok(CredentialSource::File(files.add(reloader, SecretFile::current)))
        };
        match &upstream.settings {
            UpstreamType::None => Ok(CredentialSource::None),
            UpstreamType::Basic(username, path) => file(path, SecretFormat::BasicPassword(username.clone())),
            UpstreamType::Bearer(path) => file(path, SecretFormat::BearerToken),
            UpstreamType::File(path) => file(path, SecretFormat::HeaderValue),
            #[cfg(feature = "ecr")]
            UpstreamType::Ecr(account) => {
                // Two tables with the same account share a token.
                let known = self.ecr_token_stores.iter().find(|(other, _)| other == account);
                let token_store = match known {
                    Some((_, token_store)) => Arc::clone(token_store),
                    None => {
                        let name = Arc::clone(&upstream.name);
                        let token_store = Arc::new(TokenStore::new(name, clock.clone(), Arc::clone(metrics)));
                        self.ecr_token_stores.push((account.clone(), Arc::clone(&token_store)));
                        token_store
                    }
                };
                Ok(CredentialSource::Ecr(token_store))
            }
        }
    }
}

/// Loads the token of the admin listener, if one is set.
///
/// # Errors
/// [`StartError::AdminTokenUnusable`].
pub(crate) fn start_admin_token_reloader(
    config: &ConfigValues,
    clock: &Clock,
) -> Result<Option<FileReloader<SecretFile>>, StartError> {
    let start = |path: &PathBuf| secret_file::start(path.clone(), SecretFormat::AdminToken, clock.now());
    config.admin.token_file.as_ref().map(start).transpose().map_err(StartError::AdminTokenUnusable)
}

/// Loads the proxy secret, if one is set.
///
/// # Errors
/// [`StartError::ProxySecretUnusable`].
pub(crate) fn start_proxy_secret_reloader(
    config: &ConfigValues,
    clock: &Clock,
) -> Result<Option<FileReloader<SecretFile>>, StartError> {
    let start = |path: &PathBuf| secret_file::start(path.clone(), SecretFormat::ProxySecret, clock.now());
    config.proxy_secret_file.as_ref().map(start).transpose().map_err(StartError::ProxySecretUnusable)
}
