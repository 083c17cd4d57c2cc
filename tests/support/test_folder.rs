//! A test folder with files and settings. Errors about invalid files must name the problem, the place and the
//! remedy. They must not quote the file, which may contain a password. The support code searches every output
//! for the marked secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::doorward::command;
use crate::support::process::{Output, run_with_input};

/// A temporary folder with one file.
pub(crate) struct TestFolder {
    pub(crate) dir: TempDir,
    pub(crate) path: PathBuf,
}

impl TestFolder {
    pub(crate) fn of(content: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        fs::write(&path, content).unwrap();
        // Otherwise `check` warns that other users can read the file.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self { dir, path }
    }

    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Adds another file to the folder, and returns its path.
    pub(crate) fn add_file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Runs doorward with these arguments, `--htpasswd` and this input on stdin.
    pub(crate) fn run(&self, arguments: &[&str], stdin: &str) -> Output {
        run(&self.path, arguments, stdin)
    }
}

fn run(htpasswd: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut command = command();
    command.args(arguments).arg("--htpasswd").arg(htpasswd);
    run_with_input(command, stdin.as_bytes())
}

/// Runs doorward with only these arguments.
pub(crate) fn run_bare(arguments: &[&str]) -> Output {
    crate::support::doorward::doorward(arguments)
}

/// Returns stdout and stderr.
pub(crate) fn all_output(output: &Output) -> String {
    output.stdout.clone() + &output.stderr
}
