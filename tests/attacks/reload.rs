//! Files that change while doorward answers requests.

mod model;
mod removal_times;

use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use tempfile::TempDir;

use crate::support::scale::is_full;

/// The maximum time until a change is in force, at full size on an idle machine.
const IN_FORCE_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The additional time in a run with other tests, which use all cores.
const BUSY: std::time::Duration = std::time::Duration::from_millis(1500);

fn bound() -> std::time::Duration {
    if is_full() { IN_FORCE_WITHIN } else { IN_FORCE_WITHIN + BUSY }
}

/// Returns the file systems that are tested, with a folder on each. ext4 reuses the inode number of a removed file for
/// the next file; tmpfs does not.
fn file_systems() -> Vec<(&'static str, TempDir)> {
    const TMPFS: i64 = 0x0102_1994;
    const EXT4: i64 = 0xEF53;
    let kind = |path: &Path| statfs(path).ok().map(|stat| stat.f_type);
    let candidates = [std::env::temp_dir(), PathBuf::from(env!("CARGO_TARGET_TMPDIR")), "/dev/shm".into()];
    let find = |name, magic| {
        let at = candidates.iter().find(|path| kind(path) == Some(magic));
        match at {
            Some(path) => Some((name, tempfile::tempdir_in(path).unwrap())),
            None => {
                report(&format!("no folder is on {name}: not tested there"));
                None
            }
        }
    };
    [find("ext4", EXT4), find("tmpfs", TMPFS)].into_iter().flatten().collect()
}

/// Prints a figure, which `--nocapture` shows.
#[expect(clippy::print_stdout, reason = "shown with --nocapture, for the documentation")]
fn report(line: &str) {
    println!("{line}");
}
