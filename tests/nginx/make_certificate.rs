//! `nginx/make-certificate.sh`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::make_secret::with_each_shell;
use crate::support::nginx::shipped;
use crate::support::process::{Output, program, run};

fn make(shell: &[&str], arguments: &[&Path]) -> Output {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(shipped().join("make-certificate.sh"));
    let (folder, rest) = arguments.split_first().unwrap();
    command.arg(folder).arg("registry.example.com").args(rest);
    run(command)
}

/// Returns the file names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn certificate_is_created_once_for_its_name_and_signs_no_other() {
    with_each_shell(|shell, dir| {
        let (tls, once) = (dir.join("tls"), dir.join("once"));
        fs::create_dir(&tls).unwrap();
        let output = make(shell, &[&tls, &once]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(names(&tls), ["tls.crt", "tls.key"]);
        let mode = |name: &str| fs::metadata(tls.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("tls.crt"), mode("tls.key")), (0o644, 0o600));
        let mut command = Command::new(program("openssl", "openssl"));
        command.args(["x509", "-noout", "-text", "-in"]).arg(tls.join("tls.crt"));
        let text = run(command).stdout;
        for part in ["CA:FALSE", "DNS:registry.example.com", "TLS Web Server Authentication"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let before = fs::read(tls.join("tls.crt")).unwrap();
        assert_eq!(make(shell, &[&tls, &once]).code, Some(0));
        assert_eq!(fs::read(tls.join("tls.crt")).unwrap(), before);
        // The share is not mounted. The script creates no new pair in its place.
        names(&tls).iter().for_each(|name| fs::remove_file(tls.join(name)).unwrap());
        let output = make(shell, &[&tls, &once]);
        let said = format!("but {} records that one existed", once.display());
        assert!(output.code == Some(1) && output.stderr.contains(&said), "{output:?}");
        assert!(names(&tls).is_empty());
        // The script creates none if the folder is missing.
        fs::remove_dir(&tls).unwrap();
        let output = make(shell, &[&tls]);
        assert!(output.code == Some(1) && output.stderr.contains("there is no folder"), "{output:?}");
        assert!(!tls.exists());
    });
}

#[test]
fn existing_certificate_or_dangling_link_is_never_replaced_field_o1() {
    with_each_shell(|shell, dir| {
        let (tls, once) = (dir.join("tls"), dir.join("once"));
        for file in ["tls.crt", "tls.key"] {
            for (target, refused) in [
                ("/etc/letsencrypt/live/none/fullchain.pem", true),
                ("missing", true),
                ("../outside", false),
                (".", true),
            ] {
                fs::create_dir(&tls).unwrap();
                fs::write(dir.join("outside"), "theirs").unwrap();
                symlink(target, tls.join(file)).unwrap();
                let output = make(shell, &[&tls, &once]);
                assert_eq!(output.code, Some(i32::from(refused)), "{file} -> {target}: {output:?}");
                let is_named =
                    output.stderr.contains(&format!("/{file} is a link to {target}, which does not exist"));
                assert_eq!(is_named, refused && target != ".", "{output:?}");
                assert_eq!(names(&tls), [file], "{target}");
                assert_eq!(fs::read_link(tls.join(file)).unwrap(), Path::new(target));
                assert_eq!(fs::read_to_string(dir.join("outside")).unwrap(), "theirs");
                assert_eq!(once.exists(), !refused, "{target}");
                let _ = fs::remove_file(&once);
                fs::remove_dir_all(&tls).unwrap();
            }
            // If only one of the files exists, nginx reports the missing one. A directory is not a file.
            fs::create_dir(&tls).unwrap();
            fs::write(tls.join(file), "").unwrap();
            assert_eq!(make(shell, &[&tls]).code, Some(0));
            assert_eq!(names(&tls), [file]);
            fs::remove_file(tls.join(file)).unwrap();
            fs::create_dir(tls.join(file)).unwrap();
            let output = make(shell, &[&tls]);
            assert!(output.code == Some(1) && output.stderr.contains("is a directory"), "{output:?}");
            assert_eq!(names(&tls), [file]);
            fs::remove_dir_all(&tls).unwrap();
        }
    });
}
