//! Who has failed of late: what decides whose turn comes first, and how many places somebody may have.
//!
//! A failure counts one, a success takes one back, and half of the count is gone after five minutes. So a
//! network with many users, some of whom mistype, stands as well as one with none, and one that only guesses
//! does not. The throttle counts otherwise, since there a success must take nothing back.

use std::time::Duration;

use crate::clock::Moment;

/// Places in a bucket of the table.
const WAYS: usize = 16;

/// Buckets: 16,384 records of 24 bytes each at the most. The one with the fewest failures goes first, so only
/// whoever fails from as many blocks is forgotten before his time.
const BUCKETS: usize = 1024;

/// The time in which half of a count is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(300);

/// From this count on, the others come first.
const RECENT: f64 = 0.5;

/// And from this one on, those who mistyped a few times do too.
const MANY: f64 = 4.5;

/// How well somebody stands: lower is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// No recent failure.
    #[default]
    Good,
    /// A few.
    Doubtful,
    /// Many.
    Failing,
}

impl Standing {
    /// From good to failing.
    pub(super) const ALL: [Self; Self::COUNT] = [Self::Good, Self::Doubtful, Self::Failing];

    /// How many there are.
    pub(super) const COUNT: usize = 3;
}

#[derive(Clone, Copy, Debug)]
struct Record {
    key: u64,
    count: f64,
    /// When `count` was true.
    updated_at: Moment,
}

impl Record {
    fn now(&self, now: Moment) -> f64 {
        self.count * (-now.since(self.updated_at).as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
    }
}

/// Counts by tag, in bounded memory.
#[derive(Debug)]
pub(super) struct Failures(Box<[Vec<Record>]>);

impl Default for Failures {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| Vec::new()).collect())
    }
}

impl Failures {
    fn bucket(tag: u64) -> usize {
        usize::try_from(tag >> 32).unwrap_or_default() % BUCKETS
    }

    /// The count of `tag`.
    pub(super) fn count(&self, tag: u64, now: Moment) -> f64 {
        let bucket = self.0.get(Self::bucket(tag));
        let record = bucket.and_then(|bucket| bucket.iter().find(|record| record.key == tag));
        record.map_or(0.0, |record| record.now(now))
    }

    /// How well `tag` stands.
    pub(super) fn standing(&self, tag: u64, now: Moment) -> Standing {
        match self.count(tag, now) {
            count if count < RECENT => Standing::Good,
            count if count < MANY => Standing::Doubtful,
            _ => Standing::Failing,
        }
    }

    /// Counts a check of `tag`.
    pub(super) fn add(&mut self, tag: u64, failed: bool, now: Moment) {
        let Some(bucket) = self.0.get_mut(Self::bucket(tag)) else { return };
        let place = bucket.iter().position(|record| record.key == tag);
        let count = place.and_then(|place| bucket.get(place)).map_or(0.0, |record| record.now(now));
        let count = if failed { count + 1.0 } else { count - 1.0 };
        let record = Record { key: tag, count, updated_at: now };
        match place {
            // One of a good standing needs no record.
            Some(place) if count <= 0.0 => drop(bucket.swap_remove(place)),
            Some(place) => bucket.iter_mut().skip(place).take(1).for_each(|kept| *kept = record),
            None if count <= 0.0 => {}
            None if bucket.len() < WAYS => bucket.push(record),
            None => {
                let least = bucket.iter_mut().min_by(|a, b| a.now(now).total_cmp(&b.now(now)));
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
    fn a_failure_is_recent_for_five_minutes_and_a_success_takes_one_back() {
        let mut failures = Failures::default();
        failures.add(1, true, at(0));
        assert_eq!(failures.standing(1, at(299)), Standing::Doubtful);
        assert_eq!(failures.standing(1, at(301)), Standing::Good);
        failures.add(1, false, at(1));
        assert_eq!(failures.standing(1, at(1)), Standing::Good);
        // Nothing is saved up.
        failures.add(1, false, at(1));
        failures.add(1, true, at(2));
        assert_eq!(failures.standing(1, at(2)), Standing::Doubtful);
        (0..5).for_each(|_| failures.add(1, true, at(2)));
        assert_eq!(failures.standing(1, at(2)), Standing::Failing);
        assert_eq!(failures.standing(2, at(2)), Standing::Good);
    }

    #[test]
    fn a_flood_of_others_forgets_those_with_the_fewest_failures_first_and_takes_no_more_room() {
        let mut failures = Failures::default();
        (0..10).for_each(|_| failures.add(u64::MAX, true, at(0)));
        for tag in 0..100_000_u64 {
            failures.add(tag << 32 | tag, true, at(1));
        }
        assert_eq!(failures.standing(u64::MAX, at(1)), Standing::Failing);
        assert!(failures.0.iter().map(Vec::len).sum::<usize>() <= WAYS * BUCKETS);
    }
}
