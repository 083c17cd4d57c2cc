//! A job of a queue: its work, its requester, and the callback that receives its result.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::authn::AuthnResult;
use crate::clock::Moment;

/// The fixed limits of a queue. An outstanding job is waiting or running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLimits {
    /// The maximum number of waiting jobs.
    pub total: usize,
    /// The maximum number of outstanding jobs of one client network.
    pub network_share: usize,
    /// The maximum number of outstanding jobs of one user from one client network.
    pub user_share: usize,
}

/// The requester of a job: tags computed by the throttle, which are equal for equal networks and users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequesterId {
    /// The tag of the block that contains the client network. Blocks take turns, so a client that owns a whole block
    /// does not get one turn for each network in it.
    pub block_tag: u64,
    /// The tag of the client network.
    pub network_tag: u64,
    /// The tag of the user within the network.
    pub network_user_tag: u64,
}

/// The error of a job that finds no place: the queue is full, or the share of its requester is exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// The job was answered, with an outcome or an error.
    Completed(AuthnResult),
    /// The job was dropped before it ran: its deadline passed, it was evicted, or the queue was closed.
    Dropped,
}

/// A callback that receives the result of a job, exactly once.
pub type JobCallback = Box<dyn FnOnce(JobResult) + Send>;

/// A job, and what is needed to run it.
pub struct Job<W> {
    /// The requester, whose share the job uses.
    pub requester: RequesterId,
    /// The time in milliseconds of the pipeline clock after which no request waits for the job. A request that joins
    /// the job later extends it.
    pub deadline_millis: Arc<AtomicU64>,
    /// The work to do.
    pub work: W,
    /// The callback for the result.
    pub on_complete: JobCallback,
}

impl<W> Job<W> {
    /// Returns the time after which no request waits for the job.
    pub fn expires_at(&self) -> Moment {
        Moment::from_millis(self.deadline_millis.load(Ordering::Acquire))
    }
}

/// The callback of a job that was evicted by a submitted job, if one was.
#[must_use = "the requests that wait for the evicted job must be notified"]
pub struct EvictedJob(Option<JobCallback>);

impl EvictedJob {
    pub(super) fn new(on_complete: Option<JobCallback>) -> Self {
        Self(on_complete)
    }

    /// Calls the callback of the evicted job with [`JobResult::Dropped`].
    pub fn notify_dropped(self) {
        if let Some(on_complete) = self.0 {
            on_complete(JobResult::Dropped);
        }
    }
}

/// The metrics of a queue.
#[derive(Clone, Debug, Default)]
pub struct QueueMetrics {
    /// The number of waiting jobs.
    pub waiting: Gauge,
    /// The number of jobs that were dropped before they ran.
    pub dropped: Counter,
}
