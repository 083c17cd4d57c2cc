//! Upstream credentials: the credentials that nginx sends to the protected service instead of those of the client.
//!
//! The `[[upstream]]` tables are checked in order. The first one that matches a request supplies its credentials, or
//! specifies that there are none. If no table matches, no credentials are sent. The value is read for each request,
//! so that it is never used after its source changed.
//!
//! The pipeline and the HTTP layer decide which requests get credentials.

#[cfg(feature = "ecr")]
pub(crate) mod ecr;
pub(crate) mod secret_file;
pub(crate) mod secret_header;

use std::fmt;
use std::sync::Arc;

use self::secret_file::CurrentCredentials;
use self::secret_header::SecretHeaderValue;
use crate::permissions::glob::{Glob, PlaceholderValues};
use crate::permissions::host::HostPattern;

/// Maximum number of tables. Each request is compared with the tables in turn.
pub(crate) const UPSTREAMS_MAX: usize = 64;

/// The target of a request, as far as the selection depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamTarget<'r> {
    /// The path `/v2/` of a registry, with which a client checks its credentials.
    Ping,
    /// A repository.
    Repository(&'r str),
    /// Any other target.
    Other,
    /// A target that cannot be parsed, or that has several interpretations; with the reason.
    Ambiguous(&'static str),
}

/// A permitted request, as far as the selection depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PermittedRequest<'r> {
    /// The host name, in lower case and without the port.
    pub(crate) host: &'r str,
    /// The target.
    pub(crate) target: UpstreamTarget<'r>,
}

/// An error: credentials are required, but none are valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream {name}: {message}")]
pub(crate) struct MissingUpstreamCredentials {
    name: Arc<str>,
    message: String,
}

/// The source of the credentials of a table.
#[derive(Clone)]
pub(crate) enum CredentialSource {
    /// No credentials.
    None,
    /// A file.
    File(Arc<CurrentCredentials>),
    /// Tokens of ECR.
    #[cfg(feature = "ecr")]
    Ecr(Arc<ecr::token_store::TokenStore>),
}

/// One `[[upstream]]` table.
pub(crate) struct UpstreamEntry {
    /// The name for the log, the metrics and `/readyz`.
    pub(crate) name: Arc<str>,
    /// The hosts that match; all if the list is empty.
    pub(crate) hosts: Box<[HostPattern]>,
    /// The repositories that match. If the list is empty, all requests match.
    pub(crate) repositories: Box<[Glob]>,
    /// True if clients without credentials get the upstream credentials too.
    pub(crate) is_anonymous_allowed: bool,
    /// The source of the credentials.
    pub(crate) credential_source: CredentialSource,
}

impl fmt::Debug for UpstreamEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl UpstreamEntry {
    fn matches_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Returns true if the table matches the target, or the reason why this cannot be determined.
    fn matches_target(&self, target: UpstreamTarget<'_>) -> Result<bool, &'static str> {
        match target {
            _ if self.repositories.is_empty() => Ok(true),
            UpstreamTarget::Repository(name) => {
                let segments: Vec<&str> = name.split('/').collect();
                Ok(self.repositories.iter().any(|glob| glob.matches(&segments, PlaceholderValues::default())))
            }
            UpstreamTarget::Ping | UpstreamTarget::Other => Ok(false),
            UpstreamTarget::Ambiguous(reason) => Err(reason),
        }
    }

    /// Returns true if the table has credentials.
    pub(crate) fn has_credentials(&self) -> bool {
        !matches!(self.credential_source, CredentialSource::None)
    }

    /// Returns the current credentials.
    ///
    /// # Errors
    /// Returns an error if the table has a source of credentials, but none are valid.
    pub(crate) fn authorization(&self) -> Result<SecretHeaderValue, MissingUpstreamCredentials> {
        match &self.credential_source {
            CredentialSource::None => Ok(SecretHeaderValue::empty()),
            CredentialSource::File(current) => Ok(current.authorization()),
            #[cfg(feature = "ecr")]
            CredentialSource::Ecr(token_store) => token_store
                .authorization()
                .map_err(|message| MissingUpstreamCredentials { name: Arc::clone(&self.name), message }),
        }
    }
}

/// All tables, in the order of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    entries: Box<[UpstreamEntry]>,
    /// True if the selection depends on the request.
    is_request_dependent: bool,
}

impl Upstreams {
    /// Creates the list, in this order.
    pub(crate) fn new(entries: Vec<UpstreamEntry>) -> Self {
        let is_dependent = |entry: &UpstreamEntry| !entry.hosts.is_empty() || !entry.repositories.is_empty();
        Self { is_request_dependent: entries.iter().any(is_dependent), entries: entries.into() }
    }

    /// Returns the table that every request selects; `None` if the selection depends on the request.
    pub(crate) fn entry_of_every_request(&self) -> Option<&UpstreamEntry> {
        self.entries.first().filter(|_| !self.is_request_dependent)
    }

    /// Returns the first table that matches a request, for any user.
    ///
    /// # Errors
    /// Returns the reason if a match cannot be determined. The table is not skipped in this case: its repositories
    /// would otherwise get the credentials of a later table.
    pub(crate) fn select(
        &self,
        request: &PermittedRequest<'_>,
    ) -> Result<Option<&UpstreamEntry>, &'static str> {
        let mut at_host = self.entries.iter().filter(|entry| entry.matches_host(request.host));
        if request.target == UpstreamTarget::Ping {
            // The response contains nothing about a repository, and a client that gets an error here sends no further
            // requests.
            let first = at_host.clone().next();
            return Ok(at_host.find(|entry| entry.has_credentials()).or(first));
        }
        for entry in at_host {
            if entry.matches_target(request.target)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Reports that the upstream refused the credentials of a request from this network block. Tokens of ECR are
    /// then fetched again. Returns the name of the table.
    pub(crate) fn report_credentials_refused(
        &self,
        request: &PermittedRequest<'_>,
        block: u128,
    ) -> Option<&Arc<str>> {
        let entry = self.select(request).ok()??;
        match &entry.credential_source {
            CredentialSource::None | CredentialSource::File(_) => {}
            #[cfg(feature = "ecr")]
            CredentialSource::Ecr(token_store) => token_store.report_refusal(block),
        }
        // Only the feature `ecr` uses the block.
        let _ = block;
        Some(&entry.name)
    }

    /// Updates the gauges of all tables.
    pub(crate) fn update_metrics(&self) {
        #[cfg(feature = "ecr")]
        for entry in &self.entries {
            if let CredentialSource::Ecr(token_store) = &entry.credential_source {
                token_store.update_metrics();
            }
        }
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
