//! The hash pool: password checks on dedicated threads, behind a bounded, fair queue.
//!
//! The threads run at a lower priority than the threads that answer requests, so a cached answer never waits for a
//! core that is busy hashing.
//!
//! The capacity of the queue is the number of checks that the threads can do while a request waits. It follows the
//! measured time of a check:
//! - It is processor time, so other load on the machine does not reduce the capacity.
//! - Only accepted checks are measured, so a client without an account cannot make checks look slow.
//! - The average is limited to a range around the expected time, `AVERAGE_RANGE`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::hash::cost_estimate::{measure_slowdown, thread_cpu_time};
use super::htpasswd::Htpasswd;
use super::queue::Queue;
use super::queue::job::{EvictedJob, Job, JobResult, QueueLimits, QueueMetrics, RequesterId};
use super::{AuthnError, AuthnResult, Outcome};
use crate::clock::Clock;
use crate::metrics::{HashCheckLabel, Metrics};

/// The maximum capacity of the queue, even if checks are fast. Each waiting check holds a request, its connection and
/// a password.
const QUEUE_CAPACITY_MAX: usize = 4096;

/// The fraction of the maximum wait in which a full queue must be processed. The rest is a reserve for other load on
/// the cores. A client that finds the queue full is rejected at once, but a check that misses its deadline is rejected
/// only after the whole wait.
const TARGET_WAIT_FRACTION: f64 = 0.9;

/// The weight of the last check in the moving average.
const AVERAGE_WEIGHT: f64 = 0.125;

/// The range of the average, as multiples of the expected time of a rejection. The average is higher if the estimate
/// is wrong, and far lower if the file has many cheap hashes and one costly hash.
const AVERAGE_RANGE: (f64, f64) = (0.01, 2.0);

/// The minimum delay that is sent to a client that finds the queue full.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// A password check that is ready to run.
pub(crate) type PasswordCheck = Box<dyn FnOnce() -> AuthnResult + Send>;

/// A queued password check.
type PasswordCheckJob = Job<PasswordCheck>;

/// The values from which the queue capacity is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashPoolSizing {
    /// The number of hash threads.
    pub(crate) threads: usize,
    /// The maximum time that a request waits for its check.
    pub(crate) wait_max: Duration,
    /// The maximum number of outstanding checks of one user from one client network.
    pub(crate) user_share: usize,
}

impl HashPoolSizing {
    /// Returns the number of checks that the threads can do within the wait, if one check takes `check_time`. The
    /// result is at least two per thread.
    pub(crate) fn queue_capacity(&self, check_time: Duration) -> usize {
        let per_thread =
            TARGET_WAIT_FRACTION * self.wait_max.as_secs_f64() / check_time.as_secs_f64().max(1e-9);
        let capacity = per_thread * self.threads as f64;
        (capacity as usize).clamp((2 * self.threads).min(QUEUE_CAPACITY_MAX), QUEUE_CAPACITY_MAX)
    }
}

/// Estimates the processor time of a check.
struct CheckTimeEstimator {
    sizing: HashPoolSizing,
    htpasswd: Arc<Htpasswd>,
    /// The result of [`measure_slowdown`].
    slowdown: f64,
    average: Mutex<CheckTimeAverage>,
}

/// A moving average of the time of a check, in seconds.
#[derive(Clone, Copy, Debug)]
struct CheckTimeAverage {
    seconds: f64,
    /// The expected time of a rejection by the current file.
    expected_seconds: f64,
    /// The generation of that file; see [`Htpasswd::generation`].
    generation: u64,
}

impl CheckTimeEstimator {
    fn new(sizing: HashPoolSizing, htpasswd: Arc<Htpasswd>) -> Self {
        let slowdown = measure_slowdown(sizing.threads);
        let average = Mutex::new(Self::initial_average(&htpasswd, slowdown));
        Self { sizing, htpasswd, slowdown, average }
    }

    fn initial_average(htpasswd: &Htpasswd, slowdown: f64) -> CheckTimeAverage {
        // The generation is read before the users, so a reload in between leads to a new average.
        let generation = htpasswd.generation();
        let expected = htpasswd.users().timing_equalizer().estimate_rejection_time(slowdown).as_secs_f64();
        CheckTimeAverage { seconds: expected, expected_seconds: expected, generation }
    }

