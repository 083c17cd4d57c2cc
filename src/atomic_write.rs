//! Replacing an htpasswd file whole: a reader sees the old one or the new one, at any moment, also
//! after a crash; and of several writers each sees what the one before it wrote.

mod lock;
mod resolve;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, fchmod, fchown, fstat, linkat, openat,
    readlinkat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use zeroize::Zeroizing;

use self::lock::FileLock;
use self::resolve::{ResolvedPath, resolve_path};
use crate::reload::displayable_path;
use crate::reload::mount::find_unmounted_folder;

/// The mode of a file that was not there, unless another is wanted: passwords' hashes are not for everybody.
const NEW_MODE: u32 = 0o640;

/// The most bytes of a file that is changed: as many as the service can be set to read.
const FILE_SIZE_MAX: u64 = 1 << 31;

/// Why a file was not changed. It is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum FileWriteError {
    /// There is no such file, and none was to be made.
    #[error("{0}: there is no such file; add --create to make it")]
    Missing(String),
    /// A link to nothing. What it leads to is not made: a share may not be mounted yet.
    #[error(
        "{path}: {link} is a link to {target}, where there is nothing, and nothing is made in its place; make or mount what it leads to, or remove the link"
    )]
    DanglingLink {
        /// The path that was given.
        path: String,
        /// The link.
        link: String,
        /// Where it leads.
        target: String,
    },
    /// The folder of the file is missing. It is not made: a share may not be mounted yet.
    #[error("{0}: there is no folder {1}; mount what it is on, or make it with: mkdir -p {1}")]
    FolderMissing(String, String),
    /// The folder is on what fstab says should be mounted, and is not.
    #[error("{0}: {1} is a mount point by /etc/fstab and nothing is mounted there; mount it first")]
    NotMounted(String, String),
    /// What stands in the place of another file that is generated.
    #[error("{0}: it is {1}, and is not replaced; remove it, or move it away")]
    TargetOccupied(String, String),
    /// A link that somebody else could have put there.
    #[error(
        "{path}: {link} is a link of the user {owner_uid}, and neither yours nor root's, so it is not followed; it leads to {target}. Name that file itself"
    )]
    LinkOwnedByOther {
        /// The path that was given.
        path: String,
        /// The link.
        link: String,
        /// The user that it belongs to.
        owner_uid: u32,
        /// Where it leads.
        target: String,
    },
    /// Something else than a file.
    #[error("{0}: it is {1}, and not a file")]
    NotARegularFile(String, &'static str),
    /// More than `FILE_MAX`.
    #[error("{0}: it is larger than 2 GiB")]
    TooLarge(String),
    /// Another writer does not come to an end.
    #[error("{0}: somebody else has been changing it for 10 s; try again (the lock is {1})")]
    LockTimeout(String, String),
    /// What should be a lock is something of another user's.
    #[error("{0}: {1}, the lock of those who change it, belongs to another user or is no file; remove it")]
    LockOwnedByOther(String, String),
    /// Somebody who takes no lock changed it in between.
    #[error("{0}: another program changed it at the same time; nothing was changed, try again")]
    ChangedConcurrently(String),
    /// The file is a mount of its own, as a container has it, and can't be replaced by renaming.
    #[error(
        "{0}: it is mounted as a single file, and can't be replaced; change it where it is mounted from, or mount its folder"
    )]
    MountedAsSingleFile(String),
    /// Anything else.
    #[error("{0}: it can't be changed: {1}")]
    Io(String, io::Error),
}

/// The one who may change the file, until it is dropped.
#[derive(Debug)]
pub struct AtomicFileWriter {
    location: ResolvedPath,
    /// Cleared when it goes: it may be one of secrets.
    text: Zeroizing<Vec<u8>>,
    /// What was read; `None` if there was no file.
    original_stat: Option<Stat>,
    new_mode: u32,
    _lock: FileLock,
}

