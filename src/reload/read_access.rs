//! The explanation of a read that was denied, with the commands that permit it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{getegid, geteuid, getgroups};

/// Permission bits of the group in a file mode.
const GROUP_READ: u32 = 0o040;
const GROUP_EXECUTE: u32 = 0o010;

/// Describes a read that was denied: the ids of this process, the mode of the file or folder that denies it, and the
/// command that changes the mode. Returns `None` for any other error.
pub(super) fn describe_missing_access(path: &Path, error: &io::Error) -> Option<String> {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let process = format!("doorward runs as uid {uid}, gid {gid}");
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // The metadata below a folder without execute permission is hidden, so the innermost visible path denies the read.
    let visible = target
        .ancestors()
        .filter(|parent| !parent.as_os_str().is_empty())
        .find_map(|parent| fs::metadata(parent).ok().map(|metadata| (parent, metadata)));
    let Some((denying, metadata)) = visible else { return Some(process) };
    Some(format!(
        "{process}, and {} belongs to {}:{} with mode {:04o}; {}",
        denying.display(),
        metadata.uid(),
        metadata.gid(),
        metadata.mode() & 0o7777,
        fix_command(denying, &metadata, uid, gid)
    ))
}

/// Returns the command that permits the read.
fn fix_command(path: &Path, metadata: &Metadata, uid: u32, gid: u32) -> String {
    let (permission, bit) = if metadata.is_dir() { ("x", GROUP_EXECUTE) } else { ("r", GROUP_READ) };
    if metadata.uid() == uid {
        return format!("chmod u+{permission} {}", path.display());
    }
    let groups = getgroups().unwrap_or_default();
    let is_member = metadata.gid() == gid || groups.iter().any(|group| group.as_raw() == metadata.gid());
    let (chgrp, chmod) =
        (format!("chgrp {gid} {}", path.display()), format!("chmod g+{permission} {}", path.display()));
    match (is_member, metadata.mode() & bit != 0) {
        (false, false) => format!("{chgrp} && {chmod}"),
        (false, true) => chgrp,
        (true, false) => chmod,
        (true, true) => format!("check the rules of SELinux or AppArmor for {}", path.display()),
    }
}
