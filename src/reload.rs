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

mod access;
pub mod foreign;
pub mod mount;
pub mod reloader;
mod run;
mod source;
pub mod state;

use std::fs::File;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::reloader::{Event, FileReloader, Reloadable};
pub use self::run::{LookNow, Looks, Reload, spawn};
pub use self::source::{ReadFault, Source, shown_path};
use self::source::{Stamp, Text, is_settled, is_untouched};
pub use self::state::FileHealth;
use crate::clock::Moment;

/// The time from the first write of a change until it is in force, or is told not to be.
pub const IN_FORCE_WITHIN: Duration = Duration::from_secs(2);

/// How long content has to be the same: longer than a tool that writes in place needs between two writes, and too
/// short for the author to notice.
pub const SETTLE: Duration = Duration::from_millis(200);

/// The same when there is no time left, for files that may be taken unsettled: longer than a program needs between
/// truncating a file and writing it.
const SETTLE_LEAST: Duration = Duration::from_millis(10);

/// What the deadline leaves of [`IN_FORCE_WITHIN`]: for the last looks, and for threads that wait for a core.
const MARGIN: Duration = Duration::from_millis(400);

/// The age at which it is told that a change is not in force: as much before [`IN_FORCE_WITHIN`] as a thread may
/// have to wait for a core to tell it.
const TOLD_AFTER: Duration = IN_FORCE_WITHIN.saturating_sub(Duration::from_millis(150));

/// How long a file has to be empty at the start, as while it is watched: a tool may be between truncating and writing,
/// and wait for a core there.
const EMPTIED_AFTER: Duration = IN_FORCE_WITHIN.saturating_sub(MARGIN);

/// How long a start waits for a file to hold still: an empty one may have been written just before the end.
const START_WAIT: Duration = IN_FORCE_WITHIN.saturating_add(IN_FORCE_WITHIN);

/// How long after the deadline two reads may still agree, before a file is taken unsettled.
const UNSETTLED_AFTER: Duration = Duration::from_millis(100);

/// The longest time that a change is taken to have been there before it was seen. Where looks are further apart
/// than this, the time counts from the look that saw it.
const UNSEEN_MAX: Duration = Duration::from_secs(1);

/// The coarsest time stamps of a file system (FAT's). Writes that are closer together can have one stamp.
const COARSEST_STAMP: Duration = Duration::from_secs(2);

/// How often the content is compared even though the stamp is the same.
pub(crate) const COMPARE_EVERY: Duration = Duration::from_secs(60);

/// What comes into force of a file that never holds still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// Nothing, since a part of the file could admit more than the whole.
    Nothing,
    /// The whole lines of what is there, since a line that is missing can only refuse.
    WholeLines,
}

/// New content.
#[derive(Debug)]
pub struct New {
    /// What was read; cleared when it goes, since it may be a secret.
    pub text: Zeroizing<Vec<u8>>,
    /// Whether it is all that was written. If not, it ends with a whole line.
    pub is_whole: bool,
    /// Whether it has no entry, and does not say so itself; see [`is_emptied`].
    pub is_emptied: bool,
}

/// What a look found.
#[derive(Debug)]
pub enum Seen {
    /// Nothing that was not known, or nothing yet that can be taken.
    Nothing,
    /// What is in force; it may have been otherwise in between.
    InForce,
    /// Other content. It is handed out again at each look, until [`Watch::taken`], [`Watch::passed_over`] or
    /// [`Watch::wait_on`] is said of it.
    New(New),
    /// It can't be read.
    Fault(ReadFault),
}

/// Watches one file; see the top of this file.
#[derive(Debug)]
pub struct Watch {
    source: Source,
    /// The line by which a file says that it has no entries.
    none_line: &'static [u8],
    unsettled: Unsettled,
    in_force: blake3::Hash,
    /// What was no good, and is not handed out again.
    refused: Option<blake3::Hash>,
    known: Option<Known>,
    compared: Moment,
    /// When the content was read that was decided on last.
    decided: Moment,
    pending: Option<Pending>,
    handed: Option<Handed>,
    unreadable: Option<Moment>,
    /// How long the last content took to be read and put in force.
    load: Duration,
}

/// The stamp of content that was decided on.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    since: Moment,
    /// Whether content with another stamp can't be what was decided on.
    is_believed: bool,
}

