//! Others who say whether a password fits a line of an htpasswd file: nginx's own `auth_basic`,
//! Apache's `htpasswd -v`, and the crate htpasswd-verify.

pub(crate) mod auth_basic;
pub(crate) mod htpasswd;
pub(crate) mod verify_crate;

use std::process::{Command, Output, Stdio};

/// What one of them says of a file, a user and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OracleVerdict {
    Accepts,
    Refuses,
    /// nginx: 500; `htpasswd -v`: neither "right" nor "wrong".
    Fails,
    /// Of a crate: it panics, or ends its process.
    Panics,
    /// It can't be given these bytes.
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

/// Runs a program that is quick and can't wait for anything.
pub(crate) fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
