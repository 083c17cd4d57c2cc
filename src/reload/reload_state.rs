//! Whether what is in force is what is on disk, and what is said of it: in the log once for each new reason, and on
//! `/readyz` as long as it lasts.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;

use super::mount::MOUNTED_FILE_REPLACED;

/// Faults that are logged one by one; `doorward check` lists all.
const LOGGED_ERRORS_MAX: usize = 20;

/// The health of one file, as `/readyz` tells it.
#[derive(Debug, Default)]
pub struct FileHealth(ArcSwapOption<DegradedHealth>);

/// What is not as it should be.
#[derive(Debug)]
struct DegradedHealth {
    message: String,
    /// Whether what is in force is not what is on disk.
    is_stale: bool,
    /// By a clock that nobody sets.
    degraded_at: Instant,
}

impl FileHealth {
    /// What is not as it should be, and since when; it does not tell where the file is.
    pub fn degraded_message(&self) -> Option<String> {
        let degraded = self.0.load();
        let DegradedHealth { message: what, degraded_at: since, .. } = degraded.as_deref()?;
        let date = SystemTime::now().checked_sub(since.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(format!("{what} (since {})", humantime::format_rfc3339_seconds(date)))
    }
}

impl FileHealth {
    /// Why what is in force is not what is on disk, if it is not.
    pub fn stale_message(&self) -> Option<String> {
        self.0.load().as_deref().filter(|degraded| degraded.is_stale).map(|degraded| degraded.message.clone())
    }
}

/// Why what is in force is not what is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StaleReason {
    /// It can't be used: the hash of what was logged.
    Rejected(blake3::Hash),
    /// It is not in force in time.
    Overdue,
}

/// Why a change is not in force in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverdueReason {
    /// It has been changing for too long.
    KeepsChanging,
    /// It takes long to be read.
    SlowToLoad,
}

impl OverdueReason {
    /// The reason, for the log and `/readyz`; and what to do about it.
    fn reason_and_remedy(self) -> (&'static str, &'static str) {
        match self {
            Self::KeepsChanging => ("is being written all the time", "; write it beside and rename it"),
            Self::SlowToLoad => ("takes long to be read", ""),
        }
    }
}

