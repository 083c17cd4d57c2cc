//! A bounded, fair queue of questions that take their time: for the hash pool, and for each HTTP
//! authenticator.
//!
//! Blocks of networks take turns, and within them networks and users; when the queue is full, a block with many
//! questions in it gives a place to one with few. So somebody who guesses delays a log-in from elsewhere by no
//! more than his own turn. In the hash pool's queue blocks without recent failures come first, see
//! `standing`. Only who commands as many blocks as the queue has places, none of which has failed of late, can
//! keep newcomers out; those whose answers are cached don't notice.

mod failures;
mod job;
mod round_robin;
mod scheduler;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

pub use self::job::{EvictedJob, Job, JobResult, QueueFull, QueueLimits, QueueMetrics, RequesterId};
use self::scheduler::{FairScheduler, QueueShares};
use crate::clock::{Clock, Moment};

/// The queue and its rules. Whoever takes from it is the caller's.
pub struct Queue<W> {
    scheduler: Mutex<FairScheduler<W>>,
    /// For takers that are threads.
    thread_wakeup: Condvar,
    /// For takers that are tasks.
    task_wakeup: Notify,
    /// Queued and at work, so that an idle queue costs a request one load.
    outstanding_count: AtomicUsize,
    capacity: QueueCapacity,
    metrics: QueueMetrics,
}

/// How many questions there may be.
enum QueueCapacity {
    /// So many.
    Fixed(QueueLimits),
    /// As many as are answered in time, which changes.
    Dynamic {
        total: AtomicUsize,
        /// How many are answered at one time.
        workers: usize,
        user_share: usize,
        clock: Clock,
    },
}

impl QueueCapacity {
    fn shares(&self) -> QueueShares {
        match self {
            Self::Fixed(limits) => QueueShares {
                total: limits.total,
                block: usize::MAX,
                network: limits.network_share,
                user: limits.user_share,
                running_of_failing_blocks: usize::MAX,
            },
            Self::Dynamic { total: places, workers: takers, user_share, .. } => {
                let all = places.load(Ordering::Relaxed);
                let at_work_of_failing = takers.saturating_sub(1).max(1);
                QueueShares {
                    total: all,
                    block: all,
                    network: all,
                    user: *user_share,
                    running_of_failing_blocks: at_work_of_failing,
                }
            }
        }
    }

    fn is_failure_tracking_enabled(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Dynamic { .. } => true,
        }
    }

    /// The time, where it counts.
    fn now(&self) -> Moment {
        match self {
            Self::Fixed(_) => Moment::default(),
            Self::Dynamic { clock, .. } => clock.now(),
        }
    }
}

impl<W> Queue<W> {
    /// An empty queue.
    pub fn new(limits: QueueLimits, figures: QueueMetrics) -> Self {
        Self::with_capacity(QueueCapacity::Fixed(limits), figures)
    }

    /// An empty queue from which so many `takers` take, in which failures count; see [`Queue::settle_as`]. It
    /// has no place until [`Queue::set_places`].
    pub fn with_dynamic_capacity(
        takers: usize,
        user_share: usize,
        clock: Clock,
        figures: QueueMetrics,
    ) -> Self {
        Self::with_capacity(
            QueueCapacity::Dynamic { total: AtomicUsize::new(0), workers: takers, user_share, clock },
            figures,
        )
    }

    fn with_capacity(bounds: QueueCapacity, figures: QueueMetrics) -> Self {
        Self {
            scheduler: Mutex::default(),
            thread_wakeup: Condvar::new(),
            task_wakeup: Notify::new(),
            outstanding_count: AtomicUsize::new(0),
            capacity: bounds,
            metrics: figures,
        }
    }

