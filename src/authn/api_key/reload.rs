//! Reloads the API key file when it changes; see [`crate::reload::reloader`]. Invalid lines of the file are ignored.

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

/// The message about a file without keys, in the log, in the output of `check` and on `/readyz`. Such a file is used like
/// any other.
pub(crate) const EMPTY_FILE_MESSAGE: &str = "the API key file has no keys, so it accepts no API key";

/// The message of `/readyz` about a file that cannot be used.
const READINESS_MESSAGE: &str = "the API key file cannot be used";

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiKeyFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The file has another format.
    #[error("{0}: not an API key file: it is {1}")]
    NotApiKeyFile(String, &'static str),
    /// The file has lines, and none contains the id of a key.
    #[error("{0}: none of the {1} lines is an API key; check the path, or run: doorward check")]
    NoApiKeyLines(String, usize),
}

/// The reload target for the API key file.
pub(crate) struct ApiKeyFile {
    api_keys: Arc<ApiKeys>,
    authenticator: Arc<str>,
    metrics: Arc<Metrics>,
}

/// Decides whether a parsed file can be used. A file in which every key is invalid can be used, and so can a file that
/// is marked as empty.
///
/// # Errors
/// Returns [`ApiKeyFileError::NoApiKeyLines`] if the file has lines and none contains the id of a key.
pub(crate) fn validate(source: &SourceFile, parsed: ParsedApiKeys) -> Result<ParsedApiKeys, ApiKeyFileError> {
    if parsed.invalid_lines > 0 && parsed.index.is_empty() && !parsed.is_marked_empty {
        return Err(ApiKeyFileError::NoApiKeyLines(source.display_path(), parsed.invalid_lines));
    }
    Ok(parsed)
}

impl ApiKeyFile {
    /// Creates the reload target of a file that is not read yet. `authenticator` is the name of the authenticator.
    pub(crate) fn new(authenticator: Arc<str>, rules: ApiKeyRules, metrics: Arc<Metrics>) -> Self {
        Self { api_keys: Arc::new(ApiKeys::new(ApiKeyIndex::default(), rules)), authenticator, metrics }
    }

    /// Returns the authenticator that uses the current file.
    pub(crate) fn api_keys(&self) -> Arc<ApiKeys> {
        Arc::clone(&self.api_keys)
    }
}

impl Reloadable for ApiKeyFile {
    type Content = ParsedApiKeys;
    type Error = ApiKeyFileError;

    fn label(&self) -> &'static str {
        "API key file"
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
        validate(source, parsed).map_err(|error| match wrong_format::detect_binary(text) {
            Some(format) => ApiKeyFileError::NotApiKeyFile(source.display_path(), format),
            None => error,
        })
    }

    fn activate(&mut self, parsed: ParsedApiKeys, source: &SourceFile, first: bool) {
        let keys = parsed.index.records().count();
        self.metrics.api_keys.set(keys as i64);
        self.metrics.api_keys_invalid_lines.set(parsed.invalid_lines as i64);
        log_line_errors(&source.path, &parsed);
        if !first {
            tracing::info!(file = %source.path.display(), keys, invalid_lines = parsed.invalid_lines, "API key file reloaded");
        }
        self.api_keys.replace(parsed.index);
    }

    fn error_lines(&self, error: &ApiKeyFileError) -> Vec<String> {
        vec![error.to_string()]
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
    let errors = parsed
        .line_errors
        .iter()
        .map(|error| format!("{}:{}: {}", path.display(), error.line, error.message));
    log_invalid_lines(errors, parsed.invalid_lines);
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
