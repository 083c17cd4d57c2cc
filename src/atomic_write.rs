//! Atomic replacement of a file by a command, such as `doorward user add` for an htpasswd file.
//!
//! A reader sees either the old file or the new file at any time, also after a crash. Writers take a lock, so that no
//! change is lost.

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

/// The default mode of a new file. Password hashes must not be readable by all users.
const NEW_MODE: u32 = 0o640;

/// The mode of a file with a secret.
const SECRET_MODE: u32 = 0o600;

/// Maximum size of a file that can be changed: the upper limit of the setting for the size that the service reads.
const FILE_SIZE_MAX: u64 = 1 << 31;

/// The reason for which a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FileWriteError {
    /// The file does not exist, and must not be created.
    #[error("{0}: the file does not exist; add --create to make it")]
    Missing(String),
    /// The path is a link to a missing file. The file is not created: it can be on a share that is not mounted.
    #[error(
        "{path}: {link} is a link to {target}, which does not exist; create or mount the target, or remove the link"
    )]
    DanglingLink {
        /// The path that was given.
        path: String,
        /// The link.
        link: String,
        /// The target of the link.
        target: String,
    },
    /// The folder of the file is missing. It is not created: it can be on a share that is not mounted.
    #[error("{0}: there is no folder {1}; mount the share that contains it, or create it: mkdir -p {1}")]
    FolderMissing(String, String),
    /// The folder is below a mount point of fstab that has no mount.
    #[error("{0}: nothing is mounted at {1}, which is a mount point in /etc/fstab; mount it first")]
    NotMounted(String, String),
    /// The path of a generated file is a folder, a link or a device.
    #[error("{0}: it is {1}, which is not replaced; remove it, or move it away")]
    TargetOccupied(String, String),
    /// A link that another user created.
    #[error(
        "{path}: {link} is a link to {target} that belongs to uid {owner_uid}, and is not followed; use the path of the target"
    )]
    LinkOwnedByOther {
        /// The path that was given.
        path: String,
        /// The link.
        link: String,
        /// The user that owns the link.
        owner_uid: u32,
        /// The target of the link.
        target: String,
    },
    /// The path is not a regular file.
    #[error("{0}: it is {1}, not a file")]
    NotARegularFile(String, &'static str),
    /// The file is larger than `FILE_SIZE_MAX`.
    #[error("{0}: the file is larger than 2 GiB")]
    TooLarge(String),
    /// Another writer holds the lock for too long.
    #[error("{0}: another command has held the lock {1} for 10 s; try again")]
    LockTimeout(String, String),
    /// The lock file belongs to another user, or is not a regular file.
    #[error("{0}: the lock file {1} belongs to another user, or is not a file; remove it")]
    LockOwnedByOther(String, String),
    /// A program that does not take the lock changed the file.
    #[error("{0}: another program changed it at the same time; nothing was changed, try again")]
    ChangedConcurrently(String),
    /// The file is mounted as a single file, for example in a container, and cannot be replaced by renaming.
    #[error(
        "{0}: the file is mounted as a single file and cannot be replaced; change it outside the mount, or mount its folder"
    )]
    MountedAsSingleFile(String),
    /// Any other error of the system.
    #[error("{0}: cannot be changed: {1}")]
    Io(String, io::Error),
}

/// The mode that a written file gets.
#[derive(Clone, Copy, Debug)]
enum FileMode {
    /// A file that exists keeps its mode; a new file gets this one.
    OfNewFile(u32),
    /// Every file gets this mode.
    Fixed(u32),
}

impl FileMode {
    fn for_file(self, old: Option<&Stat>) -> Mode {
        match (self, old) {
            (Self::OfNewFile(_), Some(old)) => Mode::from_raw_mode(old.st_mode),
            (Self::OfNewFile(mode), None) | (Self::Fixed(mode), _) => Mode::from_raw_mode(mode),
        }
    }
}

/// A writer that holds the lock of a file until it is dropped.
#[derive(Debug)]
pub struct AtomicFileWriter {
    location: ResolvedPath,
    /// The current content; it can contain secrets, so it is cleared when it is dropped.
    text: Zeroizing<Vec<u8>>,
    /// The metadata of the file when it was read; `None` if it did not exist.
    original_stat: Option<Stat>,
    new_mode: u32,
    _lock: FileLock,
}

