//! The state of one watched file: decides when its content is a change that can be used.

use std::fs::File;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::RELOAD_DELAY_MAX;
use super::source::{FileStamp, ReadContent, ReadError, SourceFile, is_unmodified, is_unmodified_for};
use super::utf8_bom;
use crate::clock::Moment;

/// Time for which new content must be equal. It is longer than the pause of a tool between two writes to a file, and
/// short enough that an editing user does not notice it.
pub(crate) const STABLE_TIME: Duration = Duration::from_millis(200);

/// Lower limit of the time for which content must be equal, near the deadline of a file whose whole lines may be used.
/// It is longer than the pause of a program between truncating a file and writing it.
const STABLE_TIME_MIN: Duration = Duration::from_millis(10);

/// Part of [`RELOAD_DELAY_MAX`] that remains after the deadline, for the last polls and for threads that wait for a core.
const DEADLINE_MARGIN: Duration = Duration::from_millis(400);

/// Age at which a change that is not active is reported. The report can be delayed by a thread that waits for a core,
/// so it starts before [`RELOAD_DELAY_MAX`].
const OVERDUE_AFTER: Duration = RELOAD_DELAY_MAX.saturating_sub(Duration::from_millis(150));

/// Time for which a file must be empty before it counts as empty. A tool can wait for a core between truncating the file
/// and writing it.
const EMPTY_STABLE_TIME: Duration = RELOAD_DELAY_MAX.saturating_sub(DEADLINE_MARGIN);

/// Maximum time for which a start waits for stable content. An empty file can receive content at the end of
/// [`EMPTY_STABLE_TIME`], and this content must be stable too.
const START_TIMEOUT: Duration = RELOAD_DELAY_MAX.saturating_add(RELOAD_DELAY_MAX);

/// Time after the deadline in which two reads can still agree, before whole lines of unstable content are used.
const UNSTABLE_GRACE: Duration = Duration::from_millis(100);

/// Maximum age of a change when a poll detects it. If polls are further apart, the change is assumed to be this old.
const UNSEEN_CHANGE_AGE_MAX: Duration = Duration::from_secs(1);

/// Resolution of the coarsest timestamps of a file system (FAT). Two writes within this time can have the same stamp.
const TIMESTAMP_GRANULARITY_MAX: Duration = Duration::from_secs(2);

/// Interval at which the content is compared although the stamp is equal.
pub(crate) const COMPARE_INTERVAL: Duration = Duration::from_secs(60);

/// The rule for a file whose content never becomes stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnstableFileMode {
    /// The active content stays active, because a part of the file could permit more than the whole file.
    KeepActive,
    /// The whole lines are used, because a missing line can only cause a refusal.
    UseWholeLines,
}

/// Content of a changed file.
#[derive(Debug)]
pub(crate) struct NewContent {
    /// The content; it can be a secret, so it is cleared when it is dropped.
    pub(crate) text: Zeroizing<Vec<u8>>,
    /// The content is the whole file. Otherwise it ends with a whole line, and more lines can follow.
    pub(crate) is_complete: bool,
    /// The content has no entry and no line that states this; see [`is_unexpectedly_empty`].
    pub(crate) is_unexpectedly_empty: bool,
}

/// The result of a poll.
#[derive(Debug)]
pub(crate) enum PollResult {
    /// No new content, or new content that is not stable yet.
    NoChange,
    /// The file has the active content. It can have had other content since the previous poll.
    Active,
    /// New content. Each poll offers it again until the caller calls [`WatchedFile::accept_offered`],
    /// [`WatchedFile::reject_offered`] or [`WatchedFile::retry_later`].
    Changed(NewContent),
    /// The file cannot be read.
    Unreadable(ReadError),
}

/// The state of one watched file; see [`crate::reload`].
#[derive(Debug)]
pub(crate) struct WatchedFile {
    source: SourceFile,
    /// The line that states that the file has no entries, such as `# no users`.
    no_entries_line: &'static [u8],
    unstable_mode: UnstableFileMode,
    active_hash: blake3::Hash,
    /// The hash of content that the caller rejected. This content is not offered again.
    rejected_hash: Option<blake3::Hash>,
    known_stamp: Option<KnownStamp>,
    compared_at: Moment,
    /// The time at which the last accepted or rejected content was read.
    decided_at: Moment,
    pending: Option<PendingChange>,
    offered: Option<OfferedContent>,
    unreadable_at: Option<Moment>,
    /// The time that the last content took to be read and activated.
    load_time: Duration,
}

