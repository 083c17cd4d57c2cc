//! When a token is fetched. Values only: the time and the chance are given.
//!
//! A token is renewed within the second quarter of its life or earlier, at a time that is not the same for all:
//! several doorwards behind a load balancer begin together and would else go on so. What fails is tried again
//! after a wait that doubles, and is never long where there is no good token any more.

use std::time::Duration;

use crate::clock::Moment;

/// The part of its life after which a token is renewed, at the earliest and at the latest: before half, as
/// AWS's own credential helper does it, so that an outage finds at least half a life left.
const RENEWAL_FRACTIONS: (f64, f64) = (0.35, 0.5);

/// The least time between two tokens, however short their lives: AWS takes 20 calls a second of an account,
/// and everything else there needs them too.
const RENEWAL_INTERVAL_MIN: Duration = Duration::from_secs(30);

/// The wait after the first failure.
const RETRY_DELAY_FIRST: Duration = Duration::from_secs(1);

/// The longest wait while the token at hand is good.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// The longest wait while there is none, whatever AWS asks for: it is what an outage lasts longer for us than it did.
const RETRY_DELAY_MAX_WITHOUT_TOKEN: Duration = Duration::from_secs(30);

/// A moment of both clocks. A virtual machine that stood still may find by its date alone that time has passed;
/// one whose date was set back finds it by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The process's own time.
    pub monotonic: Moment,
    /// In seconds since 1970.
    pub unix_seconds: u64,
}

impl ClockReading {
    /// This, and `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self {
            monotonic: self.monotonic.plus(span),
            unix_seconds: self.unix_seconds.saturating_add(span.as_secs()),
        }
    }

    /// Whether it has come by either clock.
    pub fn is_reached(self, now: Self) -> bool {
        now.monotonic >= self.monotonic || now.unix_seconds >= self.unix_seconds
    }
}

/// See the top of this file.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchSchedule {
    state: ScheduleState,
}

#[derive(Clone, Copy, Debug, Default)]
enum ScheduleState {
    #[default]
    NotFetched,
    Fetched {
        fetched_at: Moment,
        renew_at: ClockReading,
    },
    Failed {
        failed_at: Moment,
        failure_count: u32,
        /// Half to whole, of the wait.
        jitter: f64,
        /// As AWS wants it.
        retry_after: Duration,
    },
}

impl FetchSchedule {
    /// A token was fetched that is good for `life`, by credentials that are good for `session`; `chance` is
    /// from 0 to 1.
    pub fn record_fetch(
        &mut self,
        now: ClockReading,
        life: Duration,
        session: Option<Duration>,
        chance: f64,
    ) {
        let span = session.map_or(life, |session| session.min(life));
        let (early, late) = RENEWAL_FRACTIONS;
        let wait = span.mul_f64(early + (late - early) * chance.clamp(0.0, 1.0)).max(RENEWAL_INTERVAL_MIN);
        self.state = ScheduleState::Fetched { fetched_at: now.monotonic, renew_at: now.plus(wait) };
    }

    /// It could not be fetched; `least` is what AWS wants to be left alone for.
    pub fn record_failure(&mut self, now: ClockReading, least: Option<Duration>, chance: f64) {
        let times = if let ScheduleState::Failed { failure_count: times, .. } = self.state {
            times.saturating_add(1)
        } else {
            1
        };
        let part = 0.5 + chance.clamp(0.0, 1.0) / 2.0;
        let least = least.unwrap_or_default().min(RETRY_DELAY_MAX);
        self.state = ScheduleState::Failed {
            failed_at: now.monotonic,
            failure_count: times,
            jitter: part,
            retry_after: least,
        };
    }

    /// Whether one is to be fetched now; `is_good` says whether there is one that is.
    pub fn is_due(&self, now: ClockReading, is_good: bool) -> bool {
        match self.state {
            ScheduleState::NotFetched => true,
            // Also one that ended before its time, since its life was short; but never one after the other.
            ScheduleState::Fetched { fetched_at: at, renew_at: renew } => {
                (renew.is_reached(now) || !is_good) && now.monotonic.since(at) >= RENEWAL_INTERVAL_MIN
            }
            ScheduleState::Failed {
                failed_at: last,
                failure_count: times,
                jitter: part,
                retry_after: least,
            } => {
                let most = if is_good { RETRY_DELAY_MAX } else { RETRY_DELAY_MAX_WITHOUT_TOKEN };
                let doubled = RETRY_DELAY_FIRST.saturating_mul(1 << (times - 1).min(16));
                now.monotonic.since(last) >= doubled.min(most).mul_f64(part).max(least.min(most))
            }
        }
    }

    /// Whether one may be fetched out of turn: not while AWS does not give any.
    pub fn is_fetch_allowed(&self, now: ClockReading, is_good: bool) -> bool {
        !matches!(self.state, ScheduleState::Failed { .. }) || self.is_due(now, is_good)
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
