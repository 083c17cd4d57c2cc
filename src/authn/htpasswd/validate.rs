//! Decides whether a text is a usable htpasswd file, and reports why it is not.

use super::file::{HtpasswdFinding, HtpasswdParseOptions, ParsedHtpasswd, parse};
use crate::reload::wrong_format;
use crate::reload::{ReadError, SourceFile};

/// The message about a file without users, in the log, in the output of `check` and on `/readyz`. Such a file is used
/// like any other.
pub(crate) const EMPTY_FILE_MESSAGE: &str = "the htpasswd file has no users, so it accepts no login";

/// The comment that marks a file as intentionally empty. `user remove` writes it in place of the last user.
pub(crate) const NO_USERS_LINE: &[u8] = b"# no users";

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HtpasswdFileError {
    /// The file does not exist.
    #[error("{0}: the file does not exist; create it with: htpasswd -B -c {file} NAME", file = command_argument(.0))]
    Missing(String),
    /// The file exceeds the size limit `htpasswd.max_bytes`.
    #[error("{0}: the file has more than {1} bytes; raise htpasswd.max_bytes")]
    TooLarge(String, u64),
    /// The file cannot be read for another reason.
    #[error(transparent)]
    Unreadable(ReadError),
    /// The file has another format.
    #[error("{0}: not an htpasswd file: it is {1}")]
    NotHtpasswd(String, &'static str),
    /// Every line of the file is invalid. The message describes the first one.
    #[error("{0}:{1} (no line of the file is valid)")]
    NoValidLines(String, HtpasswdFinding),
}

impl From<ReadError> for HtpasswdFileError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing(name) => Self::Missing(name),
            ReadError::TooLarge(name, max_bytes) => Self::TooLarge(name, max_bytes),
            other => Self::Unreadable(other),
        }
    }
}

impl HtpasswdFileError {
    /// Returns the message for the body of `/readyz`, which must not contain the path of the file.
    pub(super) fn readiness_message(&self) -> &'static str {
        match self {
            Self::Missing(_) => "the htpasswd file is missing",
            Self::Unreadable(_) => "the htpasswd file cannot be read",
            Self::TooLarge(..) => "the htpasswd file is too large",
            Self::NoValidLines(..) | Self::NotHtpasswd(..) => "the htpasswd file cannot be used",
        }
    }
}

/// Returns the path as an argument of the command in a message, or `FILE` if the path must be quoted.
fn command_argument(name: &str) -> &str {
    if name.contains(' ') { "FILE" } else { name }
}

/// Parses the text of a file.
///
/// A file whose lines are all invalid is an error. A file without lines is not, and accepts no login.
pub(crate) fn parse_and_validate(
    source: &SourceFile,
    text: Vec<u8>,
    options: &HtpasswdParseOptions,
) -> Result<ParsedHtpasswd, HtpasswdFileError> {
    let other_format = wrong_format::detect_other_format(&text);
    let parsed = parse(text, options);
    let users = &parsed.users;
    match parsed.findings.iter().find(|finding| finding.is_line_invalid) {
        Some(_) if users.len() == users.invalid_lines() && other_format.is_some() => {
            Err(HtpasswdFileError::NotHtpasswd(source.display_path(), other_format.unwrap_or_default()))
        }
        Some(first) if users.len() == users.invalid_lines() => {
            Err(HtpasswdFileError::NoValidLines(source.display_path(), first.clone()))
        }
        _ => Ok(parsed),
    }
}
