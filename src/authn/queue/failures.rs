//! Who has failed of late: what decides whose turn comes first, and how many places somebody may have.
//!
//! A failure counts one, a success takes one back, and half of the count is gone after five minutes. So a
//! network with many users, some of whom mistype, stands as well as one with none, and one that only guesses
//! does not. The throttle counts otherwise, since there a success must take nothing back.

use std::time::Duration;

use crate::clock::Moment;

/// Places in a bucket of the table.
const BUCKET_SIZE: usize = 16;

/// Buckets: 16,384 records of 24 bytes each at the most. The one with the fewest failures goes first, so only
/// whoever fails from as many blocks is forgotten before his time.
const BUCKET_COUNT: usize = 1024;

/// The time in which half of a count is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(300);

/// From this count on, the others come first.
const FEW_FAILURES_MIN: f64 = 0.5;

/// And from this one on, those who mistyped a few times do too.
const MANY_FAILURES_MIN: f64 = 4.5;

/// How well somebody stands: lower is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailureLevel {
    /// No recent failure.
    #[default]
    NoFailures,
    /// A few.
    Few,
    /// Many.
    Many,
}

impl FailureLevel {
    /// From good to failing.
    pub(super) const ALL: [Self; Self::COUNT] = [Self::NoFailures, Self::Few, Self::Many];

    /// How many there are.
    pub(super) const COUNT: usize = 3;
}

#[derive(Clone, Copy, Debug)]
struct FailureRecord {
    key: u64,
    count: f64,
    /// When `count` was true.
    updated_at: Moment,
}

impl FailureRecord {
    fn decayed_count(&self, now: Moment) -> f64 {
        self.count * (-now.since(self.updated_at).as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
    }
}

/// Counts by tag, in bounded memory.
#[derive(Debug)]
pub(super) struct RecentFailures(Box<[Vec<FailureRecord>]>);

impl Default for RecentFailures {
    fn default() -> Self {
        Self((0..BUCKET_COUNT).map(|_| Vec::new()).collect())
    }
}

impl RecentFailures {
    fn bucket(tag: u64) -> usize {
        usize::try_from(tag >> 32).unwrap_or_default() % BUCKET_COUNT
    }

    /// The count of `tag`.
    pub(super) fn count(&self, tag: u64, now: Moment) -> f64 {
        let bucket = self.0.get(Self::bucket(tag));
        let record = bucket.and_then(|bucket| bucket.iter().find(|record| record.key == tag));
        record.map_or(0.0, |record| record.decayed_count(now))
    }

    /// How well `tag` stands.
    pub(super) fn level(&self, tag: u64, now: Moment) -> FailureLevel {
        match self.count(tag, now) {
            count if count < FEW_FAILURES_MIN => FailureLevel::NoFailures,
            count if count < MANY_FAILURES_MIN => FailureLevel::Few,
            _ => FailureLevel::Many,
        }
    }

    /// Counts a check of `tag`.
    pub(super) fn record(&mut self, tag: u64, failed: bool, now: Moment) {
        let Some(bucket) = self.0.get_mut(Self::bucket(tag)) else { return };
        let place = bucket.iter().position(|record| record.key == tag);
        let count = place.and_then(|place| bucket.get(place)).map_or(0.0, |record| record.decayed_count(now));
        let count = if failed { count + 1.0 } else { count - 1.0 };
        let record = FailureRecord { key: tag, count, updated_at: now };
        match place {
            // One of a good standing needs no record.
            Some(place) if count <= 0.0 => drop(bucket.swap_remove(place)),
            Some(place) => bucket.iter_mut().skip(place).take(1).for_each(|kept| *kept = record),
            None if count <= 0.0 => {}
            None if bucket.len() < BUCKET_SIZE => bucket.push(record),
            None => {
                let least =
                    bucket.iter_mut().min_by(|a, b| a.decayed_count(now).total_cmp(&b.decayed_count(now)));
                least.into_iter().for_each(|kept| *kept = record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn failure_is_recent_for_five_minutes_and_success_cancels_one() {
        let mut failures = RecentFailures::default();
        failures.record(1, true, at(0));
        assert_eq!(failures.level(1, at(299)), FailureLevel::Few);
        assert_eq!(failures.level(1, at(301)), FailureLevel::NoFailures);
        failures.record(1, false, at(1));
        assert_eq!(failures.level(1, at(1)), FailureLevel::NoFailures);
        // Nothing is saved up.
        failures.record(1, false, at(1));
        failures.record(1, true, at(2));
        assert_eq!(failures.level(1, at(2)), FailureLevel::Few);
        (0..5).for_each(|_| failures.record(1, true, at(2)));
        assert_eq!(failures.level(1, at(2)), FailureLevel::Many);
        assert_eq!(failures.level(2, at(2)), FailureLevel::NoFailures);
    }

    #[test]
    fn full_table_evicts_the_tags_with_fewest_failures() {
        let mut failures = RecentFailures::default();
        (0..10).for_each(|_| failures.record(u64::MAX, true, at(0)));
        for tag in 0..100_000_u64 {
            failures.record(tag << 32 | tag, true, at(1));
        }
        assert_eq!(failures.level(u64::MAX, at(1)), FailureLevel::Many);
        assert!(failures.0.iter().map(Vec::len).sum::<usize>() <= BUCKET_SIZE * BUCKET_COUNT);
    }
}
