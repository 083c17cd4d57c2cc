//! Watching a file that may be edited while it is read, without ever losing what was good.
//!
//! A change is in force within [`IN_FORCE_WITHIN`] of its first write, or it is told that it is not. Each look
//! compares the file's stamp (device, inode, size, modification and change time); once the stamp has been the same
//! for longer than any file system's clock tick, it is believed, and the content is compared once a minute only.
//!
//! New content is handed out when it has been the same for [`SETTLE`], so that a half-written file is not. A file
//! that never holds still has a deadline, which counts from the last look that found it unchanged:
//! - the nearer the deadline, the shorter the time for which content has to be the same;
//! - a file that was replaced by another, and not written to since it was read, was whole when it was read;
//! - at the deadline, some kinds of files are taken as they are ([`Unsettled`]).
//!
//! Whoever gets new content says what became of it; until then, and if it was no good, what was in force stays in
//! force.

pub mod mount;
mod poller;
mod read_access;
pub mod reload_state;
pub mod reloader;
mod source;
pub mod utf8_bom;
pub mod wrong_format;

use std::fs::File;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::poller::{PollFile, PollNow, ReloadHandle, spawn_poll_threads};
pub use self::reload_state::FileHealth;
pub use self::reloader::{FileReloader, ReloadEvent, Reloadable};
use self::source::{FileStamp, ReadContent, is_unmodified, is_unmodified_for};
pub use self::source::{ReadError, SourceFile, displayable_path};
use crate::clock::Moment;

/// The time from the first write of a change until it is in force, or is told not to be.
pub const RELOAD_DELAY_MAX: Duration = Duration::from_secs(2);

/// How long content has to be the same: longer than a tool that writes in place needs between two writes, and too
/// short for the author to notice.
pub const STABLE_TIME: Duration = Duration::from_millis(200);

/// The same when there is no time left, for files that may be taken unsettled: longer than a program needs between
/// truncating a file and writing it.
const STABLE_TIME_MIN: Duration = Duration::from_millis(10);

/// What the deadline leaves of [`IN_FORCE_WITHIN`]: for the last looks, and for threads that wait for a core.
const DEADLINE_MARGIN: Duration = Duration::from_millis(400);

/// The age at which it is told that a change is not in force: as much before [`IN_FORCE_WITHIN`] as a thread may
/// have to wait for a core to tell it.
const OVERDUE_AFTER: Duration = RELOAD_DELAY_MAX.saturating_sub(Duration::from_millis(150));

/// How long a file has to be empty at the start, as while it is watched: a tool may be between truncating and writing,
/// and wait for a core there.
const EMPTY_STABLE_TIME: Duration = RELOAD_DELAY_MAX.saturating_sub(DEADLINE_MARGIN);

/// How long a start waits for a file to hold still: an empty one may have been written just before the end.
const START_TIMEOUT: Duration = RELOAD_DELAY_MAX.saturating_add(RELOAD_DELAY_MAX);

/// How long after the deadline two reads may still agree, before a file is taken unsettled.
const UNSTABLE_GRACE: Duration = Duration::from_millis(100);

/// The longest time that a change is taken to have been there before it was seen. Where looks are further apart
/// than this, the time counts from the look that saw it.
const UNSEEN_CHANGE_AGE_MAX: Duration = Duration::from_secs(1);

/// The coarsest time stamps of a file system (FAT's). Writes that are closer together can have one stamp.
const TIMESTAMP_GRANULARITY_MAX: Duration = Duration::from_secs(2);

/// How often the content is compared even though the stamp is the same.
pub(crate) const COMPARE_INTERVAL: Duration = Duration::from_secs(60);

/// What comes into force of a file that never holds still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnstableFileMode {
    /// Nothing, since a part of the file could admit more than the whole.
    KeepActive,
    /// The whole lines of what is there, since a line that is missing can only refuse.
    UseWholeLines,
}

