//! Lines of htpasswd files, made here with bcrypt's lowest cost, which is quick and as good for a
//! test. Where it matters that Apache's own tool made the line, the tests call that.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{program, run};

/// The lowest cost that there is: about a millisecond.
pub(crate) const QUICK: u32 = 4;

/// What `htpasswd -B` has in the examples; about 50 ms of optimised code.
pub(crate) const USUAL: u32 = 10;

/// Long enough that something else can happen in the meantime.
pub(crate) const SLOW: u32 = 13;

/// A line for `user`.
pub(crate) fn line(user: &str, password: &str, cost: u32) -> String {
    let hash = bcrypt::hash_with_salt(password, cost, *b"sixteen bytes 16").expect("a hash");
    format!("{user}:{}\n", hash.format_for_version(bcrypt::Version::TwoY))
}

/// alice, whose password is wonderland, and bob, whose password is builder.
pub(crate) fn two() -> String {
    line("alice", "wonderland", QUICK) + &line("bob", "builder", QUICK)
}

/// ann, whose password is a1, bob (b2) and carl (c3).
pub(crate) fn three() -> String {
    line("ann", "a1", QUICK) + &line("bob", "b2", QUICK) + &line("carl", "c3", QUICK)
}

/// alice alone.
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

/// Puts another file in the place of `path` in one step, as an editor and most tools do.
pub(crate) fn put(path: &Path, text: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}
