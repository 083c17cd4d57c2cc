//! The htpasswd file as one that is kept in force: see [`crate::reload::reloader`].

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Htpasswd;
use super::difference::Difference;
use super::file::{Fault, Parsed, Rules, parse};
use super::source::{EMPTIED, FileFault, NONE_LINE, usable};
use crate::metrics::Metrics;
use crate::reload::state::log_bad_lines;
use crate::reload::{Event, FileReloader, Reloadable, Source, Unsettled};

/// Keeps the htpasswd file in force.
pub type Reloader = FileReloader<HtpasswdFile>;

/// The htpasswd file.
pub struct HtpasswdFile {
    htpasswd: Arc<Htpasswd>,
    rules: Rules,
    is_last: bool,
    metrics: Arc<Metrics>,
}

impl HtpasswdFile {
    /// A file that is not read yet. `is_last` says that no other authenticator is asked about users who are not in
    /// it: only then is a file that lacks lines a file that refuses more.
    pub fn new(rules: Rules, is_last: bool, metrics: Arc<Metrics>) -> Self {
        let htpasswd = Arc::new(Htpasswd::new(parse(Vec::new(), &rules).users));
        Self { htpasswd, rules, is_last, metrics }
    }

    /// The authenticator that this keeps fresh.
    pub fn htpasswd(&self) -> Arc<Htpasswd> {
        Arc::clone(&self.htpasswd)
    }
}

impl Reloadable for HtpasswdFile {
    type Content = Parsed;
    type Fault = FileFault;

    fn name(&self) -> &'static str {
        "htpasswd file"
    }

    fn unsettled(&self) -> Unsettled {
        if self.is_last { Unsettled::WholeLines } else { Unsettled::Nothing }
    }

    fn none_line(&self) -> &'static [u8] {
        NONE_LINE
    }

    fn emptied(&self) -> Option<&'static str> {
        Some(EMPTIED)
    }

    fn parse(&self, source: &Source, text: &mut Zeroizing<Vec<u8>>) -> Result<Parsed, FileFault> {
        usable(source, std::mem::take(&mut **text), &self.rules)
    }

    fn replace(&mut self, parsed: Parsed, source: &Source, first: bool) {
        let (users, bad_lines) = (parsed.users.len(), parsed.users.bad_lines());
        // In force first, compared then: a million users take a while to compare.
        let before = self.htpasswd.users();
        self.htpasswd.replace(parsed.users);
        self.metrics.htpasswd_users.set(users as i64);
        self.metrics.htpasswd_invalid_lines.set(bad_lines as i64);
        if !first {
            let Difference { added, removed, changed } = Difference::between(&before, &self.htpasswd.users());
            tracing::info!(
                file = %source.path.display(),
                users,
                added = added.count,
                removed = removed.count,
                changed = changed.count,
                bad_lines,
                "htpasswd file reloaded"
            );
            tracing::debug!(added = ?added.names, removed = ?removed.names, changed = ?changed.names, "users that changed");
        }
        log_faults(&source.path, &parsed.faults);
    }

    fn faults(&self, fault: &FileFault) -> Vec<String> {
        vec![fault.to_string()]
    }

    fn phrase(&self, fault: &FileFault) -> &'static str {
        fault.phrase()
    }

    fn count(&self, event: Event) {
        match event {
            Event::Reloaded => drop(self.metrics.htpasswd_reloads.inc()),
            Event::Failed => drop(self.metrics.htpasswd_reload_failures.inc()),
            Event::Stale => drop(self.metrics.htpasswd_outdated.set(1)),
            Event::Fresh => drop(self.metrics.htpasswd_outdated.set(0)),
        }
    }
}

fn log_faults(path: &Path, faults: &[Fault]) {
    log_bad_lines(faults.iter().map(|fault| format!("{}:{fault}", path.display())), faults.len());
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
