//! The chain: authenticators that are asked one after the other.
//!
//! Accepted and rejected end it, unknown asks the next. One that is in trouble ends it too, with no
//! answer, unless a later one was told to cover for it, and for all in between: somebody whom one of them
//! would have rejected must not get in because nobody asked.
//!
//! A question holds a place in one queue at a time, and moves on to the next by itself: whoever asked may
//! have hung up long since.

mod course;

use std::sync::Arc;
use std::time::Duration;

pub use self::course::{Course, Ended, NotStarted, Told};
use super::api_key::Keys;
use super::hash_pool::HashPool;
use super::htpasswd::Htpasswd;
use super::http::Service;
use super::queue::Asker;
use super::{Identity, Records, Trust};

/// The most authenticators in a chain: a bit of [`Covers`] for each.
pub const AUTHENTICATORS_MAX: usize = 32;

/// What a client that finds a service's queue full is told to wait: about what a full share takes.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// How long an answer is good for that was given in place of one who could not be asked: short, since
/// he may say something else when he is back.
const COVERED: Trust = Trust { fresh: Some(Duration::from_secs(30)), stale: Some(Duration::ZERO) };

/// A set of authenticators, by their places in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covers(u32);

impl Covers {
    /// With one more.
    #[must_use]
    pub fn with(self, place: usize) -> Self {
        Self(self.0 | u32::try_from(place).ok().and_then(|place| 1_u32.checked_shl(place)).unwrap_or(0))
    }

    /// Whether all of the others are in it.
    pub fn holds(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// How an authenticator finds out.
#[derive(Clone)]
pub enum Kind {
    /// By a line of the htpasswd file.
    Htpasswd(Arc<Htpasswd>, Arc<HashPool>),
    /// By asking a service.
    Http(Arc<Service>),
}

/// One authenticator.
#[derive(Clone)]
pub struct Authenticator {
    /// In `X-Auth-By`, logs and metrics.
    pub name: Arc<str>,
    /// How it finds out.
    pub kind: Kind,
    /// For whom it is asked when they are in trouble.
    pub covers: Covers,
}

/// The authenticators, in the order in which they are asked; and the keys, which are asked alone.
#[derive(Clone)]
pub struct Authenticators {
    chain: Arc<[Authenticator]>,
    keys: Option<Arc<Keys>>,
}

impl Authenticators {
    /// In this order; at most [`AUTHENTICATORS_MAX`].
    pub fn new(chain: Vec<Authenticator>, keys: Option<Arc<Keys>>) -> Self {
        Self { chain: chain.into(), keys }
    }

    /// The same with keys.
    #[cfg(test)]
    pub(crate) fn with_keys(self, keys: Option<Arc<Keys>>) -> Self {
        Self { keys, ..self }
    }

    /// The keys, if there are any.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref()
    }

    /// The htpasswd file alone.
    pub fn htpasswd(users: Arc<Htpasswd>, pool: Arc<HashPool>) -> Self {
        let kind = Kind::Htpasswd(users, pool);
        Self::new(vec![Authenticator { name: "htpasswd".into(), kind, covers: Covers::default() }], None)
    }

    fn users(&self) -> Option<&Arc<Htpasswd>> {
        self.chain.iter().find_map(|one| match &one.kind {
            Kind::Htpasswd(users, _) => Some(users),
            Kind::Http(_) => None,
        })
    }

    /// How often any local record may have changed; see [`Htpasswd::replaced`].
    pub fn replaced(&self) -> u64 {
        self.users().map_or(0, |users| users.replaced())
    }

    /// Looks up every local record that the answer for `user` depends on. Does not wait.
    pub fn look_up(&self, user: &[u8]) -> Records {
        let whole_password = self.shows_whole_password();
        let has_service = self.chain.iter().any(|one| matches!(one.kind, Kind::Http(_)));
        Records { htpasswd: self.users().map(|users| users.look_up(user)), whole_password, has_service }
    }

    /// Whether a service may be asked about somebody who has a line: before it, or in its place.
    fn shows_whole_password(&self) -> bool {
        let hashed = self.chain.iter().position(|one| matches!(one.kind, Kind::Htpasswd(..)));
        hashed.is_some_and(|place| {
            let itself = Covers::default().with(place);
            let asked = |(other, one): (usize, &Authenticator)| other < place || one.covers.holds(itself);
            self.chain.iter().enumerate().filter(|(other, _)| *other != place).any(asked)
        })
    }

    /// Who is asked first about a user with these records; `None` where there is nobody but the keys.
    pub fn entrance(&self, records: &Records) -> Option<usize> {
        self.next(0, Covers::default(), records)
    }

    /// Whether a question of `asker`'s would find no place where it comes in.
    pub fn is_full_for(&self, entrance: usize, asker: Asker) -> bool {
        match self.chain.get(entrance).map(|one| &one.kind) {
            Some(Kind::Htpasswd(_, pool)) => pool.is_full_for(asker),
            Some(Kind::Http(service)) => service.is_full_for(asker),
            None => true,
        }
    }

    /// After which time a question that found no place there may find one.
    pub fn retry_after(&self, entrance: usize) -> Duration {
        match self.chain.get(entrance).map(|one| &one.kind) {
            Some(Kind::Htpasswd(_, pool)) => pool.retry_after(),
            Some(Kind::Http(_)) | None => BUSY_WAIT,
        }
    }

    /// Whether who is asked there hashes.
    pub fn hashes(&self, place: usize) -> bool {
        matches!(self.chain.get(place).map(|one| &one.kind), Some(Kind::Htpasswd(..)))
    }

    /// The next one, from `from` on, that may speak in place of all who could not be asked; whoever is
    /// passed over for that could not either. Who has no line in the file is not looked for there with a
    /// dummy's work if somebody behind it is asked anyway: neither holds up the other.
    fn next(&self, from: usize, unasked: Covers, records: &Records) -> Option<usize> {
        let (mut unasked, mut dummy) = (unasked, None);
        for (place, one) in self.chain.iter().enumerate().skip(from) {
            let is_stranger = matches!(one.kind, Kind::Htpasswd(..)) && !records.has_line();
            match one.covers.holds(unasked) {
                true if is_stranger => dummy = dummy.or(Some(place)),
                true => return Some(place),
                false if is_stranger => {}
                false => unasked = unasked.with(place),
            }
        }
        dummy
    }

    /// Whether a service at `place` vouches for a name that the file before it decides about.
    fn is_taken(&self, place: usize, given: &[u8], identity: &Identity) -> bool {
        let before = self.chain.iter().take(place).find_map(|one| match &one.kind {
            Kind::Htpasswd(users, _) => Some(users),
            Kind::Http(_) => None,
        });
        let name = identity.user.as_bytes();
        name != given && before.is_some_and(|users| users.look_up(name).has_line())
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
