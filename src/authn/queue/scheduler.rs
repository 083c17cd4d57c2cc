//! What a queue holds: the questions that wait, whose they are, and those that are being answered.
//!
//! Turns go by block, within a block by network, and within a network by user. Blocks without recent
//! failures come first; the others have every fourth turn at the least, and at the most all takers but one. Within a
//! network, users without recent failures come first.

use std::collections::{HashMap, VecDeque};

use super::failures::{FailureLevel, RecentFailures};
use super::job::{Job, QueueFull, RequesterId};
use super::round_robin::{CLEAN_USERS, CleanUsersFirst, FAILED_USERS, OwnerQueue, RoundRobin};
use crate::clock::Moment;

/// One turn in so many is one of the worst standing that waits, so that nobody waits for ever.
const REVERSED_TURN_INTERVAL: u32 = 4;

/// So many failures of a network, beyond its successes, leave it all places: mistyped passwords and old
/// configurations of a large office.
const TOLERATED_NETWORK_FAILURES: f64 = 10.0;

/// The same for a block.
const TOLERATED_BLOCK_FAILURES: f64 = 40.0;

/// How many places somebody of many failures is left.
const SHARE_MIN: usize = 4;

/// The questions of one block.
type BlockQueue<W> = RoundRobin<NetworkQueue<W>>;

/// The questions of one network.
type NetworkQueue<W> = CleanUsersFirst<RoundRobin<VecDeque<Job<W>>>>;

/// The room that there is for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobSlot {
    /// A place that nobody has.
    Free,
    /// That of a question that has to go for it, of whoever has more of them or stands worse.
    EvictOther,
    /// That of a user of the same network who failed of late.
    EvictInNetwork,
}

/// How many questions there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueShares {
    /// That wait, in all.
    pub(super) total: usize,
    /// Outstanding of one block in good standing.
    pub(super) block: usize,
    /// Outstanding of one network in good standing.
    pub(super) network: usize,
    /// Outstanding of one user from one network.
    pub(super) user: usize,
    /// Of blocks with recent failures that are being answered at one time.
    pub(super) running_of_failing_blocks: usize,
}

/// See the top of this file.
pub(super) struct FairScheduler<W> {
    /// By the standing of their blocks.
    waiting_by_level: [RoundRobin<BlockQueue<W>>; FailureLevel::COUNT],
    /// Questions outstanding, waiting or being answered.
    block_counts: OutstandingCounts,
    network_counts: OutstandingCounts,
    user_counts: OutstandingCounts,
    /// Being answered, of blocks with recent failures.
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

/// How many there are of each.
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

/// What is left of `places` to somebody with `failures`, of which so many are borne. It shrinks with their
/// square: of a guesser who has filled his places, few are hashed before the rest is taken from him.
fn reduced_share(places: usize, failures: f64, borne: f64) -> usize {
    if failures <= borne {
        return places;
    }
    let share = places as f64 * (borne / failures).powi(2);
    (share as usize).max(SHARE_MIN).min(places)
}

impl<W> FairScheduler<W> {
    /// Questions that wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting_by_level.iter().map(RoundRobin::waiting_count).sum()
    }

    /// How a block stands: while it has questions waiting, as it did when they were put where they are.
    fn current_level(&self, block: u64, now: Moment) -> FailureLevel {
        let placed =
            FailureLevel::ALL.into_iter().find(|one| self.queue_of_level(*one).waiting_count_of(block) > 0);
        placed.unwrap_or_else(|| self.block_failures.level(block, now))
    }

    fn queue_of_level(&self, standing: FailureLevel) -> &RoundRobin<BlockQueue<W>> {
        let [good, doubtful, failing] = &self.waiting_by_level;
        match standing {
            FailureLevel::NoFailures => good,
            FailureLevel::Few => doubtful,
            FailureLevel::Many => failing,
        }
    }

    fn queue_of_level_mut(&mut self, standing: FailureLevel) -> &mut RoundRobin<BlockQueue<W>> {
        let [good, doubtful, failing] = &mut self.waiting_by_level;
        match standing {
            FailureLevel::NoFailures => good,
            FailureLevel::Few => doubtful,
            FailureLevel::Many => failing,
        }
    }