/// The stamp of content that was accepted or rejected.
#[derive(Debug)]
struct KnownStamp {
    stamp: FileStamp,
    first_seen_at: Moment,
    /// A file with an equal stamp has the same content: the stamp is older than the clock tick of any file system.
    is_trusted: bool,
}

/// A change that is not active yet.
#[derive(Debug)]
struct PendingChange {
    /// The earliest time at which the change can have been made.
    changed_at: Moment,
    candidate: CandidateContent,
    /// The last file that another file replaced; its content was complete.
    last_complete: Option<CandidateContent>,
    /// The time from which unstable content can be offered again.
    next_offer_at: Moment,
}

/// Content that was read and is not accepted or rejected yet.
#[derive(Debug)]
struct CandidateContent {
    hash: blake3::Hash,
    file: File,
    stamp: FileStamp,
    /// The time of the first read that returned this content.
    first_read_at: Moment,
    read_at: Moment,
    is_stable: bool,
    is_unexpectedly_empty: bool,
    /// The earliest time at which an empty file can have been emptied.
    emptied_at: Moment,
}

/// Content that was offered to the caller.
#[derive(Debug)]
struct OfferedContent {
    hash: blake3::Hash,
    stamp: Option<FileStamp>,
    read_at: Moment,
}

/// Returns true if a text has only blank lines and comments, and none of them is `no_entries_line`, which states that a
/// file has no entries.
pub(crate) fn is_unexpectedly_empty(text: &[u8], no_entries_line: &[u8]) -> bool {
    utf8_bom::strip_utf8_bom(text)
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .all(|line| line.is_empty() || line.starts_with(b"#") && line != no_entries_line)
}

/// Reads a file that is not watched, while other programs can write it. Its content must be stable, as at the start of
/// a watched file.
///
/// # Errors
/// The file cannot be read, or its content is not stable within [`START_TIMEOUT`].
pub(crate) fn read_stable(source: SourceFile) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mode = UnstableFileMode::KeepActive;
    WatchedFile::start(source, b"", mode, Moment::default(), thread::sleep).map(|(_, content)| content.text)
}

impl WatchedFile {
    /// Reads the file for the first time. The returned content counts as active.
    ///
    /// A file that was written recently must have the same content some time later. `pause` waits for this time.
    ///
    /// # Errors
    /// The file cannot be read, or its content is not stable and its whole lines must not be used.
    pub(crate) fn start(
        source: SourceFile,
        no_entries_line: &'static [u8],
        unstable_mode: UnstableFileMode,
        now: Moment,
        mut pause: impl FnMut(Duration),
    ) -> Result<(Self, NewContent), ReadError> {
        let mut text = source.read_content()?;
        let is_empty = |text: &ReadContent| is_unexpectedly_empty(&text.bytes, no_entries_line);
        let stable_time = |text: &ReadContent| if is_empty(text) { EMPTY_STABLE_TIME } else { STABLE_TIME };
        let mut is_complete =
            text.is_stable && is_unmodified_for(&text.file, &text.stamp, stable_time(&text));
        let (mut waited, mut same_since) = (Duration::ZERO, Duration::ZERO);
        while !is_complete && waited < START_TIMEOUT {
            let is_short = unstable_mode == UnstableFileMode::UseWholeLines && !is_empty(&text);
            let step = if is_short { STABLE_TIME_MIN } else { STABLE_TIME };
            pause(step);
            waited += step;
            // A file that is removed before its replacement is missing for a short time.
            let Ok(next) = source.read_content() else { continue };
            if text.was_complete(&next) && !is_empty(&text) {
                is_complete = true;
                break;
            }
            if !next.is_same_read(&text) {
                same_since = waited;
            }
            text = next;
            let required = if is_short { STABLE_TIME_MIN } else { stable_time(&text) };
            is_complete = waited.saturating_sub(same_since) >= required;
        }
        let ReadContent { mut hash, stamp, mut bytes, .. } = text;
        if !is_complete {
            truncate_to_whole_lines(&mut bytes);
            hash = blake3::hash(&bytes);
            if unstable_mode == UnstableFileMode::KeepActive
                || self::is_unexpectedly_empty(&bytes, no_entries_line)
            {
                return Err(ReadError::KeepsChanging(source.display_path()));
            }
        }
        let is_unexpectedly_empty = is_unexpectedly_empty(&bytes, no_entries_line);
        let watched_file = Self {
            source,
            no_entries_line,
            unstable_mode,
            active_hash: hash,
            rejected_hash: None,
            known_stamp: Some(KnownStamp { stamp, first_seen_at: now, is_trusted: false }),
            compared_at: now,
            decided_at: now,
            pending: None,
            offered: None,
            unreadable_at: None,
            load_time: Duration::ZERO,
        };
        Ok((watched_file, NewContent { text: bytes, is_complete, is_unexpectedly_empty }))
    }

