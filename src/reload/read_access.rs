//! What a user lacks who may not read a file, and the commands that give it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{getegid, geteuid, getgroups};

/// The bits of a group's rights in a mode.
const GROUP_READ: u32 = 0o040;
const GROUP_EXECUTE: u32 = 0o010;

/// Describes a read that was refused for want of rights: who this process is, what the file or a folder on the way
/// permits, and how to change that. `None` for any other error.
pub(super) fn describe_missing_access(path: &Path, error: &io::Error) -> Option<String> {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let who = format!("doorward runs as uid {uid}, gid {gid}");
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A folder that may not be entered hides all that is in it.
    let hidden =
        real.ancestors().filter(|at| !at.as_os_str().is_empty()).find_map(|at| match fs::metadata(at) {
            Ok(metadata) => Some((at, metadata)),
            Err(_) => None,
        });
    let Some((at, metadata)) = hidden else { return Some(who) };
    Some(format!(
        "{who}, and {} belongs to {}:{} with mode {:04o}; {}",
        at.display(),
        metadata.uid(),
        metadata.gid(),
        metadata.mode() & 0o7777,
        fix_command(at, &metadata, uid, gid)
    ))
}

fn fix_command(at: &Path, metadata: &Metadata, uid: u32, gid: u32) -> String {
    let (right, bit) = if metadata.is_dir() { ("x", GROUP_EXECUTE) } else { ("r", GROUP_READ) };
    if metadata.uid() == uid {
        return format!("chmod u+{right} {}", at.display());
    }
    let groups = getgroups().unwrap_or_default();
    let is_member = metadata.gid() == gid || groups.iter().any(|group| group.as_raw() == metadata.gid());
    let (chgrp, chmod) =
        (format!("chgrp {gid} {}", at.display()), format!("chmod g+{right} {}", at.display()));
    match (is_member, metadata.mode() & bit != 0) {
        (false, false) => format!("{chgrp} && {chmod}"),
        (false, true) => chgrp,
        (true, false) => chmod,
        (true, true) => format!("a rule of SELinux or AppArmor about {} refuses it", at.display()),
    }
}
