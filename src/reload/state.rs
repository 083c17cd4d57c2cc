//! Whether what is in force is what is on disk, and what is said of it: in the log once for each new reason, and on
//! `/readyz` as long as it lasts.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;

use super::mount::REPLACED;

/// Faults that are logged one by one; `doorward check` lists all.
const LOGGED_FAULTS_MAX: usize = 20;

/// The health of one file, as `/readyz` tells it.
#[derive(Debug, Default)]
pub struct FileHealth(ArcSwapOption<Degraded>);

/// What is not as it should be.
#[derive(Debug)]
struct Degraded {
    what: String,
    /// Whether what is in force is not what is on disk.
    is_stale: bool,
    /// By a clock that nobody sets.
    since: Instant,
}

impl FileHealth {
    /// What is not as it should be, and since when; it does not tell where the file is.
    pub fn degraded(&self) -> Option<String> {
        let degraded = self.0.load();
        let Degraded { what, since, .. } = degraded.as_deref()?;
        let date = SystemTime::now().checked_sub(since.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(format!("{what} (since {})", humantime::format_rfc3339_seconds(date)))
    }
}

impl FileHealth {
    /// Why what is in force is not what is on disk, if it is not.
    pub fn stale(&self) -> Option<String> {
        self.0.load().as_deref().filter(|degraded| degraded.is_stale).map(|degraded| degraded.what.clone())
    }
}

/// Why what is in force is not what is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stale {
    /// It can't be used: the hash of what was logged.
    Refused(blake3::Hash),
    /// It is not in force in time.
    Late,
}

/// Why a change is not in force in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It has been changing for too long.
    Changing,
    /// It takes long to be read.
    Large,
}

impl Late {
    /// The reason, for the log and `/readyz`; and what to do about it.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Changing => ("is being written all the time", "; write it beside and rename it"),
            Self::Large => ("takes long to be read", ""),
        }
    }
}

/// What [`ReloadState::refuse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Whether it was not refused for this reason before.
    pub(super) is_news: bool,
    /// Whether what was in force was what was on disk before.
    pub(super) was_fresh: bool,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct ReloadState {
    /// The file, as it is called in the log.
    name: &'static str,
    health: Arc<FileHealth>,
    stale: Option<Stale>,
    /// What is said of a file in force that has no entries, and since when it is.
    emptied: Option<(&'static str, Instant)>,
    /// Since when a file that is mounted by itself is replaced where it is mounted from.
    replaced_outside: Option<Instant>,
}

impl ReloadState {
    /// Of a file that was just read, and found good.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, health: Arc::default(), stale: None, emptied: None, replaced_outside: None }
    }

    pub(super) fn health(&self) -> Arc<FileHealth> {
        Arc::clone(&self.health)
    }

    /// Another file was put in force. `emptied` is what is said of it if it has no entries.
    pub(super) fn replaced(&mut self, path: &Path, emptied: Option<&'static str>) {
        match (emptied, self.emptied) {
            (Some(_), Some(_)) => {}
            (Some(what), None) => {
                tracing::warn!(file = %path.display(), "{what}");
                self.emptied = Some((what, Instant::now()));
            }
            (None, _) => self.emptied = None,
        }
    }

    /// What is in force is what is on disk. Returns whether it was otherwise.
    pub(super) fn fresh(&mut self, path: &Path) -> bool {
        let was_stale = self.stale.take();
        match was_stale {
            Some(Stale::Refused(_)) => {
                tracing::info!(file = %path.display(), "the {} can be used again", self.name);
            }
            Some(Stale::Late) => {
                tracing::info!(file = %path.display(), "the {} is in force again", self.name)
            }
            None => {}
        }
        self.tell();
        was_stale.is_some() && self.replaced_outside.is_none()
    }

    /// Tells on `/readyz` what is to be said of a file although it can be used.
    fn tell(&self) {
        let outside =
            self.replaced_outside.map(|since| (format!("the {} {REPLACED}", self.name), true, since));
        let told = outside.or_else(|| self.emptied.map(|(what, since)| (what.to_owned(), false, since)));
        let degraded = told.map(|(what, is_stale, since)| Arc::new(Degraded { what, is_stale, since }));
        self.health.0.store(degraded);
    }

    /// Notes whether a file that is mounted by itself is replaced where it is mounted from; with `again` it is logged
    /// again. Returns whether what is in force is old because of that, if this is new.
    pub(super) fn replaced_outside(&mut self, path: &Path, is_replaced: bool, again: bool) -> Option<bool> {
        let is_new = is_replaced != self.replaced_outside.is_some();
        if is_replaced && (is_new || again) {
            tracing::error!(file = %path.display(), "the {} {REPLACED}", self.name);
        }
        if !is_new {
            return None;
        }
        self.replaced_outside = is_replaced.then(Instant::now);
        // Another reason that is told stays, and this one is told after it.
        if self.stale.is_some() {
            return None;
        }
        self.tell();
        Some(is_replaced)
    }

    /// What is on disk can't be used, and the last good one stays in force. `phrase` is what `/readyz` says.
    pub(super) fn refuse(&mut self, faults: &[String], phrase: &str) -> Refusal {
        let refused = Stale::Refused(blake3::hash(faults.join("\n").as_bytes()));
        let (is_news, was_fresh) = (self.stale != Some(refused), self.stale.is_none());
        if is_news {
            for fault in faults.iter().take(LOGGED_FAULTS_MAX) {
                tracing::error!(%fault, "{} not reloaded, the last good one stays in force", self.name);
            }
            self.degrade(refused, phrase, Duration::ZERO);
        }
        Refusal { is_news, was_fresh }
    }

    /// What is on disk has been there for so long, and is not in force yet. Returns whether what was in force was what
    /// was on disk before.
    pub(super) fn late(&mut self, path: &Path, age: Duration, why: Late) -> bool {
        let was_fresh = self.stale.is_none();
        // A reason that was told already is not replaced by a lesser one.
        if was_fresh {
            let (reason, remedy) = why.texts();
            tracing::warn!(
                file = %path.display(),
                for_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                "{} not reloaded, it {reason}{remedy}",
                self.name
            );
            self.degrade(Stale::Late, &format!("the {} {reason}", self.name), age);
        }
        was_fresh
    }

    /// Tells it on `/readyz`, as something that began so long ago. What was told before began when it began.
    fn degrade(&mut self, stale: Stale, phrase: &str, age: Duration) {
        let now = Instant::now();
        let before = self.stale.is_some().then(|| self.health.0.load().as_ref().map(|told| told.since));
        let since = before.flatten().unwrap_or_else(|| now.checked_sub(age).unwrap_or(now));
        self.stale = Some(stale);
        let what = format!("{phrase}; the last good one is in force");
        self.health.0.store(Some(Arc::new(Degraded { what, is_stale: true, since })));
    }
}

/// Logs lines that can't be used of a file that can.
pub fn log_bad_lines(faults: impl ExactSizeIterator<Item = String>, bad: usize) {
    let shown = faults.len().min(LOGGED_FAULTS_MAX);
    faults.take(LOGGED_FAULTS_MAX).for_each(|fault| tracing::warn!("{fault}"));
    if bad > shown {
        tracing::warn!(more = bad - shown, "there are more such lines; doorward check lists them");
    }
}
