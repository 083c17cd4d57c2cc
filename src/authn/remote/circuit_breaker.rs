//! Whether a service is asked at all: not for requesters whose calls got no answer a moment ago, and while the
//! service is down only for a few requesters, whose calls find out whether it is back. So an outage costs nobody a
//! timeout, and the service is not met by a crowd when it comes back.
//!
//! The rules, and who is held back for how long, are a table in ARCHITECTURE.md. No requester can bring about that
//! others are held back: what a requester may have brought about counts for all only if several saw it, and
//! whoever comes then from elsewhere is asked about at once.

pub mod backoff;
pub mod failed_calls;
pub mod recovery_probes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use self::backoff::{Requester, RequesterBackoff, UnansweredCall};
use self::failed_calls::FailedCalls;
use self::recovery_probes::{ProbeClass, RecoveryProbes};
use super::error::{CallError, FailureEvidence};
use crate::authn::FailureCause;
use crate::clock::{Clock, Moment};

/// So many calls in a row without a connection are a service that is down; a single one may be a restart.
const CONNECT_FAILURES_MAX: u32 = 3;

/// How long that is believed for requesters that are not asked about: while anyone asks, one a second is.
const CONNECT_FAILURE_WINDOW: Duration = Duration::from_secs(10);

/// How long an outage keeps requesters from being asked about without another call that proves it.
const OUTAGE_PROOF_WINDOW: Duration = Duration::from_secs(30);

/// How long after a connection a timeout of the next one may be due to a service that is full of calls.
const OVERLOAD_WINDOW: Duration = Duration::from_secs(10);

/// The least time between two outages of one service that are logged: requesters on several networks can make a
/// service seem down that nobody else uses, as often as they like.
const OUTAGE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// See the top of this file.
#[derive(Debug)]
pub struct CircuitBreaker {
    name: Arc<str>,
    state: Mutex<CircuitState>,
    clock: Clock,
    /// Calls at one time.
    connections_max: usize,
    metrics: CircuitMetrics,
}

/// What the circuit shows of itself.
#[derive(Clone, Debug, Default)]
pub struct CircuitMetrics {
    /// 1 while the service is asked.
    pub up: Gauge,
    /// Questions that were not asked for requesters that were held back.
    pub held_back: Counter,
}

#[derive(Debug, Default)]
struct CircuitState {
    backoff: RequesterBackoff,
    failed_calls: FailedCalls,
    /// When the service last gave anybody an answer, and when it last accepted a connection.
    answered_at: Option<Moment>,
    connected_at: Option<Moment>,
    /// Calls in a row without a connection, and when the last one was.
    connect_failures: u32,
    connect_failed_at: Moment,
    outage: Option<Outage>,
    /// When the last outage ended.
    recovered_at: Option<Moment>,
    outage_logged_at: Option<Moment>,
}

#[derive(Debug)]
struct Outage {
    began_at: Moment,
    /// Who saw it.
    evidence: String,
    /// When a call last proved it that no attacker can have fail: without a connection, or of users that had been
    /// accepted. What other requesters saw is only told, since an attacker can have a fresh network block for each
    /// call, and take every probe.
    proved_at: Option<Moment>,
    probes: RecoveryProbes,
    is_logged: bool,
}

impl Outage {
    /// Whether only probes are made.
    fn is_probe_only(&self, now: Moment) -> bool {
        self.proved_at.is_some_and(|proved| now.since(proved) < OUTAGE_PROOF_WINDOW)
    }
}

/// The permission to ask once. Dropping it without a word leaves things as they are.
#[must_use = "what came of the call has to be told"]
pub struct CallPermit<'c> {
    breaker: &'c CircuitBreaker,
    requester: Requester,
    began_at: Moment,
    probe_class: Option<ProbeClass>,
}

impl CircuitBreaker {
    /// Of a service that is up, as far as is known.
    pub fn new(name: Arc<str>, clock: Clock, connections: usize, figures: CircuitMetrics) -> Self {
        figures.up.set(1);
        Self { name, state: Mutex::default(), clock, connections_max: connections, metrics: figures }
    }

