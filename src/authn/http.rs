//! Any service that speaks HTTP as an authenticator: it is asked about a user name and a password, and
//! its answer is read as the settings say.
//!
//! Each service has a thread, queues, connections and a circuit of its own: a slow one holds up neither
//! the threads that answer requests, nor those that hash, nor another service.

pub mod answer;
pub mod call;
pub mod circuit;
pub mod client;
pub mod fault;
pub mod json;
pub mod lanes;
pub mod request;
pub mod template;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use reqwest::Client;
use tokio::task::JoinSet;

use self::answer::{Reading, Reply};
use self::call::{Bounds, call, later};
use self::circuit::requesters::Requester;
use self::circuit::{Circuit, Figures as CircuitFigures};
use self::client::{ClientFault, Trusted};
use self::fault::Fault;
use self::lanes::{Lane, Lanes, Refused, Waiting};
use self::request::Question;
use super::queue::{Asker, Displaced, End, Figures, Job, Limits};
use super::{Cause, Credentials, Identity, Outcome, Trouble, Trust};
use crate::clock::Clock;
use crate::metrics::{Metrics, AuthenticatorLabel, HttpCallLabel};

/// What is taken off the time that somebody waits, so that he learns what happened before he gives up.
const TO_TELL: Duration = Duration::from_millis(100);

/// How long a question is waited for beyond its call's time-out: what it may take until its turn comes.
/// Behind that the call gets less time than it should.
pub const TURN: Duration = Duration::from_millis(500);

/// What a call takes that ends well, in parts of the timeout, before there was one; and the least that is counted on,
/// in milliseconds: a pause of the service is not to end its calls.
const TYPICAL: u32 = 16;
const TYPICAL_LEAST: u64 = 60;

/// How much of the time that calls took before goes into what they typically take: seven eighths.
const TYPICAL_WEIGHT: u64 = 8;

/// What a service is asked.
pub struct Inquiry {
    /// What was presented.
    pub credentials: Arc<Credentials>,
    /// Whose these credentials were when they were accepted last, if they were.
    pub accepted_as: Option<Arc<Identity>>,
}

/// A service, as the settings describe it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The authenticator's name.
    pub name: Arc<str>,
    /// How it is asked.
    pub question: Question,
    /// What its answers mean.
    pub reading: Reading,
    /// What a call may take.
    pub bounds: Bounds,
    /// Whom to trust, and own secrets.
    pub trusted: Trusted,
    /// Calls at one time.
    pub connections: usize,
    /// What may wait.
    pub limits: Limits,
    /// How long its answers are good for.
    pub trust: Trust,
}

