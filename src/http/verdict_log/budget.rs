//! The budgets for log lines about denied requests. There is one for all lines, one for each block of networks and
//! one for each client network. A flood from one client therefore cannot hide the requests of others.
//!
//! A request is only counted if an equal one was logged recently, or if a budget is exhausted. The counts are added
//! to the next line of the network, or returned by [`LogBudget::take_report`].
//!
//! All memory is bounded: the tables by their size, the memory for a network by [`RECENT_DENIALS_MAX`], a report by
//! [`REPORTED_NETWORKS_MAX`]. Counts of evicted networks are kept as a sum.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::clock::Moment;
use crate::network::ClientNetwork;

/// Size of a burst, in seconds of the budget.
const BURST_SECONDS: f64 = 10.0;

/// Share of one client network in the total budget: ten concurrent floods can exhaust the log, but one cannot.
const NETWORK_SHARE: f64 = 0.1;

/// Share of one block (an IPv4 /24, an IPv6 /48) in the total budget. The owner of a block has many networks.
const BLOCK_SHARE: f64 = 0.5;

/// Share of the total budget that is reserved for the first line of a network without a recent line, even during
/// floods.
const NEW_NETWORK_RESERVE: f64 = 0.25;

/// Maximum number of recent denials that are stored for one network, to recognize repetitions. A client that
/// alternates between several wrong credentials needs fewer.
const RECENT_DENIALS_MAX: usize = 8;

/// Time after which an equal denial is logged again.
const REPETITION_WINDOW: Duration = Duration::from_secs(60);

/// Number of entries of a set. The table has [`SET_COUNT`] sets.
const SET_ENTRIES: usize = 8;

/// Number of sets. Together with [`SET_ENTRIES`]: 4,096 networks and as many blocks, which take about 1 MiB.
const SET_COUNT: usize = 512;

/// Maximum number of networks that a report names.
pub(super) const REPORTED_NETWORKS_MAX: usize = 20;

/// A token bucket of log lines, refilled evenly.
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
        let added = now.since(self.refilled_at).as_secs_f64() * per_second;
        self.lines = (self.lines + added).min(bucket_capacity(per_second));
        self.refilled_at = now;
    }
}

/// Returns the capacity of a bucket: at least one line, unless the budget is zero.
fn bucket_capacity(per_second: f64) -> f64 {
    if per_second > 0.0 { (per_second * BURST_SECONDS).max(1.0) } else { 0.0 }
}

/// The budget of one client network.
#[derive(Debug)]
struct NetworkBudget<T> {
    network: ClientNetwork,
    bucket: LineBucket,
    /// Signature and time of the last logged denials. The oldest is replaced.
    recent_denials: [Option<(u64, Moment)>; RECENT_DENIALS_MAX],
    oldest_index: usize,
    suppressed: SuppressedCounts,
    /// The last denial that was only counted.
    last_suppressed: Option<T>,
    last_used_at: Moment,
}

/// Numbers of denials that were not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SuppressedCounts {
    /// Denials that repeat a logged one.
    pub(super) repeated: u64,
    /// Denials that exceed a budget.
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

/// The decision about one denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogDecision {
    /// A line is written. The number counts the denials of this network that were not logged since its last line.
    Log(u64),
    /// The denial is only counted.
    Suppress,
}

/// The denials that were not logged, by network.
#[derive(Debug)]
pub(super) struct SuppressionReport<T> {
    /// The networks with the highest counts.
    pub(super) networks: Vec<(ClientNetwork, SuppressedCounts, Option<T>)>,
    /// Number and counts of all other networks.
    pub(super) others: (u64, SuppressedCounts),
}

/// The budgets of the log. `T` describes a denial that was only counted.
#[derive(Debug)]
pub(super) struct LogBudget<T> {
    per_second: f64,
    total: LineBucket,
    networks: Vec<Vec<NetworkBudget<T>>>,
    blocks: Vec<Vec<(u128, LineBucket)>>,
    /// Number and counts of evicted networks.
    evicted_networks: (u64, SuppressedCounts),
    hasher: RandomState,
}

impl<T> LogBudget<T> {
    /// Creates budgets with full buckets.
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

    /// Changes how many lines are written in a second. A bucket that holds more than its new size is
    /// reduced at its next refill.
    pub(super) fn set_lines_per_second(&mut self, per_second: u32) {
        self.per_second = f64::from(per_second);
    }

    /// Returns true if nothing is ever logged.
    pub(super) fn is_disabled(&self) -> bool {
        self.per_second <= 0.0
    }

