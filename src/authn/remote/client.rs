//! The traits that each kind of remote source implements: its settings, and a client that makes one call.
//!
//! Everything else is shared by all remote sources, see [`super`].

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::error::CallError;
use crate::authn::{Credentials, Outcome};

/// The settings of one remote source, apart from those that all remote sources have.
pub(crate) trait RemoteClientSpec {
    /// Reads the files that the settings name, and builds the client. No call is made.
    ///
    /// # Errors
    /// If a file is unusable, or TLS cannot be set up.
    fn build(
        &self,
        name: &Arc<str>,
        connections_max: usize,
    ) -> Result<Box<dyn RemoteClient>, ClientBuildError>;

    /// Returns whether an identity of this source can have groups.
    fn has_groups(&self) -> bool;

    /// Returns the names of the facts that an identity of this source can have.
    fn fact_names(&self) -> Vec<Arc<str>>;

    /// Returns the files that the settings name.
    fn files(&self) -> Vec<SpecFile>;

    /// Returns the host if passwords are sent to another machine without TLS.
    fn unencrypted_host(&self) -> Option<&str>;
}

/// A client that sends one query to the service and reads one response.
pub(crate) trait RemoteClient: Send + Sync {
    /// Prepares a call. The call starts when the returned future is polled first, and is cancelled when the future
    /// is dropped. The caller ends it after `time_limit`.
    ///
    /// # Errors
    /// If a value cannot be encoded safely. The user is then rejected without a call.
    fn prepare<'c>(
        &'c self,
        credentials: &'c Credentials,
        time_limit: Duration,
    ) -> Result<PendingCall<'c>, UnencodableValue>;
}

/// A call that has been prepared.
pub(crate) type PendingCall<'c> =
    Pin<Box<dyn Future<Output = Result<RemoteResponse, CallError>> + Send + 'c>>;

/// The response of a service.
#[derive(Debug)]
pub(crate) struct RemoteResponse {
    /// The outcome that the settings assign to the response.
    pub(crate) outcome: Outcome,
    /// The response in a few words without secrets, such as its status, for `check --probe`.
    pub(crate) summary: String,
}

/// A value cannot be encoded so that the service reads exactly this value and nothing more. Such a user cannot exist
/// at the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnencodableValue;

/// A file that the settings of a remote source name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpecFile {
    /// The path.
    pub(crate) path: PathBuf,
    /// Whether its content is secret.
    pub(crate) is_secret: bool,
}

/// The reason why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientBuildError {
    /// A file is unusable: the setting that names it, its path, and the reason.
    #[error("{0} {1}: {2}")]
    InvalidFile(&'static str, String, String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}; set ca_file to the certificates of the trusted authorities")]
    TlsSetupFailed(String),
}
