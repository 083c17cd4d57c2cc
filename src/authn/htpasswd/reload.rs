//! Reloads the htpasswd file when it changes; see [`crate::reload::reloader`].

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Htpasswd;
use super::diff::HtpasswdDiff;
use super::file::{HtpasswdFinding, HtpasswdParseOptions, ParsedHtpasswd, parse};
use super::validate::{EMPTY_FILE_MESSAGE, HtpasswdFileError, NO_USERS_LINE, parse_and_validate};
use crate::metrics::Metrics;
use crate::reload::reload_state::log_invalid_lines;
use crate::reload::{ReloadEvent, Reloadable, SourceFile, UnstableFileMode};

/// The reload target for the htpasswd file.
pub struct HtpasswdFile {
    htpasswd: Arc<Htpasswd>,
    parse_options: HtpasswdParseOptions,
    is_last_authenticator: bool,
    metrics: Arc<Metrics>,
}

impl HtpasswdFile {
    /// Creates the reload target of a file that is not read yet.
    ///
    /// `is_last` must be true only if no other authenticator checks the users that are not in the file. Only then is
    /// a partly written file safe to use: each missing line rejects a user. Otherwise the user of a missing line
    /// would be checked by the next authenticator.
    pub fn new(parse_options: HtpasswdParseOptions, is_last: bool, metrics: Arc<Metrics>) -> Self {
        let htpasswd = Arc::new(Htpasswd::new(parse(Vec::new(), &parse_options).users));
        Self { htpasswd, parse_options, is_last_authenticator: is_last, metrics }
    }

    /// Returns the authenticator that uses the current file.
    pub fn htpasswd(&self) -> Arc<Htpasswd> {
        Arc::clone(&self.htpasswd)
    }
}

impl Reloadable for HtpasswdFile {
    type Content = ParsedHtpasswd;
    type Error = HtpasswdFileError;

    fn label(&self) -> &'static str {
        "htpasswd file"
    }

    fn unstable_mode(&self) -> UnstableFileMode {
        if self.is_last_authenticator {
            UnstableFileMode::UseWholeLines
        } else {
            UnstableFileMode::KeepActive
        }
    }

    fn no_entries_line(&self) -> &'static [u8] {
        NO_USERS_LINE
    }

    fn empty_file_message(&self) -> Option<&'static str> {
        Some(EMPTY_FILE_MESSAGE)
    }

    fn parse(
        &self,
        source: &SourceFile,
        text: &mut Zeroizing<Vec<u8>>,
    ) -> Result<ParsedHtpasswd, HtpasswdFileError> {
        parse_and_validate(source, std::mem::take(&mut **text), &self.parse_options)
    }

    fn activate(&mut self, parsed: ParsedHtpasswd, source: &SourceFile, first: bool) {
        let (users, invalid_lines) = (parsed.users.len(), parsed.users.invalid_lines());
        // The file is replaced before the comparison, which takes long for a million users.
        let before = self.htpasswd.users();
        self.htpasswd.replace(parsed.users);
        self.metrics.htpasswd_users.set(users as i64);
        self.metrics.htpasswd_invalid_lines.set(invalid_lines as i64);
        if !first {
            let HtpasswdDiff { added, removed, changed } =
                HtpasswdDiff::between(&before, &self.htpasswd.users());
            tracing::info!(
                file = %source.path.display(),
                users,
                added = added.count,
                removed = removed.count,
                changed = changed.count,
                invalid_lines,
                "htpasswd file reloaded"
            );
            tracing::debug!(added = ?added.names, removed = ?removed.names, changed = ?changed.names, "htpasswd users changed");
        }
        log_findings(&source.path, &parsed.findings);
    }

    fn error_lines(&self, error: &HtpasswdFileError) -> Vec<String> {
        vec![error.to_string()]
    }

    fn readiness_message(&self, error: &HtpasswdFileError) -> &'static str {
        error.readiness_message()
    }

    fn record_event(&self, event: ReloadEvent) {
        match event {
            ReloadEvent::Reloaded => drop(self.metrics.htpasswd_reloads.inc()),
            ReloadEvent::Failed => drop(self.metrics.htpasswd_reload_failures.inc()),
            ReloadEvent::BecameStale => drop(self.metrics.htpasswd_outdated.set(1)),
            ReloadEvent::BecameCurrent => drop(self.metrics.htpasswd_outdated.set(0)),
        }
    }
}

fn log_findings(path: &Path, findings: &[HtpasswdFinding]) {
    log_invalid_lines(findings.iter().map(|finding| format!("{}:{finding}", path.display())), findings.len());
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
