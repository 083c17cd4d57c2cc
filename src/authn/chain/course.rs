//! A question on its way: from the queue of one authenticator to that of the next.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{Authenticators, COVERED, Covers, Kind};
use crate::authn::http::Inquiry;
use crate::authn::queue::{Asker, Displaced, End, Job};
use crate::authn::{Answer, Credentials, Identity, Outcome, Records, Trouble, Trust};

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
    /// Whose these credentials were when they were accepted last, if they were.
    pub accepted_as: Option<Arc<Identity>>,
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
        // Where there is nobody, the leg finds that out.
        let place = self.chain.entrance(&self.records).unwrap_or(usize::MAX);
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
        let Some(one) = self.course.chain.chain.get(self.place).cloned() else {
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
                let work = Inquiry { credentials, accepted_as: self.course.accepted_as.clone() };
                let end = Box::new(move |end| self.land(end));
                service.submit(Job { asker, deadline, work, end })
            }
        }
    }

    /// What one said decides whether another is asked.
    fn land(mut self, end: End) {
        let answer = match end {
            End::Dropped => return self.finish(End::Dropped),
            End::Done(answer) => answer,
        };
        let Some(one) = self.course.chain.chain.get(self.place).cloned() else {
            return self.finish(End::Dropped);
        };
        self.trust = self.trust.and(match &one.kind {
            Kind::Htpasswd(..) => Trust::WHOLE,
            Kind::Http(service) => service.trust(),
        });
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
