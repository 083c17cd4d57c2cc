//! The state of a watched file: whether its active content is the content on disk. A change of this state is logged once
//! for each reason, and `/readyz` reports it as long as it lasts.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;

use super::mount::{REPLACED_MOUNT_REMEDY, REPLACED_MOUNT_STATE};

/// Maximum number of errors of one file that are logged one by one. `doorward check` reports all of them.
const LOGGED_ERRORS_MAX: usize = 20;

/// The health of one file for `/readyz`.
#[derive(Debug, Default)]
pub struct FileHealth(ArcSwapOption<DegradedHealth>);

/// The reason for which a file is degraded.
#[derive(Debug)]
struct DegradedHealth {
    message: String,
    /// The active content is not the content on disk.
    is_stale: bool,
    /// A monotonic time, which a change of the system clock does not affect.
    degraded_at: Instant,
}

impl FileHealth {
    /// Returns the reason for which the file is degraded, with the time since when. It does not contain the path.
    pub fn degraded_message(&self) -> Option<String> {
        let degraded = self.0.load();
        let DegradedHealth { message, degraded_at, .. } = degraded.as_deref()?;
        let date = SystemTime::now().checked_sub(degraded_at.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(format!("{message} (since {})", humantime::format_rfc3339_seconds(date)))
    }

    /// Returns the reason for which the active content is not the content on disk.
    pub fn stale_message(&self) -> Option<String> {
        self.0.load().as_deref().filter(|degraded| degraded.is_stale).map(|degraded| degraded.message.clone())
    }
}

/// The reason for which the active content is not the content on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StaleReason {
    /// The content is invalid; with the hash of the logged errors.
    Rejected(blake3::Hash),
    /// The content was not activated in time.
    Overdue,
}

/// The reason for which a change was not activated in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverdueReason {
    /// The content never becomes stable.
    KeepsChanging,
    /// Reading and parsing take too long.
    SlowToLoad,
}

impl OverdueReason {
    /// Returns the reason as a predicate for the log and `/readyz`.
    fn predicate(self) -> &'static str {
        match self {
            Self::KeepsChanging => "keeps changing",
            Self::SlowToLoad => "takes long to load",
        }
    }

    /// Returns what an administrator can do.
    fn remedy(self) -> Option<&'static str> {
        match self {
            Self::KeepsChanging => Some("write a new file beside it and rename it"),
            Self::SlowToLoad => None,
        }
    }
}

/// The result of [`ReloadState::mark_rejected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RejectedReload {
    /// The content was not rejected for the same reason before.
    pub(super) is_new_reason: bool,
    /// The active content was the content on disk before.
    pub(super) was_current: bool,
}

/// The state of one file; see the module documentation.
#[derive(Debug)]
pub(super) struct ReloadState {
    /// The name of the file in the log.
    label: &'static str,
    health: Arc<FileHealth>,
    stale_reason: Option<StaleReason>,
    /// The message for an active file without entries, and the time of its activation.
    empty_file: Option<(&'static str, Instant)>,
    /// The time at which a file that is mounted as a single file was found replaced outside its mount.
    replaced_outside_at: Option<Instant>,
}

impl ReloadState {
    /// Creates the state of a file whose content was just activated.
    pub(super) fn new(label: &'static str) -> Self {
        Self {
            label,
            health: Arc::default(),
            stale_reason: None,
            empty_file: None,
            replaced_outside_at: None,
        }
    }

    pub(super) fn health(&self) -> Arc<FileHealth> {
        Arc::clone(&self.health)
    }

    /// Records that other content was activated. `empty_message` is the message for content without entries.
    pub(super) fn content_activated(&mut self, path: &Path, empty_message: Option<&'static str>) {
        match (empty_message, self.empty_file) {
            (Some(_), Some(_)) => {}
            (Some(message), None) => {
                tracing::warn!(file = %path.display(), "{message}");
                self.empty_file = Some((message, Instant::now()));
            }
            (None, _) => self.empty_file = None,
        }
    }

    /// Records that the active content is the content on disk. Returns true if it was not before.
    pub(super) fn mark_current(&mut self, path: &Path) -> bool {
        let stale_reason = self.stale_reason.take();
        match stale_reason {
            Some(StaleReason::Rejected(_)) => {
                tracing::info!(file = %path.display(), "{} valid again", self.label);
            }
            Some(StaleReason::Overdue) => {
                tracing::info!(file = %path.display(), "{} active again", self.label)
            }
            None => {}
        }
        self.update_health();
        stale_reason.is_some() && self.replaced_outside_at.is_none()
    }

