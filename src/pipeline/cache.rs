//! The answer cache. It stores accepted answers of authenticators. The policy is evaluated on every request instead.
//!
//! Rejections are stored by the throttle, with the attempts of the client. So a flood of rejections cannot evict an
//! accepted answer.
//!
//! An accepted htpasswd answer is a pure function of its key, which contains the fingerprint of the user's line. It
//! needs no TTL. It is evicted when it was idle for too long or when the cache is full. If the line is edited, no
//! request produces the old key any more.
//!
//! An answer of a remote service has a TTL, after which the service is called again. It can also have a longer
//! stale TTL, in which it is used if the service is unavailable. A rejection or a flush ends both. A flushed or
//! expired answer keeps the list of the networks that received it.
//!
//! The eviction policy is LRU. A policy that weighs frequency would not admit a new entry to a full cache.
//!
//! Deadlines are stored in the entries and compared with the clock of the pipeline. The expiry of moka is not used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::cache_key::{CacheKey, UniformKeyHasher};
use crate::authn::Identity;
use crate::authn::{AnswerLifetime, Outcome};
use crate::clock::Moment;
use crate::metrics::Metrics;

/// The maximum number of client networks stored with an accepted answer. They can receive the answer while they are
/// throttled. The offices and CI runners of a team fit. A network that was removed is treated like any other network.
const SEEN_NETWORKS_MAX: usize = 64;

/// The resolution of the idle time, so that not every hit writes to the entry.
const LAST_USE_RESOLUTION: Duration = Duration::from_secs(1);

/// The limits of the answer cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The maximum number of accepted answers.
    pub entries_max: u64,
    /// The time after which an unused answer is evicted.
    pub idle_timeout: Duration,
    /// The time for which a rejection by a remote service is repeated without a call.
    pub rejection_ttl: Duration,
}

/// The result of a lookup for a network that received the answer before.
pub enum SeenFromNetwork {
    /// The answer is valid.
    Answer(Arc<CachedAnswer>),
    /// The answer has expired or was flushed. The credentials must be checked again.
    Expired,
}

/// An accepted answer.
pub struct CachedAnswer {
    identity: Arc<Identity>,
    /// The user name that the client sent. A flush can name it.
    presented_user: Box<[u8]>,
    /// The moment after which the credentials must be checked again.
    fresh_until: Moment,
    /// The moment until which the answer is used if the authenticator is unavailable.
    stale_until: Moment,
    /// The last use, in milliseconds of the pipeline's clock.
    last_used_at_millis: AtomicU64,
    /// Tags of the networks that received this answer, the latest last.
    seen_networks: ArcSwap<Vec<u64>>,
    /// Set by a flush or a removal. Worker caches hold references to answers, so removal from the cache is not
    /// enough.
    is_invalidated: AtomicBool,
}

/// The key of an answer, and the user name for flushes.
#[derive(Clone, Copy, Debug)]
pub struct CacheEntryId<'q> {
    /// The cache key of the answer.
    pub key: CacheKey,
    /// The user name that the client sent.
    pub user: &'q [u8],
}

/// The answer cache.
pub struct AnswerCache {
    answers: Cache<CacheKey, Arc<CachedAnswer>, UniformKeyHasher>,
    /// [`CacheLimits::idle_timeout`] in milliseconds, which can change at run time.
    idle_timeout_millis: AtomicU64,
    /// [`CacheLimits::rejection_ttl`] in milliseconds, likewise.
    rejection_ttl_millis: AtomicU64,
}