/// New content.
#[derive(Debug)]
pub struct NewContent {
    /// What was read; cleared when it goes, since it may be a secret.
    pub text: Zeroizing<Vec<u8>>,
    /// Whether it is all that was written. If not, it ends with a whole line.
    pub is_complete: bool,
    /// Whether it has no entry, and does not say so itself; see [`is_emptied`].
    pub is_unexpectedly_empty: bool,
}

/// What a look found.
#[derive(Debug)]
pub enum PollResult {
    /// Nothing that was not known, or nothing yet that can be taken.
    NoChange,
    /// What is in force; it may have been otherwise in between.
    Active,
    /// Other content. It is handed out again at each look, until [`Watch::taken`], [`Watch::passed_over`] or
    /// [`Watch::wait_on`] is said of it.
    Changed(NewContent),
    /// It can't be read.
    Unreadable(ReadError),
}

/// Watches one file; see the top of this file.
#[derive(Debug)]
pub struct WatchedFile {
    source: SourceFile,
    /// The line by which a file says that it has no entries.
    no_entries_line: &'static [u8],
    unstable_mode: UnstableFileMode,
    active_hash: blake3::Hash,
    /// What was no good, and is not handed out again.
    rejected_hash: Option<blake3::Hash>,
    known_stamp: Option<KnownStamp>,
    compared_at: Moment,
    /// When the content was read that was decided on last.
    decided_at: Moment,
    pending: Option<PendingChange>,
    offered: Option<OfferedContent>,
    unreadable_at: Option<Moment>,
    /// How long the last content took to be read and put in force.
    load_time: Duration,
}

/// The stamp of content that was decided on.
#[derive(Debug)]
struct KnownStamp {
    stamp: FileStamp,
    first_seen_at: Moment,
    /// Whether content with another stamp can't be what was decided on.
    is_trusted: bool,
}

/// A change that is not in force.
#[derive(Debug)]
struct PendingChange {
    /// When it was made, at the earliest.
    changed_at: Moment,
    candidate: CandidateContent,
    /// The last file that was replaced, and so was whole.
    last_complete: Option<CandidateContent>,
    /// When unsettled content may be handed out again.
    next_offer_at: Moment,
}

/// Content that was read.
#[derive(Debug)]
struct CandidateContent {
    hash: blake3::Hash,
    file: File,
    stamp: FileStamp,
    /// Since when it is the same.
    first_read_at: Moment,
    read_at: Moment,
    is_stable: bool,
    is_unexpectedly_empty: bool,
    /// When it was emptied, at the earliest, if it is.
    emptied_at: Moment,
}

/// Content that was handed out.
#[derive(Debug)]
struct OfferedContent {
    hash: blake3::Hash,
    stamp: Option<FileStamp>,
    read_at: Moment,
}

/// Returns whether a text has nothing but blank lines and comments, and none of them is `none_line`, by which a
/// file says that it has no entries.
pub fn is_unexpectedly_empty(text: &[u8], none_line: &[u8]) -> bool {
    utf8_bom::strip_utf8_bom(text)
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .all(|line| line.is_empty() || line.starts_with(b"#") && line != none_line)
}