/// A change that is not in force.
#[derive(Debug)]
struct Pending {
    /// When it was made, at the earliest.
    since: Moment,
    candidate: Candidate,
    /// The last file that was replaced, and so was whole.
    whole: Option<Candidate>,
    /// When unsettled content may be handed out again.
    unsettled_from: Moment,
}

/// Content that was read.
#[derive(Debug)]
struct Candidate {
    hash: blake3::Hash,
    file: File,
    stamp: Stamp,
    /// Since when it is the same.
    first: Moment,
    read: Moment,
    is_stable: bool,
    is_emptied: bool,
    /// When it was emptied, at the earliest, if it is.
    emptied: Moment,
}

/// Content that was handed out.
#[derive(Debug)]
struct Handed {
    hash: blake3::Hash,
    stamp: Option<Stamp>,
    read: Moment,
}

/// Returns whether a text has nothing but blank lines and comments, and none of them is `none_line`, by which a
/// file says that it has no entries.
pub fn is_emptied(text: &[u8], none_line: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .all(|line| line.is_empty() || line.starts_with(b"#") && line != none_line)
}

impl Watch {
    /// Reads the file for the first time. What it returns counts as in force. A file that was written a moment ago
    /// has to be the same a moment later; `pause` lets so much time go by.
    ///
    /// # Errors
    /// It can't be read; or it changes all the time, and nothing of it may be taken unsettled.
    pub fn start(
        source: Source,
        none_line: &'static [u8],
        unsettled: Unsettled,
        now: Moment,
        mut pause: impl FnMut(Duration),
    ) -> Result<(Self, New), ReadFault> {
        let mut text = source.read_text()?;
        let is_empty = |text: &Text| is_emptied(&text.bytes, none_line);
        let span = |text: &Text| if is_empty(text) { EMPTIED_AFTER } else { SETTLE };
        let mut is_whole = text.is_stable && is_settled(&text.file, &text.stamp, span(&text));
        let (mut waited, mut same_since) = (Duration::ZERO, Duration::ZERO);
        while !is_whole && waited < START_WAIT {
            let quick = unsettled == Unsettled::WholeLines && !is_empty(&text);
            let step = if quick { SETTLE_LEAST } else { SETTLE };
            pause(step);
            waited += step;
            // A file that is replaced by removing it first is missing for a moment.
            let Ok(next) = source.read_text() else { continue };
            if text.was_whole(&next) && !is_empty(&text) {
                is_whole = true;
                break;
            }
            if !next.agrees(&text) {
                same_since = waited;
            }
            text = next;
            let wanted = if quick { SETTLE_LEAST } else { span(&text) };
            is_whole = waited.saturating_sub(same_since) >= wanted;
        }
        let Text { mut hash, stamp, mut bytes, .. } = text;
        if !is_whole {
            cut(&mut bytes);
            hash = blake3::hash(&bytes);
            if unsettled == Unsettled::Nothing || self::is_emptied(&bytes, none_line) {
                return Err(ReadFault::Changing(source.name()));
            }
        }
        let is_emptied = is_emptied(&bytes, none_line);
        let watch = Self {
            source,
            none_line,
            unsettled,
            in_force: hash,
            refused: None,
            known: Some(Known { stamp, since: now, is_believed: false }),
            compared: now,
            decided: now,
            pending: None,
            handed: None,
            unreadable: None,
            load: Duration::ZERO,
        };
        Ok((watch, New { text: bytes, is_whole, is_emptied }))
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// When to look again, if sooner than usual.
    pub fn next_look(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref().map(|pending| {
            let wanted = self.settle(pending, now).saturating_sub(now.since(pending.candidate.first));
            let deadline = match pending.candidate.is_emptied {
                true => pending.candidate.emptied.plus(EMPTIED_AFTER),
                false => self.deadline(pending),
            };
            let to_deadline = deadline.since(now);
            let wait = match (pending.candidate.is_emptied, to_deadline.is_zero()) {
                (_, true) => wanted,
                (true, false) => to_deadline,
                (false, false) => wanted.min(to_deadline),
            };
            let to_told = pending.since.plus(TOLD_AFTER).since(now);
            let wait = if to_told.is_zero() { wait } else { wait.min(to_told) };
            wait.clamp(SETTLE_LEAST, SETTLE)
        });
        pending.or(self.unreadable.map(|_| SETTLE))
    }

    /// How long a change has not been in force, once that has to be told.
    pub fn late(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(now.since(pending.since)).filter(|age| *age >= TOLD_AFTER)
    }

    /// How long a change has not been in force that was handed out, if what it takes to be in force will bring it
    /// past [`IN_FORCE_WITHIN`].
    pub fn will_be_late(&self, now: Moment) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(now.since(pending.since)).filter(|age| age.saturating_add(self.load) >= TOLD_AFTER)
    }

