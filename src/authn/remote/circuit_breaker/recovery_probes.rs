//! The calls that find out whether a service is back. Several may be under way at once, since one of them may be
//! an attacker's that gets no answer; requesters whose calls got no answer lately have places of their own, so that
//! they take none of the others'.

use std::time::Duration;

use super::backoff::Requester;
use crate::clock::Moment;

/// Between two probes of a class that fail at once, and before one more may begin beside those under way. Short,
/// since nobody is let in meanwhile; a few calls a second hurt no service.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Which places a requester's probe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeClass {
    /// Of credentials that were accepted before.
    Accepted,
    /// Of others.
    Other,
    /// Of requesters, or of blocks, whose calls got no answer lately.
    Suspect,
}

impl ProbeClass {
    /// The class of `who`.
    pub fn for_requester(who: &Requester, is_suspect: bool) -> Self {
        match (who.has_been_accepted, is_suspect) {
            (true, _) => Self::Accepted,
            (false, false) => Self::Other,
            (false, true) => Self::Suspect,
        }
    }

    /// How many may be under way, of a service with so many connections, and how many of them at once.
    fn concurrency_limits(self, connections: usize) -> (usize, usize) {
        let most = match self {
            Self::Accepted | Self::Other => connections * 3 / 8,
            Self::Suspect => connections / 8,
        };
        (most.max(1), most.div_ceil(2).max(1))
    }
}

/// Those of one outage.
#[derive(Debug, Default)]
pub struct RecoveryProbes {
    accepted: ProbeSlots,
    other: ProbeSlots,
    suspect: ProbeSlots,
}

#[derive(Debug, Default)]
struct ProbeSlots {
    running_count: usize,
    began_at: Option<Moment>,
    /// When the next one may begin, after one that failed.
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

    /// Begins one.
    ///
    /// # Errors
    /// How long to wait for a place.
    pub fn begin(&mut self, class: ProbeClass, connections: usize, now: Moment) -> Result<(), Duration> {
        let (most, at_once) = class.concurrency_limits(connections);
        let places = self.slots_mut(class);
        let next = places.began_at.map_or(now, |began| began.plus(PROBE_INTERVAL));
        let is_free = places.running_count < at_once && now >= places.earliest_next_at
            || places.running_count < most && now >= next;
        if !is_free {
            let wait = next.max(places.earliest_next_at).since(now);
            return Err(if wait.is_zero() { PROBE_INTERVAL } else { wait });
        }
        places.running_count += 1;
        places.began_at = Some(now);
        Ok(())
    }

    /// One that began at `began` failed.
    pub fn record_failure(&mut self, class: ProbeClass, began: Moment) {
        let places = self.slots_mut(class);
        places.earliest_next_at = places.earliest_next_at.max(began.plus(PROBE_INTERVAL));
    }

    /// One is over.
    pub fn end(&mut self, class: ProbeClass) {
        let places = self.slots_mut(class);
        places.running_count = places.running_count.saturating_sub(1);
    }
}
