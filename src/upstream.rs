//! Upstream credentials: what the protected service is shown in place of the client's own.
//!
//! The tables of the settings stand in an order, and the first that fits a request gives its credentials,
//! or says that there are none to give. Where no table fits, nothing is sent. What has been given never
//! outlives what it came from: the value is taken anew for each request.
//!
//! Settings: `[[upstream]]`. Who may have the credentials is decided by the gate and the front.

#[cfg(feature = "ecr")]
pub mod ecr;
pub mod secret_file;
pub mod secret_header;

use std::fmt;
use std::sync::Arc;

use self::secret_file::CurrentCredentials;
use self::secret_header::SecretHeaderValue;
use crate::permissions::glob::{Glob, PlaceholderValues};
use crate::permissions::host::HostPattern;

/// The most tables; each request is compared with one after the other.
pub const UPSTREAMS_MAX: usize = 64;

/// What a request is about, as far as the choice depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamTarget<'r> {
    /// A registry's `/v2/`, by which a client finds out whether its credentials are good.
    Ping,
    /// A repository.
    Repository(&'r str),
    /// Anything else.
    Other,
    /// What can't be read, or not in one way.
    Ambiguous(&'static str),
}

/// A request that is permitted, as far as the choice depends on it.
#[derive(Clone, Copy, Debug)]
pub struct PermittedRequest<'r> {
    /// In lower case, without port.
    pub host: &'r str,
    /// What it is about.
    pub target: UpstreamTarget<'r>,
}

/// There should be credentials, and there are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream {name}: {message}")]
pub struct MissingUpstreamCredentials {
    name: Arc<str>,
    message: String,
}

/// Where a table has its credentials from.
#[derive(Clone)]
pub enum CredentialSource {
    /// There are none.
    None,
    /// A file.
    File(Arc<CurrentCredentials>),
    /// AWS.
    #[cfg(feature = "ecr")]
    Ecr(Arc<ecr::lease::Lease>),
}

/// One table.
pub struct UpstreamEntry {
    /// For the log, the metrics and `/readyz`.
    pub name: Arc<str>,
    /// None of them means any.
    pub hosts: Box<[HostPattern]>,
    /// None of them means any, and requests about none.
    pub repositories: Box<[Glob]>,
    /// Whether also who has shown no credentials gets these.
    pub is_anonymous_allowed: bool,
    /// Where they are from.
    pub credential_source: CredentialSource,
}

impl fmt::Debug for UpstreamEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

impl UpstreamEntry {
    fn matches_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Whether it is for this; an error where that can't be told.
    fn matches_target(&self, about: UpstreamTarget<'_>) -> Result<bool, &'static str> {
        match about {
            _ if self.repositories.is_empty() => Ok(true),
            UpstreamTarget::Repository(name) => {
                let segments: Vec<&str> = name.split('/').collect();
                Ok(self.repositories.iter().any(|glob| glob.matches(&segments, PlaceholderValues::default())))
            }
            UpstreamTarget::Ping | UpstreamTarget::Other => Ok(false),
            UpstreamTarget::Ambiguous(why) => Err(why),
        }
    }

    /// Whether it has credentials to give.
    pub fn has_credentials(&self) -> bool {
        !matches!(self.credential_source, CredentialSource::None)
    }

    /// The credentials as they are now.
    ///
    /// # Errors
    /// If there should be some, and there are none that are good.
    pub fn authorization(&self) -> Result<SecretHeaderValue, MissingUpstreamCredentials> {
        match &self.credential_source {
            CredentialSource::None => Ok(SecretHeaderValue::empty()),
            CredentialSource::File(kept) => Ok(kept.authorization()),
            #[cfg(feature = "ecr")]
            CredentialSource::Ecr(lease) => lease
                .authorization()
                .map_err(|what| MissingUpstreamCredentials { name: Arc::clone(&self.name), message: what }),
        }
    }
}

/// See the top of this file.
#[derive(Debug, Default)]
pub struct Upstreams {
    entries: Box<[UpstreamEntry]>,
    /// Whether the choice depends on what is asked for.
    is_request_dependent: bool,
}

impl Upstreams {
    /// Of these tables, in their order.
    pub fn new(tables: Vec<UpstreamEntry>) -> Self {
        let depends = |table: &UpstreamEntry| !table.hosts.is_empty() || !table.repositories.is_empty();
        Self { is_request_dependent: tables.iter().any(depends), entries: tables.into() }
    }

    /// Whether the choice depends on what is asked for.
    pub fn is_request_dependent(&self) -> bool {
        self.is_request_dependent
    }

    /// The table that a request fits, whoever it is from.
    ///
    /// # Errors
    /// What is wrong with the request, where it can't be told which table that is: to pass over one that is
    /// for some repositories would give another's credentials.
    pub fn select(&self, request: &PermittedRequest<'_>) -> Result<Option<&UpstreamEntry>, &'static str> {
        let mut at_host = self.entries.iter().filter(|table| table.matches_host(request.host));
        if request.target == UpstreamTarget::Ping {
            // It tells nothing of any repository, and without it no client goes on to one.
            let first = at_host.clone().next();
            return Ok(at_host.find(|table| table.has_credentials()).or(first));
        }
        for table in at_host {
            if table.matches_target(request.target)? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    /// The upstream refused the credentials to a client of this network block; some can be made anew. Returns the
    /// table's name.
    pub fn report_credentials_refused(
        &self,
        request: &PermittedRequest<'_>,
        block: u128,
    ) -> Option<&Arc<str>> {
        let table = self.select(request).ok()??;
        match &table.credential_source {
            CredentialSource::None | CredentialSource::File(_) => {}
            #[cfg(feature = "ecr")]
            CredentialSource::Ecr(lease) => lease.report_refusal(block),
        }
        // Used by one of the sources only.
        let _ = block;
        Some(&table.name)
    }

    /// Brings the gauges up to date.
    pub fn update_metrics(&self) {
        #[cfg(feature = "ecr")]
        for table in &self.entries {
            if let CredentialSource::Ecr(lease) = &table.credential_source {
                lease.update_metrics();
            }
        }
    }
}

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
