//! The hash pool: password checks on a few threads of their own, behind a bounded, fair queue.
//!
//! The threads run at a lower priority than those that answer requests, so a cached answer never
//! waits for a core that is busy hashing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::queue::{Asker, Displaced, End, Figures, Limits, Queue};
use super::{Answer, Outcome, Trouble};
use crate::clock::Clock;
use crate::metrics::{Metrics, ResultLabel};

/// A password check, ready to be done.
pub type PasswordCheck = Box<dyn FnOnce() -> Answer + Send>;

/// A password check, and who waits for it.
pub type Job = super::queue::Job<PasswordCheck>;

/// The queue of password checks. The threads are the caller's, see [`HashPool::run`]; a test takes the
/// place of a thread with [`HashPool::run_next`].
pub struct HashPool {
    queue: Queue<PasswordCheck>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl HashPool {
    /// An empty pool.
    pub fn new(limits: Limits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let figures = Figures { waiting: metrics.hash_queue.clone(), dropped: metrics.hash_dropped.clone() };
        Self { queue: Queue::new(limits, figures), clock, metrics }
    }

    /// Whether a check for `asker` would find no place now.
    pub fn is_full_for(&self, asker: Asker) -> bool {
        self.queue.is_full_for(asker)
    }

    /// Queues a check, or gives it back at once; see [`Queue::submit`].
    pub fn submit(&self, job: Job) -> Result<Displaced, Job> {
        self.queue.submit(job)
    }

    /// Does checks until [`HashPool::close`]: the body of a hash thread.
    pub fn run(&self) {
        while let Some(job) = self.queue.wait() {
            self.perform(job);
        }
    }

    /// Does the next check, if there is one: what a test calls instead of [`HashPool::run`].
    pub fn run_next(&self) -> bool {
        self.queue.try_next().map(|job| self.perform(job)).is_some()
    }

    /// Takes no more checks; see [`Queue::close`].
    pub fn close(&self) {
        self.queue.close();
    }

    fn perform(&self, job: Job) {
        let due = job.due();
        let Job { asker, work, end, .. } = job;
        let ended = if self.clock.now() >= due {
            self.queue.dropped().inc();
            End::Dropped
        } else {
            End::Done(self.measured(work))
        };
        self.queue.settle(asker);
        end(ended);
    }

    fn measured(&self, check: PasswordCheck) -> Answer {
        let start = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(check)).unwrap_or(Err(Trouble::CheckFailed));
        self.metrics.hash_seconds.inc_by(start.elapsed().as_secs_f64());
        let result = if matches!(answer, Ok(Outcome::Accepted(_))) { "accepted" } else { "refused" };
        self.metrics.hashes.get_or_create(&ResultLabel { result }).inc();
        answer
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