    /// Returns the path of the file and its size limit.
    pub(crate) fn source(&self) -> &SourceFile {
        &self.source
    }

    /// Returns the time until the next poll, if it must be earlier than the poll interval.
    pub(crate) fn next_poll_in(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref().map(|pending| {
            let until_stable = self
                .required_stable_time(pending, now)
                .saturating_sub(now.since(pending.candidate.first_read_at));
            let deadline = match pending.candidate.is_unexpectedly_empty {
                true => pending.candidate.emptied_at.plus(EMPTY_STABLE_TIME),
                false => self.deadline(pending),
            };
            let until_deadline = deadline.since(now);
            let wait = match (pending.candidate.is_unexpectedly_empty, until_deadline.is_zero()) {
                (_, true) => until_stable,
                (true, false) => until_deadline,
                (false, false) => until_stable.min(until_deadline),
            };
            let until_overdue = pending.changed_at.plus(OVERDUE_AFTER).since(now);
            let wait = if until_overdue.is_zero() { wait } else { wait.min(until_overdue) };
            wait.clamp(STABLE_TIME_MIN, STABLE_TIME)
        });
        pending.or(self.unreadable_at.map(|_| STABLE_TIME))
    }

    /// Returns the age of a change that is not active, if the age must be reported.
    pub(crate) fn overdue_for(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(now.since(pending.changed_at)).filter(|age| *age >= OVERDUE_AFTER)
    }

    /// Returns the age of an offered change, if the time for loading it will exceed [`RELOAD_DELAY_MAX`].
    pub(crate) fn will_be_overdue_for(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(now.since(pending.changed_at)).filter(|age| age.saturating_add(self.load_time) >= OVERDUE_AFTER)
    }

    /// Checks the file for a change. With `forced`, it is read even if its stamp is equal.
    pub(crate) fn poll(&mut self, now: Moment, forced: bool, unstable_mode: UnstableFileMode) -> PollResult {
        self.unstable_mode = unstable_mode;
        if forced {
            self.rejected_hash = None;
        }
        let stamp = self.source.stamp();
        let known = self.known_stamp.as_ref().filter(|known| Some(known.stamp) == stamp);
        let is_quiet = self.pending.is_none() && self.unreadable_at.is_none() && !forced;
        if let Some(known) = known.filter(|_| is_quiet) {
            let is_compare_due = now.since(self.compared_at) >= COMPARE_INTERVAL;
            let is_known = |hash| hash == self.active_hash || Some(hash) == self.rejected_hash;
            if known.is_trusted && !is_compare_due || self.source.hash().is_ok_and(is_known) {
                if !known.is_trusted || is_compare_due {
                    self.compared_at = now;
                }
                self.record_stamp(known.stamp, now);
                self.decided_at = now;
                return PollResult::NoChange;
            }
        }
        self.compared_at = now;
        match self.source.read_content() {
            Ok(text) => {
                self.unreadable_at = None;
                self.process_read(text, now)
            }
            // A file that is removed before its replacement is missing for a short time.
            Err(error) => {
                let since = *self.unreadable_at.get_or_insert(now);
                if !forced && now.since(since) < STABLE_TIME {
                    return PollResult::NoChange;
                }
                (self.pending, self.known_stamp, self.rejected_hash) = (None, None, None);
                PollResult::Unreadable(error)
            }
        }
    }

