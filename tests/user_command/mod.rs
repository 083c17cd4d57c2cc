//! `doorward user`: changing an htpasswd file.

mod concurrent_commands;
mod created_files;
mod deceptive_names;
mod file;
mod killed_command;
mod lock;
mod password_input;
mod permissions_check;
mod running_service;
mod symbolic_links;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::doorward;
use crate::support::oracle::auth_basic::AuthBasic;
use crate::support::oracle::{OracleVerdict, htpasswd};
use crate::support::process::Output;

/// bcrypt's lowest cost, so that the tests are quick.
const QUICK: [&str; 2] = ["--cost", "4"];

/// A folder with or without an htpasswd file.
struct Users {
    dir: TempDir,
    path: PathBuf,
}

impl Users {
    /// Returns a folder without a file.
    fn none() -> Self {
        let dir = tempfile::tempdir().expect("a folder for users");
        let path = dir.path().join("htpasswd");
        Self { dir, path }
    }

    fn of(text: &str) -> Self {
        let users = Self::none();
        fs::write(&users.path, text).unwrap();
        users
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// Runs `doorward user WHAT` with this input on stdin.
    fn run(&self, what: &str, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut command = command(&self.path, what);
        command.args(arguments);
        let input = self.dir.path().join("stdin");
        fs::write(&input, stdin).unwrap();
        let output = command.stdin(File::open(&input).unwrap()).output().unwrap();
        fs::remove_file(&input).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let line = format!("{command:?}");
        let output =
            Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        crate::support::secrets::assert_contains_no_secret(&line, &(output.stdout.clone() + &output.stderr));
        output
    }

    /// Runs a command that must succeed without output.
    fn quietly(&self, what: &str, arguments: &[&str], stdin: &str) {
        let output = self.run(what, arguments, stdin.as_bytes());
        let said = (output.code, &output.stdout[..], &output.stderr[..]);
        assert_eq!(said, (Some(0), "", ""), "{what} {arguments:?}");
    }

    /// Adds a user.
    fn add(&self, name: &str, password: &str) {
        self.quietly("add", &[name, "--stdin", QUICK[0], QUICK[1]], password);
    }

    /// Runs a command that must fail with `why` and change nothing.
    fn refuses(&self, what: &str, arguments: &[&str], stdin: &[u8], why: &str) {
        let before = fs::read(&self.path).ok();
        let output = self.run(what, arguments, stdin);
        assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{what} {arguments:?}: {output:?}");
        let says = output.stderr.starts_with("doorward: ") && output.stderr.contains(why);
        assert!(says, "{what} {arguments:?} does not say {why:?}: {output:?}");
        assert_eq!(fs::read(&self.path).ok(), before, "{what} {arguments:?} changed the file");
        assert!(self.names().iter().all(|name| name == "htpasswd"), "left behind: {:?}", self.names());
    }

    /// Returns the result of `htpasswd -v` and nginx for a user and a password; both must agree.
    fn oracle_verdict(&self, nginx: &AuthBasic, name: &str, password: &str) -> OracleVerdict {
        nginx.file("users", &fs::read(&self.path).unwrap());
        let nginx = nginx.ask("users", name.as_bytes(), password.as_bytes());
        let apache = htpasswd::ask(&self.path, name.as_bytes(), password.as_bytes());
        assert_eq!(nginx, apache, "{name} with {password}");
        nginx
    }

    /// Returns the files of the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(&self) -> u32 {
        fs::metadata(&self.path).unwrap().permissions().mode() & 0o7777
    }
}

/// Returns the command `doorward user WHAT` for the file at `path`.
fn command(path: &Path, what: &str) -> Command {
    let mut command = doorward::command();
    command.args(["user", what, "--htpasswd"]).arg(path);
    command
}
