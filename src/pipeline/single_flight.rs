//! Single flight: concurrent requests for an equal check share one check.
//!
//! The first request starts the check and queues it. Later requests join the check in flight and wait for its
//! result. The check belongs to the authenticator chain and not to a connection. If the first client disconnects,
//! the others still get the result.
//!
//! If there is no place in the queue, no entry is inserted that others could join. If a queued check is dropped, each
//! request that joined it tries to get its own place. So a rejection for one requester never applies to another.

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

/// A check that the cache has no answer for.
pub struct CheckRequest {
    /// The keys of the check and of its answer.
    pub cache_keys: CacheKeys,
    /// The credentials that the client presented.
    pub credentials: Arc<Credentials>,
    /// The local records that the keys were derived from. The check uses the same records.
    pub records: LocalRecord,
}

/// An answer that is available without a check.
pub enum KnownAnswer {
    /// A valid answer from the cache.
    Accepted(Arc<CachedAnswer>),
    /// A rejection that a client in the same network received.
    Rejected,
}

struct InFlightCheck {
    /// The latest deadline of the requests that wait, in milliseconds of the clock.
    deadline_millis: Arc<AtomicU64>,
    result: watch::Receiver<Option<JobResult>>,
    user: Box<[u8]>,
    /// Set by a flush. An accepted answer of this check must not be stored.
    is_flushed: AtomicBool,
}

/// The result of [`InFlightChecks::join_or_start`].
pub enum Join {
    /// The answer became known meanwhile.
    Answered(KnownAnswer),
    /// A new check was queued. The receiver gets its result.
    Started(watch::Receiver<Option<JobResult>>),
    /// The request joined a check in flight. The receiver gets its result.
    Joined(watch::Receiver<Option<JobResult>>),
}

/// The checks in flight, by the key of the check.
pub struct InFlightChecks {
    checks: Arc<DashMap<CacheKey, Arc<InFlightCheck>, UniformKeyHasher>>,
    cache: Arc<AnswerCache>,
    throttle: Arc<Throttle>,
    chain: AuthenticatorChain,
    clock: Clock,
}

impl InFlightChecks {
    /// Creates an empty map of checks.
    pub fn new(
        cache: Arc<AnswerCache>,
        throttle: Arc<Throttle>,
        chain: AuthenticatorChain,
        clock: Clock,
    ) -> Self {
        let checks = Arc::new(DashMap::with_hasher(UniformKeyHasher::default()));
        Self { checks, cache, throttle, chain, clock }
    }

    /// Returns the answer for the client `throttle_keys` if it is available without a check.
    pub fn lookup_answer(&self, cache_keys: &CacheKeys, throttle_keys: &ThrottleKeys) -> Option<KnownAnswer> {
        let network_tag = throttle_keys.requester_id().network_tag;
        if let Some(answer) = self.cache.get(&cache_keys.answer_key, network_tag, self.clock.now()) {
            return Some(KnownAnswer::Accepted(answer));
        }
        self.throttle
            .is_rejected(throttle_keys, cache_keys.check_key.attempt_id())
            .then_some(KnownAnswer::Rejected)
    }

    /// Joins the equal check in flight, or queues a new check. `wait` is how long the request waits.
    pub fn join_or_start(
        &self,
        check_request: &CheckRequest,
        throttle_keys: &ThrottleKeys,
        wait: Duration,
    ) -> Result<Join, QueueFull> {
        let deadline = self.clock.now().plus(wait).as_millis();
        // The lock of the map entry is held until the check is inserted, so that no equal check is queued twice.
        match self.checks.entry(check_request.cache_keys.check_key) {
            Entry::Occupied(entry) if !entry.get().is_flushed.load(Ordering::SeqCst) => {
                let check = entry.get();
                check.deadline_millis.fetch_max(deadline, Ordering::AcqRel);
                Ok(Join::Joined(check.result.clone()))
            }
            // A flushed check may have started before the change that caused the flush. It is not joined.
            entry => {
                // A check stores its answer before it leaves this map. If it ended after the caller's lookup, its
                // answer is found here.
                if let Some(known) = self.lookup_answer(&check_request.cache_keys, throttle_keys) {
                    return Ok(Join::Answered(known));
                }
                let (result_sender, result) = watch::channel(None);
                let check = Arc::new(InFlightCheck {
                    deadline_millis: Arc::new(AtomicU64::new(deadline)),
                    result: result.clone(),
                    user: check_request.credentials.user().into(),
                    is_flushed: AtomicBool::new(false),
                });
                let evicted =
                    match self.chain_run(check_request, *throttle_keys, &check, result_sender).start() {
                        Ok(evicted) => evicted,
                        Err(not_started) => {
                            // Dropping `not_started` locks the map entry, so the lock must be released first.
                            drop(entry);
                            drop(not_started);
                            return Err(QueueFull);
                        }
                    };
                drop(entry.insert(check));
                // The callback of an evicted job removes its check from the map, so no entry may be locked here.
                evicted.notify_dropped();
                Ok(Join::Started(result))
            }
        }
    }

