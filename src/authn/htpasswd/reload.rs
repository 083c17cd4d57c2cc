//! Keeping the htpasswd file in force the one that is on disk, without a restart and without ever
//! losing the last good one. What can't be used leaves the file in force as it is, and says so in the
//! log, on `/readyz` and in the metrics.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Htpasswd;
use super::difference::Difference;
use super::file::{Fault, Parsed, Rules, parse};
use super::source::{FileFault, usable};
use crate::clock::Moment;
use crate::metrics::Metrics;
use crate::watch::standing::{Standing, log_bad_lines};
use crate::watch::{Freshness, Reload, Seen, Source, Watch};

/// How long an empty file must have been empty before it counts as the wish to have no users,
/// rather than as the moment between truncating and writing.
const EMPTY_FOR: Duration = Duration::from_secs(5);

/// Watches one file; see the top of this file.
pub struct Reloader {
    watch: Watch,
    htpasswd: Arc<Htpasswd>,
    standing: Standing,
    metrics: Arc<Metrics>,
    rules: Rules,
}

impl Reload for Reloader {
    fn look(&mut self, now: Moment, forced: bool) {
        match self.watch.look(now, forced) {
            Seen::Nothing => {}
            Seen::InForce => self.fresh(),
            Seen::Fault(fault) => self.refuse(&fault.into()),
            Seen::New(text, age) => match usable(self.watch.source(), text, &self.rules) {
                Ok(parsed) => self.take(parsed),
                Err(FileFault::NoUsers(_)) if age < EMPTY_FOR => {}
                Err(FileFault::NoUsers(_)) => self.take(parse(Vec::new(), &self.rules)),
                Err(fault) => {
                    self.watch.passed_over();
                    self.refuse(&fault);
                }
            },
        }
    }

    fn is_settling(&self) -> bool {
        self.watch.is_settling()
    }
}

impl Reloader {
    /// Reads the file for the first time. There is no last good one yet, so a fault is an error.
    pub fn start(
        source: Source,
        rules: Rules,
        metrics: Arc<Metrics>,
        now: Moment,
    ) -> Result<Self, FileFault> {
        let (watch, text) = Watch::start(source, now)?;
        let parsed = usable(watch.source(), text, &rules)?;
        log_faults(&watch.source().path, &parsed.faults);
        metrics.htpasswd_users.set(parsed.users.len() as i64);
        metrics.htpasswd_bad_lines.set(parsed.users.bad_lines() as i64);
        let htpasswd = Arc::new(Htpasswd::new(parsed.users));
        Ok(Self { watch, htpasswd, standing: Standing::new("htpasswd file"), metrics, rules })
    }

    /// The authenticator that this keeps fresh.
    pub fn htpasswd(&self) -> Arc<Htpasswd> {
        Arc::clone(&self.htpasswd)
    }

    /// What `/readyz` asks.
    pub fn freshness(&self) -> Arc<Freshness> {
        self.standing.freshness()
    }

    fn take(&mut self, parsed: Parsed) {
        self.watch.taken();
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
            file = %self.watch.source().path.display(),
            users,
            added = added.count,
            removed = removed.count,
            changed = changed.count,
            bad_lines,
            "htpasswd file reloaded"
        );
        tracing::debug!(added = ?added.names, removed = ?removed.names, changed = ?changed.names, "users that changed");
        log_faults(&self.watch.source().path, &parsed.faults);
    }

    fn fresh(&mut self) {
        self.standing.fresh(&self.watch.source().path);
        self.metrics.htpasswd_stale.set(0);
    }

    fn refuse(&mut self, fault: &FileFault) {
        let (news, _) = self.standing.refuse(&[fault.to_string()], fault.phrase());
        if news {
            self.metrics.htpasswd_reload_failures.inc();
        }
        self.metrics.htpasswd_stale.set(1);
    }
}

fn log_faults(path: &Path, faults: &[Fault]) {
    log_bad_lines(faults.iter().map(|fault| format!("{}:{fault}", path.display())), faults.len());
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
