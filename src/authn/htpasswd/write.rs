//! Replacing an htpasswd file whole: a reader sees the old one or the new one, at any moment, also
//! after a crash; and of several writers each sees what the one before it wrote.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

/// How long to wait for another writer. One takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How often to look whether it is done.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The mode of a file that was not there, unless another is wanted: passwords' hashes are not for everybody.
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
    /// Cleared when it goes: it may be one of secrets.
    text: Zeroizing<Vec<u8>>,
    is_new: bool,
    new_mode: u32,
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
        let (text, is_new) = match fs::read(&path) {
            Ok(text) => (text, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => (Vec::new(), true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(WriteFault::Missing(name)),
            Err(error) => return Err(system(error)),
        };
        Ok(Self { path, folder, text: Zeroizing::new(text), is_new, new_mode: NEW_MODE, lock })
    }

    /// With another mode for a file that was not there.
    pub fn with_new_mode(self, new_mode: u32) -> Self {
        Self { new_mode, ..self }
    }

    /// Whether there was no file.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The folder that it stands in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The text as it is.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Puts another text in its place, with the mode and the owner of the old one.
    pub fn replace(self, text: &[u8]) -> Result<(), WriteFault> {
        self.put(&self.path, text, self.new_mode)
    }

    /// The same for another file of the folder, under the same lock; with this mode if it is not there.
    pub fn put_beside(&self, file_name: &str, text: &[u8], new_mode: u32) -> Result<(), WriteFault> {
        self.put(&self.folder.join(file_name), text, new_mode)
    }

    fn put(&self, path: &Path, text: &[u8], new_mode: u32) -> Result<(), WriteFault> {
        let name = path.display().to_string();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        // One name for all: the lock is held, and what a killed writer left is overwritten.
        let new = self.folder.join(format!(".{file_name}.doorward-new"));
        let written = self.write(&new, path, text, new_mode).and_then(|()| fs::rename(&new, path));
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

    fn write(&self, new: &Path, path: &Path, text: &[u8], new_mode: u32) -> io::Result<()> {
        let old = fs::metadata(path).ok();
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
        let mode = old.map_or(new_mode, |old| old.permissions().mode() & 0o7777);
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
    fn a_file_beside_it_is_put_there_under_the_same_lock_and_each_has_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        let writer = Writer::open(&path, true).unwrap().with_new_mode(0o600);
        assert!(writer.is_new());
        writer.put_beside("public", b"one", 0o644).unwrap();
        writer.replace(b"x").unwrap();
        assert_eq!((mode("keys"), mode("public")), (0o600, 0o644));
        fs::set_permissions(folder.path().join("public"), fs::Permissions::from_mode(0o640)).unwrap();
        let writer = Writer::open(&path, true).unwrap();
        assert!(!writer.is_new());
        writer.put_beside("public", b"two", 0o644).unwrap();
        assert_eq!(
            (mode("public"), fs::read(folder.path().join("public")).unwrap()),
            (0o640, b"two".to_vec())
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
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
