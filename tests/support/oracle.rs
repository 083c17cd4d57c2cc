//! Other programs that check a password against a line of an htpasswd file: `auth_basic` of nginx, `htpasswd
//! -v` of Apache, and the crate htpasswd-verify.

pub(crate) mod auth_basic;
pub(crate) mod htpasswd;
pub(crate) mod verify_crate;

use std::process::{Command, Output, Stdio};

/// Result of another program for a file, a user and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OracleVerdict {
    Accepts,
    Refuses,
    /// nginx: status 500. `htpasswd -v`: neither "right" nor "wrong".
    Fails,
    /// The crate panics or ends its process.
    Panics,
    /// The program cannot take these bytes as input.
    Unaskable,
}

impl OracleVerdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Accepts => "accepts",
            Self::Refuses => "refuses",
            Self::Fails => "fails",
            Self::Panics => "panics",
            Self::Unaskable => "can't be asked",
        }
    }
}

/// Runs a program that is quick and does not block.
pub(crate) fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
