//! How what is in force stands to the file on disk, and what is said of it: in the log once for each new
//! reason, and on `/readyz` as long as it lasts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Faults that are logged one by one; `doorward check` lists all.
const LOGGED_FAULTS_MAX: usize = 20;

/// Whether what is in force is what is on disk.
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

    /// Says why, or that it is fresh.
    pub fn set(&self, why: Option<&'static str>) {
        self.why.store(why.map(Arc::new));
        self.stale.store(why.is_some(), Ordering::Release);
    }
}

/// See the top of this file.
#[derive(Debug)]
pub struct Standing {
    /// The file, as it is called in the log.
    name: &'static str,
    freshness: Arc<Freshness>,
    /// What was told last, by its hash.
    told: Option<blake3::Hash>,
}

impl Standing {
    /// Of a file that was just read, and found good.
    pub fn new(name: &'static str) -> Self {
        Self { name, freshness: Arc::default(), told: None }
    }

    /// What `/readyz` asks.
    pub fn freshness(&self) -> Arc<Freshness> {
        Arc::clone(&self.freshness)
    }

    /// What is in force is what is on disk. Whether it was otherwise.
    pub fn fresh(&mut self, path: &Path) -> bool {
        let refused = self.told.take().is_some();
        if refused {
            tracing::info!(file = %path.display(), "the {} can be used again", self.name);
        }
        self.freshness.set(None);
        refused
    }

    /// What is on disk can't be used, and the last good one stays in force. `phrase` is what `/readyz` says.
    /// Whether that is news, and whether it was well before.
    pub fn refuse(&mut self, faults: &[String], phrase: &'static str) -> (bool, bool) {
        let told = blake3::hash(faults.join("\n").as_bytes());
        let (news, was_well) = (self.told != Some(told), self.told.is_none());
        if news {
            for fault in faults.iter().take(LOGGED_FAULTS_MAX) {
                tracing::error!(%fault, "{} not reloaded, the last good one stays in force", self.name);
            }
            self.told = Some(told);
        }
        self.freshness.set(Some(phrase));
        (news, was_well)
    }
}

/// Logs lines that can't be used of a file that can.
pub fn log_bad_lines(faults: impl ExactSizeIterator<Item = String>, bad: usize) {
    let shown = faults.len().min(LOGGED_FAULTS_MAX);
    faults.take(LOGGED_FAULTS_MAX).for_each(|fault| tracing::warn!("{fault}"));
    if bad > shown {
        tracing::warn!(more = bad - shown, "there are more such lines; doorward check lists them");
    }
}
