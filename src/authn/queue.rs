//! A bounded, fair queue of jobs, used by the hash pool and by each HTTP authenticator.
//!
//! Blocks take turns; a block is an IPv4 /24 or an IPv6 /48. Within a block, networks take turns, and within a network,
//! users. If the queue is full, a job of a block with few jobs evicts a job of a block with many. So a client that
//! guesses passwords delays a login from another block by at most one job.
//!
//! In the hash pool, blocks without recent failures come first; see `failures`. New clients can be excluded only by an
//! attacker that controls as many blocks without recent failures as the queue has places. Clients with cached answers
//! are not affected.

mod failures;
pub mod job;
mod round_robin;
mod scheduler;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use self::job::{EvictedJob, Job, JobResult, QueueFull, QueueLimits, QueueMetrics, RequesterId};
use self::scheduler::{FairScheduler, QueueShares};
use crate::clock::{Clock, Moment};

/// A fair queue. The caller provides the workers: threads that call [`Queue::next_blocking`], or tasks that call
/// [`Queue::next`].
pub struct Queue<W> {
    scheduler: Mutex<FairScheduler<W>>,
    /// Wakes workers that are threads.
    thread_wakeup: Condvar,
    /// Wakes workers that are tasks.
    task_wakeup: Notify,
    /// The number of waiting and running jobs. An idle queue costs a request one load of it.
    outstanding_count: AtomicUsize,
    capacity: QueueCapacity,
    metrics: QueueMetrics,
}

