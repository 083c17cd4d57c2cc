//! The calls that find out whether a service is back. Several may be under way at once, since one of them may be
//! an attacker's that gets no answer; requesters whose calls got no answer lately have places of their own, so that
//! they take none of the others'.

use std::time::Duration;

use super::requesters::Requester;
use crate::clock::Moment;

/// Between two probes of a class that fail at once, and before one more may begin beside those under way. Short,
/// since nobody is let in meanwhile; a few calls a second hurt no service.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Which places a requester's probe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Of credentials that were accepted before.
    Accepted,
    /// Of others.
    Other,
    /// Of requesters, or of blocks, whose calls got no answer lately.
    Suspect,
}

impl Class {
    /// The class of `who`.
    pub fn of(who: &Requester, is_suspect: bool) -> Self {
        match (who.accepted_before, is_suspect) {
            (true, _) => Self::Accepted,
            (false, false) => Self::Other,
            (false, true) => Self::Suspect,
        }
    }

    /// How many may be under way, of a service with so many connections, and how many of them at once.
    fn most(self, connections: usize) -> (usize, usize) {
        let most = match self {
            Self::Accepted | Self::Other => connections * 3 / 8,
            Self::Suspect => connections / 8,
        };
        (most.max(1), most.div_ceil(2).max(1))
    }
}

/// Those of one outage.
#[derive(Debug, Default)]
pub struct Probes {
    accepted: Places,
    other: Places,
    suspect: Places,
}

#[derive(Debug, Default)]
struct Places {
    under_way: usize,
    began: Option<Moment>,
    /// When the next one may begin, after one that failed.
    not_before: Moment,
}

impl Probes {
    fn of(&mut self, class: Class) -> &mut Places {
        match class {
            Class::Accepted => &mut self.accepted,
            Class::Other => &mut self.other,
            Class::Suspect => &mut self.suspect,
        }
    }

    /// Begins one.
    ///
    /// # Errors
    /// How long to wait for a place.
    pub fn begin(&mut self, class: Class, connections: usize, now: Moment) -> Result<(), Duration> {
        let (most, at_once) = class.most(connections);
        let places = self.of(class);
        let next = places.began.map_or(now, |began| began.plus(PROBE_EVERY));
        let is_free =
            places.under_way < at_once && now >= places.not_before || places.under_way < most && now >= next;
        if !is_free {
            let wait = next.max(places.not_before).since(now);
            return Err(if wait.is_zero() { PROBE_EVERY } else { wait });
        }
        places.under_way += 1;
        places.began = Some(now);
        Ok(())
    }

    /// One that began at `began` failed.
    pub fn failed(&mut self, class: Class, began: Moment) {
        let places = self.of(class);
        places.not_before = places.not_before.max(began.plus(PROBE_EVERY));
    }

    /// One is over.
    pub fn end(&mut self, class: Class) {
        let places = self.of(class);
        places.under_way = places.under_way.saturating_sub(1);
    }
}
