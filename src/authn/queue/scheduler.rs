//! The scheduler of a queue: the waiting jobs, the order of turns, and the outstanding jobs of each requester.
//!
//! Blocks take turns, within a block networks, and within a network users. Blocks without recent failures come first.
//! The other blocks get at least every fourth turn, and at most all workers but one. Within a network, users without
//! recent failures come first.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use super::failures::{FailureLevel, RecentFailures};
use super::job::{Job, QueueFull, RequesterId};
use super::round_robin::{CLEAN_USERS, CleanUsersFirst, FAILED_USERS, OwnerQueue, RoundRobin};
use crate::clock::Moment;

/// The interval of turns in which the highest failure level comes first, so that no job waits forever.
const REVERSED_TURN_INTERVAL: u32 = 4;

/// The failure count up to which the share of a network is not reduced. In a large office, some users mistype passwords
/// and some configurations are outdated.
const TOLERATED_NETWORK_FAILURES: f64 = 10.0;

/// The failure count up to which the share of a block is not reduced.
const TOLERATED_BLOCK_FAILURES: f64 = 40.0;

/// The minimum share, which is left even after many failures.
const SHARE_MIN: usize = 4;

/// The waiting jobs of one block.
type BlockQueue<W> = RoundRobin<NetworkQueue<W>>;

/// The waiting jobs of one network.
type NetworkQueue<W> = CleanUsersFirst<RoundRobin<VecDeque<Job<W>>>>;

/// The place that a new job gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobSlot {
    /// A free place.
    Free,
    /// The place of a job of a block with a higher failure level, or of an owner with more waiting jobs.
    EvictOther,
    /// The place of a job of the same network, from a user with recent failures.
    EvictInNetwork,
}

/// The limits of a queue at one moment. An outstanding job is waiting or running.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueShares {
    /// The maximum number of waiting jobs.
    pub(super) total: usize,
    /// The maximum number of outstanding jobs of one block without recent failures.
    pub(super) block: usize,
    /// The maximum number of outstanding jobs of one network without recent failures.
    pub(super) network: usize,
    /// The maximum number of outstanding jobs of one user from one network.
    pub(super) user: usize,
    /// The maximum number of running jobs of blocks with recent failures.
    pub(super) running_of_failing_blocks: usize,
}

/// The scheduler of one queue.
pub(super) struct FairScheduler<W> {
    /// The waiting jobs, by the failure level of their blocks.
    waiting_by_level: [RoundRobin<BlockQueue<W>>; FailureLevel::COUNT],
    block_counts: OutstandingCounts,
    network_counts: OutstandingCounts,
    user_counts: OutstandingCounts,
    /// The requesters of running jobs of blocks with recent failures.
    running_of_failing_blocks: Vec<RequesterId>,
    block_failures: RecentFailures,
    network_failures: RecentFailures,
    user_failures: RecentFailures,
    turn_count: u32,
    pub(super) is_closed: bool,
}

impl<W> Default for FairScheduler<W> {
    fn default() -> Self {
        Self {
            waiting_by_level: [RoundRobin::default(), RoundRobin::default(), RoundRobin::default()],
            block_counts: OutstandingCounts::default(),
            network_counts: OutstandingCounts::default(),
            user_counts: OutstandingCounts::default(),
            running_of_failing_blocks: Vec::new(),
            block_failures: RecentFailures::default(),
            network_failures: RecentFailures::default(),
            user_failures: RecentFailures::default(),
            turn_count: 0,
            is_closed: false,
        }
    }
}

/// The number of outstanding jobs by tag.
#[derive(Debug, Default)]
struct OutstandingCounts(HashMap<u64, usize>);

impl OutstandingCounts {
    fn get(&self, tag: u64) -> usize {
        self.0.get(&tag).copied().unwrap_or_default()
    }

    fn add(&mut self, tag: u64) {
        *self.0.entry(tag).or_default() += 1;
    }

    fn subtract(&mut self, tag: u64) {
        if let Some(count) = self.0.get_mut(&tag) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&tag);
            }
        }
    }
}

/// Returns the share that remains of `share` after `failures` failures, of which `tolerated` have no effect.
///
/// The share shrinks with the square of the failures. So if a guessing client has filled its share, few of its guesses
/// are hashed before the others are dropped.
fn reduced_share(share: usize, failures: f64, tolerated: f64) -> usize {
    if failures <= tolerated {
        return share;
    }
    let reduced = share as f64 * (tolerated / failures).powi(2);
    (reduced as usize).max(SHARE_MIN).min(share)
}

