//! Authentication: the sources of users, and the outcome, error and identity that they return.
//!
//! [`chain`] calls the sources one after the other. A [`LocalRecord`] is the result of one lookup of all local records
//! that an answer depends on. The cache key and the check use the same record, even if a file changes between them.
//!
//! # How to add a source
//! A source that calls a service, such as a database, is a remote source. [`remote`] has everything that such sources
//! share: queues, circuit breaker, timeouts, lifetimes, metrics, the probe of `check`, and `/readyz`. None of it changes.
//! 1. Add `src/authn/NAME.rs`, and its `pub mod` line below. It contains the settings, which implement
//!    [`remote::client::RemoteClientSpec`], and the client, which implements [`remote::client::RemoteClient`]. The
//!    client creates identities with [`remote::identity_builder::IdentityBuilder`].
//! 2. Add a variant to [`remote::kind::RemoteKind`]. The compiler requests one line in `RemoteKind::spec`.
//! 3. Add `src/config/authenticator/NAME.rs` with the struct of the keys that only this source has, and a function that
//!    reads them. Add its `mod` line and its row in `REMOTE_TYPES` to `src/config/authenticator.rs`.
//! 4. Document the keys in README.md, and add a folder of tests below `tests/`.
//!
//! A source without calls, such as a file, is a variant of [`chain::AuthenticatorKind`] and of
//! [`crate::config::authenticator::AuthenticatorType`]. The compiler names every place that must handle it. A lookup
//! that does not wait belongs into [`LocalRecord`]. Work that takes long needs a [`queue`] of its own.

pub(crate) mod api_key;
pub(crate) mod chain;
pub(crate) mod hash;
pub(crate) mod hash_pool;
pub(crate) mod htpasswd;
pub(crate) mod http;
pub(crate) mod queue;
pub(crate) mod remote;

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::identity::{Fact, Membership, Username};
use crate::permissions::api_key_scope::ApiKeyScope;
use api_key::ApiKey;
use htpasswd::UserLookup;
use htpasswd::line::HtpasswdLineError;

/// The credentials that a client sent: a user name and a password (RFC 7617), or an API key as a bearer token (RFC 6750),
/// whose user name is empty.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The header of the cache key, and then `user:password` as decoded. It is one buffer, which is hashed in place and
    /// cleared when it is dropped.
    buffer: Zeroizing<Vec<u8>>,
    user_length: usize,
}

impl Credentials {
    /// The number of bytes before `user:password`, which [`Credentials::encode_cache_key_input`] writes.
    pub(crate) const CACHE_KEY_HEADER_LENGTH: usize = 1 + size_of::<RecordFingerprint>() + size_of::<u32>();

    /// Creates credentials from a buffer with [`Credentials::CACHE_KEY_HEADER_LENGTH`] bytes of any value, followed by
    /// the decoded `user:password`. The first colon is the separator. Returns `None` if there is no colon. The caller
    /// must check the user name and the password.
    pub(crate) fn new(buffer: Zeroizing<Vec<u8>>) -> Option<Self> {
        let user_length =
            buffer.get(Self::CACHE_KEY_HEADER_LENGTH..)?.iter().position(|byte| *byte == b':')?;
        Some(Self { buffer, user_length })
    }

    /// Returns the user name: the bytes before the first colon.
    pub(crate) fn user(&self) -> &[u8] {
        self.buffer
            .get(Self::CACHE_KEY_HEADER_LENGTH..Self::CACHE_KEY_HEADER_LENGTH + self.user_length)
            .unwrap_or_default()
    }

    /// Returns the password: the bytes after the first colon, which can contain colons.
    pub(crate) fn password(&self) -> &[u8] {
        self.buffer.get(Self::CACHE_KEY_HEADER_LENGTH + self.user_length + 1..).unwrap_or_default()
    }

