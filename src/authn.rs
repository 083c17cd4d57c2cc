//! Who says who you are: the authenticators, what they are asked, and what they answer.
//!
//! [`Records`] come of one look at every local record that the answer depends on, so that
//! the key under which an answer is kept, and the check itself, speak of the same record whatever
//! happens to the file in between. [`chain`] asks one after the other.
//!
//! To add an authenticator: a file beside `htpasswd.rs`, and a [`chain::Kind`]. What it looks up without
//! waiting goes into [`Records`]; what has to be waited for gets a [`queue`] of its own, and holds
//! neither a thread of the hash pool nor one that answers requests.

pub mod api_key;
pub mod chain;
pub mod hash;
pub mod hash_pool;
pub mod htpasswd;
pub mod http;
pub mod queue;

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::identity::{Fact, Membership, Username};
use crate::permissions::scope::ApiKeyScope;
use api_key::Key;
use htpasswd::Lookup;
use htpasswd::line::LineFault;

/// What the client presented: a user name and a password (RFC 7617), or a key alone as a bearer, with an
/// empty name then (RFC 6750).
#[derive(Clone)]
pub struct Credentials {
    /// Room for the frame, and then `user:password` as it was decoded: one piece of memory, which is
    /// hashed where it lies and cleared when it goes.
    framed: Zeroizing<Vec<u8>>,
    user_length: usize,
}

impl Credentials {
    /// The bytes before `user:password`, in which [`Credentials::frame`] writes.
    pub const FRAME: usize = 1 + size_of::<Fingerprint>() + size_of::<u32>();

    /// Takes [`Credentials::FRAME`] bytes of any value and the decoded `user:password` behind them;
    /// the first colon parts the two. `None` if there is none. The caller checks both halves.
    pub fn new(framed: Zeroizing<Vec<u8>>) -> Option<Self> {
        let user_length = framed.get(Self::FRAME..)?.iter().position(|byte| *byte == b':')?;
        Some(Self { framed, user_length })
    }

    /// The bytes before the first colon.
    pub fn user(&self) -> &[u8] {
        self.framed.get(Self::FRAME..Self::FRAME + self.user_length).unwrap_or_default()
    }

    /// The bytes behind the first colon, which may hold colons.
    pub fn password(&self) -> &[u8] {
        self.framed.get(Self::FRAME + self.user_length + 1..).unwrap_or_default()
    }

    /// `user:password`, as it was decoded (RFC 7617 section 2).
    pub fn pair(&self) -> &[u8] {
        self.framed.get(Self::FRAME..).unwrap_or_default()
    }

    /// All that an answer depends on, in one piece: the kind of credential, the fingerprint of the
    /// records, the length of the user name, and `user:password`. No two questions look alike.
    pub fn frame(&mut self, kind: u8, records: &Fingerprint) -> &[u8] {
        let length = u32::try_from(self.user_length).unwrap_or(u32::MAX).to_le_bytes();
        let frame = std::iter::once(kind).chain(*records).chain(length);
        self.framed.iter_mut().zip(frame).for_each(|(place, byte)| *place = byte);
        &self.framed
    }

    /// How much of a frame holds the first `password_max` bytes of the password.
    pub fn frame_length(&self, password_max: usize) -> usize {
        (Self::FRAME + self.user_length + 1).saturating_add(password_max)
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
    pub by: Arc<str>,
    /// The groups that the authenticator named; those of the group file are joined later.
    pub membership: Membership,
    /// What else it said.
    pub facts: Box<[Fact]>,
    /// The key by which it was proved, if it was one.
    pub key: Option<Arc<Key>>,
}

impl Identity {
    /// Somebody of whom nothing else is known.
    pub fn plain(user: Username, by: Arc<str>) -> Self {
        Self { user, by, membership: Membership::default(), facts: Box::default(), key: None }
    }

    /// The key by which it was proved and whose it is, for the log.
    pub fn key_of_whom(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("key {} of {}", key.id, self.user))
    }

    /// What may be done at the most, where that is not all that the user may do.
    pub fn scope(&self) -> Option<&ApiKeyScope> {
        self.key.as_ref().and_then(|key| key.scope.as_deref())
    }