impl AnswerCache {
    /// Creates an empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        let builder =
            Cache::builder().max_capacity(limits.entries_max).eviction_policy(EvictionPolicy::lru());
        let cache = Self {
            answers: builder.build_with_hasher(UniformKeyHasher::default()),
            idle_timeout_millis: AtomicU64::default(),
            rejection_ttl_millis: AtomicU64::default(),
        };
        cache.set_timeouts(&limits);
        cache
    }

    /// Changes how long answers are kept. The number of entries cannot change.
    pub fn set_timeouts(&self, limits: &CacheLimits) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.idle_timeout_millis.store(millis(limits.idle_timeout), Ordering::Relaxed);
        self.rejection_ttl_millis.store(millis(limits.rejection_ttl), Ordering::Relaxed);
    }

    /// Returns the time for which a rejection by a remote service is repeated without a call.
    pub fn rejection_ttl(&self) -> Duration {
        Duration::from_millis(self.rejection_ttl_millis.load(Ordering::Relaxed))
    }

    /// Returns the answer under `key` if it is valid, and stores that the network `network_tag` received it.
    pub fn get(&self, key: &CacheKey, network_tag: u64, now: Moment) -> Option<Arc<CachedAnswer>> {
        let answer = self.get_live(key, now).filter(|answer| answer.is_fresh(now))?;
        answer.mark_seen_from(network_tag);
        Some(answer)
    }

    /// Returns the answer under `key` if the network `network_tag` received it before. A throttled client gets no
    /// other answer. Otherwise it could test passwords against the cache without limit.
    pub fn get_if_seen_from(&self, key: &CacheKey, network_tag: u64, now: Moment) -> Option<SeenFromNetwork> {
        let answer =
            self.get_live(key, now).filter(|answer| answer.seen_networks.load().contains(&network_tag))?;
        Some(if answer.is_fresh(now) { SeenFromNetwork::Answer(answer) } else { SeenFromNetwork::Expired })
    }

    /// Returns the identity of the last accepted answer under `key`, and for how long it can be used while the
    /// authenticator is unavailable.
    pub fn stale_answer(&self, key: &CacheKey, now: Moment) -> Option<(Arc<Identity>, Duration)> {
        let answer = self.answers.get(key)?;
        let is_usable = now < answer.stale_until && !answer.is_invalidated.load(Ordering::SeqCst);
        is_usable.then(|| (answer.identity(), answer.stale_until.since(now)))
    }

    /// Returns the identity of the last accepted answer under `key`, expired or not. It must not be used to admit a
    /// request.
    pub fn last_accepted_identity(&self, key: &CacheKey) -> Option<Arc<Identity>> {
        let answer = self.answers.get(key).filter(|answer| !answer.is_invalidated.load(Ordering::SeqCst))?;
        Some(answer.identity())
    }

    /// Stores that the network `network_tag` received the answer under `key`.
    pub fn mark_seen(&self, key: &CacheKey, network_tag: u64) {
        if let Some(answer) = self.answers.get(key) {
            answer.mark_seen_from(network_tag);
        }
    }

    fn get_live(&self, key: &CacheKey, now: Moment) -> Option<Arc<CachedAnswer>> {
        let answer = self.answers.get(key)?;
        match answer.idle_time(now) {
            idle if idle >= Duration::from_millis(self.idle_timeout_millis.load(Ordering::Relaxed)) => {
                if now >= answer.stale_until || answer.fresh_until.as_millis() == u64::MAX {
                    self.answers.invalidate(key);
                }
                return None;
            }
            idle if idle >= LAST_USE_RESOLUTION => {
                answer.last_used_at_millis.store(now.as_millis(), Ordering::Relaxed)
            }
            _ => {}
        }
        Some(answer)
    }

    /// Returns true if an answer that the caller holds is still valid. After one second it is looked up
    /// again. That marks it as used, and detects that it was evicted or replaced.
    pub fn is_live(&self, key: &CacheKey, answer: &Arc<CachedAnswer>, now: Moment) -> bool {
        if !answer.is_fresh(now) {
            return false;
        }
        if answer.idle_time(now) < LAST_USE_RESOLUTION {
            return true;
        }
        self.get_live(key, now).is_some_and(|stored| Arc::ptr_eq(&stored, answer))
    }

    /// Stores an accepted outcome for the given lifetime. Any other outcome removes the stored answer.
    pub fn store_outcome(
        &self,
        entry_id: &CacheEntryId<'_>,
        outcome: &Outcome,
        lifetime: AnswerLifetime,
        now: Moment,
    ) {
        let CacheEntryId { key, user } = *entry_id;
        match outcome {
            Outcome::Accepted(identity) => {
                let until = |span: Option<Duration>| now.plus(span.unwrap_or(Duration::MAX));
                // Networks that received the previous answer also count as networks that received the new one.
                let previous = self.answers.get(&key);
                let answer = CachedAnswer {
                    identity: Arc::clone(identity),
                    presented_user: user.into(),
                    fresh_until: until(lifetime.cache_ttl),
                    stale_until: until(lifetime.stale_ttl),
                    last_used_at_millis: AtomicU64::new(now.as_millis()),
                    seen_networks: previous
                        .map(|previous| previous.seen_networks.load_full())
                        .unwrap_or_default()
                        .into(),
                    is_invalidated: AtomicBool::new(false),
                };
                self.answers.insert(key, Arc::new(answer));
            }
            Outcome::Rejected | Outcome::UnknownUser => self.remove(&key),
        }
    }

    /// Removes the answer under `key` if it was accepted by one of the authenticators `unknown_to`, which do not have
    /// the user any more.
    pub fn invalidate_if_accepted_by(&self, key: &CacheKey, unknown_to: &[Arc<str>]) {
        let answer = self.answers.get(key).filter(|_| !unknown_to.is_empty());
        if answer.is_some_and(|answer| unknown_to.contains(&answer.identity.authenticator)) {
            self.remove(key);
        }
    }

    /// Removes the answer under `key`, and with it the list of networks that received it.
    pub fn remove(&self, key: &CacheKey) {
        if let Some(answer) = self.answers.remove(key) {
            answer.invalidate();
        }
    }

    /// Invalidates the answer under `key`, so that the credentials are checked again. The list of networks that
    /// received it is kept.
    pub fn expire(&self, key: &CacheKey) {
        if let Some(answer) = self.answers.get(key) {
            answer.invalidate();
        }
    }

    /// Invalidates the answers for one user, or all answers, as [`AnswerCache::expire`] does. Visits every entry.
    pub fn flush(&self, user: Option<&[u8]>) {
        let answers = self.answers.iter().map(|(_, answer)| answer);
        answers
            .filter(|answer| user.is_none_or(|user| answer.is_for_user(user)))
            .for_each(|answer| answer.invalidate());
    }

    /// Updates the gauge of the entries.
    pub fn update_gauges(&self, metrics: &Metrics) {
        self.answers.run_pending_tasks();
        metrics.cache_entries.set(i64::try_from(self.answers.entry_count()).unwrap_or(i64::MAX));
    }
}