    /// Returns `user:password` as decoded (RFC 7617 section 2).
    pub(crate) fn user_pass(&self) -> &[u8] {
        self.buffer.get(Self::CACHE_KEY_HEADER_LENGTH..).unwrap_or_default()
    }

    /// Returns everything that an answer depends on: the kind of credentials, the fingerprint of the record, the length
    /// of the user name, and `user:password`. Different queries have different encodings.
    pub(crate) fn encode_cache_key_input(&mut self, kind: u8, record: &RecordFingerprint) -> &[u8] {
        let length = u32::try_from(self.user_length).unwrap_or(u32::MAX).to_le_bytes();
        let header = std::iter::once(kind).chain(*record).chain(length);
        self.buffer.iter_mut().zip(header).for_each(|(target, byte)| *target = byte);
        &self.buffer
    }

    /// Returns the length of the encoding up to the first `password_max` bytes of the password.
    pub(crate) fn cache_key_input_length(&self, password_max: usize) -> usize {
        (Self::CACHE_KEY_HEADER_LENGTH + self.user_length + 1).saturating_add(password_max)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?}, ***)", String::from_utf8_lossy(self.user()))
    }
}

/// An authenticated identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user name.
    pub(crate) user: Username,
    /// The name of the authenticator that accepted the user.
    pub(crate) authenticator: Arc<str>,
    /// The groups that the authenticator reported. The policy adds those of the group file.
    pub(crate) membership: Membership,
    /// The facts that the authenticator reported.
    pub(crate) facts: Box<[Fact]>,
    /// The API key, if the client sent one.
    pub(crate) api_key: Option<Arc<ApiKey>>,
}

impl Identity {
    /// Creates an identity without groups and facts.
    pub(crate) fn new(user: Username, authenticator: Arc<str>) -> Self {
        Self { user, authenticator, membership: Membership::default(), facts: Box::default(), api_key: None }
    }

    /// Returns the identifier of the API key and its owner, for the log.
    pub(crate) fn describe_api_key(&self) -> Option<String> {
        self.api_key.as_ref().map(|key| format!("key {} of {}", key.id, self.user))
    }

    /// Returns the scope of the API key, which narrows the permissions of the user.
    pub(crate) fn scope(&self) -> Option<&ApiKeyScope> {
        self.api_key.as_ref().and_then(|key| key.scope.as_deref())
    }

    /// Returns when the API key expires, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        self.api_key.as_ref().and_then(|key| key.expires_at)
    }
}

/// The answer of an authenticator. A failure is not an outcome, see [`AuthnResult`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The credentials are valid for this identity.
    Accepted(Arc<Identity>),
    /// The credentials are invalid. No other authenticator is called.
    Rejected,
    /// The authenticator does not know the user. The next one is called.
    UnknownUser,
}

/// The reason why an authenticator gave no answer. It is never cached and never an acceptance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthnError {
    /// The check ended without a result, which is a defect of doorward.
    #[error("the password check failed to run")]
    CheckPanicked,
    /// A service gave no usable response.
    #[error("authenticator {authenticator}: {message}")]
    BackendFailed {
        /// The name of the authenticator.
        authenticator: Arc<str>,
        /// The error, without any part of the request.
        message: Arc<str>,
        /// The cause.
        cause: FailureCause,
    },
}

/// The cause of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// The service: other users saw the failure too, or no requester can cause it.
    Service,
    /// The requester: the service answered others meanwhile.
    Requester,
    /// An unknown cause.
    Undetermined,
}

impl AuthnError {
    /// Returns whether a stale answer is permitted, which is only if the service is the cause. Otherwise the owner of an account that was
    /// closed at the service could stay admitted by causing calls without a response.
    pub(crate) fn permits_stale_answer(&self) -> bool {
        match self.cause() {
            FailureCause::Service => true,
            FailureCause::Requester | FailureCause::Undetermined => false,
        }
    }

