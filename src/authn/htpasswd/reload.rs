//! Keeping the htpasswd file in force the one that is on disk, without a restart and without ever
//! losing the last good one.
//!
//! A look each second compares the file's stamp (device, inode, size, modification and change
//! time), and once a minute its content, for file systems whose stamps lie. New content is taken
//! when two reads agree, so that a half-written file is not. What can't be used leaves the file in
//! force as it is, and says so in the log, on `/readyz` and in the metrics.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Htpasswd;
use super::difference::Difference;
use super::file::{Fault, Parsed, Rules, parse};
use super::source::{FileFault, Source, Stamp};
use crate::clock::{Clock, Moment};
use crate::metrics::Metrics;

/// Between the two reads that have to agree: longer than a tool that writes in place needs between
/// two writes, and too short for the author to notice.
const SETTLE: Duration = Duration::from_millis(200);

/// How long an empty file must have been empty before it counts as the wish to have no users,
/// rather than as the moment between truncating and writing.
const EMPTY_FOR: Duration = Duration::from_secs(5);

/// How often the content is compared even though the stamp is the same.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

/// Bad lines that are logged one by one at a reload; `doorward check` lists all.
const LOGGED_FAULTS_MAX: usize = 20;

/// Whether the file in force is the one on disk.
#[derive(Debug, Default)]
pub struct Freshness {
    stale: AtomicBool,
    why: arc_swap::ArcSwapOption<&'static str>,
}

impl Freshness {
    /// Why the last good file is in force instead of the one on disk, if so.
    pub fn degraded(&self) -> Option<&'static str> {
        if !self.stale.load(Ordering::Acquire) {
            return None;
        }
        self.why.load().as_deref().copied()
    }

    fn set(&self, why: Option<&'static str>) {
        self.why.store(why.map(Arc::new));
        self.stale.store(why.is_some(), Ordering::Release);
    }
}

/// Asks the reloader to look at once.
#[derive(Clone, Copy, Debug)]
pub struct LookNow;

/// Watches one file; see the top of this file.
pub struct Reloader {
    source: Source,
    htpasswd: Arc<Htpasswd>,
    freshness: Arc<Freshness>,
    metrics: Arc<Metrics>,
    rules: Rules,
    stamp: Option<Stamp>,
    in_force: blake3::Hash,
    compared: Moment,
    candidate: Option<(blake3::Hash, Moment)>,
    told: Option<String>,
}

impl Reloader {
    /// Reads the file for the first time. There is no last good one yet, so a fault is an error.
    pub fn start(
        source: Source,
        rules: Rules,
        metrics: Arc<Metrics>,
        now: Moment,
    ) -> Result<Self, FileFault> {
        let stamp = source.stamp();
        let text = source.read()?;
        let in_force = blake3::hash(&text);
        let parsed = source.parse(text, &rules)?;
        log_faults(&source.path, &parsed.faults);
        metrics.htpasswd_users.set(parsed.users.len() as i64);
        metrics.htpasswd_bad_lines.set(parsed.users.bad_lines() as i64);
        Ok(Self {
            source,
            htpasswd: Arc::new(Htpasswd::new(parsed.users)),
            freshness: Arc::default(),
            metrics,
            rules,
            stamp,
            in_force,
            compared: now,
            candidate: None,
            told: None,
        })
    }

    /// The authenticator that this keeps fresh.
    pub fn htpasswd(&self) -> Arc<Htpasswd> {
        Arc::clone(&self.htpasswd)
    }

    /// What `/readyz` asks.
    pub fn freshness(&self) -> Arc<Freshness> {
        Arc::clone(&self.freshness)
    }

