//! The questions that wait for a service, in two queues: those of requesters whose calls got no answer lately come
//! last, and take at most half of the connections. So calls that an attacker has hang do not starve others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::RemoteQuery;
use super::circuit_breaker::CircuitBreaker;
use super::circuit_breaker::backoff::Requester;
use crate::authn::queue::{EvictedJob, Job, JobResult, Queue, QueueLimits, QueueMetrics};

/// How often a slow call looks whether others wait for its connection.
const PREEMPT_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A call is slow if it takes so many times as long as calls that end well.
const SLOW_CALL_FACTOR: u32 = 4;

/// A question in a queue.
pub struct QueuedQuery {
    /// What is asked.
    pub query: RemoteQuery,
    /// Whom for.
    pub requester: Requester,
    /// While it waits in the first queue.
    waiting_guard: Option<CountGuard>,
}

/// Which queue a question was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueClass {
    /// Of most requesters.
    Normal,
    /// Of those whose calls got no answer lately.
    Suspect,
}

/// Counts one as long as it lives.
struct CountGuard(Arc<AtomicUsize>);

impl CountGuard {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is told of a question that finds no place.
pub type JobCallback = Box<dyn FnOnce(JobResult) + Send>;

/// See the top of this file.
pub struct RemoteQueues {
    normal: Queue<QueuedQuery>,
    suspect: Queue<QueuedQuery>,
    /// Questions in the first queue, and calls that take long.
    waiting_count: Arc<AtomicUsize>,
    slow_count: Arc<AtomicUsize>,
    connections_max: usize,
}

impl RemoteQueues {
    /// With empty queues.
    pub fn new(limits: QueueLimits, figures: &QueueMetrics, connections: usize) -> Self {
        Self {
            normal: Queue::new(limits, figures.clone()),
            suspect: Queue::new(limits, figures.clone()),
            waiting_count: Arc::default(),
            slow_count: Arc::default(),
            connections_max: connections,
        }
    }

    fn queue(&self, lane: QueueClass) -> &Queue<QueuedQuery> {
        match lane {
            QueueClass::Normal => &self.normal,
            QueueClass::Suspect => &self.suspect,
        }
    }

    /// The most connections that suspect requesters, and slow calls while others wait, may take: half of them, and
    /// the only one.
    pub fn suspect_connections_max(&self) -> usize {
        (self.connections_max / 2).max(1)
    }

    /// Whether a question of `who`'s would find no place now.
    pub fn is_full_for(&self, who: &Requester, circuit: &CircuitBreaker) -> bool {
        self.normal.is_full_for(who.id) || self.suspect.is_full_for(who.id) && circuit.is_suspect(who)
    }

    /// Queues a question, or gives back who is told of its end; see [`Queue::submit`].
    pub fn submit(
        &self,
        job: Job<(RemoteQuery, Requester)>,
        circuit: &CircuitBreaker,
    ) -> Result<EvictedJob, JobCallback> {
        let Job { requester: asker, deadline_millis: deadline, work: (inquiry, who), on_complete: end } = job;
        let lane = if circuit.is_suspect(&who) { QueueClass::Suspect } else { QueueClass::Normal };
        let counted = (lane == QueueClass::Normal).then(|| CountGuard::new(&self.waiting_count));
        let work = QueuedQuery { query: inquiry, requester: who, waiting_guard: counted };
        self.queue(lane)
            .submit(Job { requester: asker, deadline_millis: deadline, work, on_complete: end })
            .map_err(|job| job.on_complete)
    }

    /// The next question, and the queue that it was in; waits for one. `None` once they are closed. Only some
    /// callers, as many as [`Lanes::part`], take questions of suspect requesters.
    pub async fn next(
        &self,
        takes_suspect: bool,
        circuit: &CircuitBreaker,
    ) -> Option<(Job<QueuedQuery>, QueueClass)> {
        loop {
            let (mut job, lane) = if takes_suspect {
                tokio::select! {
                    biased;
                    job = self.normal.next() => (job?, QueueClass::Normal),
                    job = self.suspect.next() => (job?, QueueClass::Suspect),
                }
            } else {
                (self.normal.next().await?, QueueClass::Normal)
            };
            job.work.waiting_guard = None;
            // Its requester, or its block, may have become suspect while it waited.
            if lane == QueueClass::Suspect || !circuit.is_suspect(&job.work.requester) {
                return Some((job, lane));
            }
            self.normal.release(job.requester);
            match self.suspect.submit(job) {
                Ok(displaced) => displaced.notify_dropped(),
                Err(job) => (job.on_complete)(JobResult::Dropped),
            }
        }
    }

    /// Gives back the place of a question that was taken; see [`Queue::settle`].
    pub fn release(&self, job: &Requester, lane: QueueClass) {
        self.queue(lane).release(job.id);
    }

    /// Takes no more questions; see [`Queue::close`].
    pub fn close(&self) {
        self.normal.close();
        self.suspect.close();
    }

    /// Returns when a call that began now has to end for others: it is slow, more than a part of the connections
    /// are taken by such calls, and questions wait. `typical` is what a call takes that ends well. Without this, an
    /// attacker with a fresh network block for each call could have every connection hang.
    pub async fn wait_until_preempted(&self, typical: Duration) {
        sleep_until(Instant::now() + typical * SLOW_CALL_FACTOR).await;
        let _slow = CountGuard::new(&self.slow_count);
        while self.waiting_count.load(Ordering::Acquire) == 0
            || self.slow_count.load(Ordering::Acquire) <= self.suspect_connections_max()
        {
            sleep(PREEMPT_CHECK_INTERVAL).await;
        }
    }

    /// The next question, if there is one; its place is given back.
    #[cfg(test)]
    pub fn try_next(&self) -> Option<Job<QueuedQuery>> {
        self.normal.try_next().inspect(|job| self.normal.release(job.requester))
    }
}
