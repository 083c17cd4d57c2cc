//! Creation of missing files, and files that are never replaced (certbot/certbot#2207).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::doorward::{command, doorward};
use crate::support::mounted::{self, Mounts};
use crate::support::process::{Output, run};
use crate::support::users;

/// Every command that creates a file, to be followed by its path, and the other files that it creates.
const MAKING: [(&[&str], &[&str]); 4] = [
    (&["user", "add", "dave", "--generate", "--cost", "4", "--create", "--htpasswd"], &[]),
    (&["user", "add", "dave", "--generate", "--cost", "4", "--create", "--if-empty", "--htpasswd"], &[]),
    (&["api-key", "new", "--owner", "dave", "--name", "ci", "--create", "--api-keys"], &[]),
    (&["signing-key", "init", "--signing-keys"], &["bundle.pem", "jwks.json", "registry-auth.yml"]),
];

/// Returns all names below a folder with their types: links with their target, files with their size.
fn content(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_symlink() {
            names.push(format!("{} -> {}", path.display(), fs::read_link(&path).unwrap().display()));
        } else if kind.is_dir() {
            names.push(format!("{}/", path.display()));
            names.extend(content(&path));
        } else {
            // The file is not read, because reading a pipe would block.
            names.push(format!("{} {}", path.display(), entry.metadata().unwrap().len()));
        }
    }
    names.sort();
    names
}

/// Runs each command on `file` in a folder that `prepare` sets up. Checks that it changes nothing and that
/// the error contains all of `said`, in which `{dir}` is replaced by the folder.
fn assert_nothing_made(file: &str, prepare: impl Fn(&Path), said: &[&str]) {
    for (arguments, _) in MAKING {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let (before, path) = (content(dir.path()), dir.path().join(file));
        let output = doorward(&[arguments, &[path.to_str().unwrap()]].concat());
        assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{arguments:?}: {output:?}");
        for part in said {
            let part = part.replace("{dir}", dir.path().to_str().unwrap());
            assert!(output.stderr.contains(&part), "{arguments:?} does not say {part:?}: {}", output.stderr);
        }
        assert_eq!(content(dir.path()), before, "{arguments:?}");
    }
}

#[test]
fn dangling_link_is_refused_with_its_target_and_nothing_is_created_field_o1() {
    let nothing = "which does not exist; create or mount the target";
    for target in ["/nowhere/at/all", "missing", "missing/file", "../../../../../nowhere/file", "./a/../b"] {
        let link = |dir: &Path| symlink(target, dir.join("file")).unwrap();
        let said = format!("{target}, {nothing}");
        assert_nothing_made("file", link, &["{dir}/file is a link to ", &said]);
    }
    // A chain of links, the last of which is dangling.
    let chain = |dir: &Path| {
        symlink("second", dir.join("file")).unwrap();
        symlink("/nowhere", dir.join("second")).unwrap();
    };
    assert_nothing_made("file", chain, &["{dir}/second is a link to /nowhere, ", nothing]);
    // Through a folder that is a link, the link of the file itself is still dangling.
    let folder = |dir: &Path| {
        fs::create_dir(dir.join("real")).unwrap();
        symlink("real", dir.join("conf")).unwrap();
        symlink("conf/missing", dir.join("file")).unwrap();
    };
    assert_nothing_made("file", folder, &["{dir}/file is a link to {dir}/conf/missing, ", nothing]);
    // The folder is a link to a share that is not mounted.
    let share = |dir: &Path| symlink("/mnt/none/share", dir.join("conf")).unwrap();
    assert_nothing_made("conf/file", share, &["{dir}/conf is a link to /mnt/none/share, ", nothing]);
}

#[test]
fn folder_or_pipe_in_place_of_the_file_is_refused_field_o1() {
    let folder = |dir: &Path| fs::create_dir(dir.join("file")).unwrap();
    assert_nothing_made("file", folder, &["{dir}/file: it is a directory, not a file"]);
    let linked = |dir: &Path| {
        fs::create_dir(dir.join("folder")).unwrap();
        symlink("folder", dir.join("file")).unwrap();
    };
    assert_nothing_made("file", linked, &["it is a directory, not a file"]);
    let pipe = |dir: &Path| {
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("file"), rustix::fs::Mode::RUSR).unwrap();
    };
    assert_nothing_made("file", pipe, &["it is a device, a pipe or a socket, not a file"]);
}

