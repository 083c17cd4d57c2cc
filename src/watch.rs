//! Watching a file that may be edited while it is read, without ever losing what was good.
//!
//! A look each second compares the file's stamp (device, inode, size, modification and change
//! time), and once a minute its content, for file systems whose stamps lie. New content is handed out
//! when two reads agree, so that a half-written file is not. Whoever gets it says what became of it;
//! until then, and if it was no good, what was in force stays in force.

mod run;
pub mod standing;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

pub use self::run::{LookNow, Reload, run};
pub use self::standing::Freshness;
use crate::clock::Moment;

/// Between the two reads that have to agree: longer than a tool that writes in place needs between
/// two writes, and too short for the author to notice.
pub const SETTLE: Duration = Duration::from_millis(200);

/// How often a file that changes all the time is waited for at the start; then it is taken as it is.
const SETTLE_TRIES: usize = 10;

/// How often the content is compared even though the stamp is the same.
pub(crate) const COMPARE_EVERY: Duration = Duration::from_secs(60);

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// There is nothing at that path.
    #[error("{0}: there is no such file")]
    Missing(String),
    /// Something else than a file.
    #[error("{0}: it is {1}, and not a file")]
    NotAFile(String, &'static str),
    /// The system refused to read it.
    #[error("{0}: can't be read: {1}; the user that doorward runs as needs to read it")]
    Unreadable(String, io::Error),
    /// More than the bound.
    #[error("{0}: it has more than {1} bytes")]
    TooLarge(String, u64),
}

/// Where a file is, and how much of it may be read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, as it was set.
    pub path: PathBuf,
    /// The most bytes it may have.
    pub max_bytes: u64,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Source {
    /// Its path, for messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn stamp(&self) -> Option<Stamp> {
        let m = fs::metadata(&self.path).ok()?;
        Some(Stamp {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        })
    }

    /// Whether it was written less than [`SETTLE`] ago, or at a time to come.
    fn is_fresh(&self) -> bool {
        let modified = fs::metadata(&self.path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|at| at.elapsed().map_or(true, |age| age < SETTLE))
    }

    /// Reads the whole file. It is looked at before it is opened, since opening a pipe would wait.
    pub fn read(&self) -> Result<Vec<u8>, ReadFault> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ReadFault::Missing(self.name()),
            _ => ReadFault::Unreadable(self.name(), error),
        };
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(ReadFault::NotAFile(self.name(), "a directory"));
        }
        if !metadata.is_file() {
            return Err(ReadFault::NotAFile(self.name(), "a device, a pipe or a socket"));
        }
        let too_large = || ReadFault::TooLarge(self.name(), self.max_bytes);
        if metadata.len() > self.max_bytes {
            return Err(too_large());
        }
        let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        let file = fs::File::open(&self.path).map_err(unreadable)?;
        file.take(self.max_bytes + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > self.max_bytes { Err(too_large()) } else { Ok(text) }
    }
}

/// What a look found.
#[derive(Debug)]
pub enum Seen {
    /// Nothing that was not known, or nothing yet that two reads agree on.
    Nothing,
    /// What is in force; it may have been otherwise in between.
    InForce,
    /// Other content, which has been the same for so long. It is handed out again at each look, until
    /// [`Watch::taken`] or [`Watch::passed_over`] is said of it.
    New(Vec<u8>, Duration),
    /// It can't be read.
    Fault(ReadFault),
}

/// Watches one file; see the top of this file.
#[derive(Debug)]
pub struct Watch {
    source: Source,
    stamp: Option<Stamp>,
    in_force: blake3::Hash,
    compared: Moment,
    candidate: Option<Candidate>,
    /// How many looks in a row found another file there, which somebody put in place whole.
    replaced: usize,
}

#[derive(Debug)]
struct Candidate {
    hash: blake3::Hash,
    since: Moment,
    stamp: Option<Stamp>,
}

impl Watch {
    /// Reads the file for the first time. What it returns counts as in force.
    pub fn start(source: Source, now: Moment) -> Result<(Self, Vec<u8>), ReadFault> {
        let stamp = source.stamp();
        let text = source.read()?;
        let in_force = blake3::hash(&text);
        let watch = Self { source, stamp, in_force, compared: now, candidate: None, replaced: 0 };
        Ok((watch, text))
    }

    /// The same for a file that must not be taken by half even at the start, when there is nothing to go
    /// on with: what was written a moment ago has to be the same a moment later. `pause` lets [`SETTLE`]
    /// go by.
    pub fn start_settled(
        source: Source,
        now: Moment,
        mut pause: impl FnMut(),
    ) -> Result<(Self, Vec<u8>), ReadFault> {
        let mut started = Self::start(source, now)?;
        for _ in 0..SETTLE_TRIES {
            if !started.0.source.is_fresh() {
                break;
            }
            pause();
            let again = Self::start(started.0.source.clone(), now)?;
            let same = again.0.in_force == started.0.in_force;
            started = again;
            if same {
                break;
            }
        }
        Ok(started)
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether there is content that a second read has to agree with, soon.
    pub fn is_settling(&self) -> bool {
        self.candidate.is_some()
    }

    /// One look at the file. `forced` reads it even if its stamp is the one known.
    pub fn look(&mut self, now: Moment, forced: bool) -> Seen {
        let stamp = self.source.stamp();
        let due = now.since(self.compared) >= COMPARE_EVERY;
        if !forced && !due && stamp == self.stamp && self.candidate.is_none() {
            return Seen::Nothing;
        }
        self.compared = now;
        match self.source.read() {
            Ok(text) => self.consider(text, stamp, now),
            Err(fault) => {
                self.candidate = None;
                // Nothing was read, so the next look must not take this state for a known one.
                self.stamp = None;
                Seen::Fault(fault)
            }
        }
    }

    fn consider(&mut self, text: Vec<u8>, stamp: Option<Stamp>, now: Moment) -> Seen {
        let hash = blake3::hash(&text);
        if hash == self.in_force {
            self.candidate = None;
            self.replaced = 0;
            self.stamp = stamp;
            return Seen::InForce;
        }
        let since = match &self.candidate {
            Some(candidate) if candidate.hash == hash => candidate.since,
            Some(candidate) => {
                let inode = |stamp: Option<Stamp>| stamp.map(|stamp| (stamp.device, stamp.inode));
                self.replaced = if inode(candidate.stamp) == inode(stamp) { 0 } else { self.replaced + 1 };
                now
            }
            None => now,
        };
        self.candidate = Some(Candidate { hash, since, stamp });
        let age = now.since(since);
        // Nothing would ever come into force of a file that is replaced all the time.
        let restless = self.replaced >= SETTLE_TRIES;
        if age < SETTLE && !restless { Seen::Nothing } else { Seen::New(text, age) }
    }

    /// Has the file's stamp taken for the one known, as where stamps lie.
    #[cfg(test)]
    pub(crate) fn believe(&mut self) {
        self.stamp = self.source.stamp();
    }

    /// To have reads fail.
    #[cfg(test)]
    pub(crate) fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }

    /// What was handed out is in force now.
    pub fn taken(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.stamp = candidate.stamp;
            self.in_force = candidate.hash;
            self.replaced = 0;
        }
    }

    /// What was handed out is no good, and is not to be looked at again before it changes.
    pub fn passed_over(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.stamp = candidate.stamp;
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
