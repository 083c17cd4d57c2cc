//! Keeping in force the file that is on disk, without a restart and without ever losing the last good one. What
//! can't be used leaves what is in force as it is, and is told in the log, on `/readyz` and in the metrics.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::mount::{FileMount, SINGLE_FILE_MOUNT_WARNING};
use super::reload_state::{OverdueReason, ReloadState};
use super::{
    FileHealth, NewContent, PollFile, PollResult, ReadError, SourceFile, UnstableFileMode, WatchedFile,
};
use crate::clock::Moment;

/// What happened to a file, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadEvent {
    /// Another content was put in force.
    Reloaded,
    /// What is on disk can't be used, for a reason that is new.
    Failed,
    /// What is in force is not what is on disk any more.
    BecameStale,
    /// What is in force is what is on disk again.
    BecameCurrent,
}

/// A kind of file that is kept in force.
pub trait Reloadable: Send {
    /// What a good file holds.
    type Content;
    /// Why a file can't be used.
    type Error: From<ReadError>;

    /// What the file is called in the log.
    fn label(&self) -> &'static str;

    /// What comes into force of it if it never holds still.
    fn unstable_mode(&self) -> UnstableFileMode;

    /// The line by which it says that it has no entries; empty if an empty file can't be used.
    fn no_entries_line(&self) -> &'static [u8] {
        b""
    }

    /// What is said of a file without entries that does not say so itself; `None` if an empty file can't be used.
    fn empty_file_message(&self) -> Option<&'static str> {
        None
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Why it can't be used.
    fn parse(&self, source: &SourceFile, text: &mut Zeroizing<Vec<u8>>)
    -> Result<Self::Content, Self::Error>;

    /// Puts it in force, and logs what it is unless it is the `first`.
    fn activate(&mut self, content: Self::Content, source: &SourceFile, first: bool);

    /// The lines of the log about a fault.
    fn error_lines(&self, fault: &Self::Error) -> Vec<String>;

    /// What `/readyz` says of a fault. It must not tell where the file is.
    fn readiness_message(&self, fault: &Self::Error) -> &'static str;

    /// Counts what happened.
    fn record_event(&self, event: ReloadEvent) {
        let _ = event;
    }
}

/// Keeps one file in force.
pub struct FileReloader<T> {
    watched_file: WatchedFile,
    reload_state: ReloadState,
    /// If the file is mounted by itself.
    mount: Option<FileMount>,
    target: T,
}

