//! What makes an htpasswd file out of a text, and why one can't be used.

use super::file::{Fault, Parsed, Rules, parse};
use crate::reload::{ReadFault, Source, foreign};

/// What is said of a file without users, in the log, by `check` and on `/readyz`. It is in force like any other.
pub const EMPTIED: &str = "the htpasswd file has no users, so it admits nobody";

/// The line by which a file says itself that it has no users; `user remove` leaves it behind the last one.
pub const NONE_LINE: &[u8] = b"# no users";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// There is nothing at that path.
    #[error("{0}: there is no such file; make it with: htpasswd -B -c {file} NAME", file = for_a_command(.0))]
    Missing(String),
    /// More than the bound.
    #[error("{0}: it has more than {1} bytes (htpasswd_max_bytes)")]
    TooLarge(String, u64),
    /// It can't be read for another reason.
    #[error(transparent)]
    Unreadable(ReadFault),
    /// Something else than lines.
    #[error("{0}: it is no htpasswd file but {1}")]
    Foreign(String, &'static str),
    /// Lines, but none that can be used.
    #[error("{0}:{1} (none of its lines can be used)")]
    NothingUsable(String, Fault),
}

impl From<ReadFault> for FileFault {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Missing(name) => Self::Missing(name),
            ReadFault::TooLarge(name, most) => Self::TooLarge(name, most),
            other => Self::Unreadable(other),
        }
    }
}

impl FileFault {
    /// A phrase for the body of `/readyz`, which must not tell where the file is.
    pub(super) fn phrase(&self) -> &'static str {
        match self {
            Self::Missing(_) => "the htpasswd file is gone",
            Self::Unreadable(_) => "the htpasswd file can't be read",
            Self::TooLarge(..) => "the htpasswd file is too large",
            Self::NothingUsable(..) | Self::Foreign(..) => "the htpasswd file can't be used",
        }
    }
}

/// A path as an argument of a command.
fn for_a_command(name: &str) -> &str {
    if name.contains(' ') { "FILE" } else { name }
}

/// Parses what was read. A file with lines of which none can be used is a fault; one without users is none, and
/// admits nobody.
pub fn usable(source: &Source, text: Vec<u8>, rules: &Rules) -> Result<Parsed, FileFault> {
    let other = foreign::not_lines(&text);
    let parsed = parse(text, rules);
    let users = &parsed.users;
    match parsed.faults.iter().find(|fault| fault.costs_the_line) {
        Some(_) if users.len() == users.bad_lines() && other.is_some() => {
            Err(FileFault::Foreign(source.name(), other.unwrap_or_default()))
        }
        Some(first) if users.len() == users.bad_lines() => {
            Err(FileFault::NothingUsable(source.name(), first.clone()))
        }
        _ => Ok(parsed),
    }
}