/// The capacity of a queue.
enum QueueCapacity {
    /// Fixed limits.
    Fixed(QueueLimits),
    /// A total that changes with [`Queue::set_capacity`]. Failures are tracked.
    Dynamic {
        total: AtomicUsize,
        /// The number of jobs that run at the same time.
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
            Self::Dynamic { total, workers, user_share, .. } => {
                let total = total.load(Ordering::Relaxed);
                QueueShares {
                    total,
                    block: total,
                    network: total,
                    user: *user_share,
                    running_of_failing_blocks: workers.saturating_sub(1).max(1),
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

    /// Returns the current time if failures are tracked, and a constant otherwise.
    fn now(&self) -> Moment {
        match self {
            Self::Fixed(_) => Moment::default(),
            Self::Dynamic { clock, .. } => clock.now(),
        }
    }
}

impl<W> Queue<W> {
    /// Creates an empty queue with fixed limits. Failures are not tracked.
    pub fn new(limits: QueueLimits, metrics: QueueMetrics) -> Self {
        Self::with_capacity(QueueCapacity::Fixed(limits), metrics)
    }

    /// Creates an empty queue for `workers` workers that tracks failures; see [`Queue::release_with_result`]. The queue
    /// rejects every job until [`Queue::set_capacity`] is called.
    pub fn with_dynamic_capacity(
        workers: usize,
        user_share: usize,
        clock: Clock,
        metrics: QueueMetrics,
    ) -> Self {
        let total = AtomicUsize::new(0);
        Self::with_capacity(QueueCapacity::Dynamic { total, workers, user_share, clock }, metrics)
    }

    fn with_capacity(capacity: QueueCapacity, metrics: QueueMetrics) -> Self {
        Self {
            scheduler: Mutex::default(),
            thread_wakeup: Condvar::new(),
            task_wakeup: Notify::new(),
            outstanding_count: AtomicUsize::new(0),
            capacity,
            metrics,
        }
    }

    /// Sets the maximum number of waiting jobs. Has no effect on a queue with fixed limits.
    pub fn set_capacity(&self, capacity: usize) {
        match &self.capacity {
            QueueCapacity::Fixed(_) => {}
            QueueCapacity::Dynamic { total, .. } => total.store(capacity, Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, FairScheduler<W>> {
        // No code panics while it holds the lock. After a panic, the scheduler would still be consistent.
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of waiting jobs.
    pub fn waiting_count(&self) -> usize {
        if self.outstanding_count.load(Ordering::Acquire) == 0 { 0 } else { self.lock().waiting_count() }
    }

    /// Returns true if a job of `requester` would be rejected now.
    pub fn is_full_for(&self, requester: RequesterId) -> bool {
        if self.outstanding_count.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.lock().find_slot(requester, &self.capacity.shares(), self.capacity.now()).is_err()
    }

    /// Adds a job, or returns it if the queue is full for its requester.
    ///
    /// If the job evicts another one, the callback of the evicted job is returned. The caller must call it when it
    /// holds no lock that the callback may need.
    pub fn submit(&self, job: Job<W>) -> Result<EvictedJob, Job<W>> {
        let (shares, now) = (self.capacity.shares(), self.capacity.now());
        let mut scheduler = self.lock();
        let evicted = match scheduler.find_slot(job.requester, &shares, now) {
            Err(QueueFull) => return Err(job),
            Ok(slot) => scheduler.insert(job, slot, now),
        };
        match &evicted {
            Some(_) => drop(self.metrics.dropped.inc()),
            None => {
                self.outstanding_count.fetch_add(1, Ordering::AcqRel);
                self.metrics.waiting.inc();
            }
        }
        drop(scheduler);
        self.thread_wakeup.notify_one();
        self.task_wakeup.notify_one();
        Ok(EvictedJob::new(evicted.map(|job| job.on_complete)))
    }

    /// Waits for the next job and returns it. Returns `None` after the queue is closed. Blocks the thread.
    pub fn next_blocking(&self) -> Option<Job<W>> {
        let mut scheduler = self.lock();
        loop {
            if let Some(job) = self.pop(&mut scheduler) {
                return Some(job);
            }
            if scheduler.is_closed {
                return None;
            }
            scheduler = self.thread_wakeup.wait(scheduler).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the next job and returns it. Returns `None` after the queue is closed. For tasks.
    pub async fn next(&self) -> Option<Job<W>> {
        loop {
            {
                let mut scheduler = self.lock();
                let job = self.pop(&mut scheduler);
                // `Notify` stores one permit only, although several jobs can arrive while no task waits. So the permit
                // is passed on while jobs wait, and after the close.
                if scheduler.waiting_count() > 0 || scheduler.is_closed {
                    self.task_wakeup.notify_one();
                }
                if job.is_some() || scheduler.is_closed {
                    return job;
                }
            }
            // A job that arrives between the check and this line leaves a permit, so the wakeup is not lost.
            self.task_wakeup.notified().await;
        }
    }

    /// Returns the next job without waiting, or `None` if there is none.
    pub fn try_next(&self) -> Option<Job<W>> {
        self.pop(&mut self.lock())
    }

    fn pop(&self, scheduler: &mut FairScheduler<W>) -> Option<Job<W>> {
        let job = scheduler.pop(&self.capacity.shares())?;
        self.metrics.waiting.dec();
        Some(job)
    }

    /// Releases the share that a finished job used. The result does not count as a failure or a success.
    pub fn release(&self, requester: RequesterId) {
        self.release_with_result(requester, None);
    }

    /// Releases the share that a finished job used, and records its result: `Some(true)` for a failure.
    ///
    /// A failure can reduce the share of the network. Waiting jobs of the network above the new share are dropped.
    pub fn release_with_result(&self, requester: RequesterId, failed: Option<bool>) {
        let (shares, now) = (self.capacity.shares(), self.capacity.now());
        let failed = failed.filter(|_| self.capacity.is_failure_tracking_enabled());
        let dropped = self.lock().release(requester, failed, &shares, now);
        self.outstanding_count.fetch_sub(1 + dropped.len(), Ordering::AcqRel);
        // A job of a failing block may be waiting for a running job of a failing block to finish.
        self.thread_wakeup.notify_one();
        for job in dropped {
            self.metrics.waiting.dec();
            self.metrics.dropped.inc();
            (job.on_complete)(JobResult::Dropped);
        }
    }

    /// Closes the queue: rejects new jobs, drops waiting jobs, and makes [`Queue::next_blocking`] and [`Queue::next`]
    /// return `None`. Running jobs are not affected.
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

    /// Returns the counter of dropped jobs, for workers that drop a job after they took it.
    pub fn dropped_counter(&self) -> &Counter {
        &self.metrics.dropped
    }
}
