//! What is said of files and settings that are not as they should be: what it is, where, and what to do; and never a
//! word of what stands there, which may be a password. The support code searches every output for the marked secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::doorward::command;
use crate::support::process::{Output, run_with_input};

/// A folder with one file.
pub(crate) struct TestFolder {
    pub(crate) dir: TempDir,
    pub(crate) path: PathBuf,
}

impl TestFolder {
    pub(crate) fn of(content: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        fs::write(&path, content).unwrap();
        // Or check would note that others can read it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self { dir, path }
    }

    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Another file beside it.
    pub(crate) fn add_file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Runs doorward with these arguments and `--htpasswd`, with this on stdin.
    pub(crate) fn run(&self, arguments: &[&str], stdin: &str) -> Output {
        run(&self.path, arguments, stdin)
    }
}

fn run(htpasswd: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut command = command();
    command.args(arguments).arg("--htpasswd").arg(htpasswd);
    run_with_input(command, stdin.as_bytes())
}

/// Runs doorward with these arguments alone.
pub(crate) fn run_bare(arguments: &[&str]) -> Output {
    crate::support::doorward::doorward(arguments)
}

/// All that was said.
pub(crate) fn all_output(output: &Output) -> String {
    output.stdout.clone() + &output.stderr
}
