//! The chain: authenticators that are asked one after the other.
//!
//! Accepted and rejected end it, unknown asks the next. One that is in trouble ends it too, with no
//! answer, unless a later one was told to cover for it, and for all in between: somebody whom one of them
//! would have rejected must not get in because nobody asked.
//!
//! A question holds a place in one queue at a time, and moves on to the next by itself: whoever asked may
//! have hung up long since.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::htpasswd::Htpasswd;
use super::http::Service;
use super::pool::HashPool;
use super::queue::{Asker, Displaced, End, Job};
use super::{Answer, Credentials, Outcome, Records, Trouble, Trust};
use crate::identity::Identity;

/// The most authenticators in a chain: a bit of [`Covers`] for each.
pub const AUTHENTICATORS_MAX: usize = 32;

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

/// The authenticators, in the order in which they are asked.
#[derive(Clone)]
pub struct Authenticators(Arc<[Authenticator]>);

impl Authenticators {
    /// In this order; at most [`AUTHENTICATORS_MAX`].
    pub fn new(chain: Vec<Authenticator>) -> Self {
        Self(chain.into())
    }

    /// The htpasswd file alone.
    pub fn htpasswd(users: Arc<Htpasswd>, pool: Arc<HashPool>) -> Self {
        let kind = Kind::Htpasswd(users, pool);
        Self::new(vec![Authenticator { name: "htpasswd".into(), kind, covers: Covers::default() }])
    }