/// See the top of this file. Its tasks are the caller's, see [`Service::run`].
pub struct Service {
    spec: Spec,
    client: Client,
    lanes: Lanes,
    circuit: Circuit,
    /// Tags users, beyond a client's power to have two with one tag.
    hasher: RandomState,
    /// What calls take that end in an acceptance, in milliseconds.
    typical: AtomicU64,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Service {
    /// Reads the files that `spec` names. Nobody is asked yet.
    pub fn build(spec: Spec, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, ClientFault> {
        // Whoever comes second finds that it is there, which is all that is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (connect, https) = (spec.bounds.connect_timeout, spec.question.target.is_https());
        let client = client::build(&spec.trusted, https, connect, spec.connections)?;
        let question = spec.question.resolve(&mut |path| client::secret(path))?;
        let spec = Spec { question, ..spec };
        let figures = Figures { waiting: metrics.http_authenticator_queue_length.clone(), dropped: metrics.http_authenticator_queue_evicted.clone() };
        let up = metrics.http_authenticator_up.get_or_create(&AuthenticatorLabel { authenticator: spec.name.to_string() }).clone();
        for result in ["accepted", "rejected", "unknown", "trouble"] {
            let label = HttpCallLabel { authenticator: spec.name.to_string(), result };
            drop(metrics.http_authenticator_calls.get_or_create(&label));
        }
        let of_circuit = CircuitFigures { up, held_back: metrics.http_authenticator_held_back.clone() };
        Ok(Self {
            circuit: Circuit::new(Arc::clone(&spec.name), clock.clone(), spec.connections, of_circuit),
            lanes: Lanes::new(spec.limits, &figures, spec.connections),
            hasher: RandomState::new(),
            typical: AtomicU64::new(millis(spec.bounds.timeout / TYPICAL)),
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
    pub fn trust(&self) -> Trust {
        self.spec.trust
    }

    /// Who saw that it is down, if it was when it was last asked.
    pub fn outage(&self) -> Option<String> {
        self.circuit.outage()
    }

    /// Whether a question for `asker` would find no place now.
    pub fn is_full_for(&self, asker: Asker) -> bool {
        // Nobody's credentials have been looked at yet.
        self.lanes
            .is_full_for(&Requester { id: asker, user: asker.user, accepted_before: false }, &self.circuit)
    }

    /// Queues a question, or gives back who is told of its end; see [`crate::authn::queue::Queue::submit`].
    pub fn submit(&self, job: Job<Inquiry>) -> Result<Displaced, Refused> {
        let Job { asker, deadline, work, end } = job;
        let accepted = work.accepted_as.as_ref().map(|identity| identity.user.as_bytes());
        let name = accepted.unwrap_or_else(|| work.credentials.user());
        // Many a service does not tell case apart: one account must not be several users.
        let user = self.hasher.hash_one(String::from_utf8_lossy(name).to_lowercase());
        let who = Requester { id: asker, user, accepted_before: accepted.is_some() };
        self.lanes.submit(Job { asker, deadline, work: (work, who), end }, &self.circuit)
    }

    /// Asks until [`Service::close`].
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for number in 0..self.spec.connections {
            let service = Arc::clone(&self);
            let takes_suspect = number < self.lanes.part();
            tasks.spawn(async move {
                while let Some((job, lane)) = service.lanes.next(takes_suspect, &service.circuit).await {
                    service.perform(job, lane).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Takes no more questions; see [`crate::authn::queue::Queue::close`].
    pub fn close(&self) {
        self.lanes.close();
    }

    async fn perform(self: &Arc<Self>, job: Job<Waiting>, lane: Lane) {
        let left = job.due().since(self.clock.now()).saturating_sub(TO_TELL);
        let Job { work, end, .. } = job;
        let who = work.who;
        let ended = if left.is_zero() {
            self.dropped();
            End::Dropped
        } else {
            // A task of its own: were there a panic in it, this one and those who wait would go on.
            let service = Arc::clone(self);
            let asked =
                tokio::spawn(async move { service.ask(&work.inquiry.credentials, who, left).await }).await;
            match asked.unwrap_or(Err((Fault::Internal, Cause::Unclear))) {
                Ok(outcome) => End::Done(Ok(outcome)),
                // It is the crowd before it that took its time, or the one behind it that needs it.
                Err((Fault::Short(_) | Fault::GaveWay(_), _)) => {
                    self.dropped();
                    End::Dropped
                }
                Err((fault, cause)) => End::Done(Err(self.trouble(&fault, cause))),
            }
        };
        self.lanes.settle(&who, lane);
        end(ended);
    }

    fn dropped(&self) {
        self.metrics.http_authenticator_queue_evicted.inc();
    }

    async fn ask(
        &self,
        credentials: &Credentials,
        who: Requester,
        left: Duration,
    ) -> Result<Outcome, (Fault, Cause)> {
        let Ok(request) = self.spec.question.render(credentials) else {
            // Such a user it can't have, as far as it can be told of one.
            self.count("rejected");
            return Ok(Outcome::Rejected);
        };
        let permit = self.circuit.enter(who)?;
        let start = Instant::now();
        let typical = Duration::from_millis(self.typical.load(Ordering::Relaxed));
        let reply = tokio::select! {
            reply = call(&self.client, request, self.spec.bounds, left) => reply,
            () = self.lanes.give_way(typical), if !who.accepted_before && !permit.is_probe() => {
                Err(Fault::GaveWay(start.elapsed()))
            }
        };
        let asked = reply.and_then(|reply| self.read(&reply, credentials));
        let seconds = AuthenticatorLabel { authenticator: self.spec.name.to_string() };
        self.metrics.http_authenticator_call_seconds.get_or_create(&seconds).inc_by(start.elapsed().as_secs_f64());
        match asked {
            Ok(outcome) => {
                let is_accepted = matches!(outcome, Outcome::Accepted(_));
                permit.answered(is_accepted);
                if is_accepted {
                    self.took(start.elapsed());
                }
                self.count(match &outcome {
                    Outcome::Accepted(_) => "accepted",
                    Outcome::Rejected => "rejected",
                    Outcome::Unknown => "unknown",
                });
                Ok(outcome)
            }
            Err(fault) => {
                self.count("trouble");
                // One that had hardly any time says nothing.
                let is_short = matches!(fault, Fault::Short(given) if given < self.spec.bounds.timeout / 2);
                let cause = if is_short { Cause::Unclear } else { permit.failed(&fault) };
                Err((fault, cause))
            }
        }
    }

    /// A call took so long that ended in an acceptance, which nobody can bring about who only guesses.
    fn took(&self, time: Duration) {
        let mean = |before: u64| (before * (TYPICAL_WEIGHT - 1) + millis(time)) / TYPICAL_WEIGHT;
        let update = |before| Some(mean(before).max(TYPICAL_LEAST));
        // It never fails, since `update` always has a value.
        let _ = self.typical.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    fn read(&self, reply: &Reply, credentials: &Credentials) -> Result<Outcome, Fault> {
        match self.spec.reading.outcome(reply, credentials, &self.spec.name) {
            Err(Fault::Status(status)) => {
                Err(later(reply, SystemTime::now()).unwrap_or(Fault::Status(status)))
            }
            read => read,
        }
    }

    fn count(&self, result: &'static str) {
        let label = HttpCallLabel { authenticator: self.spec.name.to_string(), result };
        self.metrics.http_authenticator_calls.get_or_create(&label).inc();
    }

    fn trouble(&self, fault: &Fault, cause: Cause) -> Trouble {
        Trouble::Http { authenticator: Arc::clone(&self.spec.name), what: fault.to_string().into(), cause }
    }

    /// Asks once about `credentials`, which should be nobody's: what it answered, and what that means.
    pub async fn probe(&self, credentials: &Credentials) -> Result<(u16, Outcome), Trouble> {
        let trouble = |fault: Fault| self.trouble(&fault, Cause::Unclear);
        let Ok(request) = self.spec.question.render(credentials) else {
            return Err(trouble(Fault::Content("nobody can be asked about with this URL".into())));
        };
        let reply = call(&self.client, request, self.spec.bounds, self.spec.bounds.timeout).await;
        let reply = reply.map_err(trouble)?;
        let outcome = self.read(&reply, credentials).map_err(trouble)?;
        Ok((reply.status.as_u16(), outcome))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "http_tests.rs"]
pub(super) mod tests;