    /// Decides on one denial of `network`. `signature` is equal for repetitions. `describe` is called and its result
    /// is kept if the denial is only counted.
    pub(super) fn decide(
        &mut self,
        network: ClientNetwork,
        signature: u64,
        now: Moment,
        describe: impl FnOnce() -> T,
    ) -> LogDecision {
        let per_second = self.per_second;
        self.total.refill(per_second, now);
        let (set, is_new) = self.find_or_insert(network, now);
        let block = self.block_bucket(network, now);
        let block_lines = block.map_or(0.0, |bucket| bucket.lines);
        let Some(budget) = set.and_then(|set| self.networks.get_mut(set)?.first_mut()) else {
            return LogDecision::Suppress;
        };
        budget.last_used_at = now;
        budget.bucket.refill(per_second * NETWORK_SHARE, now);
        let is_recent = |at: &Moment| now.since(*at) < REPETITION_WINDOW;
        if budget.recent_denials.iter().flatten().any(|(known, at)| *known == signature && is_recent(at)) {
            budget.suppressed.repeated = budget.suppressed.repeated.saturating_add(1);
            budget.last_suppressed = Some(describe());
            return LogDecision::Suppress;
        }
        let reserve = if is_new { 0.0 } else { bucket_capacity(per_second) * NEW_NETWORK_RESERVE };
        if budget.bucket.lines < 1.0 || block_lines < 1.0 || self.total.lines < 1.0 + reserve {
            budget.suppressed.over_budget = budget.suppressed.over_budget.saturating_add(1);
            budget.last_suppressed = Some(describe());
            return LogDecision::Suppress;
        }
        budget.bucket.lines -= 1.0;
        self.total.lines -= 1.0;
        if let Some(slot) = budget.recent_denials.get_mut(budget.oldest_index) {
            *slot = Some((signature, now));
        }
        budget.oldest_index = (budget.oldest_index + 1) % RECENT_DENIALS_MAX;
        budget.last_suppressed = None;
        let suppressed = std::mem::take(&mut budget.suppressed).total();
        if let Some(bucket) = self.block_bucket(network, now) {
            bucket.lines -= 1.0;
        }
        LogDecision::Log(suppressed)
    }

    /// Takes a line that belongs to no network. Returns false if the budget is exhausted.
    pub(super) fn take_line(&mut self, now: Moment) -> bool {
        self.total.refill(self.per_second, now);
        let is_left = self.total.lines >= 1.0;
        if is_left {
            self.total.lines -= 1.0;
        }
        is_left
    }

    /// Returns the denials that were not logged since the last report, and resets the counts.
    pub(super) fn take_report(&mut self) -> SuppressionReport<T> {
        let mut all: Vec<(ClientNetwork, SuppressedCounts, Option<T>)> = Vec::new();
        for budget in self.networks.iter_mut().flatten().filter(|budget| budget.suppressed.total() > 0) {
            all.push((budget.network, std::mem::take(&mut budget.suppressed), budget.last_suppressed.take()));
        }
        all.sort_by_key(|(_, counts, _)| std::cmp::Reverse(counts.total()));
        let mut others = std::mem::take(&mut self.evicted_networks);
        for (_, counts, _) in all.drain(REPORTED_NETWORKS_MAX.min(all.len())..) {
            others.0 = others.0.saturating_add(1);
            others.1.add(counts);
        }
        SuppressionReport { networks: all, others }
    }

    /// Moves a network to the front of its set, and inserts it if it is missing. The least recently used network of a
    /// full set is evicted. Returns the set, and true if the network is new.
    fn find_or_insert(&mut self, network: ClientNetwork, now: Moment) -> (Option<usize>, bool) {
        let index = self.set_index(network.id());
        let bucket = LineBucket::full(self.per_second * NETWORK_SHARE, now);
        let Some(set) = self.networks.get_mut(index) else { return (None, false) };
        let known = set.iter().position(|budget| budget.network == network);
        match known {
            Some(at) => set.swap(0, at),
            None => {
                if set.len() >= SET_ENTRIES {
                    let oldest = set
                        .iter()
                        .enumerate()
                        .min_by_key(|(_, budget)| budget.last_used_at)
                        .map(|(at, _)| at);
                    let evicted = set.swap_remove(oldest.unwrap_or_default());
                    if evicted.suppressed.total() > 0 {
                        self.evicted_networks.0 = self.evicted_networks.0.saturating_add(1);
                        self.evicted_networks.1.add(evicted.suppressed);
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

    /// Returns the refilled bucket of the block of a network.
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

    /// Returns the set of a number. A client cannot predict which numbers share a set.
    fn set_index(&self, number: u128) -> usize {
        usize::try_from(self.hasher.hash_one(number) % SET_COUNT as u64).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