/// What [`ReloadState::refuse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RejectedReload {
    /// Whether it was not refused for this reason before.
    pub(super) is_new_reason: bool,
    /// Whether what was in force was what was on disk before.
    pub(super) was_current: bool,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct ReloadState {
    /// The file, as it is called in the log.
    label: &'static str,
    health: Arc<FileHealth>,
    stale_reason: Option<StaleReason>,
    /// What is said of a file in force that has no entries, and since when it is.
    empty_file: Option<(&'static str, Instant)>,
    /// Since when a file that is mounted by itself is replaced where it is mounted from.
    replaced_outside_at: Option<Instant>,
}

impl ReloadState {
    /// Of a file that was just read, and found good.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            label: name,
            health: Arc::default(),
            stale_reason: None,
            empty_file: None,
            replaced_outside_at: None,
        }
    }

    pub(super) fn health(&self) -> Arc<FileHealth> {
        Arc::clone(&self.health)
    }

    /// Another file was put in force. `emptied` is what is said of it if it has no entries.
    pub(super) fn content_activated(&mut self, path: &Path, emptied: Option<&'static str>) {
        match (emptied, self.empty_file) {
            (Some(_), Some(_)) => {}
            (Some(what), None) => {
                tracing::warn!(file = %path.display(), "{what}");
                self.empty_file = Some((what, Instant::now()));
            }
            (None, _) => self.empty_file = None,
        }
    }

    /// What is in force is what is on disk. Returns whether it was otherwise.
    pub(super) fn mark_current(&mut self, path: &Path) -> bool {
        let was_stale = self.stale_reason.take();
        match was_stale {
            Some(StaleReason::Rejected(_)) => {
                tracing::info!(file = %path.display(), "the {} can be used again", self.label);
            }
            Some(StaleReason::Overdue) => {
                tracing::info!(file = %path.display(), "the {} is in force again", self.label)
            }
            None => {}
        }
        self.update_health();
        was_stale.is_some() && self.replaced_outside_at.is_none()
    }

    /// Tells on `/readyz` what is to be said of a file although it can be used.
    fn update_health(&self) {
        let outside = self
            .replaced_outside_at
            .map(|since| (format!("the {} {MOUNTED_FILE_REPLACED}", self.label), true, since));
        let told = outside.or_else(|| self.empty_file.map(|(what, since)| (what.to_owned(), false, since)));
        let degraded = told.map(|(what, is_stale, since)| {
            Arc::new(DegradedHealth { message: what, is_stale, degraded_at: since })
        });
        self.health.0.store(degraded);
    }

    /// Notes whether a file that is mounted by itself is replaced where it is mounted from; with `again` it is logged
    /// again. Returns whether what is in force is old because of that, if this is new.
    pub(super) fn set_replaced_outside(
        &mut self,
        path: &Path,
        is_replaced: bool,
        again: bool,
    ) -> Option<bool> {
        let is_new = is_replaced != self.replaced_outside_at.is_some();
        if is_replaced && (is_new || again) {
            tracing::error!(file = %path.display(), "the {} {MOUNTED_FILE_REPLACED}", self.label);
        }
        if !is_new {
            return None;
        }
        self.replaced_outside_at = is_replaced.then(Instant::now);
        // Another reason that is told stays, and this one is told after it.
        if self.stale_reason.is_some() {
            return None;
        }
        self.update_health();
        Some(is_replaced)
    }

    /// What is on disk can't be used, and the last good one stays in force. `phrase` is what `/readyz` says.
    pub(super) fn mark_rejected(&mut self, faults: &[String], phrase: &str) -> RejectedReload {
        let refused = StaleReason::Rejected(blake3::hash(faults.join("\n").as_bytes()));
        let (is_news, was_fresh) = (self.stale_reason != Some(refused), self.stale_reason.is_none());
        if is_news {
            for fault in faults.iter().take(LOGGED_ERRORS_MAX) {
                tracing::error!(%fault, "{} not reloaded, the last good one stays in force", self.label);
            }
            self.mark_stale(refused, phrase, Duration::ZERO);
        }
        RejectedReload { is_new_reason: is_news, was_current: was_fresh }
    }

    /// What is on disk has been there for so long, and is not in force yet. Returns whether what was in force was what
    /// was on disk before.
    pub(super) fn mark_overdue(&mut self, path: &Path, age: Duration, why: OverdueReason) -> bool {
        let was_fresh = self.stale_reason.is_none();
        // A reason that was told already is not replaced by a lesser one.
        if was_fresh {
            let (reason, remedy) = why.reason_and_remedy();
            tracing::warn!(
                file = %path.display(),
                for_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                "{} not reloaded, it {reason}{remedy}",
                self.label
            );
            self.mark_stale(StaleReason::Overdue, &format!("the {} {reason}", self.label), age);
        }
        was_fresh
    }

    /// Tells it on `/readyz`, as something that began so long ago. What was told before began when it began.
    fn mark_stale(&mut self, stale: StaleReason, phrase: &str, age: Duration) {
        let now = Instant::now();
        let before =
            self.stale_reason.is_some().then(|| self.health.0.load().as_ref().map(|told| told.degraded_at));
        let since = before.flatten().unwrap_or_else(|| now.checked_sub(age).unwrap_or(now));
        self.stale_reason = Some(stale);
        let what = format!("{phrase}; the last good one is in force");
        self.health.0.store(Some(Arc::new(DegradedHealth {
            message: what,
            is_stale: true,
            degraded_at: since,
        })));
    }
}

/// Logs lines that can't be used of a file that can.
pub fn log_invalid_lines(faults: impl ExactSizeIterator<Item = String>, bad: usize) {
    let shown = faults.len().min(LOGGED_ERRORS_MAX);
    faults.take(LOGGED_ERRORS_MAX).for_each(|fault| tracing::warn!("{fault}"));
    if bad > shown {
        tracing::warn!(more = bad - shown, "there are more such lines; doorward check lists them");
    }
}
