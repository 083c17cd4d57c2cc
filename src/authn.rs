//! Authentication: the sources of users, and the outcome, error and identity that they return.
//!
//! [`chain`] calls the sources one after the other. A [`LocalRecord`] is the result of one look-up of all local records
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
//! [`crate::config::authenticator::AuthenticatorType`]. The compiler names every place that must handle it. A look-up
//! that does not wait belongs into [`LocalRecord`]. Work that takes long needs a [`queue`] of its own.

pub mod api_key;
pub mod chain;
pub mod hash;
pub mod hash_pool;
pub mod htpasswd;
pub mod http;
pub mod queue;
pub mod remote;

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::identity::{Fact, Membership, Username};
use crate::permissions::api_key_scope::ApiKeyScope;
use api_key::ApiKey;
use htpasswd::UserLookup;
use htpasswd::line::HtpasswdLineError;

/// What the client presented: a user name and a password (RFC 7617), or a key alone as a bearer, with an
/// empty name then (RFC 6750).
#[derive(Clone)]
pub struct Credentials {
    /// Room for the frame, and then `user:password` as it was decoded: one piece of memory, which is
    /// hashed where it lies and cleared when it goes.
    buffer: Zeroizing<Vec<u8>>,
    user_length: usize,
}

impl Credentials {
    /// The bytes before `user:password`, in which [`Credentials::frame`] writes.
    pub const CACHE_KEY_HEADER_LENGTH: usize = 1 + size_of::<RecordFingerprint>() + size_of::<u32>();

    /// Takes [`Credentials::FRAME`] bytes of any value and the decoded `user:password` behind them;
    /// the first colon parts the two. `None` if there is none. The caller checks both halves.
    pub fn new(framed: Zeroizing<Vec<u8>>) -> Option<Self> {
        let user_length =
            framed.get(Self::CACHE_KEY_HEADER_LENGTH..)?.iter().position(|byte| *byte == b':')?;
        Some(Self { buffer: framed, user_length })
    }

    /// The bytes before the first colon.
    pub fn user(&self) -> &[u8] {
        self.buffer
            .get(Self::CACHE_KEY_HEADER_LENGTH..Self::CACHE_KEY_HEADER_LENGTH + self.user_length)
            .unwrap_or_default()
    }

    /// The bytes behind the first colon, which may hold colons.
    pub fn password(&self) -> &[u8] {
        self.buffer.get(Self::CACHE_KEY_HEADER_LENGTH + self.user_length + 1..).unwrap_or_default()
    }

    /// `user:password`, as it was decoded (RFC 7617 section 2).
    pub fn user_pass(&self) -> &[u8] {
        self.buffer.get(Self::CACHE_KEY_HEADER_LENGTH..).unwrap_or_default()
    }

    /// All that an answer depends on, in one piece: the kind of credential, the fingerprint of the
    /// records, the length of the user name, and `user:password`. No two questions look alike.
    pub fn encode_cache_key_input(&mut self, kind: u8, records: &RecordFingerprint) -> &[u8] {
        let length = u32::try_from(self.user_length).unwrap_or(u32::MAX).to_le_bytes();
        let frame = std::iter::once(kind).chain(*records).chain(length);
        self.buffer.iter_mut().zip(frame).for_each(|(place, byte)| *place = byte);
        &self.buffer
    }

    /// How much of a frame holds the first `password_max` bytes of the password.
    pub fn cache_key_input_length(&self, password_max: usize) -> usize {
        (Self::CACHE_KEY_HEADER_LENGTH + self.user_length + 1).saturating_add(password_max)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?}, ***)", String::from_utf8_lossy(self.user()))
    }
}

/// Who was vouched for, by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user name.
    pub user: Username,
    /// The name of the authenticator that vouched.
    pub authenticator: Arc<str>,
    /// The groups that the authenticator named; those of the group file are joined later.
    pub membership: Membership,
    /// What else it said.
    pub facts: Box<[Fact]>,
    /// The key by which it was proved, if it was one.
    pub api_key: Option<Arc<ApiKey>>,
}

impl Identity {
    /// Somebody of whom nothing else is known.
    pub fn new(user: Username, by: Arc<str>) -> Self {
        Self {
            user,
            authenticator: by,
            membership: Membership::default(),
            facts: Box::default(),
            api_key: None,
        }
    }

    /// The key by which it was proved and whose it is, for the log.
    pub fn describe_api_key(&self) -> Option<String> {
        self.api_key.as_ref().map(|key| format!("key {} of {}", key.id, self.user))
    }

    /// What may be done at the most, where that is not all that the user may do.
    pub fn scope(&self) -> Option<&ApiKeyScope> {
        self.api_key.as_ref().and_then(|key| key.scope.as_deref())
    }

    /// When that by which it was proved ends, in seconds since 1970, if it does.
    pub fn expires_at(&self) -> Option<u64> {
        self.api_key.as_ref().and_then(|key| key.expires_at)
    }
}

