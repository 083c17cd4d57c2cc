//! A table of leaking counts in constant memory: buckets of a few places, found by a keyed hash.
//! A full bucket gives up the record with the least in it, so that a flood of harmless records
//! can't wash out the one that matters.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// Places in a bucket: enough that by chance alone a bucket rarely fills before the table has.
const WAYS: usize = 16;

/// Wrong passwords remembered for each user and network, to tell a repeated one from a new one.
const REMEMBERED: usize = 8;

/// How many failures are borne, and how fast they leak away.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    limit: f64,
    per_milli: f64,
}

impl Rate {
    /// `limit` failures in a `window`, at least one of each.
    pub fn new(limit: u32, window: Duration) -> Self {
        let limit = f64::from(limit.max(1));
        Self { limit, per_milli: limit / (window.as_secs_f64() * 1000.0).max(1.0) }
    }

    fn level(&self, record: &Record, now: Moment) -> f64 {
        let leaked = now.since(record.at).as_secs_f64() * 1000.0 * self.per_milli;
        (record.level - leaked).max(0.0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    tag: u64,
    level: f64,
    /// When `level` was true.
    at: Moment,
    remembered: [u64; REMEMBERED],
    next: usize,
}

impl Record {
    /// Says whether `question` is new here, and remembers it in the oldest one's place.
    fn is_new(&mut self, question: u64) -> bool {
        if self.remembered.contains(&question) {
            return false;
        }
        if let Some(place) = self.remembered.get_mut(self.next % REMEMBERED) {
            *place = question;
        }
        self.next += 1;
        true
    }
}

/// See the top of this file.
#[derive(Debug)]
pub struct Table {
    buckets: Box<[Mutex<Vec<Record>>]>,
    rate: Rate,
    used: AtomicUsize,
}

impl Table {
    /// Room for at least `entries` records.
    pub fn new(entries: usize, rate: Rate) -> Self {
        let buckets = entries.div_ceil(WAYS).max(1);
        Self { buckets: (0..buckets).map(|_| Mutex::default()).collect(), rate, used: AtomicUsize::new(0) }
    }

    /// Records in use.
    pub fn len(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn bucket(&self, tag: u64) -> Option<MutexGuard<'_, Vec<Record>>> {
        let index = usize::try_from(tag >> 32).unwrap_or_default() % self.buckets.len();
        let bucket = self.buckets.get(index)?;
        Some(bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long until there is room for one more failure under `tag`; `None` if there is now.
    pub fn wait(&self, tag: u64, now: Moment) -> Option<Duration> {
        let bucket = self.bucket(tag)?;
        let record = bucket.iter().find(|record| record.tag == tag)?;
        let excess = self.rate.level(record, now) + 1.0 - self.rate.limit;
        // What is left of a failure after its last millisecond is an error of the arithmetic.
        (excess > self.rate.per_milli)
            .then(|| Duration::from_millis((excess / self.rate.per_milli).ceil() as u64))
    }

    /// Counts a failure under `tag`, unless it is one of the last ones again. Says whether it did.
    pub fn count(&self, tag: u64, question: Option<u64>, now: Moment) -> bool {
        let Some(mut bucket) = self.bucket(tag) else { return true };
        let fresh = Record { tag, level: 0.0, at: now, remembered: [0; REMEMBERED], next: 0 };
        let index = match bucket.iter().position(|record| record.tag == tag) {
            Some(index) => index,
            None if bucket.len() < WAYS => {
                bucket.push(fresh);
                self.used.fetch_add(1, Ordering::AcqRel);
                bucket.len() - 1
            }
            None => {
                let index = self.least(&bucket, now);
                if let Some(place) = bucket.get_mut(index) {
                    *place = fresh;
                }
                index
            }
        };
        let Some(record) = bucket.get_mut(index) else { return true };
        if let Some(question) = question
            && !record.is_new(question)
        {
            return false;
        }
        // Not cut at the limit: checks that were under way when it was reached are paid for too. Who
        // is throttled adds nothing, so they are all that there can be beyond it.
        record.level = self.rate.level(record, now) + 1.0;
        record.at = now;
        true
    }

    /// Takes a failure back that turned out not to be one. Says whether it was counted.
    pub fn forgive(&self, tag: u64, question: Option<u64>, now: Moment) -> bool {
        let Some(mut bucket) = self.bucket(tag) else { return false };
        let Some(record) = bucket.iter_mut().find(|record| record.tag == tag) else { return false };
        if let Some(question) = question {
            let Some(place) = record.remembered.iter_mut().find(|known| **known == question) else {
                return false;
            };
            *place = 0;
        }
        record.level = (self.rate.level(record, now) - 1.0).max(0.0);
        record.at = now;
        true
    }

    fn least(&self, bucket: &[Record], now: Moment) -> usize {
        let by_level = |(_, a): &(usize, &Record), (_, b): &(usize, &Record)| {
            let levels = self.rate.level(a, now).total_cmp(&self.rate.level(b, now));
            levels.then(a.at.cmp(&b.at))
        };
        bucket.iter().enumerate().min_by(by_level).map_or(0, |(index, _)| index)
    }
}
