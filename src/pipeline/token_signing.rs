//! The signing pool: threads for signatures that take milliseconds (RSA).
//!
//! The pool has two short queues, one for authenticated and one for anonymous clients. Authenticated clients have
//! priority. Every eighth turn is for an anonymous client, so that no client waits indefinitely. Within each queue
//! blocks, networks and users take turns. If a queue is full, a request of a block with many requests is evicted
//! for a block with few, see [`crate::authn::queue`].

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

/// The maximum number of threads. The number of cores is a limit too.
const THREADS_MAX: usize = 4;

/// The maximum number of authenticated requests in the queue. Two cores sign as many in a second. The limit is
/// below the 512 connections of the public listener, so that a connection is free for the response to the next
/// request.
const AUTHENTICATED_QUEUE_MAX: usize = 256;

/// The maximum number of anonymous requests in the queue.
const ANONYMOUS_QUEUE_MAX: usize = 128;

/// The time that a request waits for its signature. Together with the password check before it, this is less than the
/// 10 s timeout of nginx.
const SIGNING_TIMEOUT: Duration = Duration::from_secs(3);

/// The time after which a client can retry if the queue was full.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The interval of turns for anonymous clients: every eighth.
const ANONYMOUS_TURN_INTERVAL: u32 = 8;

type SigningTask = Box<dyn FnOnce() + Send>;

/// The class of a request, which selects its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningClass {
    /// A request of an authenticated client.
    Authenticated,
    /// A request without credentials.
    Anonymous,
}

/// The queues and threads for slow signatures.
pub(super) struct SigningPool {
    authenticated: Queue<SigningTask>,
    anonymous: Queue<SigningTask>,
    turn_count: AtomicU32,
    /// Threads that run now.
    running_thread_count: AtomicUsize,
    threads_max: usize,
    clock: Clock,
}

impl SigningPool {
    /// Creates the pool with empty queues and no thread.
    pub(super) fn new(clock: Clock, metrics: &Metrics) -> Self {
        let queue = |total| {
            // One network can fill the queue, until others need the places.
            let limits = QueueLimits { total, network_share: usize::MAX, user_share: usize::MAX };
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

    /// Runs `sign` on a thread of the pool.
    ///
    /// # Errors
    /// If the queue is full, or the request was evicted or timed out.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        requester: RequesterId,
        class: SigningClass,
        sign: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Limited> {
        let (sender, signed) = oneshot::channel();
        let work: SigningTask = Box::new(move || {
            // If the client has disconnected, nothing is signed.
            if !sender.is_closed() {
                drop(sender.send(sign()));
            }
        });
        let deadline_millis = Arc::new(AtomicU64::new(self.clock.now().plus(SIGNING_TIMEOUT).as_millis()));
        // If the job is dropped, its sender is dropped, and the receiver below returns an error.
        let job = Job { requester, deadline_millis, work, on_complete: Box::new(|_| {}) };
        const BUSY: Limited = Limited::Busy(RETRY_AFTER);
        self.queue(class).submit(job).map_err(|_| BUSY)?.notify_dropped();
        self.start_thread();
        timeout(SIGNING_TIMEOUT, signed).await.map_err(|_| BUSY)?.map_err(|_| BUSY)
    }

    fn queue(&self, class: SigningClass) -> &Queue<SigningTask> {
        match class {
            SigningClass::Authenticated => &self.authenticated,
            SigningClass::Anonymous => &self.anonymous,
        }
    }

    /// Starts another thread, unless the maximum number runs.
    fn start_thread(self: &Arc<Self>) {
        if self.reserve_thread() {
            let pool = Arc::clone(self);
            drop(spawn_blocking(move || pool.run_worker()));
        }
    }

    fn reserve_thread(&self) -> bool {
        let increment = |running: usize| (running < self.threads_max).then_some(running + 1);
        self.running_thread_count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, increment).is_ok()
    }

    /// Runs jobs until both queues are empty.
    fn run_worker(&self) {
        loop {
            while let Some((class, job)) = self.next_job() {
                let Job { requester, work, .. } = job;
                // A panic ends this signature only. It drops the sender, so the waiting request gets an error.
                let _ = catch_unwind(AssertUnwindSafe(work));
                self.queue(class).release(requester);
            }
            self.running_thread_count.fetch_sub(1, Ordering::SeqCst);
            // A job that was queued after the last `next_job` found this thread running and started no other.
            let waiting = self.authenticated.waiting_count() + self.anonymous.waiting_count();
            if waiting == 0 || !self.reserve_thread() {
                return;
            }
        }
    }

    /// Returns the next job whose deadline has not passed. Expired jobs are removed and counted.
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
