//! A file that the user of doorward cannot read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::doorward::command;
use crate::support::process::{program, run};
use crate::support::users;

/// User id of the doorward image.
const USER: &str = "65532";

/// A copy of the program that any user can run. `None` unless the test runs as root, because only root can
/// change to another user.
struct AsUser {
    dir: tempfile::TempDir,
}

impl AsUser {
    #[expect(clippy::print_stderr, reason = "what was not tried is said")]
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can start a program as another user");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::copy(command().get_program(), dir.path().join("doorward")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self { dir })
    }

    /// Creates a folder and an htpasswd file of root with these modes.
    fn file(&self, folder: u32, file: u32) -> PathBuf {
        let at = self.dir.path().join("conf");
        let _ = fs::remove_dir_all(&at);
        fs::create_dir(&at).unwrap();
        let path = at.join("htpasswd");
        fs::write(&path, users::alice()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(file)).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(folder)).unwrap();
        path
    }

    /// Returns the output of the command `what` for a file, run as a user in these groups.
    fn says(&self, what: &str, path: &Path, groups: &str) -> String {
        let mut command = Command::new(program("setpriv", "util-linux"));
        command.args(["--reuid", USER, "--regid", USER, "--inh-caps=-all"]);
        command.args(if groups.is_empty() { vec!["--clear-groups"] } else { vec!["--groups", groups] });
        command.arg(self.dir.path().join("doorward")).arg(what).arg("--htpasswd").arg(path);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.env_clear();
        let output = run(command);
        output.stderr.lines().find(|line| line.starts_with("doorward: ")).unwrap_or_default().to_owned()
    }

    fn assert_says(&self, path: &Path, groups: &str, rest: &str) {
        for what in ["serve", "check"] {
            let wanted =
                format!("doorward: {}: cannot be read: Permission denied (os error 13); ", path.display());
            let rest = rest.replace("{file}", path.to_str().unwrap());
            let rest = rest.replace("{folder}", path.parent().unwrap().to_str().unwrap());
            assert_eq!(
                self.says(what, path, groups),
                wanted + "doorward runs as uid 65532, gid 65532, and " + &rest
            );
        }
    }
}

#[test]
fn file_readable_only_by_root_is_reported_with_the_user_and_the_command_field_o11() {
    let Some(user) = AsUser::new() else { return };
    user.assert_says(
        &user.file(0o755, 0o600),
        "",
        "{file} belongs to 0:0 with mode 0600; chgrp 65532 {file} && chmod g+r {file}",
    );
    // The group can read the file, and the user is in another group.
    user.assert_says(
        &user.file(0o755, 0o640),
        "",
        "{file} belongs to 0:0 with mode 0640; chgrp 65532 {file}",
    );
    // The group is a supplementary group of the user.
    let path = user.file(0o755, 0o600);
    chown(&path, None, Some(1234)).unwrap();
    user.assert_says(&path, "1234", "{file} belongs to 0:1234 with mode 0600; chmod g+r {file}");
    // The user owns the file.
    let path = user.file(0o755, 0o000);
    chown(&path, Some(65532), None).unwrap();
    user.assert_says(&path, "", "{file} belongs to 65532:0 with mode 0000; chmod u+r {file}");
    // A folder of the path is not accessible.
    user.assert_says(
        &user.file(0o700, 0o644),
        "",
        "{folder} belongs to 0:0 with mode 0700; chgrp 65532 {folder} && chmod g+x {folder}",
    );
}

#[test]
fn suggested_commands_make_the_file_readable_field_o11() {
    let Some(user) = AsUser::new() else { return };
    for (folder, file) in [(0o755, 0o600), (0o755, 0o640), (0o700, 0o600), (0o750, 0o644)] {
        let path = user.file(folder, file);
        for _ in 0..2 {
            let said = user.says("check", &path, "");
            let Some((_, commands)) = said.rsplit_once("; ") else { break };
            let mut shell = Command::new("sh");
            shell.args(["-c", commands]);
            assert_eq!(run(shell).code, Some(0), "{commands}");
        }
        assert_eq!(user.says("check", &path, ""), "", "{folder:o} {file:o}");
    }
}
