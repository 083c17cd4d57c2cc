//! Lines of htpasswd files, with the lowest bcrypt cost, which is quick and sufficient for tests. Tests that
//! need a line of the Apache tool call that tool.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{program, run};

/// The lowest bcrypt cost, about a millisecond.
pub(crate) const QUICK: u32 = 4;

/// The bcrypt cost in the examples with `htpasswd -B`, about 50 ms with optimization.
pub(crate) const USUAL: u32 = 10;

/// A bcrypt cost high enough for other events during the check.
pub(crate) const SLOW: u32 = 13;

/// Returns a line for `user`.
pub(crate) fn line(user: &str, password: &str, cost: u32) -> String {
    let hash = bcrypt::hash_with_salt(password, cost, *b"sixteen bytes 16").expect("a hash");
    format!("{user}:{}\n", hash.format_for_version(bcrypt::Version::TwoY))
}

/// Returns lines for alice (password wonderland) and bob (password builder).
pub(crate) fn two() -> String {
    line("alice", "wonderland", QUICK) + &line("bob", "builder", QUICK)
}

/// Returns lines for ann (password a1), bob (b2) and carl (c3).
pub(crate) fn three() -> String {
    line("ann", "a1", QUICK) + &line("bob", "b2", QUICK) + &line("carl", "c3", QUICK)
}

/// Returns a line for alice only.
pub(crate) fn alice() -> String {
    line("alice", "wonderland", QUICK)
}

/// Adds a user with Apache's tool: `htpasswd -b FLAGS FILE USER PASSWORD`.
pub(crate) fn htpasswd(file: &Path, flags: &[&str], user: &str, password: &str) {
    let mut command = Command::new(program("htpasswd", "apache2-utils"));
    command.arg("-b").args(flags).arg(file).args([user, password]);
    let output = run(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// Replaces `path` atomically, as an editor and most tools do.
pub(crate) fn put(path: &Path, text: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}
