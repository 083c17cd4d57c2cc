//! What is wrong with one line: the diagnosis that `check`, the log, `user verify`, `user list` and `explain` share.
//! It never holds text of the line, which may be a password.

use std::fmt;

use crate::authn::hash::{AllowedFormats, HashFormat, HashFormatError};
use crate::identity::UsernameError;

/// The longest hash, in bytes. The longest in use has about 130; nginx gives up at 4,096.
pub(super) const HASH_LENGTH_MAX: usize = 4096;

/// Why a line cannot be used, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HtpasswdLineError {
    kind: LineErrorKind,
    /// The bytes of the line, without blanks at its ends.
    line_length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineErrorKind {
    /// Every other byte is a NUL.
    Utf16,
    /// What stands before the colon can't be a name.
    InvalidName(UsernameError),
    /// No colon, and the whole line is a hash.
    HashWithoutName,
    /// No colon, and a blank that may stand in its place.
    BlankInsteadOfColon,
    /// No colon.
    MissingColon,
    /// More than [`HASH_MAX`].
    HashTooLong,
    /// What stands behind the colon.
    InvalidHash(HashFormatError),
}

impl HtpasswdLineError {
    /// A line whose name can't be one.
    pub(super) fn diagnose_name(line: &[u8], fault: UsernameError) -> Self {
        let kind = if is_utf16(line) { LineErrorKind::Utf16 } else { LineErrorKind::InvalidName(fault) };
        Self { kind, line_length: line.len() }
    }

    /// The same for a line whose name can be one, and whose hash can't be used. `line` has no blanks at its ends.
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

    /// Whether the line was understood, so that what stands before the colon is a name and can be told.
    pub fn is_name_loggable(self) -> bool {
        match self.kind {
            LineErrorKind::InvalidHash(fault) => fault.is_known_format(),
            LineErrorKind::Utf16
            | LineErrorKind::InvalidName(_)
            | LineErrorKind::HashWithoutName
            | LineErrorKind::BlankInsteadOfColon
            | LineErrorKind::MissingColon
            | LineErrorKind::HashTooLong => false,
        }
    }

    /// The bytes of the line.
    pub fn line_length(self) -> usize {
        self.line_length
    }

    /// What is wrong.
    pub fn message(self) -> String {
        let length = self.line_length;
        match self.kind {
            LineErrorKind::Utf16 => "the line is UTF-16".to_owned(),
            LineErrorKind::InvalidName(fault) => fault.to_string(),
            LineErrorKind::HashWithoutName => {
                format!("the line of {length} bytes is a hash without a user name")
            }
            LineErrorKind::BlankInsteadOfColon => {
                format!("the line of {length} bytes has no colon, perhaps a blank in its place")
            }
            LineErrorKind::MissingColon => {
                format!("the line of {length} bytes has no colon, perhaps it is a password alone")
            }
            LineErrorKind::HashTooLong => format!("the hash is longer than {HASH_LENGTH_MAX} bytes"),
            LineErrorKind::InvalidHash(HashFormatError::UnknownFormat) => {
                format!("{} (a line of {length} bytes)", HashFormatError::UnknownFormat)
            }
            LineErrorKind::InvalidHash(fault) => fault.to_string(),
        }
    }

    /// What to do.
    pub fn remedy(self) -> &'static str {
        match self.kind {
            LineErrorKind::Utf16 => "save the file as UTF-8",
            LineErrorKind::InvalidName(UsernameError::Empty)
            | LineErrorKind::HashWithoutName
            | LineErrorKind::BlankInsteadOfColon
            | LineErrorKind::MissingColon => "write NAME:HASH",
            LineErrorKind::InvalidName(_) => "no client is let in with it: remove the line",
            LineErrorKind::HashTooLong => HashFormatError::UnknownFormat.remedy(),
            LineErrorKind::InvalidHash(fault) => fault.remedy(),
        }
    }
}

/// What is wrong, what follows from it, and what to do.
impl fmt::Display for HtpasswdLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let follows = match self.kind {
            LineErrorKind::InvalidHash(_) | LineErrorKind::HashTooLong => "its user can't log in: ",
            LineErrorKind::Utf16
            | LineErrorKind::InvalidName(_)
            | LineErrorKind::HashWithoutName
            | LineErrorKind::BlankInsteadOfColon
            | LineErrorKind::MissingColon => "",
        };
        write!(f, "{}; {follows}{}", self.message(), self.remedy())
    }
}

/// A line without a colon.
fn diagnose_without_colon(line: &[u8], allowed: AllowedFormats) -> LineErrorKind {
    let is_hash = |text: &[u8]| match HashFormat::diagnose(text, text, allowed) {
        Ok(_) => true,
        Err(fault) => fault.is_known_format() && fault != HashFormatError::DesCrypt,
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

/// Whether at least every other byte of a line is a NUL, as in ASCII text that is written as UTF-16.
fn is_utf16(line: &[u8]) -> bool {
    let nuls = line.iter().filter(|b| **b == 0).count();
    line.len() >= 4 && 2 * nuls + 1 >= line.len() && nuls < line.len()
}
