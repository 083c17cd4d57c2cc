//! Replacing an htpasswd file whole: a reader sees the old one or the new one, at any moment, also
//! after a crash; and of several writers each sees what the one before it wrote.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// How long to wait for another writer. One takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How often to look whether it is done.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The mode of a file that was not there: passwords' hashes are not for everybody.
const NEW_MODE: u32 = 0o640;

/// Why a file was not changed. It is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    /// There is no such file, and none was to be made.
    #[error("{0}: there is no such file; add --create to make it")]
    Missing(String),
    /// Another writer does not come to an end.
    #[error("{0}: somebody else has been changing it for 10 s; try again")]
    Locked(String),
    /// The file is a mount of its own, as a container has it, and can't be replaced by renaming.
    #[error(
        "{0}: it is mounted as a single file, and can't be replaced; change it where it is mounted from, or mount its folder"
    )]
    Mounted(String),
    /// Anything else.
    #[error("{0}: it can't be changed: {1}")]
    System(String, io::Error),
}

/// The one who may change the file, until it is dropped.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    folder: PathBuf,
    text: Vec<u8>,
    /// Its lock goes when it is closed, also by the end of the process.
    lock: File,
}

impl Writer {
    /// Waits for other writers, and reads the file. With `create`, a missing file is an empty one.
    pub fn open(path: &Path, create: bool) -> Result<Self, WriteFault> {
        let name = path.display().to_string();
        let system = |error| WriteFault::System(name.clone(), error);
        // A link stays a link; what it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => return Err(system(io::Error::from(io::ErrorKind::IsADirectory))),
        };
        // The folder is locked and not the file, which is another one after every change.
        let lock = File::open(&folder).map_err(system)?;
        acquire(&lock, &name)?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(WriteFault::Missing(name)),
            Err(error) => return Err(system(error)),
        };
        Ok(Self { path, folder, text, lock })
    }

    /// The text as it is.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Puts another text in its place, with the mode and the owner of the old one.
    pub fn replace(self, text: &[u8]) -> Result<(), WriteFault> {
        let name = self.path.display().to_string();
        let file_name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // One name for all: the lock is held, and what a killed writer left is overwritten.
        let new = self.folder.join(format!(".{file_name}.doorward-new"));
        let written = self.write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        match written {
            Ok(()) => {
                // The change is done; that it outlives a power cut is more than was promised.
                let _ = self.lock.sync_all();
                Ok(())
            }
            Err(error) => {
                // The old file is untouched, and the next writer overwrites this one.
                let _ = fs::remove_file(&new);
                Err(match error.kind() {
                    io::ErrorKind::ResourceBusy => WriteFault::Mounted(name),
                    _ => WriteFault::System(name, error),
                })
            }
        }
    }

    fn write(&self, new: &Path, text: &[u8]) -> io::Result<()> {
        let old = fs::metadata(&self.path).ok();
        // Whoever may write to the folder could have put a link there.
        if fs::symlink_metadata(new).is_ok() {
            fs::remove_file(new)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.write_all(text)?;
        if let Some(old) = &old {
            let ours = file.metadata()?;
            if (ours.uid(), ours.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        } else if let Ok(folder) = fs::metadata(&self.folder) {
            // Root in a container makes it for whoever's folder it is. Nobody else may give files away,
            // and need not.
            let _ = fchown(&file, Some(folder.uid()), None);
        }
        let mode = old.map_or(NEW_MODE, |old| old.permissions().mode() & 0o7777);
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()
    }
}

fn acquire(lock: &File, name: &str) -> Result<(), WriteFault> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(error) if error != rustix::io::Errno::WOULDBLOCK => {
                return Err(WriteFault::System(name.to_owned(), error.into()));
            }
            Err(_) if Instant::now() >= until => return Err(WriteFault::Locked(name.to_owned())),
            Err(_) => thread::sleep(LOCK_POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("users"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let writer = Writer::open(&link, false).unwrap();
        assert_eq!(writer.text(), b"old");
        writer.replace(b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o604);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_missing_file_is_made_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        assert!(matches!(Writer::open(&path, false), Err(WriteFault::Missing(_))));
        Writer::open(&path, true).unwrap().replace(b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_a_killed_writer_left_is_no_obstacle_and_a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("users"), folder.path().join("victim"));
        fs::write(&path, "old").unwrap();
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join(".users.doorward-new")).unwrap();
        Writer::open(&path, false).unwrap().replace(b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn writers_wait_for_each_other_and_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, "").unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let writer = Writer::open(&path, false).unwrap();
                    let text = [writer.text(), b"x"].concat();
                    writer.replace(&text).unwrap();
                });
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"xxxxxxxx");
    }
}
