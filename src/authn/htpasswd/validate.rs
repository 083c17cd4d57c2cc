//! What makes an htpasswd file out of a text, and why one can't be used.

use super::file::{HtpasswdFinding, HtpasswdParseOptions, ParsedHtpasswd, parse};
use crate::reload::wrong_format;
use crate::reload::{ReadError, SourceFile};

/// What is said of a file without users, in the log, by `check` and on `/readyz`. It is in force like any other.
pub const EMPTY_FILE_MESSAGE: &str = "the htpasswd file has no users, so it admits nobody";

/// The line by which a file says itself that it has no users; `user remove` leaves it behind the last one.
pub const NO_USERS_LINE: &[u8] = b"# no users";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdFileError {
    /// There is nothing at that path.
    #[error("{0}: there is no such file; make it with: htpasswd -B -c {file} NAME", file = command_argument(.0))]
    Missing(String),
    /// More than the bound.
    #[error("{0}: it has more than {1} bytes (htpasswd.max_bytes)")]
    TooLarge(String, u64),
    /// It can't be read for another reason.
    #[error(transparent)]
    Unreadable(ReadError),
    /// Something else than lines.
    #[error("{0}: it is no htpasswd file but {1}")]
    NotHtpasswd(String, &'static str),
    /// Lines, but none that can be used.
    #[error("{0}:{1} (none of its lines can be used)")]
    NoValidLines(String, HtpasswdFinding),
}

impl From<ReadError> for HtpasswdFileError {
    fn from(fault: ReadError) -> Self {
        match fault {
            ReadError::Missing(name) => Self::Missing(name),
            ReadError::TooLarge(name, most) => Self::TooLarge(name, most),
            other => Self::Unreadable(other),
        }
    }
}

impl HtpasswdFileError {
    /// A phrase for the body of `/readyz`, which must not tell where the file is.
    pub(super) fn readiness_message(&self) -> &'static str {
        match self {
            Self::Missing(_) => "the htpasswd file is gone",
            Self::Unreadable(_) => "the htpasswd file can't be read",
            Self::TooLarge(..) => "the htpasswd file is too large",
            Self::NoValidLines(..) | Self::NotHtpasswd(..) => "the htpasswd file can't be used",
        }
    }
}

/// A path as an argument of a command.
fn command_argument(name: &str) -> &str {
    if name.contains(' ') { "FILE" } else { name }
}

/// Parses what was read. A file with lines of which none can be used is a fault; one without users is none, and
/// admits nobody.
pub fn parse_and_validate(
    source: &SourceFile,
    text: Vec<u8>,
    rules: &HtpasswdParseOptions,
) -> Result<ParsedHtpasswd, HtpasswdFileError> {
    let other = wrong_format::detect_other_format(&text);
    let parsed = parse(text, rules);
    let users = &parsed.users;
    match parsed.findings.iter().find(|fault| fault.is_line_invalid) {
        Some(_) if users.len() == users.invalid_lines() && other.is_some() => {
            Err(HtpasswdFileError::NotHtpasswd(source.display_path(), other.unwrap_or_default()))
        }
        Some(first) if users.len() == users.invalid_lines() => {
            Err(HtpasswdFileError::NoValidLines(source.display_path(), first.clone()))
        }
        _ => Ok(parsed),
    }
}