    fn average(&self) -> CheckTimeAverage {
        *self.average.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the time of an accepted check, if there is one, and returns the average. After a reload, the average
    /// starts again from the expected time.
    fn record(&self, check_time: Option<Duration>) -> CheckTimeAverage {
        let mut average = self.average.lock().unwrap_or_else(PoisonError::into_inner);
        if average.generation != self.htpasswd.generation() {
            *average = Self::initial_average(&self.htpasswd, self.slowdown);
        }
        if let Some(check_time) = check_time {
            let (low, high) = AVERAGE_RANGE;
            let expected = average.expected_seconds;
            let seconds = check_time.as_secs_f64().clamp(low * expected, high * expected);
            average.seconds += AVERAGE_WEIGHT * (seconds - average.seconds);
        }
        *average
    }
}

/// The queue of password checks. The caller provides the threads, which call [`HashPool::run`]. A test calls
/// `HashPool::run_next` instead.
pub(crate) struct HashPool {
    queue: Queue<PasswordCheck>,
    /// `None` if the capacity is fixed.
    estimator: Option<CheckTimeEstimator>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl HashPool {
    /// Creates an empty pool with a fixed capacity.
    pub(crate) fn new(limits: QueueLimits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let queue = Queue::new(limits, Self::queue_metrics(&metrics));
        Self { queue, estimator: None, clock, metrics }
    }

    /// Creates an empty pool for the checks of `htpasswd`, with a capacity that follows the time of a check. Measures
    /// the speed of the machine, which takes a few milliseconds.
    pub(crate) fn with_dynamic_capacity(
        sizing: HashPoolSizing,
        htpasswd: Arc<Htpasswd>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let queue_metrics = Self::queue_metrics(&metrics);
        let queue =
            Queue::with_dynamic_capacity(sizing.threads, sizing.user_share, clock.clone(), queue_metrics);
        let estimator = Some(CheckTimeEstimator::new(sizing, htpasswd));
        let pool = Self { queue, estimator, clock, metrics };
        pool.update_capacity(None);
        pool
    }

    fn queue_metrics(metrics: &Metrics) -> QueueMetrics {
        QueueMetrics {
            waiting: metrics.hash_queue_length.clone(),
            dropped: metrics.hash_queue_evicted.clone(),
        }
    }

    /// Updates the capacity after a check.
    fn update_capacity(&self, check_time: Option<Duration>) {
        let Some(estimator) = &self.estimator else { return };
        let average = estimator.record(check_time);
        let capacity = estimator.sizing.queue_capacity(Duration::from_secs_f64(average.seconds));
        self.queue.set_capacity(capacity);
        self.metrics.hash_queue_capacity.set(i64::try_from(capacity).unwrap_or(i64::MAX));
    }

    /// Returns the delay after which a client that found the queue full should retry. Half of the waiting checks are
    /// done by then, so the queue has room and the threads still have work.
    pub(crate) fn retry_after(&self) -> Duration {
        let Some(estimator) = &self.estimator else { return 2 * RETRY_AFTER_MIN };
        let threads = estimator.sizing.threads.max(1) as f64;
        let seconds = estimator.average().seconds * self.queue.waiting_count() as f64 / threads;
        let longest = estimator.sizing.wait_max.max(RETRY_AFTER_MIN);
        Duration::from_secs_f64(seconds / 2.0).clamp(RETRY_AFTER_MIN, longest)
    }

    /// Returns true if a check of `requester` would be rejected now.
    pub(crate) fn is_full_for(&self, requester: RequesterId) -> bool {
        self.queue.is_full_for(requester)
    }

    /// Queues a check, or returns it if the queue is full; see [`Queue::submit`].
    pub(crate) fn submit(&self, job: PasswordCheckJob) -> Result<EvictedJob, PasswordCheckJob> {
        self.queue.submit(job)
    }

    /// Runs checks until [`HashPool::close`]. This is the body of a hash thread.
    pub(crate) fn run(&self) {
        while let Some(job) = self.queue.next_blocking() {
            self.run_job(job);
        }
    }

    /// Runs the next check. Returns false if none waits. Tests call this instead of [`HashPool::run`].
    #[cfg(test)]
    pub(crate) fn run_next(&self) -> bool {
        self.queue.try_next().map(|job| self.run_job(job)).is_some()
    }

    /// Closes the queue; see [`Queue::close`].
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    fn run_job(&self, job: PasswordCheckJob) {
        let expires_at = job.expires_at();
        let PasswordCheckJob { requester, work, on_complete, .. } = job;
        let (result, failed) = if self.clock.now() >= expires_at {
            self.queue.dropped_counter().inc();
            (JobResult::Dropped, None)
        } else {
            let outcome = self.run_measured(work);
            let failed = match &outcome {
                Ok(Outcome::Accepted(_)) => Some(false),
                Ok(Outcome::Rejected | Outcome::UnknownUser) => Some(true),
                Err(_) => None,
            };
            (JobResult::Completed(outcome), failed)
        };
        self.queue.release_with_result(requester, failed);
        on_complete(result);
    }

    fn run_measured(&self, check: PasswordCheck) -> AuthnResult {
        let (start, cpu_start) = (Instant::now(), thread_cpu_time());
        let outcome = catch_unwind(AssertUnwindSafe(check)).unwrap_or(Err(AuthnError::CheckPanicked));
        self.metrics.hash_check_seconds.inc_by(start.elapsed().as_secs_f64());
        let (result, check_time) = match &outcome {
            Ok(Outcome::Accepted(_)) => ("accepted", Some(thread_cpu_time().saturating_sub(cpu_start))),
            Ok(Outcome::Rejected | Outcome::UnknownUser) | Err(_) => ("rejected", None),
        };
        self.update_capacity(check_time);
        self.metrics.hash_checks.get_or_create(&HashCheckLabel { result }).inc();
        outcome
    }
}

#[cfg(test)]
#[path = "hash_pool_tests.rs"]
mod tests;
