//! Reading a watched file: where it is, why it cannot be read, and what tells one state of it from another.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::read_access::describe_missing_access;
use crate::identity;

/// The buffer of a comparison, which keeps nothing of the file.
const COMPARE_BUFFER: usize = 64 << 10;

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing at that path.
    #[error("{0}: there is no such file")]
    Missing(String),
    /// Something else than a file.
    #[error("{0}: it is {1}, and not a file")]
    NotAFile(String, &'static str),
    /// The system refused to read it; with what is lacking and how to give it, if that is known.
    #[error("{0}: can't be read: {1}{lacks}", lacks = .2.as_ref().map(|what| format!("; {what}")).unwrap_or_default())]
    Unreadable(String, io::Error, Option<String>),
    /// More than the bound.
    #[error("{0}: it has more than {1} bytes")]
    TooLarge(String, u64),
    /// It was never the same for long enough to be read whole.
    #[error("{0}: it changes all the time; write the new file beside it and rename it")]
    KeepsChanging(String),
}

/// Where a file is, and how much of it may be read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, as it was set.
    pub path: PathBuf,
    /// The most bytes it may have.
    pub max_bytes: u64,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Returns whether both are of one file. True only if that file was held open in between, since the number of
    /// a file that is gone is given to the next one.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Returns whether nothing was written in between. The change time is left out: it also moves when the file
    /// is unlinked.
    pub(super) fn is_same_content(&self, other: &Self) -> bool {
        self.is_same_file(other) && (self.size, self.modified) == (other.size, other.modified)
    }
}

/// A whole read.
#[derive(Debug)]
pub(super) struct ReadContent {
    /// What was read; cleared when it goes, since it may be a secret.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Of `bytes`.
    pub(super) hash: blake3::Hash,
    /// The file, held open so that its number stays its own.
    pub(super) file: File,
    /// As it was before the first byte was read.
    pub(super) stamp: FileStamp,
    /// Whether nothing was written while it was read.
    pub(super) is_stable: bool,
}

impl ReadContent {
    /// Whether this was whole: another file has taken its place since, and nobody wrote to it.
    pub(super) fn was_complete(&self, next: &Self) -> bool {
        let replaced = !self.stamp.is_same_file(&next.stamp);
        replaced && self.is_stable && is_unmodified(&self.file, &self.stamp)
    }

    /// Whether this is what was read before, and nobody wrote to it in between.
    pub(super) fn is_same_read(&self, before: &Self) -> bool {
        self.is_stable && self.hash == before.hash && self.stamp.is_same_content(&before.stamp)
    }
}

impl SourceFile {
    /// Its path, for messages.
    pub fn display_path(&self) -> String {
        displayable_path(&self.path)
    }

    pub(super) fn stamp(&self) -> Option<FileStamp> {
        fs::metadata(&self.path).ok().map(|metadata| FileStamp::of(&metadata))
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// Why it can't be read; at once, also if it is a pipe that nobody writes to.
    pub fn read(&self) -> Result<Vec<u8>, ReadError> {
        self.read_content().map(|mut text| std::mem::take(&mut *text.bytes))
    }

    pub(super) fn read_content(&self) -> Result<ReadContent, ReadError> {
        let (file, before) = self.open()?;
        let bytes = self.read_open(&file, before.size)?;
        let after = file.metadata().map_err(|error| self.read_error(error))?;
        let is_stable = FileStamp::of(&after).is_same_content(&before);
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

    /// Reads a file again that is held open, wherever it is by now; `None` if it was written to since it was read.
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
        // With room for one byte more, or the end would be found by growing, which leaves a copy behind.
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default().saturating_add(1)));
        file.take(self.max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| self.read_error(error))?;
        if bytes.len() as u64 > self.max_bytes { Err(too_large()) } else { Ok(bytes) }
    }

    /// Opens the file. It is looked at before, since opening a device can do something; and again when it is open,
    /// since it can be another one by then. Nothing waits for the other end of a pipe.
    fn open(&self) -> Result<(File, FileStamp), ReadError> {
        let unreadable = |error| self.read_error(error);
        self.check_file_type(&fs::metadata(&self.path).map_err(unreadable)?)?;
        let no_wait = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
        let file =
            fs::OpenOptions::new().read(true).custom_flags(no_wait).open(&self.path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        self.check_file_type(&metadata)?;
        Ok((file, FileStamp::of(&metadata)))
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
                let lacks = describe_missing_access(&self.path, &error);
                ReadError::Unreadable(self.display_path(), error, lacks)
            }
        }
    }
}

/// Returns a path for messages. A text that names nothing can be a secret that was pasted in the place of a path, so
/// it is shown only if it begins at a folder that exists: `/etc/…`, `./…`, `access/…`.
pub fn displayable_path(path: &Path) -> String {
    let text = path.as_os_str();
    let is_there = || fs::symlink_metadata(path).is_ok();
    if begins_in_existing_folder(path) || is_there() {
        return identity::sanitize_for_display(text.as_encoded_bytes());
    }
    format!("a path of {} bytes, which is not shown since nothing is there", text.len())
}

/// Returns whether the first folder of a path exists; of `.` and `..`, the first one behind.
fn begins_in_existing_folder(path: &Path) -> bool {
    let mut folder = PathBuf::new();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        folder.push(part);
        // The last part is the file's own name.
        if parts.peek().is_none() {
            return matches!(path.components().next(), Some(Component::CurDir | Component::ParentDir));
        }
        if matches!(part, Component::Normal(_)) {
            return folder.is_dir();
        }
    }
    false
}

/// Returns whether an open file is as it was when `stamp` was taken.
pub(super) fn is_unmodified(file: &File, stamp: &FileStamp) -> bool {
    file.metadata().is_ok_and(|metadata| FileStamp::of(&metadata).is_same_content(stamp))
}

/// Returns whether an open file is as it was when `stamp` was taken, and was written at least `span` ago. Both are of
/// one look: a thread that waited for a core in between must not take what was written meanwhile for what it read.
pub(super) fn is_unmodified_for(file: &File, stamp: &FileStamp, span: Duration) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
    FileStamp::of(&metadata).is_same_content(stamp) && age.is_some_and(|age| age >= span)
}
