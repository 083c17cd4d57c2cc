//! Files that are mounted as single files, and mount points without a mount.
//!
//! A container engine mounts the file that has a name when the container starts. If another file gets this name outside
//! the container, the mount still shows the old file, and a removed user stays admitted. Editors, `sed -i` and
//! `htpasswd` replace files in this way.
//!
//! The kernel reports that the mounted file lost its name. In `/proc/self/mountinfo` its root ends with `//deleted`, or
//! it is the new name of the old file, and the link count of the file is 0.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The mounts of this process (proc_pid_mountinfo(5)).
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The mounts that this machine should have (fstab(5)).
const FSTAB: &str = "/etc/fstab";

/// Maximum number of bytes that are read of either file: about ten thousand mounts.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// End of the log message for a file that is mounted as a single file.
pub(super) const SINGLE_FILE_MOUNT_STATE: &str =
    "mounted as a single file, replacements outside the mount not detected";

/// Remedy in the log for a file that is mounted as a single file.
pub(super) const SINGLE_FILE_MOUNT_REMEDY: &str = "mount its folder instead";

/// End of the message in the log and on `/readyz` for a mounted file that was replaced outside its mount.
pub(super) const REPLACED_MOUNT_STATE: &str = "replaced outside its mount, old file still active";

/// Remedy in the log and on `/readyz` for a mounted file that was replaced outside its mount.
pub(super) const REPLACED_MOUNT_REMEDY: &str = "mount its folder instead, and restart doorward";

/// A watched file that is mounted as a single file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileMount {
    /// The path at which the file is mounted.
    mount_point: PathBuf,
    /// The path of the file in its file system at the time of the mount.
    root: OsString,
}

impl FileMount {
    /// Returns the mount of the file at `path`; `None` if the file is not mounted as a single file, or is missing.
    pub(super) fn find(path: &Path) -> Option<Self> {
        let mount_point = fs::canonicalize(path).ok()?;
        let root = mount_root(&read_table(MOUNTINFO)?, &mount_point)?;
        Some(Self { mount_point, root })
    }

    /// Returns true if another file got the name of the mounted file outside the mount.
    pub(super) fn is_replaced(&self) -> bool {
        // Some file systems report this only by the link count, and some only by the root.
        let is_unlinked = fs::metadata(&self.mount_point).is_ok_and(|metadata| metadata.nlink() == 0);
        is_unlinked
            || self.is_moved(read_table(MOUNTINFO).and_then(|mounts| mount_root(&mounts, &self.mount_point)))
    }

    /// Compares the root with the current one. Without a mount, the path leads to another file, which is watched.
    fn is_moved(&self, now: Option<OsString>) -> bool {
        now.is_some_and(|root| root != self.root || root.as_bytes().ends_with(b"//deleted"))
    }
}

/// Returns the innermost folder above `path` that is a mount point by fstab and has no mount. `path` must not contain
/// links.
///
/// A file that is created in such a folder would be hidden by the mount, or would be used instead of the mounted file.
pub fn find_unmounted_folder(path: &Path) -> Option<PathBuf> {
    let (fstab, mounts) = (read_table(FSTAB)?, read_table(MOUNTINFO)?);
    find_unmounted_folder_in(path, &fstab, &mounts)
}

fn find_unmounted_folder_in(path: &Path, fstab: &[u8], mounts: &[u8]) -> Option<PathBuf> {
    let points = |table, field: usize| -> Vec<PathBuf> {
        rows(table).filter_map(|row| row.get(field).map(|point| PathBuf::from(unescape(point)))).collect()
    };
    let (expected, mounted) = (points(fstab, 1), points(mounts, 4));
    let folders = path.ancestors().skip(1);
    // `/` is always mounted.
    let found = folders.filter(|folder| folder.parent().is_some()).find(|folder| {
        // Comparing components also matches `/mnt/share/`. The mount point of swap is not a path.
        let is_folder = |point: &&PathBuf| point.is_absolute() && point.components().eq(folder.components());
        let is_expected = expected.iter().any(|point| is_folder(&point));
        is_expected && !mounted.iter().any(|point| point == folder)
    });
    found.map(Path::to_owned)
}

/// Returns the root of the mount at a mount point. The last of several mounts hides the others.
fn mount_root(mounts: &[u8], mount_point: &Path) -> Option<OsString> {
    let is_at = |row: &Vec<&[u8]>| row.get(4).is_some_and(|field| unescape(field) == mount_point.as_os_str());
    rows(mounts).filter(is_at).last().and_then(|row| row.get(3).map(|root| unescape(root)))
}

/// Returns the fields of each line that is not a comment.
fn rows(table: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let is_row = |line: &'_ [u8]| line.first() != Some(&b'#');
    table.split(|byte| *byte == b'\n').filter(move |line| is_row(line)).map(|line| {
        line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty()).collect()
    })
}

/// Replaces the octal escapes of a field; a space is written as `\040`.
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

/// Reads a table; `None` if the file is missing, for example because /proc is not mounted.
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
        // A file that was replaced before the first check.
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
