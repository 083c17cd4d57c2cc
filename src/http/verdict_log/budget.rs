//! How many refusals are logged, and for whom: a budget for all, and within it one for each block of networks and
//! one for each client network, so that a flood from one client hides nothing of another's.
//!
//! A refusal that is equal to one that was logged a short while ago is counted rather than logged, and so is what
//! exceeds a budget. The counts are logged with the network's next line, or by [`Budget::report`].
//!
//! Everything here is bounded: the tables by their size, what is kept of a network by [`RECENT`], a report by
//! [`REPORTED_MAX`]. What is evicted is counted.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::clock::Moment;
use crate::network::ClientNetwork;

/// How many seconds' worth of lines may come at once.
const BURST_SECONDS: f64 = 10.0;

/// What one client network may have of the lines of all: a tenth, so that ten floods at once fill the log, and not one.
const NETWORK_SHARE: f64 = 0.1;

/// The same for a block (an IPv4 /24, an IPv6 /48), whose owner has many networks.
const BLOCK_SHARE: f64 = 0.5;

/// What is kept back for the first line of a network that had none lately, however many others flood.
const NEW_NETWORK_RESERVE: f64 = 0.25;

/// Refusals of one network that are remembered, to recognise repetitions: more than a client with several wrong
/// credentials has in turn.
const RECENT_DENIALS_MAX: usize = 8;

/// After this time an equal refusal is logged again.
const REPETITION_WINDOW: Duration = Duration::from_secs(60);

/// Networks that are remembered: [`SETS`] times this.
const SET_ENTRIES: usize = 8;

/// With the above 4,096 networks, as many blocks, and about 1 MiB if all of them are refused something.
const SET_COUNT: usize = 512;

/// Networks that a report names.
pub(super) const REPORTED_NETWORKS_MAX: usize = 20;

/// Lines that may be written: as many as fit, refilled evenly.
#[derive(Clone, Copy, Debug)]
struct LineBucket {
    lines: f64,
    refilled_at: Moment,
}

impl LineBucket {
    fn full(per_second: f64, now: Moment) -> Self {
        Self { lines: bucket_capacity(per_second), refilled_at: now }
    }

    fn refill(&mut self, per_second: f64, now: Moment) {
        let fresh = now.since(self.refilled_at).as_secs_f64() * per_second;
        self.lines = (self.lines + fresh).min(bucket_capacity(per_second));
        self.refilled_at = now;
    }
}

/// How many lines a bucket holds; where there are any at all, at least one.
fn bucket_capacity(per_second: f64) -> f64 {
    if per_second > 0.0 { (per_second * BURST_SECONDS).max(1.0) } else { 0.0 }
}

/// One client network.
#[derive(Debug)]
struct NetworkBudget<T> {
    network: ClientNetwork,
    bucket: LineBucket,
    /// Signatures of what was logged, and when; the oldest is replaced.
    recent_denials: [Option<(u64, Moment)>; RECENT_DENIALS_MAX],
    oldest_index: usize,
    suppressed: SuppressedCounts,
    /// The last refusal that was counted.
    last_suppressed: Option<T>,
    last_used_at: Moment,
}

/// Refusals that were not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SuppressedCounts {
    /// Equal to one that was.
    pub(super) repeated: u64,
    /// Beyond a budget.
    pub(super) over_budget: u64,
}

impl SuppressedCounts {
    pub(super) fn total(self) -> u64 {
        self.repeated.saturating_add(self.over_budget)
    }

