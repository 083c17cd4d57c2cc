//! The lock of a file that a command changes.
//!
//! The lock is a file in the same folder, which can be opened only by users that can change the folder. A lock on the
//! folder or on the file itself could be held by any user that can read it (flock(2)).

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

/// Timeout for a lock that another writer holds. A writer holds it for milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval between attempts to take the lock.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A lock that is held until it is dropped, or until the process ends. Dropping it removes the lock file. The next writer
/// uses the lock file that a killed process left.
#[derive(Debug)]
pub(super) struct FileLock {
    folder: OwnedFd,
    name: OsString,
    /// The open lock file. Closing it releases the lock.
    _file: OwnedFd,
}

impl FileLock {
    /// Waits for other writers of the file at `location`, and takes the lock. `display_path` is the path for errors.
    pub(super) fn acquire(location: &ResolvedPath, display_path: &str) -> Result<Self, FileWriteError> {
        let io_error = |error: Errno| FileWriteError::Io(display_path.to_owned(), error.into());
        let name = lock_name(&location.name);
        let lock_path = || location.folder_path.join(&name).display().to_string();
        let deadline = Instant::now() + LOCK_TIMEOUT;
        let folder = fstat(&location.folder).map_err(io_error)?;
        loop {
            let file = open_lock_file(location, &name).map_err(|error| match error {
                Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::ISDIR | Errno::NXIO
                    if matches!(location.stat(&name), Ok(Some(_))) =>
                {
                    FileWriteError::LockOwnedByOther(display_path.to_owned(), lock_path())
                }
                error => io_error(error),
            })?;
            let stat = fstat(&file).map_err(io_error)?;
            let target = location.stat(&location.name).map_err(io_error)?;
            if !is_trusted_lock(&stat, &folder, target.as_ref()) {
                return Err(FileWriteError::LockOwnedByOther(display_path.to_owned(), lock_path()));
            }
            set_lock_permissions(&file, &stat, &folder);
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let now = location.stat(&name).map_err(io_error)?;
                    // The previous holder may have removed this lock file, so that it is no longer the lock.
                    if now.is_some_and(|now| (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino)) {
                        let folder = location.folder.try_clone();
                        let folder =
                            folder.map_err(|error| FileWriteError::Io(display_path.to_owned(), error))?;
                        return Ok(Self { folder, name, _file: file });
                    }
                }
                Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_POLL_INTERVAL),
                Err(error) => return Err(io_error(error)),
            }
            if Instant::now() >= deadline {
                return Err(FileWriteError::LockTimeout(display_path.to_owned(), lock_path()));
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // The file is removed while the lock is held. If this fails, an unlocked empty file remains.
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
    // The first attempt is without O_CREAT. With it, Linux denies access to files of other users in folders like /tmp,
    // for which doorward has a better error.
    match openat(&location.folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => openat(&location.folder, name, flags | OFlags::CREATE, Mode::RUSR | Mode::WUSR),
        opened => opened,
    }
}

/// Returns true if the lock file was created by a user that can replace the locked file.
fn is_trusted_lock(lock: &Stat, folder: &Stat, target: Option<&Stat>) -> bool {
    let is_file = FileType::from_raw_mode(lock.st_mode) == FileType::RegularFile;
    let owners = [Some(0), Some(geteuid().as_raw()), Some(folder.st_uid), target.map(|target| target.st_uid)];
    is_file
        && (is_replaceable_by_others(folder, Mode::WGRP | Mode::WOTH) || owners.contains(&Some(lock.st_uid)))
}

/// Returns true if a folder has one of the write permissions and no sticky bit, which stops users from replacing files of
/// other users.
fn is_replaceable_by_others(folder: &Stat, write_permissions: Mode) -> bool {
    let mode = Mode::from_raw_mode(folder.st_mode);
    mode.intersects(write_permissions) && !mode.contains(Mode::SVTX)
}

/// Permits only users that can change the folder to open the lock file. If the lock file outlives this process, they can
/// still take the lock.
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
    // If one of these calls fails, other users cannot take the lock until the lock file is removed.
    let _ = fchmod(file, mode);
    if caller.is_root() {
        let _ = fchown(file, Some(Uid::from_raw(folder.st_uid)), None);
    }
}
