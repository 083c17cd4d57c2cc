//! How far AWS's clock is from ours: a signature is good for a few minutes around AWS's time, and a machine
//! whose clock is wrong would never get a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;

/// A difference up to here is left alone, in seconds: the Date header has whole ones, and an answer takes its
/// time. AWS takes signatures up to 5 min old (IAM User Guide, "Elements of an AWS API request signature").
const TOLERATED_SECS: u64 = 60;

/// AWS's time, as far as it is known. Clones share what is learnt.
#[derive(Clone, Debug, Default)]
pub struct ClockSkew(Arc<AtomicI64>);

impl ClockSkew {
    /// Seconds that are added to our clock; 0 until AWS's is known, and while they agree.
    pub fn compute_offset_secs(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Learns from the date of one of AWS's answers.
    pub fn update(&self, theirs: SystemTime) {
        self.0.store(offset(theirs, SystemTime::now()), Ordering::Relaxed);
    }

    /// Whether another time would be used now than when `offset` was.
    pub fn has_changed_since(&self, offset: i64) -> bool {
        self.compute_offset_secs().abs_diff(offset) > TOLERATED_SECS
    }
}

/// AWS's time: what the SDK signs with, and judges expiry by.
impl TimeSource for ClockSkew {
    fn now(&self) -> SystemTime {
        let (ours, offset) = (SystemTime::now(), self.compute_offset_secs());
        let span = Duration::from_secs(offset.unsigned_abs());
        let theirs = if offset < 0 { ours.checked_sub(span) } else { ours.checked_add(span) };
        theirs.unwrap_or(ours)
    }
}

/// Seconds from our time to theirs, or 0 where they are close.
fn offset(theirs: SystemTime, ours: SystemTime) -> i64 {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let offset = match theirs.duration_since(ours) {
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
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let of = |seconds: i64| {
            let span = Duration::from_secs(seconds.unsigned_abs());
            offset(if seconds < 0 { ours - span } else { ours + span }, ours)
        };
        assert_eq!([of(0), of(60), of(-60)], [0; 3]);
        assert_eq!([of(61), of(-61), of(86_400)], [61, -61, 86_400]);
    }

    #[test]
    fn clock_skew_is_applied_and_reset() {
        let skew = ClockSkew::default();
        skew.update(SystemTime::now() - Duration::from_secs(3600));
        assert!((-3602..=-3599).contains(&skew.compute_offset_secs()));
        assert!(skew.now() < SystemTime::now() - Duration::from_secs(3590));
        assert!(skew.has_changed_since(0) && !skew.has_changed_since(skew.compute_offset_secs() + 30));
        skew.update(SystemTime::now());
        assert_eq!(skew.compute_offset_secs(), 0);
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