impl CachedAnswer {
    /// Returns the identity that the authenticator returned.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Returns true if the answer is about `user`: the name that the client sent, or the name of the identity.
    fn is_for_user(&self, user: &[u8]) -> bool {
        *self.presented_user == *user || self.identity.user.as_bytes() == user
    }

    fn is_fresh(&self, now: Moment) -> bool {
        now < self.fresh_until && !self.is_invalidated.load(Ordering::SeqCst)
    }

    fn invalidate(&self) {
        self.is_invalidated.store(true, Ordering::SeqCst);
    }

    fn idle_time(&self, now: Moment) -> Duration {
        now.since(Moment::from_millis(self.last_used_at_millis.load(Ordering::Relaxed)))
    }

    fn mark_seen_from(&self, network_tag: u64) {
        let place = self.seen_networks.load().iter().position(|seen| *seen == network_tag);
        // A network in the newer half of the list is far from removal. To move it on each use would write on each
        // use.
        if place.is_some_and(|place| place + SEEN_NETWORKS_MAX / 2 >= self.seen_networks.load().len()) {
            return;
        }
        self.seen_networks.rcu(|seen| {
            let mut seen: Vec<u64> = seen.iter().copied().filter(|seen| *seen != network_tag).collect();
            if seen.len() >= SEEN_NETWORKS_MAX {
                seen.remove(0);
            }
            seen.push(network_tag);
            seen
        });
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
