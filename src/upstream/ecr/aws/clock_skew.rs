//! The difference between the AWS clock and the local clock. A signature is valid for a few minutes of AWS time, so a
//! machine with a wrong clock would never get a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

/// Maximum difference that is ignored, in seconds: the Date header has whole seconds, and a response takes time. AWS
/// accepts signatures up to 5 min old (IAM User Guide, "Elements of an AWS API request signature").
const TOLERATED_SECS: u64 = 60;

/// The difference between the clocks, as far as it is known. Clones share the value.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockSkew(Arc<AtomicI64>);

impl ClockSkew {
    /// Returns the seconds to add to the local clock. The value is 0 until the AWS clock is known, and while the
    /// clocks agree.
    pub(crate) fn offset_secs(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Updates the difference from the date of a response.
    pub(crate) fn update(&self, aws_time: SystemTime) {
        self.0.store(offset(aws_time, SystemTime::now()), Ordering::Relaxed);
    }

    /// Returns true if a signature would now get another time than with `offset`.
    pub(crate) fn has_changed_since(&self, offset: i64) -> bool {
        self.offset_secs().abs_diff(offset) > TOLERATED_SECS
    }
}

/// The AWS time, which the SDK uses for signatures and to check expiry.
impl TimeSource for ClockSkew {
    fn now(&self) -> SystemTime {
        let (local_time, offset) = (SystemTime::now(), self.offset_secs());
        let span = Duration::from_secs(offset.unsigned_abs());
        let aws_time = if offset < 0 { local_time.checked_sub(span) } else { local_time.checked_add(span) };
        aws_time.unwrap_or(local_time)
    }
}

/// Returns the seconds from the local time to the AWS time, or 0 if the difference is small.
fn offset(aws_time: SystemTime, local_time: SystemTime) -> i64 {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let offset = match aws_time.duration_since(local_time) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    };
    if offset.unsigned_abs() > TOLERATED_SECS { offset } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_clock_difference_is_ignored() {
        let local_time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let offset_of = |seconds: i64| {
            let span = Duration::from_secs(seconds.unsigned_abs());
            offset(if seconds < 0 { local_time - span } else { local_time + span }, local_time)
        };
        assert_eq!([offset_of(0), offset_of(60), offset_of(-60)], [0; 3]);
        assert_eq!([offset_of(61), offset_of(-61), offset_of(86_400)], [61, -61, 86_400]);
    }

    #[test]
    fn clock_skew_is_applied_and_reset() {
        let skew = ClockSkew::default();
        skew.update(SystemTime::now() - Duration::from_secs(3600));
        assert!((-3602..=-3599).contains(&skew.offset_secs()));
        assert!(skew.now() < SystemTime::now() - Duration::from_secs(3590));
        assert!(skew.has_changed_since(0) && !skew.has_changed_since(skew.offset_secs() + 30));
        skew.update(SystemTime::now());
        assert_eq!(skew.offset_secs(), 0);
    }

    #[test]
    fn absurd_date_does_not_overflow() {
        let skew = ClockSkew::default();
        skew.0.store(i64::MIN, Ordering::Relaxed);
        let _ = skew.now();
        skew.0.store(i64::MAX, Ordering::Relaxed);
        let _ = skew.now();
        assert!(skew.has_changed_since(i64::MIN));
    }
}
