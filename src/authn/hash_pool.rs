//! The hash pool: password checks on a few threads of their own, behind a bounded, fair queue.
//!
//! The threads run at a lower priority than those that answer requests, so a cached answer never
//! waits for a core that is busy hashing.
//!
//! As many checks may wait as the threads do within the time that a request waits, by the time that a check
//! takes here: processor time, so that what else the machine has to do shrinks nobody's share, and of accepted
//! checks alone, so that nobody makes them look slow who has no account. It is bounded in any case, see `Pace`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::hash::{measure_slowdown, thread_cpu_time};
use super::htpasswd::Htpasswd;
use super::queue::{EvictedJob, JobResult, Queue, QueueLimits, QueueMetrics, RequesterId};
use super::{AuthnError, AuthnResult, Outcome};
use crate::clock::Clock;
use crate::metrics::{HashCheckLabel, Metrics};

/// The most checks that may wait, however quick they are: each holds a request, its connection and a password.
const QUEUE_CAPACITY_MAX: usize = 4096;

/// The share of the wait in which all that have a place are to be checked; the rest is for whatever else takes the
/// cores' time. Whoever finds no place is told so at once, and one who waited in vain only after the whole wait.
const TARGET_WAIT_FRACTION: f64 = 0.9;

/// How much the last check counts in the average.
const AVERAGE_WEIGHT: f64 = 0.125;

/// How far the average may be from what the costliest refusal is expected to take: above it lies an error of
/// the expectation, and far below it a file of cheap hashes beside a costly one.
const AVERAGE_RANGE: (f64, f64) = (0.01, 2.0);

/// What comes between the answers to clients that found no place.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// A password check, ready to be done.
pub type PasswordCheck = Box<dyn FnOnce() -> AuthnResult + Send>;

/// A password check, and who waits for it.
pub type PasswordCheckJob = crate::authn::queue::Job<PasswordCheck>;

/// What the number of places follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashPoolSizing {
    /// Threads that hash.
    pub threads: usize,
    /// How long a request waits for its check.
    pub wait_max: Duration,
    /// Checks of one user from one client network.
    pub user_share: usize,
}

impl HashPoolSizing {
    /// How many checks the threads do within the wait, if each takes so long; two for each thread at least.
    pub fn queue_capacity(&self, check: Duration) -> usize {
        let each = TARGET_WAIT_FRACTION * self.wait_max.as_secs_f64() / check.as_secs_f64().max(1e-9);
        let places = each * self.threads as f64;
        (places as usize).clamp((2 * self.threads).min(QUEUE_CAPACITY_MAX), QUEUE_CAPACITY_MAX)
    }
}

/// How long a check takes.
struct CheckTimeEstimator {
    sizing: HashPoolSizing,
    htpasswd: Arc<Htpasswd>,
    /// See [`speed`].
    slowdown: f64,
    average: Mutex<CheckTimeAverage>,
}

/// A moving average of seconds.
#[derive(Clone, Copy, Debug)]
struct CheckTimeAverage {
    seconds: f64,
    /// What a refusal is expected to take by the file in force.
    expected_seconds: f64,
    /// Which file that is; see [`Htpasswd::replaced`].
    file_generation: u64,
}

impl CheckTimeEstimator {
    fn new(timing: HashPoolSizing, users: Arc<Htpasswd>) -> Self {
        let speed = measure_slowdown(timing.threads);
        let average = Mutex::new(Self::initial_average(&users, speed));
        Self { sizing: timing, htpasswd: users, slowdown: speed, average }
    }

    fn initial_average(users: &Htpasswd, speed: f64) -> CheckTimeAverage {
        let file = users.generation();
        let expected = users.users().timing_equalizer().estimate_rejection_time(speed).as_secs_f64();
        CheckTimeAverage { seconds: expected, expected_seconds: expected, file_generation: file }
    }