    /// Changes how many questions may wait, if that is not fixed.
    pub fn set_capacity(&self, number: usize) {
        match &self.capacity {
            QueueCapacity::Fixed(_) => {}
            QueueCapacity::Dynamic { total: places, .. } => places.store(number, Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, FairScheduler<W>> {
        // No code panics while it holds the lock; were it so, the queue is still whole.
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions that wait.
    pub fn waiting_count(&self) -> usize {
        if self.outstanding_count.load(Ordering::Acquire) == 0 { 0 } else { self.lock().waiting_count() }
    }

    /// Whether a question for `asker` would find no place now.
    pub fn is_full_for(&self, asker: RequesterId) -> bool {
        if self.outstanding_count.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.lock().find_slot(asker, &self.capacity.shares(), self.capacity.now()).is_err()
    }

    /// Queues a question, or gives it back at once. Another's question that had to give up its place is
    /// handed out, for the caller to tell when he holds no lock that its end may want.
    pub fn submit(&self, job: Job<W>) -> Result<EvictedJob, Job<W>> {
        let (places, now) = (self.capacity.shares(), self.capacity.now());
        let mut lanes = self.lock();
        let displaced = match lanes.find_slot(job.requester, &places, now) {
            Err(QueueFull) => return Err(job),
            Ok(room) => lanes.insert(job, room, now),
        };
        match &displaced {
            Some(_) => drop(self.metrics.dropped.inc()),
            None => {
                self.outstanding_count.fetch_add(1, Ordering::AcqRel);
                self.metrics.waiting.inc();
            }
        }
        drop(lanes);
        self.thread_wakeup.notify_one();
        self.task_wakeup.notify_one();
        Ok(EvictedJob::new(displaced.map(|job| job.on_complete)))
    }

    /// The next question; waits for one. `None` once the queue is closed. For a thread.
    pub fn next_blocking(&self) -> Option<Job<W>> {
        let mut lanes = self.lock();
        loop {
            if let Some(job) = self.pop(&mut lanes) {
                return Some(job);
            }
            if lanes.is_closed {
                return None;
            }
            lanes = self.thread_wakeup.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, for a task.
    pub async fn next(&self) -> Option<Job<W>> {
        loop {
            {
                let mut lanes = self.lock();
                let job = self.pop(&mut lanes);
                // Two questions that come while nobody waits leave one permit, and so does the close.
                if lanes.waiting_count() > 0 || lanes.is_closed {
                    self.task_wakeup.notify_one();
                }
                if job.is_some() || lanes.is_closed {
                    return job;
                }
            }
            // A question that came since the look has left a permit.
            self.task_wakeup.notified().await;
        }
    }

    /// The next question, if there is one.
    pub fn try_next(&self) -> Option<Job<W>> {
        self.pop(&mut self.lock())
    }

    fn pop(&self, lanes: &mut FairScheduler<W>) -> Option<Job<W>> {
        let job = lanes.pop(&self.capacity.shares())?;
        self.metrics.waiting.dec();
        Some(job)
    }

    /// Gives back the place of a question that was taken, and is answered.
    pub fn release(&self, asker: RequesterId) {
        self.release_with_result(asker, None);
    }

    /// The same, where the answer counts for or against its network: `Some(true)` for a failure. What the
    /// network has waiting beyond the share that is left to it then is dropped.
    pub fn release_with_result(&self, asker: RequesterId, failed: Option<bool>) {
        let (places, now) = (self.capacity.shares(), self.capacity.now());
        let failed = failed.filter(|_| self.capacity.is_failure_tracking_enabled());
        let beyond = self.lock().release(asker, failed, &places, now);
        self.outstanding_count.fetch_sub(1 + beyond.len(), Ordering::AcqRel);
        // One that waits for the end of another's failing question may be let through now.
        self.thread_wakeup.notify_one();
        for job in beyond {
            self.metrics.waiting.dec();
            self.metrics.dropped.inc();
            (job.on_complete)(JobResult::Dropped);
        }
    }

    /// Takes no more questions, drops those that wait, and lets the takers go when they have done what
    /// they are doing.
    pub fn close(&self) {
        let waiting = self.lock().close();
        self.thread_wakeup.notify_all();
        self.task_wakeup.notify_one();
        for job in waiting {
            self.outstanding_count.fetch_sub(1, Ordering::AcqRel);
            self.metrics.waiting.dec();
            (job.on_complete)(JobResult::Dropped);
        }
    }

    /// How many questions were dropped unasked, for takers that drop one.
    pub fn dropped_counter(&self) -> &Counter {
        &self.metrics.dropped
    }
}
