//! Checks under way: any number of equal questions asked at one time cost one check.
//!
//! Who asks first leads and has the check queued; the others wait for the same flight. The check
//! belongs to the chain of authenticators, not to the leader's connection, so a leader who hangs up takes nobody
//! with him. A leader who finds no place is told so before there is a flight to join, and a flight
//! whose check was dropped sends each of the others to ask for a place of his own: nobody's refusal
//! becomes another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::{DashMap, Entry};
use tokio::sync::watch;

use super::cache::{AnswerCache, CacheEntryId, CachedAnswer};
use super::cache_key::{CacheKey, CacheKeys, UniformKeyHasher};
use super::throttle::{Throttle, ThrottleKeys};
use crate::authn::chain::{AuthenticatorChain, ChainResult, ChainRun};
use crate::authn::queue::job::{JobResult, QueueFull};
use crate::authn::{AnswerLifetime, AuthnResult, Credentials, LocalRecord, Outcome};
use crate::clock::{Clock, Moment};

/// A question that the cache could not answer.
pub struct CheckRequest {
    /// Its names.
    pub cache_keys: CacheKeys,
    /// What was presented.
    pub credentials: Arc<Credentials>,
    /// The records that the names speak of.
    pub records: LocalRecord,
}

/// What is known of a question without a check.
pub enum KnownAnswer {
    /// Somebody was vouched for.
    Accepted(Arc<CachedAnswer>),
    /// The answer was no, to a client in the same network.
    Rejected,
}

struct InFlightCheck {
    deadline_millis: Arc<AtomicU64>,
    result: watch::Receiver<Option<JobResult>>,
    user: Box<[u8]>,
    /// Its answer must not be kept: what it was asked about has been flushed since.
    is_flushed: AtomicBool,
}

/// How somebody takes part.
pub enum Join {
    /// The answer came in between.
    Answered(KnownAnswer),
    /// He led, and waits for his own check.
    Started(watch::Receiver<Option<JobResult>>),
    /// He waits for another's.
    Joined(watch::Receiver<Option<JobResult>>),
}

/// The checks under way, by question.
pub struct InFlightChecks {
    checks: Arc<DashMap<CacheKey, Arc<InFlightCheck>, UniformKeyHasher>>,
    cache: Arc<AnswerCache>,
    throttle: Arc<Throttle>,
    chain: AuthenticatorChain,
    clock: Clock,
}

impl InFlightChecks {
    /// None under way.
    pub fn new(
        cache: Arc<AnswerCache>,
        throttle: Arc<Throttle>,
        chain: AuthenticatorChain,
        clock: Clock,
    ) -> Self {
        let under_way = Arc::new(DashMap::with_hasher(UniformKeyHasher::default()));
        Self { checks: under_way, cache, throttle, chain, clock }
    }

    /// What is known without a check, for the client that `tags` stand for.
    pub fn lookup_answer(&self, names: &CacheKeys, tags: &ThrottleKeys) -> Option<KnownAnswer> {
        if let Some(accepted) =
            self.cache.get(&names.answer_key, tags.requester_id().network_tag, self.clock.now())
        {
            return Some(KnownAnswer::Accepted(accepted));
        }
        self.throttle.is_rejected(tags, names.check_key.attempt_id()).then_some(KnownAnswer::Rejected)
    }

    /// Joins the flight of an equal question, or leads one. `wait` is how long the asker will wait.
    pub fn join_or_start(
        &self,
        question: &CheckRequest,
        tags: &ThrottleKeys,
        wait: Duration,
    ) -> Result<Join, QueueFull> {
        let now = self.clock.now();
        let deadline = now.plus(wait).as_millis();
        // The entry's lock is held until the flight is entered, so two leaders can't meet.
        match self.checks.entry(question.cache_keys.check_key) {
            Entry::Occupied(entry) if !entry.get().is_flushed.load(Ordering::SeqCst) => {
                let flight = entry.get();
                flight.deadline_millis.fetch_max(deadline, Ordering::AcqRel);
                Ok(Join::Joined(flight.result.clone()))
            }
            // One that was flushed may have been asked before what the flush is about.
            entry => {
                // A flight keeps its answer before it leaves this map: one that ended since the
                // cache was asked is seen here.
                if let Some(known) = self.lookup_answer(&question.cache_keys, tags) {
                    return Ok(Join::Answered(known));
                }
                let (tell, end) = watch::channel(None);
                let flight = Arc::new(InFlightCheck {
                    deadline_millis: Arc::new(AtomicU64::new(deadline)),
                    result: end.clone(),
                    user: question.credentials.user().into(),
                    is_flushed: AtomicBool::new(false),
                });
                let displaced = match self.chain_run(question, *tags, &flight, tell).start() {
                    Ok(displaced) => displaced,
                    Err(not_started) => {
                        // What it would take out of the map is not in it, and the map is locked here.
                        drop(entry);
                        drop(not_started);
                        return Err(QueueFull);
                    }
                };
                drop(entry.insert(flight));
                // Its end takes its flight out of the map, which must not be locked by then.
                displaced.notify_dropped();
                Ok(Join::Started(end))
            }
        }
    }

