//! Signatures that take milliseconds (RSA), in turn.
//!
//! A few threads sign. In front of them is a short queue for clients that said who they are and another one for those
//! that did not: the first goes first, and the second has every eighth turn, so that neither waits for ever. Within
//! each queue blocks of networks, networks and users take turns, and when it is full, a block with many requests gives
//! a place to one with few: see [`crate::authn::queue`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::verdict::Limited;
use crate::authn::queue::Queue;
use crate::authn::queue::job::{Job, QueueLimits, QueueMetrics, RequesterId};
use crate::clock::Clock;
use crate::metrics::Metrics;

/// The most threads that sign at one time; no more than there are cores either.
const THREADS_MAX: usize = 4;

/// The most requests that wait, of clients that said who they are. They are fewer than the connections of the public
/// listener (512), so that the answer to the next one is at hand, and as many as two cores sign in a second.
const AUTHENTICATED_QUEUE_MAX: usize = 256;

/// The same of those that did not say who they are.
const ANONYMOUS_QUEUE_MAX: usize = 128;

/// How long a request waits for its signature. With the check of its password before it, it stays within the 10 s that
/// nginx waits.
const SIGNING_TIMEOUT: Duration = Duration::from_secs(3);

/// When a client that found no place may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One turn in so many is an anonymous client's, if one waits.
const ANONYMOUS_TURN_INTERVAL: u32 = 8;

type SigningTask = Box<dyn FnOnce() + Send>;

/// Which of the two queues a request waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningClass {
    /// Of clients that said who they are.
    Authenticated,
    /// Of those that did not.
    Anonymous,
}

/// See the top of this file.
pub(super) struct SigningPool {
    authenticated: Queue<SigningTask>,
    anonymous: Queue<SigningTask>,
    turn_count: AtomicU32,
    /// Threads that sign now.
    running_thread_count: AtomicUsize,
    threads_max: usize,
    clock: Clock,
}

impl SigningPool {
    /// With empty queues.
    pub(super) fn new(clock: Clock, metrics: &Metrics) -> Self {
        let queue = |places| {
            // One network may have all places, as long as no other needs them.
            let limits = QueueLimits { total: places, network_share: usize::MAX, user_share: usize::MAX };
            let waiting = metrics.token_signing_queue_length.clone();
            Queue::new(limits, QueueMetrics { waiting, dropped: metrics.token_signing_queue_evicted.clone() })
        };
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            authenticated: queue(AUTHENTICATED_QUEUE_MAX),
            anonymous: queue(ANONYMOUS_QUEUE_MAX),
            turn_count: AtomicU32::new(0),
            running_thread_count: AtomicUsize::new(0),
            threads_max: cores.min(THREADS_MAX),
            clock,
        }
    }

    /// Runs `sign` on a thread that answers nobody, when it is its turn.
    ///
    /// # Errors
    /// There is no place, or its turn did not come in time.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        asker: RequesterId,
        class: SigningClass,
        sign: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Limited> {
        let (tell, told) = oneshot::channel();
        let work: SigningTask = Box::new(move || {
            // Nothing is signed for a client that has hung up.
            if !tell.is_closed() {
                drop(tell.send(sign()));
            }
        });
        let deadline = Arc::new(AtomicU64::new(self.clock.now().plus(SIGNING_TIMEOUT).as_millis()));
        // What is dropped with the work tells the one that waits.
        let job = Job { requester: asker, deadline_millis: deadline, work, on_complete: Box::new(|_| {}) };
        const BUSY: Limited = Limited::Busy(RETRY_AFTER);
        self.queue(class).submit(job).map_err(|_| BUSY)?.notify_dropped();
        self.start_thread();
        timeout(SIGNING_TIMEOUT, told).await.map_err(|_| BUSY)?.map_err(|_| BUSY)
    }

    fn queue(&self, class: SigningClass) -> &Queue<SigningTask> {
        match class {
            SigningClass::Authenticated => &self.authenticated,
            SigningClass::Anonymous => &self.anonymous,
        }
    }

    /// Has another thread sign, unless there are enough.
    fn start_thread(self: &Arc<Self>) {
        if self.reserve_thread() {
            let signing = Arc::clone(self);
            drop(spawn_blocking(move || signing.run_worker()));
        }
    }

    fn reserve_thread(&self) -> bool {
        let more = |running: usize| (running < self.threads_max).then_some(running + 1);
        self.running_thread_count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Signs until nothing waits.
    fn run_worker(&self) {
        loop {
            while let Some((class, job)) = self.next_job() {
                let Job { requester: asker, work, .. } = job;
                // A panic ends one signature, and not the thread: whoever waits for it is told by the drop.
                let _ = catch_unwind(AssertUnwindSafe(work));
                self.queue(class).release(asker);
            }
            self.running_thread_count.fetch_sub(1, Ordering::SeqCst);
            // What came since the look found this thread still running, and started none.
            let waiting = self.authenticated.waiting_count() + self.anonymous.waiting_count();
            if waiting == 0 || !self.reserve_thread() {
                return;
            }
        }
    }

    /// The next request whose time is not up.
    fn next_job(&self) -> Option<(SigningClass, Job<SigningTask>)> {
        loop {
            let turn = self.turn_count.fetch_add(1, Ordering::Relaxed);
            let order = if turn % ANONYMOUS_TURN_INTERVAL == ANONYMOUS_TURN_INTERVAL - 1 {
                [SigningClass::Anonymous, SigningClass::Authenticated]
            } else {
                [SigningClass::Authenticated, SigningClass::Anonymous]
            };
            let take = |class| self.queue(class).try_next().map(|job| (class, job));
            let (class, job) = order.into_iter().find_map(take)?;
            if self.clock.now() < job.expires_at() {
                return Some((class, job));
            }
            self.queue(class).dropped_counter().inc();
            self.queue(class).release(job.requester);
        }
    }
}

#[cfg(test)]
#[path = "token_signing_tests.rs"]
mod tests;
