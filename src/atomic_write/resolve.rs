//! Resolution of a path to a folder and a name, link by link.
//!
//! A user that can write to a folder can create a link in it. If root followed such a link, it could be made to change
//! any file. Therefore a link that belongs to another user is not followed. Each folder is kept open while the next name
//! is resolved in it, so that the folder cannot be replaced meanwhile.

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

/// Maximum number of links in one path, as in Linux (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Flags for opening a folder: only for resolving names in it, and without following a link that replaced it.
const FOLDER_FLAGS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A resolved path: a name in an open folder.
pub(super) struct ResolvedPath {
    pub(super) folder: OwnedFd,
    /// The path of the folder, without links.
    pub(super) folder_path: PathBuf,
    pub(super) name: OsString,
    /// The last link that was followed for the last name of the path.
    pub(super) link: Option<FollowedLink>,
}

/// A link that was followed.
#[derive(Clone)]
pub(super) struct FollowedLink {
    path: PathBuf,
    target: PathBuf,
}

impl FollowedLink {
    /// Returns the error for a link whose target is missing.
    pub(super) fn dangling_error(&self, display_path: String) -> FileWriteError {
        let target =
            self.path.parent().map_or_else(|| self.target.clone(), |folder| folder.join(&self.target));
        FileWriteError::DanglingLink {
            path: display_path,
            link: self.path.display().to_string(),
            target: target.display().to_string(),
        }
    }
}

impl fmt::Debug for ResolvedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResolvedPath({})", self.path().display())
    }
}

impl ResolvedPath {
    /// Returns the path without links.
    pub(super) fn path(&self) -> PathBuf {
        self.folder_path.join(&self.name)
    }

    /// Returns the metadata of a name in the folder; `None` if it is missing. A link is not followed.
    pub(super) fn stat(&self, name: &OsStr) -> Result<Option<Stat>, Errno> {
        match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the names of a path, including `..`.
fn path_names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name)
}

/// Resolves a path to an open folder and a name. The file itself can be missing.
///
/// # Errors
/// A folder is missing or cannot be opened, or a link belongs neither to the caller nor to root.
pub(super) fn resolve_path(path: &Path) -> Result<ResolvedPath, FileWriteError> {
    let display_path = displayable_path(path);
    let io_error = |error: Errno| FileWriteError::Io(display_path.clone(), error.into());
    let root = |path: &Path| if path.is_absolute() { "/" } else { "." };
    let open = |path: &Path| openat(CWD, root(path), FOLDER_FLAGS, Mode::empty()).map_err(io_error);
    let mut folder = open(path)?;
    let mut folder_path = if path.is_absolute() { PathBuf::from("/") } else { PathBuf::new() };
    let mut remaining: VecDeque<OsString> = path_names(path).collect();
    let mut links = 0;
    // The links whose targets contain the next name, each with the number of names that follow its target.
    let mut open_links: Vec<(FollowedLink, usize)> = Vec::new();
    while let Some(name) = remaining.pop_front() {
        open_links.retain(|(_, following)| remaining.len() >= *following);
        let target =
            match openat(&folder, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                Ok(found) => read_trusted_link(&found, &display_path, &folder_path.join(&name))?,
                // Only the last name can be missing.
                Err(Errno::NOENT) if remaining.is_empty() => None,
                Err(Errno::NOENT) => {
                    return Err(match open_links.last() {
                        Some((link, _)) => link.dangling_error(display_path),
                        None => FileWriteError::FolderMissing(
                            display_path,
                            folder_path.join(&name).display().to_string(),
                        ),
                    });
                }
                Err(error) => return Err(io_error(error)),
            };
        match target {
            Some(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io_error(Errno::LOOP));
                }
                open_links.push((
                    FollowedLink { path: folder_path.join(&name), target: target.clone() },
                    remaining.len(),
                ));
                if target.is_absolute() {
                    (folder, folder_path) = (open(&target)?, PathBuf::from("/"));
                }
                path_names(&target).rev().for_each(|name| remaining.push_front(name));
            }
            None if remaining.is_empty() && name != ".." => {
                if folder_path.as_os_str().is_empty() {
                    folder_path.push(".");
                }
                // Links to folders of the path are not links to the file.
                let link =
                    open_links.into_iter().rfind(|(_, following)| *following == 0).map(|(link, _)| link);
                return Ok(ResolvedPath { folder, folder_path, name, link });
            }
            None => {
                folder = openat(&folder, &name, FOLDER_FLAGS, Mode::empty()).map_err(io_error)?;
                if name != ".." || !folder_path.pop() {
                    folder_path.push(name);
                }
            }
        }
    }
    Err(io_error(Errno::ISDIR))
}

/// Returns the target of a link that belongs to the caller or to root; `None` if the open file is not a link.
fn read_trusted_link(
    file: &OwnedFd,
    display_path: &str,
    link_path: &Path,
) -> Result<Option<PathBuf>, FileWriteError> {
    let io_error = |error: Errno| FileWriteError::Io(display_path.to_owned(), error.into());
    let stat = fstat(file).map_err(io_error)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    let target = readlinkat(file, "", Vec::new()).map_err(io_error)?;
    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
    if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        let resolved = link_path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
        return Err(FileWriteError::LinkOwnedByOther {
            path: display_path.to_owned(),
            link: link_path.display().to_string(),
            owner_uid: stat.st_uid,
            target: resolved.display().to_string(),
        });
    }
    Ok(Some(target))
}
