//! Time as a value: what has a deadline asks a [`Clock`], so that a test can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The date at which a manual clock begins: 2023-11-14T22:13:20Z.
pub const MANUAL_CLOCK_START: u64 = 1_700_000_000;

/// A point in the process's own time: milliseconds since its [`Clock`] was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment `millis` milliseconds after the clock was made.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock was made.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `span` on; a span beyond 500 million years is cut there.
    pub fn plus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long ago `earlier` was; zero where it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Where the time comes from. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(ClockSource);

#[derive(Clone, Debug)]
enum ClockSource {
    System(Duration),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock since it was started: a change of the date does not move it, and the time that
    /// the machine slept counts, in which what was trusted went on getting older.
    pub fn system() -> Self {
        Self(ClockSource::System(since_boot()))
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual() -> Self {
        Self(ClockSource::Manual(Arc::new(AtomicU64::new(0))))
    }

    /// The time now.
    pub fn now(&self) -> Moment {
        match &self.0 {
            ClockSource::System(start) => Moment::default().plus(since_boot().saturating_sub(*start)),
            ClockSource::Manual(millis) => Moment(millis.load(Ordering::SeqCst)),
        }
    }

    /// The date, in seconds since 1970, for what expires at a date; a manual clock begins at
    /// [`MANUAL_START`].
    pub fn unix_seconds(&self) -> u64 {
        match &self.0 {
            ClockSource::System(_) => {
                {
                    // A clock that was never set must not make what has expired good again.
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs())
                }
            }
            ClockSource::Manual(millis) => MANUAL_CLOCK_START + millis.load(Ordering::SeqCst) / 1000,
        }
    }

    /// Moves a manual clock on; the system's clock can't be moved, and is left alone.
    pub fn advance(&self, span: Duration) {
        if let ClockSource::Manual(millis) = &self.0 {
            let now = Moment(millis.load(Ordering::SeqCst));
            millis.store(now.plus(span).as_millis(), Ordering::SeqCst);
        }
    }
}

/// clock_gettime(2), CLOCK_BOOTTIME. Both parts are never negative.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