    /// One look at the file. `forced` reads it even if its stamp is the one known.
    pub fn look(&mut self, now: Moment, forced: bool, unsettled: Unsettled) -> Seen {
        self.unsettled = unsettled;
        if forced {
            self.refused = None;
        }
        let stamp = self.source.stamp();
        let known = self.known.as_ref().filter(|known| Some(known.stamp) == stamp);
        let is_quiet = self.pending.is_none() && self.unreadable.is_none() && !forced;
        if let Some(known) = known.filter(|_| is_quiet) {
            let due = now.since(self.compared) >= COMPARE_EVERY;
            let decided_on = |hash| hash == self.in_force || Some(hash) == self.refused;
            if known.is_believed && !due || self.source.hash().is_ok_and(decided_on) {
                if !known.is_believed || due {
                    self.compared = now;
                }
                self.believe(known.stamp, now);
                self.decided = now;
                return Seen::Nothing;
            }
        }
        self.compared = now;
        match self.source.read_text() {
            Ok(text) => {
                self.unreadable = None;
                self.consider(text, now)
            }
            // A file that is replaced by removing it first is missing for a moment.
            Err(fault) => {
                let since = *self.unreadable.get_or_insert(now);
                if !forced && now.since(since) < SETTLE {
                    return Seen::Nothing;
                }
                (self.pending, self.known, self.refused) = (None, None, None);
                Seen::Fault(fault)
            }
        }
    }

    /// Notes the stamp of content that was decided on.
    fn believe(&mut self, stamp: Stamp, now: Moment) {
        match &mut self.known {
            Some(known) if known.stamp == stamp => {
                known.is_believed |= now.since(known.since) >= COARSEST_STAMP;
            }
            _ => self.known = Some(Known { stamp, since: now, is_believed: false }),
        }
    }

    fn consider(&mut self, text: Text, now: Moment) -> Seen {
        if text.hash == self.in_force || Some(text.hash) == self.refused {
            let is_in_force = text.hash == self.in_force;
            self.pending = None;
            self.believe(text.stamp, now);
            self.decided = now;
            if is_in_force {
                self.refused = None;
            }
            return if is_in_force { Seen::InForce } else { Seen::Nothing };
        }
        let Text { bytes, hash, file, stamp, is_stable } = text;
        let is_emptied = is_emptied(&bytes, self.none_line);
        let since = earliest(self.decided, now);
        let mut candidate =
            Candidate { hash, file, stamp, first: now, read: now, is_stable, is_emptied, emptied: since };
        let pending = match self.pending.take() {
            None => Pending { since, candidate, whole: None, unsettled_from: now },
            Some(mut pending) => {
                let before = pending.candidate;
                // To empty it is a change of its own, which begins when it was seen with something in it.
                candidate.emptied =
                    if before.is_emptied { before.emptied } else { earliest(before.read, now) };
                // The hash alone is not enough: two reads can find the same part of two writes.
                if before.hash == candidate.hash && before.stamp.is_same_content(&candidate.stamp) {
                    candidate.first = before.first;
                } else if before.was_whole(&candidate) {
                    pending.whole = Some(before);
                }
                Pending { candidate, ..pending }
            }
        };
        let seen = self.decide(&pending, bytes, now);
        self.pending = Some(pending);
        seen
    }

