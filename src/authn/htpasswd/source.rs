//! Reading the htpasswd file from disk: where it is, what may be read, and why it can't be used.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::file::{Fault, Parsed, Rules, parse};

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// There is nothing at that path.
    #[error("{0}: there is no such file; make it with: htpasswd -B -c {0} NAME")]
    Missing(String),
    /// Something else than a file.
    #[error("{0}: it is {1}, and not a file")]
    NotAFile(String, &'static str),
    /// The system refused to read it.
    #[error("{0}: can't be read: {1}; the user that doorward runs as needs to read it")]
    Unreadable(String, io::Error),
    /// More than the bound.
    #[error("{0}: it has more than {1} bytes (htpasswd_max_bytes)")]
    TooLarge(String, u64),
    /// No user in it.
    #[error("{0}: it has no users; add one with: htpasswd -B {0} NAME")]
    NoUsers(String),
    /// Lines, but none that can be used.
    #[error("{0}:{1} (none of its lines can be used)")]
    NothingUsable(String, Fault),
}

impl FileFault {
    /// A phrase for the body of `/readyz`, which must not tell where the file is.
    pub(super) fn phrase(&self) -> &'static str {
        match self {
            Self::Missing(_) => "the htpasswd file is gone",
            Self::NotAFile(..) | Self::Unreadable(..) => "the htpasswd file can't be read",
            Self::TooLarge(..) => "the htpasswd file is too large",
            Self::NoUsers(_) | Self::NothingUsable(..) => "the htpasswd file can't be used",
        }
    }
}

/// Where the file is, and how much of it may be read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, as it was set.
    pub path: PathBuf,
    /// The most bytes it may have.
    pub max_bytes: u64,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        let m = fs::metadata(&self.path).ok()?;
        Some(Stamp {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        })
    }

    /// Reads the whole file. It is looked at before it is opened, since opening a pipe would wait.
    pub fn read(&self) -> Result<Vec<u8>, FileFault> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => FileFault::Missing(self.name()),
            _ => FileFault::Unreadable(self.name(), error),
        };
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(FileFault::NotAFile(self.name(), "a directory"));
        }
        if !metadata.is_file() {
            return Err(FileFault::NotAFile(self.name(), "a device, a pipe or a socket"));
        }
        let too_large = || FileFault::TooLarge(self.name(), self.max_bytes);
        if metadata.len() > self.max_bytes {
            return Err(too_large());
        }
        let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        let file = fs::File::open(&self.path).map_err(unreadable)?;
        file.take(self.max_bytes + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > self.max_bytes { Err(too_large()) } else { Ok(text) }
    }

    /// Parses what was read; a file without a single usable line is a fault.
    pub fn parse(&self, text: Vec<u8>, rules: &Rules) -> Result<Parsed, FileFault> {
        let parsed = parse(text, rules);
        let users = &parsed.users;
        match parsed.faults.iter().find(|fault| fault.costs_the_line) {
            Some(first) if users.len() == users.bad_lines() => {
                Err(FileFault::NothingUsable(self.name(), first.clone()))
            }
            None if users.is_empty() => Err(FileFault::NoUsers(self.name())),
            _ => Ok(parsed),
        }
    }
}
