//! Files that are mounted by themselves, and places where something should be mounted.
//!
//! A container engine mounts the file that has a name when the container starts. If another file is given that name
//! outside (by renaming, as editors, `sed -i` and `htpasswd` do), the mount still shows the old one, so a removed user
//! stays admitted. The kernel tells that the mounted file lost its name: in `/proc/self/mountinfo` its root ends in
//! `//deleted`, or is the name that the file has now; and its count of links is 0.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The mounts of this process (proc_pid_mountinfo(5)).
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// What should be mounted on this machine (fstab(5)).
const FSTAB: &str = "/etc/fstab";

/// The most bytes of either that are read: some ten thousand mounts.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// What is said of a file that is mounted by itself.
pub(super) const SINGLE_FILE_MOUNT_WARNING: &str = "is mounted by itself: a file that takes its place where it is mounted from is not seen; mount its folder instead";

/// What is said of one that was replaced.
pub(super) const MOUNTED_FILE_REPLACED: &str = "was replaced or moved where it is mounted from, and the old file is still in force; mount its folder instead, and start doorward again";

/// A watched file that is mounted by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileMount {
    /// Where it is mounted.
    mount_point: PathBuf,
    /// The file's path in its own file system, as it was when it was mounted.
    root: OsString,
}

impl FileMount {
    /// Returns the mount of the file that `path` leads to; `None` if it is not mounted by itself, or cannot be found.
    pub(super) fn find(path: &Path) -> Option<Self> {
        let point = fs::canonicalize(path).ok()?;
        let root = mount_root(&read_table(MOUNTINFO)?, &point)?;
        Some(Self { mount_point: point, root })
    }

    /// Returns whether the mounted file is not the one any more that has its name where it is mounted from.
    pub(super) fn is_replaced(&self) -> bool {
        // Some file systems do not tell it in one way, and some not in the other.
        let is_unlinked = fs::metadata(&self.mount_point).is_ok_and(|metadata| metadata.nlink() == 0);
        is_unlinked
            || self.is_moved(read_table(MOUNTINFO).and_then(|mounts| mount_root(&mounts, &self.mount_point)))
    }

    /// Compares the root with what it is now. If the mount is gone, the path shows another file, which is watched.
    fn is_moved(&self, now: Option<OsString>) -> bool {
        now.is_some_and(|root| root != self.root || root.as_bytes().ends_with(b"//deleted"))
    }
}

/// Returns the innermost folder above `path` (which has no links) that is a mount point by fstab, and on which nothing
/// is mounted. What is made there would be hidden by the mount, or stand in for the files that it has.
pub fn find_unmounted_folder(path: &Path) -> Option<PathBuf> {
    let (fstab, mounts) = (read_table(FSTAB)?, read_table(MOUNTINFO)?);
    find_unmounted_folder_in(path, &fstab, &mounts)
}

fn find_unmounted_folder_in(path: &Path, fstab: &[u8], mounts: &[u8]) -> Option<PathBuf> {
    let points = |table, field: usize| -> Vec<PathBuf> {
        rows(table).filter_map(|row| row.get(field).map(|point| PathBuf::from(unescape(point)))).collect()
    };
    let (wanted, there) = (points(fstab, 1), points(mounts, 4));
    let folders = path.ancestors().skip(1);
    // `/` is mounted, whatever the tables say.
    let found = folders.filter(|folder| folder.parent().is_some()).find(|folder| {
        // Of `/mnt/share/`, too.
        // Swap has none.
        let is_point = |point: &&PathBuf| point.is_absolute() && point.components().eq(folder.components());
        let is_wanted = wanted.iter().any(|point| is_point(&point));
        is_wanted && !there.iter().any(|point| point == folder)
    });
    found.map(Path::to_owned)
}

/// The root of what is mounted at a point; of several mounts there the last one, which hides the others.
fn mount_root(mounts: &[u8], point: &Path) -> Option<OsString> {
    let at = |row: &Vec<&[u8]>| row.get(4).is_some_and(|field| unescape(field) == point.as_os_str());
    rows(mounts).filter(at).last().and_then(|row| row.get(3).map(|root| unescape(root)))
}

/// The fields of each line that is no comment.
fn rows(table: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let fields = |line: &'_ [u8]| line.first() != Some(&b'#');
    table.split(|byte| *byte == b'\n').filter(move |line| fields(line)).map(|line| {
        line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty()).collect()
    })
}

/// A field without its escapes: a blank is written `\040`.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *byte == b'\\');
        let octal = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// Reads a table; `None` if it is not there, as where /proc is not mounted.
fn read_table(table: impl AsRef<OsStr>) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(Path::new(table.as_ref())).ok()?.take(TABLE_BYTES_MAX).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
        30 22 254:0 /srv/a\\040b/users /etc/doorward/htpasswd ro - ext4 /dev/vda rw\n\
        31 22 254:0 /srv/old /etc/two\\134words ro - ext4 /dev/vda rw\n\
        32 31 254:0 /srv/new//deleted /etc/two\\134words ro - ext4 /dev/vda rw\n\
        33 22 0:40 / /mnt/share rw - nfs4 server:/x rw\n";

    #[test]
    fn mount_root_is_that_of_the_last_mount_at_the_mount_point() {
        let root = |point: &str| mount_root(TABLE, Path::new(point));
        assert_eq!(root("/etc/doorward/htpasswd"), Some("/srv/a b/users".into()));
        assert_eq!(root("/etc/two\\words"), Some("/srv/new//deleted".into()));
        assert_eq!(root("/etc/doorward"), None);
        assert_eq!(root("/"), Some("/".into()));
    }

    #[test]
    fn file_mount_with_renamed_or_deleted_root_is_moved() {
        let mount = FileMount { mount_point: "/etc/x".into(), root: "/srv/x".into() };
        assert!(!mount.is_moved(Some("/srv/x".into())));
        assert!(!mount.is_moved(None), "it is not mounted any more");
        for root in ["/srv/x//deleted", "/srv/x.old", "/srv/.nfs0001", "//deleted"] {
            assert!(mount.is_moved(Some(root.into())), "{root}");
        }
        // One that was replaced before it was looked at.
        let late = FileMount { mount_point: "/etc/x".into(), root: "/srv/x//deleted".into() };
        assert!(late.is_moved(Some("/srv/x//deleted".into())));
    }

    #[test]
    fn fstab_mount_point_without_a_mount_is_found_above_a_path() {
        let fstab = b"# /mnt/comment\nUUID=1 / ext4 defaults 0 1\nserver:/x /mnt/share nfs defaults\n\
            \tserver:/y\t/mnt/other\\040share/\tnfs noauto 0 0\n/swap none swap sw\nserver:/z /mnt/share/in nfs\n";
        let found = |path: &str| find_unmounted_folder_in(Path::new(path), fstab, TABLE);
        assert_eq!(found("/mnt/share/users"), None, "it is mounted");
        assert_eq!(found("/mnt/share/in/deep/users"), Some("/mnt/share/in".into()));
        assert_eq!(found("/mnt/other share/users"), Some("/mnt/other share".into()));
        assert_eq!(found("/mnt/other share"), None, "the point itself is in a folder that is there");
        for path in ["/mnt/comment/x", "/etc/users", "/mnt/sharex/users", "none/users", "users"] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn file_in_a_mounted_folder_has_no_file_mount() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(FileMount::find(file.path()), None);
        assert_eq!(FileMount::find(Path::new("/nowhere/at/all")), None);
        assert_eq!(unescape(b"a\\b\\0\\999\\101"), "a\\b\\0\\999A");
    }
}