impl AtomicFileWriter {
    /// Takes the lock, and reads the file. With `create`, a missing file counts as an empty file.
    ///
    /// # Errors
    /// The file cannot be changed. Nothing was created.
    pub fn open(path: &Path, create: bool) -> Result<Self, FileWriteError> {
        let name = displayable_path(path);
        // A link stays a link; its target is replaced.
        let location = resolve_path(path)?;
        // These checks come before the lock, so that a wrong path leaves no lock file behind.
        let existing =
            location.stat(&location.name).map_err(|error| FileWriteError::Io(name.clone(), error.into()))?;
        match existing {
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
        // Removes the temporary file of a killed writer.
        remove_if_present(&location, &temporary_name(&location.name));
        let (text, original_stat) = match read_file(&location, &name)? {
            Some(original) => (original.text, Some(original.stat)),
            None if create => (Zeroizing::default(), None),
            None => return Err(FileWriteError::Missing(name)),
        };
        Ok(Self { location, text, original_stat, new_mode: NEW_MODE, _lock: lock })
    }

    /// Sets the mode for a file that does not exist yet.
    #[must_use]
    pub(crate) fn with_new_mode(self, new_mode: u32) -> Self {
        Self { new_mode, ..self }
    }

    /// Returns true if the file does not exist yet.
    pub(crate) fn is_new(&self) -> bool {
        self.original_stat.is_none()
    }

    /// Returns the folder of the file.
    pub(crate) fn folder(&self) -> &Path {
        &self.location.folder_path
    }

    /// Returns the path of the changed file, if the given path is a link.
    pub(crate) fn link_target(&self) -> Option<PathBuf> {
        self.location.link.as_ref().map(|_| self.location.path())
    }

    /// Returns the current content.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Replaces the content. The file keeps its mode and owner.
    ///
    /// # Errors
    /// The file was not changed.
    pub fn replace(self, text: &[u8]) -> Result<(), FileWriteError> {
        self.write_and_rename(
            &self.location.name,
            text,
            self.original_stat.as_ref(),
            FileMode::OfNewFile(self.new_mode),
            true,
        )
    }

    /// Writes another file in the same folder under the same lock. A new file gets the mode `new_mode`.
    ///
    /// # Errors
    /// The file was not changed.
    pub(crate) fn write_sibling(
        &self,
        file_name: &str,
        text: &[u8],
        new_mode: u32,
    ) -> Result<(), FileWriteError> {
        self.write_checked_sibling(file_name, text, FileMode::OfNewFile(new_mode))
    }

    /// Writes a secret into another file in the same folder under the same lock. Only the owner can read it, even if
    /// the file existed with another mode.
    ///
    /// # Errors
    /// The file was not changed.
    pub(crate) fn write_secret_sibling(&self, file_name: &str, text: &[u8]) -> Result<(), FileWriteError> {
        self.write_checked_sibling(file_name, text, FileMode::Fixed(SECRET_MODE))
    }

    fn write_checked_sibling(
        &self,
        file_name: &str,
        text: &[u8],
        mode: FileMode,
    ) -> Result<(), FileWriteError> {
        let name = OsStr::new(file_name);
        let path = || self.location.folder_path.join(name).display().to_string();
        let old = self.location.stat(name).map_err(|error| FileWriteError::Io(path(), error.into()))?;
        self.check_sibling(file_name)?;
        self.write_and_rename(name, text, old.as_ref(), mode, false)
    }

    /// Checks that another file in the same folder can be written: only a missing file or a regular file is replaced.
    ///
    /// # Errors
    /// The name is a folder, a link or a device.
    pub(crate) fn check_sibling(&self, file_name: &str) -> Result<(), FileWriteError> {
        let name = OsStr::new(file_name);
        let path = || self.location.folder_path.join(name).display().to_string();
        let existing = self.location.stat(name).map_err(|error| FileWriteError::Io(path(), error.into()))?;
        let kind = match existing.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None | Some(FileType::RegularFile) => return Ok(()),
            Some(FileType::Directory) => "a directory".to_owned(),
            Some(FileType::Symlink) => match readlinkat(&self.location.folder, name, Vec::new()) {
                Ok(target) => format!("a link to {}", target.to_string_lossy()),
                Err(_) => "a link".to_owned(),
            },
            Some(_) => "a device, a pipe or a socket".to_owned(),
        };
        Err(FileWriteError::TargetOccupied(path(), kind))
    }

