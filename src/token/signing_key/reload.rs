//! The file of signing keys as one that is kept in force: see [`crate::reload::reloader`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::{SigningKeyFileError, SigningKeys};
use crate::clock::Moment;
use crate::reload::{FileReloader, ReadError, Reloadable, SourceFile, UnstableFileMode};

/// The largest file that is read: a key of RSA-4096 has 6 KiB with its certificate, and a file has two or three.
pub const FILE_BYTES_MAX: u64 = 256 << 10;

/// A key that is missing refuses its tokens, and one that is cut in two can't be read.
const UNSETTLED: UnstableFileMode = UnstableFileMode::UseWholeLines;

/// What `/readyz` says of a file that can't be used.
const READINESS_MESSAGE: &str = "the file of token.signing_keys can't be used";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyLoadError {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// What stands in it is no good.
    #[error("{0}: {1}")]
    Invalid(String, SigningKeyFileError),
}

/// What is in force.
#[derive(Debug)]
pub struct CurrentSigningKeys(ArcSwap<SigningKeys>);

impl CurrentSigningKeys {
    /// As it is now.
    pub fn load(&self) -> Arc<SigningKeys> {
        self.0.load_full()
    }
}

/// The file of signing keys.
pub struct SigningKeyFile {
    current_keys: Arc<CurrentSigningKeys>,
}

impl SigningKeyFile {
    /// What this keeps fresh.
    pub fn current_keys(&self) -> Arc<CurrentSigningKeys> {
        Arc::clone(&self.current_keys)
    }
}

/// Reads the file at `path` for the first time, and keeps it in force.
///
/// # Errors
/// Why it can't be used: at the start there is no last good one.
pub fn start(path: PathBuf, now: Moment) -> Result<FileReloader<SigningKeyFile>, SigningKeyLoadError> {
    let source = SourceFile { path, max_bytes: FILE_BYTES_MAX };
    let make = |source: &SourceFile, text: &mut Zeroizing<Vec<u8>>| {
        let keys = parse_keys(source, text)?;
        warn_about_keys(&source.path, &keys);
        Ok(SigningKeyFile { current_keys: Arc::new(CurrentSigningKeys(ArcSwap::from_pointee(keys))) })
    };
    FileReloader::start_with(source, b"", UNSETTLED, make, now)
}

fn parse_keys(source: &SourceFile, text: &[u8]) -> Result<SigningKeys, SigningKeyLoadError> {
    SigningKeys::parse(text).map_err(|fault| SigningKeyLoadError::Invalid(source.display_path(), fault))
}

impl Reloadable for SigningKeyFile {
    type Content = SigningKeys;
    type Error = SigningKeyLoadError;

    fn label(&self) -> &'static str {
        "file of token.signing_keys"
    }

    fn unstable_mode(&self) -> UnstableFileMode {
        UNSETTLED
    }

    fn parse(
        &self,
        source: &SourceFile,
        text: &mut Zeroizing<Vec<u8>>,
    ) -> Result<SigningKeys, SigningKeyLoadError> {
        parse_keys(source, text)
    }

    fn activate(&mut self, keys: SigningKeys, source: &SourceFile, first: bool) {
        if !first {
            let signs = keys.kids().next().unwrap_or_default();
            let count = keys.kids().count();
            tracing::info!(file = %source.path.display(), keys = count, signs, "file of token.signing_keys reloaded");
        }
        warn_about_keys(&source.path, &keys);
        self.current_keys.0.store(Arc::new(keys));
    }

    fn error_lines(&self, fault: &SigningKeyLoadError) -> Vec<String> {
        vec![fault.to_string()]
    }

    fn readiness_message(&self, _: &SigningKeyLoadError) -> &'static str {
        READINESS_MESSAGE
    }
}

/// Whether others on the machine can read the file, or its group change it, and so give themselves any right.
pub fn has_unsafe_permissions(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o027 != 0)
}

/// Says what is not wrong with the file, and makes tokens worthless or anybody's.
fn warn_about_keys(path: &Path, keys: &SigningKeys) {
    if has_unsafe_permissions(path) {
        tracing::warn!(file = %path.display(), "others on this machine can read or change the keys that sign tokens; chmod 600");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(key) = keys.published_keys().find(|key| key.is_active && key.certificate_not_after <= now) {
        tracing::error!(
            kid = key.kid,
            "the certificate of the key that signs has ended, and registries take no token of its: doorward signing-key add, and use"
        );
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
