//! What is wrong with one line: the diagnosis that `check`, the log, `user verify`, `user list` and `explain` share.
//! It never holds text of the line, which may be a password.

use std::fmt;

use crate::authn::hash::{Allowed, Format, FormatFault};
use crate::identity::UsernameError;

/// The longest hash, in bytes. The longest in use has about 130; nginx gives up at 4,096.
pub(super) const HASH_MAX: usize = 4096;

/// Why a line cannot be used, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFault {
    kind: Kind,
    /// The bytes of the line, without blanks at its ends.
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Every other byte is a NUL.
    Utf16,
    /// What stands before the colon can't be a name.
    Name(UsernameError),
    /// No colon, and the whole line is a hash.
    HashAlone,
    /// No colon, and a blank that may stand in its place.
    Blank,
    /// No colon.
    NoColon,
    /// More than [`HASH_MAX`].
    Long,
    /// What stands behind the colon.
    Hash(FormatFault),
}

impl LineFault {
    /// A line whose name can't be one.
    pub(super) fn name(line: &[u8], fault: UsernameError) -> Self {
        let kind = if is_utf16(line) { Kind::Utf16 } else { Kind::Name(fault) };
        Self { kind, length: line.len() }
    }

    /// The same for a line whose name can be one, and whose hash can't be used. `line` has no blanks at its ends.
    pub(super) fn hash(line: &[u8], allowed: Allowed) -> Option<Self> {
        let kind = match line.iter().position(|b| *b == b':') {
            _ if is_utf16(line) => Kind::Utf16,
            None => alone(line, allowed),
            Some(colon) => {
                let rest = line.get(colon + 1..).unwrap_or_default();
                let hash = rest.split(|b| *b == b':').next().unwrap_or_default();
                match hash.len() {
                    0..=HASH_MAX => Kind::Hash(Format::diagnose(hash, rest, allowed).err()?),
                    _ => Kind::Long,
                }
            }
        };
        Some(Self { kind, length: line.len() })
    }

    /// Whether the line was understood, so that what stands before the colon is a name and can be told.
    pub fn tells_name(self) -> bool {
        match self.kind {
            Kind::Hash(fault) => fault.is_of_a_format(),
            Kind::Utf16 | Kind::Name(_) | Kind::HashAlone | Kind::Blank | Kind::NoColon | Kind::Long => false,
        }
    }

    /// The bytes of the line.
    pub fn length(self) -> usize {
        self.length
    }

    /// What is wrong.
    pub fn what(self) -> String {
        let length = self.length;
        match self.kind {
            Kind::Utf16 => "the line is UTF-16".to_owned(),
            Kind::Name(fault) => fault.to_string(),
            Kind::HashAlone => format!("the line of {length} bytes is a hash without a user name"),
            Kind::Blank => format!("the line of {length} bytes has no colon, perhaps a blank in its place"),
            Kind::NoColon => {
                format!("the line of {length} bytes has no colon, perhaps it is a password alone")
            }
            Kind::Long => format!("the hash is longer than {HASH_MAX} bytes"),
            Kind::Hash(FormatFault::Unknown) => {
                format!("{} (a line of {length} bytes)", FormatFault::Unknown)
            }
            Kind::Hash(fault) => fault.to_string(),
        }
    }

    /// What to do.
    pub fn remedy(self) -> &'static str {
        match self.kind {
            Kind::Utf16 => "save the file as UTF-8",
            Kind::Name(UsernameError::Empty) | Kind::HashAlone | Kind::Blank | Kind::NoColon => {
                "write NAME:HASH"
            }
            Kind::Name(_) => "no client is let in with it: remove the line",
            Kind::Long => FormatFault::Unknown.remedy(),
            Kind::Hash(fault) => fault.remedy(),
        }
    }
}

/// What is wrong, what follows from it, and what to do.
impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let follows = match self.kind {
            Kind::Hash(_) | Kind::Long => "its user can't log in: ",
            Kind::Utf16 | Kind::Name(_) | Kind::HashAlone | Kind::Blank | Kind::NoColon => "",
        };
        write!(f, "{}; {follows}{}", self.what(), self.remedy())
    }
}

/// A line without a colon.
fn alone(line: &[u8], allowed: Allowed) -> Kind {
    let is_hash = |text: &[u8]| match Format::diagnose(text, text, allowed) {
        Ok(_) => true,
        Err(fault) => fault.is_of_a_format() && fault != FormatFault::Des,
    };
    if is_hash(line) {
        return Kind::HashAlone;
    }
    if line.iter().any(u8::is_ascii_whitespace) { Kind::Blank } else { Kind::NoColon }
}

/// Whether at least every other byte of a line is a NUL, as in ASCII text that is written as UTF-16.
fn is_utf16(line: &[u8]) -> bool {
    let nuls = line.iter().filter(|b| **b == 0).count();
    line.len() >= 4 && 2 * nuls + 1 >= line.len() && nuls < line.len()
}
