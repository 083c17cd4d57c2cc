//! A secret that something else writes into a file, and may change at any time: the upstream's credentials,
//! what nginx shows to have them, or the token of the admin listener.
//!
//! It is kept in force as every file is: see [`crate::reload::reloader`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::secret_header::SecretHeaderValue;
use crate::clock::Moment;
use crate::reload::{FileReloader, ReadError, Reloadable, SourceFile, UnstableFileMode};

/// The largest file that is read: the longest value, and room for what is told to be wrong with it.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The shortest secret that nginx may show: a random one of half this length can't be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// The longest.
const SECRET_BYTES_MAX: usize = 256;

/// Secrets that count at one time: the old one and the new.
const SECRET_LINES_MAX: usize = 2;

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFormat {
    /// The password of this user.
    BasicPassword(String),
    /// A token.
    BearerToken,
    /// The whole value of the header.
    HeaderValue,
    /// What nginx shows; on a second line what it showed before, or will show next.
    ProxySecret,
    /// The token of the admin listener, in the same form.
    AdminToken,
}

impl SecretFormat {
    /// What the file is called in the log.
    fn log_name(&self) -> &'static str {
        match self {
            Self::ProxySecret => "proxy_secret_file",
            Self::AdminToken => "admin.token_file",
            Self::BasicPassword(_) | Self::BearerToken | Self::HeaderValue => "file of upstream credentials",
        }
    }

    /// What `/readyz` says when it can't be used.
    fn readiness_message(&self) -> &'static str {
        match self {
            Self::ProxySecret => "the file of proxy_secret_file can't be used",
            Self::AdminToken => "the file of admin.token_file can't be used",
            Self::BasicPassword(_) | Self::BearerToken | Self::HeaderValue => {
                "a file of upstream credentials can't be used"
            }
        }
    }

    fn parse_content(&self, text: &[u8]) -> Result<SecretFileContent, &'static str> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let most = match self {
            Self::ProxySecret | Self::AdminToken => SECRET_LINES_MAX,
            Self::BasicPassword(_) | Self::BearerToken | Self::HeaderValue => 1,
        };
        let mut lines = text.splitn(most, |b| *b == b'\n');
        let mut next = || lines.next().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let value = self.parse_line(next().unwrap_or_default())?;
        Ok(SecretFileContent {
            current: value,
            alternate: next().map(|line| self.parse_line(line)).transpose()?,
        })
    }

    fn parse_line(&self, line: &[u8]) -> Result<SecretHeaderValue, &'static str> {
        match self {
            Self::BasicPassword(username) => SecretHeaderValue::basic(username, line),
            Self::BearerToken => SecretHeaderValue::with_scheme("Bearer", line),
            Self::HeaderValue => {
                let scheme = line.iter().position(|b| *b == b' ').filter(|at| *at > 0);
                if !line.is_empty() && (scheme.is_none() || line.trim_ascii() != line) {
                    return Err("it is not a scheme and its credentials, as in: Basic QVdTOnBhc3M=");
                }
                SecretHeaderValue::from_value(Zeroizing::new(line.to_vec()))
            }
            Self::ProxySecret | Self::AdminToken => match line.len() {
                // A header would lose a blank at its ends.
                SECRET_BYTES_MIN..=SECRET_BYTES_MAX if line.contains(&b' ') => Err("a secret has no blanks"),
                SECRET_BYTES_MIN..=SECRET_BYTES_MAX => {
                    SecretHeaderValue::from_value(Zeroizing::new(line.to_vec()))
                }
                _ => Err("the secret has 16 to 256 characters; openssl rand -hex 32 makes one"),
            },
        }
    }
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretLoadError {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// What stands in it is no good; it is not told what it is.
    #[error("{0}: {1}")]
    Invalid(String, &'static str),
}

/// What stands in a file.
#[derive(Debug)]
pub struct SecretFileContent {
    current: SecretHeaderValue,
    /// Of a secret that is being changed.
    alternate: Option<SecretHeaderValue>,
}

/// What is in force.
#[derive(Debug)]
pub struct CurrentCredentials(ArcSwap<SecretFileContent>);

impl CurrentCredentials {
    /// Nothing, in the place of what stands in a file.
    pub fn empty() -> Self {
        Self(ArcSwap::from_pointee(SecretFileContent {
            current: SecretHeaderValue::empty(),
            alternate: None,
        }))
    }

    /// As it is now.
    pub fn authorization(&self) -> SecretHeaderValue {
        self.0.load().current.clone()
    }

    /// Whether this is the secret, or the other one while it is changed.
    pub fn is_valid_secret(&self, text: &[u8]) -> bool {
        let read = self.0.load();
        // Both are compared, whatever comes of the first.
        let (one, other) = (
            read.current.constant_time_eq(text),
            read.alternate.as_ref().is_some_and(|other| other.constant_time_eq(text)),
        );
        one | other
    }
}

/// A file with a secret.
pub struct SecretFile {
    format: SecretFormat,
    current: Arc<CurrentCredentials>,
}

impl SecretFile {
    /// What this keeps fresh.
    pub fn current(&self) -> Arc<CurrentCredentials> {
        Arc::clone(&self.current)
    }
}

/// Reads the file at `path` for the first time, and keeps it in force.
///
/// # Errors
/// Why it can't be used.
pub fn start(
    path: std::path::PathBuf,
    form: SecretFormat,
    now: Moment,
) -> Result<FileReloader<SecretFile>, SecretLoadError> {
    let kind = SecretFile { format: form, current: Arc::new(CurrentCredentials::empty()) };
    FileReloader::start(SourceFile { path, max_bytes: FILE_BYTES_MAX }, kind, now)
}

impl Reloadable for SecretFile {
    type Content = SecretFileContent;
    type Error = SecretLoadError;

    fn label(&self) -> &'static str {
        self.format.log_name()
    }

    fn unstable_mode(&self) -> UnstableFileMode {
        // A part of a secret is of no use.
        UnstableFileMode::KeepActive
    }

    fn parse(
        &self,
        source: &SourceFile,
        text: &mut Zeroizing<Vec<u8>>,
    ) -> Result<SecretFileContent, SecretLoadError> {
        self.format.parse_content(text).map_err(|what| SecretLoadError::Invalid(source.display_path(), what))
    }

    fn activate(&mut self, read: SecretFileContent, source: &SourceFile, first: bool) {
        self.current.0.store(Arc::new(read));
        if !first {
            tracing::info!(file = %source.path.display(), "{} reloaded", self.format.log_name());
        }
    }

    fn error_lines(&self, fault: &SecretLoadError) -> Vec<String> {
        vec![fault.to_string()]
    }

    fn readiness_message(&self, _: &SecretLoadError) -> &'static str {
        self.format.readiness_message()
    }
}

#[cfg(test)]
#[path = "secret_file_tests.rs"]
mod tests;