    /// Returns the chain run of a check. Its callback stores the answer, removes the check from the map and sends the
    /// result.
    fn chain_run(
        &self,
        check_request: &CheckRequest,
        throttle_keys: ThrottleKeys,
        check: &Arc<InFlightCheck>,
        result_sender: watch::Sender<Option<JobResult>>,
    ) -> ChainRun {
        let (cache, throttle, clock) =
            (Arc::clone(&self.cache), Arc::clone(&self.throttle), self.clock.clone());
        let (cache_keys, completed_check) = (check_request.cache_keys, Arc::clone(check));
        let rejection_epoch = self.throttle.rejection_epoch();
        let removal = RemoveOnDrop {
            checks: Arc::clone(&self.checks),
            key: cache_keys.check_key,
            check: Arc::clone(check),
        };
        ChainRun {
            chain: self.chain.clone(),
            credentials: Arc::clone(&check_request.credentials),
            previous_identity: self.cache.last_accepted_identity(&cache_keys.answer_key),
            record: check_request.records.clone(),
            requester: throttle_keys.requester_id(),
            deadline_millis: Arc::clone(&check.deadline_millis),
            on_complete: Box::new(move |ChainResult { result, lifetime, unknown_to }| {
                match &result {
                    JobResult::Completed(Ok(outcome)) => {
                        let entry_id =
                            CacheEntryId { key: cache_keys.answer_key, user: &completed_check.user };
                        store_answer(&cache, &entry_id, &completed_check, outcome, lifetime, clock.now());
                        let is_local = lifetime.cache_ttl.is_none();
                        match outcome {
                            Outcome::Accepted(_) if is_local => throttle.undo_network_failure(&throttle_keys),
                            Outcome::Accepted(_) => {}
                            // Before the check leaves the map. Otherwise an equal request could start another check
                            // in between.
                            Outcome::Rejected | Outcome::UnknownUser => {
                                let expires_at = rejection_expires_at(is_local, &cache, clock.now());
                                let attempt_id = cache_keys.check_key.attempt_id();
                                throttle.record_rejection(
                                    &throttle_keys,
                                    attempt_id,
                                    expires_at,
                                    rejection_epoch,
                                );
                            }
                        }
                    }
                    JobResult::Completed(Err(_)) => {
                        cache.invalidate_if_accepted_by(&cache_keys.answer_key, &unknown_to)
                    }
                    JobResult::Dropped => {}
                }
                drop(removal);
                // Without a receiver this fails: every client has disconnected.
                let _ = result_sender.send(Some(result));
            }),
        }
    }

    /// Marks every check in flight as flushed: its answer is not stored, and no request joins it any more. The
    /// flush then clears the cache, so that no answer from before the flush remains. All checks are marked, because
    /// a remote service can return another user name than the one that the client sent.
    pub fn mark_all_flushed(&self) {
        for check in self.checks.iter() {
            check.is_flushed.store(true, Ordering::SeqCst);
        }
    }
}

/// Returns when a rejection expires. One that follows from local records alone never does, because their
/// fingerprint is in the key. One of a remote service has a short TTL, because the service can change its answer.
fn rejection_expires_at(is_local: bool, cache: &AnswerCache, now: Moment) -> Moment {
    now.plus(if is_local { Duration::MAX } else { cache.rejection_ttl() })
}

/// A guard that removes a check from the map, however the check ends. Otherwise requests would join a check that is
/// over.
struct RemoveOnDrop {
    checks: Arc<DashMap<CacheKey, Arc<InFlightCheck>, UniformKeyHasher>>,
    key: CacheKey,
    check: Arc<InFlightCheck>,
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        self.checks.remove_if(&self.key, |_, check| Arc::ptr_eq(check, &self.check));
    }
}

fn store_answer(
    cache: &AnswerCache,
    entry_id: &CacheEntryId<'_>,
    check: &InFlightCheck,
    outcome: &Outcome,
    lifetime: AnswerLifetime,
    now: Moment,
) {
    if check.is_flushed.load(Ordering::SeqCst) {
        // The flush may have been for another user. A rejection ends the stored answer in every case.
        if !matches!(outcome, Outcome::Accepted(_)) {
            cache.remove(&entry_id.key);
        }
        return;
    }
    cache.store_outcome(entry_id, outcome, lifetime, now);
    if check.is_flushed.load(Ordering::SeqCst) {
        // The flush came after the first test. A request may have received the answer meanwhile, and a worker cache
        // may hold it.
        cache.expire(&entry_id.key);
    }
}

/// Waits at most `wait` for the result of a check. Returns `None` if the check was dropped or the time is over.
pub async fn wait_for_answer(
    mut result: watch::Receiver<Option<JobResult>>,
    wait: Duration,
) -> Option<AuthnResult> {
    let completed = tokio::time::timeout(wait, result.wait_for(Option::is_some)).await;
    match completed.ok()?.ok()?.as_ref()? {
        JobResult::Completed(answer) => Some(answer.clone()),
        JobResult::Dropped => None,
    }
}

#[cfg(test)]
#[path = "single_flight_tests.rs"]
mod tests;
