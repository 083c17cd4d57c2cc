//! Whether a service is asked at all: one that was down a moment ago is not, but for one question at a
//! time that finds out whether it is back. So an outage costs nobody a time-out, and the service is not
//! met by a crowd when it comes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use super::fault::Fault;
use crate::clock::{Clock, Moment};

/// So many outages one after the other, without an answer between them, are a service that is down; a
/// single one may be a connection that was cut.
const FAILURES: u32 = 3;

/// Between two questions to a service that is down. Short, since nobody is let in meanwhile; one
/// question a second hurts no service.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The longest that a `Retry-After` is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Askers whom the service wants to be left alone with; with more, the others are asked for all the same.
const HELD_MAX: usize = 1024;

/// See the top of this file.
#[derive(Debug)]
pub struct Circuit {
    name: Arc<str>,
    state: Mutex<State>,
    clock: Clock,
    /// 1 while the service is asked.
    up: Gauge,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Since when it is down, and from when on one question may try.
    down: Option<(Moment, Moment)>,
    probing: bool,
    /// By the tag of a user from one network: nobody keeps a user out elsewhere.
    held: HashMap<u64, Moment>,
}

/// The permission to ask once. Dropping it without a word leaves things as they are.
#[must_use = "what came of the question has to be told"]
pub struct Pass<'c> {
    circuit: &'c Circuit,
    probe: bool,
}

impl Circuit {
    /// Of a service that is up, as far as is known.
    pub fn new(name: Arc<str>, clock: Clock, up: Gauge) -> Self {
        up.set(1);
        Self { name, state: Mutex::default(), clock, up }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; were it so, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the service was down when it was last asked.
    pub fn is_down(&self) -> bool {
        self.lock().down.is_some()
    }

    /// Lets a question pass; `asker` is the tag of the user from his network.
    ///
    /// # Errors
    /// [`Fault::Down`] or [`Fault::Held`].
    pub fn enter(&self, asker: u64) -> Result<Pass<'_>, Fault> {
        let now = self.clock.now();
        let mut state = self.lock();
        if let Some(until) = state.held.get(&asker).filter(|until| **until > now) {
            return Err(Fault::Held(until.since(now)));
        }
        let Some((_, next)) = state.down else { return Ok(Pass { circuit: self, probe: false }) };
        if state.probing || next > now {
            return Err(Fault::Down(next.since(now).max(Duration::from_millis(1))));
        }
        state.probing = true;
        Ok(Pass { circuit: self, probe: true })
    }
}

impl Pass<'_> {
    /// The service answered, whatever it said.
    pub fn well(self) {
        let now = self.circuit.clock.now();
        let mut state = self.circuit.lock();
        state.failures = 0;
        if let Some((since, _)) = state.down.take() {
            self.circuit.up.set(1);
            let seconds = now.since(since).as_secs();
            tracing::info!(authenticator = %self.circuit.name, seconds, "the authenticator is back");
        }
    }

    /// The call failed like this; it was asked for `asker`.
    pub fn fault(self, fault: &Fault, asker: u64) {
        let now = self.circuit.clock.now();
        let wait = match fault {
            Fault::Later(_, Some(wait)) => (*wait).clamp(PROBE_EVERY, RETRY_AFTER_MAX),
            _ => PROBE_EVERY,
        };
        if let Fault::Later(_, Some(_)) = fault
            && !fault.is_outage()
        {
            // One who guesses may have brought that about, and must not hold up the others.
            self.circuit.lock().hold(asker, now.plus(wait), now);
        }
        if !fault.is_outage() {
            return if matches!(fault, Fault::Ours | Fault::Short(_)) { drop(self) } else { self.well() };
        }
        let mut state = self.circuit.lock();
        state.failures = state.failures.saturating_add(1);
        let said_so = matches!(fault, Fault::Later(_, Some(_)));
        if state.failures < FAILURES && !said_so {
            return;
        }
        let since = state.down.map_or(now, |(since, _)| since);
        if state.down.replace((since, now.plus(wait))).is_none() {
            self.circuit.up.set(0);
            tracing::warn!(authenticator = %self.circuit.name, why = %fault, "the authenticator is down");
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.circuit.lock().probing = false;
        }
    }
}

impl State {
    fn hold(&mut self, asker: u64, until: Moment, now: Moment) {
        if self.held.len() >= HELD_MAX {
            self.held.retain(|_, until| *until > now);
        }
        if self.held.len() < HELD_MAX {
            self.held.insert(asker, until);
        }
    }
}

#[cfg(test)]
#[path = "circuit_tests.rs"]
mod tests;
