//! The schedule of token fetches. It contains only values: the caller supplies the time and the random numbers.
//!
//! A token is renewed before half of its lifetime has passed. The time is random, because several doorward processes
//! behind a load balancer often start at the same time. A failed fetch is repeated after a delay that doubles. The
//! delay has a lower limit if there is no valid token.

use std::time::Duration;

use crate::clock::Moment;

/// Fractions of the lifetime after which a token is renewed, at the earliest and at the latest. The credential helper
/// of AWS also renews before half, so that at least half a lifetime is left in an outage.
const RENEWAL_FRACTIONS: (f64, f64) = (0.35, 0.5);

/// Minimum time between two fetches, however short the lifetime is. AWS permits 20 calls per second and account, and
/// other programs share this limit.
const RENEWAL_INTERVAL_MIN: Duration = Duration::from_secs(30);

/// Delay after the first failure.
const RETRY_DELAY_FIRST: Duration = Duration::from_secs(1);

/// Maximum delay while the current token is valid.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// Maximum delay without a valid token, even if AWS requests more. An outage of AWS is prolonged by at most this
/// time.
const RETRY_DELAY_MAX_WITHOUT_TOKEN: Duration = Duration::from_secs(30);

/// The time of both clocks. After the suspend of a virtual machine, only the date can show that time has passed. If
/// the date was set back, only the monotonic clock shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The monotonic time of the process.
    pub monotonic: Moment,
    /// The date, in seconds since 1970.
    pub unix_seconds: u64,
}

impl ClockReading {
    /// Returns this time plus `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self {
            monotonic: self.monotonic.plus(span),
            unix_seconds: self.unix_seconds.saturating_add(span.as_secs()),
        }
    }

    /// Returns true if this time has been reached by at least one of the clocks.
    pub fn is_reached(self, now: Self) -> bool {
        now.monotonic >= self.monotonic || now.unix_seconds >= self.unix_seconds
    }
}

/// The time of the next fetch.
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
        /// The random fraction of the delay that is used, from 0.5 to 1.
        jitter: f64,
        /// The delay that AWS requests.
        retry_after: Duration,
    },
}

impl FetchSchedule {
    /// Records a fetched token with this `lifetime`, which was requested with credentials of `credentials_lifetime`.
    /// `random` is from 0 to 1.
    pub fn record_fetch(
        &mut self,
        now: ClockReading,
        lifetime: Duration,
        credentials_lifetime: Option<Duration>,
        random: f64,
    ) {
        let span =
            credentials_lifetime.map_or(lifetime, |credentials_lifetime| credentials_lifetime.min(lifetime));
        let (early, late) = RENEWAL_FRACTIONS;
        let delay = span.mul_f64(early + (late - early) * random.clamp(0.0, 1.0)).max(RENEWAL_INTERVAL_MIN);
        self.state = ScheduleState::Fetched { fetched_at: now.monotonic, renew_at: now.plus(delay) };
    }

    /// Records a failed fetch. `retry_after` is the delay that AWS requests.
    pub fn record_failure(&mut self, now: ClockReading, retry_after: Option<Duration>, random: f64) {
        let failure_count = if let ScheduleState::Failed { failure_count, .. } = self.state {
            failure_count.saturating_add(1)
        } else {
            1
        };
        let jitter = 0.5 + random.clamp(0.0, 1.0) / 2.0;
        let retry_after = retry_after.unwrap_or_default().min(RETRY_DELAY_MAX);
        self.state = ScheduleState::Failed { failed_at: now.monotonic, failure_count, jitter, retry_after };
    }

    /// Returns true if a token must be fetched now. `has_valid_token` must be true if the current token is valid.
    pub fn is_due(&self, now: ClockReading, has_valid_token: bool) -> bool {
        match self.state {
            ScheduleState::NotFetched => true,
            // A token can expire before the renewal if its lifetime is short. The minimum interval still applies.
            ScheduleState::Fetched { fetched_at, renew_at } => {
                (renew_at.is_reached(now) || !has_valid_token)
                    && now.monotonic.since(fetched_at) >= RENEWAL_INTERVAL_MIN
            }
            ScheduleState::Failed { failed_at, failure_count, jitter, retry_after } => {
                let delay_max = if has_valid_token { RETRY_DELAY_MAX } else { RETRY_DELAY_MAX_WITHOUT_TOKEN };
                let doubled = RETRY_DELAY_FIRST.saturating_mul(1 << (failure_count - 1).min(16));
                now.monotonic.since(failed_at)
                    >= doubled.min(delay_max).mul_f64(jitter).max(retry_after.min(delay_max))
            }
        }
    }

    /// Returns true if a token can be fetched before it is due. This is not allowed during the delay after a failure.
    pub fn is_fetch_allowed(&self, now: ClockReading, has_valid_token: bool) -> bool {
        !matches!(self.state, ScheduleState::Failed { .. }) || self.is_due(now, has_valid_token)
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