    /// When that by which it was proved ends, in seconds since 1970, if it does.
    pub fn expires(&self) -> Option<u64> {
        self.key.as_ref().and_then(|key| key.expires)
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
    Unknown,
}

/// Why an authenticator could not be asked. Never cached, and never a "yes".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The check ended without an answer; a fault of ours.
    #[error("the password check failed to run")]
    CheckFailed,
    /// A service gave no answer, or none that can be understood.
    #[error("authenticator {authenticator}: {what}")]
    Http {
        /// Its name.
        authenticator: Arc<str>,
        /// What went wrong; nothing of the request is in it.
        what: Arc<str>,
        /// What it is put down to.
        cause: Cause,
    },
}

/// What it is put down to that a service gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An outage that other users saw too, or that no requester can bring about.
    Outage,
    /// The requester's own calls: the service answered others meanwhile.
    Requester,
    /// It can't be told.
    Unclear,
}

impl Trouble {
    /// Whether the last acceptance may be given in place of an answer: in an outage alone, or the owner of an
    /// account that was closed at the service could stay in by calls of his own that get no answer.
    pub fn permits_stale(&self) -> bool {
        match self.cause() {
            Cause::Outage => true,
            Cause::Requester | Cause::Unclear => false,
        }
    }

    /// What it is put down to.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Http { cause, .. } => *cause,
            Self::CheckFailed => Cause::Unclear,
        }
    }
}

/// What comes of asking: an outcome, or the reason why there is none.
pub type Answer = Result<Outcome, Trouble>;

/// A short name for the state of a local record, or for its absence: another one whenever the
/// record is edited, so that what was answered from the old one can't be reached any more.
pub type Fingerprint = [u8; 16];

/// How long an answer is good for, besides what its key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// For how long it is given without asking anew; `None` while the records are as they are.
    pub fresh: Option<Duration>,
    /// For how long, from when it was given, it is given while nobody can be asked.
    pub stale: Option<Duration>,
}

impl Trust {
    /// Of an answer that follows from the local records alone.
    pub const WHOLE: Self = Self { fresh: None, stale: None };

    /// Of an answer that depends on both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let less = |a: Option<Duration>, b: Option<Duration>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        Self { fresh: less(self.fresh, other.fresh), stale: less(self.stale, other.stale) }
    }
}

/// The local records that were looked up for one question.
#[derive(Clone, Debug, Default)]
pub struct Records {
    htpasswd: Option<Lookup>,
    /// Whether somebody is asked before the record, and so looks at the whole password.
    whole_password: bool,
    /// Whether a service may be asked about users without a record.
    has_service: bool,
}

impl Records {
    /// The fingerprints of all of them, in the order of the authenticators.
    pub fn fingerprint(&self) -> Fingerprint {
        self.htpasswd.as_ref().map_or(htpasswd::ABSENT, Lookup::fingerprint)
    }

    /// How many bytes of a password are looked at.
    pub fn password_max(&self) -> usize {
        match &self.htpasswd {
            Some(lookup) if !self.whole_password => lookup.password_max(),
            _ => usize::MAX,
        }
    }

    /// Whether the htpasswd file has a line of this user's by which he could log in.
    pub fn has_usable_line(&self) -> bool {
        self.htpasswd.as_ref().is_some_and(Lookup::is_usable)
    }

    /// Why the htpasswd file's line of this user can't be used, if it has one that can't.
    pub fn line_fault(&self) -> Option<LineFault> {
        self.htpasswd.as_ref().and_then(Lookup::fault)
    }

    /// Whether an htpasswd line decides about this user, or would if the user had one: no service is asked.
    pub fn hash_decides(&self) -> bool {
        self.htpasswd.is_some() && (self.has_line() || !self.has_service)
    }

    /// Whether the htpasswd file has a line of this user's.
    fn has_line(&self) -> bool {
        self.htpasswd.as_ref().is_some_and(Lookup::has_line)
    }

    /// Checks the password against the htpasswd line: work for a thread of the hash pool. `by` is the
    /// authenticator's name.
    fn check(&self, credentials: &Credentials, by: &Arc<str>) -> Answer {
        match self.htpasswd.as_ref().and_then(|lookup| lookup.check(credentials.password())) {
            Some(true) => match Username::parse(credentials.user()) {
                Ok(user) => Ok(Outcome::Accepted(Arc::new(Identity::plain(user, Arc::clone(by))))),
                Err(_) => Ok(Outcome::Rejected),
            },
            Some(false) => Ok(Outcome::Rejected),
            None => Ok(Outcome::Unknown),
        }
    }
}