    /// The owners of a question of `asker`, the outermost first.
    fn owner_path(&self, asker: RequesterId, now: Moment) -> [u64; 4] {
        let user = match self.user_failures.level(asker.network_user_tag, now) {
            FailureLevel::NoFailures => CLEAN_USERS,
            FailureLevel::Few | FailureLevel::Many => FAILED_USERS,
        };
        [asker.block_tag, asker.network_tag, user, asker.network_user_tag]
    }

    /// Whether the share of `asker`'s network or block is taken.
    fn is_share_exhausted(&self, asker: RequesterId, places: &QueueShares, now: Moment) -> bool {
        let of_network = self.network_failures.count(asker.network_tag, now);
        let of_block = self.block_failures.count(asker.block_tag, now);
        self.network_counts.get(asker.network_tag)
            >= reduced_share(places.network, of_network, TOLERATED_NETWORK_FAILURES)
            || self.block_counts.get(asker.block_tag)
                >= reduced_share(places.block, of_block, TOLERATED_BLOCK_FAILURES)
    }

    /// The room that there is for a question of `asker`.
    pub(super) fn find_slot(
        &self,
        asker: RequesterId,
        places: &QueueShares,
        now: Moment,
    ) -> Result<JobSlot, QueueFull> {
        if self.is_closed || self.user_counts.get(asker.network_user_tag) >= places.user {
            return Err(QueueFull);
        }
        let (standing, owners) = (self.current_level(asker.block_tag, now), self.owner_path(asker, now));
        if self.is_share_exhausted(asker, places, now) {
            let [_, _, user, _] = owners;
            let of_network = self
                .queue_of_level(standing)
                .queue_of(asker.block_tag)
                .and_then(|block| block.queue_of(asker.network_tag));
            let yields = user == CLEAN_USERS && of_network.is_some_and(NetworkQueue::has_failed_waiting);
            return if yields { Ok(JobSlot::EvictInNetwork) } else { Err(QueueFull) };
        }
        let from = |standing| self.queue_of_level(standing).waiting_count();
        // Half of the places for all that have failed of late, and half of these for those with many failures.
        let taken = match standing {
            FailureLevel::NoFailures => false,
            FailureLevel::Few => {
                from(FailureLevel::Few) + from(FailureLevel::Many) >= places.total.div_ceil(2)
            }
            FailureLevel::Many => from(FailureLevel::Many) >= places.total.div_ceil(4),
        };
        if !taken && self.waiting_count() < places.total {
            return Ok(JobSlot::Free);
        }
        let worse = FailureLevel::ALL.into_iter().filter(|other| *other > standing);
        let yields =
            self.queue_of_level(standing).can_evict_for(&owners) || worse.map(from).sum::<usize>() > 0;
        if yields { Ok(JobSlot::EvictOther) } else { Err(QueueFull) }
    }

    /// Takes a question in, for which there is room, and gives the one back that has to go for it.
    pub(super) fn insert(&mut self, job: Job<W>, room: JobSlot, now: Moment) -> Option<Job<W>> {
        let (asker, standing) = (job.requester, self.current_level(job.requester.block_tag, now));
        let owners = self.owner_path(asker, now);
        let displaced = match room {
            JobSlot::Free => None,
            JobSlot::EvictOther => self.evict(&owners, standing),
            JobSlot::EvictInNetwork => {
                let of_network = |block: &mut BlockQueue<W>| {
                    block.pop_from(asker.network_tag, NetworkQueue::pop_latest_failed)
                };
                self.queue_of_level_mut(standing).pop_from(asker.block_tag, of_network)
            }
        };
        displaced.iter().for_each(|job| self.subtract_counts(job.requester));
        self.block_counts.add(asker.block_tag);
        self.network_counts.add(asker.network_tag);
        self.user_counts.add(asker.network_user_tag);
        self.queue_of_level_mut(standing).push(&owners, job);
        displaced
    }