#[test]
fn missing_folder_is_reported_and_not_created_field_o1() {
    let nothing = |_: &Path| {};
    assert_nothing_made(
        "none/file",
        nothing,
        &["there is no folder {dir}/none; mount the share that contains it"],
    );
    assert_nothing_made("none/deeper/file", nothing, &["there is no folder {dir}/none"]);
}

#[test]
fn link_to_a_file_that_exists_is_followed_and_stays_a_link_field_o1() {
    for is_inside in [true, false] {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = if is_inside { dir.path() } else { other.path() }.join("users");
        fs::write(&target, users::alice()).unwrap();
        let link = dir.path().join("htpasswd");
        symlink(&target, &link).unwrap();
        let arguments = ["user", "add", "dave", "--generate", "--cost", "4", "--create", "--htpasswd"];
        let output = doorward(&[&arguments[..], &[link.to_str().unwrap()]].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&target).unwrap().starts_with(&users::alice()), "{is_inside}");
    }
}

#[test]
fn path_beside_signing_keys_is_replaced_only_if_it_is_a_regular_file_field_o1() {
    for file in ["bundle.pem", "jwks.json", "registry-auth.yml"] {
        for kind in ["dangling", "link", "folder", "pipe"] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let put = || match kind {
                "dangling" => symlink("/nowhere/at/all", at(file)).unwrap(),
                "link" => {
                    fs::write(at("target"), "mine").unwrap();
                    symlink("target", at(file)).unwrap();
                }
                "folder" => fs::create_dir(at(file)).unwrap(),
                _ => rustix::fs::mkfifoat(rustix::fs::CWD, at(file), rustix::fs::Mode::RUSR).unwrap(),
            };
            let keys = at("keys.pem").display().to_string();
            let token = |what: &[&str]| -> Output {
                doorward(&[&["signing-key"], what, &["--signing-keys", &keys]].concat())
            };
            put();
            let before = content(dir.path());
            let output = token(&["init"]);
            assert_eq!(output.code, Some(1), "{file} {kind}: {output:?}");
            assert!(output.stderr.contains(&at(file).display().to_string()), "{output:?}");
            assert_eq!(content(dir.path()), before, "{file} {kind}");
            // The same holds for the commands that replace these files.
            let removed = if kind == "folder" { fs::remove_dir(at(file)) } else { fs::remove_file(at(file)) };
            removed.unwrap();
            assert_eq!(token(&["init"]).code, Some(0), "{file} {kind}");
            if file == "registry-auth.yml" {
                continue;
            }
            fs::remove_file(at(file)).unwrap();
            put();
            let before = content(dir.path());
            let output = token(&["add"]);
            assert_eq!(output.code, Some(1), "{file} {kind}: {output:?}");
            assert!(
                output.stderr.contains("which is not replaced; remove it, or move it away"),
                "{output:?}"
            );
            assert_eq!(content(dir.path()), before, "{file} {kind}: nothing is written before all can be");
        }
    }
}

/// Runs `user add --if-empty --marker-file`, as in compose.yaml.
fn first(htpasswd: &Path, once: &Path) -> Output {
    let (htpasswd, once) = (htpasswd.to_str().unwrap(), once.to_str().unwrap());
    doorward(&[
        "user",
        "add",
        "admin",
        "--if-empty",
        "--create",
        "--generate",
        "--cost",
        "4",
        "--marker-file",
        once,
        "--htpasswd",
        htpasswd,
    ])
}

