//! A watched file whose content is parsed and activated at run time.
//!
//! Invalid content never replaces the active content. It is reported in the log, on `/readyz` and in the metrics.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::mount::{FileMount, SINGLE_FILE_MOUNT_REMEDY, SINGLE_FILE_MOUNT_STATE};
use super::reload_state::{OverdueReason, ReloadState};
use super::{
    FileHealth, NewContent, PollFile, PollResult, ReadError, SourceFile, UnstableFileMode, WatchedFile,
};
use crate::clock::Moment;

/// An event of a watched file, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadEvent {
    /// New content was activated.
    Reloaded,
    /// The content on disk is invalid, for a new reason.
    Failed,
    /// The active content is no longer the content on disk.
    BecameStale,
    /// The active content is the content on disk again.
    BecameCurrent,
}

/// A kind of file that can be reloaded.
pub trait Reloadable: Send {
    /// The parsed content of a valid file.
    type Content;
    /// The reason for which a file is invalid.
    type Error: From<ReadError>;

    /// Returns the name of the file in the log.
    fn label(&self) -> &'static str;

    /// Returns the rule for a file whose content never becomes stable.
    fn unstable_mode(&self) -> UnstableFileMode;

    /// Returns the line that states that the file has no entries; an empty line if an empty file is invalid.
    fn no_entries_line(&self) -> &'static [u8] {
        b""
    }

    /// Returns the message for a file without entries and without the line that states this; `None` if an empty file is
    /// invalid.
    fn empty_file_message(&self) -> Option<&'static str> {
        None
    }

    /// Parses the content of a file.
    ///
    /// # Errors
    /// The content is invalid.
    fn parse(&self, source: &SourceFile, text: &mut Zeroizing<Vec<u8>>)
    -> Result<Self::Content, Self::Error>;

    /// Activates the content, and logs it unless it `is_first`.
    fn activate(&mut self, content: Self::Content, source: &SourceFile, is_first: bool);

    /// Returns the messages that are logged for an error.
    fn error_lines(&self, error: &Self::Error) -> Vec<String>;

    /// Returns the message of `/readyz` for an error. It must not contain the path.
    fn readiness_message(&self, error: &Self::Error) -> &'static str;

    /// Counts an event.
    fn record_event(&self, event: ReloadEvent) {
        let _ = event;
    }
}

/// A watched file and the component that uses its content.
pub struct FileReloader<T> {
    watched_file: WatchedFile,
    reload_state: ReloadState,
    /// The mount of a file that is mounted as a single file.
    mount: Option<FileMount>,
    target: T,
}

impl<T: Reloadable> FileReloader<T> {
    /// Reads the file for the first time and activates its content.
    ///
    /// # Errors
    /// The file is invalid. There is no earlier content that could stay active.
    pub fn start(source: SourceFile, mut target: T, now: Moment) -> Result<Self, T::Error> {
        let (no_entries_line, unstable_mode) = (target.no_entries_line(), target.unstable_mode());
        let make_target = |source: &SourceFile, text: &mut Zeroizing<Vec<u8>>| {
            let content = target.parse(source, text)?;
            target.activate(content, source, true);
            Ok(target)
        };
        Self::start_with(source, no_entries_line, unstable_mode, make_target, now)
    }

    /// Reads the file for the first time and creates the target from its content.
    ///
    /// # Errors
    /// The file is invalid.
    pub fn start_with(
        source: SourceFile,
        no_entries_line: &'static [u8],
        unstable_mode: UnstableFileMode,
        make_target: impl FnOnce(&SourceFile, &mut Zeroizing<Vec<u8>>) -> Result<T, T::Error>,
        now: Moment,
    ) -> Result<Self, T::Error> {
        let (mut watched_file, mut new) =
            WatchedFile::start(source, no_entries_line, unstable_mode, now, thread::sleep)?;
        let load_start = Instant::now();
        let target = make_target(watched_file.source(), &mut new.text)?;
        watched_file.set_load_time(load_start.elapsed());
        let path = &watched_file.source().path;
        let mut reload_state = ReloadState::new(target.label());
        let empty_message = target.empty_file_message().filter(|_| new.is_unexpectedly_empty);
        reload_state.content_activated(path, empty_message);
        reload_state.mark_current(path);
        let mount = FileMount::find(path);
        if mount.is_some() {
            tracing::warn!(
                file = %path.display(),
                remedy = SINGLE_FILE_MOUNT_REMEDY,
                "{} {SINGLE_FILE_MOUNT_STATE}",
                target.label()
            );
        }
        Ok(Self { watched_file, reload_state, mount, target })
    }

