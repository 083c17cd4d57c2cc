//! The path of a watched file, the errors of reading it, and the metadata that identifies its state.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::read_access::describe_missing_access;
use crate::identity;

/// Size of the buffer for hashing a file without keeping its content.
const COMPARE_BUFFER: usize = 64 << 10;

/// The reason for which a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The path does not exist.
    #[error("{0}: the file does not exist")]
    Missing(String),
    /// The path is not a regular file.
    #[error("{0}: it is {1}, not a file")]
    NotAFile(String, &'static str),
    /// The system denied the read. The third field explains which permission is missing and how to grant it.
    #[error("{0}: cannot be read: {1}{hint}", hint = .2.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Unreadable(String, io::Error, Option<String>),
    /// The file is larger than its limit.
    #[error("{0}: the file is larger than {1} bytes")]
    TooLarge(String, u64),
    /// The content never became stable.
    #[error("{0}: the file keeps changing; write a new file beside it and rename it")]
    KeepsChanging(String),
}

/// The path of a file, and the limit of its size.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// The path as given in the settings.
    pub(crate) path: PathBuf,
    /// Maximum size in bytes.
    pub(crate) max_bytes: u64,
}

/// The metadata that identifies a state of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    fn from_metadata(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Returns true if both stamps are of the same file. The result is reliable only if the file was open in between,
    /// because a new file can get the inode number of a removed file.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Returns true if the file was not written between the two stamps. The change time is not compared, because
    /// unlinking the file changes it too.
    pub(super) fn is_same_content(&self, other: &Self) -> bool {
        self.is_same_file(other) && (self.size, self.modified) == (other.size, other.modified)
    }
}

/// The content of a file, read from its start to its end.
#[derive(Debug)]
pub(super) struct ReadContent {
    /// The content; it can be a secret, so it is cleared when it is dropped.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// The hash of `bytes`.
    pub(super) hash: blake3::Hash,
    /// The open file. While it is open, no other file gets its inode number.
    pub(super) file: File,
    /// The stamp before the first byte was read.
    pub(super) stamp: FileStamp,
    /// The file was not written while it was read.
    pub(super) is_stable: bool,
}

impl ReadContent {
    /// Returns true if the content was complete: another file has replaced this one, which was not written to after
    /// it was read.
    pub(super) fn was_complete(&self, next: &Self) -> bool {
        let is_replaced = !self.stamp.is_same_file(&next.stamp);
        is_replaced && self.is_stable && is_unmodified(&self.file, &self.stamp)
    }

    /// Returns true if the previous read returned the same content, and the file was not written in between.
    pub(super) fn is_same_read(&self, previous: &Self) -> bool {
        self.is_stable && self.hash == previous.hash && self.stamp.is_same_content(&previous.stamp)
    }
}

impl SourceFile {
    /// Returns the path for messages, see [`displayable_path`].
    pub(crate) fn display_path(&self) -> String {
        displayable_path(&self.path)
    }