/// An authenticator's answer. Trouble is none of these, see [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It vouches for this identity.
    Accepted(Arc<Identity>),
    /// It knows the user, and the answer is no: nobody else is asked.
    Rejected,
    /// It does not know the user: the next one is asked.
    UnknownUser,
}

/// Why an authenticator could not be asked. Never cached, and never a "yes".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    /// The check ended without an answer; a fault of ours.
    #[error("the password check failed to run")]
    CheckPanicked,
    /// A service gave no answer, or none that can be understood.
    #[error("authenticator {authenticator}: {message}")]
    BackendFailed {
        /// Its name.
        authenticator: Arc<str>,
        /// What went wrong; nothing of the request is in it.
        message: Arc<str>,
        /// What it is put down to.
        cause: FailureCause,
    },
}

/// What it is put down to that a service gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// An outage that other users saw too, or that no requester can bring about.
    Outage,
    /// The requester's own calls: the service answered others meanwhile.
    Requester,
    /// It can't be told.
    Undetermined,
}

impl AuthnError {
    /// Whether the last acceptance may be given in place of an answer: in an outage alone, or the owner of an
    /// account that was closed at the service could stay in by calls of his own that get no answer.
    pub fn permits_stale_answer(&self) -> bool {
        match self.cause() {
            FailureCause::Outage => true,
            FailureCause::Requester | FailureCause::Undetermined => false,
        }
    }

    /// What it is put down to.
    pub fn cause(&self) -> FailureCause {
        match self {
            Self::BackendFailed { cause, .. } => *cause,
            Self::CheckPanicked => FailureCause::Undetermined,
        }
    }
}

/// What comes of asking: an outcome, or the reason why there is none.
pub type AuthnResult = Result<Outcome, AuthnError>;

/// A short name for the state of a local record, or for its absence: another one whenever the
/// record is edited, so that what was answered from the old one can't be reached any more.
pub type RecordFingerprint = [u8; 16];

/// How long an answer is good for, besides what its key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLifetime {
    /// For how long it is given without asking anew; `None` while the records are as they are.
    pub cache_ttl: Option<Duration>,
    /// For how long, from when it was given, it is given while nobody can be asked.
    pub stale_ttl: Option<Duration>,
}

impl AnswerLifetime {
    /// Of an answer that follows from the local records alone.
    pub const UNLIMITED: Self = Self { cache_ttl: None, stale_ttl: None };

    /// Of an answer that depends on both.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        let less = |a: Option<Duration>, b: Option<Duration>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        Self {
            cache_ttl: less(self.cache_ttl, other.cache_ttl),
            stale_ttl: less(self.stale_ttl, other.stale_ttl),
        }
    }
}

/// The local records that were looked up for one question.
#[derive(Clone, Debug, Default)]
pub struct LocalRecord {
    htpasswd: Option<UserLookup>,
    /// Whether somebody is asked before the record, and so looks at the whole password.
    is_whole_password_significant: bool,
    /// Whether a service may be asked about users without a record.
    has_remote_source: bool,
}

impl LocalRecord {
    /// The fingerprints of all of them, in the order of the authenticators.
    pub fn fingerprint(&self) -> RecordFingerprint {
        self.htpasswd.as_ref().map_or(htpasswd::ABSENT_FINGERPRINT, UserLookup::fingerprint)
    }

    /// How many bytes of a password are looked at.
    pub fn significant_password_length(&self) -> usize {
        match &self.htpasswd {
            Some(lookup) if !self.is_whole_password_significant => lookup.significant_password_length(),
            _ => usize::MAX,
        }
    }

    /// Whether the htpasswd file has a line of this user's by which he could log in.
    pub fn has_valid_line(&self) -> bool {
        self.htpasswd.as_ref().is_some_and(UserLookup::is_valid)
    }

    /// Why the htpasswd file's line of this user can't be used, if it has one that can't.
    pub fn line_error(&self) -> Option<HtpasswdLineError> {
        self.htpasswd.as_ref().and_then(UserLookup::line_error)
    }

    /// Whether an htpasswd line decides about this user, or would if the user had one: no service is asked.
    pub fn is_decided_by_htpasswd(&self) -> bool {
        self.htpasswd.is_some() && (self.has_line() || !self.has_remote_source)
    }

    /// Whether the htpasswd file has a line of this user's.
    fn has_line(&self) -> bool {
        self.htpasswd.as_ref().is_some_and(UserLookup::has_line)
    }

    /// Checks the password against the htpasswd line: work for a thread of the hash pool. `by` is the
    /// authenticator's name.
    fn check_password(&self, credentials: &Credentials, by: &Arc<str>) -> AuthnResult {
        match self.htpasswd.as_ref().and_then(|lookup| lookup.check_password(credentials.password())) {
            Some(true) => match Username::parse(credentials.user()) {
                Ok(user) => Ok(Outcome::Accepted(Arc::new(Identity::new(user, Arc::clone(by))))),
                Err(_) => Ok(Outcome::Rejected),
            },
            Some(false) => Ok(Outcome::Rejected),
            None => Ok(Outcome::UnknownUser),
        }
    }
}
