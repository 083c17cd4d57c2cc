//! Counts of recent failures of users, networks and blocks. They decide the order of turns and the size of shares.
//!
//! A failure adds one, a success subtracts one, and the count is halved every five minutes. So a network in
//! which some of many users mistype passwords has no recent failures, but a network that only guesses has. The throttle
//! uses other counts, because a success must not reduce them.

use std::time::Duration;

use crate::clock::Moment;

/// The number of records in one bucket of the table.
const BUCKET_SIZE: usize = 16;

/// The number of buckets. The table has at most 16,384 records of 24 bytes each. The record with the fewest failures of
/// a bucket is evicted first, so a record is lost early only if as many other tags fail.
const BUCKET_COUNT: usize = 1024;

/// The time after which a count is halved.
const HALF_LIFE: Duration = Duration::from_secs(300);

/// The minimum count of [`FailureLevel::Few`]. Below it, a tag has no recent failures.
const FEW_FAILURES_MIN: f64 = 0.5;

/// The minimum count of [`FailureLevel::Many`]. Below it, a few mistyped passwords are a likely cause.
const MANY_FAILURES_MIN: f64 = 4.5;

/// The level of recent failures. A lower level takes precedence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailureLevel {
    /// No recent failures.
    #[default]
    NoFailures,
    /// A few failures, which can be mistyped passwords.
    Few,
    /// Many failures.
    Many,
}

impl FailureLevel {
    /// All levels, from the lowest to the highest.
    pub(super) const ALL: [Self; Self::COUNT] = [Self::NoFailures, Self::Few, Self::Many];

    /// The number of levels.
    pub(super) const COUNT: usize = 3;
}

#[derive(Clone, Copy, Debug)]
struct FailureRecord {
    tag: u64,
    count: f64,
    /// The time of the last change of `count`.
    updated_at: Moment,
}

impl FailureRecord {
    fn decayed_count(&self, now: Moment) -> f64 {
        self.count * (-now.since(self.updated_at).as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
    }
}

/// A table of failure counts by tag, in bounded memory.
#[derive(Debug)]
pub(super) struct RecentFailures(Box<[Vec<FailureRecord>]>);

impl Default for RecentFailures {
    fn default() -> Self {
        Self((0..BUCKET_COUNT).map(|_| Vec::new()).collect())
    }
}

impl RecentFailures {
    fn bucket_index(tag: u64) -> usize {
        usize::try_from(tag >> 32).unwrap_or_default() % BUCKET_COUNT
    }

    /// Returns the current count of `tag`.
    pub(super) fn count(&self, tag: u64, now: Moment) -> f64 {
        let bucket = self.0.get(Self::bucket_index(tag));
        let record = bucket.and_then(|bucket| bucket.iter().find(|record| record.tag == tag));
        record.map_or(0.0, |record| record.decayed_count(now))
    }

    /// Returns the current level of `tag`.
    pub(super) fn level(&self, tag: u64, now: Moment) -> FailureLevel {
        match self.count(tag, now) {
            count if count < FEW_FAILURES_MIN => FailureLevel::NoFailures,
            count if count < MANY_FAILURES_MIN => FailureLevel::Few,
            _ => FailureLevel::Many,
        }
    }

    /// Records the result of a check of `tag`.
    pub(super) fn record(&mut self, tag: u64, failed: bool, now: Moment) {
        let Some(bucket) = self.0.get_mut(Self::bucket_index(tag)) else { return };
        let index = bucket.iter().position(|record| record.tag == tag);
        let count = index.and_then(|index| bucket.get(index)).map_or(0.0, |record| record.decayed_count(now));
        let count = if failed { count + 1.0 } else { count - 1.0 };
        let record = FailureRecord { tag, count, updated_at: now };
        match index {
            // A tag without failures needs no record.
            Some(index) if count <= 0.0 => drop(bucket.swap_remove(index)),
            Some(index) => bucket.iter_mut().skip(index).take(1).for_each(|entry| *entry = record),
            None if count <= 0.0 => {}
            None if bucket.len() < BUCKET_SIZE => bucket.push(record),
            None => {
                let least =
                    bucket.iter_mut().min_by(|a, b| a.decayed_count(now).total_cmp(&b.decayed_count(now)));
                least.into_iter().for_each(|entry| *entry = record);
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
        // A success without an earlier failure does not offset a later one.
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