    /// Updates the message of `/readyz` for a file whose content is valid.
    fn update_health(&self) {
        let replaced = self.replaced_outside_at.map(|at| {
            (format!("the {} was {REPLACED_MOUNT_STATE}; {REPLACED_MOUNT_REMEDY}", self.label), true, at)
        });
        let degraded =
            replaced.or_else(|| self.empty_file.map(|(message, at)| (message.to_owned(), false, at)));
        let degraded = degraded.map(|(message, is_stale, degraded_at)| {
            Arc::new(DegradedHealth { message, is_stale, degraded_at })
        });
        self.health.0.store(degraded);
    }

    /// Records whether a file that is mounted as a single file is replaced outside its mount. With `log_again`, a known
    /// replacement is logged again.
    ///
    /// Returns `Some(true)` if the active content became stale because of this, and `Some(false)` if it became current.
    pub(super) fn set_replaced_outside(
        &mut self,
        path: &Path,
        is_replaced: bool,
        log_again: bool,
    ) -> Option<bool> {
        let is_new = is_replaced != self.replaced_outside_at.is_some();
        if is_replaced && (is_new || log_again) {
            tracing::error!(
                file = %path.display(),
                remedy = REPLACED_MOUNT_REMEDY,
                "{} {REPLACED_MOUNT_STATE}",
                self.label
            );
        }
        if !is_new {
            return None;
        }
        self.replaced_outside_at = is_replaced.then(Instant::now);
        // Another reason is reported first, and this one after it.
        if self.stale_reason.is_some() {
            return None;
        }
        self.update_health();
        Some(is_replaced)
    }

    /// Records that the content on disk is invalid. The last valid content stays active.
    ///
    /// `errors` are logged, and `readiness_message` is reported by `/readyz`.
    pub(super) fn mark_rejected(&mut self, errors: &[String], readiness_message: &str) -> RejectedReload {
        let reason = StaleReason::Rejected(blake3::hash(errors.join("\n").as_bytes()));
        let is_new_reason = self.stale_reason != Some(reason);
        let was_current = self.stale_reason.is_none();
        if is_new_reason {
            for error in errors.iter().take(LOGGED_ERRORS_MAX) {
                tracing::error!(%error, "{} not reloaded, last valid content stays active", self.label);
            }
            self.mark_stale(reason, readiness_message, Duration::ZERO);
        }
        RejectedReload { is_new_reason, was_current }
    }

    /// Records that a change of this age is not active yet. Returns true if the active content was the content on disk
    /// before.
    pub(super) fn mark_overdue(&mut self, path: &Path, age: Duration, reason: OverdueReason) -> bool {
        let was_current = self.stale_reason.is_none();
        // An earlier reason, which can be invalid content, is more important.
        if was_current {
            tracing::warn!(
                file = %path.display(),
                pending_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                reason = reason.predicate(),
                remedy = reason.remedy(),
                "{} not reloaded in time",
                self.label
            );
            let message = format!("the {} {}", self.label, reason.predicate());
            self.mark_stale(StaleReason::Overdue, &message, age);
        }
        was_current
    }

    /// Sets the message of `/readyz`. If the content was stale before, the start of that time is kept; otherwise the
    /// stale time started `age` ago.
    fn mark_stale(&mut self, reason: StaleReason, message: &str, age: Duration) {
        let now = Instant::now();
        let previous = self.health.0.load().as_ref().map(|degraded| degraded.degraded_at);
        let degraded_at = previous
            .filter(|_| self.stale_reason.is_some())
            .unwrap_or_else(|| now.checked_sub(age).unwrap_or(now));
        self.stale_reason = Some(reason);
        self.health.0.store(Some(Arc::new(DegradedHealth {
            message: format!("{message}; the last valid content is active"),
            is_stale: true,
            degraded_at,
        })));
    }
}

/// Logs the invalid lines of a file whose other lines are valid.
pub fn log_invalid_lines(errors: impl ExactSizeIterator<Item = String>, invalid_lines: usize) {
    let logged = errors.len().min(LOGGED_ERRORS_MAX);
    errors.take(LOGGED_ERRORS_MAX).for_each(|error| tracing::warn!(%error, "invalid line"));
    if invalid_lines > logged {
        let remedy = "doorward check lists all of them";
        tracing::warn!(count = invalid_lines - logged, remedy, "further invalid lines not logged");
    }
}
