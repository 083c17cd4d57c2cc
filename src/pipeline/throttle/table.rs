//! A table of leaking counts in constant memory: buckets of a few places, found by a keyed hash.
//! A full bucket gives up the record with the least in it, so that a flood of harmless records
//! can't wash out the one that matters.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
struct FailureLimit {
    failures_max: f64,
    leak_per_milli: f64,
}

impl FailureLimit {
    /// `limit` failures in a `window`, at least one of each.
    fn new(limit: u32, window: Duration) -> Self {
        let limit = f64::from(limit.max(1));
        Self { failures_max: limit, leak_per_milli: limit / (window.as_secs_f64() * 1000.0).max(1.0) }
    }

    fn level_at(&self, record: &FailureRecord, now: Moment) -> f64 {
        let leaked = now.since(record.updated_at).as_secs_f64() * 1000.0 * self.leak_per_milli;
        (record.level - leaked).max(0.0)
    }
}

/// Packs a limit into one number.
fn pack_limit(failures: u32, window: Duration) -> u64 {
    (u64::from(failures) << 32) | u64::from(u32::try_from(window.as_millis()).unwrap_or(u32::MAX))
}

/// A question that was counted.
#[derive(Clone, Copy, Debug)]
struct RecentAttempt {
    attempt_id: u64,
    /// Requests that wait for its answer now.
    waiting_count: u32,
    /// Whether the total of the record's owner counts it too; see [`Table::charge`].
    is_in_total: bool,
    /// Until when its rejection is given without a check.
    rejected_until: Moment,
    /// In which epoch that was noted; another one makes it worthless.
    rejection_epoch: u64,
}

#[derive(Clone, Debug)]
struct FailureRecord {
    tag: u64,
    level: f64,
    /// When `level` was true.
    updated_at: Moment,
    /// The oldest first; empty in tables that count without questions.
    recent_attempts: Vec<RecentAttempt>,
}

impl FailureRecord {
    fn find_attempt(&mut self, question: u64) -> Option<&mut RecentAttempt> {
        self.recent_attempts.iter_mut().find(|known| known.attempt_id == question)
    }

    /// Remembers a new question, in the place of the oldest one that is not being asked.
    fn add_attempt(&mut self, question: u64) {
        if self.recent_attempts.len() >= RECENT_ATTEMPTS_MAX {
            let oldest =
                self.recent_attempts.iter().position(|known| known.waiting_count == 0).unwrap_or_default();
            self.recent_attempts.remove(oldest);
        }
        let rejected_until = Moment::default();
        self.recent_attempts.push(RecentAttempt {
            attempt_id: question,
            waiting_count: 0,
            is_in_total: false,
            rejected_until,
            rejection_epoch: 0,
        });
    }
}

/// See the top of this file.
#[derive(Debug)]
pub struct FailureTable {
    buckets: Box<[Mutex<Vec<FailureRecord>>]>,
    /// The number of failures in the upper half, and the window in milliseconds in the lower: one value, so that a
    /// change at run time is seen whole.
    failure_limit: AtomicU64,
    record_count: AtomicUsize,
}

impl FailureTable {
    /// Room for at least `entries` records.
    pub fn new(entries: usize, failures: u32, window: Duration) -> Self {
        let buckets = entries.div_ceil(BUCKET_RECORDS).max(1);
        Self {
            buckets: (0..buckets).map(|_| Mutex::default()).collect(),
            failure_limit: AtomicU64::new(pack_limit(failures, window)),
            record_count: AtomicUsize::new(0),
        }
    }

    /// Changes the limit. Failures that were counted stay, and decrease at the new rate.
    pub fn set_limit(&self, failures: u32, window: Duration) {
        self.failure_limit.store(pack_limit(failures, window), Ordering::Relaxed);
    }

    fn failure_limit(&self) -> FailureLimit {
        let packed = self.failure_limit.load(Ordering::Relaxed);
        let (failures, window) = (packed >> 32, packed & u64::from(u32::MAX));
        FailureLimit::new(u32::try_from(failures).unwrap_or(u32::MAX), Duration::from_millis(window))
    }

    /// Records in use.
    pub fn len(&self) -> usize {
        self.record_count.load(Ordering::Acquire)
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
    pub fn retry_after(&self, tag: u64, question: Option<u64>, now: Moment) -> Option<Duration> {
        self.retry_after_at_fraction_of_limit(1.0, tag, question, now)
    }

    /// The same under a part of the limit.
    pub fn retry_after_at_fraction(&self, part: f64, tag: u64, now: Moment) -> Option<Duration> {
        self.retry_after_at_fraction_of_limit(part, tag, None, now)
    }

    fn retry_after_at_fraction_of_limit(
        &self,
        fraction: f64,
        tag: u64,
        question: Option<u64>,
        now: Moment,
    ) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let bucket = self.bucket(tag)?;
        let record = bucket.iter().find(|record| record.tag == tag)?;
        let limit = self.failure_limit();
        let excess = limit.level_at(record, now) + 1.0 - fraction * limit.failures_max;
        // What is left of a failure after its last millisecond is an error of the arithmetic.
        if excess <= limit.leak_per_milli {
            return None;
        }
        let open = |known: &RecentAttempt| Some(known.attempt_id) == question && known.waiting_count > 0;
        if excess <= 1.0 + limit.leak_per_milli && record.recent_attempts.iter().any(open) {
            return None;
        }
        Some(Duration::from_millis((excess / limit.leak_per_milli).ceil() as u64))
    }

