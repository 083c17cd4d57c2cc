//! `nginx/make-secret.sh`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::nginx::{busybox, shipped};
use crate::support::process::{Output, run};

fn make(shell: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(shipped().join("make-secret.sh")).args(arguments);
    run(command)
}

/// Runs the test with the shell of Debian and, if available, with that of Alpine.
pub(super) fn with_each_shell(test: impl Fn(&[&str], &Path)) {
    let busybox = busybox().map(|path| path.display().to_string());
    let shells = [Some(vec!["sh"]), busybox.as_deref().map(|path| vec![path, "sh"])];
    for shell in shells.into_iter().flatten() {
        let dir = tempfile::tempdir().unwrap();
        test(&shell, dir.path());
    }
}

#[test]
fn created_secret_is_valid_for_doorward_and_nginx_and_readable_only_by_its_owner() {
    with_each_shell(|shell, dir| {
        let at = |name: &str| dir.join(name).display().to_string();
        for (name, more, mode) in [("one", &[][..], 0o600), ("two", &["", "0640"][..], 0o640)] {
            let output = make(shell, &[&[&at(name)[..]], more].concat());
            assert_eq!(output.code, Some(0), "{output:?}");
            assert_eq!(output.stdout + &output.stderr, "");
            assert_eq!(fs::metadata(at(name)).unwrap().permissions().mode() & 0o777, mode);
        }
        let [one, two] = ["one", "two"].map(|name| fs::read_to_string(at(name)).unwrap());
        assert_ne!(one, two);
        assert!(one.trim_end().len() == 64 && one.trim_end().bytes().all(|b| b.is_ascii_hexdigit()), "{one}");
        assert_eq!(fs::read_dir(dir).unwrap().count(), 2, "nothing else is left behind");
    });
}

#[test]
fn existing_empty_file_folder_or_dangling_link_is_never_replaced_field_o1() {
    with_each_shell(|shell, dir| {
        let at = |name: &str| dir.join(name);
        fs::write(at("file"), "mine").unwrap();
        fs::write(at("empty"), "").unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink("file", at("to-a-file")).unwrap();
        symlink("/nowhere/at/all", at("dangling")).unwrap();
        symlink(at("target"), at("to-be-made")).unwrap();
        symlink("to-be-made", at("chain")).unwrap();
        symlink(at("folder"), at("to-a-folder")).unwrap();
        let nowhere = "which does not exist; mount the target, or remove the link";
        let target = at("target").display().to_string();
        let names = [
            ("file", None),
            ("empty", None),
            ("to-a-file", None),
            ("folder", Some("folder is a directory".to_owned())),
            ("to-a-folder", Some("to-a-folder is a directory".to_owned())),
            ("dangling", Some(format!("dangling is a link to /nowhere/at/all, {nowhere}"))),
            ("to-be-made", Some(format!("to-be-made is a link to {target}, {nowhere}"))),
            ("chain", Some(format!("chain is a link to to-be-made, {nowhere}"))),
        ];
        for (name, refused) in &names {
            let output = make(shell, &[&at(name).display().to_string(), "", "0666"]);
            assert_eq!(output.code, Some(i32::from(refused.is_some())), "{name}: {output:?}");
            assert!(output.stderr.contains(refused.as_deref().unwrap_or_default()), "{name}: {output:?}");
        }
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(at("empty")).unwrap(), "");
        assert_eq!(fs::read_dir(at("folder")).unwrap().count(), 0);
        assert_eq!(fs::read_link(at("dangling")).unwrap(), Path::new("/nowhere/at/all"));
        assert!(!at("target").exists(), "nothing is written through a link");
        assert_eq!(fs::read_dir(dir).unwrap().count(), names.len());
    });
}

#[test]
fn secret_that_cannot_be_created_is_an_error() {
    with_each_shell(|shell, dir| {
        let output = make(shell, &[&dir.join("nowhere/secret").display().to_string()]);
        assert_ne!(output.code, Some(0), "{output:?}");
        let said = format!("there is no folder {}; mount it", dir.join("nowhere").display());
        assert!(output.stderr.contains(&said), "{output:?}");
        assert_eq!(fs::read_dir(dir).unwrap().count(), 0, "no folder is made");
        assert_ne!(make(shell, &[]).code, Some(0));
    });
}
