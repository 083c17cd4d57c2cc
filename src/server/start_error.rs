//! Errors of the start.

use std::io;
use std::sync::Arc;

use super::bind_error::BindError;
use super::file_descriptors::DescriptorLimitError;
use crate::authn::api_key::reload::ApiKeyFileError;
use crate::authn::htpasswd::validate::HtpasswdFileError;
use crate::authn::remote::client::ClientBuildError;
use crate::config::ConfigOrigin;
use crate::policy::reload::PolicyLoadError;
use crate::token;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::aws::error::EcrError;
use crate::upstream::secret_file::SecretLoadError;

/// The reason why the server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// No source of users is set.
    #[error(
        "no source of users is set: use --htpasswd FILE, DOORWARD_HTPASSWD, or htpasswd.file = \"FILE\" or an [[authenticator]] in the settings file"
    )]
    NoAuthenticatorConfigured,
    /// The htpasswd file cannot be used.
    #[error(transparent)]
    HtpasswdFileUnusable(#[from] HtpasswdFileError),
    /// The file of API keys cannot be used.
    #[error(transparent)]
    ApiKeyFileUnusable(#[from] ApiKeyFileError),
    /// The HTTP client of an authenticator cannot be built.
    #[error("{0}: authenticator {1}: {2}")]
    InvalidRemoteSource(ConfigOrigin, Arc<str>, ClientBuildError),
    /// A file of upstream credentials cannot be used.
    #[error("{0}: upstream {1}: {2}")]
    UpstreamCredentialsUnusable(ConfigOrigin, Arc<str>, SecretLoadError),
    /// The file with the proxy secret cannot be used.
    #[error("proxy_secret_file: {0}")]
    ProxySecretUnusable(SecretLoadError),
    /// The file with the token of the admin listener cannot be used.
    #[error("admin.token_file: {0}")]
    AdminTokenUnusable(SecretLoadError),
    /// The limit of file descriptors is too low.
    #[error(transparent)]
    TooFewDescriptors(#[from] DescriptorLimitError),
    /// The client that fetches the token of an upstream cannot be built.
    #[cfg(feature = "ecr")]
    #[error("upstream {0}: {1}")]
    InvalidEcrUpstream(Arc<str>, EcrError),
    /// The file of signing keys cannot be used.
    #[error("token.signing_keys: {0}")]
    SigningKeysUnusable(token::signing_key::reload::SigningKeyLoadError),
    /// The policy or the group file cannot be used.
    #[error(transparent)]
    PolicyUnusable(#[from] PolicyLoadError),
    /// A listener cannot be bound.
    #[error(transparent)]
    ListenerNotBound(#[from] BindError),
    /// The challenge is not a valid header. The check of the settings normally prevents this.
    #[error("realm: the value cannot be sent in a header")]
    InvalidChallengeHeader,
    /// The system returned no random bytes.
    #[error("the system returned no random bytes: {0}")]
    NoRandomBytes(String),
    /// A thread or a signal handler could not be created.
    #[error("a thread or a signal handler could not be created: {0}")]
    NoThreadOrSignalHandler(#[from] io::Error),
}
