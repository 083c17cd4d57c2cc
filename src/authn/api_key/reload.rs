//! The file of API keys as one that is kept in force: see [`crate::reload::reloader`]. One with lines that can't be
//! used is taken, without those.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::file::NO_KEYS_LINE;
use super::file::{ApiKeyIndex, ParsedApiKeys, parse};
use super::{ApiKeyRules, ApiKeys};
use crate::metrics::Metrics;
use crate::reload::reload_state::log_invalid_lines;
use crate::reload::wrong_format;
use crate::reload::{ReadError, ReloadEvent, Reloadable, SourceFile, UnstableFileMode};

/// What is said of a file without keys, in the log, by `check` and on `/readyz`. It is in force like any other.
pub const EMPTY_FILE_MESSAGE: &str = "the file of keys has no keys, so none is good";

/// What `/readyz` says of a file that can't be used.
const READINESS_MESSAGE: &str = "the file of keys can't be used";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyFileError {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// It is something else than lines.
    #[error("{0}: it is no file of keys but {1}")]
    NotApiKeyFile(String, &'static str),
    /// It holds something, and nothing in it is about a key.
    #[error("{0}: none of its {1} lines is about a key; is it another file? See doorward check")]
    NoApiKeyLines(String, usize),
}

/// The file of keys.
pub struct ApiKeyFile {
    api_keys: Arc<ApiKeys>,
    authenticator: Arc<str>,
    metrics: Arc<Metrics>,
}

/// What can be taken of a file: also one in which every key is spoilt, or which says that the last one was
/// revoked; but not something else.
///
/// # Errors
/// [`KeysFault::Garbage`].
pub fn validate(source: &SourceFile, parsed: ParsedApiKeys) -> Result<ParsedApiKeys, ApiKeyFileError> {
    if parsed.invalid_lines > 0 && parsed.index.is_empty() && !parsed.is_marked_empty {
        return Err(ApiKeyFileError::NoApiKeyLines(source.display_path(), parsed.invalid_lines));
    }
    Ok(parsed)
}

impl ApiKeyFile {
    /// A file that is not read yet. `by` is the authenticator's name.
    pub fn new(by: Arc<str>, rules: ApiKeyRules, metrics: Arc<Metrics>) -> Self {
        Self { api_keys: Arc::new(ApiKeys::new(ApiKeyIndex::default(), rules)), authenticator: by, metrics }
    }

    /// What this keeps fresh.
    pub fn api_keys(&self) -> Arc<ApiKeys> {
        Arc::clone(&self.api_keys)
    }
}

impl Reloadable for ApiKeyFile {
    type Content = ParsedApiKeys;
    type Error = ApiKeyFileError;

    fn label(&self) -> &'static str {
        "keys file"
    }

    fn unstable_mode(&self) -> UnstableFileMode {
        UnstableFileMode::UseWholeLines
    }

    fn no_entries_line(&self) -> &'static [u8] {
        NO_KEYS_LINE
    }

    fn empty_file_message(&self) -> Option<&'static str> {
        Some(EMPTY_FILE_MESSAGE)
    }

    fn parse(
        &self,
        source: &SourceFile,
        text: &mut Zeroizing<Vec<u8>>,
    ) -> Result<ParsedApiKeys, ApiKeyFileError> {
        let parsed = parse(text, &self.authenticator, Some(&self.api_keys.index()));
        validate(source, parsed).map_err(|fault| match wrong_format::detect_binary(text) {
            Some(what) => ApiKeyFileError::NotApiKeyFile(source.display_path(), what),
            None => fault,
        })
    }

    fn activate(&mut self, parsed: ParsedApiKeys, source: &SourceFile, first: bool) {
        let keys = parsed.index.records().count();
        self.metrics.api_keys.set(keys as i64);
        self.metrics.api_keys_invalid_lines.set(parsed.invalid_lines as i64);
        log_line_errors(&source.path, &parsed);
        if !first {
            tracing::info!(file = %source.path.display(), keys, bad_lines = parsed.invalid_lines, "keys file reloaded");
        }
        self.api_keys.replace(parsed.index);
    }

    fn error_lines(&self, fault: &ApiKeyFileError) -> Vec<String> {
        vec![fault.to_string()]
    }

    fn readiness_message(&self, _: &ApiKeyFileError) -> &'static str {
        READINESS_MESSAGE
    }

    fn record_event(&self, event: ReloadEvent) {
        match event {
            ReloadEvent::Reloaded => drop(self.metrics.api_keys_reloads.inc()),
            ReloadEvent::Failed => drop(self.metrics.api_keys_reload_failures.inc()),
            ReloadEvent::BecameStale => drop(self.metrics.api_keys_outdated.set(1)),
            ReloadEvent::BecameCurrent => drop(self.metrics.api_keys_outdated.set(0)),
        }
    }
}

fn log_line_errors(path: &Path, parsed: &ParsedApiKeys) {
    let faults = parsed
        .line_errors
        .iter()
        .map(|fault| format!("{}:{}: {}", path.display(), fault.line, fault.message));
    log_invalid_lines(faults, parsed.invalid_lines);
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