    /// Records the stamp of content that was accepted or rejected.
    fn record_stamp(&mut self, stamp: FileStamp, now: Moment) {
        match &mut self.known_stamp {
            Some(known) if known.stamp == stamp => {
                known.is_trusted |= now.since(known.first_seen_at) >= TIMESTAMP_GRANULARITY_MAX;
            }
            _ => self.known_stamp = Some(KnownStamp { stamp, first_seen_at: now, is_trusted: false }),
        }
    }

    fn process_read(&mut self, text: ReadContent, now: Moment) -> PollResult {
        if text.hash == self.active_hash || Some(text.hash) == self.rejected_hash {
            let is_active = text.hash == self.active_hash;
            self.pending = None;
            self.record_stamp(text.stamp, now);
            self.decided_at = now;
            if is_active {
                self.rejected_hash = None;
            }
            return if is_active { PollResult::Active } else { PollResult::NoChange };
        }
        let ReadContent { bytes, hash, file, stamp, is_stable } = text;
        let is_unexpectedly_empty = is_unexpectedly_empty(&bytes, self.no_entries_line);
        let changed_at = earliest_change_time(self.decided_at, now);
        let mut candidate = CandidateContent {
            hash,
            file,
            stamp,
            first_read_at: now,
            read_at: now,
            is_stable,
            is_unexpectedly_empty,
            emptied_at: changed_at,
        };
        let pending = match self.pending.take() {
            None => PendingChange { changed_at, candidate, last_complete: None, next_offer_at: now },
            Some(mut pending) => {
                let before = pending.candidate;
                // Emptying the file is a separate change. It starts at the last read that found an entry.
                candidate.emptied_at = if before.is_unexpectedly_empty {
                    before.emptied_at
                } else {
                    earliest_change_time(before.read_at, now)
                };
                // Comparing hashes is not sufficient: two reads can return the same part of two different writes.
                if before.hash == candidate.hash && before.stamp.is_same_content(&candidate.stamp) {
                    candidate.first_read_at = before.first_read_at;
                } else if before.was_complete(&candidate) {
                    pending.last_complete = Some(before);
                }
                PendingChange { candidate, ..pending }
            }
        };
        let result = self.decide_on_change(&pending, bytes, now);
        self.pending = Some(pending);
        result
    }

    /// Offers the content of a pending change if it is stable, or if the deadline has passed.
    fn decide_on_change(
        &mut self,
        pending: &PendingChange,
        text: Zeroizing<Vec<u8>>,
        now: Moment,
    ) -> PollResult {
        let CandidateContent {
            hash,
            stamp,
            first_read_at,
            read_at,
            is_stable,
            is_unexpectedly_empty,
            emptied_at,
            ..
        } = &pending.candidate;
        let deadline = self.deadline(pending);
        let is_empty_long_enough = !is_unexpectedly_empty || now >= emptied_at.plus(EMPTY_STABLE_TIME);
        let is_equal_long_enough =
            *is_stable && now.since(*first_read_at) >= self.required_stable_time(pending, now);
        if is_equal_long_enough && is_empty_long_enough {
            self.offered = Some(OfferedContent { hash: *hash, stamp: Some(*stamp), read_at: *read_at });
            return PollResult::Changed(NewContent {
                text,
                is_complete: true,
                is_unexpectedly_empty: *is_unexpectedly_empty,
            });
        }
        if now < deadline {
            return PollResult::NoChange;
        }
        if let Some(complete) = &pending.last_complete
            && let Some(text) = self.source.reread_open(&complete.file, &complete.stamp)
        {
            self.offered =
                Some(OfferedContent { hash: complete.hash, stamp: None, read_at: complete.read_at });
            return PollResult::Changed(NewContent { text, is_complete: true, is_unexpectedly_empty: false });
        }
        let is_due = now >= deadline.plus(UNSTABLE_GRACE).max(pending.next_offer_at);
        if self.unstable_mode == UnstableFileMode::UseWholeLines && is_due && !is_unexpectedly_empty {
            let mut text = text;
            truncate_to_whole_lines(&mut text);
            if !self::is_unexpectedly_empty(&text, self.no_entries_line) {
                // The hash of the truncated text: if the file stays as it is, its last line is still a change.
                self.offered =
                    Some(OfferedContent { hash: blake3::hash(&text), stamp: None, read_at: *read_at });
                return PollResult::Changed(NewContent {
                    text,
                    is_complete: false,
                    is_unexpectedly_empty: false,
                });
            }
        }
        PollResult::NoChange
    }

