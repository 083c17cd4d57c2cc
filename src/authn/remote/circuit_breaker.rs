//! The circuit breaker of a remote source: decides whether a call is made.
//!
//! No call is made for requesters whose calls got no response a short time ago. While the service is down, only a few
//! requesters get a call, as probes that detect the recovery. So an outage costs no request a timeout, and the service
//! does not get all requests at once when it recovers.
//!
//! No requester can cause that others are held back. A failure that a requester can cause counts for all only if several
//! requesters saw it, and a requester from elsewhere still gets a call at once. docs/design/shared-state.md has the complete table.

pub(crate) mod backoff;
pub(crate) mod failed_calls;
pub(crate) mod recovery_probes;

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

/// The number of calls in a row without a connection that prove an outage. A single one can be a restart.
const CONNECT_FAILURES_MAX: u32 = 3;

/// The time for which failed connections are evidence for requesters that get no call. While requests arrive, there is
/// one probe per second.
const CONNECT_FAILURE_WINDOW: Duration = Duration::from_secs(10);

/// The time after which calls are made for all requesters again, unless another call proves the outage.
const OUTAGE_PROOF_WINDOW: Duration = Duration::from_secs(30);

/// The time after a successful connection in which a connection timeout can mean that the service is overloaded.
const OVERLOAD_WINDOW: Duration = Duration::from_secs(10);

/// The shortest interval between two logged outages of one service. Requesters in several networks can make a service
/// that no other user needs seem down, as often as they want.
const OUTAGE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The circuit breaker of one remote source.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    name: Arc<str>,
    state: Mutex<CircuitState>,
    clock: Clock,
    /// The largest number of concurrent calls.
    connections_max: usize,
    metrics: CircuitMetrics,
}

/// The metrics of a circuit breaker.
#[derive(Clone, Debug, Default)]
pub(crate) struct CircuitMetrics {
    /// 1 while the service is up, 0 while it is down.
    pub(crate) up: Gauge,
    /// The number of calls that were not made because the requester was held back.
    pub(crate) held_back: Counter,
}

#[derive(Debug, Default)]
struct CircuitState {
    backoff: RequesterBackoff,
    failed_calls: FailedCalls,
    /// The time of the last answer to any requester.
    answered_at: Option<Moment>,
    /// The time of the last successful connection.
    connected_at: Option<Moment>,
    /// The number of calls in a row without a connection.
    connect_failures: u32,
    /// The time of the last of them.
    connect_failed_at: Moment,
    outage: Option<Outage>,
    /// The end of the last outage.
    recovered_at: Option<Moment>,
    outage_logged_at: Option<Moment>,
}

#[derive(Debug)]
struct Outage {
    began_at: Moment,
    /// The failures that were seen, for the log and `/readyz`.
    evidence: String,
    /// The time of the last failure that no attacker can cause: a failed connection, or failures of users that
    /// were accepted before. Other failures are only reported. An attacker with a fresh network block for each call
    /// could otherwise use every probe.
    proved_at: Option<Moment>,
    probes: RecoveryProbes,
    is_logged: bool,
}

impl Outage {
    /// Returns whether only probes are made.
    fn is_probe_only(&self, now: Moment) -> bool {
        self.proved_at.is_some_and(|proved| now.since(proved) < OUTAGE_PROOF_WINDOW)
    }
}

/// The permission to make one call. Dropping it records nothing.
#[must_use = "the result of the call must be recorded"]
pub(crate) struct CallPermit<'c> {
    breaker: &'c CircuitBreaker,
    requester: Requester,
    began_at: Moment,
    probe_class: Option<ProbeClass>,
}

