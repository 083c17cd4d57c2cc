//! The hash pool: password checks on a few threads of their own, behind a bounded queue.
//!
//! The threads run at a lower priority than those that answer requests, so a cached answer never
//! waits for a core that is busy hashing. The queue is fair: blocks of networks take turns, and when
//! it is full, a block with many checks in it gives a place to one with few. So somebody who guesses
//! delays a log-in from elsewhere by no more than his own turn. Only who commands as many blocks as
//! the queue has places can keep newcomers out; those whose answers are cached don't notice.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::{Clock, Moment};
use crate::metrics::{Metrics, ResultLabel};

use super::{Answer, Outcome, Trouble};

/// How many checks may be outstanding, queued or running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub queue: usize,
    /// For one client network.
    pub network_share: usize,
    /// For one user from one client network.
    pub user_share: usize,
}

/// Who a check is done for: tags that the throttle makes, equal for equal networks and users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The tag of the wider block that the client network is in, by which networks take turns: one
    /// who owns a block must not have a turn for each network in it.
    pub block: u64,
    /// The client network's tag.
    pub network: u64,
    /// The tag of the user within the network.
    pub user: u64,
}

/// There is no place for the check: a share of the queue, or all of it, is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed;

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was done.
    Done(Answer),
    /// It was dropped unhashed: its askers' time was up, or another network needed the place.
    Dropped,
}

/// One check.
pub struct Job {
    /// Whose share it takes.
    pub asker: Asker,
    /// In milliseconds of the pool's clock: when the last one who waits for it gives up. Those who
    /// join later move it.
    pub deadline: Arc<AtomicU64>,
    /// The check itself.
    pub check: Box<dyn FnOnce() -> Answer + Send>,
    /// Told once what became of it.
    pub end: Box<dyn FnOnce(End) + Send>,
}

/// The check that gave up its place, if one did.
#[must_use = "those who wait for it have to be told"]
pub struct Displaced(Option<Job>);

impl Displaced {
    /// Tells those who wait for the check that it was dropped.
    pub fn tell(self) {
        if let Some(job) = self.0 {
            (job.end)(End::Dropped);
        }
    }
}

/// The queue and its rules. The threads are the caller's, see [`HashPool::run`]; a test takes the
/// place of a thread with [`HashPool::run_next`].
pub struct HashPool {
    queue: Mutex<Queue>,
    ready: Condvar,
    /// Queued and running, so that an idle pool costs a request one load.
    outstanding: AtomicUsize,
    limits: Limits,
    clock: Clock,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Queue {
    lanes: HashMap<u64, Lane>,
    /// The blocks that have a check queued, the next one first.
    turns: VecDeque<u64>,
    queued: usize,
    closed: bool,
}

/// The checks of one block of networks.
#[derive(Default)]
struct Lane {
    queued: VecDeque<Job>,
    running: Vec<Asker>,
}

impl Lane {
    fn outstanding(&self) -> usize {
        self.queued.len() + self.running.len()
    }

