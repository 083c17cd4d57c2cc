//! Any service that speaks HTTP as an authenticator: it is asked about a user name and a password, and
//! its answer is read as the settings say.
//!
//! Each service has a thread, queues, connections and a circuit of its own: a slow one holds up neither
//! the threads that answer requests, nor those that hash, nor another service.

pub mod call;
pub mod circuit_breaker;
pub mod client;
pub mod error;
pub mod json_template;
pub mod queues;
pub mod request_template;
pub mod response;
pub mod template;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use reqwest::Client;
use tokio::task::JoinSet;

use self::call::{CallLimits, call, retry_later_error};
use self::circuit_breaker::backoff::Requester;
use self::circuit_breaker::{CircuitBreaker, CircuitMetrics as CircuitFigures};
use self::client::{ClientBuildError, TlsFiles};
use self::error::CallError;
use self::queues::{BackendQueues, QueueClass, QueuedQuery};
use self::request_template::RequestTemplate;
use self::response::{BackendResponse, ResponseRules};
use super::queue::job::{EvictedJob, Job, JobCallback, JobResult, QueueLimits, QueueMetrics, RequesterId};
use super::{AnswerLifetime, AuthnError, Credentials, FailureCause, Identity, Outcome};
use crate::clock::Clock;
use crate::metrics::{AuthenticatorLabel, HttpCallLabel, Metrics};

/// What is taken off the time that somebody waits, so that he learns what happened before he gives up.
const REPLY_MARGIN: Duration = Duration::from_millis(100);

/// How long a question is waited for beyond its call's time-out: what it may take until its turn comes.
/// Behind that the call gets less time than it should.
pub const QUEUE_WAIT_ALLOWANCE: Duration = Duration::from_millis(500);

/// What a call takes that ends well, in parts of the timeout, before there was one; and the least that is counted on,
/// in milliseconds: a pause of the service is not to end its calls.
const TYPICAL_CALL_DIVISOR: u32 = 16;
const TYPICAL_CALL_MILLIS_MIN: u64 = 60;

/// How much of the time that calls took before goes into what they typically take: seven eighths.
const TYPICAL_CALL_WEIGHT: u64 = 8;

/// What a service is asked.
pub struct BackendQuery {
    /// What was presented.
    pub credentials: Arc<Credentials>,
    /// Whose these credentials were when they were accepted last, if they were.
    pub previous_identity: Option<Arc<Identity>>,
}

/// A service, as the settings describe it.
#[derive(Clone, Debug)]
pub struct AuthBackendSpec {
    /// The authenticator's name.
    pub name: Arc<str>,
    /// How it is asked.
    pub request: RequestTemplate,
    /// What its answers mean.
    pub response_rules: ResponseRules,
    /// What a call may take.
    pub call_limits: CallLimits,
    /// Whom to trust, and own secrets.
    pub tls: TlsFiles,
    /// Calls at one time.
    pub connections_max: usize,
    /// What may wait.
    pub queue_limits: QueueLimits,
    /// How long its answers are good for.
    pub lifetime: AnswerLifetime,
}