    /// Counts a failure under `tag`, unless it is one of the last ones again. Says whether it did.
    pub fn count_failure(&self, tag: u64, question: Option<u64>, now: Moment) -> bool {
        let Some(mut bucket) = self.bucket(tag) else { return true };
        let Some(record) = self.get_or_insert(&mut bucket, tag, now) else { return true };
        if let Some(question) = question {
            if record.find_attempt(question).is_some() {
                return false;
            }
            record.add_attempt(question);
        }
        // Not cut at the limit: checks that were under way when it was reached are paid for too. Who
        // is throttled adds nothing, so they are all that there can be beyond it.
        record.level = self.failure_limit().level_at(record, now) + 1.0;
        record.updated_at = now;
        true
    }

    /// Counts a failure as [`Table::count`] does, of a question that is being asked until
    /// [`Table::close`]: whatever is asked meanwhile finds it counted.
    pub fn start_attempt(&self, tag: u64, question: u64, now: Moment) -> bool {
        let counted = self.count_failure(tag, Some(question), now);
        self.with_attempt(tag, question, |known| known.waiting_count += 1);
        counted
    }

    /// A request has stopped waiting for the answer.
    pub fn end_attempt(&self, tag: u64, question: u64) {
        self.with_attempt(tag, question, |known| known.waiting_count = known.waiting_count.saturating_sub(1));
    }

    /// Whether the total of the owner of `tag` counts a failure of it. One that has leaked away counts no more, nor
    /// one that was forgotten for later ones.
    pub fn has_failure_in_total(&self, tag: u64, now: Moment) -> bool {
        if self.is_empty() {
            return false;
        }
        let Some(bucket) = self.bucket(tag) else { return true };
        let record = bucket.iter().find(|record| record.tag == tag);
        record.is_some_and(|record| {
            self.failure_limit().level_at(record, now) > LEVEL_EPSILON
                && record.recent_attempts.iter().any(|known| known.is_in_total)
        })
    }

    /// Notes that the total of the record's owner counts `question`.
    pub fn mark_in_total(&self, tag: u64, question: u64) {
        self.with_attempt(tag, question, |known| known.is_in_total = true);
    }

    /// Notes that the answer to `question` is no, until then and in this epoch. If the question is
    /// forgotten, so is its answer.
    pub fn record_rejection(&self, tag: u64, question: u64, until: Moment, epoch: u64) {
        self.with_attempt(tag, question, |known| {
            (known.rejected_until, known.rejection_epoch) = (until, epoch)
        });
    }

    /// Whether that is noted.
    pub fn is_rejected(&self, tag: u64, question: u64, now: Moment, epoch: u64) -> bool {
        let noted = self.with_attempt(tag, question, |known| {
            known.rejection_epoch == epoch && now < known.rejected_until
        });
        noted.unwrap_or_default()
    }

    /// Takes a failure back that turned out not to be one. `None` if it was not counted; otherwise whether
    /// the owner's total counts it too.
    pub fn undo_failure(&self, tag: u64, question: Option<u64>, now: Moment) -> Option<bool> {
        if self.is_empty() {
            return None;
        }
        let mut bucket = self.bucket(tag)?;
        let index = bucket.iter().position(|record| record.tag == tag)?;
        let record = bucket.get_mut(index)?;
        let mut charged = false;
        if let Some(question) = question {
            let place = record.recent_attempts.iter().position(|known| known.attempt_id == question)?;
            charged = record.recent_attempts.remove(place).is_in_total;
        }
        record.level = (self.failure_limit().level_at(record, now) - 1.0).max(0.0);
        record.updated_at = now;
        // A success leaves nothing behind.
        if record.level < LEVEL_EPSILON && record.recent_attempts.is_empty() {
            bucket.swap_remove(index);
            self.record_count.fetch_sub(1, Ordering::AcqRel);
        }
        Some(charged)
    }

    fn with_attempt<T>(
        &self,
        tag: u64,
        question: u64,
        act: impl FnOnce(&mut RecentAttempt) -> T,
    ) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut bucket = self.bucket(tag)?;
        bucket.iter_mut().find(|record| record.tag == tag)?.find_attempt(question).map(act)
    }

    /// The record of `tag`, made if it is not there, in the place of the one with the least in it if need be.
    fn get_or_insert<'b>(
        &self,
        bucket: &'b mut Vec<FailureRecord>,
        tag: u64,
        now: Moment,
    ) -> Option<&'b mut FailureRecord> {
        let fresh = || FailureRecord { tag, level: 0.0, updated_at: now, recent_attempts: Vec::new() };
        let index = match bucket.iter().position(|record| record.tag == tag) {
            Some(index) => index,
            None if bucket.len() < BUCKET_RECORDS => {
                bucket.push(fresh());
                self.record_count.fetch_add(1, Ordering::AcqRel);
                bucket.len() - 1
            }
            None => {
                let index = self.lowest_level_index(bucket, now);
                if let Some(place) = bucket.get_mut(index) {
                    *place = fresh();
                }
                index
            }
        };
        bucket.get_mut(index)
    }

    fn lowest_level_index(&self, bucket: &[FailureRecord], now: Moment) -> usize {
        let limit = self.failure_limit();
        let by_level = |(_, a): &(usize, &FailureRecord), (_, b): &(usize, &FailureRecord)| {
            let levels = limit.level_at(a, now).total_cmp(&limit.level_at(b, now));
            levels.then(a.updated_at.cmp(&b.updated_at))
        };
        bucket.iter().enumerate().min_by(by_level).map_or(0, |(index, _)| index)
    }
}