    fn decide(&mut self, pending: &Pending, text: Zeroizing<Vec<u8>>, now: Moment) -> Seen {
        let Candidate { hash, stamp, first, read, is_stable, is_emptied, .. } = &pending.candidate;
        let deadline = self.deadline(pending);
        let may_be_taken = !is_emptied || now >= pending.candidate.emptied.plus(EMPTIED_AFTER);
        let is_settled = *is_stable && now.since(*first) >= self.settle(pending, now);
        if is_settled && may_be_taken {
            self.handed = Some(Handed { hash: *hash, stamp: Some(*stamp), read: *read });
            return Seen::New(New { text, is_whole: true, is_emptied: *is_emptied });
        }
        if now < deadline {
            return Seen::Nothing;
        }
        if let Some(whole) = &pending.whole
            && let Some(text) = self.source.read_again(&whole.file, &whole.stamp)
        {
            self.handed = Some(Handed { hash: whole.hash, stamp: None, read: whole.read });
            return Seen::New(New { text, is_whole: true, is_emptied: false });
        }
        let is_time = now >= deadline.plus(UNSETTLED_AFTER).max(pending.unsettled_from);
        if self.unsettled == Unsettled::WholeLines && is_time && !is_emptied {
            let mut text = text;
            cut(&mut text);
            if !self::is_emptied(&text, self.none_line) {
                // The hash of what is taken: should the file stay as it is, its last line has yet to come into force.
                self.handed = Some(Handed { hash: blake3::hash(&text), stamp: None, read: *read });
                return Seen::New(New { text, is_whole: false, is_emptied: false });
            }
        }
        Seen::Nothing
    }

    /// When a change has to be decided on, so that it is in force in time.
    fn deadline(&self, pending: &Pending) -> Moment {
        pending.since.plus(IN_FORCE_WITHIN.saturating_sub(MARGIN).saturating_sub(self.load))
    }

    /// How long content has to be the same.
    fn settle(&self, pending: &Pending, now: Moment) -> Duration {
        match self.unsettled {
            Unsettled::WholeLines if !pending.candidate.is_emptied => {
                (self.deadline(pending).since(now) / 3).clamp(SETTLE_LEAST, SETTLE)
            }
            Unsettled::Nothing | Unsettled::WholeLines => SETTLE,
        }
    }

    /// Has the file's stamp taken for the one known, as where stamps lie.
    #[cfg(test)]
    pub(crate) fn believe_stamp(&mut self) {
        let known = |stamp| Known { stamp, since: Moment::default(), is_believed: true };
        self.known = self.source.stamp().map(known);
    }

    /// To have reads fail.
    #[cfg(test)]
    pub(crate) fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }

    /// How long the content that [`Watch::start`] returned took to be put in force.
    pub fn started(&mut self, load: Duration) {
        self.load = load;
    }

    /// What was handed out is in force now, which took so long.
    pub fn taken(&mut self, load: Duration) {
        if let Some(handed) = self.handed.take() {
            self.in_force = handed.hash;
            self.refused = None;
            self.load = load;
            self.done(&handed);
        }
    }

    /// What was handed out is no good, and is not to be looked at again before it changes.
    pub fn passed_over(&mut self) {
        if let Some(handed) = self.handed.take() {
            self.refused = Some(handed.hash);
            self.done(&handed);
        }
    }

    /// What was handed out is not whole and no good; the next is to be waited for.
    pub fn wait_on(&mut self, now: Moment) {
        self.handed = None;
        if let Some(pending) = &mut self.pending {
            pending.unsettled_from = now.plus(SETTLE);
        }
    }

    fn done(&mut self, handed: &Handed) {
        self.pending = None;
        self.decided = handed.read;
        let known = |stamp| Known { stamp, since: handed.read, is_believed: false };
        self.known = handed.stamp.map(known);
    }
}

impl Candidate {
    /// Whether this was whole when it was read: another file has taken its place since, and nobody wrote to it.
    fn was_whole(&self, next: &Self) -> bool {
        let replaced = !self.stamp.is_same_file(&next.stamp);
        replaced && self.is_stable && !self.is_emptied && is_untouched(&self.file, &self.stamp)
    }
}

/// When a change was made, at the earliest, that a look found now and one `before` did not.
fn earliest(before: Moment, now: Moment) -> Moment {
    let unseen = now.since(before).min(UNSEEN_MAX);
    Moment::from_millis(now.as_millis().saturating_sub(u64::try_from(unseen.as_millis()).unwrap_or_default()))
}

/// Cuts a text behind its last whole line.
fn cut(text: &mut Vec<u8>) {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    text.truncate(end);
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
