//! Keeping in force the file that is on disk, without a restart and without ever losing the last good one. What
//! can't be used leaves what is in force as it is, and is told in the log, on `/readyz` and in the metrics.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::mount::{ALONE, FileMount};
use super::state::{Late, ReloadState};
use super::{FileHealth, New, ReadFault, Reload, Seen, Source, Unsettled, Watch};
use crate::clock::Moment;

/// What happened to a file, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another content was put in force.
    Reloaded,
    /// What is on disk can't be used, for a reason that is new.
    Failed,
    /// What is in force is not what is on disk any more.
    Stale,
    /// What is in force is what is on disk again.
    Fresh,
}

/// A kind of file that is kept in force.
pub trait Reloadable: Send {
    /// What a good file holds.
    type Content;
    /// Why a file can't be used.
    type Fault: From<ReadFault>;

    /// What the file is called in the log.
    fn name(&self) -> &'static str;

    /// What comes into force of it if it never holds still.
    fn unsettled(&self) -> Unsettled;

    /// The line by which it says that it has no entries; empty if an empty file can't be used.
    fn none_line(&self) -> &'static [u8] {
        b""
    }

    /// What is said of a file without entries that does not say so itself; `None` if an empty file can't be used.
    fn emptied(&self) -> Option<&'static str> {
        None
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Why it can't be used.
    fn parse(&self, source: &Source, text: &mut Zeroizing<Vec<u8>>) -> Result<Self::Content, Self::Fault>;

    /// Puts it in force, and logs what it is unless it is the `first`.
    fn replace(&mut self, content: Self::Content, source: &Source, first: bool);

    /// The lines of the log about a fault.
    fn faults(&self, fault: &Self::Fault) -> Vec<String>;

    /// What `/readyz` says of a fault. It must not tell where the file is.
    fn phrase(&self, fault: &Self::Fault) -> &'static str;

    /// Counts what happened.
    fn count(&self, event: Event) {
        let _ = event;
    }
}

/// Keeps one file in force.
pub struct FileReloader<T> {
    watch: Watch,
    state: ReloadState,
    /// If the file is mounted by itself.
    mount: Option<FileMount>,
    kind: T,
}

impl<T: Reloadable> FileReloader<T> {
    /// Reads the file for the first time. There is no last good one yet, so a fault is an error.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn start(source: Source, mut kind: T, now: Moment) -> Result<Self, T::Fault> {
        let (none_line, unsettled) = (kind.none_line(), kind.unsettled());
        let make = |source: &Source, text: &mut Zeroizing<Vec<u8>>| {
            let content = kind.parse(source, text)?;
            kind.replace(content, source, true);
            Ok(kind)
        };
        Self::start_with(source, none_line, unsettled, make, now)
    }

    /// The same for a kind that is made from the first content.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn start_with(
        source: Source,
        none_line: &'static [u8],
        unsettled: Unsettled,
        make: impl FnOnce(&Source, &mut Zeroizing<Vec<u8>>) -> Result<T, T::Fault>,
        now: Moment,
    ) -> Result<Self, T::Fault> {
        let (mut watch, mut new) = Watch::start(source, none_line, unsettled, now, thread::sleep)?;
        let begin = Instant::now();
        let kind = make(watch.source(), &mut new.text)?;
        watch.started(begin.elapsed());
        let mut state = ReloadState::new(kind.name());
        state.replaced(&watch.source().path, kind.emptied().filter(|_| new.is_emptied));
        state.fresh(&watch.source().path);
        let mount = FileMount::of(&watch.source().path);
        if mount.is_some() {
            tracing::warn!(file = %watch.source().path.display(), "the {} {ALONE}", kind.name());
        }
        Ok(Self { watch, state, mount, kind })
    }

    /// What is kept in force.
    pub fn kind(&self) -> &T {
        &self.kind
    }

    /// What `/readyz` tells.
    pub fn health(&self) -> Arc<FileHealth> {
        self.state.health()
    }

    /// Puts new content in force, which a look at `now` found that began at `begin`.
    fn take(&mut self, mut new: New, now: Moment, begin: Instant) {
        let read = now.plus(begin.elapsed());
        if let Some(age) = self.watch.will_be_late(read) {
            self.late(age, Late::Large);
        }
        match self.kind.parse(self.watch.source(), &mut new.text) {
            Ok(content) => {
                self.kind.replace(content, self.watch.source(), false);
                self.watch.taken(begin.elapsed());
                self.kind.count(Event::Reloaded);
                let emptied = self.kind.emptied().filter(|_| new.is_emptied);
                self.state.replaced(&self.watch.source().path, emptied);
                self.fresh();
            }
            Err(_) if !new.is_whole => self.watch.wait_on(now),
            Err(fault) => {
                self.watch.passed_over();
                self.refuse(&fault);
            }
        }
    }

    fn late(&mut self, age: Duration, why: Late) {
        if self.state.late(&self.watch.source().path, age, why) {
            self.kind.count(Event::Stale);
        }
    }

    fn fresh(&mut self) {
        if self.state.fresh(&self.watch.source().path) {
            self.kind.count(Event::Fresh);
        }
    }

    /// Tells if a file that is mounted by itself was replaced outside, which no look at it shows.
    fn look_at_mount(&mut self, forced: bool) {
        let Some(mount) = &self.mount else { return };
        let path = &self.watch.source().path;
        match self.state.replaced_outside(path, mount.is_replaced(), forced) {
            Some(true) => self.kind.count(Event::Stale),
            Some(false) => self.kind.count(Event::Fresh),
            None => {}
        }
    }

    fn refuse(&mut self, fault: &T::Fault) {
        let refusal = self.state.refuse(&self.kind.faults(fault), self.kind.phrase(fault));
        if refusal.is_news {
            self.kind.count(Event::Failed);
        }
        if refusal.was_fresh {
            self.kind.count(Event::Stale);
        }
    }

    /// To have stamps believed and reads fail.
    #[cfg(test)]
    pub(crate) fn watch_mut(&mut self) -> &mut Watch {
        &mut self.watch
    }
}

impl<T: Reloadable> Reload for FileReloader<T> {
    fn look(&mut self, now: Moment, forced: bool) {
        let begin = Instant::now();
        match self.watch.look(now, forced, self.kind.unsettled()) {
            Seen::Nothing => {}
            Seen::InForce => self.fresh(),
            Seen::Fault(fault) => self.refuse(&fault.into()),
            Seen::New(new) => self.take(new, now, begin),
        }
        if let Some(age) = self.watch.late(now.plus(begin.elapsed())) {
            self.late(age, Late::Changing);
        }
        self.look_at_mount(forced);
    }

    fn next_look(&self, now: Moment) -> Option<Duration> {
        self.watch.next_look(now)
    }
}

impl<T> fmt::Debug for FileReloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileReloader").field("source", self.watch.source()).finish_non_exhaustive()
    }
}