impl<W> FairScheduler<W> {
    /// Returns the number of waiting jobs.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting_by_level.iter().map(RoundRobin::waiting_count).sum()
    }

    /// Returns the failure level of a block. While jobs of the block wait, it is the level of the queue in which they
    /// wait, even if the level of the block has changed since.
    fn current_level(&self, block: u64, now: Moment) -> FailureLevel {
        let queued_level = FailureLevel::ALL
            .into_iter()
            .find(|level| self.queue_of_level(*level).waiting_count_of(block) > 0);
        queued_level.unwrap_or_else(|| self.block_failures.level(block, now))
    }

    fn queue_of_level(&self, level: FailureLevel) -> &RoundRobin<BlockQueue<W>> {
        let [no_failures, few, many] = &self.waiting_by_level;
        match level {
            FailureLevel::NoFailures => no_failures,
            FailureLevel::Few => few,
            FailureLevel::Many => many,
        }
    }

    fn queue_of_level_mut(&mut self, level: FailureLevel) -> &mut RoundRobin<BlockQueue<W>> {
        let [no_failures, few, many] = &mut self.waiting_by_level;
        match level {
            FailureLevel::NoFailures => no_failures,
            FailureLevel::Few => few,
            FailureLevel::Many => many,
        }
    }

    /// Returns the owners of a job of `requester`, starting with the outermost.
    fn owner_path(&self, requester: RequesterId, now: Moment) -> [u64; 4] {
        let user = match self.user_failures.level(requester.network_user_tag, now) {
            FailureLevel::NoFailures => CLEAN_USERS,
            FailureLevel::Few | FailureLevel::Many => FAILED_USERS,
        };
        [requester.block_tag, requester.network_tag, user, requester.network_user_tag]
    }

    /// Compares the outstanding jobs of the network and of the block of `requester` with their shares.
    ///
    /// Returns the greater of the two results: `Equal` if one share is used up, `Greater` if one is exceeded.
    fn compare_with_shares(&self, requester: RequesterId, shares: &QueueShares, now: Moment) -> Ordering {
        let RequesterId { network_tag, block_tag, .. } = requester;
        let network_failures = self.network_failures.count(network_tag, now);
        let network_share = reduced_share(shares.network, network_failures, TOLERATED_NETWORK_FAILURES);
        let block_failures = self.block_failures.count(block_tag, now);
        let block_share = reduced_share(shares.block, block_failures, TOLERATED_BLOCK_FAILURES);
        let network = self.network_counts.get(network_tag).cmp(&network_share);
        network.max(self.block_counts.get(block_tag).cmp(&block_share))
    }

    /// Returns the place that a job of `requester` would get.
    pub(super) fn find_slot(
        &self,
        requester: RequesterId,
        shares: &QueueShares,
        now: Moment,
    ) -> Result<JobSlot, QueueFull> {
        if self.is_closed || self.user_counts.get(requester.network_user_tag) >= shares.user {
            return Err(QueueFull);
        }
        let (level, owners) = (self.current_level(requester.block_tag, now), self.owner_path(requester, now));
        if self.compare_with_shares(requester, shares, now).is_ge() {
            let [_, _, user, _] = owners;
            let network_queue = self
                .queue_of_level(level)
                .queue_of(requester.block_tag)
                .and_then(|block| block.queue_of(requester.network_tag));
            let can_evict =
                user == CLEAN_USERS && network_queue.is_some_and(NetworkQueue::has_failed_waiting);
            return if can_evict { Ok(JobSlot::EvictInNetwork) } else { Err(QueueFull) };
        }
        let waiting_at = |level| self.queue_of_level(level).waiting_count();
        // Blocks with recent failures get half of the queue, and blocks with many failures a quarter.
        let is_level_full = match level {
            FailureLevel::NoFailures => false,
            FailureLevel::Few => {
                waiting_at(FailureLevel::Few) + waiting_at(FailureLevel::Many) >= shares.total.div_ceil(2)
            }
            FailureLevel::Many => waiting_at(FailureLevel::Many) >= shares.total.div_ceil(4),
        };
        if !is_level_full && self.waiting_count() < shares.total {
            return Ok(JobSlot::Free);
        }
        let higher_levels = FailureLevel::ALL.into_iter().filter(|other| *other > level);
        let can_evict = self.queue_of_level(level).can_evict_for(&owners)
            || higher_levels.map(waiting_at).sum::<usize>() > 0;
        if can_evict { Ok(JobSlot::EvictOther) } else { Err(QueueFull) }
    }

    /// Adds a job in the place that [`FairScheduler::find_slot`] returned. Returns the job that it evicts, if any.
    pub(super) fn insert(&mut self, job: Job<W>, slot: JobSlot, now: Moment) -> Option<Job<W>> {
        let (requester, level) = (job.requester, self.current_level(job.requester.block_tag, now));
        let owners = self.owner_path(requester, now);
        let evicted = match slot {
            JobSlot::Free => None,
            JobSlot::EvictOther => self.evict(&owners, level),
            JobSlot::EvictInNetwork => {
                let pop_latest_failed = |block: &mut BlockQueue<W>| {
                    block.pop_from(requester.network_tag, NetworkQueue::pop_latest_failed)
                };
                self.queue_of_level_mut(level).pop_from(requester.block_tag, pop_latest_failed)
            }
        };
        evicted.iter().for_each(|job| self.subtract_counts(job.requester));
        self.block_counts.add(requester.block_tag);
        self.network_counts.add(requester.network_tag);
        self.user_counts.add(requester.network_user_tag);
        self.queue_of_level_mut(level).push(&owners, job);
        evicted
    }

    fn evict(&mut self, owners: &[u64], level: FailureLevel) -> Option<Job<W>> {
        let higher_levels = FailureLevel::ALL.into_iter().filter(|other| *other > level);
        let highest = higher_levels.filter(|other| self.queue_of_level(*other).waiting_count() > 0).max();
        match highest {
            Some(highest) => self.queue_of_level_mut(highest).pop_latest(),
            None => self.queue_of_level_mut(level).evict_for(owners),
        }
    }

    fn subtract_counts(&mut self, requester: RequesterId) {
        self.block_counts.subtract(requester.block_tag);
        self.network_counts.subtract(requester.network_tag);
        self.user_counts.subtract(requester.network_user_tag);
    }

    /// Removes and returns the job whose turn it is.
    pub(super) fn pop(&mut self, shares: &QueueShares) -> Option<Job<W>> {
        let can_run_failing = self.running_of_failing_blocks.len() < shares.running_of_failing_blocks;
        let mut order = FailureLevel::ALL;
        if self.turn_count % REVERSED_TURN_INTERVAL == REVERSED_TURN_INTERVAL - 1 {
            order.reverse();
        }
        for level in order.into_iter().filter(|level| can_run_failing || *level == FailureLevel::NoFailures) {
            let Some(job) = self.queue_of_level_mut(level).pop() else { continue };
            if level != FailureLevel::NoFailures {
                self.running_of_failing_blocks.push(job.requester);
            }
            self.turn_count = self.turn_count.wrapping_add(1);
            return Some(job);
        }
        None
    }

    /// Releases the share that a job used. `failed` is its result, or `None` if the result is not recorded.
    ///
    /// A failure can reduce the share of the network or the block. Returns the waiting jobs of the network above the
    /// new share, which are removed.
    pub(super) fn release(
        &mut self,
        requester: RequesterId,
        failed: Option<bool>,
        shares: &QueueShares,
        now: Moment,
    ) -> Vec<Job<W>> {
        self.subtract_counts(requester);
        if let Some(index) = self.running_of_failing_blocks.iter().position(|other| *other == requester) {
            self.running_of_failing_blocks.swap_remove(index);
        }
        let Some(failed) = failed else { return Vec::new() };
        self.user_failures.record(requester.network_user_tag, failed, now);
        self.network_failures.record(requester.network_tag, failed, now);
        self.block_failures.record(requester.block_tag, failed, now);
        self.requeue_block(requester.block_tag, now);
        let mut dropped = Vec::new();
        while failed && self.compare_with_shares(requester, shares, now).is_gt() {
            let level = self.current_level(requester.block_tag, now);
            let pop_latest = |block: &mut BlockQueue<W>| block.pop_latest_of(requester.network_tag);
            let Some(job) = self.queue_of_level_mut(level).pop_from(requester.block_tag, pop_latest) else {
                break;
            };
            self.subtract_counts(job.requester);
            dropped.push(job);
        }
        dropped
    }

    /// Moves the waiting jobs of a block to the queue of its current failure level.
    fn requeue_block(&mut self, block: u64, now: Moment) {
        let (old, new) = (self.current_level(block, now), self.block_failures.level(block, now));
        if old != new
            && let Some(queue) = self.queue_of_level_mut(old).remove_owner(block)
        {
            self.queue_of_level_mut(new).insert_owner(block, queue);
        }
    }

    /// Closes the scheduler. Removes and returns all waiting jobs.
    pub(super) fn close(&mut self) -> Vec<Job<W>> {
        self.is_closed = true;
        let mut all = Vec::new();
        for queue in &mut self.waiting_by_level {
            all.extend(std::iter::from_fn(|| queue.pop()));
        }
        all.iter().for_each(|job| self.subtract_counts(job.requester));
        all
    }
}
