//! The answer cache: what an authenticator said, and nothing else. Policy is judged anew each time.
//!
//! Accepted answers only: a rejection is kept by the throttle, with what the client has asked, so that no flood of refusals
//! washes out a good answer. An accepted htpasswd answer is a pure function of its key, which holds the fingerprint of the
//! user's line, so it needs no short time to live: it goes when it was idle for long, when there is
//! no room, or when the line was edited and nobody can make its key any more. One that a service gave
//! has a time after which the service is asked anew, and perhaps a longer one in which it is given while
//! the service can't be asked; a rejection or a flush ends both. A flushed answer is asked for anew, and the
//! networks that proved it stay known, as with one that ran out. The cache evicts the least recently
//! used, since a policy that weighs frequency would not let a newcomer in.
//!
//! Deadlines stand in the values and are compared with the gate's clock; moka's own are not used.

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

/// Client networks remembered for each accepted answer: those that may have it while throttled. A
/// team's offices and CI runners fit; who is forgotten is only treated as any other network.
const SEEN_NETWORKS_MAX: usize = 64;

/// How the idle time is rounded, so that a hot answer is not written to at each hit.
const LAST_USE_RESOLUTION: Duration = Duration::from_secs(1);

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Accepted answers.
    pub entries_max: u64,
    /// An accepted answer that nobody asked for in this time goes.
    pub idle_timeout: Duration,
    /// How long a rejection by a service is given without asking it.
    pub rejection_ttl: Duration,
}

/// What a network that was given an answer before may have of it.
pub enum SeenFromNetwork {
    /// The answer.
    Answer(Arc<CachedAnswer>),
    /// That it is asked for anew.
    Expired,
}

/// An accepted answer.
pub struct CachedAnswer {
    identity: Arc<Identity>,
    /// The name that the client gave, by which it may be flushed.
    presented_user: Box<[u8]>,
    /// When it has to be asked for anew.
    fresh_until: Moment,
    /// Until when it is given where nobody can be asked.
    stale_until: Moment,
    /// In milliseconds of the gate's clock.
    last_used_at_millis: AtomicU64,
    /// Tags of the networks that were given this answer, the latest last.
    seen_networks: ArcSwap<Vec<u64>>,
    /// It was flushed or forgotten, and is not to be given even by who knows where it lies.
    is_invalidated: AtomicBool,
}

/// Whose answer is kept, and under which name.
#[derive(Clone, Copy, Debug)]
pub struct CacheEntryId<'q> {
    /// The answer's name.
    pub key: CacheKey,
    /// The name that the client gave.
    pub user: &'q [u8],
}

/// See the top of this file.
pub struct AnswerCache {
    answers: Cache<CacheKey, Arc<CachedAnswer>, UniformKeyHasher>,
    /// [`CacheLimits::idle_timeout`] in milliseconds, which can change at run time.
    idle_timeout_millis: AtomicU64,
    /// [`CacheLimits::rejection_ttl`] in milliseconds, likewise.
    rejection_ttl_millis: AtomicU64,
}

impl AnswerCache {
    /// An empty cache.
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

    /// How long a rejection by a service is given without asking it.
    pub fn rejection_ttl(&self) -> Duration {
        Duration::from_millis(self.rejection_ttl_millis.load(Ordering::Relaxed))
    }

    /// The answer kept under `key`, given to the network tagged `network`, which knows it from now on.
    pub fn get(&self, key: &CacheKey, network: u64, now: Moment) -> Option<Arc<CachedAnswer>> {
        let accepted = self.get_live(key, now).filter(|accepted| accepted.is_fresh(now))?;
        accepted.mark_seen_from(network);
        Some(accepted)
    }

    /// The accepted answer kept under `key`, if this very network was given it before: all that a
    /// throttled client gets, or it could try passwords against the cache for nothing.
    pub fn get_if_seen_from(&self, key: &CacheKey, network: u64, now: Moment) -> Option<SeenFromNetwork> {
        let accepted =
            self.get_live(key, now).filter(|accepted| accepted.seen_networks.load().contains(&network))?;
        Some(if accepted.is_fresh(now) {
            SeenFromNetwork::Answer(accepted)
        } else {
            SeenFromNetwork::Expired
        })
    }

    /// The last acceptance, which may be given since nobody can be asked, and for how long.
    pub fn stale_answer(&self, key: &CacheKey, now: Moment) -> Option<(Arc<Identity>, Duration)> {
        let accepted = self.answers.get(key)?;
        let well = now < accepted.stale_until && !accepted.is_invalidated.load(Ordering::SeqCst);
        well.then(|| (accepted.identity(), accepted.stale_until.since(now)))
    }

    /// Whose the credentials were when they were accepted last, if that was not forgotten since. It admits nobody.
    pub fn last_accepted_identity(&self, key: &CacheKey) -> Option<Arc<Identity>> {
        let accepted =
            self.answers.get(key).filter(|accepted| !accepted.is_invalidated.load(Ordering::SeqCst))?;
        Some(accepted.identity())
    }

