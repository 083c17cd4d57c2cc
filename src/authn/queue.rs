//! A bounded, fair queue of questions that take their time: for the hash pool, and for each HTTP
//! authenticator.
//!
//! Blocks of networks take turns, and within them networks and users; when the queue is full, a block with many
//! questions in it gives a place to one with few. So somebody who guesses delays a log-in from elsewhere by no
//! more than his own turn. In the hash pool's queue blocks without recent failures come first, see
//! `standing`. Only who commands as many blocks as the queue has places, none of which has failed of late, can
//! keep newcomers out; those whose answers are cached don't notice.

mod job;
mod lanes;
mod standing;
mod turns;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

pub use self::job::{Asker, Displaced, End, Figures, Job, Limits, Shed};
use self::lanes::{Lanes, Places};
use crate::clock::{Clock, Moment};

/// The queue and its rules. Whoever takes from it is the caller's.
pub struct Queue<W> {
    lanes: Mutex<Lanes<W>>,
    /// For takers that are threads.
    ready: Condvar,
    /// For takers that are tasks.
    notify: Notify,
    /// Queued and at work, so that an idle queue costs a request one load.
    outstanding: AtomicUsize,
    bounds: Bounds,
    figures: Figures,
}

/// How many questions there may be.
enum Bounds {
    /// So many.
    Fixed(Limits),
    /// As many as are answered in time, which changes.
    Timed {
        places: AtomicUsize,
        /// How many are answered at one time.
        takers: usize,
        user_share: usize,
        clock: Clock,
    },
}

impl Bounds {
    fn places(&self) -> Places {
        match self {
            Self::Fixed(limits) => Places {
                all: limits.queue,
                block: usize::MAX,
                network: limits.network_share,
                user: limits.user_share,
                at_work_of_failing: usize::MAX,
            },
            Self::Timed { places, takers, user_share, .. } => {
                let all = places.load(Ordering::Relaxed);
                let at_work_of_failing = takers.saturating_sub(1).max(1);
                Places { all, block: all, network: all, user: *user_share, at_work_of_failing }
            }
        }
    }

    fn counts_failures(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Timed { .. } => true,
        }
    }

    /// The time, where it counts.
    fn now(&self) -> Moment {
        match self {
            Self::Fixed(_) => Moment::default(),
            Self::Timed { clock, .. } => clock.now(),
        }
    }
}

impl<W> Queue<W> {
    /// An empty queue.
    pub fn new(limits: Limits, figures: Figures) -> Self {
        Self::with(Bounds::Fixed(limits), figures)
    }

    /// An empty queue from which so many `takers` take, in which failures count; see [`Queue::settle_as`]. It
    /// has no place until [`Queue::set_places`].
    pub fn timed(takers: usize, user_share: usize, clock: Clock, figures: Figures) -> Self {
        Self::with(Bounds::Timed { places: AtomicUsize::new(0), takers, user_share, clock }, figures)
    }

    fn with(bounds: Bounds, figures: Figures) -> Self {
        Self {
            lanes: Mutex::default(),
            ready: Condvar::new(),
            notify: Notify::new(),
            outstanding: AtomicUsize::new(0),
            bounds,
            figures,
        }
    }

    /// Changes how many questions may wait, if that is not fixed.
    pub fn set_places(&self, number: usize) {
        match &self.bounds {
            Bounds::Fixed(_) => {}
            Bounds::Timed { places, .. } => places.store(number, Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<W>> {
        // No code panics while it holds the lock; were it so, the queue is still whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions that wait.
    pub fn waiting(&self) -> usize {
        if self.outstanding.load(Ordering::Acquire) == 0 { 0 } else { self.lock().queued() }
    }

    /// Whether a question for `asker` would find no place now.
    pub fn is_full_for(&self, asker: Asker) -> bool {
        if self.outstanding.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.lock().room(asker, &self.bounds.places(), self.bounds.now()).is_err()
    }

    /// Queues a question, or gives it back at once. Another's question that had to give up its place is
    /// handed out, for the caller to tell when he holds no lock that its end may want.
    pub fn submit(&self, job: Job<W>) -> Result<Displaced, Job<W>> {
        let (places, now) = (self.bounds.places(), self.bounds.now());
        let mut lanes = self.lock();
        let displaced = match lanes.room(job.asker, &places, now) {
            Err(Shed) => return Err(job),
            Ok(room) => lanes.enter(job, room, now),
        };
        match &displaced {
            Some(_) => drop(self.figures.dropped.inc()),
            None => {
                self.outstanding.fetch_add(1, Ordering::AcqRel);
                self.figures.waiting.inc();
            }
        }
        drop(lanes);
        self.ready.notify_one();
        self.notify.notify_one();
        Ok(Displaced::new(displaced.map(|job| job.end)))
    }

    /// The next question; waits for one. `None` once the queue is closed. For a thread.
    pub fn wait(&self) -> Option<Job<W>> {
        let mut lanes = self.lock();
        loop {
            if let Some(job) = self.take(&mut lanes) {
                return Some(job);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.ready.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, for a task.
    pub async fn next(&self) -> Option<Job<W>> {
        loop {
            {
                let mut lanes = self.lock();
                let job = self.take(&mut lanes);
                // Two questions that come while nobody waits leave one permit, and so does the close.
                if lanes.queued() > 0 || lanes.closed {
                    self.notify.notify_one();
                }
                if job.is_some() || lanes.closed {
                    return job;
                }
            }
            // A question that came since the look has left a permit.
            self.notify.notified().await;
        }
    }

    /// The next question, if there is one.
    pub fn try_next(&self) -> Option<Job<W>> {
        self.take(&mut self.lock())
    }

    fn take(&self, lanes: &mut Lanes<W>) -> Option<Job<W>> {
        let job = lanes.take(&self.bounds.places())?;
        self.figures.waiting.dec();
        Some(job)
    }

    /// Gives back the place of a question that was taken, and is answered.
    pub fn settle(&self, asker: Asker) {
        self.settle_as(asker, None);
    }

    /// The same, where the answer counts for or against its network: `Some(true)` for a failure. What the
    /// network has waiting beyond the share that is left to it then is dropped.
    pub fn settle_as(&self, asker: Asker, failed: Option<bool>) {
        let (places, now) = (self.bounds.places(), self.bounds.now());
        let failed = failed.filter(|_| self.bounds.counts_failures());
        let beyond = self.lock().settle(asker, failed, &places, now);
        self.outstanding.fetch_sub(1 + beyond.len(), Ordering::AcqRel);
        // One that waits for the end of another's failing question may be let through now.
        self.ready.notify_one();
        for job in beyond {
            self.figures.waiting.dec();
            self.figures.dropped.inc();
            (job.end)(End::Dropped);
        }
    }

    /// Takes no more questions, drops those that wait, and lets the takers go when they have done what
    /// they are doing.
    pub fn close(&self) {
        let waiting = self.lock().close();
        self.ready.notify_all();
        self.notify.notify_one();
        for job in waiting {
            self.outstanding.fetch_sub(1, Ordering::AcqRel);
            self.figures.waiting.dec();
            (job.end)(End::Dropped);
        }
    }

    /// How many questions were dropped unasked, for takers that drop one.
    pub fn dropped(&self) -> &Counter {
        &self.figures.dropped
    }
}
