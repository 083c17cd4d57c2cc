//! The diagnosis of one invalid line, shared by the log, `check`, `explain`, `user verify` and `user list`.
//!
//! A diagnosis never contains text of the line, which may be a password.

use std::fmt;

use crate::authn::hash::{AllowedFormats, HashFormat, HashFormatError};
use crate::identity::UsernameError;

/// The maximum length of a hash, in bytes. Hashes in use have at most about 130 bytes, and nginx stops at 4,096.
pub(super) const HASH_LENGTH_MAX: usize = 4096;

/// The reason why a line is invalid, and its remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HtpasswdLineError {
    kind: LineErrorKind,
    /// The length of the line in bytes, without whitespace at its ends.
    line_length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineErrorKind {
    /// The line is encoded as UTF-16: every other byte is NUL.
    Utf16,
    /// The text before the colon is not a valid user name.
    InvalidName(UsernameError),
    /// The line has no colon and is a hash.
    HashWithoutName,
    /// The line has no colon, but whitespace that may replace it.
    BlankInsteadOfColon,
    /// The line has no colon and no whitespace.
    MissingColon,
    /// The hash is longer than [`HASH_LENGTH_MAX`].
    HashTooLong,
    /// The text after the colon is not a valid hash.
    InvalidHash(HashFormatError),
}

impl HtpasswdLineError {
    /// Diagnoses a line whose user name is invalid.
    pub(super) fn diagnose_name(line: &[u8], error: UsernameError) -> Self {
        let kind = if is_utf16(line) { LineErrorKind::Utf16 } else { LineErrorKind::InvalidName(error) };
        Self { kind, line_length: line.len() }
    }

    /// Diagnoses a line with a valid user name. Returns `None` if the hash is valid. `line` has no whitespace at its
    /// ends.
    pub(super) fn diagnose_hash(line: &[u8], allowed: AllowedFormats) -> Option<Self> {
        let kind = match line.iter().position(|b| *b == b':') {
            _ if is_utf16(line) => LineErrorKind::Utf16,
            None => diagnose_without_colon(line, allowed),
            Some(colon) => {
                let rest = line.get(colon + 1..).unwrap_or_default();
                let hash = rest.split(|b| *b == b':').next().unwrap_or_default();
                match hash.len() {
                    0..=HASH_LENGTH_MAX => {
                        LineErrorKind::InvalidHash(HashFormat::diagnose(hash, rest, allowed).err()?)
                    }
                    _ => LineErrorKind::HashTooLong,
                }
            }
        };
        Some(Self { kind, line_length: line.len() })
    }

    /// Returns true if the hash has a known format. Then the text before the colon is a name and can be logged;
    /// otherwise it may be a password.
    pub(crate) fn is_name_loggable(self) -> bool {
        match self.kind {
            LineErrorKind::InvalidHash(error) => error.is_known_format(),
            LineErrorKind::Utf16
            | LineErrorKind::InvalidName(_)
            | LineErrorKind::HashWithoutName
            | LineErrorKind::BlankInsteadOfColon
            | LineErrorKind::MissingColon
            | LineErrorKind::HashTooLong => false,
        }
    }

    /// Returns the length of the line in bytes.
    pub(crate) fn line_length(self) -> usize {
        self.line_length
    }

    /// Returns the description of the error.
    pub(crate) fn message(self) -> String {
        let length = self.line_length;
        match self.kind {
            LineErrorKind::Utf16 => "the line is encoded as UTF-16".to_owned(),
            LineErrorKind::InvalidName(error) => error.to_string(),
            LineErrorKind::HashWithoutName => {
                format!("the line of {length} bytes is a hash without a user name")
            }
            LineErrorKind::BlankInsteadOfColon => {
                format!("the line of {length} bytes has no colon, perhaps a space instead")
            }
            LineErrorKind::MissingColon => {
                format!("the line of {length} bytes has no colon; it may be a password")
            }
            LineErrorKind::HashTooLong => format!("the hash is longer than {HASH_LENGTH_MAX} bytes"),
            LineErrorKind::InvalidHash(HashFormatError::UnknownFormat) => {
                format!("{} (line of {length} bytes)", HashFormatError::UnknownFormat)
            }
            LineErrorKind::InvalidHash(error) => error.to_string(),
        }
    }

    /// Returns the remedy.
    pub(crate) fn remedy(self) -> &'static str {
        match self.kind {
            LineErrorKind::Utf16 => "save the file as UTF-8",
            LineErrorKind::InvalidName(UsernameError::Empty)
            | LineErrorKind::HashWithoutName
            | LineErrorKind::BlankInsteadOfColon
            | LineErrorKind::MissingColon => "write NAME:HASH",
            LineErrorKind::InvalidName(_) => "no client can log in with it: remove the line",
            LineErrorKind::HashTooLong => HashFormatError::UnknownFormat.remedy(),
            LineErrorKind::InvalidHash(error) => error.remedy(),
        }
    }
}

/// Writes the error, its consequence and the remedy.
impl fmt::Display for HtpasswdLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let consequence = match self.kind {
            LineErrorKind::InvalidHash(_) | LineErrorKind::HashTooLong => "the user cannot log in: ",
            LineErrorKind::Utf16
            | LineErrorKind::InvalidName(_)
            | LineErrorKind::HashWithoutName
            | LineErrorKind::BlankInsteadOfColon
            | LineErrorKind::MissingColon => "",
        };
        write!(f, "{}; {consequence}{}", self.message(), self.remedy())
    }
}

/// Diagnoses a line without a colon.
fn diagnose_without_colon(line: &[u8], allowed: AllowedFormats) -> LineErrorKind {
    let is_hash = |text: &[u8]| match HashFormat::diagnose(text, text, allowed) {
        Ok(_) => true,
        Err(error) => error.is_known_format() && error != HashFormatError::DesCrypt,
    };
    if is_hash(line) {
        return LineErrorKind::HashWithoutName;
    }
    if line.iter().any(u8::is_ascii_whitespace) {
        LineErrorKind::BlankInsteadOfColon
    } else {
        LineErrorKind::MissingColon
    }
}

/// Returns true if at least every other byte of a line is NUL, as in ASCII text that is encoded as UTF-16.
fn is_utf16(line: &[u8]) -> bool {
    let nuls = line.iter().filter(|b| **b == 0).count();
    line.len() >= 4 && 2 * nuls + 1 >= line.len() && nuls < line.len()
}
