//! Keeping the keys in force those on disk: new content is taken once two reads agree; what can't be used
//! leaves the last good keys in force, and is told in the log and on `/readyz`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::keys::{KeysFault, SigningKeys};
use crate::clock::Moment;
use crate::watch::standing::Standing;
use crate::watch::{Freshness, ReadFault, Reload, SETTLE, Seen, Source, Watch};

/// The largest file that is read: a key of RSA-4096 has 6 KiB with its certificate, and a file has two or three.
pub const FILE_MAX: u64 = 256 << 10;

/// What `/readyz` says of a file that can't be used.
const PHRASE: &str = "the file of token.keys can't be used";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeysFault {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadFault),
    /// What stands in it is no good.
    #[error("{0}: {1}")]
    Content(String, KeysFault),
}

/// What is in force.
#[derive(Debug)]
pub struct Kept(ArcSwap<SigningKeys>);

impl Kept {
    /// As it is now.
    pub fn keys(&self) -> Arc<SigningKeys> {
        self.0.load_full()
    }
}

/// Watches the file.
#[derive(Debug)]
pub struct Reloader {
    watch: Watch,
    kept: Arc<Kept>,
    standing: Standing,
}

impl Reloader {
    /// Reads the file at `path` for the first time.
    ///
    /// # Errors
    /// Why it can't be used: at the start there is no last good one.
    pub fn start(path: PathBuf, now: Moment) -> Result<Self, TokenKeysFault> {
        let source = Source { path, max_bytes: FILE_MAX };
        let (watch, text) = Watch::start_settled(source, now, || std::thread::sleep(SETTLE))?;
        let text = Zeroizing::new(text);
        let content = |fault| TokenKeysFault::Content(watch.source().name(), fault);
        let first = SigningKeys::parse(&text).map_err(content)?;
        warn_of(&watch.source().path, &first);
        let kept = Arc::new(Kept(ArcSwap::from_pointee(first)));
        Ok(Self { watch, kept, standing: Standing::new("file of token.keys") })
    }

    /// What this keeps fresh.
    pub fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept)
    }

    /// What `/readyz` asks.
    pub fn freshness(&self) -> Arc<Freshness> {
        self.standing.freshness()
    }

    fn take(&mut self, text: &[u8]) {
        let path = self.watch.source().path.clone();
        match SigningKeys::parse(text) {
            Ok(keys) => {
                self.watch.taken();
                let signs = keys.kids().next().unwrap_or_default();
                let count = keys.kids().count();
                tracing::info!(file = %path.display(), keys = count, signs, "file of token.keys reloaded");
                warn_of(&path, &keys);
                self.kept.0.store(Arc::new(keys));
                self.standing.fresh(&path);
            }
            Err(fault) => {
                self.watch.passed_over();
                self.refuse(&TokenKeysFault::Content(path.display().to_string(), fault));
            }
        }
    }

    fn refuse(&mut self, fault: &TokenKeysFault) {
        self.standing.refuse(&[fault.to_string()], PHRASE);
    }
}

impl Reload for Reloader {
    fn look(&mut self, now: Moment, forced: bool) {
        match self.watch.look(now, forced) {
            Seen::Nothing => {}
            Seen::InForce => {
                self.standing.fresh(&self.watch.source().path);
            }
            Seen::Fault(fault) => self.refuse(&fault.into()),
            Seen::New(text, _) => self.take(&Zeroizing::new(text)),
        }
    }

    fn is_settling(&self) -> bool {
        self.watch.is_settling()
    }
}

/// Whether others on the machine can read the file, or its group change it, and so give themselves any right.
pub fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o027 != 0)
}

/// Says what is not wrong with the file, and makes tokens worthless or anybody's.
fn warn_of(path: &Path, keys: &SigningKeys) {
    if is_open(path) {
        tracing::warn!(file = %path.display(), "others on this machine can read or change the keys that sign tokens; chmod 600");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(key) = keys.published().find(|key| key.signs && key.ends <= now) {
        tracing::error!(
            kid = key.kid,
            "the certificate of the key that signs has ended, and registries take no token of its: doorward token add, and use"
        );
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
