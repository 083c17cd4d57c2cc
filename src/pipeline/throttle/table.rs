//! A table of leaking failure counts in constant memory. A keyed hash selects a bucket with a fixed number of
//! records. A full bucket evicts the record with the lowest count, so that a flood of records with few failures
//! does not evict one with many.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// The number of records in a bucket. With 16, a bucket rarely fills by chance before the table does.
const BUCKET_RECORDS: usize = 16;

/// The number of recent attempts stored for each user and network, to distinguish a repeated wrong password from a
/// new one.
const RECENT_ATTEMPTS_MAX: usize = 8;

/// A level below this counts as zero.
const LEVEL_EPSILON: f64 = 1e-9;

/// The maximum number of failures, and how fast they leak.
#[derive(Clone, Copy, Debug)]
struct FailureLimit {
    failures_max: f64,
    leak_per_milli: f64,
}

impl FailureLimit {
    /// Creates a limit of `failures` within a `window`. At least one failure and one millisecond are used.
    fn new(failures: u32, window: Duration) -> Self {
        let failures_max = f64::from(failures.max(1));
        Self { failures_max, leak_per_milli: failures_max / (window.as_secs_f64() * 1000.0).max(1.0) }
    }

    fn level_at(&self, record: &ThrottleRecord, now: Moment) -> f64 {
        let leaked = now.since(record.updated_at).as_secs_f64() * 1000.0 * self.leak_per_milli;
        (record.level - leaked).max(0.0)
    }
}

/// Packs a limit into one number, so that a change at run time is atomic.
fn pack_limit(failures: u32, window: Duration) -> u64 {
    (u64::from(failures) << 32) | u64::from(u32::try_from(window.as_millis()).unwrap_or(u32::MAX))
}

/// An attempt that was counted.
#[derive(Clone, Copy, Debug)]
struct RecentAttempt {
    attempt_id: u64,
    /// Requests that wait for its result.
    waiting_count: u32,
    /// True if the failure is also counted in the total of its tier, see [`FailureTable::mark_in_total`].
    is_in_total: bool,
    /// The moment until which its rejection is repeated without a check.
    rejected_until: Moment,
    /// The epoch of that rejection. In another epoch the rejection is void.
    rejection_epoch: u64,
}

#[derive(Clone, Debug)]
struct ThrottleRecord {
    tag: u64,
    level: f64,
    /// The moment at which `level` was computed.
    updated_at: Moment,
    /// The oldest attempt first. Empty in tables of totals.
    recent_attempts: Vec<RecentAttempt>,
}

impl ThrottleRecord {
    fn find_attempt(&mut self, attempt_id: u64) -> Option<&mut RecentAttempt> {
        self.recent_attempts.iter_mut().find(|attempt| attempt.attempt_id == attempt_id)
    }

    /// Stores a new attempt. If the list is full, it replaces the oldest attempt that no request waits for.
    fn add_attempt(&mut self, attempt_id: u64) {
        if self.recent_attempts.len() >= RECENT_ATTEMPTS_MAX {
            let oldest = self
                .recent_attempts
                .iter()
                .position(|attempt| attempt.waiting_count == 0)
                .unwrap_or_default();
            self.recent_attempts.remove(oldest);
        }
        self.recent_attempts.push(RecentAttempt {
            attempt_id,
            waiting_count: 0,
            is_in_total: false,
            rejected_until: Moment::default(),
            rejection_epoch: 0,
        });
    }
}

/// A table of failure counts by tag.
#[derive(Debug)]
pub(crate) struct FailureTable {
    buckets: Box<[Mutex<Vec<ThrottleRecord>>]>,
    /// The number of failures in the upper half and the window in milliseconds in the lower half, so that a change at
    /// run time is atomic.
    limit: AtomicU64,
    record_count: AtomicUsize,
}

impl FailureTable {
    /// Creates a table for at least `entries` records, with a limit of `failures` within a `window`.
    pub(crate) fn new(entries: usize, failures: u32, window: Duration) -> Self {
        let bucket_count = entries.div_ceil(BUCKET_RECORDS).max(1);
        Self {
            buckets: (0..bucket_count).map(|_| Mutex::default()).collect(),
            limit: AtomicU64::new(pack_limit(failures, window)),
            record_count: AtomicUsize::new(0),
        }
    }

