//! Any service that speaks HTTP as an authenticator: it is asked about a user name and a password, and
//! its answer is read as the settings say.
//!
//! Each service has a thread, a queue, connections and a circuit of its own: a slow one holds up neither
//! the threads that answer requests, nor those that hash, nor another service.

pub mod answer;
pub mod call;
pub mod circuit;
pub mod client;
pub mod fault;
pub mod json;
pub mod request;
pub mod template;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use reqwest::Client;
use tokio::task::JoinSet;

use self::answer::{Reading, Reply};
use self::call::{Bounds, call, later};
use self::circuit::Circuit;
use self::client::{ClientFault, Trusted};
use self::fault::Fault;
use self::request::Question;
use super::queue::{Asker, Displaced, End, Figures, Job, Limits, Queue};
use super::{Credentials, Outcome, Trouble, Trust};
use crate::clock::Clock;
use crate::metrics::{Metrics, NameLabel, OutcomeLabel};

/// What is taken off the time that somebody waits, so that he learns what happened before he gives up.
const TO_TELL: Duration = Duration::from_millis(100);

/// How long a question is waited for beyond its call's time-out: what it may take until its turn comes.
/// Behind that the call gets less time than it should.
pub const TURN: Duration = Duration::from_millis(500);

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
    queue: Queue<Arc<Credentials>>,
    circuit: Circuit,
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
        let figures = Figures { waiting: metrics.http_queue.clone(), dropped: metrics.http_dropped.clone() };
        let up = metrics.http_up.get_or_create(&NameLabel { authenticator: spec.name.to_string() }).clone();
        for result in ["accepted", "rejected", "unknown", "trouble"] {
            let label = OutcomeLabel { authenticator: spec.name.to_string(), result };
            drop(metrics.http_calls.get_or_create(&label));
        }
        Ok(Self {
            circuit: Circuit::new(Arc::clone(&spec.name), clock.clone(), up),
            queue: Queue::new(spec.limits, figures),
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

    /// Whether it was down when it was last asked.
    pub fn is_down(&self) -> bool {
        self.circuit.is_down()
    }

    /// Whether a question for `asker` would find no place now.
    pub fn is_full_for(&self, asker: Asker) -> bool {
        self.queue.is_full_for(asker)
    }

    /// Queues a question, or gives it back at once; see [`Queue::submit`].
    pub fn submit(&self, job: Job<Arc<Credentials>>) -> Result<Displaced, Job<Arc<Credentials>>> {
        self.queue.submit(job)
    }

    /// Asks until [`Service::close`].
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for _ in 0..self.spec.connections {
            let service = Arc::clone(&self);
            tasks.spawn(async move {
                while let Some(job) = service.queue.next().await {
                    service.perform(job).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Takes no more questions; see [`Queue::close`].
    pub fn close(&self) {
        self.queue.close();
    }

    async fn perform(self: &Arc<Self>, job: Job<Arc<Credentials>>) {
        let left = job.due().since(self.clock.now()).saturating_sub(TO_TELL);
        let Job { asker, work, end, .. } = job;
        let ended = if left.is_zero() {
            self.queue.dropped().inc();
            End::Dropped
        } else {
            // A task of its own: were there a panic in it, this one and those who wait would go on.
            let service = Arc::clone(self);
            let asked = tokio::spawn(async move { service.ask(&work, asker, left).await }).await;
            match asked.unwrap_or(Err(Fault::Ours)) {
                Ok(outcome) => End::Done(Ok(outcome)),
                // It is the crowd before it that took its time.
                Err(Fault::Short(_)) => End::Dropped,
                Err(fault) => End::Done(Err(self.trouble(&fault))),
            }
        };
        self.queue.settle(asker);
        end(ended);
    }

    async fn ask(&self, credentials: &Credentials, asker: Asker, left: Duration) -> Result<Outcome, Fault> {
        let Ok(request) = self.spec.question.render(credentials) else {
            // Such a user it can't have, as far as it can be told of one.
            self.count("rejected");
            return Ok(Outcome::Rejected);
        };
        let pass = self.circuit.enter(asker.user)?;
        let start = Instant::now();
        let reply = call(&self.client, request, self.spec.bounds, left).await;
        let asked = reply.and_then(|reply| self.read(&reply, credentials));
        let seconds = NameLabel { authenticator: self.spec.name.to_string() };
        self.metrics.http_seconds.get_or_create(&seconds).inc_by(start.elapsed().as_secs_f64());
        match asked {
            Ok(outcome) => {
                pass.well();
                self.count(match &outcome {
                    Outcome::Accepted(_) => "accepted",
                    Outcome::Rejected => "rejected",
                    Outcome::Unknown => "unknown",
                });
                Ok(outcome)
            }
            Err(fault) => {
                pass.fault(&fault, asker.user);
                self.count("trouble");
                Err(fault)
            }
        }
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
        let label = OutcomeLabel { authenticator: self.spec.name.to_string(), result };
        self.metrics.http_calls.get_or_create(&label).inc();
    }

    fn trouble(&self, fault: &Fault) -> Trouble {
        Trouble::Http {
            authenticator: Arc::clone(&self.spec.name),
            what: fault.to_string().into(),
            unavailable: fault.is_unavailable(),
        }
    }

    /// Asks once about `credentials`, which should be nobody's: what it answered, and what that means.
    pub async fn probe(&self, credentials: &Credentials) -> Result<(u16, Outcome), Trouble> {
        let Ok(request) = self.spec.question.render(credentials) else {
            return Err(self.trouble(&Fault::Content("nobody can be asked about with this URL".into())));
        };
        let reply = call(&self.client, request, self.spec.bounds, self.spec.bounds.timeout).await;
        let reply = reply.map_err(|fault| self.trouble(&fault))?;
        let outcome = self.read(&reply, credentials).map_err(|fault| self.trouble(&fault))?;
        Ok((reply.status.as_u16(), outcome))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
pub(super) mod tests;
