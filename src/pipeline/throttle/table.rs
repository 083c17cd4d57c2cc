//! A table of leaking counts in constant memory: buckets of a few places, found by a keyed hash.
//! A full bucket gives up the record with the least in it, so that a flood of harmless records
//! can't wash out the one that matters.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// Places in a bucket: enough that by chance alone a bucket rarely fills before the table has.
const BUCKET_RECORDS: usize = 16;

/// Wrong passwords remembered for each user and network, to tell a repeated one from a new one.
const RECENT_ATTEMPTS_MAX: usize = 8;

/// Below this a count has leaked away.
const LEVEL_EPSILON: f64 = 1e-9;

/// How many failures are borne, and how fast they leak away.
#[derive(Clone, Copy, Debug)]
pub struct FailureLimit {
    limit: f64,
    per_milli: f64,
}

impl FailureLimit {
    /// `limit` failures in a `window`, at least one of each.
    pub fn new(limit: u32, window: Duration) -> Self {
        let limit = f64::from(limit.max(1));
        Self { limit, per_milli: limit / (window.as_secs_f64() * 1000.0).max(1.0) }
    }

    fn level(&self, record: &FailureRecord, now: Moment) -> f64 {
        let leaked = now.since(record.at).as_secs_f64() * 1000.0 * self.per_milli;
        (record.level - leaked).max(0.0)
    }
}

/// A question that was counted.
#[derive(Clone, Copy, Debug)]
struct RecentAttempt {
    question: u64,
    /// Requests that wait for its answer now.
    open: u32,
    /// Whether the total of the record's owner counts it too; see [`Table::charge`].
    charged: bool,
    /// Until when its rejection is given without a check.
    rejected_until: Moment,
    /// In which epoch that was noted; another one makes it worthless.
    epoch: u64,
}

#[derive(Clone, Debug)]
struct FailureRecord {
    tag: u64,
    level: f64,
    /// When `level` was true.
    at: Moment,
    /// The oldest first; empty in tables that count without questions.
    remembered: Vec<RecentAttempt>,
}

impl FailureRecord {
    fn find(&mut self, question: u64) -> Option<&mut RecentAttempt> {
        self.remembered.iter_mut().find(|known| known.question == question)
    }

    /// Remembers a new question, in the place of the oldest one that is not being asked.
    fn remember(&mut self, question: u64) {
        if self.remembered.len() >= RECENT_ATTEMPTS_MAX {
            let oldest = self.remembered.iter().position(|known| known.open == 0).unwrap_or_default();
            self.remembered.remove(oldest);
        }
        let rejected_until = Moment::default();
        self.remembered.push(RecentAttempt { question, open: 0, charged: false, rejected_until, epoch: 0 });
    }
}

/// See the top of this file.
#[derive(Debug)]
pub struct FailureTable {
    buckets: Box<[Mutex<Vec<FailureRecord>>]>,
    rate: FailureLimit,
    used: AtomicUsize,
}

