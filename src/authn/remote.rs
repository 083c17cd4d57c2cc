//! The part that all remote sources of users share, independent of the protocol: queues and their limits, circuit breaker
//! and backoff, timeouts, answer lifetimes, metrics, and the probe of `check`.
//!
//! A kind of source adds a [`client`] that makes one call, and a variant of [`kind::RemoteKind`]. Each source has its
//! own thread, queues, connections and circuit breaker. If its service is slow or down, no other source and no other
//! request is delayed.

pub(crate) mod circuit_breaker;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod identity_builder;
pub(crate) mod kind;
pub(crate) mod queues;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::circuit_breaker::backoff::Requester;
use self::circuit_breaker::{CircuitBreaker, CircuitMetrics};
use self::client::{ClientBuildError, PendingCall, RemoteClient, RemoteResponse};
use self::error::CallError;
use self::kind::RemoteKind;
use self::queues::{QueueClass, QueuedQuery, RemoteQueues};
use super::queue::job::{EvictedJob, Job, JobCallback, JobResult, QueueLimits, QueueMetrics, RequesterId};
use super::{AnswerLifetime, AuthnError, Credentials, FailureCause, Identity, Outcome};
use crate::clock::Clock;
use crate::metrics::{AuthenticatorCallLabel, AuthenticatorLabel, Metrics};

/// The part of a request's waiting time that a call leaves unused, so that the requester gets the error before it gives
/// up.
const REPLY_MARGIN: Duration = Duration::from_millis(100);

/// The time that a request waits beyond the timeout of its call, for its turn in the queue. After a longer wait the
/// timeout of the call is shortened.
pub(crate) const QUEUE_WAIT_ALLOWANCE: Duration = Duration::from_millis(500);

/// The retry time for a client that finds the queue full: about what a full share of the queue takes.
pub(crate) const QUEUE_FULL_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The expected duration of a successful call before there was one, as a fraction of the timeout.
const TYPICAL_CALL_DIVISOR: u32 = 16;

/// The shortest expected duration of a successful call, in milliseconds, so that a short pause of the service does not
/// end its calls.
const TYPICAL_CALL_MILLIS_MIN: u64 = 60;

/// The weight of earlier calls in the moving average of call durations: seven eighths.
const TYPICAL_CALL_WEIGHT: u64 = 8;

/// A query to a remote source.
pub(crate) struct RemoteQuery {
    /// The credentials that the client sent.
    pub(crate) credentials: Arc<Credentials>,
    /// The identity of these credentials when they were accepted last, if they were.
    pub(crate) previous_identity: Option<Arc<Identity>>,
}

/// The settings of a remote source.
#[derive(Clone, Debug)]
pub(crate) struct RemoteSourceSpec {
    /// The name of the authenticator.
    pub(crate) name: Arc<str>,
    /// The time limit of a call, including connection and retry.
    pub(crate) timeout: Duration,
    /// The largest number of concurrent calls.
    pub(crate) connections_max: usize,
    /// The limits of the queue.
    pub(crate) queue_limits: QueueLimits,
    /// The lifetime of an answer.
    pub(crate) lifetime: AnswerLifetime,
    /// The kind of the source, with the settings that only this kind has.
    pub(crate) kind: RemoteKind,
}

/// A remote source of users. The caller must run its tasks, see [`RemoteSource::run`].
pub(crate) struct RemoteSource {
    spec: RemoteSourceSpec,
    client: Box<dyn RemoteClient>,
    queues: RemoteQueues,
    circuit_breaker: CircuitBreaker,
    /// Hashes user names to tags. The key is random, so that no client can find two names with one tag.
    user_hasher: RandomState,
    /// The moving average of the duration of accepted calls, in milliseconds.
    typical_call_millis: AtomicU64,
    clock: Clock,
    label: AuthenticatorLabel,
    evicted_counter: Counter,
    metrics: Arc<Metrics>,
}

