//! The clock that deadlines are compared with. A unit test uses a manual clock and advances it.

#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The date at which a manual clock starts, in seconds since 1970: 2023-11-14T22:13:20Z.
#[cfg(test)]
pub(crate) const MANUAL_CLOCK_START: u64 = 1_700_000_000;

/// A point in time, in milliseconds since the [`Clock`] was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Returns the moment `millis` milliseconds after the clock was created.
    pub(crate) fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the clock was created.
    pub(crate) fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the moment `span` later. The result saturates at `u64::MAX` milliseconds, 500 million years.
    pub(crate) fn plus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Returns the time since `earlier`, or zero if `earlier` is in the future.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A source of time. Clones of a clock return the same time.
#[derive(Clone, Debug)]
pub(crate) struct Clock(ClockSource);

#[derive(Clone, Debug)]
enum ClockSource {
    System(Duration),
    #[cfg(test)]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Creates a clock that counts from the boot of the machine (CLOCK_BOOTTIME). A change of the date does not
    /// move it. Time in which the machine was suspended counts, because cached answers age meanwhile.
    pub(crate) fn system() -> Self {
        Self(ClockSource::System(since_boot()))
    }

    /// Creates a clock that moves only when [`Clock::advance`] is called.
    #[cfg(test)]
    pub(crate) fn manual() -> Self {
        Self(ClockSource::Manual(Arc::new(AtomicU64::new(0))))
    }

    /// Returns the current moment.
    pub(crate) fn now(&self) -> Moment {
        match &self.0 {
            ClockSource::System(start) => Moment::default().plus(since_boot().saturating_sub(*start)),
            #[cfg(test)]
            ClockSource::Manual(millis) => Moment(millis.load(Ordering::SeqCst)),
        }
    }

    /// Returns the date in seconds since 1970, for expiry dates. A manual clock starts at
    /// `MANUAL_CLOCK_START`.
    pub(crate) fn unix_seconds(&self) -> u64 {
        match &self.0 {
            ClockSource::System(_) => {
                // If the date is before 1970, everything has expired: a clock that was never set must not make
                // expired credentials valid.
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs())
            }
            #[cfg(test)]
            ClockSource::Manual(millis) => MANUAL_CLOCK_START + millis.load(Ordering::SeqCst) / 1000,
        }
    }

    /// Advances a manual clock by `span`. On a system clock this has no effect.
    #[cfg(test)]
    pub(crate) fn advance(&self, span: Duration) {
        if let ClockSource::Manual(millis) = &self.0 {
            let now = Moment(millis.load(Ordering::SeqCst));
            millis.store(now.plus(span).as_millis(), Ordering::SeqCst);
        }
    }
}

/// Returns CLOCK_BOOTTIME (clock_gettime(2)). Neither part is ever negative.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
