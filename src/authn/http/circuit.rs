//! Whether a service is asked at all: not for requesters whose calls got no answer a moment ago, and while the
//! service is down only for a few requesters, whose calls find out whether it is back. So an outage costs nobody a
//! timeout, and the service is not met by a crowd when it comes back.
//!
//! The rules, and who is held back for how long, are a table in ARCHITECTURE.md. No requester can bring about that
//! others are held back: what a requester may have brought about counts for all only if several saw it, and
//! whoever comes then from elsewhere is asked about at once.

pub mod failed_calls;
pub mod probes;
pub mod requesters;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use self::failed_calls::FailedCalls;
use self::probes::{Class, Probes};
use self::requesters::{Call, Requester, Requesters};
use super::fault::{Evidence, Fault};
use crate::authn::Cause;
use crate::clock::{Clock, Moment};

/// So many calls in a row without a connection are a service that is down; a single one may be a restart.
const NO_CONNECTION: u32 = 3;

/// How long that is believed for requesters that are not asked about: while anyone asks, one a second is.
const NO_CONNECTION_FOR: Duration = Duration::from_secs(10);

/// How long an outage keeps requesters from being asked about without another call that proves it.
const HOLDS_FOR: Duration = Duration::from_secs(30);

/// How long after a connection a timeout of the next one may be due to a service that is full of calls.
const FULL_FOR: Duration = Duration::from_secs(10);

/// The least time between two outages of one service that are logged: requesters on several networks can make a
/// service seem down that nobody else uses, as often as they like.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

/// See the top of this file.
#[derive(Debug)]
pub struct Circuit {
    name: Arc<str>,
    state: Mutex<State>,
    clock: Clock,
    /// Calls at one time.
    connections: usize,
    figures: Figures,
}

/// What the circuit shows of itself.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// 1 while the service is asked.
    pub up: Gauge,
    /// Questions that were not asked for requesters that were held back.
    pub held_back: Counter,
}

#[derive(Debug, Default)]
struct State {
    requesters: Requesters,
    calls: FailedCalls,
    /// When the service last gave anybody an answer, and when it last accepted a connection.
    answered: Option<Moment>,
    connected: Option<Moment>,
    /// Calls in a row without a connection, and when the last one was.
    no_connection: u32,
    no_connection_at: Moment,
    down: Option<Down>,
    /// When the last outage ended.
    recovered: Option<Moment>,
    logged: Option<Moment>,
}

#[derive(Debug)]
struct Down {
    since: Moment,
    /// Who saw it.
    evidence: String,
    /// When a call last proved it that no attacker can have fail: without a connection, or of users that had been
    /// accepted. What other requesters saw is only told, since an attacker can have a fresh network block for each
    /// call, and take every probe.
    proved: Option<Moment>,
    probes: Probes,
    logged: bool,
}

impl Down {
    /// Whether only probes are made.
    fn holds(&self, now: Moment) -> bool {
        self.proved.is_some_and(|proved| now.since(proved) < HOLDS_FOR)
    }
}

/// The permission to ask once. Dropping it without a word leaves things as they are.
#[must_use = "what came of the call has to be told"]
pub struct CallPermit<'c> {
    circuit: &'c Circuit,
    who: Requester,
    began: Moment,
    probe: Option<Class>,
}

impl Circuit {
    /// Of a service that is up, as far as is known.
    pub fn new(name: Arc<str>, clock: Clock, connections: usize, figures: Figures) -> Self {
        figures.up.set(1);
        Self { name, state: Mutex::default(), clock, connections, figures }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; were it so, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who saw that the service is down, if it was when it was last asked.
    pub fn outage(&self) -> Option<String> {
        self.lock().down.as_ref().map(|down| down.evidence.clone())
    }

    /// Whether calls of `who`, or of its network block, got no answer lately, so that others come first.
    pub fn is_suspect(&self, who: &Requester) -> bool {
        self.lock().requesters.is_suspect(who, self.clock.now())
    }

    /// Lets a call pass.
    ///
    /// # Errors
    /// [`Fault::Down`] or [`Fault::HeldBack`], and what that is put down to.
    pub fn enter(&self, who: Requester) -> Result<CallPermit<'_>, (Fault, Cause)> {
        let now = self.clock.now();
        let mut state = self.lock();
        let permit = |probe| CallPermit { circuit: self, who, began: now, probe };
        if let Some(wait) = state.requesters.wait(&who, state.answered, now) {
            self.figures.held_back.inc();
            return Err((Fault::HeldBack(wait), state.cause(&who, now)));
        }
        let class = Class::of(&who, state.requesters.is_suspect(&who, now));
        let Some(down) = state.down.as_mut().filter(|down| down.holds(now)) else { return Ok(permit(None)) };
        match down.probes.begin(class, self.connections, now) {
            Ok(()) => Ok(permit(Some(class))),
            Err(wait) => Err((Fault::Down(wait), state.cause(&who, now))),
        }
    }