impl<T: Reloadable> FileReloader<T> {
    /// Reads the file for the first time. There is no last good one yet, so a fault is an error.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn start(source: SourceFile, mut kind: T, now: Moment) -> Result<Self, T::Error> {
        let (none_line, unsettled) = (kind.no_entries_line(), kind.unstable_mode());
        let make = |source: &SourceFile, text: &mut Zeroizing<Vec<u8>>| {
            let content = kind.parse(source, text)?;
            kind.activate(content, source, true);
            Ok(kind)
        };
        Self::start_with(source, none_line, unsettled, make, now)
    }

    /// The same for a kind that is made from the first content.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn start_with(
        source: SourceFile,
        none_line: &'static [u8],
        unsettled: UnstableFileMode,
        make: impl FnOnce(&SourceFile, &mut Zeroizing<Vec<u8>>) -> Result<T, T::Error>,
        now: Moment,
    ) -> Result<Self, T::Error> {
        let (mut watch, mut new) = WatchedFile::start(source, none_line, unsettled, now, thread::sleep)?;
        let begin = Instant::now();
        let kind = make(watch.source(), &mut new.text)?;
        watch.set_load_time(begin.elapsed());
        let mut state = ReloadState::new(kind.label());
        state.content_activated(
            &watch.source().path,
            kind.empty_file_message().filter(|_| new.is_unexpectedly_empty),
        );
        state.mark_current(&watch.source().path);
        let mount = FileMount::find(&watch.source().path);
        if mount.is_some() {
            tracing::warn!(file = %watch.source().path.display(), "the {} {SINGLE_FILE_MOUNT_WARNING}", kind.label());
        }
        Ok(Self { watched_file: watch, reload_state: state, mount, target: kind })
    }

    /// What is kept in force.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// What `/readyz` tells.
    pub fn health(&self) -> Arc<FileHealth> {
        self.reload_state.health()
    }

    /// Puts new content in force, which a look at `now` found that began at `begin`.
    fn load_content(&mut self, mut new: NewContent, now: Moment, begin: Instant) {
        let read = now.plus(begin.elapsed());
        if let Some(age) = self.watched_file.will_be_overdue_for(read) {
            self.report_overdue(age, OverdueReason::SlowToLoad);
        }
        match self.target.parse(self.watched_file.source(), &mut new.text) {
            Ok(content) => {
                self.target.activate(content, self.watched_file.source(), false);
                self.watched_file.accept_offered(begin.elapsed());
                self.target.record_event(ReloadEvent::Reloaded);
                let emptied = self.target.empty_file_message().filter(|_| new.is_unexpectedly_empty);
                self.reload_state.content_activated(&self.watched_file.source().path, emptied);
                self.report_current();
            }
            Err(_) if !new.is_complete => self.watched_file.retry_later(now),
            Err(fault) => {
                self.watched_file.reject_offered();
                self.report_rejected(&fault);
            }
        }
    }

    fn report_overdue(&mut self, age: Duration, why: OverdueReason) {
        if self.reload_state.mark_overdue(&self.watched_file.source().path, age, why) {
            self.target.record_event(ReloadEvent::BecameStale);
        }
    }

    fn report_current(&mut self) {
        if self.reload_state.mark_current(&self.watched_file.source().path) {
            self.target.record_event(ReloadEvent::BecameCurrent);
        }
    }

    /// Tells if a file that is mounted by itself was replaced outside, which no look at it shows.
    fn check_mount(&mut self, forced: bool) {
        let Some(mount) = &self.mount else { return };
        let path = &self.watched_file.source().path;
        match self.reload_state.set_replaced_outside(path, mount.is_replaced(), forced) {
            Some(true) => self.target.record_event(ReloadEvent::BecameStale),
            Some(false) => self.target.record_event(ReloadEvent::BecameCurrent),
            None => {}
        }
    }

    fn report_rejected(&mut self, fault: &T::Error) {
        let refusal = self
            .reload_state
            .mark_rejected(&self.target.error_lines(fault), self.target.readiness_message(fault));
        if refusal.is_new_reason {
            self.target.record_event(ReloadEvent::Failed);
        }
        if refusal.was_current {
            self.target.record_event(ReloadEvent::BecameStale);
        }
    }

    /// To have stamps believed and reads fail.
    #[cfg(test)]
    pub(crate) fn watched_file_mut(&mut self) -> &mut WatchedFile {
        &mut self.watched_file
    }
}

impl<T: Reloadable> PollFile for FileReloader<T> {
    fn poll(&mut self, now: Moment, forced: bool) {
        let begin = Instant::now();
        match self.watched_file.poll(now, forced, self.target.unstable_mode()) {
            PollResult::NoChange => {}
            PollResult::Active => self.report_current(),
            PollResult::Unreadable(fault) => self.report_rejected(&fault.into()),
            PollResult::Changed(new) => self.load_content(new, now, begin),
        }
        if let Some(age) = self.watched_file.overdue_for(now.plus(begin.elapsed())) {
            self.report_overdue(age, OverdueReason::KeepsChanging);
        }
        self.check_mount(forced);
    }

    fn next_poll_in(&self, now: Moment) -> Option<Duration> {
        self.watched_file.next_poll_in(now)
    }
}

impl<T> fmt::Debug for FileReloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileReloader").field("source", self.watched_file.source()).finish_non_exhaustive()
    }
}
