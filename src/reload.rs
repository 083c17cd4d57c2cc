//! Detection of changed files, and activation of their content, while other programs write the files.
//!
//! A change is active within [`RELOAD_DELAY_MAX`] of its first write, or the log and `/readyz` report that it is not.
//!
//! # Detection
//!
//! Each poll compares the stamp of the file: device, inode, size, modification time and change time. A stamp that was
//! equal for longer than the coarsest clock tick of a file system is trusted. The content of a file with a trusted stamp
//! is compared only once a minute.
//!
//! # Half-written files
//!
//! New content is offered after it was equal for [`watched_file::STABLE_TIME`], so that a half-written file is not used. For a file
//! that never stays equal there is a deadline, counted from the last poll that found the file unchanged:
//! - If whole lines may be used, the required time decreases as the deadline approaches.
//! - A file that was replaced by another file, and not written to after it was read, was complete when it was read.
//! - At the deadline, the whole lines of some kinds of files are used ([`UnstableFileMode`]).
//!
//! The caller that receives new content reports whether it is valid. Until then, and if it is invalid, the active
//! content stays active.

pub(crate) mod mount;
mod poller;
mod read_access;
pub(crate) mod reload_state;
pub(crate) mod reloader;
mod source;
pub(crate) mod utf8_bom;
mod watched_file;
pub(crate) mod wrong_format;

use std::time::Duration;

pub(crate) use self::poller::{PollFile, PollNow, ReloadHandle, spawn_poll_threads};
pub(crate) use self::reload_state::FileHealth;
pub(crate) use self::reloader::{FileReloader, ReloadEvent, Reloadable};
pub(crate) use self::source::{ReadError, SourceFile, displayable_path};
#[cfg(test)]
pub(crate) use self::watched_file::{COMPARE_INTERVAL, STABLE_TIME};
pub(crate) use self::watched_file::{
    NewContent, PollResult, UnstableFileMode, WatchedFile, is_unexpectedly_empty, read_stable,
};

/// Maximum time from the first write of a change until it is active, or is reported as not active.
pub(crate) const RELOAD_DELAY_MAX: Duration = Duration::from_secs(2);
