//! The two queues of a remote source. Queries of requesters whose calls got no response a short time ago have a queue
//! of their own, which is served last and can use half of the connections. So an attacker whose calls hang does not
//! block other requesters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::RemoteQuery;
use super::circuit_breaker::CircuitBreaker;
use super::circuit_breaker::backoff::Requester;
use crate::authn::queue::Queue;
use crate::authn::queue::job::{EvictedJob, Job, JobCallback, JobResult, QueueLimits, QueueMetrics};

/// The interval at which a slow call checks whether other queries wait for its connection.
const PREEMPT_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A call is slow if it takes this many times the duration of a typical successful call.
const SLOW_CALL_FACTOR: u32 = 4;

/// A query in a queue.
pub(crate) struct QueuedQuery {
    /// The query.
    pub(crate) query: RemoteQuery,
    /// The requester.
    pub(crate) requester: Requester,
    /// Present while the query waits in the normal queue.
    waiting_guard: Option<CountGuard>,
}

/// The queue of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueClass {
    /// The queue of most requesters.
    Normal,
    /// The queue of requesters whose calls got no response a short time ago.
    Suspect,
}

/// Increments a counter, and decrements it when dropped.
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

/// The queues of one remote source.
pub(crate) struct RemoteQueues {
    normal: Queue<QueuedQuery>,
    suspect: Queue<QueuedQuery>,
    /// The number of queries in the normal queue.
    waiting_count: Arc<AtomicUsize>,
    /// The number of slow calls.
    slow_count: Arc<AtomicUsize>,
    connections_max: usize,
}

impl RemoteQueues {
    /// Creates empty queues. Both have the same limits and metrics.
    pub(crate) fn new(limits: QueueLimits, metrics: &QueueMetrics, connections_max: usize) -> Self {
        Self {
            normal: Queue::new(limits, metrics.clone()),
            suspect: Queue::new(limits, metrics.clone()),
            waiting_count: Arc::default(),
            slow_count: Arc::default(),
            connections_max,
        }
    }

    fn queue(&self, class: QueueClass) -> &Queue<QueuedQuery> {
        match class {
            QueueClass::Normal => &self.normal,
            QueueClass::Suspect => &self.suspect,
        }
    }

    /// Returns how many connections suspect requesters can use, and how many slow calls can use while others wait: half
    /// of all, and at least one.
    pub(crate) fn suspect_connections_max(&self) -> usize {
        (self.connections_max / 2).max(1)
    }

    /// Returns whether the queue is full for this requester.
    pub(crate) fn is_full_for(&self, requester: &Requester, circuit: &CircuitBreaker) -> bool {
        self.normal.is_full_for(requester.id)
            || self.suspect.is_full_for(requester.id) && circuit.is_suspect(requester)
    }

    /// Queues a query, or returns its callback if the queue is full; see [`Queue::submit`].
    pub(crate) fn submit(
        &self,
        job: Job<(RemoteQuery, Requester)>,
        circuit: &CircuitBreaker,
    ) -> Result<EvictedJob, JobCallback> {
        let Job { requester: id, deadline_millis, work: (query, requester), on_complete } = job;
        let class = if circuit.is_suspect(&requester) { QueueClass::Suspect } else { QueueClass::Normal };
        let waiting_guard = (class == QueueClass::Normal).then(|| CountGuard::new(&self.waiting_count));
        let work = QueuedQuery { query, requester, waiting_guard };
        self.queue(class)
            .submit(Job { requester: id, deadline_millis, work, on_complete })
            .map_err(|job| job.on_complete)
    }

    /// Waits for the next query, and returns it with its queue. Returns `None` after `close`, which tests call. At most
    /// [`RemoteQueues::suspect_connections_max`] callers pass `takes_suspect`.
    pub(crate) async fn next(
        &self,
        takes_suspect: bool,
        circuit: &CircuitBreaker,
    ) -> Option<(Job<QueuedQuery>, QueueClass)> {
        loop {
            let (mut job, class) = if takes_suspect {
                tokio::select! {
                    biased;
                    job = self.normal.next() => (job?, QueueClass::Normal),
                    job = self.suspect.next() => (job?, QueueClass::Suspect),
                }
            } else {
                (self.normal.next().await?, QueueClass::Normal)
            };
            job.work.waiting_guard = None;
            // The requester, or its network block, may have become suspect while the query waited.
            if class == QueueClass::Suspect || !circuit.is_suspect(&job.work.requester) {
                return Some((job, class));
            }
            self.normal.release(job.requester);
            match self.suspect.submit(job) {
                Ok(evicted) => evicted.notify_dropped(),
                Err(job) => (job.on_complete)(JobResult::Dropped),
            }
        }
    }

    /// Gives back the place of a query that [`RemoteQueues::next`] returned; see [`Queue::release`].
    pub(crate) fn release(&self, requester: &Requester, class: QueueClass) {
        self.queue(class).release(requester.id);
    }

    /// Stops accepting queries; see [`Queue::close`].
    #[cfg(test)]
    pub(crate) fn close(&self) {
        self.normal.close();
        self.suspect.close();
    }

    /// Returns when a call that started now must end for other queries: it is slow, slow calls use more than
    /// [`RemoteQueues::suspect_connections_max`] connections, and queries wait. `typical` is the duration of a typical
    /// successful call. Without this, an attacker with a fresh network block for each call could make every connection
    /// hang.
    pub(crate) async fn wait_until_preempted(&self, typical: Duration) {
        sleep_until(Instant::now() + typical * SLOW_CALL_FACTOR).await;
        let _slow = CountGuard::new(&self.slow_count);
        while self.waiting_count.load(Ordering::Acquire) == 0
            || self.slow_count.load(Ordering::Acquire) <= self.suspect_connections_max()
        {
            sleep(PREEMPT_CHECK_INTERVAL).await;
        }
    }

    /// Returns the next query, if there is one, and gives its place back.
    #[cfg(test)]
    pub(crate) fn try_next(&self) -> Option<Job<QueuedQuery>> {
        self.normal.try_next().inspect(|job| self.normal.release(job.requester))
    }
}
