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

use super::hash::{speed, thread_time};
use super::htpasswd::Htpasswd;
use super::queue::{Asker, Displaced, End, Figures, Limits, Queue};
use super::{Answer, Outcome, Trouble};
use crate::clock::Clock;
use crate::metrics::{Metrics, HashCheckLabel};

/// The most checks that may wait, however quick they are: each holds a request, its connection and a password.
const PLACES_MAX: usize = 4096;

/// The share of the wait in which all that have a place are to be checked; the rest is for whatever else takes the
/// cores' time. Whoever finds no place is told so at once, and one who waited in vain only after the whole wait.
const FILLED: f64 = 0.9;

/// How much the last check counts in the average.
const WEIGHT: f64 = 0.125;

/// How far the average may be from what the costliest refusal is expected to take: above it lies an error of
/// the expectation, and far below it a file of cheap hashes beside a costly one.
const PACE: (f64, f64) = (0.01, 2.0);

/// What comes between the answers to clients that found no place.
const RETRY_LEAST: Duration = Duration::from_secs(1);

/// A password check, ready to be done.
pub type PasswordCheck = Box<dyn FnOnce() -> Answer + Send>;

/// A password check, and who waits for it.
pub type Job = crate::authn::queue::Job<PasswordCheck>;

/// What the number of places follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Threads that hash.
    pub threads: usize,
    /// How long a request waits for its check.
    pub wait: Duration,
    /// Checks of one user from one client network.
    pub user_share: usize,
}

impl Timing {
    /// How many checks the threads do within the wait, if each takes so long; two for each thread at least.
    pub fn places(&self, check: Duration) -> usize {
        let each = FILLED * self.wait.as_secs_f64() / check.as_secs_f64().max(1e-9);
        let places = each * self.threads as f64;
        (places as usize).clamp((2 * self.threads).min(PLACES_MAX), PLACES_MAX)
    }
}

/// How long a check takes.
struct Pace {
    timing: Timing,
    users: Arc<Htpasswd>,
    /// See [`speed`].
    speed: f64,
    average: Mutex<Average>,
}

/// A moving average of seconds.
#[derive(Clone, Copy, Debug)]
struct Average {
    seconds: f64,
    /// What a refusal is expected to take by the file in force.
    expected: f64,
    /// Which file that is; see [`Htpasswd::replaced`].
    file: u64,
}

impl Pace {
    fn new(timing: Timing, users: Arc<Htpasswd>) -> Self {
        let speed = speed(timing.threads);
        let average = Mutex::new(Self::start(&users, speed));
        Self { timing, users, speed, average }
    }

    fn start(users: &Htpasswd, speed: f64) -> Average {
        let file = users.replaced();
        let expected = users.users().costliest().effort(speed).as_secs_f64();
        Average { seconds: expected, expected, file }
    }

    fn get(&self) -> Average {
        *self.average.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one more check into account, if it counts, or another file.
    fn note(&self, took: Option<Duration>) -> Average {
        let mut average = self.average.lock().unwrap_or_else(PoisonError::into_inner);
        if average.file != self.users.replaced() {
            *average = Self::start(&self.users, self.speed);
        }
        if let Some(took) = took {
            let (low, high) = PACE;
            let took = took.as_secs_f64().clamp(low * average.expected, high * average.expected);
            average.seconds += WEIGHT * (took - average.seconds);
        }
        *average
    }
}

/// The queue of password checks. The threads are the caller's, see [`HashPool::run`]; a test takes the
/// place of a thread with [`HashPool::run_next`].
pub struct HashPool {
    queue: Queue<PasswordCheck>,
    /// `None` where the places are fixed.
    pace: Option<Pace>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl HashPool {
    /// An empty pool with a fixed number of places.
    pub fn new(limits: Limits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let queue = Queue::new(limits, Self::figures(&metrics));
        Self { queue, pace: None, clock, metrics }
    }

    /// An empty pool for the checks of `users`, with as many places as are hashed in time. Measures the
    /// machine, which takes a few milliseconds.
    pub fn timed(timing: Timing, users: Arc<Htpasswd>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let figures = Self::figures(&metrics);
        let queue = Queue::timed(timing.threads, timing.user_share, clock.clone(), figures);
        let pool = Self { queue, pace: Some(Pace::new(timing, users)), clock, metrics };
        pool.adjust(None);
        pool
    }

    fn figures(metrics: &Metrics) -> Figures {
        Figures { waiting: metrics.hash_queue_length.clone(), dropped: metrics.hash_queue_evicted.clone() }
    }

    /// Has the places follow from the pace.
    fn adjust(&self, took: Option<Duration>) {
        let Some(pace) = &self.pace else { return };
        let places = pace.timing.places(Duration::from_secs_f64(pace.note(took).seconds));
        self.queue.set_places(places);
        self.metrics.hash_queue_capacity.set(i64::try_from(places).unwrap_or(i64::MAX));
    }

    /// After which time a client that found no place may find one: half of what waits is done by then, so
    /// that the threads have work until it comes.
    pub fn retry_after(&self) -> Duration {
        let Some(pace) = &self.pace else { return 2 * RETRY_LEAST };
        let all = pace.get().seconds * self.queue.waiting() as f64 / pace.timing.threads.max(1) as f64;
        Duration::from_secs_f64(all / 2.0).clamp(RETRY_LEAST, pace.timing.wait.max(RETRY_LEAST))
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
        let (ended, failed) = if self.clock.now() >= due {
            self.queue.dropped().inc();
            (End::Dropped, None)
        } else {
            let answer = self.measured(work);
            let failed = match &answer {
                Ok(Outcome::Accepted(_)) => Some(false),
                Ok(Outcome::Rejected | Outcome::Unknown) => Some(true),
                Err(_) => None,
            };
            (End::Done(answer), failed)
        };
        self.queue.settle_as(asker, failed);
        end(ended);
    }

    fn measured(&self, check: PasswordCheck) -> Answer {
        let (start, busy) = (Instant::now(), thread_time());
        let answer = catch_unwind(AssertUnwindSafe(check)).unwrap_or(Err(Trouble::CheckFailed));
        self.metrics.hash_check_seconds.inc_by(start.elapsed().as_secs_f64());
        let (result, took) = match &answer {
            Ok(Outcome::Accepted(_)) => ("accepted", Some(thread_time().saturating_sub(busy))),
            Ok(Outcome::Rejected | Outcome::Unknown) | Err(_) => ("refused", None),
        };
        self.adjust(took);
        self.metrics.hash_checks.get_or_create(&HashCheckLabel { result }).inc();
        answer
    }
}

#[cfg(test)]
#[path = "hash_pool_tests.rs"]
mod tests;
