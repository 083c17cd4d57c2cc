//! What stands in a queue: a question, whose it is, and who is told of its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::authn::AuthnResult;
use crate::clock::Moment;

/// How many questions may be outstanding, queued or at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLimits {
    /// In all.
    pub total: usize,
    /// For one client network.
    pub network_share: usize,
    /// For one user from one client network.
    pub user_share: usize,
}

/// Who a question is asked for: tags that the throttle makes, equal for equal networks and users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequesterId {
    /// The tag of the wider block that the client network is in, by which networks take turns: one
    /// who owns a block must not have a turn for each network in it.
    pub block_tag: u64,
    /// The client network's tag.
    pub network_tag: u64,
    /// The tag of the user within the network.
    pub network_user_tag: u64,
}

/// There is no place for the question: a share of the queue, or all of it, is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// It was answered, or found to be beyond an answer.
    Completed(AuthnResult),
    /// It was dropped unasked: its askers' time was up, or another network needed the place.
    Dropped,
}

/// One question, and what it takes to answer it.
pub struct Job<W> {
    /// Whose share it takes.
    pub requester: RequesterId,
    /// In milliseconds of the gate's clock: when the last one who waits for it gives up. Those who
    /// join later move it.
    pub deadline_millis: Arc<AtomicU64>,
    /// What has to be done.
    pub work: W,
    /// Told once what became of it.
    pub on_complete: Box<dyn FnOnce(JobResult) + Send>,
}

impl<W> Job<W> {
    /// When nobody waits for it any more.
    pub fn expires_at(&self) -> Moment {
        Moment::from_millis(self.deadline_millis.load(Ordering::Acquire))
    }
}

/// The question that gave up its place, if one did.
#[must_use = "those who wait for it have to be told"]
pub struct EvictedJob(Option<Box<dyn FnOnce(JobResult) + Send>>);

impl EvictedJob {
    pub(super) fn new(end: Option<Box<dyn FnOnce(JobResult) + Send>>) -> Self {
        Self(end)
    }

    /// Tells those who wait for it that it was dropped.
    pub fn notify_dropped(self) {
        if let Some(end) = self.0 {
            end(JobResult::Dropped);
        }
    }
}

/// What the queue shows of itself.
#[derive(Clone, Debug, Default)]
pub struct QueueMetrics {
    /// Questions waiting.
    pub waiting: Gauge,
    /// Questions that were dropped unasked.
    pub dropped: Counter,
}
