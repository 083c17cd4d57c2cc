//! The throttle: how many different wrong answers a client may collect.
//!
//! Failures are counted by user and in all, for each of three tiers: the client network, the block that it
//! is in (an IPv4 /24, an IPv6 /48), and for IPv6 the allocation of that block (a /32). The wider a tier,
//! the more it bears: whoever owns a block has as many networks as he likes, and must not have a new
//! count with each. Each count leaks
//! away evenly over the window, so who is throttled gets one more try each time that one failure
//! has leaked. From half of
//! a network's limit on, users who failed there are throttled, and at the limit the others are. The same wrong password again is no new failure: a CI job with a stale password
//! must not lock its team out. A success clears nothing of its user, or an attacker with an account of his own
//! could start anew whenever he liked; of its network a right password takes one failure back when it
//! is checked for the first time ([`Throttle::proved`]), so that an office bears some guessers.
//!
//! A question counts from when it is let through, and is taken back by a good answer, so that a burst
//! gets no further than the limit.
//!
//! What is remembered to tell a repeated wrong password from a new one also keeps the rejection: the
//! same requester asks for nothing anew. Another network gets a check of its own, since it must not learn
//! from the speed of an answer what was tried elsewhere.
//!
//! Who is throttled may still ask for answers that his own network has had before. So that a guest
//! there can't try a million passwords against them, what he tries is counted too, generously; past
//! that count the user gets no answer from that network, until some of it has leaked.
//!
//! A question that could not be asked counts for its user, but not for the network: whom a service's
//! outage or a full queue keeps out are all at once many, and the network would be shut for everybody else in it. There too
//! a generous count keeps anybody from trying passwords against the cache meanwhile.
//!
//! Nothing here is shared between blocks, but for those of one IPv6 allocation, so nobody can lock out
//! people elsewhere. The tables
//! have a fixed number of places; where one is needed, the record with the fewest failures goes.

mod attempt_guard;
pub mod table;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::attempt_guard::AttemptGuard;
use self::table::FailureTable;
use crate::authn::queue::RequesterId;
use crate::clock::{Clock, Moment};
use crate::metrics::Metrics;
use crate::network::ClientNetwork;

/// Tells the same question from itself where it could not be asked.
const BACKEND_ERROR_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The tiers: client network, block, allocation.
const TIER_COUNT: usize = 3;

/// How much more an allocation bears than a block. It has 65,536 of them, and strangers share it: a mobile
/// provider has all of its clients in a few. A hundred blocks' worth stops whoever rents one, and is
/// beyond whoever only gets another address now and then.
const ALLOCATION_FACTOR: u32 = 100;

/// The part of its limit that a network bears of users who failed there; the rest is for the others. So guesses at some
/// names don't keep the network's other users from logging in for the first time.
const FAILED_USERS_FRACTION: f64 = 0.5;

/// How many failures are borne.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottleLimits {
    /// Different failures of one user from one client network within the window.
    pub user_failures: u32,
    /// Different failures from one client network within the window, whoever the user.
    pub network_failures: u32,
    /// Different failures of one user from one block within the window; what one network bears at the least.
    pub block_user_failures: u32,
    /// Different failures from one block within the window, whoever the user; the same.
    pub block_failures: u32,
    /// Different wrong passwords of one user that a throttled client network may try against the
    /// answers it has had before.
    pub cached_answer_attempts: u32,
    /// The time in which a full count leaks away.
    pub window: Duration,
    /// Records in each of the throttle's tables.
    pub entries_max: usize,
}

impl ThrottleLimits {
    /// Returns the limits of each tier, for one user and for all. A wider tier allows at least what a narrower one
    /// does.
    fn tiers(&self) -> [(u32, u32); TIER_COUNT] {
        let user = self.block_user_failures.max(self.user_failures);
        let all = self.block_failures.max(self.network_failures);
        let wider = |failures: u32| failures.saturating_mul(ALLOCATION_FACTOR);
        [(self.user_failures, self.network_failures), (user, all), (wider(user), wider(all))]
    }

    /// Returns the part of its limit up to which a network allows users who failed there: [`FAILED_USERS_FRACTION`],
    /// or more if one user alone could reach it before the user's own limit.
    fn failed_users_fraction(&self) -> f64 {
        let fraction = (f64::from(self.user_failures) + 1.0) / f64::from(self.network_failures.max(1));
        fraction.clamp(FAILED_USERS_FRACTION, 1.0)
    }
}

/// Whom failures are counted by in one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TierKeys {
    /// The network, block or allocation.
    total: u64,
    /// The user within it.
    user: u64,
}

/// Whom a request is counted by: tags that are equal for equal networks and users, and beyond a client's
/// power to collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleKeys {
    network: TierKeys,
    block: TierKeys,
    allocation: Option<TierKeys>,
}

