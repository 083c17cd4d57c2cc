//! Who says who you are: the authenticators, what they are asked, and what they answer.
//!
//! [`Records`] come of one look at every local record that the answer depends on, so that
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

    /// All that an answer depends on, in one piece: the kind of credential, the fingerprint of the
    /// records, the length of the user name, and `user:password`. No two questions look alike, but
    /// for passwords that differ only behind the first `password_max` bytes, which no check looks
    /// at: otherwise whoever has a long password could have a hash done for each of its endings.
    pub fn frame(&mut self, kind: u8, records: &Fingerprint, password_max: usize) -> &[u8] {
        let length = u32::try_from(self.user_length).unwrap_or(u32::MAX).to_le_bytes();
        let frame = std::iter::once(kind).chain(*records).chain(length);
        self.framed.iter_mut().zip(frame).for_each(|(place, byte)| *place = byte);
        let end = (Self::FRAME + self.user_length + 1).saturating_add(password_max);
        self.framed.get(..end).unwrap_or(&self.framed)
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

    /// How often any local record may have changed; see [`Htpasswd::replaced`].
    pub fn replaced(&self) -> u64 {
        self.htpasswd.replaced()
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

    /// How many bytes of a password the check looks at.
    pub fn password_max(&self) -> usize {
        self.htpasswd.password_max()
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
