//! Checks under way: any number of equal questions asked at one time cost one check.
//!
//! Who asks first leads and has the check queued; the others wait for the same flight. The check
//! belongs to the hash pool, not to the leader's connection, so a leader who hangs up takes nobody
//! with him. A leader who finds no place is told so before there is a flight to join, and a flight
//! whose check was dropped sends each of the others to ask for a place of his own: nobody's refusal
//! becomes another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::{DashMap, Entry};
use tokio::sync::watch;

use super::cache::{AnswerCache, Known};
use super::key::{CacheKey, Uniform};
use crate::authn::pool::{Asker, End, HashPool, Job, Shed};
use crate::authn::{Answer, Credentials, Outcome, Records};
use crate::clock::{Clock, Moment};

/// A question that the cache could not answer.
pub struct Question {
    /// Its name.
    pub key: CacheKey,
    /// What was presented.
    pub credentials: Credentials,
    /// The records that the key speaks of.
    pub records: Records,
}

struct Flight {
    deadline: Arc<AtomicU64>,
    end: watch::Receiver<Option<End>>,
    user: Box<[u8]>,
    /// Its answer must not be kept: what it was asked about has been flushed since.
    flushed: AtomicBool,
}

/// How somebody takes part.
pub enum Boarding {
    /// The answer came in between.
    Known(Known),
    /// He led, and waits for his own check.
    Led(watch::Receiver<Option<End>>),
    /// He waits for another's.
    Joined(watch::Receiver<Option<End>>),
}

/// The checks under way, by question.
pub struct Flights {
    under_way: Arc<DashMap<CacheKey, Arc<Flight>, Uniform>>,
    cache: Arc<AnswerCache>,
    pool: Arc<HashPool>,
    clock: Clock,
}

impl Flights {
    /// None under way.
    pub fn new(cache: Arc<AnswerCache>, pool: Arc<HashPool>, clock: Clock) -> Self {
        Self { under_way: Arc::new(DashMap::with_hasher(Uniform::default())), cache, pool, clock }
    }

    /// Joins the flight of an equal question, or leads one. `wait` is how long the asker will wait.
    pub fn board(&self, question: &Question, asker: Asker, wait: Duration) -> Result<Boarding, Shed> {
        let now = self.clock.now();
        let deadline = now.plus(wait).as_millis();
        // The entry's lock is held until the flight is entered, so two leaders can't meet.
        match self.under_way.entry(question.key) {
            Entry::Occupied(entry) => {
                let flight = entry.get();
                flight.deadline.fetch_max(deadline, Ordering::AcqRel);
                Ok(Boarding::Joined(flight.end.clone()))
            }
            Entry::Vacant(entry) => {
                // A flight keeps its answer before it leaves this map: one that ended since the
                // cache was asked is seen here.
                if let Some(known) = self.cache.get(&question.key, asker.network, now) {
                    return Ok(Boarding::Known(known));
                }
                let (tell, end) = watch::channel(None);
                let flight = Arc::new(Flight {
                    deadline: Arc::new(AtomicU64::new(deadline)),
                    end: end.clone(),
                    user: question.credentials.user().into(),
                    flushed: AtomicBool::new(false),
                });
                let displaced = self.pool.submit(self.job(question, asker, &flight, tell))?;
                drop(entry.insert(flight));
                // Its end takes its flight out of the map, which must not be locked by then.
                displaced.tell();
                Ok(Boarding::Led(end))
            }
        }
    }

    fn job(
        &self,
        question: &Question,
        asker: Asker,
        flight: &Arc<Flight>,
        tell: watch::Sender<Option<End>>,
    ) -> Job {
        let (credentials, records) = (question.credentials.clone(), question.records.clone());
        let (under_way, cache, clock) =
            (Arc::clone(&self.under_way), Arc::clone(&self.cache), self.clock.clone());
        let (key, flight_of_job) = (question.key, Arc::clone(flight));
        Job {
            asker,
            deadline: Arc::clone(&flight.deadline),
            check: Box::new(move || records.check(&credentials)),
            end: Box::new(move |end| {
                if let End::Done(Ok(outcome)) = &end {
                    keep(&cache, key, asker.network, &flight_of_job, outcome, clock.now());
                }
                under_way.remove(&key);
                // Nobody may be waiting any more, and that is fine.
                let _ = tell.send(Some(end));
            }),
        }
    }

    /// Keeps the answers under way, all or one user's, out of the cache. For a flush, which then
    /// clears the cache: whichever of the two comes first, nothing of before it stays.
    pub fn flush(&self, user: Option<&[u8]>) {
        for flight in self.under_way.iter() {
            if user.is_none_or(|user| *flight.user == *user) {
                flight.flushed.store(true, Ordering::SeqCst);
            }
        }
    }
}

fn keep(cache: &AnswerCache, key: CacheKey, network: u64, flight: &Flight, outcome: &Outcome, now: Moment) {
    if flight.flushed.load(Ordering::SeqCst) {
        return;
    }
    cache.put(key, &flight.user, network, outcome, now);
    if flight.flushed.load(Ordering::SeqCst) {
        // Between the two lines somebody may have been given it, and noted where it lies.
        cache.forget(&key);
    }
}

/// Waits for the end of a check, `wait` at the most. `None` if there was no answer: the check was
/// dropped, or the time was up.
pub async fn land(mut end: watch::Receiver<Option<End>>, wait: Duration) -> Option<Answer> {
    let landed = tokio::time::timeout(wait, end.wait_for(Option::is_some)).await;
    match landed.ok()?.ok()?.as_ref()? {
        End::Done(answer) => Some(answer.clone()),
        End::Dropped => None,
    }
}