    /// Returns the time at which a change must be offered, so that it is active within [`RELOAD_DELAY_MAX`].
    fn deadline(&self, pending: &PendingChange) -> Moment {
        pending
            .changed_at
            .plus(RELOAD_DELAY_MAX.saturating_sub(DEADLINE_MARGIN).saturating_sub(self.load_time))
    }

    /// Returns the time for which the content of a change must be equal.
    fn required_stable_time(&self, pending: &PendingChange, now: Moment) -> Duration {
        match self.unstable_mode {
            UnstableFileMode::UseWholeLines if !pending.candidate.is_unexpectedly_empty => {
                (self.deadline(pending).since(now) / 3).clamp(STABLE_TIME_MIN, STABLE_TIME)
            }
            UnstableFileMode::KeepActive | UnstableFileMode::UseWholeLines => STABLE_TIME,
        }
    }

    /// Marks the stamp of the file as known and trusted, as for a file system with unreliable timestamps.
    #[cfg(test)]
    pub(crate) fn trust_current_stamp(&mut self) {
        let known = |stamp| KnownStamp { stamp, first_seen_at: Moment::default(), is_trusted: true };
        self.known_stamp = self.source.stamp().map(known);
    }

    /// Returns the source for tests in which reads fail.
    #[cfg(test)]
    pub(crate) fn source_mut(&mut self) -> &mut SourceFile {
        &mut self.source
    }

    /// Sets the time that the content of [`WatchedFile::start`] took to be activated.
    pub(crate) fn set_load_time(&mut self, load_time: Duration) {
        self.load_time = load_time;
    }

    /// Records that the offered content is active. `load_time` is the time that this took.
    pub(crate) fn accept_offered(&mut self, load_time: Duration) {
        if let Some(offered) = self.offered.take() {
            self.active_hash = offered.hash;
            self.rejected_hash = None;
            self.load_time = load_time;
            self.finish_change(&offered);
        }
    }

    /// Records that the offered content is invalid. It is not offered again until the file changes.
    pub(crate) fn reject_offered(&mut self) {
        if let Some(offered) = self.offered.take() {
            self.rejected_hash = Some(offered.hash);
            self.finish_change(&offered);
        }
    }

    /// Records that the offered content is incomplete and invalid. The next content is offered after [`STABLE_TIME`].
    pub(crate) fn retry_later(&mut self, now: Moment) {
        self.offered = None;
        if let Some(pending) = &mut self.pending {
            pending.next_offer_at = now.plus(STABLE_TIME);
        }
    }

    fn finish_change(&mut self, offered: &OfferedContent) {
        self.pending = None;
        self.decided_at = offered.read_at;
        let known = |stamp| KnownStamp { stamp, first_seen_at: offered.read_at, is_trusted: false };
        self.known_stamp = offered.stamp.map(known);
    }
}

impl CandidateContent {
    /// Returns true if the content was complete: another file has replaced this one, which was not written to after
    /// it was read.
    fn was_complete(&self, next: &Self) -> bool {
        let is_replaced = !self.stamp.is_same_file(&next.stamp);
        is_replaced && self.is_stable && !self.is_unexpectedly_empty && is_unmodified(&self.file, &self.stamp)
    }
}

/// Returns the earliest time at which a change can have been made that was detected now and not by the `previous` poll.
fn earliest_change_time(previous: Moment, now: Moment) -> Moment {
    let age = now.since(previous).min(UNSEEN_CHANGE_AGE_MAX);
    Moment::from_millis(now.as_millis().saturating_sub(u64::try_from(age.as_millis()).unwrap_or_default()))
}

/// Removes the last line of a text if it has no line end.
fn truncate_to_whole_lines(text: &mut Vec<u8>) {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    text.truncate(end);
}

#[cfg(test)]
#[path = "watched_file_tests.rs"]
mod tests;
