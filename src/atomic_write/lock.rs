//! The lock of a file that is being changed: another file beside it, which only those can open who may change the
//! folder. A lock on the folder or on the file itself could be held by everyone who may read it (flock(2)).

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, flock, fstat, openat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::FileWriteError;
use super::resolve::ResolvedPath;

/// How long to wait for another writer. One takes milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often to look whether it is done.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A lock that is held until it is dropped, or until the process ends. The file is removed with it; one that a
/// killed process left is taken over by the next.
#[derive(Debug)]
pub(super) struct FileLock {
    folder: OwnedFd,
    name: OsString,
    /// Its lock goes when it is closed.
    _file: OwnedFd,
}

impl FileLock {
    /// Waits for other writers of the file at `location`.
    pub(super) fn acquire(location: &ResolvedPath, given: &str) -> Result<Self, FileWriteError> {
        let system = |error: Errno| FileWriteError::Io(given.to_owned(), error.into());
        let name = lock_name(&location.name);
        let at = || location.folder_path.join(&name).display().to_string();
        let until = Instant::now() + LOCK_TIMEOUT;
        let folder = fstat(&location.folder).map_err(system)?;
        loop {
            let file = open_lock_file(location, &name).map_err(|error| match error {
                Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::ISDIR | Errno::NXIO
                    if matches!(location.stat(&name), Ok(Some(_))) =>
                {
                    FileWriteError::LockOwnedByOther(given.to_owned(), at())
                }
                error => system(error),
            })?;
            let stat = fstat(&file).map_err(system)?;
            let target = location.stat(&location.name).map_err(system)?;
            if !is_trusted_lock(&stat, &folder, target.as_ref()) {
                return Err(FileWriteError::LockOwnedByOther(given.to_owned(), at()));
            }
            set_lock_permissions(&file, &stat, &folder);
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let now = location.stat(&name).map_err(system)?;
                    // The one who had it before has removed the file with it.
                    if now.is_some_and(|now| (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino)) {
                        let folder = location.folder.try_clone();
                        let folder = folder.map_err(|error| FileWriteError::Io(given.to_owned(), error))?;
                        return Ok(Self { folder, name, _file: file });
                    }
                }
                Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_POLL_INTERVAL),
                Err(error) => return Err(system(error)),
            }
            if Instant::now() >= until {
                return Err(FileWriteError::LockTimeout(given.to_owned(), at()));
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While it is still held. If it can't be removed, it is an empty file that nobody holds.
        let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

fn lock_name(name: &OsStr) -> OsString {
    let mut lock = OsString::from(".");
    lock.push(name);
    lock.push(".doorward-lock");
    lock
}

fn open_lock_file(location: &ResolvedPath, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Without O_CREAT first: with it, Linux refuses files of others in folders like /tmp, for which there is a
    // better message.
    match openat(&location.folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => openat(&location.folder, name, flags | OFlags::CREATE, Mode::RUSR | Mode::WUSR),
        opened => opened,
    }
}

/// Returns whether a lock was made by somebody who may replace the file that is locked.
fn is_trusted_lock(lock: &Stat, folder: &Stat, target: Option<&Stat>) -> bool {
    let is_file = FileType::from_raw_mode(lock.st_mode) == FileType::RegularFile;
    let owners = [Some(0), Some(geteuid().as_raw()), Some(folder.st_uid), target.map(|target| target.st_uid)];
    is_file
        && (is_replaceable_by_others(folder, Mode::WGRP | Mode::WOTH) || owners.contains(&Some(lock.st_uid)))
}

/// Returns whether any of these may replace the files of others in a folder. With the sticky bit, none may.
fn is_replaceable_by_others(folder: &Stat, any: Mode) -> bool {
    let mode = Mode::from_raw_mode(folder.st_mode);
    mode.intersects(any) && !mode.contains(Mode::SVTX)
}

/// Has those open the lock who may change the folder, and nobody else. Should it outlive this process, they can
/// still take it.
fn set_lock_permissions(file: &OwnedFd, lock: &Stat, folder: &Stat) {
    let caller = geteuid();
    if lock.st_uid != caller.as_raw() {
        return;
    }
    let mut mode = Mode::RUSR | Mode::WUSR;
    let group = Gid::from_raw(folder.st_gid);
    if is_replaceable_by_others(folder, Mode::WGRP) && fchown(file, None, Some(group)).is_ok() {
        mode |= Mode::RGRP | Mode::WGRP;
    }
    if is_replaceable_by_others(folder, Mode::WOTH) {
        mode |= Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
    }
    // If one of these fails, others can't take it before it is removed.
    let _ = fchmod(file, mode);
    if caller.is_root() {
        let _ = fchown(file, Some(Uid::from_raw(folder.st_uid)), None);
    }
}