    /// Returns the component that uses the content.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// Returns the health of the file for `/readyz`.
    pub fn health(&self) -> Arc<FileHealth> {
        self.reload_state.health()
    }

    /// Parses and activates new content. `now` and `poll_start` are the time at which the poll started.
    fn load_content(&mut self, mut new: NewContent, now: Moment, poll_start: Instant) {
        let read_at = now.plus(poll_start.elapsed());
        if let Some(age) = self.watched_file.will_be_overdue_for(read_at) {
            self.report_overdue(age, OverdueReason::SlowToLoad);
        }
        match self.target.parse(self.watched_file.source(), &mut new.text) {
            Ok(content) => {
                self.target.activate(content, self.watched_file.source(), false);
                self.watched_file.accept_offered(poll_start.elapsed());
                self.target.record_event(ReloadEvent::Reloaded);
                let empty_message = self.target.empty_file_message().filter(|_| new.is_unexpectedly_empty);
                self.reload_state.content_activated(&self.watched_file.source().path, empty_message);
                self.report_current();
            }
            Err(_) if !new.is_complete => self.watched_file.retry_later(now),
            Err(error) => {
                self.watched_file.reject_offered();
                self.report_rejected(&error);
            }
        }
    }

    fn report_overdue(&mut self, age: Duration, reason: OverdueReason) {
        if self.reload_state.mark_overdue(&self.watched_file.source().path, age, reason) {
            self.target.record_event(ReloadEvent::BecameStale);
        }
    }

    fn report_current(&mut self) {
        if self.reload_state.mark_current(&self.watched_file.source().path) {
            self.target.record_event(ReloadEvent::BecameCurrent);
        }
    }

    /// Checks whether a file that is mounted as a single file was replaced outside its mount. A poll of the file cannot
    /// detect this.
    fn check_mount(&mut self, is_forced: bool) {
        let Some(mount) = &self.mount else { return };
        let path = &self.watched_file.source().path;
        match self.reload_state.set_replaced_outside(path, mount.is_replaced(), is_forced) {
            Some(true) => self.target.record_event(ReloadEvent::BecameStale),
            Some(false) => self.target.record_event(ReloadEvent::BecameCurrent),
            None => {}
        }
    }

    fn report_rejected(&mut self, error: &T::Error) {
        let rejected = self
            .reload_state
            .mark_rejected(&self.target.error_lines(error), self.target.readiness_message(error));
        if rejected.is_new_reason {
            self.target.record_event(ReloadEvent::Failed);
        }
        if rejected.was_current {
            self.target.record_event(ReloadEvent::BecameStale);
        }
    }

    /// Returns the watched file for tests that trust its stamp or make reads fail.
    #[cfg(test)]
    pub(crate) fn watched_file_mut(&mut self) -> &mut WatchedFile {
        &mut self.watched_file
    }
}

impl<T: Reloadable> PollFile for FileReloader<T> {
    fn poll(&mut self, now: Moment, is_forced: bool) {
        let poll_start = Instant::now();
        match self.watched_file.poll(now, is_forced, self.target.unstable_mode()) {
            PollResult::NoChange => {}
            PollResult::Active => self.report_current(),
            PollResult::Unreadable(error) => self.report_rejected(&error.into()),
            PollResult::Changed(new) => self.load_content(new, now, poll_start),
        }
        if let Some(age) = self.watched_file.overdue_for(now.plus(poll_start.elapsed())) {
            self.report_overdue(age, OverdueReason::KeepsChanging);
        }
        self.check_mount(is_forced);
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
