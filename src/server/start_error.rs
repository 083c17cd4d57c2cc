//! Why the server does not start.

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
use crate::upstream::ecr;
use crate::upstream::secret_file::SecretLoadError;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing says who may enter.
    #[error(
        "no htpasswd file is set: use --htpasswd FILE, DOORWARD_HTPASSWD, or htpasswd = \"FILE\" in the settings; or an [[authenticator]] there"
    )]
    NoAuthenticatorConfigured,
    /// The htpasswd file can't be used.
    #[error(transparent)]
    HtpasswdFileUnusable(#[from] HtpasswdFileError),
    /// The file of keys can't be used.
    #[error(transparent)]
    ApiKeyFileUnusable(#[from] ApiKeyFileError),
    /// A service can't be asked with what is set there.
    #[error("{0}: authenticator {1}: {2}")]
    InvalidAuthBackend(ConfigOrigin, Arc<str>, ClientBuildError),
    /// A file of upstream credentials can't be used.
    #[error("{0}: upstream {1}: {2}")]
    UpstreamCredentialsUnusable(ConfigOrigin, Arc<str>, SecretLoadError),
    /// The file with the proxy's secret can't be used.
    #[error("proxy_secret_file: {0}")]
    ProxySecretUnusable(SecretLoadError),
    /// The file with the token of the admin listener can't be used.
    #[error("admin.token_file: {0}")]
    AdminTokenUnusable(SecretLoadError),
    /// There are fewer file descriptors than the listeners and services may need.
    #[error(transparent)]
    TooFewDescriptors(#[from] DescriptorLimitError),
    /// A token can't be fetched with what is set there.
    #[cfg(feature = "ecr")]
    #[error("upstream {0}: {1}")]
    InvalidEcrUpstream(Arc<str>, ecr::EcrError),
    /// The keys that sign tokens can't be used.
    #[error("token.signing_keys: {0}")]
    SigningKeysUnusable(token::signing_key::reload::SigningKeyLoadError),
    /// The policy or the group file can't be used.
    #[error(transparent)]
    PolicyUnusable(#[from] PolicyLoadError),
    /// An address can't be listened on.
    #[error(transparent)]
    ListenerNotBound(#[from] BindError),
    /// The realm can't stand in a header; the settings should have seen to that.
    #[error("realm: it can't be sent in a header")]
    InvalidChallengeHeader,
    /// The system gave no random bytes.
    #[error("the system gives no random numbers: {0}")]
    NoRandomBytes(String),
    /// A thread or a signal handler could not be had.
    #[error("the system refuses a thread or a signal handler: {0}")]
    NoThreadOrSignalHandler(#[from] io::Error),
}