impl WatchedFile {
    /// Reads the file for the first time. What it returns counts as in force. A file that was written a moment ago
    /// has to be the same a moment later; `pause` lets so much time go by.
    ///
    /// # Errors
    /// It can't be read; or it changes all the time, and nothing of it may be taken unsettled.
    pub fn start(
        source: SourceFile,
        none_line: &'static [u8],
        unsettled: UnstableFileMode,
        now: Moment,
        mut pause: impl FnMut(Duration),
    ) -> Result<(Self, NewContent), ReadError> {
        let mut text = source.read_content()?;
        let is_empty = |text: &ReadContent| is_unexpectedly_empty(&text.bytes, none_line);
        let span = |text: &ReadContent| if is_empty(text) { EMPTY_STABLE_TIME } else { STABLE_TIME };
        let mut is_whole = text.is_stable && is_unmodified_for(&text.file, &text.stamp, span(&text));
        let (mut waited, mut same_since) = (Duration::ZERO, Duration::ZERO);
        while !is_whole && waited < START_TIMEOUT {
            let quick = unsettled == UnstableFileMode::UseWholeLines && !is_empty(&text);
            let step = if quick { STABLE_TIME_MIN } else { STABLE_TIME };
            pause(step);
            waited += step;
            // A file that is replaced by removing it first is missing for a moment.
            let Ok(next) = source.read_content() else { continue };
            if text.was_complete(&next) && !is_empty(&text) {
                is_whole = true;
                break;
            }
            if !next.is_same_read(&text) {
                same_since = waited;
            }
            text = next;
            let wanted = if quick { STABLE_TIME_MIN } else { span(&text) };
            is_whole = waited.saturating_sub(same_since) >= wanted;
        }
        let ReadContent { mut hash, stamp, mut bytes, .. } = text;
        if !is_whole {
            truncate_to_whole_lines(&mut bytes);
            hash = blake3::hash(&bytes);
            if unsettled == UnstableFileMode::KeepActive || self::is_unexpectedly_empty(&bytes, none_line) {
                return Err(ReadError::KeepsChanging(source.display_path()));
            }
        }
        let is_emptied = is_unexpectedly_empty(&bytes, none_line);
        let watch = Self {
            source,
            no_entries_line: none_line,
            unstable_mode: unsettled,
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
        Ok((watch, NewContent { text: bytes, is_complete: is_whole, is_unexpectedly_empty: is_emptied }))
    }

    /// The file.
    pub fn source(&self) -> &SourceFile {
        &self.source
    }

    /// When to look again, if sooner than usual.
    pub fn next_poll_in(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref().map(|pending| {
            let wanted = self
                .required_stable_time(pending, now)
                .saturating_sub(now.since(pending.candidate.first_read_at));
            let deadline = match pending.candidate.is_unexpectedly_empty {
                true => pending.candidate.emptied_at.plus(EMPTY_STABLE_TIME),
                false => self.deadline(pending),
            };
            let to_deadline = deadline.since(now);
            let wait = match (pending.candidate.is_unexpectedly_empty, to_deadline.is_zero()) {
                (_, true) => wanted,
                (true, false) => to_deadline,
                (false, false) => wanted.min(to_deadline),
            };
            let to_told = pending.changed_at.plus(OVERDUE_AFTER).since(now);
            let wait = if to_told.is_zero() { wait } else { wait.min(to_told) };
            wait.clamp(STABLE_TIME_MIN, STABLE_TIME)
        });
        pending.or(self.unreadable_at.map(|_| STABLE_TIME))
    }

    /// How long a change has not been in force, once that has to be told.
    pub fn overdue_for(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(now.since(pending.changed_at)).filter(|age| *age >= OVERDUE_AFTER)
    }

    /// How long a change has not been in force that was handed out, if what it takes to be in force will bring it
    /// past [`IN_FORCE_WITHIN`].
    pub fn will_be_overdue_for(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(now.since(pending.changed_at)).filter(|age| age.saturating_add(self.load_time) >= OVERDUE_AFTER)
    }

    /// One look at the file. `forced` reads it even if its stamp is the one known.
    pub fn poll(&mut self, now: Moment, forced: bool, unsettled: UnstableFileMode) -> PollResult {
        self.unstable_mode = unsettled;
        if forced {
            self.rejected_hash = None;
        }
        let stamp = self.source.stamp();
        let known = self.known_stamp.as_ref().filter(|known| Some(known.stamp) == stamp);
        let is_quiet = self.pending.is_none() && self.unreadable_at.is_none() && !forced;
        if let Some(known) = known.filter(|_| is_quiet) {
            let due = now.since(self.compared_at) >= COMPARE_INTERVAL;
            let decided_on = |hash| hash == self.active_hash || Some(hash) == self.rejected_hash;
            if known.is_trusted && !due || self.source.hash().is_ok_and(decided_on) {
                if !known.is_trusted || due {
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
            // A file that is replaced by removing it first is missing for a moment.
            Err(fault) => {
                let since = *self.unreadable_at.get_or_insert(now);
                if !forced && now.since(since) < STABLE_TIME {
                    return PollResult::NoChange;
                }
                (self.pending, self.known_stamp, self.rejected_hash) = (None, None, None);
                PollResult::Unreadable(fault)
            }
        }
    }

    /// Notes the stamp of content that was decided on.
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
            let is_in_force = text.hash == self.active_hash;
            self.pending = None;
            self.record_stamp(text.stamp, now);
            self.decided_at = now;
            if is_in_force {
                self.rejected_hash = None;
            }
            return if is_in_force { PollResult::Active } else { PollResult::NoChange };
        }
        let ReadContent { bytes, hash, file, stamp, is_stable } = text;
        let is_emptied = is_unexpectedly_empty(&bytes, self.no_entries_line);
        let since = earliest_change_time(self.decided_at, now);
        let mut candidate = CandidateContent {
            hash,
            file,
            stamp,
            first_read_at: now,
            read_at: now,
            is_stable,
            is_unexpectedly_empty: is_emptied,
            emptied_at: since,
        };
        let pending = match self.pending.take() {
            None => PendingChange { changed_at: since, candidate, last_complete: None, next_offer_at: now },
            Some(mut pending) => {
                let before = pending.candidate;
                // To empty it is a change of its own, which begins when it was seen with something in it.
                candidate.emptied_at = if before.is_unexpectedly_empty {
                    before.emptied_at
                } else {
                    earliest_change_time(before.read_at, now)
                };
                // The hash alone is not enough: two reads can find the same part of two writes.
                if before.hash == candidate.hash && before.stamp.is_same_content(&candidate.stamp) {
                    candidate.first_read_at = before.first_read_at;
                } else if before.was_complete(&candidate) {
                    pending.last_complete = Some(before);
                }
                PendingChange { candidate, ..pending }
            }
        };
        let seen = self.decide_on_change(&pending, bytes, now);
        self.pending = Some(pending);
        seen
    }

    fn decide_on_change(
        &mut self,
        pending: &PendingChange,
        text: Zeroizing<Vec<u8>>,
        now: Moment,
    ) -> PollResult {
        let CandidateContent {
            hash,
            stamp,
            first_read_at: first,
            read_at: read,
            is_stable,
            is_unexpectedly_empty: is_emptied,
            ..
        } = &pending.candidate;
        let deadline = self.deadline(pending);
        let may_be_taken = !is_emptied || now >= pending.candidate.emptied_at.plus(EMPTY_STABLE_TIME);
        let is_settled = *is_stable && now.since(*first) >= self.required_stable_time(pending, now);
        if is_settled && may_be_taken {
            self.offered = Some(OfferedContent { hash: *hash, stamp: Some(*stamp), read_at: *read });
            return PollResult::Changed(NewContent {
                text,
                is_complete: true,
                is_unexpectedly_empty: *is_emptied,
            });
        }
        if now < deadline {
            return PollResult::NoChange;
        }
        if let Some(whole) = &pending.last_complete
            && let Some(text) = self.source.reread_open(&whole.file, &whole.stamp)
        {
            self.offered = Some(OfferedContent { hash: whole.hash, stamp: None, read_at: whole.read_at });
            return PollResult::Changed(NewContent { text, is_complete: true, is_unexpectedly_empty: false });
        }
        let is_time = now >= deadline.plus(UNSTABLE_GRACE).max(pending.next_offer_at);
        if self.unstable_mode == UnstableFileMode::UseWholeLines && is_time && !is_emptied {
            let mut text = text;
            truncate_to_whole_lines(&mut text);
            if !self::is_unexpectedly_empty(&text, self.no_entries_line) {
                // The hash of what is taken: should the file stay as it is, its last line has yet to come into force.
                self.offered =
                    Some(OfferedContent { hash: blake3::hash(&text), stamp: None, read_at: *read });
                return PollResult::Changed(NewContent {
                    text,
                    is_complete: false,
                    is_unexpectedly_empty: false,
                });
            }
        }
        PollResult::NoChange
    }

    /// When a change has to be decided on, so that it is in force in time.
    fn deadline(&self, pending: &PendingChange) -> Moment {
        pending
            .changed_at
            .plus(RELOAD_DELAY_MAX.saturating_sub(DEADLINE_MARGIN).saturating_sub(self.load_time))
    }

    /// How long content has to be the same.
    fn required_stable_time(&self, pending: &PendingChange, now: Moment) -> Duration {
        match self.unstable_mode {
            UnstableFileMode::UseWholeLines if !pending.candidate.is_unexpectedly_empty => {
                (self.deadline(pending).since(now) / 3).clamp(STABLE_TIME_MIN, STABLE_TIME)
            }
            UnstableFileMode::KeepActive | UnstableFileMode::UseWholeLines => STABLE_TIME,
        }
    }

    /// Has the file's stamp taken for the one known, as where stamps lie.
    #[cfg(test)]
    pub(crate) fn trust_current_stamp(&mut self) {
        let known = |stamp| KnownStamp { stamp, first_seen_at: Moment::default(), is_trusted: true };
        self.known_stamp = self.source.stamp().map(known);
    }

    /// To have reads fail.
    #[cfg(test)]
    pub(crate) fn source_mut(&mut self) -> &mut SourceFile {
        &mut self.source
    }

    /// How long the content that [`Watch::start`] returned took to be put in force.
    pub fn set_load_time(&mut self, load: Duration) {
        self.load_time = load;
    }

    /// What was handed out is in force now, which took so long.
    pub fn accept_offered(&mut self, load: Duration) {
        if let Some(handed) = self.offered.take() {
            self.active_hash = handed.hash;
            self.rejected_hash = None;
            self.load_time = load;
            self.finish_change(&handed);
        }
    }

    /// What was handed out is no good, and is not to be looked at again before it changes.
    pub fn reject_offered(&mut self) {
        if let Some(handed) = self.offered.take() {
            self.rejected_hash = Some(handed.hash);
            self.finish_change(&handed);
        }
    }

    /// What was handed out is not whole and no good; the next is to be waited for.
    pub fn retry_later(&mut self, now: Moment) {
        self.offered = None;
        if let Some(pending) = &mut self.pending {
            pending.next_offer_at = now.plus(STABLE_TIME);
        }
    }

    fn finish_change(&mut self, handed: &OfferedContent) {
        self.pending = None;
        self.decided_at = handed.read_at;
        let known = |stamp| KnownStamp { stamp, first_seen_at: handed.read_at, is_trusted: false };
        self.known_stamp = handed.stamp.map(known);
    }
}

impl CandidateContent {
    /// Whether this was whole when it was read: another file has taken its place since, and nobody wrote to it.
    fn was_complete(&self, next: &Self) -> bool {
        let replaced = !self.stamp.is_same_file(&next.stamp);
        replaced && self.is_stable && !self.is_unexpectedly_empty && is_unmodified(&self.file, &self.stamp)
    }
}

/// When a change was made, at the earliest, that a look found now and one `before` did not.
fn earliest_change_time(before: Moment, now: Moment) -> Moment {
    let unseen = now.since(before).min(UNSEEN_CHANGE_AGE_MAX);
    Moment::from_millis(now.as_millis().saturating_sub(u64::try_from(unseen.as_millis()).unwrap_or_default()))
}

/// Cuts a text behind its last whole line.
fn truncate_to_whole_lines(text: &mut Vec<u8>) {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    text.truncate(end);
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