    /// Sets the limit. Failures that were counted remain, but not more than the new limit: otherwise they would need
    /// many windows to decrease to zero at the new rate.
    pub(crate) fn set_limit(&self, failures: u32, window: Duration, now: Moment) {
        let old = self.limit();
        let packed = pack_limit(failures, window);
        if self.limit.swap(packed, Ordering::Relaxed) == packed {
            return;
        }
        let new = self.limit();
        for bucket in &self.buckets {
            let mut records = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            for record in records.iter_mut() {
                record.level = old.level_at(record, now).min(new.failures_max);
                record.updated_at = now;
            }
        }
    }

    fn limit(&self) -> FailureLimit {
        let packed = self.limit.load(Ordering::Relaxed);
        let (failures, window) = (packed >> 32, packed & u64::from(u32::MAX));
        FailureLimit::new(u32::try_from(failures).unwrap_or(u32::MAX), Duration::from_millis(window))
    }

    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.record_count.load(Ordering::Acquire)
    }

    /// Returns true if there is no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn bucket(&self, tag: u64) -> Option<MutexGuard<'_, Vec<ThrottleRecord>>> {
        let index = usize::try_from(tag >> 32).unwrap_or_default() % self.buckets.len();
        let bucket = self.buckets.get(index)?;
        Some(bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the time until one more failure of `tag` fits under the limit; `None` if it does now. The failure of
    /// an attempt in progress is already counted and does not throttle the attempt itself.
    pub(crate) fn retry_after(&self, tag: u64, attempt_id: Option<u64>, now: Moment) -> Option<Duration> {
        self.retry_after_at_fraction_of_limit(1.0, tag, attempt_id, now)
    }

    /// Returns the time until one more failure of `tag` fits under a fraction of the limit.
    pub(crate) fn retry_after_at_fraction(&self, fraction: f64, tag: u64, now: Moment) -> Option<Duration> {
        self.retry_after_at_fraction_of_limit(fraction, tag, None, now)
    }

    fn retry_after_at_fraction_of_limit(
        &self,
        fraction: f64,
        tag: u64,
        attempt_id: Option<u64>,
        now: Moment,
    ) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let bucket = self.bucket(tag)?;
        let record = bucket.iter().find(|record| record.tag == tag)?;
        let limit = self.limit();
        let excess = limit.level_at(record, now) + 1.0 - fraction * limit.failures_max;
        // An excess of less than one millisecond is a rounding error.
        if excess <= limit.leak_per_milli {
            return None;
        }
        let is_in_progress =
            |attempt: &RecentAttempt| Some(attempt.attempt_id) == attempt_id && attempt.waiting_count > 0;
        if excess <= 1.0 + limit.leak_per_milli && record.recent_attempts.iter().any(is_in_progress) {
            return None;
        }
        Some(Duration::from_millis((excess / limit.leak_per_milli).ceil() as u64))
    }

    /// Counts a failure of `tag`. Returns false if the attempt is one of the recent attempts and was not counted
    /// again.
    pub(crate) fn count_failure(&self, tag: u64, attempt_id: Option<u64>, now: Moment) -> bool {
        let Some(mut bucket) = self.bucket(tag) else { return true };
        let Some(record) = self.get_or_insert(&mut bucket, tag, now) else { return true };
        if let Some(attempt_id) = attempt_id {
            if record.find_attempt(attempt_id).is_some() {
                return false;
            }
            record.add_attempt(attempt_id);
        }
        // The level can exceed the limit by the attempts that were in progress when the limit was reached. A
        // throttled client adds nothing.
        record.level = self.limit().level_at(record, now) + 1.0;
        record.updated_at = now;
        true
    }

    /// Counts a failure as [`FailureTable::count_failure`] does, and marks the attempt as in progress until
    /// [`FailureTable::end_attempt`].
    pub(crate) fn start_attempt(&self, tag: u64, attempt_id: u64, now: Moment) -> bool {
        let is_new = self.count_failure(tag, Some(attempt_id), now);
        self.with_attempt(tag, attempt_id, |attempt| attempt.waiting_count += 1);
        is_new
    }

    /// Records that one request no longer waits for the result of the attempt.
    pub(crate) fn end_attempt(&self, tag: u64, attempt_id: u64) {
        self.with_attempt(tag, attempt_id, |attempt| {
            attempt.waiting_count = attempt.waiting_count.saturating_sub(1)
        });
    }

    /// Returns true if a failure of `tag` is also counted in the total of its tier. A failure that has leaked, or
    /// that was replaced by later attempts, no longer counts.
    pub(crate) fn has_failure_in_total(&self, tag: u64, now: Moment) -> bool {
        if self.is_empty() {
            return false;
        }
        let Some(bucket) = self.bucket(tag) else { return true };
        let record = bucket.iter().find(|record| record.tag == tag);
        record.is_some_and(|record| {
            self.limit().level_at(record, now) > LEVEL_EPSILON
                && record.recent_attempts.iter().any(|attempt| attempt.is_in_total)
        })
    }

    /// Records that the attempt is also counted in the total of its tier.
    pub(crate) fn mark_in_total(&self, tag: u64, attempt_id: u64) {
        self.with_attempt(tag, attempt_id, |attempt| attempt.is_in_total = true);
    }

    /// Stores that the attempt was rejected, until `expires_at` and in this epoch. The rejection is removed with its
    /// attempt.
    pub(crate) fn record_rejection(&self, tag: u64, attempt_id: u64, expires_at: Moment, epoch: u64) {
        self.with_attempt(tag, attempt_id, |attempt| {
            (attempt.rejected_until, attempt.rejection_epoch) = (expires_at, epoch)
        });
    }

    /// Returns true if a rejection of the attempt is stored and valid.
    pub(crate) fn is_rejected(&self, tag: u64, attempt_id: u64, now: Moment, epoch: u64) -> bool {
        let is_rejected = self.with_attempt(tag, attempt_id, |attempt| {
            attempt.rejection_epoch == epoch && now < attempt.rejected_until
        });
        is_rejected.unwrap_or_default()
    }

    /// Undoes a failure. Returns `None` if the failure was not counted, and otherwise whether it is also counted in
    /// the total of its tier.
    pub(crate) fn undo_failure(&self, tag: u64, attempt_id: Option<u64>, now: Moment) -> Option<bool> {
        if self.is_empty() {
            return None;
        }
        let mut bucket = self.bucket(tag)?;
        let index = bucket.iter().position(|record| record.tag == tag)?;
        let record = bucket.get_mut(index)?;
        let mut is_in_total = false;
        if let Some(attempt_id) = attempt_id {
            let place = record.recent_attempts.iter().position(|attempt| attempt.attempt_id == attempt_id)?;
            is_in_total = record.recent_attempts.remove(place).is_in_total;
        }
        record.level = (self.limit().level_at(record, now) - 1.0).max(0.0);
        record.updated_at = now;
        // An empty record is removed.
        if record.level < LEVEL_EPSILON && record.recent_attempts.is_empty() {
            bucket.swap_remove(index);
            self.record_count.fetch_sub(1, Ordering::AcqRel);
        }
        Some(is_in_total)
    }

    fn with_attempt<T>(
        &self,
        tag: u64,
        attempt_id: u64,
        act: impl FnOnce(&mut RecentAttempt) -> T,
    ) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut bucket = self.bucket(tag)?;
        bucket.iter_mut().find(|record| record.tag == tag)?.find_attempt(attempt_id).map(act)
    }

    /// Returns the record of `tag`. If it does not exist it is created, and if the bucket is full it replaces the
    /// record with the lowest level.
    fn get_or_insert<'b>(
        &self,
        bucket: &'b mut Vec<ThrottleRecord>,
        tag: u64,
        now: Moment,
    ) -> Option<&'b mut ThrottleRecord> {
        let new_record = || ThrottleRecord { tag, level: 0.0, updated_at: now, recent_attempts: Vec::new() };
        let index = match bucket.iter().position(|record| record.tag == tag) {
            Some(index) => index,
            None if bucket.len() < BUCKET_RECORDS => {
                bucket.push(new_record());
                self.record_count.fetch_add(1, Ordering::AcqRel);
                bucket.len() - 1
            }
            None => {
                let index = self.lowest_level_index(bucket, now);
                if let Some(place) = bucket.get_mut(index) {
                    *place = new_record();
                }
                index
            }
        };
        bucket.get_mut(index)
    }

    /// Returns the index of the record with the lowest level; the oldest of them if there are several.
    fn lowest_level_index(&self, bucket: &[ThrottleRecord], now: Moment) -> usize {
        let limit = self.limit();
        let by_level = |(_, a): &(usize, &ThrottleRecord), (_, b): &(usize, &ThrottleRecord)| {
            let levels = limit.level_at(a, now).total_cmp(&limit.level_at(b, now));
            levels.then(a.updated_at.cmp(&b.updated_at))
        };
        bucket.iter().enumerate().min_by(by_level).map_or(0, |(index, _)| index)
    }
}