    fn lock(&self) -> MutexGuard<'_, CircuitState> {
        // No code panics while it holds the lock; were it so, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who saw that the service is down, if it was when it was last asked.
    pub fn outage_evidence(&self) -> Option<String> {
        self.lock().outage.as_ref().map(|down| down.evidence.clone())
    }

    /// Whether calls of `who`, or of its network block, got no answer lately, so that others come first.
    pub fn is_suspect(&self, who: &Requester) -> bool {
        self.lock().backoff.is_suspect(who, self.clock.now())
    }

    /// Lets a call pass.
    ///
    /// # Errors
    /// [`Fault::Down`] or [`Fault::HeldBack`], and what that is put down to.
    pub fn acquire_permit(&self, who: Requester) -> Result<CallPermit<'_>, (CallError, FailureCause)> {
        let now = self.clock.now();
        let mut state = self.lock();
        let permit = |probe| CallPermit { breaker: self, requester: who, began_at: now, probe_class: probe };
        if let Some(wait) = state.backoff.remaining_wait(&who, state.answered_at, now) {
            self.metrics.held_back.inc();
            return Err((CallError::RequesterHeldBack(wait), state.failure_cause(&who, now)));
        }
        let class = ProbeClass::for_requester(&who, state.backoff.is_suspect(&who, now));
        let Some(down) = state.outage.as_mut().filter(|down| down.is_probe_only(now)) else {
            return Ok(permit(None));
        };
        match down.probes.begin(class, self.connections_max, now) {
            Ok(()) => Ok(permit(Some(class))),
            Err(wait) => Err((CallError::CircuitOpen(wait), state.failure_cause(&who, now))),
        }
    }

    /// The service is down, as a call shows. `is_proved` if no attacker can have that call fail.
    fn record_outage(
        &self,
        state: &mut CircuitState,
        now: Moment,
        fault: &CallError,
        evidence: String,
        is_proved: bool,
    ) {
        let proved = is_proved.then_some(now);
        if let Some(down) = &mut state.outage {
            if is_proved && down.proved_at.is_none() {
                down.evidence = evidence;
            }
            down.proved_at = proved.or(down.proved_at);
            return;
        }
        self.metrics.up.set(0);
        let logged = state.outage_logged_at.is_none_or(|at| now.since(at) >= OUTAGE_LOG_INTERVAL);
        if logged {
            state.outage_logged_at = Some(now);
            tracing::warn!(authenticator = %self.name, error = %fault, evidence, "authenticator down");
        }
        state.outage = Some(Outage {
            began_at: now,
            evidence,
            proved_at: proved,
            probes: RecoveryProbes::default(),
            is_logged: logged,
        });
    }

    fn recover(&self, state: &mut CircuitState, now: Moment) {
        let Some(down) = state.outage.take() else { return };
        state.backoff.clear_after_outage(now);
        state.recovered_at = Some(now);
        self.metrics.up.set(1);
        if down.is_logged {
            let seconds = now.since(down.began_at).as_secs();
            tracing::info!(authenticator = %self.name, seconds, "authenticator recovered");
        }
    }
}

impl CircuitState {
    /// What it is put down to that `who` has no answer. Nothing of this requester's own calls is in it, nor of the
    /// same user's.
    fn failure_cause(&self, who: &Requester, now: Moment) -> FailureCause {
        let unreachable = self.connect_failures >= CONNECT_FAILURES_MAX
            && now.since(self.connect_failed_at) < CONNECT_FAILURE_WINDOW;
        if unreachable || self.failed_calls.is_seen_by_others(who.user_tag, now) {
            FailureCause::Outage
        } else {
            FailureCause::Undetermined
        }
    }

    fn record_answer(&mut self, who: &Requester, now: Moment) {
        (self.answered_at, self.connected_at, self.connect_failures) = (Some(now), Some(now), 0);
        self.failed_calls.clear();
        self.backoff.record_answer(who, now);
    }
}

