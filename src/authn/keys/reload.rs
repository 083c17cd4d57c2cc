//! Keeping the keys in force those on disk. A file that can't be read leaves the last good one in force,
//! and says so; one with lines that can't be used is taken, without those.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::file::{Parsed, parse};
use super::{Keys, Rules};
use crate::clock::Moment;
use crate::metrics::Metrics;
use crate::watch::standing::{Standing, log_bad_lines};
use crate::watch::{Freshness, ReadFault, Reload, SETTLE, Seen, Source, Watch};

/// How long an empty file must have been empty before it counts as the wish to have no keys, rather than
/// as the moment between truncating and writing.
const EMPTY_FOR: Duration = Duration::from_secs(5);

/// What `/readyz` says of a file that can't be used.
const PHRASE: &str = "the file of keys can't be used";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadFault),
    /// It holds something, and nothing in it is about a key.
    #[error("{0}: none of its {1} lines is about a key; is it another file? See doorward check")]
    Garbage(String, usize),
}

/// Watches the file of keys.
pub struct Reloader {
    watch: Watch,
    keys: Arc<Keys>,
    by: Arc<str>,
    standing: Standing,
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

impl Reloader {
    /// Reads the file for the first time. There is no last good one yet, so a fault is an error; a file
    /// without keys is none.
    pub fn start(
        source: Source,
        by: Arc<str>,
        rules: Rules,
        metrics: Arc<Metrics>,
        now: Moment,
    ) -> Result<Self, KeysFault> {
        let (watch, text) = Watch::start_settled(source, now, || std::thread::sleep(SETTLE))?;
        let parsed = usable(watch.source(), parse(&text, &by, None))?;
        log_faults(&watch.source().path, &parsed);
        metrics.keys.set(parsed.file.records().count() as i64);
        metrics.keys_bad_lines.set(parsed.bad as i64);
        let keys = Arc::new(Keys::new(parsed.file, rules));
        Ok(Self { watch, keys, by, standing: Standing::new("keys file"), metrics })
    }

    /// What this keeps fresh.
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    /// What `/readyz` asks.
    pub fn freshness(&self) -> Arc<Freshness> {
        self.standing.freshness()
    }

    fn take(&mut self, parsed: Parsed) {
        self.watch.taken();
        let keys = parsed.file.records().count();
        self.metrics.keys.set(keys as i64);
        self.metrics.keys_bad_lines.set(parsed.bad as i64);
        self.metrics.keys_reloads.inc();
        log_faults(&self.watch.source().path, &parsed);
        tracing::info!(file = %self.watch.source().path.display(), keys, bad_lines = parsed.bad, "keys file reloaded");
        self.keys.replace(parsed.file);
        self.fresh();
    }

    fn fresh(&mut self) {
        self.standing.fresh(&self.watch.source().path);
        self.metrics.keys_stale.set(0);
    }

    fn refuse(&mut self, fault: &KeysFault) {
        let (news, _) = self.standing.refuse(&[fault.to_string()], PHRASE);
        if news {
            self.metrics.keys_reload_failures.inc();
        }
        self.metrics.keys_stale.set(1);
    }
}

impl Reload for Reloader {
    fn look(&mut self, now: Moment, forced: bool) {
        match self.watch.look(now, forced) {
            Seen::Nothing => {}
            Seen::InForce => self.fresh(),
            Seen::Fault(fault) => self.refuse(&fault.into()),
            Seen::New(text, age) => {
                if text.trim_ascii().is_empty() && age < EMPTY_FOR {
                    return;
                }
                let parsed = parse(&text, &self.by, Some(&self.keys.file()));
                match usable(self.watch.source(), parsed) {
                    Ok(parsed) => self.take(parsed),
                    Err(fault) => {
                        self.watch.passed_over();
                        self.refuse(&fault);
                    }
                }
            }
        }
    }

    fn is_settling(&self) -> bool {
        self.watch.is_settling()
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