    /// Writes a temporary file and renames it to `name`. With `must_be_unchanged`, a file that changed since it was read
    /// is not replaced.
    fn write_and_rename(
        &self,
        name: &OsStr,
        text: &[u8],
        old: Option<&Stat>,
        mode: FileMode,
        must_be_unchanged: bool,
    ) -> Result<(), FileWriteError> {
        let path = self.location.folder_path.join(name).display().to_string();
        // All files that are written under this lock use one temporary name, so that the next writer removes it.
        let temporary = temporary_name(&self.location.name);
        remove_if_present(&self.location, &temporary);
        let renamed = self.write_temporary(&temporary, text, old, mode).and_then(|()| {
            let is_same = |now: Option<Stat>| match (old, now) {
                (Some(old), Some(now)) => is_unchanged(old, &now),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if must_be_unchanged && !is_same(self.location.stat(name)?) {
                return Ok(false);
            }
            self.rename_into_place(&temporary, name, old.is_none())
        });
        match renamed {
            Ok(true) => {
                // An error of the sync is ignored: the file is replaced, and only a power failure could undo it.
                self.sync_folder();
                Ok(())
            }
            Ok(false) => {
                remove_if_present(&self.location, &temporary);
                Err(FileWriteError::ChangedConcurrently(path))
            }
            Err(error) => {
                remove_if_present(&self.location, &temporary);
                Err(match error.kind() {
                    io::ErrorKind::ResourceBusy => FileWriteError::MountedAsSingleFile(path),
                    _ => FileWriteError::Io(path, error),
                })
            }
        }
    }

    /// Renames the temporary file to `name`. Returns false if the file `is_new` and another program created it meanwhile.
    fn rename_into_place(&self, temporary: &OsStr, name: &OsStr, is_new: bool) -> io::Result<bool> {
        let folder = &self.location.folder;
        if is_new {
            match renameat_with(folder, temporary, folder, name, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST) => return Ok(false),
                // Some file systems do not support NOREPLACE.
                Err(Errno::INVAL | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        renameat(folder, temporary, folder, name)?;
        Ok(true)
    }

    /// Writes the temporary file. If the file system supports it, the file has no name until it is complete, so that a
    /// killed process leaves nothing behind.
    fn write_temporary(
        &self,
        temporary: &OsStr,
        text: &[u8],
        old: Option<&Stat>,
        mode: FileMode,
    ) -> io::Result<()> {
        let folder = &self.location.folder;
        let private = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = openat(folder, ".", flags | OFlags::TMPFILE, private) {
            let file = self.fill_temporary(file, text, old, mode)?;
            // Linking the path of the descriptor names an open file without a privilege (proc(5)).
            let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
            if linkat(CWD, descriptor, folder, temporary, AtFlags::SYMLINK_FOLLOW).is_ok() {
                return Ok(());
            }
        }
        let file =
            openat(folder, temporary, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, private)?;
        self.fill_temporary(file, text, old, mode).map(drop)
    }

    fn fill_temporary(
        &self,
        file: OwnedFd,
        text: &[u8],
        old: Option<&Stat>,
        mode: FileMode,
    ) -> io::Result<File> {
        let mut file = File::from(file);
        file.write_all(text)?;
        match old {
            Some(old) => {
                let new = fstat(&file)?;
                if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) {
                    fchown(&file, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
                }
            }
            // If root creates the file, for example in a container, the owner of the folder becomes its owner. For
            // other users this fails, and is not required.
            None => {
                let folder = fstat(&self.location.folder)?;
                let _ = fchown(&file, Some(Uid::from_raw(folder.st_uid)), None);
            }
        }
        fchmod(&file, mode.for_file(old))?;
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

/// The content and the metadata of a file when it was read.
struct OriginalFile {
    text: Zeroizing<Vec<u8>>,
    stat: Stat,
}

/// Returns the name of the temporary file for the file `name`.
fn temporary_name(name: &OsStr) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".doorward-new");
    temporary
}

/// Returns the absolute path without links in its folder, as in fstab and the table of mounts.
fn absolute_path(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Removes a file, or a link itself. A missing file is not an error.
fn remove_if_present(location: &ResolvedPath, name: &OsStr) {
    let _ = unlinkat(&location.folder, name, AtFlags::empty());
}

/// Reads the file; `None` if it does not exist.
///
/// The caller has checked the type of the file. It is checked again after opening, because another file can have
/// replaced it. Opening does not wait for the other end of a pipe.
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
    // The capacity is sufficient for the whole file. A buffer that grows leaves copies in memory.
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

/// Returns true if both are the metadata of the same file, which was not written to in between.
fn is_unchanged(old: &Stat, now: &Stat) -> bool {
    let stamp = |stat: &Stat| {
        let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
        (stat.st_dev, stat.st_ino, stat.st_size, times)
    };
    stamp(old) == stamp(now)
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
