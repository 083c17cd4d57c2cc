//! A secret in a file that another program writes and can change at any time. This is either an upstream credential,
//! the proxy secret, or the token of the admin listener.
//!
//! The file is reloaded like all others; see [`crate::reload`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::secret_header::SecretHeaderValue;
use crate::clock::Moment;
use crate::reload::{FileReloader, ReadError, Reloadable, SourceFile, UnstableFileMode};

/// Maximum size of a file, in bytes. It exceeds the longest value, so that the error can name the limit of the value.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 10;

/// Minimum length of a secret, in bytes. A random secret of half this length cannot be guessed.
pub(crate) const SECRET_BYTES_MIN: usize = 16;

/// Maximum length of a secret, in bytes.
pub(crate) const SECRET_BYTES_MAX: usize = 256;

/// Maximum number of secrets that are valid at the same time: the old one and the new one.
const SECRET_LINES_MAX: usize = 2;

/// The format and purpose of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretFormat {
    /// The Basic password of this user.
    BasicPassword(String),
    /// A Bearer token.
    BearerToken,
    /// The complete value of the header.
    HeaderValue,
    /// The proxy secret. A second line can contain the previous or the next secret.
    ProxySecret,
    /// The token of the admin listener, in the format of [`SecretFormat::ProxySecret`].
    AdminToken,
}

impl SecretFormat {
    /// Returns the name of the file in the log.
    fn log_name(&self) -> &'static str {
        match self {
            Self::ProxySecret => "proxy secret file",
            Self::AdminToken => "admin token file",
            Self::BasicPassword(_) | Self::BearerToken | Self::HeaderValue => "upstream credentials file",
        }
    }

    /// Returns the message of `/readyz` if the file is invalid.
    fn readiness_message(&self) -> &'static str {
        match self {
            Self::ProxySecret => "the proxy secret file (proxy_secret_file) cannot be used",
            Self::AdminToken => "the admin token file (admin.token_file) cannot be used",
            Self::BasicPassword(_) | Self::BearerToken | Self::HeaderValue => {
                "a file of upstream credentials cannot be used"
            }
        }
    }

    fn parse_content(&self, text: &[u8]) -> Result<SecretFileContent, &'static str> {
        let lines_max = match self {
            Self::ProxySecret | Self::AdminToken => SECRET_LINES_MAX,
            Self::BasicPassword(_) | Self::BearerToken | Self::HeaderValue => 1,
        };
        let mut lines = secret_lines(text, lines_max);
        let value = self.parse_line(lines.next().unwrap_or_default())?;
        Ok(SecretFileContent {
            current: value,
            alternate: lines.next().map(|line| self.parse_line(line)).transpose()?,
        })
    }

    fn parse_line(&self, line: &[u8]) -> Result<SecretHeaderValue, &'static str> {
        match self {
            Self::BasicPassword(username) => SecretHeaderValue::basic(username, line),
            Self::BearerToken => SecretHeaderValue::with_scheme("Bearer", line),
            Self::HeaderValue => {
                let scheme = line.iter().position(|b| *b == b' ').filter(|at| *at > 0);
                if !line.is_empty() && (scheme.is_none() || line.trim_ascii() != line) {
                    return Err("it must be a scheme and credentials, as in: Basic QVdTOnBhc3M=");
                }
                SecretHeaderValue::from_value(Zeroizing::new(line.to_vec()))
            }
            Self::ProxySecret | Self::AdminToken => match line.len() {
                // A proxy removes blanks at the ends of a header value.
                SECRET_BYTES_MIN..=SECRET_BYTES_MAX if line.contains(&b' ') => {
                    Err("a secret must not contain blanks")
                }
                SECRET_BYTES_MIN..=SECRET_BYTES_MAX => {
                    SecretHeaderValue::from_value(Zeroizing::new(line.to_vec()))
                }
                _ => Err("a secret must have 16 to 256 characters; create one with openssl rand -hex 32"),
            },
        }
    }
}

fn secret_lines(text: &[u8], lines_max: usize) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let lines = text.splitn(lines_max, |b| *b == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Returns the secret of the first line, which a proxy sends.
pub(crate) fn first_secret(text: &[u8]) -> &[u8] {
    secret_lines(text, SECRET_LINES_MAX).next().unwrap_or_default()
}

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretLoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The content is invalid. The error does not contain it.
    #[error("{0}: {1}")]
    Invalid(String, &'static str),
}

/// The parsed content of a file.
#[derive(Debug)]
pub(crate) struct SecretFileContent {
    current: SecretHeaderValue,
    /// The second secret during a rotation.
    alternate: Option<SecretHeaderValue>,
}

/// The content in force.
#[derive(Debug)]
pub(crate) struct CurrentCredentials(ArcSwap<SecretFileContent>);

impl CurrentCredentials {
    /// Creates empty content, for use before a file is loaded.
    pub(crate) fn empty() -> Self {
        Self(ArcSwap::from_pointee(SecretFileContent {
            current: SecretHeaderValue::empty(),
            alternate: None,
        }))
    }

    /// Returns the current value.
    pub(crate) fn authorization(&self) -> SecretHeaderValue {
        self.0.load().current.clone()
    }

    /// Returns true if this is one of the current secrets.
    pub(crate) fn is_valid_secret(&self, text: &[u8]) -> bool {
        let content = self.0.load();
        // Both are always compared, so that the time does not depend on the result of the first comparison.
        let is_current = content.current.constant_time_eq(text);
        let is_alternate =
            content.alternate.as_ref().is_some_and(|alternate| alternate.constant_time_eq(text));
        is_current | is_alternate
    }
}

/// The reload target of a file with a secret.
pub(crate) struct SecretFile {
    format: SecretFormat,
    current: Arc<CurrentCredentials>,
}

impl SecretFile {
    /// Returns the content that this target keeps up to date.
    pub(crate) fn current(&self) -> Arc<CurrentCredentials> {
        Arc::clone(&self.current)
    }
}

/// Reads the file at `path` for the first time, and creates its reloader.
///
/// # Errors
/// Returns the reason why the file cannot be used.
pub(crate) fn start(
    path: std::path::PathBuf,
    format: SecretFormat,
    now: Moment,
) -> Result<FileReloader<SecretFile>, SecretLoadError> {
    let target = SecretFile { format, current: Arc::new(CurrentCredentials::empty()) };
    FileReloader::start(SourceFile { path, max_bytes: FILE_BYTES_MAX }, target, now)
}

impl Reloadable for SecretFile {
    type Content = SecretFileContent;
    type Error = SecretLoadError;

    fn label(&self) -> &'static str {
        self.format.log_name()
    }

    fn unstable_mode(&self) -> UnstableFileMode {
        // A part of a secret is not valid.
        UnstableFileMode::KeepActive
    }

    fn parse(
        &self,
        source: &SourceFile,
        text: &mut Zeroizing<Vec<u8>>,
    ) -> Result<SecretFileContent, SecretLoadError> {
        self.format
            .parse_content(text)
            .map_err(|message| SecretLoadError::Invalid(source.display_path(), message))
    }

    fn activate(&mut self, content: SecretFileContent, source: &SourceFile, is_first: bool) {
        self.current.0.store(Arc::new(content));
        if !is_first {
            tracing::info!(file = %source.path.display(), "{} reloaded", self.format.log_name());
        }
    }

    fn error_lines(&self, error: &SecretLoadError) -> Vec<String> {
        vec![error.to_string()]
    }

    fn readiness_message(&self, _: &SecretLoadError) -> &'static str {
        self.format.readiness_message()
    }
}

#[cfg(test)]
#[path = "secret_file_tests.rs"]
mod tests;
