//! The throttle limits how many different wrong passwords a client can try.
//!
//! **Tiers.** Failures are counted by user and in total, in three tiers. The tiers are the client network, its
//! block (an IPv4 /24, an IPv6 /48) and, for IPv6, the allocation of the block (a /32). A wider tier has a higher
//! limit. Without the wider tiers, the owner of a block could use a new network for every few guesses. Nothing is
//! shared between blocks, except within one IPv6 allocation. So an attacker cannot lock out users elsewhere.
//!
//! **Limits.** Each count leaks evenly over the window. A throttled client can try again each time one failure has
//! leaked. At a fraction of the total limit of a network, at least half, the users who failed there are throttled.
//! At the full limit all users of the network are throttled.
//!
//! **Counted failures.** The same wrong password counts once: a CI job with an outdated password does not lock its
//! team out. A success undoes no earlier failure of its user or block. Otherwise an attacker with an account could
//! reset the counts at will. A correct password that is hashed for the first time undoes one failure of its network
//! ([`Throttle::undo_network_failure`]), so that an office with some wrong passwords is not throttled.
//!
//! **Bursts.** An attempt counts as a failure from its start, and an accepted answer undoes the failure. So a burst
//! of concurrent guesses stops at the limit.
//!
//! **Rejections.** The record of an attempt also stores its rejection, so the same client gets the rejection again
//! without a check. A client in another network gets its own check. Otherwise the speed of the response would
//! reveal what was tried elsewhere.
//!
//! **Seen answers.** A throttled client can still get answers that its network received before. Wrong attempts
//! against them have a limit of their own ([`ThrottleLimits::cached_answer_attempts`]), so that another user of
//! that network cannot test passwords at the speed of the cache. Above the limit, the user gets no answer from that
//! network until a failure has leaked.
//!
//! **Unavailable authenticators.** If no authenticator was available, the attempt counts for the user and not for
//! the network. An outage or a full queue affects many users of a network at once, and would throttle all of them.
//! The limit of seen answers applies here too.
//!
//! **Memory.** The tables have a fixed number of records. A full bucket evicts the record with the fewest failures.

mod attempt_guard;
pub(crate) mod table;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use self::attempt_guard::AttemptGuard;
use self::table::FailureTable;
use crate::authn::queue::job::RequesterId;
use crate::clock::{Clock, Moment};
use crate::metrics::Metrics;
use crate::network::ClientNetwork;

/// XORed with the id of an attempt that no authenticator answered. It distinguishes this failure from a rejection
/// of the same attempt. The value is 2^64 divided by the golden ratio.
const UNAVAILABLE_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number of tiers: client network, block, allocation.
const TIER_COUNT: usize = 3;

/// The limit of an allocation, as a multiple of the limit of a block. An allocation has 65,536 blocks, and
/// unrelated clients share it: a mobile provider has all of its clients in a few allocations. The failures of a
/// hundred blocks stop an attacker who rents an allocation. A client that only gets a new address now and then does
/// not reach them.
const ALLOCATION_FACTOR: u32 = 100;

/// The minimum fraction of the total limit of a network at which users who failed there are throttled. The rest is
/// for the other users. So guesses at some user names do not keep the other users of the network from their first
/// login.
const FAILED_USERS_FRACTION: f64 = 0.5;

/// The limits of the throttle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ThrottleLimits {
    /// Different failures of one user from one client network within the window.
    pub(crate) user_failures: u32,
    /// Different failures from one client network within the window, all users together.
    pub(crate) network_failures: u32,
    /// Different failures of one user from one block within the window. At least `user_failures` applies.
    pub(crate) block_user_failures: u32,
    /// Different failures from one block within the window, all users together. At least `network_failures` applies.
    pub(crate) block_failures: u32,
    /// Different wrong passwords of one user that a throttled client network can try against the answers that it
    /// received before.
    pub(crate) cached_answer_attempts: u32,
    /// The time in which a count at its limit leaks to zero.
    pub(crate) window: Duration,
    /// The maximum number of records in each table of the throttle.
    pub(crate) entries_max: usize,
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

    /// Returns the fraction of the limit of a network at which users who failed there are throttled. It is at least
    /// [`FAILED_USERS_FRACTION`], and so high that one user alone reaches the limit of the user first.
    fn failed_users_fraction(&self) -> f64 {
        let fraction = (f64::from(self.user_failures) + 1.0) / f64::from(self.network_failures.max(1));
        fraction.clamp(FAILED_USERS_FRACTION, 1.0)
    }
}