impl AtomicFileWriter {
    /// Waits for other writers, and reads the file. With `create`, a missing file is an empty one.
    ///
    /// # Errors
    /// Why it can't be changed.
    pub fn open(path: &Path, create: bool) -> Result<Self, FileWriteError> {
        let name = displayable_path(path);
        // A link stays a link; what it points to is replaced.
        let location = resolve_path(path)?;
        // Before there is a lock, so that a name that is wrong leaves nothing behind.
        let there =
            location.stat(&location.name).map_err(|error| FileWriteError::Io(name.clone(), error.into()))?;
        match there {
            Some(stat) => check_file_type(&name, &stat)?,
            None => {
                if let Some(link) = &location.link {
                    return Err(link.dangling_error(name));
                }
                if let Some(point) = find_unmounted_folder(&absolute_path(&location.path())) {
                    return Err(FileWriteError::NotMounted(name, point.display().to_string()));
                }
                if !create {
                    return Err(FileWriteError::Missing(name));
                }
            }
        }
        let lock = FileLock::acquire(&location, &name)?;
        // What a killed writer left.
        remove_if_present(&location, &temporary_name(&location.name));
        let (text, old) = match read_file(&location, &name)? {
            Some(old) => (old.text, Some(old.stat)),
            None if create => (Zeroizing::default(), None),
            None => return Err(FileWriteError::Missing(name)),
        };
        Ok(Self { location, text, original_stat: old, new_mode: NEW_MODE, _lock: lock })
    }

    /// With another mode for a file that was not there.
    #[must_use]
    pub fn with_new_mode(self, new_mode: u32) -> Self {
        Self { new_mode, ..self }
    }

    /// Whether there was no file.
    pub fn is_new(&self) -> bool {
        self.original_stat.is_none()
    }

    /// The folder that it stands in.
    pub fn folder(&self) -> &Path {
        &self.location.folder_path
    }

    /// The file that is changed, if the path that was given is a link.
    pub fn link_target(&self) -> Option<PathBuf> {
        self.location.link.as_ref().map(|_| self.location.path())
    }

    /// The text as it is.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Puts another text in its place, with the mode and the owner of the old one.
    ///
    /// # Errors
    /// Why it is as it was.
    pub fn replace(self, text: &[u8]) -> Result<(), FileWriteError> {
        self.write_and_rename(&self.location.name, text, self.original_stat.as_ref(), self.new_mode, true)
    }

    /// The same for another file of the folder, under the same lock; with this mode if it is not there.
    ///
    /// # Errors
    /// Why it is as it was.
    pub fn write_sibling(&self, file_name: &str, text: &[u8], new_mode: u32) -> Result<(), FileWriteError> {
        let name = OsStr::new(file_name);
        let at = || self.location.folder_path.join(name).display().to_string();
        let old = self.location.stat(name).map_err(|error| FileWriteError::Io(at(), error.into()))?;
        self.check_sibling(file_name)?;
        self.write_and_rename(name, text, old.as_ref(), new_mode, false)
    }