#[test]
fn first_user_is_not_created_again_where_users_existed_field_o1() {
    let (share, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (htpasswd, once) = (share.path().join("htpasswd"), state.path().join("users"));
    // The marker is written both for an existing file and for a created one.
    for brought in [true, false] {
        if brought {
            fs::write(&htpasswd, users::alice()).unwrap();
        }
        assert_eq!(first(&htpasswd, &once).code, Some(0));
        assert!(once.is_file());
        let before = fs::read(&htpasswd).unwrap();
        assert_eq!(first(&htpasswd, &once).code, Some(0));
        assert_eq!(fs::read(&htpasswd).unwrap(), before);
        // The share is not mounted, or it is mounted and empty, or it has an emptied file.
        for emptied in [false, true] {
            fs::remove_file(&htpasswd).unwrap();
            if emptied {
                fs::write(&htpasswd, "# no users\n").unwrap();
            }
            let (shared, output) = (content(share.path()), first(&htpasswd, &once));
            assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{output:?}");
            let said = format!("the file has no users, but {} records that it had some", once.display());
            assert!(output.stderr.contains(&said), "{output:?}");
            assert_eq!(content(share.path()), shared);
            fs::write(&htpasswd, &before).unwrap();
            assert_eq!(first(&htpasswd, &once).code, Some(0), "the share is back");
        }
        fs::remove_file(&htpasswd).unwrap();
        fs::remove_file(&once).unwrap();
    }
    // A marker file is not replaced either: here it is a dangling link.
    symlink("/nowhere/at/all", &once).unwrap();
    assert_eq!(first(&htpasswd, &once).code, Some(1));
    assert_eq!(content(share.path()), Vec::<String>::new());
    let alone = doorward(&["user", "add", "x", "--generate", "--marker-file", "y", "--htpasswd", "z"]);
    assert_eq!(alone.code, Some(2), "without --if-empty it means nothing: {alone:?}");
}

#[test]
#[expect(clippy::print_stderr, reason = "what was not tried is said")]
fn linked_file_of_another_user_with_users_is_accepted() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can make a link of another user");
    }
    let dir = tempfile::tempdir().unwrap();
    let (link, once) = (dir.path().join("htpasswd"), dir.path().join("once"));
    fs::write(dir.path().join("users"), users::alice()).unwrap();
    symlink("users", &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(1000), Some(1000)).unwrap();
    let output = first(&link, &once);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("the file already has users"), "{output:?}");
}

#[test]
fn mount_point_of_fstab_without_a_mount_is_refused_field_o1() {
    let Some(unshare) = mounted::unshare() else { return };
    let dir = tempfile::tempdir().unwrap();
    let share = dir.path().join("the share");
    fs::create_dir_all(share.join("doorward")).unwrap();
    let line = format!(
        "server:/x {} nfs noauto 0 0\n",
        share.display().to_string().replace("the share", "the\\040share")
    );
    fs::write(dir.path().join("fstab"), line).unwrap();
    fs::create_dir(dir.path().join("disk")).unwrap();
    for (arguments, beside) in MAKING {
        for is_mounted in [false, true] {
            let mut mounts = Mounts::new(&unshare);
            mounts.bind(&dir.path().join("fstab"), Path::new("/etc/fstab"));
            if is_mounted {
                fs::create_dir_all(dir.path().join("disk/doorward")).unwrap();
                mounts.bind(&dir.path().join("disk"), &share);
            }
            let mut wrapped = mounts.wrap(command());
            wrapped.args(arguments).arg(share.join("doorward/file"));
            let output = run(wrapped);
            let said =
                format!("nothing is mounted at {}, which is a mount point in /etc/fstab", share.display());
            assert_eq!(output.code, Some(i32::from(!is_mounted)), "{arguments:?}: {output:?}");
            assert_eq!(output.stderr.contains(&said), !is_mounted, "{arguments:?}: {output:?}");
            assert_eq!(content(&share).len(), 1, "{arguments:?}: nothing is made below the mount point");
            let made = content(&dir.path().join("disk"));
            assert_eq!(made.len(), if is_mounted { 2 + beside.len() } else { 0 }, "{arguments:?}: {made:?}");
            let _ = fs::remove_dir_all(dir.path().join("disk/doorward"));
        }
    }
}