/// The keys under which one tier counts the failures of a client. The address range is the client network, its block
/// or its allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TierKeys {
    /// The key of the address range in [`Tier::totals`].
    address_range: u64,
    /// The key of the user in this address range in [`Tier::users`].
    user: u64,
}

/// The keys under which a request is counted. They are keyed hashes of networks and user names, so no client can find a
/// collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThrottleKeys {
    network: TierKeys,
    block: TierKeys,
    allocation: Option<TierKeys>,
}

impl ThrottleKeys {
    /// Returns the id by which the queues count the requester.
    pub(crate) fn requester_id(&self) -> RequesterId {
        RequesterId {
            block_tag: self.block.address_range,
            network_tag: self.network.address_range,
            network_user_tag: self.network.user,
        }
    }

    fn tiers(&self) -> [Option<TierKeys>; TIER_COUNT] {
        [Some(self.network), Some(self.block), self.allocation]
    }
}

/// The tables of one tier.
struct Tier {
    /// The failures of each user in each address range.
    users: FailureTable,
    /// The failures in each address range, all users together.
    totals: FailureTable,
}

/// Counts failed attempts and throttles clients with too many of them.
pub(crate) struct Throttle {
    tiers: [Tier; TIER_COUNT],
    /// The bits of [`ThrottleLimits::failed_users_fraction`], which can change at run time.
    failed_users_fraction: AtomicU64,
    /// Wrong attempts of throttled clients against seen answers, by user and network.
    cached_answer_attempts: FailureTable,
    /// Number of times that all rejections were cleared.
    rejection_epoch: AtomicU64,
    hasher: RandomState,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Throttle {
    /// Creates a throttle with empty tables.
    pub(crate) fn new(limits: ThrottleLimits, clock: Clock, metrics: Arc<Metrics>) -> Self {
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

    /// Sets all limits except the size of the tables.
    pub(crate) fn set_limits(&self, limits: &ThrottleLimits) {
        let now = self.clock.now();
        for (tier, (user, all)) in self.tiers.iter().zip(limits.tiers()) {
            tier.users.set_limit(user, limits.window, now);
            tier.totals.set_limit(all, limits.window, now);
        }
        self.failed_users_fraction.store(limits.failed_users_fraction().to_bits(), Ordering::Relaxed);
        self.cached_answer_attempts.set_limit(limits.cached_answer_attempts, limits.window, now);
    }

    /// Returns the keys under which `user` in `network` is counted.
    pub(crate) fn keys_for(&self, network: ClientNetwork, user: &[u8]) -> ThrottleKeys {
        let tier_keys = |id| {
            let mut hasher = self.hasher.build_hasher();
            hasher.write_u128(id);
            let address_range = hasher.finish();
            // The id has a fixed length, so the input is unambiguous without a length of the user name.
            hasher.write(user);
            TierKeys { address_range, user: hasher.finish() }
        };
        ThrottleKeys {
            network: tier_keys(network.id()),
            block: tier_keys(network.block_id()),
            allocation: network.allocation_id().map(tier_keys),
        }
    }

    fn tiers_with_keys<'t>(
        &'t self,
        keys: &ThrottleKeys,
    ) -> impl Iterator<Item = (usize, &'t Tier, TierKeys)> + use<'t> {
        let tiers = self.tiers.iter().zip(keys.tiers()).enumerate();
        tiers.filter_map(|(index, (tier, tier_keys))| Some((index, tier, tier_keys?)))
    }

    /// Returns the time until the client can try again; `None` if it is not throttled. An attempt that is already in
    /// progress for this client is not throttled by its own failure.
    pub(crate) fn retry_after(&self, keys: &ThrottleKeys, attempt_id: Option<u64>) -> Option<Duration> {
        // Every failure is counted by user too, so empty user tables mean that all tables are empty.
        if self.tiers.iter().all(|tier| tier.users.is_empty()) {
            return None;
        }
        let now = self.clock.now();
        let wait =
            |(index, tier, tier_keys): (usize, &Tier, TierKeys)| {
                let has_failed = index == 0 && tier.users.has_failure_in_total(tier_keys.user, now);
                let fraction = match has_failed {
                    true => f64::from_bits(self.failed_users_fraction.load(Ordering::Relaxed)),
                    false => 1.0,
                };
                tier.users
                    .retry_after(tier_keys.user, attempt_id, now)
                    .max(tier.totals.retry_after_at_fraction(fraction, tier_keys.address_range, now))
            };
        let cached_answer_wait =
            self.cached_answer_attempts.retry_after(keys.network.address_range, None, now);
        self.tiers_with_keys(keys).map(wait).fold(cached_answer_wait, Option::max)
    }

    /// Starts an attempt, and counts it as a failure unless the guard records another result. A check that is
    /// evicted or times out stays counted: like a rejection it reveals that the cache has no accepted answer.
    ///
    /// `attempt_id` is [`CacheKey::attempt_id`](super::cache_key::CacheKey::attempt_id).
    pub(crate) fn start_attempt(self: &Arc<Self>, keys: ThrottleKeys, attempt_id: u64) -> AttemptGuard {
        let now = self.clock.now();
        let mut newly_counted = [false; TIER_COUNT];
        for (index, tier, tier_keys) in self.tiers_with_keys(&keys) {
            if let Some(is_new) = newly_counted.get_mut(index) {
                *is_new = tier.users.start_attempt(tier_keys.user, attempt_id, now);
            }
        }
        AttemptGuard::new(Arc::clone(self), keys, attempt_id, newly_counted)
    }

    /// Stores that an attempt was rejected, for all clients in the network of the user. Until `expires_at` the
    /// rejection is repeated without a check, as long as the record of the attempt exists. `epoch` is the
    /// [`Throttle::rejection_epoch`] from before the check started.
    pub(crate) fn record_rejection(
        &self,
        keys: &ThrottleKeys,
        attempt_id: u64,
        expires_at: Moment,
        epoch: u64,
    ) {
        let [network, ..] = &self.tiers;
        network.users.record_rejection(keys.network.user, attempt_id, expires_at, epoch);
    }

    /// Returns true if a rejection of the attempt is stored.
    pub(crate) fn is_rejected(&self, keys: &ThrottleKeys, attempt_id: u64) -> bool {
        let [network, ..] = &self.tiers;
        network.users.is_rejected(keys.network.user, attempt_id, self.clock.now(), self.rejection_epoch())
    }

    /// Returns the number of times that all rejections were cleared.
    pub(crate) fn rejection_epoch(&self) -> u64 {
        self.rejection_epoch.load(Ordering::SeqCst)
    }

    /// Clears every rejection. The failures stay counted.
    pub(crate) fn clear_rejections(&self) {
        self.rejection_epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns true if a throttled client, or one whose queue is full, can look up an answer that its network
    /// received before. [`Throttle::count_cached_answer_attempt`] counts each lookup without success: other users
    /// of the network could guess passwords, and no hash slows them down.
    pub(crate) fn has_cached_answer_attempts_left(&self, keys: &ThrottleKeys) -> bool {
        self.cached_answer_attempts.retry_after(keys.network.user, None, self.clock.now()).is_none()
    }

    /// Counts a lookup that found no answer which the network received before.
    pub(crate) fn count_cached_answer_attempt(&self, keys: &ThrottleKeys, attempt_id: u64) {
        self.cached_answer_attempts.count_failure(keys.network.user, Some(attempt_id), self.clock.now());
    }

    /// Undoes the failure of an attempt with correct credentials. It was counted because the check was in progress or
    /// dropped, or because the client disconnected.
    pub(crate) fn undo_failure(&self, keys: &ThrottleKeys, attempt_id: u64) {
        let now = self.clock.now();
        for (_, tier, tier_keys) in self.tiers_with_keys(keys) {
            if tier.users.undo_failure(tier_keys.user, Some(attempt_id), now) == Some(true) {
                tier.totals.undo_failure(tier_keys.address_range, None, now);
            }
            tier.users.undo_failure(tier_keys.user, Some(attempt_id ^ UNAVAILABLE_SALT), now);
        }
    }

    /// Undoes one failure of the network, after a password was checked against local records and accepted. A
    /// network with many users has failures in normal operation. The counts of the user and the block do not
    /// change, and a cached answer undoes nothing. Otherwise an attacker with an account could reset the counts at
    /// will.
    pub(crate) fn undo_network_failure(&self, keys: &ThrottleKeys) {
        let [network, ..] = &self.tiers;
        network.totals.undo_failure(keys.network.address_range, None, self.clock.now());
    }

    /// Counts a failed attempt in the totals too.
    fn record_failure(&self, keys: &ThrottleKeys, attempt_id: u64, newly_counted: [bool; TIER_COUNT]) {
        let now = self.clock.now();
        for (index, tier, tier_keys) in self.tiers_with_keys(keys) {
            if newly_counted.get(index) == Some(&true) {
                tier.totals.count_failure(tier_keys.address_range, None, now);
                tier.users.mark_in_total(tier_keys.user, attempt_id);
            }
        }
        if newly_counted.first() == Some(&true) {
            self.metrics.throttle_failures.inc();
        }
    }

    /// Replaces the failure of an attempt by one that counts for the user and not for the network.
    fn record_unavailable(&self, keys: &ThrottleKeys, attempt_id: u64, newly_counted: [bool; TIER_COUNT]) {
        let now = self.clock.now();
        for (index, tier, tier_keys) in self.tiers_with_keys(keys) {
            if newly_counted.get(index) == Some(&true) {
                tier.users.undo_failure(tier_keys.user, Some(attempt_id), now);
            }
            let unavailable_id = attempt_id ^ UNAVAILABLE_SALT;
            let is_new = tier.users.count_failure(tier_keys.user, Some(unavailable_id), now);
            if is_new && index == 0 {
                self.cached_answer_attempts.count_failure(tier_keys.address_range, Some(attempt_id), now);
                self.metrics.throttle_failures.inc();
            }
        }
    }

    /// Counts a failure each time, repeated attempts included: each one cost the authenticator a call without a
    /// response.
    fn record_unanswered(&self, keys: &ThrottleKeys, attempt_id: u64, newly_counted: [bool; TIER_COUNT]) {
        let now = self.clock.now();
        for (index, tier, tier_keys) in self.tiers_with_keys(keys) {
            if newly_counted.get(index) == Some(&true) {
                tier.users.mark_in_total(tier_keys.user, attempt_id);
            } else {
                tier.users.count_failure(tier_keys.user, None, now);
            }
            tier.totals.count_failure(tier_keys.address_range, None, now);
        }
        self.metrics.throttle_failures.inc();
    }

    fn end_attempt(&self, keys: &ThrottleKeys, attempt_id: u64) {
        for (_, tier, tier_keys) in self.tiers_with_keys(keys) {
            tier.users.end_attempt(tier_keys.user, attempt_id);
        }
    }

    /// Returns the number of records in all tables.
    pub(crate) fn len(&self) -> usize {
        self.tiers.iter().map(|tier| tier.users.len() + tier.totals.len()).sum::<usize>()
            + self.cached_answer_attempts.len()
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