impl ThrottleKeys {
    /// Whom the queues count it by.
    pub fn requester_id(&self) -> RequesterId {
        RequesterId {
            block_tag: self.block.total,
            network_tag: self.network.total,
            network_user_tag: self.network.user,
        }
    }

    fn tiers(&self) -> [Option<TierKeys>; TIER_COUNT] {
        [Some(self.network), Some(self.block), self.allocation]
    }
}

/// The counts of one tier.
struct Tier {
    users: FailureTable,
    totals: FailureTable,
}

/// Counts failures and says who has had too many.
pub struct Throttle {
    tiers: [Tier; TIER_COUNT],
    /// The bits of [`ThrottleLimits::failed_users_fraction`].
    failed_users_fraction: AtomicU64,
    /// What was tried while throttled, by user and network.
    cached_answer_attempts: FailureTable,
    /// How often all rejections were forgotten.
    rejection_epoch: AtomicU64,
    hasher: RandomState,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Throttle {
    /// With empty tables.
    pub fn new(limits: ThrottleLimits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let table = |failures| FailureTable::new(limits.entries_max, failures, limits.window);
        let tier = |(user, all)| Tier { users: table(user), totals: table(all) };
        Self {
            tiers: limits.tiers().map(tier),
            failed_users_fraction: AtomicU64::new(limits.failed_users_fraction().to_bits()),
            cached_answer_attempts: table(limits.cached_answer_attempts),
            rejection_epoch: AtomicU64::new(0),
            hasher: RandomState::new(),
            clock,
            metrics,
        }
    }

    /// Changes all limits but the size of the tables.
    pub fn set_limits(&self, limits: &ThrottleLimits) {
        for (tier, (user, all)) in self.tiers.iter().zip(limits.tiers()) {
            tier.users.set_limit(user, limits.window);
            tier.totals.set_limit(all, limits.window);
        }
        self.failed_users_fraction.store(limits.failed_users_fraction().to_bits(), Ordering::Relaxed);
        self.cached_answer_attempts.set_limit(limits.cached_answer_attempts, limits.window);
    }

    /// The tags under which `user` from `network` is counted.
    pub fn keys_for(&self, network: ClientNetwork, user: &[u8]) -> ThrottleKeys {
        let tag = |number| {
            let mut hasher = self.hasher.build_hasher();
            hasher.write_u128(number);
            let all = hasher.finish();
            // The number has a fixed length, so the user name needs no frame.
            hasher.write(user);
            TierKeys { total: all, user: hasher.finish() }
        };
        ThrottleKeys {
            network: tag(network.id()),
            block: tag(network.block_id()),
            allocation: network.allocation_id().map(tag),
        }
    }

    fn tiers_with_keys<'t>(
        &'t self,
        tags: &ThrottleKeys,
    ) -> impl Iterator<Item = (usize, &'t Tier, TierKeys)> + use<'t> {
        let tiers = self.tiers.iter().zip(tags.tiers()).enumerate();
        tiers.filter_map(|(at, (tier, tag))| Some((at, tier, tag?)))
    }

    /// How long a client has to wait until it may try again; `None` if it may now, or if it asks the
    /// `question` that is being asked for it already.
    pub fn retry_after(&self, tags: &ThrottleKeys, question: Option<u64>) -> Option<Duration> {
        // Whatever is counted anywhere is counted by user first.
        if self.tiers.iter().all(|tier| tier.users.is_empty()) {
            return None;
        }
        let now = self.clock.now();
        let wait = |(at, tier, tag): (usize, &Tier, TierKeys)| {
            let is_failed = at == 0 && tier.users.has_failure_in_total(tag.user, now);
            let part = match is_failed {
                true => f64::from_bits(self.failed_users_fraction.load(Ordering::Relaxed)),
                false => 1.0,
            };
            tier.users
                .retry_after(tag.user, question, now)
                .max(tier.totals.retry_after_at_fraction(part, tag.total, now))
        };
        let probed = self.cached_answer_attempts.retry_after(tags.network.total, None, now);
        self.tiers_with_keys(tags).map(wait).fold(probed, Option::max)
    }

    /// Lets a client look for the answer named `question` (`CacheKey::short`). Whatever becomes of
    /// it counts as a failure, unless the ticket is told of a success: a question that was shed or
    /// given up has told the client as much as a refusal, namely that no good answer was at hand.
    pub fn start_attempt(self: &Arc<Self>, tags: ThrottleKeys, question: u64) -> AttemptGuard {
        let now = self.clock.now();
        let mut counted = [false; TIER_COUNT];
        for (at, tier, tag) in self.tiers_with_keys(&tags) {
            if let Some(place) = counted.get_mut(at) {
                *place = tier.users.start_attempt(tag.user, question, now);
            }
        }
        AttemptGuard::new(Arc::clone(self), tags, question, counted)
    }

    /// Notes that the answer to `question` is no, for the client that asked and for whoever else is in its
    /// network: it is given again until `until` without a check, for as long as the question is remembered.
    /// `epoch` is [`Throttle::epoch`] of before it was asked.
    pub fn record_rejection(&self, tags: &ThrottleKeys, question: u64, until: Moment, epoch: u64) {
        let [tier, ..] = &self.tiers;
        tier.users.record_rejection(tags.network.user, question, until, epoch);
    }

    /// Whether that is noted.
    pub fn is_rejected(&self, tags: &ThrottleKeys, question: u64) -> bool {
        let [tier, ..] = &self.tiers;
        tier.users.is_rejected(tags.network.user, question, self.clock.now(), self.rejection_epoch())
    }

    /// How often all rejections were forgotten.
    pub fn rejection_epoch(&self) -> u64 {
        self.rejection_epoch.load(Ordering::SeqCst)
    }

    /// Forgets every rejection, and none of the failures.
    pub fn clear_rejections(&self) {
        self.rejection_epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether a client that is throttled or finds no place may ask for an answer that its network
    /// has had before. Each try that is none is counted by [`Throttle::probed`]: his own network's
    /// answers can be guessed at too, if by nobody else, and no hash slows him down.
    pub fn has_cached_answer_attempts_left(&self, tags: &ThrottleKeys) -> bool {
        self.cached_answer_attempts.retry_after(tags.network.user, None, self.clock.now()).is_none()
    }

    /// Counts a question that was no answer which the network has had before.
    pub fn count_cached_answer_attempt(&self, tags: &ThrottleKeys, question: u64) {
        self.cached_answer_attempts.count_failure(tags.network.user, Some(question), self.clock.now());
    }

    /// Takes the failure of a question back that turned out to be right: it was being checked, its check
    /// had been dropped, or its client had hung up.
    pub fn undo_failure(&self, tags: &ThrottleKeys, question: u64) {
        let now = self.clock.now();
        for (_, tier, tag) in self.tiers_with_keys(tags) {
            if tier.users.undo_failure(tag.user, Some(question), now) == Some(true) {
                tier.totals.undo_failure(tag.total, None, now);
            }
            tier.users.undo_failure(tag.user, Some(question ^ BACKEND_ERROR_SALT), now);
        }
    }

    /// A password was checked against local records and found right: a network with many users has failures too,
    /// so one is taken back from it. None is from the user or the block, and a cached answer takes none back, or an
    /// attacker with an account of his own could start anew whenever he liked.
    pub fn undo_network_failure(&self, tags: &ThrottleKeys) {
        let [tier, ..] = &self.tiers;
        tier.totals.undo_failure(tags.network.total, None, self.clock.now());
    }

    fn record_failure(&self, tags: &ThrottleKeys, question: u64, counted: [bool; TIER_COUNT]) {
        let now = self.clock.now();
        for (at, tier, tag) in self.tiers_with_keys(tags) {
            if counted.get(at) == Some(&true) {
                tier.totals.count_failure(tag.total, None, now);
                tier.users.mark_in_total(tag.user, question);
            }
        }
        if counted.first() == Some(&true) {
            self.metrics.throttle_failures.inc();
        }
    }

    fn record_backend_error(&self, tags: &ThrottleKeys, question: u64, counted: [bool; TIER_COUNT]) {
        let now = self.clock.now();
        for (at, tier, tag) in self.tiers_with_keys(tags) {
            if counted.get(at) == Some(&true) {
                tier.users.undo_failure(tag.user, Some(question), now);
            }
            let is_new = tier.users.count_failure(tag.user, Some(question ^ BACKEND_ERROR_SALT), now);
            if is_new && at == 0 {
                self.cached_answer_attempts.count_failure(tag.total, Some(question), now);
                self.metrics.throttle_failures.inc();
            }
        }
    }

    /// Each time counts, since each has cost the authenticator a call that got no answer.
    fn record_no_response(&self, tags: &ThrottleKeys, question: u64, counted: [bool; TIER_COUNT]) {
        let now = self.clock.now();
        for (at, tier, tag) in self.tiers_with_keys(tags) {
            if counted.get(at) == Some(&true) {
                tier.users.mark_in_total(tag.user, question);
            } else {
                tier.users.count_failure(tag.user, None, now);
            }
            tier.totals.count_failure(tag.total, None, now);
        }
        self.metrics.throttle_failures.inc();
    }

    fn end_attempt(&self, tags: &ThrottleKeys, question: u64) {
        self.tiers_with_keys(tags).for_each(|(_, tier, tag)| tier.users.end_attempt(tag.user, question));
    }

    /// Records in all tables.
    pub fn len(&self) -> usize {
        self.tiers.iter().map(|tier| tier.users.len() + tier.totals.len()).sum::<usize>()
            + self.cached_answer_attempts.len()
    }

    /// Whether nobody has failed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