    pub(super) fn stamp(&self) -> Option<FileStamp> {
        fs::metadata(&self.path).ok().map(|metadata| FileStamp::from_metadata(&metadata))
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// The file cannot be read. A pipe without a writer is an immediate error.
    pub(crate) fn read(&self) -> Result<Vec<u8>, ReadError> {
        self.read_content().map(|mut text| std::mem::take(&mut *text.bytes))
    }

    pub(super) fn read_content(&self) -> Result<ReadContent, ReadError> {
        let (file, before) = self.open()?;
        let bytes = self.read_open(&file, before.size)?;
        let after = file.metadata().map_err(|error| self.read_error(error))?;
        let is_stable = FileStamp::from_metadata(&after).is_same_content(&before);
        Ok(ReadContent { hash: blake3::hash(&bytes), bytes, file, stamp: before, is_stable })
    }

    /// Returns the hash of the content, without keeping the content.
    pub(super) fn hash(&self) -> Result<blake3::Hash, ReadError> {
        let (file, _) = self.open()?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = Zeroizing::new(vec![0; COMPARE_BUFFER]);
        let mut file = file.take(self.max_bytes);
        loop {
            match file.read(&mut buffer).map_err(|error| self.read_error(error))? {
                0 => return Ok(hasher.finalize()),
                count => drop(hasher.update(buffer.get(..count).unwrap_or_default())),
            }
        }
    }

    /// Reads an open file again, even if it was renamed or removed. Returns `None` if it was written to since `stamp`.
    pub(super) fn reread_open(&self, mut file: &File, stamp: &FileStamp) -> Option<Zeroizing<Vec<u8>>> {
        file.rewind().ok()?;
        let bytes = self.read_open(file, stamp.size).ok()?;
        is_unmodified(file, stamp).then_some(bytes)
    }

    fn read_open(&self, file: &File, size: u64) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        let too_large = || ReadError::TooLarge(self.display_path(), self.max_bytes);
        if size > self.max_bytes {
            return Err(too_large());
        }
        // The buffer has room for one more byte. Otherwise reading the end would grow it and leave a copy in memory.
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default().saturating_add(1)));
        file.take(self.max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| self.read_error(error))?;
        if bytes.len() as u64 > self.max_bytes { Err(too_large()) } else { Ok(bytes) }
    }

    /// Opens the file, which must be a regular file.
    ///
    /// The type is checked before the file is opened, because opening a device can have effects. It is checked again
    /// afterwards, because another file can have replaced it. Opening does not wait for the other end of a pipe.
    fn open(&self) -> Result<(File, FileStamp), ReadError> {
        let unreadable = |error| self.read_error(error);
        self.check_file_type(&fs::metadata(&self.path).map_err(unreadable)?)?;
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
        let file =
            fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        self.check_file_type(&metadata)?;
        Ok((file, FileStamp::from_metadata(&metadata)))
    }

    fn check_file_type(&self, metadata: &Metadata) -> Result<(), ReadError> {
        if metadata.is_dir() {
            return Err(ReadError::NotAFile(self.display_path(), "a directory"));
        }
        if !metadata.is_file() {
            return Err(ReadError::NotAFile(self.display_path(), "a device, a pipe or a socket"));
        }
        Ok(())
    }

    fn read_error(&self, error: io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::NotFound => ReadError::Missing(self.display_path()),
            _ => {
                let hint = describe_missing_access(&self.path, &error);
                ReadError::Unreadable(self.display_path(), error, hint)
            }
        }
    }
}

/// Returns a path for messages.
///
/// A path that does not exist can be a secret that was pasted into the wrong setting. It is shown only if it starts with
/// a folder that exists, such as `/etc/…`, `./…` or `access/…`.
pub(crate) fn displayable_path(path: &Path) -> String {
    let text = path.as_os_str();
    let exists = || fs::symlink_metadata(path).is_ok();
    if starts_in_existing_folder(path) || exists() {
        return identity::sanitize_for_display(text.as_encoded_bytes());
    }
    format!("a path of {} bytes, not shown because it does not exist", text.len())
}

/// Returns true if the first folder of a path exists. `.` and `..` at the start are skipped.
fn starts_in_existing_folder(path: &Path) -> bool {
    let mut folder = PathBuf::new();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        folder.push(part);
        // The last part is the name of the file.
        if parts.peek().is_none() {
            return matches!(path.components().next(), Some(Component::CurDir | Component::ParentDir));
        }
        if matches!(part, Component::Normal(_)) {
            return folder.is_dir();
        }
    }
    false
}

/// Returns true if an open file was not written to since `stamp`.
pub(super) fn is_unmodified(file: &File, stamp: &FileStamp) -> bool {
    file.metadata().is_ok_and(|metadata| FileStamp::from_metadata(&metadata).is_same_content(stamp))
}

/// Returns true if an open file was not written to since `stamp`, nor in the last `min_age`.
///
/// Both are read from the same metadata. Otherwise a thread that waits for a core in between could mistake a later
/// write for the content that it read.
pub(super) fn is_unmodified_for(file: &File, stamp: &FileStamp, min_age: Duration) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
    FileStamp::from_metadata(&metadata).is_same_content(stamp) && age.is_some_and(|age| age >= min_age)
}
