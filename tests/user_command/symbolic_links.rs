//! Links, pipes and devices in place of a file: links of other users are not followed.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{QUICK, Users};
use crate::support::doorward::doorward;
use crate::support::process::Output;
use crate::support::users;

/// The user `nobody` of Debian.
const OTHER_UID: u32 = 65534;

/// Creates a link that belongs to another user. Returns false if this is not root, because only root can
/// create one.
fn planted(target: impl AsRef<Path>, at: &Path) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    symlink(target, at).unwrap();
    lchown(at, Some(OTHER_UID), Some(OTHER_UID)).unwrap();
    true
}

/// Runs every command that changes a file, with `path` as the file.
fn all(path: &Path) -> Vec<(String, Output)> {
    let path = path.to_str().unwrap();
    let commands: [&[&str]; 9] = [
        &["user", "add", "dave", "--generate", "--cost", "4", "--htpasswd", path],
        &["user", "add", "dave", "--generate", "--cost", "4", "--create", "--htpasswd", path],
        &["user", "add", "dave", "--generate", "--if-empty", "--create", "--cost", "4", "--htpasswd", path],
        &["user", "set", "alice", "--generate", "--cost", "4", "--htpasswd", path],
        &["user", "remove", "alice", "--htpasswd", path],
        &["api-key", "new", "--create", "--owner", "alice", "--name", "ci", "--api-keys", path],
        &["api-key", "revoke", "0123456789", "--api-keys", path],
        &["signing-key", "init", "--signing-keys", path],
        &["signing-key", "add", "--signing-keys", path],
    ];
    commands.map(|arguments| (arguments.join(" "), doorward(arguments))).into()
}

/// Checks that every command refuses the file, and that `victim` is unchanged.
fn assert_refused(path: &Path, victim: &Path, why: &str) {
    let before = fs::read(victim).ok();
    for (command, output) in all(path) {
        // This command only reads the file if there are users.
        if command.contains("--if-empty")
            && output.stdout.contains("the file already has users, so none was added")
        {
            assert_eq!(fs::read(victim).ok(), before, "{command} changed {}", victim.display());
            continue;
        }
        assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{command}: {output:?}");
        assert!(output.stderr.contains(why), "{command} does not say {why:?}: {output:?}");
        assert_eq!(fs::read(victim).ok(), before, "{command} changed {}", victim.display());
    }
}

#[test]
fn planted_link_is_not_followed_and_reported_with_its_target_field_r5() {
    let (folder, users) = (tempfile::tempdir().unwrap(), Users::of(&users::alice()));
    let link = folder.path().join("htpasswd");
    if planted(&users.path, &link) {
        let why = format!("is a link to {} that belongs to uid 65534", users.path.display());
        assert_refused(&link, &users.path, &why);
        assert_refused(&link, &users.path, "that belongs to uid 65534");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // A command that only reads follows the link.
        let list = doorward(&["user", "list", "--htpasswd", link.to_str().unwrap()]);
        assert_eq!(list.code, Some(0));
    }
}

#[test]
fn planted_link_in_place_of_a_folder_is_not_followed_field_r5() {
    let (folder, users) = (tempfile::tempdir().unwrap(), Users::of(&users::alice()));
    let link = folder.path().join("conf");
    if planted(users.dir.path(), &link) {
        assert_refused(&link.join("htpasswd"), &users.path, "that belongs to uid 65534");
        assert_refused(&link.join("new"), &users.dir.path().join("new"), "that belongs to uid 65534");
    }
}

#[test]
fn planted_link_behind_an_own_link_is_not_followed_field_r5() {
    let (folder, users) = (tempfile::tempdir().unwrap(), Users::of(&users::alice()));
    let at = |name: &str| folder.path().join(name);
    if planted(users.dir.path(), &at("planted")) {
        symlink("planted/../planted/htpasswd", at("own")).unwrap();
        assert_refused(&at("own"), &users.path, "that belongs to uid 65534");
    }
}

#[test]
fn planted_dangling_link_creates_no_file_field_r5() {
    let folder = tempfile::tempdir().unwrap();
    let (link, victim) = (folder.path().join("htpasswd"), folder.path().join("victim"));
    if planted(&victim, &link) {
        assert_refused(&link, &victim, "that belongs to uid 65534");
    }
    let own = folder.path().join("own");
    symlink("victim", &own).unwrap();
    assert_refused(&own, &victim, "is a link to ");
    assert!(!victim.exists());
}