    fn add(&mut self, other: Self) {
        self.repeated = self.repeated.saturating_add(other.repeated);
        self.over_budget = self.over_budget.saturating_add(other.over_budget);
    }
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogDecision {
    /// It is logged, with the number of this network's refusals that were not since its last line.
    Log(u64),
    /// It is counted.
    Suppress,
}

/// What was not logged, by network.
#[derive(Debug)]
pub(super) struct SuppressionReport<T> {
    /// The networks with the most.
    pub(super) networks: Vec<(ClientNetwork, SuppressedCounts, Option<T>)>,
    /// How many other networks there are, and what is theirs.
    pub(super) others: (u64, SuppressedCounts),
}

/// See the top of this file. `T` is what is kept of the last refusal that was counted.
#[derive(Debug)]
pub(super) struct LogBudget<T> {
    per_second: f64,
    total: LineBucket,
    networks: Vec<Vec<NetworkBudget<T>>>,
    blocks: Vec<Vec<(u128, LineBucket)>>,
    /// Of networks that were evicted with counts.
    evicted_networks: (u64, SuppressedCounts),
    hasher: RandomState,
}

impl<T> LogBudget<T> {
    /// With full buckets.
    pub(super) fn new(per_second: u32, now: Moment) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            total: LineBucket::full(per_second, now),
            networks: (0..SET_COUNT).map(|_| Vec::new()).collect(),
            blocks: (0..SET_COUNT).map(|_| Vec::new()).collect(),
            evicted_networks: (0, SuppressedCounts::default()),
            hasher: RandomState::new(),
        }
    }

    /// Changes how many lines are written in a second. A bucket that holds more than it may is cut when it is next
    /// refilled.
    pub(super) fn set_lines_per_second(&mut self, per_second: u32) {
        self.per_second = f64::from(per_second);
    }

    /// Whether anything is logged at all.
    pub(super) fn is_disabled(&self) -> bool {
        self.per_second <= 0.0
    }

    /// Decides on one refusal of `network`'s. `signature` is equal for equal ones; `what` is kept if it is counted.
    pub(super) fn decide(
        &mut self,
        network: ClientNetwork,
        signature: u64,
        now: Moment,
        what: impl FnOnce() -> T,
    ) -> LogDecision {
        let per_second = self.per_second;
        self.total.refill(per_second, now);
        let (set, is_new) = self.find_or_insert(network, now);
        let block = self.block_bucket(network, now);
        let block_lines = block.map_or(0.0, |bucket| bucket.lines);
        let Some(one) = set.and_then(|set| self.networks.get_mut(set)?.first_mut()) else {
            return LogDecision::Suppress;
        };
        one.last_used_at = now;
        one.bucket.refill(per_second * NETWORK_SHARE, now);
        let fresh = |at: &Moment| now.since(*at) < REPETITION_WINDOW;
        if one.recent_denials.iter().flatten().any(|(known, at)| *known == signature && fresh(at)) {
            one.suppressed.repeated = one.suppressed.repeated.saturating_add(1);
            one.last_suppressed = Some(what());
            return LogDecision::Suppress;
        }
        let kept_back = if is_new { 0.0 } else { bucket_capacity(per_second) * NEW_NETWORK_RESERVE };
        if one.bucket.lines < 1.0 || block_lines < 1.0 || self.total.lines < 1.0 + kept_back {
            one.suppressed.over_budget = one.suppressed.over_budget.saturating_add(1);
            one.last_suppressed = Some(what());
            return LogDecision::Suppress;
        }
        one.bucket.lines -= 1.0;
        self.total.lines -= 1.0;
        if let Some(place) = one.recent_denials.get_mut(one.oldest_index) {
            *place = Some((signature, now));
        }
        one.oldest_index = (one.oldest_index + 1) % RECENT_DENIALS_MAX;
        one.last_suppressed = None;
        let unlogged = std::mem::take(&mut one.suppressed).total();
        if let Some(bucket) = self.block_bucket(network, now) {
            bucket.lines -= 1.0;
        }
        LogDecision::Log(unlogged)
    }

    /// Takes a line that is nobody's; `false` if there is none left.
    pub(super) fn take_line(&mut self, now: Moment) -> bool {
        self.total.refill(self.per_second, now);
        let is_left = self.total.lines >= 1.0;
        if is_left {
            self.total.lines -= 1.0;
        }
        is_left
    }

    /// Returns what was not logged since it was last told, and forgets it.
    pub(super) fn take_report(&mut self) -> SuppressionReport<T> {
        let mut all: Vec<(ClientNetwork, SuppressedCounts, Option<T>)> = Vec::new();
        for one in self.networks.iter_mut().flatten().filter(|one| one.suppressed.total() > 0) {
            all.push((one.network, std::mem::take(&mut one.suppressed), one.last_suppressed.take()));
        }
        all.sort_by_key(|(_, counts, _)| std::cmp::Reverse(counts.total()));
        let mut others = std::mem::take(&mut self.evicted_networks);
        for (_, counts, _) in all.drain(REPORTED_NETWORKS_MAX.min(all.len())..) {
            others.0 = others.0.saturating_add(1);
            others.1.add(counts);
        }
        SuppressionReport { networks: all, others }
    }

    /// Moves the network to the front of its set, and makes it if it is not there; the one that was refused
    /// least lately gives its place up. Returns the set, and whether the network is new.
    fn find_or_insert(&mut self, network: ClientNetwork, now: Moment) -> (Option<usize>, bool) {
        let index = self.set_index(network.id());
        let bucket = LineBucket::full(self.per_second * NETWORK_SHARE, now);
        let Some(set) = self.networks.get_mut(index) else { return (None, false) };
        let known = set.iter().position(|one| one.network == network);
        match known {
            Some(at) => set.swap(0, at),
            None => {
                if set.len() >= SET_ENTRIES {
                    let oldest =
                        set.iter().enumerate().min_by_key(|(_, one)| one.last_used_at).map(|(at, _)| at);
                    let gone = set.swap_remove(oldest.unwrap_or_default());
                    if gone.suppressed.total() > 0 {
                        self.evicted_networks.0 = self.evicted_networks.0.saturating_add(1);
                        self.evicted_networks.1.add(gone.suppressed);
                    }
                }
                let (recent, counts) = ([None; RECENT_DENIALS_MAX], SuppressedCounts::default());
                set.push(NetworkBudget {
                    network,
                    bucket,
                    recent_denials: recent,
                    oldest_index: 0,
                    suppressed: counts,
                    last_suppressed: None,
                    last_used_at: now,
                });
                let last = set.len().saturating_sub(1);
                set.swap(0, last);
            }
        }
        (Some(index), known.is_none())
    }

    /// The bucket of the network's block, refilled.
    fn block_bucket(&mut self, network: ClientNetwork, now: Moment) -> Option<&mut LineBucket> {
        let (key, per_second) = (network.block_id(), self.per_second * BLOCK_SHARE);
        let index = self.set_index(key);
        let set = self.blocks.get_mut(index)?;
        match set.iter().position(|(known, _)| *known == key) {
            Some(at) => set.swap(0, at),
            None => {
                if set.len() >= SET_ENTRIES {
                    let oldest = set.iter().enumerate().min_by_key(|(_, (_, bucket))| bucket.refilled_at);
                    let oldest = oldest.map_or(0, |(at, _)| at);
                    set.swap_remove(oldest);
                }
                set.push((key, LineBucket::full(per_second, now)));
                let last = set.len().saturating_sub(1);
                set.swap(0, last);
            }
        }
        let (_, bucket) = set.first_mut()?;
        bucket.refill(per_second, now);
        Some(bucket)
    }

    /// The set for a number; which numbers share one is beyond a client's power to choose.
    fn set_index(&self, number: u128) -> usize {
        usize::try_from(self.hasher.hash_one(number) % SET_COUNT as u64).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