impl RemoteSource {
    /// Builds the source and reads the files that its settings name. No call is made.
    ///
    /// # Errors
    /// If the client cannot be built.
    pub(crate) fn build(
        spec: RemoteSourceSpec,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ClientBuildError> {
        let client = spec.kind.spec().build(&spec.name, spec.connections_max)?;
        let label = AuthenticatorLabel { authenticator: spec.name.to_string() };
        let evicted_counter = metrics.authenticator_queue_evicted.get_or_create(&label).clone();
        let queue_metrics = QueueMetrics {
            waiting: metrics.authenticator_queue_length.get_or_create(&label).clone(),
            dropped: evicted_counter.clone(),
        };
        let circuit_metrics = CircuitMetrics {
            up: metrics.authenticator_up.get_or_create(&label).clone(),
            held_back: metrics.authenticator_held_back.get_or_create(&label).clone(),
        };
        drop(metrics.authenticator_queue_full.get_or_create(&label));
        for result in ["accepted", "rejected", "unknown_user", "error"] {
            let label = AuthenticatorCallLabel { authenticator: spec.name.to_string(), result };
            drop(metrics.authenticator_calls.get_or_create(&label));
        }
        let name = Arc::clone(&spec.name);
        Ok(Self {
            circuit_breaker: CircuitBreaker::new(name, clock.clone(), spec.connections_max, circuit_metrics),
            queues: RemoteQueues::new(spec.queue_limits, &queue_metrics, spec.connections_max),
            user_hasher: RandomState::new(),
            typical_call_millis: AtomicU64::new(as_millis(spec.timeout / TYPICAL_CALL_DIVISOR)),
            client,
            clock,
            label,
            evicted_counter,
            metrics,
            spec,
        })
    }

    /// Returns the name of the authenticator.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// Returns how long an answer is valid.
    pub(crate) fn answer_lifetime(&self) -> AnswerLifetime {
        self.spec.lifetime
    }

    /// Returns the evidence of the current outage, if there is one.
    pub(crate) fn outage_evidence(&self) -> Option<String> {
        self.circuit_breaker.outage_evidence()
    }

    /// Returns whether the queue is full for this requester.
    pub(crate) fn is_full_for(&self, requester: RequesterId) -> bool {
        // The credentials have not been compared with earlier ones yet.
        self.queues.is_full_for(
            &Requester { id: requester, user_tag: requester.network_user_tag, has_been_accepted: false },
            &self.circuit_breaker,
        )
    }

    /// Counts a query that was refused because the queue was full.
    pub(crate) fn count_queue_full(&self) {
        self.metrics.authenticator_queue_full.get_or_create(&self.label).inc();
    }

    /// Queues a query, or returns its callback if the queue is full; see [`crate::authn::queue::Queue::submit`].
    pub(crate) fn submit(&self, job: Job<RemoteQuery>) -> Result<EvictedJob, JobCallback> {
        let Job { requester: id, deadline_millis, work, on_complete } = job;
        let accepted = work.previous_identity.as_ref().map(|identity| identity.user.as_bytes());
        let name = accepted.unwrap_or_else(|| work.credentials.user());
        // Many services ignore case, and one account must not count as several users.
        let user_tag = self.user_hasher.hash_one(String::from_utf8_lossy(name).to_lowercase());
        let requester = Requester { id, user_tag, has_been_accepted: accepted.is_some() };
        self.queues.submit(
            Job { requester: id, deadline_millis, work: (work, requester), on_complete },
            &self.circuit_breaker,
        )
    }

    /// Makes calls until the future is dropped. In tests, `close` ends it too.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for number in 0..self.spec.connections_max {
            let source = Arc::clone(&self);
            let takes_suspect = number < self.queues.suspect_connections_max();
            tasks.spawn(async move {
                while let Some((job, class)) =
                    source.queues.next(takes_suspect, &source.circuit_breaker).await
                {
                    source.run_job(job, class).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Stops accepting queries; see [`crate::authn::queue::Queue::close`].
    #[cfg(test)]
    pub(crate) fn close(&self) {
        self.queues.close();
    }

    async fn run_job(self: &Arc<Self>, job: Job<QueuedQuery>, class: QueueClass) {
        let left = job.expires_at().since(self.clock.now()).saturating_sub(REPLY_MARGIN);
        let Job { work, on_complete, .. } = job;
        let requester = work.requester;
        let result = if left.is_zero() {
            self.evicted_counter.inc();
            JobResult::Dropped
        } else {
            // A separate task: a panic in it ends neither this task nor the requests that wait.
            let source = Arc::clone(self);
            let call = async move { source.authenticate(&work.query.credentials, requester, left).await };
            match tokio::spawn(call).await.unwrap_or(Err((CallError::Internal, FailureCause::Undetermined))) {
                Ok(outcome) => JobResult::Completed(Ok(outcome)),
                // The queries before it took its time, or the ones after it need the connection.
                Err((CallError::ShortenedTimeout(_) | CallError::Preempted(_), _)) => {
                    self.evicted_counter.inc();
                    JobResult::Dropped
                }
                Err((error, cause)) => JobResult::Completed(Err(self.authn_error(&error, cause))),
            }
        };
        self.queues.release(&requester, class);
        on_complete(result);
    }

    async fn authenticate(
        &self,
        credentials: &Credentials,
        requester: Requester,
        left: Duration,
    ) -> Result<Outcome, (CallError, FailureCause)> {
        let time_limit = self.spec.timeout.min(left);
        let Ok(call) = self.client.prepare(credentials, time_limit) else {
            // The service cannot have such a user.
            self.count_call("rejected");
            return Ok(Outcome::Rejected);
        };
        let permit = self.circuit_breaker.acquire_permit(requester)?;
        let start = Instant::now();
        let typical = Duration::from_millis(self.typical_call_millis.load(Ordering::Relaxed));
        let is_preemptible = !requester.has_been_accepted && !permit.is_probe();
        let result = tokio::select! {
            result = self.call_within(call, time_limit) => result,
            () = self.queues.wait_until_preempted(typical), if is_preemptible => {
                Err(CallError::Preempted(start.elapsed()))
            }
        };
        self.metrics
            .authenticator_call_seconds
            .get_or_create(&self.label)
            .inc_by(start.elapsed().as_secs_f64());
        match result {
            Ok(RemoteResponse { outcome, .. }) => {
                let is_accepted = matches!(outcome, Outcome::Accepted(_));
                permit.record_answer(is_accepted);
                if is_accepted {
                    self.record_call_time(start.elapsed());
                }
                self.count_call(match &outcome {
                    Outcome::Accepted(_) => "accepted",
                    Outcome::Rejected => "rejected",
                    Outcome::UnknownUser => "unknown_user",
                });
                Ok(outcome)
            }
            Err(error) => {
                self.count_call("error");
                // A call with less than half of its timeout proves nothing.
                let is_short =
                    matches!(error, CallError::ShortenedTimeout(limit) if limit < self.spec.timeout / 2);
                let cause = if is_short { FailureCause::Undetermined } else { permit.record_failure(&error) };
                Err((error, cause))
            }
        }
    }

    /// Makes the call and ends it after `time_limit`.
    async fn call_within(
        &self,
        call: PendingCall<'_>,
        time_limit: Duration,
    ) -> Result<RemoteResponse, CallError> {
        match timeout(time_limit, call).await {
            Ok(result) => result,
            Err(_) if time_limit < self.spec.timeout => Err(CallError::ShortenedTimeout(time_limit)),
            Err(_) => Err(CallError::Timeout(time_limit)),
        }
    }

    /// Adds the duration of a call that ended in an acceptance. A client that guesses passwords has no influence on it.
    fn record_call_time(&self, duration: Duration) {
        let mean =
            |before: u64| (before * (TYPICAL_CALL_WEIGHT - 1) + as_millis(duration)) / TYPICAL_CALL_WEIGHT;
        let update = |before| Some(mean(before).max(TYPICAL_CALL_MILLIS_MIN));
        // It never fails, because `update` always returns a value.
        let _ = self.typical_call_millis.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    fn count_call(&self, result: &'static str) {
        let label = AuthenticatorCallLabel { authenticator: self.spec.name.to_string(), result };
        self.metrics.authenticator_calls.get_or_create(&label).inc();
    }

    fn authn_error(&self, error: &CallError, cause: FailureCause) -> AuthnError {
        AuthnError::BackendFailed {
            authenticator: Arc::clone(&self.spec.name),
            message: error.to_string().into(),
            cause,
        }
    }

    /// Makes one call for `credentials`, which should belong to no user. The circuit breaker is not consulted.
    ///
    /// # Errors
    /// If the call gave no outcome.
    pub(crate) async fn probe(&self, credentials: &Credentials) -> Result<RemoteResponse, AuthnError> {
        let authn_error = |error: CallError| self.authn_error(&error, FailureCause::Undetermined);
        let Ok(call) = self.client.prepare(credentials, self.spec.timeout) else {
            return Err(authn_error(CallError::UnexpectedContent(
                "no user name can be encoded with these settings; correct the URL".into(),
            )));
        };
        self.call_within(call, self.spec.timeout).await.map_err(authn_error)
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "remote_tests.rs"]
pub(super) mod tests;
