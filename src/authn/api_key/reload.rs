//! The file of API keys as one that is kept in force: see [`crate::reload::reloader`]. One with lines that can't be
//! used is taken, without those.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::file::NONE_LEFT;
use super::file::{KeyFile, Parsed, parse};
use super::{Keys, Rules};
use crate::metrics::Metrics;
use crate::reload::state::log_bad_lines;
use crate::reload::{Event, FileReloader, ReadFault, Reloadable, Source, Unsettled, foreign};

/// What is said of a file without keys, in the log, by `check` and on `/readyz`. It is in force like any other.
pub const EMPTIED: &str = "the file of keys has no keys, so none is good";

/// What `/readyz` says of a file that can't be used.
const PHRASE: &str = "the file of keys can't be used";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadFault),
    /// It is something else than lines.
    #[error("{0}: it is no file of keys but {1}")]
    Foreign(String, &'static str),
    /// It holds something, and nothing in it is about a key.
    #[error("{0}: none of its {1} lines is about a key; is it another file? See doorward check")]
    Garbage(String, usize),
}

/// Keeps the file of keys in force.
pub type Reloader = FileReloader<ApiKeyFile>;

/// The file of keys.
pub struct ApiKeyFile {
    keys: Arc<Keys>,
    by: Arc<str>,
    metrics: Arc<Metrics>,
}

/// What can be taken of a file: also one in which every key is spoilt, or which says that the last one was
/// revoked; but not something else.
///
/// # Errors
/// [`KeysFault::Garbage`].
pub fn usable(source: &Source, parsed: Parsed) -> Result<Parsed, KeysFault> {
    if parsed.bad > 0 && parsed.file.is_empty() && !parsed.says_none {
        return Err(KeysFault::Garbage(source.name(), parsed.bad));
    }
    Ok(parsed)
}

impl ApiKeyFile {
    /// A file that is not read yet. `by` is the authenticator's name.
    pub fn new(by: Arc<str>, rules: Rules, metrics: Arc<Metrics>) -> Self {
        Self { keys: Arc::new(Keys::new(KeyFile::default(), rules)), by, metrics }
    }

    /// What this keeps fresh.
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }
}

impl Reloadable for ApiKeyFile {
    type Content = Parsed;
    type Fault = KeysFault;

    fn name(&self) -> &'static str {
        "keys file"
    }

    fn unsettled(&self) -> Unsettled {
        Unsettled::WholeLines
    }

    fn none_line(&self) -> &'static [u8] {
        NONE_LEFT
    }

    fn emptied(&self) -> Option<&'static str> {
        Some(EMPTIED)
    }

    fn parse(&self, source: &Source, text: &mut Zeroizing<Vec<u8>>) -> Result<Parsed, KeysFault> {
        let parsed = parse(text, &self.by, Some(&self.keys.file()));
        usable(source, parsed).map_err(|fault| match foreign::not_text(text) {
            Some(what) => KeysFault::Foreign(source.name(), what),
            None => fault,
        })
    }

    fn replace(&mut self, parsed: Parsed, source: &Source, first: bool) {
        let keys = parsed.file.records().count();
        self.metrics.api_keys.set(keys as i64);
        self.metrics.api_keys_invalid_lines.set(parsed.bad as i64);
        log_faults(&source.path, &parsed);
        if !first {
            tracing::info!(file = %source.path.display(), keys, bad_lines = parsed.bad, "keys file reloaded");
        }
        self.keys.replace(parsed.file);
    }

    fn faults(&self, fault: &KeysFault) -> Vec<String> {
        vec![fault.to_string()]
    }

    fn phrase(&self, _: &KeysFault) -> &'static str {
        PHRASE
    }

    fn count(&self, event: Event) {
        match event {
            Event::Reloaded => drop(self.metrics.api_keys_reloads.inc()),
            Event::Failed => drop(self.metrics.api_keys_reload_failures.inc()),
            Event::Stale => drop(self.metrics.api_keys_outdated.set(1)),
            Event::Fresh => drop(self.metrics.api_keys_outdated.set(0)),
        }
    }
}

fn log_faults(path: &Path, parsed: &Parsed) {
    let faults =
        parsed.faults.iter().map(|fault| format!("{}:{}: {}", path.display(), fault.line, fault.what));
    log_bad_lines(faults, parsed.bad);
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