    /// Whether another file of the folder can be put there: nothing but a file of the same name is replaced.
    ///
    /// # Errors
    /// There is something else.
    pub fn check_sibling(&self, file_name: &str) -> Result<(), FileWriteError> {
        let name = OsStr::new(file_name);
        let at = || self.location.folder_path.join(name).display().to_string();
        let there = self.location.stat(name).map_err(|error| FileWriteError::Io(at(), error.into()))?;
        let what = match there.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None | Some(FileType::RegularFile) => return Ok(()),
            Some(FileType::Directory) => "a directory".to_owned(),
            Some(FileType::Symlink) => match readlinkat(&self.location.folder, name, Vec::new()) {
                Ok(target) => format!("a link to {}", target.to_string_lossy()),
                Err(_) => "a link".to_owned(),
            },
            Some(_) => "a device, a pipe or a socket".to_owned(),
        };
        Err(FileWriteError::TargetOccupied(at(), what))
    }

    fn write_and_rename(
        &self,
        name: &OsStr,
        text: &[u8],
        old: Option<&Stat>,
        new_mode: u32,
        unchanged: bool,
    ) -> Result<(), FileWriteError> {
        let at = self.location.folder_path.join(name).display().to_string();
        // One name for every file that is written under this lock, so that the next writer finds what is left of any.
        let new = temporary_name(&self.location.name);
        remove_if_present(&self.location, &new);
        let written = self.write_temporary(&new, text, old, new_mode).and_then(|()| {
            let same = |now: Option<Stat>| match (old, now) {
                (Some(old), Some(now)) => is_unchanged(old, &now),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if unchanged && !same(self.location.stat(name)?) {
                return Ok(false);
            }
            self.rename_into_place(&new, name, old.is_none())
        });
        match written {
            Ok(true) => {
                // The change is done; that it outlives a power cut is more than was promised.
                self.sync_folder();
                Ok(())
            }
            Ok(false) => {
                remove_if_present(&self.location, &new);
                Err(FileWriteError::ChangedConcurrently(at))
            }
            Err(error) => {
                // The old file is untouched.
                remove_if_present(&self.location, &new);
                Err(match error.kind() {
                    io::ErrorKind::ResourceBusy => FileWriteError::MountedAsSingleFile(at),
                    _ => FileWriteError::Io(at, error),
                })
            }
        }
    }

    /// Gives the new file its name. If nothing had that name, it does not take the place of what came there since;
    /// then it is `false`.
    fn rename_into_place(&self, new: &OsStr, name: &OsStr, is_first: bool) -> io::Result<bool> {
        let folder = &self.location.folder;
        if is_first {
            match renameat_with(folder, new, folder, name, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST) => return Ok(false),
                // Some file systems cannot do that.
                Err(Errno::INVAL | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        renameat(folder, new, folder, name)?;
        Ok(true)
    }

    /// Writes a new file at the name `new`. It has no name before it is whole, where the file system can do that:
    /// nothing is left of it then if the process is killed.
    fn write_temporary(&self, new: &OsStr, text: &[u8], old: Option<&Stat>, new_mode: u32) -> io::Result<()> {
        let folder = &self.location.folder;
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = openat(folder, ".", flags | OFlags::TMPFILE, mode) {
            let file = self.fill_temporary(file, text, old, new_mode)?;
            // proc(5): the way to name an open file that needs no privilege.
            let open = format!("/proc/self/fd/{}", file.as_raw_fd());
            if linkat(CWD, open, folder, new, AtFlags::SYMLINK_FOLLOW).is_ok() {
                return Ok(());
            }
        }
        let file = openat(folder, new, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)?;
        self.fill_temporary(file, text, old, new_mode).map(drop)
    }

    fn fill_temporary(
        &self,
        file: OwnedFd,
        text: &[u8],
        old: Option<&Stat>,
        new_mode: u32,
    ) -> io::Result<File> {
        let mut file = File::from(file);
        file.write_all(text)?;
        match old {
            Some(old) => {
                let ours = fstat(&file)?;
                if (ours.st_uid, ours.st_gid) != (old.st_uid, old.st_gid) {
                    fchown(&file, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
                }
            }
            // Root in a container makes it for whoever's folder it is. Nobody else may give files away,
            // and need not.
            None => {
                let folder = fstat(&self.location.folder)?;
                let _ = fchown(&file, Some(Uid::from_raw(folder.st_uid)), None);
            }
        }
        fchmod(&file, old.map_or(Mode::from_raw_mode(new_mode), |old| Mode::from_raw_mode(old.st_mode)))?;
        file.sync_all()?;
        Ok(file)
    }

    fn sync_folder(&self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(folder) = openat(&self.location.folder, ".", flags, Mode::empty()) {
            let _ = rustix::fs::fsync(folder);
        }
    }
}

/// A file as it was read.
struct OriginalFile {
    text: Zeroizing<Vec<u8>>,
    stat: Stat,
}

/// The name of a file that is being written under the lock of the file `name`.
fn temporary_name(name: &OsStr) -> OsString {
    let mut new = OsString::from(".");
    new.push(name);
    new.push(".doorward-new");
    new
}

/// A path as fstab and the table of mounts have it.
fn absolute_path(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Removes what is at a name, be it a link; it may not be there.
fn remove_if_present(location: &ResolvedPath, name: &OsStr) {
    let _ = unlinkat(&location.folder, name, AtFlags::empty());
}

/// Reads the file; `None` if there is none. It was looked at before it is opened, and is looked at again when it is
/// open: nothing waits for the other end of a pipe.
fn read_file(location: &ResolvedPath, name: &str) -> Result<Option<OriginalFile>, FileWriteError> {
    let system = |error: io::Error| FileWriteError::Io(name.to_owned(), error);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(&location.folder, &location.name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(system(error.into())),
    };
    let stat = fstat(&file).map_err(|error| system(error.into()))?;
    check_file_type(name, &stat)?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size > FILE_SIZE_MAX {
        return Err(FileWriteError::TooLarge(name.to_owned()));
    }
    // A text that grows leaves copies of itself behind.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    File::from(file).take(FILE_SIZE_MAX).read_to_end(&mut text).map_err(system)?;
    Ok(Some(OriginalFile { text, stat }))
}

fn check_file_type(name: &str, stat: &Stat) -> Result<(), FileWriteError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(FileWriteError::NotARegularFile(name.to_owned(), "a directory")),
        _ => Err(FileWriteError::NotARegularFile(name.to_owned(), "a device, a pipe or a socket")),
    }
}

/// Returns whether a file is the same, and was not written to.
fn is_unchanged(old: &Stat, now: &Stat) -> bool {
    let of = |stat: &Stat| {
        let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
        (stat.st_dev, stat.st_ino, stat.st_size, times)
    };
    of(old) == of(now)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    #[test]
    fn replacing_a_file_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("users"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let writer = AtomicFileWriter::open(&link, false).unwrap();
        assert_eq!(writer.text(), b"old");
        writer.replace(b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o604);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn missing_file_is_created_only_if_requested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        assert!(matches!(AtomicFileWriter::open(&path, false), Err(FileWriteError::Missing(_))));
        AtomicFileWriter::open(&path, true).unwrap().replace(b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn sibling_file_is_written_under_the_same_lock_with_its_own_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        let writer = AtomicFileWriter::open(&path, true).unwrap().with_new_mode(0o600);
        assert!(writer.is_new());
        writer.write_sibling("public", b"one", 0o644).unwrap();
        writer.replace(b"x").unwrap();
        assert_eq!((mode("keys"), mode("public")), (0o600, 0o644));
        fs::set_permissions(folder.path().join("public"), fs::Permissions::from_mode(0o640)).unwrap();
        let writer = AtomicFileWriter::open(&path, true).unwrap();
        assert!(!writer.is_new());
        writer.write_sibling("public", b"two", 0o644).unwrap();
        assert_eq!(
            (mode("public"), fs::read(folder.path().join("public")).unwrap()),
            (0o640, b"two".to_vec())
        );
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn leftover_temporary_link_is_removed_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("users"), folder.path().join("victim"));
        fs::write(&path, "old").unwrap();
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join(".users.doorward-new")).unwrap();
        AtomicFileWriter::open(&path, false).unwrap().replace(b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn concurrent_writers_are_serialized_without_lost_updates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, "").unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let writer = AtomicFileWriter::open(&path, false).unwrap();
                    let text = [writer.text(), b"x"].concat();
                    writer.replace(&text).unwrap();
                });
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"xxxxxxxx");
    }
}