    fn average(&self) -> CheckTimeAverage {
        *self.average.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one more check into account, if it counts, or another file.
    fn record(&self, took: Option<Duration>) -> CheckTimeAverage {
        let mut average = self.average.lock().unwrap_or_else(PoisonError::into_inner);
        if average.file_generation != self.htpasswd.generation() {
            *average = Self::initial_average(&self.htpasswd, self.slowdown);
        }
        if let Some(took) = took {
            let (low, high) = AVERAGE_RANGE;
            let took =
                took.as_secs_f64().clamp(low * average.expected_seconds, high * average.expected_seconds);
            average.seconds += AVERAGE_WEIGHT * (took - average.seconds);
        }
        *average
    }
}

/// The queue of password checks. The threads are the caller's, see [`HashPool::run`]; a test takes the
/// place of a thread with [`HashPool::run_next`].
pub struct HashPool {
    queue: Queue<PasswordCheck>,
    /// `None` where the places are fixed.
    estimator: Option<CheckTimeEstimator>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl HashPool {
    /// An empty pool with a fixed number of places.
    pub fn new(limits: QueueLimits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let queue = Queue::new(limits, Self::queue_metrics(&metrics));
        Self { queue, estimator: None, clock, metrics }
    }

    /// An empty pool for the checks of `users`, with as many places as are hashed in time. Measures the
    /// machine, which takes a few milliseconds.
    pub fn with_dynamic_capacity(
        timing: HashPoolSizing,
        users: Arc<Htpasswd>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let figures = Self::queue_metrics(&metrics);
        let queue = Queue::with_dynamic_capacity(timing.threads, timing.user_share, clock.clone(), figures);
        let pool = Self { queue, estimator: Some(CheckTimeEstimator::new(timing, users)), clock, metrics };
        pool.update_capacity(None);
        pool
    }

    fn queue_metrics(metrics: &Metrics) -> QueueMetrics {
        QueueMetrics {
            waiting: metrics.hash_queue_length.clone(),
            dropped: metrics.hash_queue_evicted.clone(),
        }
    }

    /// Has the places follow from the pace.
    fn update_capacity(&self, took: Option<Duration>) {
        let Some(pace) = &self.estimator else { return };
        let places = pace.sizing.queue_capacity(Duration::from_secs_f64(pace.record(took).seconds));
        self.queue.set_capacity(places);
        self.metrics.hash_queue_capacity.set(i64::try_from(places).unwrap_or(i64::MAX));
    }

    /// After which time a client that found no place may find one: half of what waits is done by then, so
    /// that the threads have work until it comes.
    pub fn retry_after(&self) -> Duration {
        let Some(pace) = &self.estimator else { return 2 * RETRY_AFTER_MIN };
        let all =
            pace.average().seconds * self.queue.waiting_count() as f64 / pace.sizing.threads.max(1) as f64;
        Duration::from_secs_f64(all / 2.0).clamp(RETRY_AFTER_MIN, pace.sizing.wait_max.max(RETRY_AFTER_MIN))
    }

    /// Whether a check for `asker` would find no place now.
    pub fn is_full_for(&self, asker: RequesterId) -> bool {
        self.queue.is_full_for(asker)
    }

    /// Queues a check, or gives it back at once; see [`Queue::submit`].
    pub fn submit(&self, job: PasswordCheckJob) -> Result<EvictedJob, PasswordCheckJob> {
        self.queue.submit(job)
    }

    /// Does checks until [`HashPool::close`]: the body of a hash thread.
    pub fn run(&self) {
        while let Some(job) = self.queue.next_blocking() {
            self.run_job(job);
        }
    }

    /// Does the next check, if there is one: what a test calls instead of [`HashPool::run`].
    pub fn run_next(&self) -> bool {
        self.queue.try_next().map(|job| self.run_job(job)).is_some()
    }

    /// Takes no more checks; see [`Queue::close`].
    pub fn close(&self) {
        self.queue.close();
    }

    fn run_job(&self, job: PasswordCheckJob) {
        let due = job.expires_at();
        let PasswordCheckJob { requester: asker, work, on_complete: end, .. } = job;
        let (ended, failed) = if self.clock.now() >= due {
            self.queue.dropped_counter().inc();
            (JobResult::Dropped, None)
        } else {
            let answer = self.run_measured(work);
            let failed = match &answer {
                Ok(Outcome::Accepted(_)) => Some(false),
                Ok(Outcome::Rejected | Outcome::UnknownUser) => Some(true),
                Err(_) => None,
            };
            (JobResult::Completed(answer), failed)
        };
        self.queue.release_with_result(asker, failed);
        end(ended);
    }

    fn run_measured(&self, check: PasswordCheck) -> AuthnResult {
        let (start, busy) = (Instant::now(), thread_cpu_time());
        let answer = catch_unwind(AssertUnwindSafe(check)).unwrap_or(Err(AuthnError::CheckPanicked));
        self.metrics.hash_check_seconds.inc_by(start.elapsed().as_secs_f64());
        let (result, took) = match &answer {
            Ok(Outcome::Accepted(_)) => ("accepted", Some(thread_cpu_time().saturating_sub(busy))),
            Ok(Outcome::Rejected | Outcome::UnknownUser) | Err(_) => ("rejected", None),
        };
        self.update_capacity(took);
        self.metrics.hash_checks.get_or_create(&HashCheckLabel { result }).inc();
        answer
    }
}

#[cfg(test)]
#[path = "hash_pool_tests.rs"]
mod tests;
