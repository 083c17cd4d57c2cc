//! `htpasswd -v` of Apache.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::{OracleVerdict, output};
use crate::support::process::program;

/// Exit code for a wrong password.
const WRONG: i32 = 3;

/// Exit code for a user that is not in the file.
const NO_USER: i32 = 6;

pub(crate) fn ask(file: &Path, user: &[u8], password: &[u8]) -> OracleVerdict {
    // An argument ends at a NUL, and an argument that begins with a dash is an option.
    if [user, password].iter().any(|text| text.contains(&0)) || user.starts_with(b"-") {
        return OracleVerdict::Unaskable;
    }
    let mut command = Command::new(program("htpasswd", "apache2-utils"));
    command.arg("-vb").arg(file).args([OsStr::from_bytes(user), OsStr::from_bytes(password)]);
    match output(command).status.code() {
        Some(0) => OracleVerdict::Accepts,
        Some(WRONG | NO_USER) => OracleVerdict::Refuses,
        _ => OracleVerdict::Fails,
    }
}