    /// The service is down, as a call shows. `is_proved` if no attacker can have that call fail.
    fn go_down(&self, state: &mut State, now: Moment, fault: &Fault, evidence: String, is_proved: bool) {
        let proved = is_proved.then_some(now);
        if let Some(down) = &mut state.down {
            if is_proved && down.proved.is_none() {
                down.evidence = evidence;
            }
            down.proved = proved.or(down.proved);
            return;
        }
        self.figures.up.set(0);
        let logged = state.logged.is_none_or(|at| now.since(at) >= LOGGED_EVERY);
        if logged {
            state.logged = Some(now);
            tracing::warn!(authenticator = %self.name, error = %fault, evidence, "authenticator down");
        }
        state.down = Some(Down { since: now, evidence, proved, probes: Probes::default(), logged });
    }

    fn recover(&self, state: &mut State, now: Moment) {
        let Some(down) = state.down.take() else { return };
        state.requesters.recovered(now);
        state.recovered = Some(now);
        self.figures.up.set(1);
        if down.logged {
            let seconds = now.since(down.since).as_secs();
            tracing::info!(authenticator = %self.name, seconds, "authenticator recovered");
        }
    }
}

impl State {
    /// What it is put down to that `who` has no answer. Nothing of this requester's own calls is in it, nor of the
    /// same user's.
    fn cause(&self, who: &Requester, now: Moment) -> Cause {
        let unreachable =
            self.no_connection >= NO_CONNECTION && now.since(self.no_connection_at) < NO_CONNECTION_FOR;
        if unreachable || self.calls.seen_by_others(who.user, now) { Cause::Outage } else { Cause::Unclear }
    }

    fn answered(&mut self, who: &Requester, now: Moment) {
        (self.answered, self.connected, self.no_connection) = (Some(now), Some(now), 0);
        self.calls.clear();
        self.requesters.answered(who, now);
    }
}

impl CallPermit<'_> {
    /// Whether the call finds out if the service is back.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// The service gave an answer: it knows the user and his password, or not.
    pub fn answered(self, accepted: bool) {
        let now = self.circuit.clock.now();
        let mut state = self.circuit.lock();
        state.answered(&self.who, now);
        if accepted {
            state.calls.accepted(&self.who, now);
        }
        self.circuit.recover(&mut state, now);
    }

    /// The call failed like this. Returns what that is put down to.
    pub fn failed(self, fault: &Fault) -> Cause {
        let now = self.circuit.clock.now();
        let mut state = self.circuit.lock();
        if let (Some(class), Some(down)) = (self.probe, &mut state.down) {
            down.probes.failed(class, self.began);
        }
        if state.recovered.is_some_and(|recovered| self.began <= recovered) {
            // It says something of an outage that is over.
            return Cause::Unclear;
        }
        match fault.evidence() {
            Evidence::NotAsked => Cause::Unclear,
            Evidence::Answered => {
                state.answered(&self.who, now);
                self.circuit.recover(&mut state, now);
                Cause::Unclear
            }
            Evidence::NoConnection => self.no_connection(&mut state, now, fault),
            Evidence::ConnectTimeout if state.connected.is_none_or(|at| now.since(at) >= FULL_FOR) => {
                self.no_connection(&mut state, now, fault)
            }
            Evidence::ConnectTimeout => self.seen(&mut state, now, fault),
            Evidence::Slow | Evidence::Limited => {
                let provoked = self.hold(&mut state, now, fault);
                if provoked { Cause::Requester } else { Cause::Unclear }
            }
            Evidence::Unanswered => {
                (state.connected, state.no_connection) = (Some(now), 0);
                if self.hold(&mut state, now, fault) {
                    Cause::Requester
                } else {
                    self.seen(&mut state, now, fault)
                }
            }
        }
    }

    /// No requester can bring that about, so one call is as good as several.
    fn no_connection(&self, state: &mut State, now: Moment, fault: &Fault) -> Cause {
        state.no_connection = state.no_connection.saturating_add(1);
        state.no_connection_at = now;
        if state.no_connection >= NO_CONNECTION {
            let evidence = format!("no connection, {} times in a row", state.no_connection);
            self.circuit.go_down(state, now, fault, evidence, true);
        }
        Cause::Outage
    }

    /// Holds the requester back. Returns whether others were answered meanwhile.
    fn hold(&self, state: &mut State, now: Moment, fault: &Fault) -> bool {
        let call = Call { began: self.began, now, is_probe: self.is_probe(), answered: state.answered };
        state.requesters.unanswered(&self.who, call, fault.retry_after())
    }

    /// Counts a call that got no answer while nobody got one.
    fn seen(&self, state: &mut State, now: Moment, fault: &Fault) -> Cause {
        if state.answered.is_none_or(|answered| answered < self.began) {
            state.calls.add(self.who, self.began, now);
        }
        if let Some(saw) = state.calls.outage(now) {
            let evidence = format!(
                "no answer to {} requesters, of {} users in {} network blocks",
                saw.requesters, saw.users, saw.blocks
            );
            self.circuit.go_down(state, now, fault, evidence, saw.is_proved && self.who.accepted_before);
        }
        state.cause(&self.who, now)
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let Some(class) = self.probe else { return };
        if let Some(down) = &mut self.circuit.lock().down {
            down.probes.end(class);
        }
    }
}

#[cfg(test)]
#[path = "circuit_tests.rs"]
mod tests;