    fn users(&self) -> Option<&Arc<Htpasswd>> {
        self.0.iter().find_map(|one| match &one.kind {
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
        Records { htpasswd: self.users().map(|users| users.look_up(user)), whole_password }
    }

    /// Whether a service may be asked about somebody who has a line: before it, or in its place.
    fn shows_whole_password(&self) -> bool {
        let hashed = self.0.iter().position(|one| matches!(one.kind, Kind::Htpasswd(..)));
        hashed.is_some_and(|place| {
            let itself = Covers::default().with(place);
            let asked = |(other, one): (usize, &Authenticator)| other < place || one.covers.holds(itself);
            self.0.iter().enumerate().filter(|(other, _)| *other != place).any(asked)
        })
    }

    /// Who is asked first about a user with these records.
    pub fn entrance(&self, records: &Records) -> usize {
        self.next(0, Covers::default(), records).unwrap_or(0)
    }

    /// Whether a question of `asker`'s would find no place where it comes in.
    pub fn is_full_for(&self, entrance: usize, asker: Asker) -> bool {
        match self.0.get(entrance).map(|one| &one.kind) {
            Some(Kind::Htpasswd(_, pool)) => pool.is_full_for(asker),
            Some(Kind::Http(service)) => service.is_full_for(asker),
            None => true,
        }
    }

    /// Whether who is asked there hashes.
    pub fn hashes(&self, place: usize) -> bool {
        matches!(self.0.get(place).map(|one| &one.kind), Some(Kind::Htpasswd(..)))
    }

    /// The next one, from `from` on, that may speak in place of all who could not be asked; whoever is
    /// passed over for that could not either. Who has no line in the file is not looked for there with a
    /// dummy's work if somebody behind it is asked anyway: neither holds up the other.
    fn next(&self, from: usize, unasked: Covers, records: &Records) -> Option<usize> {
        let (mut unasked, mut dummy) = (unasked, None);
        for (place, one) in self.0.iter().enumerate().skip(from) {
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
        let before = self.0.iter().take(place).find_map(|one| match &one.kind {
            Kind::Htpasswd(users, _) => Some(users),
            Kind::Http(_) => None,
        });
        let name = identity.user.as_bytes();
        name != given && before.is_some_and(|users| users.look_up(name).has_line())
    }
}

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The end itself.
    pub end: End,
    /// For how long it is good.
    pub trust: Trust,
    /// The names of those who were asked and do not know the user: what they said before counts no more.
    pub unknown_to: Vec<Arc<str>>,
}

/// Told what came of a question.
pub type Told = Box<dyn FnOnce(Ended) + Send>;

/// A question on its way along the chain.
pub struct Course {
    /// Who is asked.
    pub chain: Authenticators,
    /// What was presented.
    pub credentials: Arc<Credentials>,
    /// The records that were looked up for it.
    pub records: Records,
    /// Whose share it takes.
    pub asker: Asker,
    /// When nobody waits for it any more; see [`Job::deadline`].
    pub deadline: Arc<AtomicU64>,
    /// What is told.
    pub told: Told,
}

/// A course for which there was no place.
pub struct NotStarted(
    #[expect(dead_code, reason = "what it holds is dropped with it")] Box<dyn FnOnce(End) + Send>,
);

struct Leg {
    course: Course,
    place: usize,
    /// Who is in trouble, and the first one's.
    trouble: Covers,
    why: Option<Trouble>,
    trust: Trust,
    unknown_to: Vec<Arc<str>>,
}

impl Course {
    /// Sets out: takes a place in the first queue, or none at all. Then it is given back, to be dropped
    /// where that does no harm; nobody is told.
    pub fn start(self) -> Result<Displaced, NotStarted> {
        let place = self.chain.entrance(&self.records);
        let leg = Leg {
            course: self,
            place,
            trouble: Covers::default(),
            why: None,
            trust: Trust::WHOLE,
            unknown_to: Vec::new(),
        };
        leg.submit().map_err(NotStarted)
    }
}

impl Leg {
    /// Takes a place in the queue of the authenticator whose turn it is. Gives back the end of the leg
    /// if there is none.
    fn submit(self) -> Result<Displaced, Box<dyn FnOnce(End) + Send>> {
        let (asker, deadline) = (self.course.asker, Arc::clone(&self.course.deadline));
        let Some(one) = self.course.chain.0.get(self.place).cloned() else {
            return Err(Box::new(move |end| self.finish(end)));
        };
        let credentials = Arc::clone(&self.course.credentials);
        match one.kind {
            Kind::Htpasswd(_, pool) => {
                let (records, name) = (self.course.records.clone(), one.name);
                let work = Box::new(move || records.check(&credentials, &name));
                let end = Box::new(move |end| self.land(end));
                pool.submit(Job { asker, deadline, work, end }).map_err(|job| job.end)
            }
            Kind::Http(service) => {
                let end = Box::new(move |end| self.land(end));
                service.submit(Job { asker, deadline, work: credentials, end }).map_err(|job| job.end)
            }
        }
    }

    /// What one said decides whether another is asked.
    fn land(mut self, end: End) {
        let answer = match end {
            End::Dropped => return self.finish(End::Dropped),
            End::Done(answer) => answer,
        };
        let Some(one) = self.course.chain.0.get(self.place).cloned() else {
            return self.finish(End::Dropped);
        };
        if let Kind::Http(service) = &one.kind {
            self.trust = self.trust.and(service.trust());
        }
        match answer {
            Ok(Outcome::Accepted(identity))
                if self.course.chain.is_taken(self.place, self.course.credentials.user(), &identity) =>
            {
                self.finish(End::Done(Ok(Outcome::Rejected)));
            }
            Ok(Outcome::Accepted(_) | Outcome::Rejected) => self.finish(End::Done(answer)),
            Ok(Outcome::Unknown) => {
                self.unknown_to.push(one.name);
                self.go_on(Ok(Outcome::Unknown));
            }
            Err(trouble) => {
                self.trouble = self.trouble.with(self.place);
                self.trust = self.trust.and(COVERED);
                let first = self.why.get_or_insert(trouble).clone();
                self.go_on(Err(first));
            }
        }
    }

    /// Asks the next one; `answer` is the end of it where there is none. To be unknown to who covers is
    /// no answer in place of who could not be asked.
    fn go_on(mut self, answer: Answer) {
        let next = self.course.chain.next(self.place + 1, self.trouble, &self.course.records);
        let Some(place) = next else {
            let answer = self.why.take().map_or(answer, Err);
            return self.finish(End::Done(answer));
        };
        self.place = place;
        match self.submit() {
            Ok(displaced) => displaced.tell(),
            Err(end) => end(End::Dropped),
        }
    }

    fn finish(self, end: End) {
        (self.course.told)(Ended { end, trust: self.trust, unknown_to: self.unknown_to });
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