    fn count(&self, wanted: impl Fn(&Asker) -> bool) -> usize {
        self.queued.iter().map(|job| &job.asker).chain(&self.running).filter(|asker| wanted(asker)).count()
    }
}

impl HashPool {
    /// An empty pool.
    pub fn new(limits: Limits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            queue: Mutex::default(),
            ready: Condvar::new(),
            outstanding: AtomicUsize::new(0),
            limits,
            clock,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it holds the lock; were it so, the queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a check for `asker` would find no place now.
    pub fn is_full_for(&self, asker: Asker) -> bool {
        if self.outstanding.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.place(&self.lock(), asker).is_err()
    }

    /// Finds out whether there is a place: `Ok(Some(block))` if that block has to give one up.
    fn place(&self, queue: &Queue, asker: Asker) -> Result<Option<u64>, Shed> {
        let own = queue.lanes.get(&asker.block);
        let of_network = own.map_or(0, |lane| lane.count(|other| other.network == asker.network));
        let of_user = own.map_or(0, |lane| lane.count(|other| other.user == asker.user));
        let share_taken = of_network >= self.limits.network_share || of_user >= self.limits.user_share;
        if share_taken || queue.closed {
            return Err(Shed);
        }
        if queue.queued < self.limits.queue {
            return Ok(None);
        }
        let longest = queue.lanes.iter().max_by_key(|(_, lane)| lane.queued.len());
        match longest {
            Some((block, lane)) if lane.queued.len() > own.map_or(0, Lane::outstanding) + 1 => {
                Ok(Some(*block))
            }
            _ => Err(Shed),
        }
    }

    /// Queues a check, or turns it away at once. Another's check that had to give up its place is
    /// handed out, for the caller to tell when he holds no lock that its end may want.
    pub fn submit(&self, job: Job) -> Result<Displaced, Shed> {
        let mut queue = self.lock();
        let displaced = match self.place(&queue, job.asker)? {
            None => None,
            Some(block) => queue.lanes.get_mut(&block).and_then(|lane| lane.queued.pop_back()),
        };
        match &displaced {
            Some(_) => queue.queued -= 1,
            None => {
                self.outstanding.fetch_add(1, Ordering::AcqRel);
                self.metrics.hash_queue.inc();
            }
        }
        let block = job.asker.block;
        let lane = queue.lanes.entry(block).or_default();
        let first = lane.queued.is_empty();
        lane.queued.push_back(job);
        queue.queued += 1;
        if first {
            queue.turns.push_back(block);
        }
        drop(queue);
        self.ready.notify_one();
        Ok(Displaced(displaced.inspect(|_| {
            self.metrics.hash_dropped.inc();
        })))
    }

    /// Does checks until [`HashPool::close`]: the body of a hash thread.
    pub fn run(&self) {
        loop {
            let mut queue = self.lock();
            let job = loop {
                if let Some(job) = Self::take(&mut queue) {
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            self.perform(job);
        }
    }

    /// Does the next check, if there is one: what a test calls instead of [`HashPool::run`].
    pub fn run_next(&self) -> bool {
        let job = Self::take(&mut self.lock());
        job.map(|job| self.perform(job)).is_some()
    }

    /// Takes no more checks, drops those that wait, and lets the threads go when they have done what
    /// they are doing.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.turns.clear();
        let waiting: Vec<Job> = queue.lanes.values_mut().flat_map(|lane| lane.queued.drain(..)).collect();
        queue.queued = 0;
        drop(queue);
        self.ready.notify_all();
        for job in waiting {
            self.outstanding.fetch_sub(1, Ordering::AcqRel);
            self.metrics.hash_queue.dec();
            (job.end)(End::Dropped);
        }
    }

    fn take(queue: &mut Queue) -> Option<Job> {
        while let Some(block) = queue.turns.pop_front() {
            let Some(lane) = queue.lanes.get_mut(&block) else { continue };
            let Some(job) = lane.queued.pop_front() else { continue };
            lane.running.push(job.asker);
            if !lane.queued.is_empty() {
                queue.turns.push_back(block);
            }
            queue.queued -= 1;
            return Some(job);
        }
        None
    }

    fn perform(&self, job: Job) {
        self.metrics.hash_queue.dec();
        let Job { asker, deadline, check, end } = job;
        let due = Moment::from_millis(deadline.load(Ordering::Acquire));
        let ended = if self.clock.now() >= due {
            self.metrics.hash_dropped.inc();
            End::Dropped
        } else {
            End::Done(self.measured(check))
        };
        self.settle(asker);
        end(ended);
    }

    fn measured(&self, check: Box<dyn FnOnce() -> Answer + Send>) -> Answer {
        let start = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(check)).unwrap_or(Err(Trouble::CheckFailed));
        self.metrics.hash_seconds.inc_by(start.elapsed().as_secs_f64());
        let result = if matches!(answer, Ok(Outcome::Accepted(_))) { "accepted" } else { "refused" };
        self.metrics.hashes.get_or_create(&ResultLabel { result }).inc();
        answer
    }

    fn settle(&self, asker: Asker) {
        let mut queue = self.lock();
        if let Some(lane) = queue.lanes.get_mut(&asker.block) {
            if let Some(at) = lane.running.iter().position(|running| *running == asker) {
                lane.running.swap_remove(at);
            }
            if lane.outstanding() == 0 {
                queue.lanes.remove(&asker.block);
            }
        }
        drop(queue);
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