/// See the top of this file. Its tasks are the caller's, see [`Service::run`].
pub struct AuthBackend {
    spec: AuthBackendSpec,
    client: Client,
    queues: BackendQueues,
    circuit_breaker: CircuitBreaker,
    /// Tags users, beyond a client's power to have two with one tag.
    user_hasher: RandomState,
    /// What calls take that end in an acceptance, in milliseconds.
    typical_call_millis: AtomicU64,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl AuthBackend {
    /// Reads the files that `spec` names. Nobody is asked yet.
    pub fn build(
        spec: AuthBackendSpec,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ClientBuildError> {
        // Whoever comes second finds that it is there, which is all that is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (connect, https) = (spec.call_limits.connect_timeout, spec.request.url.is_https());
        let client = client::build_client(&spec.tls, https, connect, spec.connections_max)?;
        let question = spec.request.resolve_secrets(&mut |path| client::read_secret(path))?;
        let spec = AuthBackendSpec { request: question, ..spec };
        let figures = QueueMetrics {
            waiting: metrics.http_authenticator_queue_length.clone(),
            dropped: metrics.http_authenticator_queue_evicted.clone(),
        };
        let up = metrics
            .http_authenticator_up
            .get_or_create(&AuthenticatorLabel { authenticator: spec.name.to_string() })
            .clone();
        for result in ["accepted", "rejected", "unknown_user", "error"] {
            let label = HttpCallLabel { authenticator: spec.name.to_string(), result };
            drop(metrics.http_authenticator_calls.get_or_create(&label));
        }
        let of_circuit = CircuitFigures { up, held_back: metrics.http_authenticator_held_back.clone() };
        Ok(Self {
            circuit_breaker: CircuitBreaker::new(
                Arc::clone(&spec.name),
                clock.clone(),
                spec.connections_max,
                of_circuit,
            ),
            queues: BackendQueues::new(spec.queue_limits, &figures, spec.connections_max),
            user_hasher: RandomState::new(),
            typical_call_millis: AtomicU64::new(as_millis(spec.call_limits.timeout / TYPICAL_CALL_DIVISOR)),
            client,
            clock,
            metrics,
            spec,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// How long its answers are good for.
    pub fn answer_lifetime(&self) -> AnswerLifetime {
        self.spec.lifetime
    }

    /// Who saw that it is down, if it was when it was last asked.
    pub fn outage_evidence(&self) -> Option<String> {
        self.circuit_breaker.outage_evidence()
    }

    /// Whether a question for `asker` would find no place now.
    pub fn is_full_for(&self, asker: RequesterId) -> bool {
        // Nobody's credentials have been looked at yet.
        self.queues.is_full_for(
            &Requester { id: asker, user_tag: asker.network_user_tag, has_been_accepted: false },
            &self.circuit_breaker,
        )
    }

    /// Queues a question, or gives back who is told of its end; see [`crate::authn::queue::Queue::submit`].
    pub fn submit(&self, job: Job<BackendQuery>) -> Result<EvictedJob, JobCallback> {
        let Job { requester: asker, deadline_millis: deadline, work, on_complete: end } = job;
        let accepted = work.previous_identity.as_ref().map(|identity| identity.user.as_bytes());
        let name = accepted.unwrap_or_else(|| work.credentials.user());
        // Many a service does not tell case apart: one account must not be several users.
        let user = self.user_hasher.hash_one(String::from_utf8_lossy(name).to_lowercase());
        let who = Requester { id: asker, user_tag: user, has_been_accepted: accepted.is_some() };
        self.queues.submit(
            Job { requester: asker, deadline_millis: deadline, work: (work, who), on_complete: end },
            &self.circuit_breaker,
        )
    }

    /// Asks until [`Service::close`].
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for number in 0..self.spec.connections_max {
            let service = Arc::clone(&self);
            let takes_suspect = number < self.queues.suspect_connections_max();
            tasks.spawn(async move {
                while let Some((job, lane)) =
                    service.queues.next(takes_suspect, &service.circuit_breaker).await
                {
                    service.run_job(job, lane).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Takes no more questions; see [`crate::authn::queue::Queue::close`].
    pub fn close(&self) {
        self.queues.close();
    }

    async fn run_job(self: &Arc<Self>, job: Job<QueuedQuery>, lane: QueueClass) {
        let left = job.expires_at().since(self.clock.now()).saturating_sub(REPLY_MARGIN);
        let Job { work, on_complete: end, .. } = job;
        let who = work.requester;
        let ended = if left.is_zero() {
            self.count_dropped();
            JobResult::Dropped
        } else {
            // A task of its own: were there a panic in it, this one and those who wait would go on.
            let service = Arc::clone(self);
            let asked =
                tokio::spawn(async move { service.authenticate(&work.query.credentials, who, left).await })
                    .await;
            match asked.unwrap_or(Err((CallError::Internal, FailureCause::Undetermined))) {
                Ok(outcome) => JobResult::Completed(Ok(outcome)),
                // It is the crowd before it that took its time, or the one behind it that needs it.
                Err((CallError::ShortenedTimeout(_) | CallError::Preempted(_), _)) => {
                    self.count_dropped();
                    JobResult::Dropped
                }
                Err((fault, cause)) => JobResult::Completed(Err(self.authn_error(&fault, cause))),
            }
        };
        self.queues.release(&who, lane);
        end(ended);
    }

    fn count_dropped(&self) {
        self.metrics.http_authenticator_queue_evicted.inc();
    }

    async fn authenticate(
        &self,
        credentials: &Credentials,
        who: Requester,
        left: Duration,
    ) -> Result<Outcome, (CallError, FailureCause)> {
        let Ok(request) = self.spec.request.render(credentials) else {
            // Such a user it can't have, as far as it can be told of one.
            self.count_call("rejected");
            return Ok(Outcome::Rejected);
        };
        let permit = self.circuit_breaker.acquire_permit(who)?;
        let start = Instant::now();
        let typical = Duration::from_millis(self.typical_call_millis.load(Ordering::Relaxed));
        let reply = tokio::select! {
            reply = call(&self.client, request, self.spec.call_limits, left) => reply,
            () = self.queues.wait_until_preempted(typical), if !who.has_been_accepted && !permit.is_probe() => {
                Err(CallError::Preempted(start.elapsed()))
            }
        };
        let asked = reply.and_then(|reply| self.interpret_response(&reply, credentials));
        let seconds = AuthenticatorLabel { authenticator: self.spec.name.to_string() };
        self.metrics
            .http_authenticator_call_seconds
            .get_or_create(&seconds)
            .inc_by(start.elapsed().as_secs_f64());
        match asked {
            Ok(outcome) => {
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
            Err(fault) => {
                self.count_call("error");
                // One that had hardly any time says nothing.
                let is_short = matches!(fault, CallError::ShortenedTimeout(given) if given < self.spec.call_limits.timeout / 2);
                let cause = if is_short { FailureCause::Undetermined } else { permit.record_failure(&fault) };
                Err((fault, cause))
            }
        }
    }

    /// A call took so long that ended in an acceptance, which nobody can bring about who only guesses.
    fn record_call_time(&self, time: Duration) {
        let mean = |before: u64| (before * (TYPICAL_CALL_WEIGHT - 1) + as_millis(time)) / TYPICAL_CALL_WEIGHT;
        let update = |before| Some(mean(before).max(TYPICAL_CALL_MILLIS_MIN));
        // It never fails, since `update` always has a value.
        let _ = self.typical_call_millis.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    fn interpret_response(
        &self,
        reply: &BackendResponse,
        credentials: &Credentials,
    ) -> Result<Outcome, CallError> {
        match self.spec.response_rules.evaluate(reply, credentials, &self.spec.name) {
            Err(CallError::UnexpectedStatus(status)) => {
                Err(retry_later_error(reply, SystemTime::now())
                    .unwrap_or(CallError::UnexpectedStatus(status)))
            }
            read => read,
        }
    }

    fn count_call(&self, result: &'static str) {
        let label = HttpCallLabel { authenticator: self.spec.name.to_string(), result };
        self.metrics.http_authenticator_calls.get_or_create(&label).inc();
    }

    fn authn_error(&self, fault: &CallError, cause: FailureCause) -> AuthnError {
        AuthnError::BackendFailed {
            authenticator: Arc::clone(&self.spec.name),
            message: fault.to_string().into(),
            cause,
        }
    }

    /// Asks once about `credentials`, which should be nobody's: what it answered, and what that means.
    pub async fn test_call(&self, credentials: &Credentials) -> Result<(u16, Outcome), AuthnError> {
        let trouble = |fault: CallError| self.authn_error(&fault, FailureCause::Undetermined);
        let Ok(request) = self.spec.request.render(credentials) else {
            return Err(trouble(CallError::UnexpectedContent(
                "nobody can be asked about with this URL".into(),
            )));
        };
        let reply = call(&self.client, request, self.spec.call_limits, self.spec.call_limits.timeout).await;
        let reply = reply.map_err(trouble)?;
        let outcome = self.interpret_response(&reply, credentials).map_err(trouble)?;
        Ok((reply.status.as_u16(), outcome))
    }
}

fn as_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "http_tests.rs"]
pub(super) mod tests;