impl FailureTable {
    /// Room for at least `entries` records.
    pub fn new(entries: usize, rate: FailureLimit) -> Self {
        let buckets = entries.div_ceil(BUCKET_RECORDS).max(1);
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

    fn bucket(&self, tag: u64) -> Option<MutexGuard<'_, Vec<FailureRecord>>> {
        let index = usize::try_from(tag >> 32).unwrap_or_default() % self.buckets.len();
        let bucket = self.buckets.get(index)?;
        Some(bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long until there is room for one more failure under `tag`; `None` if there is now. A `question`
    /// that is being asked has its place already.
    pub fn wait(&self, tag: u64, question: Option<u64>, now: Moment) -> Option<Duration> {
        self.wait_for(self.rate.limit, tag, question, now)
    }

    /// The same under a part of the limit.
    pub fn wait_in_part(&self, part: f64, tag: u64, now: Moment) -> Option<Duration> {
        self.wait_for(part * self.rate.limit, tag, None, now)
    }

    fn wait_for(&self, limit: f64, tag: u64, question: Option<u64>, now: Moment) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let bucket = self.bucket(tag)?;
        let record = bucket.iter().find(|record| record.tag == tag)?;
        let excess = self.rate.level(record, now) + 1.0 - limit;
        // What is left of a failure after its last millisecond is an error of the arithmetic.
        if excess <= self.rate.per_milli {
            return None;
        }
        let open = |known: &RecentAttempt| Some(known.question) == question && known.open > 0;
        if excess <= 1.0 + self.rate.per_milli && record.remembered.iter().any(open) {
            return None;
        }
        Some(Duration::from_millis((excess / self.rate.per_milli).ceil() as u64))
    }

    /// Counts a failure under `tag`, unless it is one of the last ones again. Says whether it did.
    pub fn count(&self, tag: u64, question: Option<u64>, now: Moment) -> bool {
        let Some(mut bucket) = self.bucket(tag) else { return true };
        let Some(record) = self.record(&mut bucket, tag, now) else { return true };
        if let Some(question) = question {
            if record.find(question).is_some() {
                return false;
            }
            record.remember(question);
        }
        // Not cut at the limit: checks that were under way when it was reached are paid for too. Who
        // is throttled adds nothing, so they are all that there can be beyond it.
        record.level = self.rate.level(record, now) + 1.0;
        record.at = now;
        true
    }

    /// Counts a failure as [`Table::count`] does, of a question that is being asked until
    /// [`Table::close`]: whatever is asked meanwhile finds it counted.
    pub fn open(&self, tag: u64, question: u64, now: Moment) -> bool {
        let counted = self.count(tag, Some(question), now);
        self.with(tag, question, |known| known.open += 1);
        counted
    }

    /// A request has stopped waiting for the answer.
    pub fn close(&self, tag: u64, question: u64) {
        self.with(tag, question, |known| known.open = known.open.saturating_sub(1));
    }

    /// Whether the total of the owner of `tag` counts a failure of it. One that has leaked away counts no more, nor
    /// one that was forgotten for later ones.
    pub fn is_charged(&self, tag: u64, now: Moment) -> bool {
        if self.is_empty() {
            return false;
        }
        let Some(bucket) = self.bucket(tag) else { return true };
        let record = bucket.iter().find(|record| record.tag == tag);
        record.is_some_and(|record| {
            self.rate.level(record, now) > LEVEL_EPSILON && record.remembered.iter().any(|known| known.charged)
        })
    }

    /// Notes that the total of the record's owner counts `question`.
    pub fn charge(&self, tag: u64, question: u64) {
        self.with(tag, question, |known| known.charged = true);
    }

    /// Notes that the answer to `question` is no, until then and in this epoch. If the question is
    /// forgotten, so is its answer.
    pub fn reject(&self, tag: u64, question: u64, until: Moment, epoch: u64) {
        self.with(tag, question, |known| (known.rejected_until, known.epoch) = (until, epoch));
    }

    /// Whether that is noted.
    pub fn is_rejected(&self, tag: u64, question: u64, now: Moment, epoch: u64) -> bool {
        let noted = self.with(tag, question, |known| known.epoch == epoch && now < known.rejected_until);
        noted.unwrap_or_default()
    }

    /// Takes a failure back that turned out not to be one. `None` if it was not counted; otherwise whether
    /// the owner's total counts it too.
    pub fn forgive(&self, tag: u64, question: Option<u64>, now: Moment) -> Option<bool> {
        if self.is_empty() {
            return None;
        }
        let mut bucket = self.bucket(tag)?;
        let index = bucket.iter().position(|record| record.tag == tag)?;
        let record = bucket.get_mut(index)?;
        let mut charged = false;
        if let Some(question) = question {
            let place = record.remembered.iter().position(|known| known.question == question)?;
            charged = record.remembered.remove(place).charged;
        }
        record.level = (self.rate.level(record, now) - 1.0).max(0.0);
        record.at = now;
        // A success leaves nothing behind.
        if record.level < LEVEL_EPSILON && record.remembered.is_empty() {
            bucket.swap_remove(index);
            self.used.fetch_sub(1, Ordering::AcqRel);
        }
        Some(charged)
    }

    fn with<T>(&self, tag: u64, question: u64, act: impl FnOnce(&mut RecentAttempt) -> T) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut bucket = self.bucket(tag)?;
        bucket.iter_mut().find(|record| record.tag == tag)?.find(question).map(act)
    }

    /// The record of `tag`, made if it is not there, in the place of the one with the least in it if need be.
    fn record<'b>(&self, bucket: &'b mut Vec<FailureRecord>, tag: u64, now: Moment) -> Option<&'b mut FailureRecord> {
        let fresh = || FailureRecord { tag, level: 0.0, at: now, remembered: Vec::new() };
        let index = match bucket.iter().position(|record| record.tag == tag) {
            Some(index) => index,
            None if bucket.len() < BUCKET_RECORDS => {
                bucket.push(fresh());
                self.used.fetch_add(1, Ordering::AcqRel);
                bucket.len() - 1
            }
            None => {
                let index = self.least(bucket, now);
                if let Some(place) = bucket.get_mut(index) {
                    *place = fresh();
                }
                index
            }
        };
        bucket.get_mut(index)
    }

    fn least(&self, bucket: &[FailureRecord], now: Moment) -> usize {
        let by_level = |(_, a): &(usize, &FailureRecord), (_, b): &(usize, &FailureRecord)| {
            let levels = self.rate.level(a, now).total_cmp(&self.rate.level(b, now));
            levels.then(a.at.cmp(&b.at))
        };
        bucket.iter().enumerate().min_by(by_level).map_or(0, |(index, _)| index)
    }
}
