//! The reload of the signing key file; see [`crate::reload`].

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

/// Maximum size of the file, in bytes. An RSA-4096 key with its certificate has 6 KiB, and a file has two or three
/// keys.
pub(crate) const FILE_BYTES_MAX: u64 = 256 << 10;

/// A missing key only rejects its tokens, and a truncated key is invalid, so whole lines of a changing file are safe
/// to use.
const UNSTABLE_MODE: UnstableFileMode = UnstableFileMode::UseWholeLines;

/// The message of `/readyz` if the file is invalid.
const READINESS_MESSAGE: &str = "the signing key file (token.signing_keys) cannot be used";

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningKeyLoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The content is invalid.
    #[error("{0}: {1}")]
    Invalid(String, SigningKeyFileError),
}

/// The keys in force.
#[derive(Debug)]
pub(crate) struct CurrentSigningKeys(ArcSwap<SigningKeys>);

impl CurrentSigningKeys {
    /// Returns the current keys.
    pub(crate) fn load(&self) -> Arc<SigningKeys> {
        self.0.load_full()
    }
}

/// The reload target of the signing key file.
pub(crate) struct SigningKeyFile {
    current_keys: Arc<CurrentSigningKeys>,
}

impl SigningKeyFile {
    /// Returns the keys that this target keeps up to date.
    pub(crate) fn current_keys(&self) -> Arc<CurrentSigningKeys> {
        Arc::clone(&self.current_keys)
    }
}

/// Reads the file at `path` for the first time, and creates its reloader.
///
/// # Errors
/// Returns the reason why the file cannot be used. At the start, there is no earlier version of it.
pub(crate) fn start(path: PathBuf, now: Moment) -> Result<FileReloader<SigningKeyFile>, SigningKeyLoadError> {
    let source = SourceFile { path, max_bytes: FILE_BYTES_MAX };
    let make = |source: &SourceFile, text: &mut Zeroizing<Vec<u8>>| {
        let keys = parse_keys(source, text)?;
        warn_about_keys(&source.path, &keys);
        Ok(SigningKeyFile { current_keys: Arc::new(CurrentSigningKeys(ArcSwap::from_pointee(keys))) })
    };
    FileReloader::start_with(source, b"", UNSTABLE_MODE, make, now)
}

fn parse_keys(source: &SourceFile, text: &[u8]) -> Result<SigningKeys, SigningKeyLoadError> {
    SigningKeys::parse(text).map_err(|error| SigningKeyLoadError::Invalid(source.display_path(), error))
}

impl Reloadable for SigningKeyFile {
    type Content = SigningKeys;
    type Error = SigningKeyLoadError;

    fn label(&self) -> &'static str {
        "signing key file"
    }

    fn unstable_mode(&self) -> UnstableFileMode {
        UNSTABLE_MODE
    }

    fn parse(
        &self,
        source: &SourceFile,
        text: &mut Zeroizing<Vec<u8>>,
    ) -> Result<SigningKeys, SigningKeyLoadError> {
        parse_keys(source, text)
    }

    fn activate(&mut self, keys: SigningKeys, source: &SourceFile, is_first: bool) {
        if !is_first {
            let active_key = keys.kids().next().unwrap_or_default();
            let count = keys.kids().count();
            tracing::info!(file = %source.path.display(), keys = count, active_key, "signing key file reloaded");
        }
        warn_about_keys(&source.path, &keys);
        self.current_keys.0.store(Arc::new(keys));
    }

    fn error_lines(&self, error: &SigningKeyLoadError) -> Vec<String> {
        vec![error.to_string()]
    }

    fn readiness_message(&self, _: &SigningKeyLoadError) -> &'static str {
        READINESS_MESSAGE
    }
}

/// Returns true if other users of the machine can read the file, or if its group can write it. They could then grant
/// themselves any access.
pub(crate) fn has_unsafe_permissions(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o027 != 0)
}

/// Logs problems of a valid file that make tokens worthless or insecure.
fn warn_about_keys(path: &Path, keys: &SigningKeys) {
    if has_unsafe_permissions(path) {
        tracing::warn!(
            file = %path.display(),
            remedy = "chmod 600",
            "signing keys readable or writable by other users of this machine"
        );
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(key) = keys.published_keys().find(|key| key.is_active && key.certificate_not_after <= now) {
        tracing::error!(
            kid = key.kid,
            effect = "registries reject all new tokens",
            remedy = "doorward signing-key add, then doorward signing-key use",
            "certificate of active signing key expired"
        );
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
