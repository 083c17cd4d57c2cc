//! Who says who you are: the authenticators, what they are asked, and what they answer.
//!
//! A [`Question`] is made of one look at every local record that the answer depends on, so that
//! the key under which an answer is kept, and the check itself, speak of the same record whatever
//! happens to the file in between.
//!
//! To add an authenticator: a file beside `htpasswd.rs` that can look a record up without waiting,
//! give its fingerprint, and check; then its place in [`Authenticators`]. An answer that has to
//! be waited for must not hold a thread of the hash pool.

pub mod hash;
pub mod htpasswd;
pub mod pool;

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::identity::{Identity, Username};
use htpasswd::{Htpasswd, Lookup};

/// What the client presented: a user name and a password (RFC 7617).
#[derive(Clone)]
pub struct Credentials {
    /// `user:password`, as it was decoded: one piece of memory, cleared when it goes.
    pair: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Credentials {
    /// Takes the decoded `user:password`. The caller has checked both halves; `colon` is where the
    /// first colon stands. `None` if it stands elsewhere.
    pub fn new(pair: Zeroizing<Vec<u8>>, colon: usize) -> Option<Self> {
        (pair.get(colon) == Some(&b':')).then_some(Self { pair, colon })
    }

    /// The bytes before the first colon.
    pub fn user(&self) -> &[u8] {
        self.pair.get(..self.colon).unwrap_or_default()
    }

    /// The bytes behind the first colon, which may hold colons.
    pub fn password(&self) -> &[u8] {
        self.pair.get(self.colon + 1..).unwrap_or_default()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?}, ***)", String::from_utf8_lossy(self.user()))
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
}

/// What comes of asking: an outcome, or the reason why there is none.
pub type Answer = Result<Outcome, Trouble>;

/// A short name for the state of a local record, or for its absence: another one whenever the
/// record is edited, so that what was answered from the old one can't be reached any more.
pub type Fingerprint = [u8; 16];

/// The authenticators, in the order in which they are asked. So far there is one.
#[derive(Debug)]
pub struct Authenticators {
    htpasswd: Arc<Htpasswd>,
}

impl Authenticators {
    /// The htpasswd file alone.
    pub fn new(htpasswd: Arc<Htpasswd>) -> Self {
        Self { htpasswd }
    }

    /// Looks up every local record that the answer for `user` depends on. Does not wait.
    pub fn look_up(&self, user: &[u8]) -> Records {
        Records { htpasswd: self.htpasswd.look_up(user) }
    }
}

/// The local records that were looked up for one question.
#[derive(Clone, Debug)]
pub struct Records {
    htpasswd: Lookup,
}

impl Records {
    /// The fingerprints of all of them, in the order of the authenticators.
    pub fn fingerprint(&self) -> Fingerprint {
        self.htpasswd.fingerprint()
    }

    /// Checks the password: work for a thread of the hash pool.
    pub fn check(&self, credentials: &Credentials) -> Answer {
        match self.htpasswd.check(credentials.password()) {
            Some(true) => match Username::parse(credentials.user()) {
                Ok(user) => Ok(Outcome::Accepted(Arc::new(Identity { user, by: self.htpasswd.by() }))),
                Err(_) => Ok(Outcome::Rejected),
            },
            Some(false) => Ok(Outcome::Rejected),
            None => Ok(Outcome::Unknown),
        }
    }
}