#[test]
fn planted_links_in_place_of_lock_and_new_file_are_not_followed() {
    let users = Users::of(&users::alice());
    let victim = users.dir.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let lock = users.dir.path().join(".htpasswd.doorward-lock");
    symlink(&victim, users.dir.path().join(".htpasswd.doorward-new")).unwrap();
    symlink(&victim, &lock).unwrap();
    let output = users.run("add", &["bob", "--generate"], b"");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains(".htpasswd.doorward-lock") && output.stderr.contains("remove it"),
        "{output:?}"
    );
    fs::remove_file(&lock).unwrap();
    users.add("bob", "builder");
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(users.names(), ["htpasswd", "victim"]);
}

#[test]
fn own_link_is_followed_and_the_changed_path_is_printed() {
    let users = Users::of(&users::alice());
    let folder = users.dir.path();
    fs::create_dir(folder.join("conf")).unwrap();
    symlink("..", folder.join("conf/up")).unwrap();
    symlink("conf/up/htpasswd", folder.join("link")).unwrap();
    let path = folder.join("link").display().to_string();
    let output = doorward(&["user", "add", "bob", "--generate", "--cost", "4", "--htpasswd", &path]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let real = fs::canonicalize(folder).unwrap().join("htpasswd");
    assert_eq!(
        output.stderr,
        format!("doorward: {path} is a link; the changed file is {}\n", real.display())
    );
    assert!(users.text().contains("bob:"));
}

#[test]
fn relative_paths_with_dots_are_resolved_as_by_other_programs() {
    let users = Users::of(&users::alice());
    fs::create_dir(users.dir.path().join("conf")).unwrap();
    for path in ["htpasswd", "./htpasswd", "conf/../htpasswd", "conf/./.././htpasswd"] {
        let mut command = crate::support::doorward::command();
        command.args(["user", "set", "alice", "--generate", "--htpasswd", path]).args(QUICK);
        let output = command.current_dir(users.dir.path()).output().unwrap();
        assert!(output.status.success(), "{path}: {output:?}");
    }
    let mut command = crate::support::doorward::command();
    command.args(["user", "list", "--htpasswd", "../htpasswd"]).current_dir(users.dir.path().join("conf"));
    assert!(command.output().unwrap().status.success());
}

/// Creates paths that are not regular files: a pipe, a socket, a device and a folder.
fn no_files(folder: &Path) -> Vec<PathBuf> {
    let at = |name: &str| folder.join(name);
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("pipe", at("link")).unwrap();
    vec![at("pipe"), at("socket"), at("folder"), at("link"), PathBuf::from("/dev/zero")]
}

#[test]
fn pipe_socket_device_or_folder_in_place_of_any_file_is_refused_at_once_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("htpasswd");
    fs::write(&good, users::alice()).unwrap();
    let good = good.to_str().unwrap();
    for path in no_files(folder.path()) {
        let begin = Instant::now();
        assert_refused(&path, &folder.path().join("nothing"), ", not a file");
        let at = path.to_str().unwrap();
        let readers: [&[&str]; 12] = [
            &["user", "list", "--htpasswd", at],
            &["user", "verify", "alice", "--stdin", "--htpasswd", at],
            &["api-key", "list", "--api-keys", at],
            &["signing-key", "list", "--signing-keys", at],
            &["signing-key", "add", "--signing-keys", good, "--private-key", at],
            &["check", "--htpasswd", at],
            &["check", "--htpasswd", good, "--api-keys", at],
            &["check", "--htpasswd", good, "--policy", at],
            &["check", "--htpasswd", good, "--groups", at],
            &["check", "--htpasswd", good, "--expect", at],
            &["check", "--config", at],
            &["explain", "--policy", at, "alice", "GET", "/"],
        ];
        for arguments in readers {
            let output = doorward(arguments);
            assert_eq!(output.code, Some(1), "{arguments:?}: {output:?}");
            assert!(
                output.stderr.contains("not a file") || output.stdout.contains("not a file"),
                "{output:?}"
            );
        }
        for flag in ["--htpasswd", "--api-keys", "--policy", "--groups"] {
            let users: &[&str] = if flag == "--htpasswd" { &[] } else { &["--htpasswd", good] };
            let output = doorward(&[&["serve", "--listen", "127.0.0.1:0", flag, at], users].concat());
            assert!(output.code == Some(1) && output.stderr.contains("not a file"), "{flag}: {output:?}");
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{}: {:?}", path.display(), begin.elapsed());
    }
}