    /// Returns the cause.
    pub(crate) fn cause(&self) -> FailureCause {
        match self {
            Self::BackendFailed { cause, .. } => *cause,
            Self::CheckPanicked => FailureCause::Undetermined,
        }
    }
}

/// The result of a query: an outcome, or the reason why there is none.
pub(crate) type AuthnResult = Result<Outcome, AuthnError>;

/// The fingerprint of a local record, or of its absence. It changes with every edit of the record, so that answers from
/// the old record cannot be found in the cache any more.
pub(crate) type RecordFingerprint = [u8; 16];

/// The lifetime of an answer, in addition to the fingerprint in its cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerLifetime {
    /// The time for which the answer is used without a new check. `None` means until the record changes.
    pub(crate) cache_ttl: Option<Duration>,
    /// The time, from the check on, for which the answer is used during an outage. `None` means until the record changes.
    pub(crate) stale_ttl: Option<Duration>,
}

impl AnswerLifetime {
    /// The lifetime of an answer that depends only on local records.
    pub(crate) const UNLIMITED: Self = Self { cache_ttl: None, stale_ttl: None };

    /// Returns the lifetime of an answer that depends on two others.
    #[must_use]
    pub(crate) fn min(self, other: Self) -> Self {
        let min = |a: Option<Duration>, b: Option<Duration>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (limit, None) | (None, limit) => limit,
        };
        Self {
            cache_ttl: min(self.cache_ttl, other.cache_ttl),
            stale_ttl: min(self.stale_ttl, other.stale_ttl),
        }
    }
}

/// The local records of the user of one query.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalRecord {
    htpasswd: Option<UserLookup>,
    /// Whether an authenticator besides the htpasswd file can be called, which uses the whole password.
    is_whole_password_significant: bool,
    /// Whether a service can be called for users without a record.
    has_remote_source: bool,
}

impl LocalRecord {
    /// Returns the fingerprint of the record.
    pub(crate) fn fingerprint(&self) -> RecordFingerprint {
        self.htpasswd.as_ref().map_or(htpasswd::ABSENT_FINGERPRINT, UserLookup::fingerprint)
    }

    /// Returns how many bytes of a password the check uses.
    pub(crate) fn significant_password_length(&self) -> usize {
        match &self.htpasswd {
            Some(lookup) if !self.is_whole_password_significant => lookup.significant_password_length(),
            _ => usize::MAX,
        }
    }

    /// Returns whether the htpasswd file has a valid line of the user.
    pub(crate) fn has_valid_line(&self) -> bool {
        self.htpasswd.as_ref().is_some_and(UserLookup::is_valid)
    }

    /// Returns the error of the user's line in the htpasswd file, if the line is invalid.
    pub(crate) fn line_error(&self) -> Option<HtpasswdLineError> {
        self.htpasswd.as_ref().and_then(UserLookup::line_error)
    }

    /// Returns whether the htpasswd file decides about the user: the user has a line, or no service can be called.
    pub(crate) fn is_decided_by_htpasswd(&self) -> bool {
        self.htpasswd.is_some() && (self.has_line() || !self.has_remote_source)
    }

    /// Returns whether the htpasswd file has a line of the user.
    fn has_line(&self) -> bool {
        self.htpasswd.as_ref().is_some_and(UserLookup::has_line)
    }

    /// Checks the password against the htpasswd line. Call it on a thread of the hash pool.
    fn check_password(&self, credentials: &Credentials, authenticator: &Arc<str>) -> AuthnResult {
        match self.htpasswd.as_ref().and_then(|lookup| lookup.check_password(credentials.password())) {
            Some(true) => match Username::parse(credentials.user()) {
                Ok(user) => Ok(Outcome::Accepted(Arc::new(Identity::new(user, Arc::clone(authenticator))))),
                Err(_) => Ok(Outcome::Rejected),
            },
            Some(false) => Ok(Outcome::Rejected),
            None => Ok(Outcome::UnknownUser),
        }
    }
}
