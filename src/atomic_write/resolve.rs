//! Finding the folder and the name that a path leads to, link by link.
//!
//! Whoever may write to a folder can put a link there, and a file can be changed only by a user who may change its
//! folder. So a link of another user's is not followed: it would have root change any file. Each folder is held open
//! while the next name is looked up in it, so that nothing can be put in its place meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::FileWriteError;
use crate::reload::displayable_path;

/// The most links of one path; Linux follows no more either (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// What no folder is opened without: without following a link that took its place, and only to look up names in it.
const FOLDER_FLAGS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A name in a folder that is held open.
pub(super) struct ResolvedPath {
    pub(super) folder: OwnedFd,
    /// The folder's path, without links.
    pub(super) folder_path: PathBuf,
    pub(super) name: OsString,
    /// The last link of the path's last part, if that is one.
    pub(super) link: Option<FollowedLink>,
}

/// A link that was followed.
#[derive(Clone)]
pub(super) struct FollowedLink {
    path: PathBuf,
    target: PathBuf,
}

impl FollowedLink {
    /// The fault of a link that leads to nothing.
    pub(super) fn dangling_error(&self, name: String) -> FileWriteError {
        let target =
            self.path.parent().map_or_else(|| self.target.clone(), |folder| folder.join(&self.target));
        FileWriteError::DanglingLink {
            path: name,
            link: self.path.display().to_string(),
            target: target.display().to_string(),
        }
    }
}

impl fmt::Debug for ResolvedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({})", self.path().display())
    }
}

impl ResolvedPath {
    /// The path without links.
    pub(super) fn path(&self) -> PathBuf {
        self.folder_path.join(&self.name)
    }

    /// What is at the name, a link itself included.
    pub(super) fn stat(&self, name: &OsStr) -> Result<Option<Stat>, Errno> {
        match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The names of a path that are still to be looked up.
fn path_names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name)
}

/// Finds the folder and the name that `path` leads to.
///
/// # Errors
/// A folder is missing or can't be entered; or a link on the way belongs neither to the caller nor to root.
pub(super) fn resolve_path(path: &Path) -> Result<ResolvedPath, FileWriteError> {
    let given = displayable_path(path);
    let system = |error: Errno| FileWriteError::Io(given.clone(), error.into());
    let root = |path: &Path| if path.is_absolute() { "/" } else { "." };
    let open = |path: &Path| openat(CWD, root(path), FOLDER_FLAGS, Mode::empty()).map_err(system);
    let mut folder = open(path)?;
    let mut folder_path = if path.is_absolute() { PathBuf::from("/") } else { PathBuf::new() };
    let mut left: VecDeque<OsString> = path_names(path).collect();
    let mut links = 0;
    // The links in whose targets the next name is, each with the number of names that come after its target.
    let mut within: Vec<(FollowedLink, usize)> = Vec::new();
    while let Some(name) = left.pop_front() {
        within.retain(|(_, behind)| left.len() >= *behind);
        let target =
            match openat(&folder, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                Ok(found) => read_trusted_link(&found, &given, &folder_path.join(&name))?,
                // Only the last one may be missing.
                Err(Errno::NOENT) if left.is_empty() => None,
                Err(Errno::NOENT) => {
                    return Err(match within.last() {
                        Some((link, _)) => link.dangling_error(given),
                        None => FileWriteError::FolderMissing(
                            given,
                            folder_path.join(&name).display().to_string(),
                        ),
                    });
                }
                Err(error) => return Err(system(error)),
            };
        match target {
            Some(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(system(Errno::LOOP));
                }
                within.push((
                    FollowedLink { path: folder_path.join(&name), target: target.clone() },
                    left.len(),
                ));
                if target.is_absolute() {
                    (folder, folder_path) = (open(&target)?, PathBuf::from("/"));
                }
                path_names(&target).rev().for_each(|name| left.push_front(name));
            }
            None if left.is_empty() && name != ".." => {
                if folder_path.as_os_str().is_empty() {
                    folder_path.push(".");
                }
                // A link on the way is none of the file's own.
                let link = within.into_iter().rfind(|(_, behind)| *behind == 0).map(|(link, _)| link);
                return Ok(ResolvedPath { folder, folder_path, name, link });
            }
            None => {
                folder = openat(&folder, &name, FOLDER_FLAGS, Mode::empty()).map_err(system)?;
                if name != ".." || !folder_path.pop() {
                    folder_path.push(name);
                }
            }
        }
    }
    Err(system(Errno::ISDIR))
}

/// Where a link leads; `None` if it is none.
fn read_trusted_link(found: &OwnedFd, given: &str, at: &Path) -> Result<Option<PathBuf>, FileWriteError> {
    let system = |error: Errno| FileWriteError::Io(given.to_owned(), error.into());
    let stat = fstat(found).map_err(system)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    let target = readlinkat(found, "", Vec::new()).map_err(system)?;
    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
    if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        let resolved = at.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
        return Err(FileWriteError::LinkOwnedByOther {
            path: given.to_owned(),
            link: at.display().to_string(),
            owner_uid: stat.st_uid,
            target: resolved.display().to_string(),
        });
    }
    Ok(Some(target))
}