    fn evict(&mut self, owners: &[u64], standing: FailureLevel) -> Option<Job<W>> {
        let worst = FailureLevel::ALL.into_iter().rev().filter(|other| *other > standing);
        let worst = worst.filter(|other| self.queue_of_level(*other).waiting_count() > 0).max();
        match worst {
            Some(worst) => self.queue_of_level_mut(worst).pop_latest(),
            None => self.queue_of_level_mut(standing).evict_for(owners),
        }
    }

    fn subtract_counts(&mut self, asker: RequesterId) {
        self.block_counts.subtract(asker.block_tag);
        self.network_counts.subtract(asker.network_tag);
        self.user_counts.subtract(asker.network_user_tag);
    }

    /// Takes the question whose turn it is out, to be answered.
    pub(super) fn pop(&mut self, places: &QueueShares) -> Option<Job<W>> {
        let may_fail = self.running_of_failing_blocks.len() < places.running_of_failing_blocks;
        let mut order = FailureLevel::ALL;
        if self.turn_count % REVERSED_TURN_INTERVAL == REVERSED_TURN_INTERVAL - 1 {
            order.reverse();
        }
        for standing in order.into_iter().filter(|standing| may_fail || *standing == FailureLevel::NoFailures)
        {
            let Some(job) = self.queue_of_level_mut(standing).pop() else { continue };
            if standing != FailureLevel::NoFailures {
                self.running_of_failing_blocks.push(job.requester);
            }
            self.turn_count = self.turn_count.wrapping_add(1);
            return Some(job);
        }
        None
    }

    /// Gives the place of a question back that was taken. `failed` says what came of it, where that counts;
    /// what its network has waiting beyond the share that is left to it then is handed out.
    pub(super) fn release(
        &mut self,
        asker: RequesterId,
        failed: Option<bool>,
        places: &QueueShares,
        now: Moment,
    ) -> Vec<Job<W>> {
        self.subtract_counts(asker);
        if let Some(at) = self.running_of_failing_blocks.iter().position(|other| *other == asker) {
            self.running_of_failing_blocks.swap_remove(at);
        }
        let Some(failed) = failed else { return Vec::new() };
        self.user_failures.record(asker.network_user_tag, failed, now);
        self.network_failures.record(asker.network_tag, failed, now);
        self.block_failures.record(asker.block_tag, failed, now);
        self.requeue_block(asker.block_tag, now);
        let mut beyond = Vec::new();
        while failed && self.is_share_exceeded(asker, places, now) {
            let standing = self.current_level(asker.block_tag, now);
            let latest = |line: &mut BlockQueue<W>| line.pop_latest_of(asker.network_tag);
            let Some(job) = self.queue_of_level_mut(standing).pop_from(asker.block_tag, latest) else {
                break;
            };
            self.subtract_counts(job.requester);
            beyond.push(job);
        }
        beyond
    }

    fn is_share_exceeded(&self, asker: RequesterId, places: &QueueShares, now: Moment) -> bool {
        let of_network = self.network_failures.count(asker.network_tag, now);
        let of_block = self.block_failures.count(asker.block_tag, now);
        self.network_counts.get(asker.network_tag)
            > reduced_share(places.network, of_network, TOLERATED_NETWORK_FAILURES)
            || self.block_counts.get(asker.block_tag)
                > reduced_share(places.block, of_block, TOLERATED_BLOCK_FAILURES)
    }

    /// Has the questions of a block wait where it stands now.
    fn requeue_block(&mut self, block: u64, now: Moment) {
        let (was, is) = (self.current_level(block, now), self.block_failures.level(block, now));
        if was != is
            && let Some(line) = self.queue_of_level_mut(was).remove_owner(block)
        {
            self.queue_of_level_mut(is).insert_owner(block, line);
        }
    }

    /// Takes everything out that waits, for good.
    pub(super) fn close(&mut self) -> Vec<Job<W>> {
        self.is_closed = true;
        let mut all = Vec::new();
        for lane in &mut self.waiting_by_level {
            all.extend(std::iter::from_fn(|| lane.pop()));
        }
        all.iter().for_each(|job| self.subtract_counts(job.requester));
        all
    }
}