impl CircuitBreaker {
    /// Creates the circuit breaker of a service that is up.
    pub(crate) fn new(name: Arc<str>, clock: Clock, connections_max: usize, metrics: CircuitMetrics) -> Self {
        metrics.up.set(1);
        Self { name, state: Mutex::default(), clock, connections_max, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, CircuitState> {
        // No code panics while it holds the lock, and the state would be consistent even then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the evidence of the current outage, if there is one.
    pub(crate) fn outage_evidence(&self) -> Option<String> {
        self.lock().outage.as_ref().map(|outage| outage.evidence.clone())
    }

    /// Returns whether calls of the requester, or of its network block, got no response a short time ago. Others are then
    /// served first.
    pub(crate) fn is_suspect(&self, requester: &Requester) -> bool {
        self.lock().backoff.is_suspect(requester, self.clock.now())
    }

    /// Returns the permission to make a call.
    ///
    /// # Errors
    /// [`CallError::CircuitOpen`] or [`CallError::RequesterHeldBack`], with the cause.
    pub(crate) fn acquire_permit(
        &self,
        requester: Requester,
    ) -> Result<CallPermit<'_>, (CallError, FailureCause)> {
        let now = self.clock.now();
        let mut state = self.lock();
        let permit = |probe_class| CallPermit { breaker: self, requester, began_at: now, probe_class };
        if let Some(wait) = state.backoff.remaining_wait(&requester, state.answered_at, now) {
            self.metrics.held_back.inc();
            return Err((CallError::RequesterHeldBack(wait), state.failure_cause(&requester, now)));
        }
        let class = ProbeClass::for_requester(&requester, state.backoff.is_suspect(&requester, now));
        let Some(outage) = state.outage.as_mut().filter(|outage| outage.is_probe_only(now)) else {
            return Ok(permit(None));
        };
        match outage.probes.begin(class, self.connections_max, now) {
            Ok(()) => Ok(permit(Some(class))),
            Err(wait) => Err((CallError::CircuitOpen(wait), state.failure_cause(&requester, now))),
        }
    }

    /// Records an outage that a call has shown. `is_proved` means that no attacker can have caused the failure.
    fn record_outage(
        &self,
        state: &mut CircuitState,
        now: Moment,
        error: &CallError,
        evidence: String,
        is_proved: bool,
    ) {
        let proved_at = is_proved.then_some(now);
        if let Some(outage) = &mut state.outage {
            if is_proved && outage.proved_at.is_none() {
                outage.evidence = evidence;
            }
            outage.proved_at = proved_at.or(outage.proved_at);
            return;
        }
        self.metrics.up.set(0);
        let is_logged = state.outage_logged_at.is_none_or(|at| now.since(at) >= OUTAGE_LOG_INTERVAL);
        if is_logged {
            state.outage_logged_at = Some(now);
            tracing::warn!(authenticator = %self.name, %error, evidence, "authenticator down");
        }
        state.outage =
            Some(Outage { began_at: now, evidence, proved_at, probes: RecoveryProbes::default(), is_logged });
    }

    fn recover(&self, state: &mut CircuitState, now: Moment) {
        let Some(outage) = state.outage.take() else { return };
        state.backoff.clear_after_outage(now);
        state.recovered_at = Some(now);
        self.metrics.up.set(1);
        if outage.is_logged {
            let seconds = now.since(outage.began_at).as_secs();
            tracing::info!(authenticator = %self.name, seconds, "authenticator recovered");
        }
    }
}

impl CircuitState {
    /// Returns the cause of a failure for a requester. It does not depend on calls of this requester or of the same user.
    fn failure_cause(&self, requester: &Requester, now: Moment) -> FailureCause {
        let unreachable = self.connect_failures >= CONNECT_FAILURES_MAX
            && now.since(self.connect_failed_at) < CONNECT_FAILURE_WINDOW;
        if unreachable || self.failed_calls.is_seen_by_others(requester.user_tag, now) {
            FailureCause::Service
        } else {
            FailureCause::Undetermined
        }
    }

    fn record_answer(&mut self, requester: &Requester, now: Moment) {
        (self.answered_at, self.connected_at, self.connect_failures) = (Some(now), Some(now), 0);
        self.failed_calls.clear();
        self.backoff.record_answer(requester, now);
    }
}

impl CallPermit<'_> {
    /// Returns whether the call is a probe.
    pub(crate) fn is_probe(&self) -> bool {
        self.probe_class.is_some()
    }

    /// Records that the service answered.
    pub(crate) fn record_answer(self, is_accepted: bool) {
        let now = self.breaker.clock.now();
        let mut state = self.breaker.lock();
        state.record_answer(&self.requester, now);
        if is_accepted {
            state.failed_calls.record_accepted(&self.requester, now);
        }
        self.breaker.recover(&mut state, now);
    }

    /// Records that the call failed. Returns the cause.
    pub(crate) fn record_failure(self, error: &CallError) -> FailureCause {
        let now = self.breaker.clock.now();
        let mut state = self.breaker.lock();
        if let (Some(class), Some(outage)) = (self.probe_class, &mut state.outage) {
            outage.probes.record_failure(class, self.began_at);
        }
        if state.recovered_at.is_some_and(|recovered| self.began_at <= recovered) {
            // The call belongs to an outage that is over.
            return FailureCause::Undetermined;
        }
        match error.evidence() {
            FailureEvidence::NotCalled => FailureCause::Undetermined,
            FailureEvidence::Answered => {
                state.record_answer(&self.requester, now);
                self.breaker.recover(&mut state, now);
                FailureCause::Undetermined
            }
            FailureEvidence::NoConnection => self.record_connect_failure(&mut state, now, error),
            FailureEvidence::ConnectTimeout
                if state.connected_at.is_none_or(|at| now.since(at) >= OVERLOAD_WINDOW) =>
            {
                self.record_connect_failure(&mut state, now, error)
            }
            FailureEvidence::ConnectTimeout => self.record_unanswered(&mut state, now, error),
            FailureEvidence::Slow | FailureEvidence::RateLimited => {
                self.hold_requester_back(&mut state, now, error)
            }
            FailureEvidence::Unanswered => {
                (state.connected_at, state.connect_failures) = (Some(now), 0);
                match self.hold_requester_back(&mut state, now, error) {
                    FailureCause::Undetermined => self.record_unanswered(&mut state, now, error),
                    known @ (FailureCause::Service | FailureCause::Requester) => known,
                }
            }
        }
    }

    /// Records a failed connection. No requester can cause it, so the number of requesters does not matter.
    fn record_connect_failure(
        &self,
        state: &mut CircuitState,
        now: Moment,
        error: &CallError,
    ) -> FailureCause {
        state.connect_failures = state.connect_failures.saturating_add(1);
        state.connect_failed_at = now;
        if state.connect_failures >= CONNECT_FAILURES_MAX {
            let evidence = format!("no connection, {} times in a row", state.connect_failures);
            self.breaker.record_outage(state, now, error, evidence, true);
        }
        FailureCause::Service
    }

    /// Holds the requester back. Returns the requester as the cause if others were answered meanwhile.
    fn hold_requester_back(&self, state: &mut CircuitState, now: Moment, error: &CallError) -> FailureCause {
        let call = UnansweredCall {
            began_at: self.began_at,
            ended_at: now,
            is_probe: self.is_probe(),
            answered_at: state.answered_at,
        };
        let were_others_answered =
            state.backoff.record_unanswered(&self.requester, call, error.retry_after());
        if were_others_answered { FailureCause::Requester } else { FailureCause::Undetermined }
    }

    /// Records a call without a response while no other requester got one either.
    fn record_unanswered(&self, state: &mut CircuitState, now: Moment, error: &CallError) -> FailureCause {
        if state.answered_at.is_none_or(|answered| answered < self.began_at) {
            state.failed_calls.add(self.requester, self.began_at, now);
        }
        if let Some(outage) = state.failed_calls.outage_evidence(now) {
            let evidence = format!(
                "no response for {} requesters, of {} users in {} network blocks",
                outage.requesters, outage.users, outage.blocks
            );
            self.breaker.record_outage(
                state,
                now,
                error,
                evidence,
                outage.is_proved && self.requester.has_been_accepted,
            );
        }
        state.failure_cause(&self.requester, now)
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let Some(class) = self.probe_class else { return };
        if let Some(outage) = &mut self.breaker.lock().outage {
            outage.probes.end(class);
        }
    }
}

#[cfg(test)]
#[path = "circuit_breaker_tests.rs"]
mod tests;