    fn chain_run(
        &self,
        question: &CheckRequest,
        tags: ThrottleKeys,
        flight: &Arc<InFlightCheck>,
        tell: watch::Sender<Option<JobResult>>,
    ) -> ChainRun {
        let (cache, throttle) = (Arc::clone(&self.cache), Arc::clone(&self.throttle));
        let (clock, names, flown) = (self.clock.clone(), question.cache_keys, Arc::clone(flight));
        let (under_way, epoch) = (Arc::clone(&self.checks), self.throttle.rejection_epoch());
        let landing = RemoveOnDrop { checks: under_way, key: names.check_key, check: Arc::clone(flight) };
        ChainRun {
            chain: self.chain.clone(),
            credentials: Arc::clone(&question.credentials),
            previous_identity: self.cache.last_accepted_identity(&names.answer_key),
            record: question.records.clone(),
            requester: tags.requester_id(),
            deadline_millis: Arc::clone(&flight.deadline_millis),
            on_complete: Box::new(move |ChainResult { result: end, lifetime: trust, unknown_to }| {
                match &end {
                    JobResult::Completed(Ok(outcome)) => {
                        let asked = CacheEntryId { key: names.answer_key, user: &flown.user };
                        store_answer(&cache, &asked, &flown, outcome, trust, clock.now());
                        let local = trust.cache_ttl.is_none();
                        match outcome {
                            Outcome::Accepted(_) if local => throttle.undo_network_failure(&tags),
                            Outcome::Accepted(_) => {}
                            // Before the flight is gone: who comes then must not have it checked again.
                            Outcome::Rejected | Outcome::UnknownUser => {
                                let until = rejection_expires_at(local, &cache, clock.now());
                                throttle.record_rejection(&tags, names.check_key.attempt_id(), until, epoch);
                            }
                        }
                    }
                    JobResult::Completed(Err(_)) => {
                        cache.invalidate_if_accepted_by(&names.answer_key, &unknown_to)
                    }
                    JobResult::Dropped => {}
                }
                drop(landing);
                // Nobody may be waiting any more, and that is fine.
                let _ = tell.send(Some(end));
            }),
        }
    }

    /// Keeps the answers under way out of the cache, and later askers from joining them. For a flush, which
    /// then clears the cache: whichever of the two comes first, nothing of before it stays. All of them,
    /// since a service may give a user another name than the one that he was asked about by.
    pub fn mark_all_flushed(&self) {
        for flight in self.checks.iter() {
            flight.is_flushed.store(true, Ordering::SeqCst);
        }
    }
}

/// Until when a rejection is given without a check: for good where it follows from local records alone,
/// whose fingerprint is in the question's name; for a short time where a service may change its mind.
fn rejection_expires_at(local: bool, cache: &AnswerCache, now: Moment) -> Moment {
    now.plus(if local { Duration::MAX } else { cache.rejection_ttl() })
}

/// Takes a flight out of the map when it has come to its end, whichever that is: those who joined would
/// come back to it for ever.
struct RemoveOnDrop {
    checks: Arc<DashMap<CacheKey, Arc<InFlightCheck>, UniformKeyHasher>>,
    key: CacheKey,
    check: Arc<InFlightCheck>,
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        self.checks.remove_if(&self.key, |_, flight| Arc::ptr_eq(flight, &self.check));
    }
}

fn store_answer(
    cache: &AnswerCache,
    asked: &CacheEntryId<'_>,
    flight: &InFlightCheck,
    outcome: &Outcome,
    trust: AnswerLifetime,
    now: Moment,
) {
    if flight.is_flushed.load(Ordering::SeqCst) {
        // The flush may have been another user's, and a "no" ends what was accepted in any case.
        if !matches!(outcome, Outcome::Accepted(_)) {
            cache.remove(&asked.key);
        }
        return;
    }
    cache.store_outcome(asked, outcome, trust, now);
    if flight.is_flushed.load(Ordering::SeqCst) {
        // Between the two lines somebody may have been given it, and noted where it lies.
        cache.expire(&asked.key);
    }
}

/// Waits for the end of a check, `wait` at the most. `None` if there was no answer: the check was
/// dropped, or the time was up.
pub async fn wait_for_answer(
    mut end: watch::Receiver<Option<JobResult>>,
    wait: Duration,
) -> Option<AuthnResult> {
    let landed = tokio::time::timeout(wait, end.wait_for(Option::is_some)).await;
    match landed.ok()?.ok()?.as_ref()? {
        JobResult::Completed(answer) => Some(answer.clone()),
        JobResult::Dropped => None,
    }
}

#[cfg(test)]
#[path = "single_flight_tests.rs"]
mod tests;