    /// Tells an accepted answer that the network tagged `network` was given it.
    pub fn mark_seen(&self, key: &CacheKey, network: u64) {
        if let Some(accepted) = self.answers.get(key) {
            accepted.mark_seen_from(network);
        }
    }

    fn get_live(&self, key: &CacheKey, now: Moment) -> Option<Arc<CachedAnswer>> {
        let accepted = self.answers.get(key)?;
        match accepted.idle_time(now) {
            idle if idle >= Duration::from_millis(self.idle_timeout_millis.load(Ordering::Relaxed)) => {
                if now >= accepted.stale_until || accepted.fresh_until.as_millis() == u64::MAX {
                    self.answers.invalidate(key);
                }
                return None;
            }
            idle if idle >= LAST_USE_RESOLUTION => {
                accepted.last_used_at_millis.store(now.as_millis(), Ordering::Relaxed)
            }
            _ => {}
        }
        Some(accepted)
    }

    /// Whether an answer that somebody holds on to may still be given. Now and then it is looked up
    /// again, so that the cache knows that it is in use, and whether it is still there is known too.
    pub fn is_live(&self, key: &CacheKey, accepted: &Arc<CachedAnswer>, now: Moment) -> bool {
        if !accepted.is_fresh(now) {
            return false;
        }
        if accepted.idle_time(now) < LAST_USE_RESOLUTION {
            return true;
        }
        self.get_live(key, now).is_some_and(|kept| Arc::ptr_eq(&kept, accepted))
    }

    /// Keeps a good answer to `question`, for as long as `trust` says; any other ends what was kept.
    pub fn store_outcome(
        &self,
        question: &CacheEntryId<'_>,
        outcome: &Outcome,
        trust: AnswerLifetime,
        now: Moment,
    ) {
        let CacheEntryId { key, user } = *question;
        match outcome {
            Outcome::Accepted(identity) => {
                let until = |span: Option<Duration>| now.plus(span.unwrap_or(Duration::MAX));
                // Who was given the answer before it ran out is given it hereafter.
                let before = self.answers.get(&key);
                let answer = CachedAnswer {
                    identity: Arc::clone(identity),
                    presented_user: user.into(),
                    fresh_until: until(trust.cache_ttl),
                    stale_until: until(trust.stale_ttl),
                    last_used_at_millis: AtomicU64::new(now.as_millis()),
                    seen_networks: before
                        .map(|before| before.seen_networks.load_full())
                        .unwrap_or_default()
                        .into(),
                    is_invalidated: AtomicBool::new(false),
                };
                self.answers.insert(key, Arc::new(answer));
            }
            Outcome::Rejected | Outcome::UnknownUser => self.remove(&key),
        }
    }

    /// Forgets an acceptance by one of those who do not know the user any more.
    pub fn invalidate_if_accepted_by(&self, key: &CacheKey, unknown_to: &[Arc<str>]) {
        let kept = self.answers.get(key).filter(|_| !unknown_to.is_empty());
        if kept.is_some_and(|kept| unknown_to.contains(&kept.identity.authenticator)) {
            self.remove(key);
        }
    }

    /// Forgets what is kept under `key`, and who knew it.
    pub fn remove(&self, key: &CacheKey) {
        if let Some(accepted) = self.answers.remove(key) {
            accepted.invalidate();
        }
    }

    /// Has the answer kept under `key` asked for anew. Which networks proved it before stays known.
    pub fn expire(&self, key: &CacheKey) {
        if let Some(accepted) = self.answers.get(key) {
            accepted.invalidate();
        }
    }

    /// The same for every answer, or those about one user. Walks the whole cache.
    pub fn flush(&self, user: Option<&[u8]>) {
        let answers = self.answers.iter().map(|(_, answer)| answer);
        answers
            .filter(|answer| user.is_none_or(|user| answer.is_for_user(user)))
            .for_each(|answer| answer.invalidate());
    }

    /// Brings the gauges up to date, for somebody who is about to read them.
    pub fn update_gauges(&self, metrics: &Metrics) {
        self.answers.run_pending_tasks();
        metrics.cache_entries.set(i64::try_from(self.answers.entry_count()).unwrap_or(i64::MAX));
    }
}

impl CachedAnswer {
    /// Who was vouched for.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Whether it is about this user, by the name that he gave or by the one that he has.
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

    fn mark_seen_from(&self, network: u64) {
        let place = self.seen_networks.load().iter().position(|known| *known == network);
        // In the younger half it is safe for long; to move it at each use would be a write at each.
        if place.is_some_and(|place| place + SEEN_NETWORKS_MAX / 2 >= self.seen_networks.load().len()) {
            return;
        }
        self.seen_networks.rcu(|known| {
            let mut known: Vec<u64> = known.iter().copied().filter(|known| *known != network).collect();
            if known.len() >= SEEN_NETWORKS_MAX {
                known.remove(0);
            }
            known.push(network);
            known
        });
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
