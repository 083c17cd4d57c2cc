//! Probes: the calls that are made while a service is down, to detect its recovery.
//!
//! Several probes can run at once, because one of them can be a call of an attacker that gets no response. Requesters
//! whose calls got no response a short time ago have slots of their own, so that they use none of the others.

use std::time::Duration;

use super::backoff::Requester;
use crate::clock::Moment;

/// The interval between two probes of a class that fail at once, and before one more probe can start beside the running
/// ones. It is short because no user of the service can log in during an outage, and some calls per second harm no
/// service.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The class of a requester, which has slots of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeClass {
    /// Requesters whose credentials were accepted before.
    Accepted,
    /// Other requesters.
    Other,
    /// Requesters, or network blocks, whose calls got no response a short time ago.
    Suspect,
}

impl ProbeClass {
    /// Returns the class of a requester.
    pub fn for_requester(requester: &Requester, is_suspect: bool) -> Self {
        match (requester.has_been_accepted, is_suspect) {
            (true, _) => Self::Accepted,
            (false, false) => Self::Other,
            (false, true) => Self::Suspect,
        }
    }

    /// Returns how many probes can run, and how many of them can start without an interval.
    fn concurrency_limits(self, connections_max: usize) -> (usize, usize) {
        let total = match self {
            Self::Accepted | Self::Other => connections_max * 3 / 8,
            Self::Suspect => connections_max / 8,
        };
        (total.max(1), total.div_ceil(2).max(1))
    }
}

/// The probes of one outage.
#[derive(Debug, Default)]
pub struct RecoveryProbes {
    accepted: ProbeSlots,
    other: ProbeSlots,
    suspect: ProbeSlots,
}

#[derive(Debug, Default)]
struct ProbeSlots {
    running_count: usize,
    /// The start of the last probe.
    began_at: Option<Moment>,
    /// The earliest start of the next probe, after one that failed.
    earliest_next_at: Moment,
}

impl RecoveryProbes {
    fn slots_mut(&mut self, class: ProbeClass) -> &mut ProbeSlots {
        match class {
            ProbeClass::Accepted => &mut self.accepted,
            ProbeClass::Other => &mut self.other,
            ProbeClass::Suspect => &mut self.suspect,
        }
    }

    /// Starts a probe.
    ///
    /// # Errors
    /// The time until the next slot is free.
    pub fn begin(&mut self, class: ProbeClass, connections_max: usize, now: Moment) -> Result<(), Duration> {
        let (total, without_interval) = class.concurrency_limits(connections_max);
        let slots = self.slots_mut(class);
        let next = slots.began_at.map_or(now, |began_at| began_at.plus(PROBE_INTERVAL));
        let is_free = slots.running_count < without_interval && now >= slots.earliest_next_at
            || slots.running_count < total && now >= next;
        if !is_free {
            let wait = next.max(slots.earliest_next_at).since(now);
            return Err(if wait.is_zero() { PROBE_INTERVAL } else { wait });
        }
        slots.running_count += 1;
        slots.began_at = Some(now);
        Ok(())
    }

    /// Records that a probe failed.
    pub fn record_failure(&mut self, class: ProbeClass, began_at: Moment) {
        let slots = self.slots_mut(class);
        slots.earliest_next_at = slots.earliest_next_at.max(began_at.plus(PROBE_INTERVAL));
    }

    /// Frees the slot of a probe.
    pub fn end(&mut self, class: ProbeClass) {
        let slots = self.slots_mut(class);
        slots.running_count = slots.running_count.saturating_sub(1);
    }
}