impl CallPermit<'_> {
    /// Whether the call finds out if the service is back.
    pub fn is_probe(&self) -> bool {
        self.probe_class.is_some()
    }

    /// The service gave an answer: it knows the user and his password, or not.
    pub fn record_answer(self, accepted: bool) {
        let now = self.breaker.clock.now();
        let mut state = self.breaker.lock();
        state.record_answer(&self.requester, now);
        if accepted {
            state.failed_calls.record_accepted(&self.requester, now);
        }
        self.breaker.recover(&mut state, now);
    }

    /// The call failed like this. Returns what that is put down to.
    pub fn record_failure(self, fault: &CallError) -> FailureCause {
        let now = self.breaker.clock.now();
        let mut state = self.breaker.lock();
        if let (Some(class), Some(down)) = (self.probe_class, &mut state.outage) {
            down.probes.record_failure(class, self.began_at);
        }
        if state.recovered_at.is_some_and(|recovered| self.began_at <= recovered) {
            // It says something of an outage that is over.
            return FailureCause::Undetermined;
        }
        match fault.evidence() {
            FailureEvidence::NotCalled => FailureCause::Undetermined,
            FailureEvidence::Answered => {
                state.record_answer(&self.requester, now);
                self.breaker.recover(&mut state, now);
                FailureCause::Undetermined
            }
            FailureEvidence::NoConnection => self.record_connect_failure(&mut state, now, fault),
            FailureEvidence::ConnectTimeout
                if state.connected_at.is_none_or(|at| now.since(at) >= OVERLOAD_WINDOW) =>
            {
                self.record_connect_failure(&mut state, now, fault)
            }
            FailureEvidence::ConnectTimeout => self.record_unanswered(&mut state, now, fault),
            FailureEvidence::Slow | FailureEvidence::RateLimited => {
                let provoked = self.hold_back(&mut state, now, fault);
                if provoked { FailureCause::Requester } else { FailureCause::Undetermined }
            }
            FailureEvidence::Unanswered => {
                (state.connected_at, state.connect_failures) = (Some(now), 0);
                if self.hold_back(&mut state, now, fault) {
                    FailureCause::Requester
                } else {
                    self.record_unanswered(&mut state, now, fault)
                }
            }
        }
    }

    /// No requester can bring that about, so one call is as good as several.
    fn record_connect_failure(
        &self,
        state: &mut CircuitState,
        now: Moment,
        fault: &CallError,
    ) -> FailureCause {
        state.connect_failures = state.connect_failures.saturating_add(1);
        state.connect_failed_at = now;
        if state.connect_failures >= CONNECT_FAILURES_MAX {
            let evidence = format!("no connection, {} times in a row", state.connect_failures);
            self.breaker.record_outage(state, now, fault, evidence, true);
        }
        FailureCause::Outage
    }

    /// Holds the requester back. Returns whether others were answered meanwhile.
    fn hold_back(&self, state: &mut CircuitState, now: Moment, fault: &CallError) -> bool {
        let call = UnansweredCall {
            began_at: self.began_at,
            ended_at: now,
            is_probe: self.is_probe(),
            answered_at: state.answered_at,
        };
        state.backoff.record_unanswered(&self.requester, call, fault.retry_after())
    }

    /// Counts a call that got no answer while nobody got one.
    fn record_unanswered(&self, state: &mut CircuitState, now: Moment, fault: &CallError) -> FailureCause {
        if state.answered_at.is_none_or(|answered| answered < self.began_at) {
            state.failed_calls.add(self.requester, self.began_at, now);
        }
        if let Some(saw) = state.failed_calls.outage_evidence(now) {
            let evidence = format!(
                "no answer to {} requesters, of {} users in {} network blocks",
                saw.requesters, saw.users, saw.blocks
            );
            self.breaker.record_outage(
                state,
                now,
                fault,
                evidence,
                saw.is_proved && self.requester.has_been_accepted,
            );
        }
        state.failure_cause(&self.requester, now)
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let Some(class) = self.probe_class else { return };
        if let Some(down) = &mut self.breaker.lock().outage {
            down.probes.end(class);
        }
    }
}

#[cfg(test)]
#[path = "circuit_breaker_tests.rs"]
mod tests;