    /// Looks every `poll`, and whenever it is told to, until the sender is dropped. Holds a thread:
    /// a large file takes a while to read.
    pub fn run(mut self, poll: Duration, clock: &Clock, wake: &Receiver<LookNow>) {
        loop {
            let wait = if self.candidate.is_some() { SETTLE } else { poll };
            let forced = match wake.recv_timeout(wait) {
                Ok(LookNow) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.look(clock.now(), forced);
        }
    }

    /// One look at the file. `forced` reads it even if its stamp is the one known.
    pub fn look(&mut self, now: Moment, forced: bool) {
        let stamp = self.source.stamp();
        let due = now.since(self.compared) >= COMPARE_EVERY;
        if !forced && !due && stamp == self.stamp && self.candidate.is_none() {
            return;
        }
        self.compared = now;
        match self.source.read() {
            Ok(text) => self.consider(text, stamp, now),
            Err(fault) => {
                self.candidate = None;
                // Nothing was read, so the next look must not take this state for a known one.
                self.stamp = None;
                self.refuse(&fault);
            }
        }
    }

    fn consider(&mut self, text: Vec<u8>, stamp: Option<Stamp>, now: Moment) {
        let hash = blake3::hash(&text);
        if hash == self.in_force {
            self.candidate = None;
            self.stamp = stamp;
            return self.fresh();
        }
        let since = match self.candidate {
            Some((seen, since)) if seen == hash => since,
            _ => {
                self.candidate = Some((hash, now));
                return;
            }
        };
        if now.since(since) < SETTLE {
            return;
        }
        let parsed = match self.source.parse(text, &self.rules) {
            Ok(parsed) => parsed,
            Err(FileFault::NoUsers(_)) if now.since(since) < EMPTY_FOR => return,
            Err(FileFault::NoUsers(_)) => parse(Vec::new(), &self.rules),
            Err(fault) => {
                self.candidate = None;
                self.stamp = stamp;
                return self.refuse(&fault);
            }
        };
        self.candidate = None;
        self.stamp = stamp;
        self.in_force = hash;
        self.take(parsed);
    }

    fn take(&mut self, parsed: Parsed) {
        let (users, bad_lines) = (parsed.users.len(), parsed.users.bad_lines());
        // In force first, compared then: a million users take a while to compare.
        let before = self.htpasswd.users();
        self.htpasswd.replace(parsed.users);
        let difference = Difference::between(&before, &self.htpasswd.users());
        drop(before);
        self.metrics.htpasswd_users.set(users as i64);
        self.metrics.htpasswd_bad_lines.set(bad_lines as i64);
        self.metrics.htpasswd_reloads.inc();
        self.fresh();
        let Difference { added, removed, changed } = difference;
        tracing::info!(
            file = %self.source.path.display(),
            users,
            added = added.count,
            removed = removed.count,
            changed = changed.count,
            bad_lines,
            "htpasswd file reloaded"
        );
        tracing::debug!(added = ?added.names, removed = ?removed.names, changed = ?changed.names, "users that changed");
        log_faults(&self.source.path, &parsed.faults);
    }

    fn fresh(&mut self) {
        if self.told.take().is_some() {
            tracing::info!(file = %self.source.path.display(), "the htpasswd file can be used again");
        }
        self.freshness.set(None);
        self.metrics.htpasswd_stale.set(0);
    }

    /// The file in force stays. Said once for each new reason.
    fn refuse(&mut self, fault: &FileFault) {
        let text = fault.to_string();
        if self.told.as_ref() != Some(&text) {
            tracing::error!(fault = %text, "htpasswd file not reloaded, the last good one stays in force");
            self.metrics.htpasswd_reload_failures.inc();
            self.told = Some(text);
        }
        self.freshness.set(Some(fault.phrase()));
        self.metrics.htpasswd_stale.set(1);
    }
}

fn log_faults(path: &Path, faults: &[Fault]) {
    for fault in faults.iter().take(LOGGED_FAULTS_MAX) {
        tracing::warn!("{}:{fault}", path.display());
    }
    let more = faults.len().saturating_sub(LOGGED_FAULTS_MAX);
    if more > 0 {
        tracing::warn!(more, "there are more such lines; doorward check --htpasswd FILE lists them");
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
