//! Warnings of `check` about files that others can read or change.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::doorward::doorward;
use crate::support::keys::{Key, file};
use crate::support::users;

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("conf")).unwrap();
        fs::write(at("conf/htpasswd"), users::alice()).unwrap();
        fs::write(at("conf/keys"), file(&[&Key::new("alice", "ci")])).unwrap();
        fs::write(
            at("conf/policy"),
            "[[grant]]\nusers = [\"alice\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n",
        )
        .unwrap();
        fs::write(at("conf/groups"), "devs: alice\n").unwrap();
        fs::write(at("conf/secret"), "0123456789abcdef\n").unwrap();
        fs::write(at("conf/vendor"), "vendor-secret\n").unwrap();
        let signing = at("conf/signing.pem").display().to_string();
        assert_eq!(doorward(&["signing-key", "init", "--signing-keys", &signing]).code, Some(0));
        let config = "htpasswd.file = \"D/htpasswd\"\napi_keys.file = \"D/keys\"\npolicy.file = \"D/policy\"\ngroups.file = \"D/groups\"\n\
             proxy_secret_file = \"D/secret\"\n[token]\nsigning_keys = \"D/signing.pem\"\nservice = \"registry.test\"\n\
             [public]\nlisten = \"127.0.0.1:0\"\n\
             [[upstream]]\nname = \"one\"\ntype = \"bearer\"\ntoken_file = \"D/secret\"\n\
             [[authenticator]]\ntype = \"htpasswd\"\nname = \"file\"\n\
             [[authenticator]]\ntype = \"api_keys\"\nname = \"keys\"\n\
             [[authenticator]]\ntype = \"http\"\nname = \"vendor\"\nurl = \"http://127.0.0.1:9/\"\n\
             headers = { Authorization = \"Basic {basic}\", X-Vendor = \"{file:D/vendor}\" }\n";
        let config = config.replace('D', &at("conf").display().to_string());
        fs::write(at("conf/doorward.toml"), config).unwrap();
        for name in
            ["htpasswd", "keys", "policy", "groups", "secret", "vendor", "signing.pem", "doorward.toml"]
        {
            set(&at("conf").join(name), 0o640);
        }
        Self(dir)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join("conf").join(name)
    }

    /// Returns the lines of `check` about permissions.
    fn notes(&self, config: &Path) -> Vec<String> {
        let output = doorward(&["check", "--config", config.to_str().unwrap()]);
        let notes = output.stdout.lines().filter(|line| line.contains("other users of this machine"));
        assert_eq!(output.code, Some(0), "a note is no fault: {output:?}");
        notes.map(str::to_owned).collect()
    }
}

#[test]
fn check_warns_about_secrets_readable_and_files_writable_by_others() {
    let files = Files::new();
    let config = files.at("doorward.toml");
    assert_eq!(files.notes(&config), [""; 0]);
    for (name, is_secret) in [
        ("htpasswd", true),
        ("keys", true),
        ("secret", true),
        ("vendor", true),
        ("signing.pem", true),
        ("policy", false),
        ("groups", false),
        ("doorward.toml", false),
    ] {
        let path = files.at(name);
        for (mode, said) in [
            (0o644, is_secret.then_some("can read the file; chmod o-r")),
            (0o642, Some("can change the file; chmod go-w")),
            (0o660, is_secret.then_some("can change the file; chmod go-w")),
            (
                0o646,
                Some(if is_secret {
                    "can read and change the file; chmod go-w,o-r"
                } else {
                    "can change the file; chmod go-w"
                }),
            ),
        ] {
            set(&path, mode);
            let expected: Vec<String> = said
                .iter()
                .map(|what| format!("{}: note: other users of this machine {what}", path.display()))
                .collect();
            assert_eq!(files.notes(&config), expected, "{name} {mode:o}");
        }
        set(&path, 0o640);
    }
}

#[test]
fn check_warns_about_a_folder_writable_by_others_unless_it_is_sticky() {
    let files = Files::new();
    let config = files.at("doorward.toml");
    let folder = files.at("");
    let real = fs::canonicalize(&folder).unwrap();
    for (mode, noted) in [(0o777, true), (0o1777, false), (0o775, false), (0o755, false)] {
        set(&folder, mode);
        let notes = files.notes(&config);
        let begins =
            format!("{}: note: other users of this machine can replace files in this folder", real.display());
        assert_eq!(!notes.is_empty(), noted, "{mode:o}: {notes:?}");
        assert!(notes.len() <= 1 && notes.iter().all(|note| note.starts_with(&begins)), "{notes:?}");
    }
    // A folder above the file, and a folder that contains a link to it.
    set(files.0.path(), 0o777);
    assert!(!files.notes(&config).is_empty());
    set(files.0.path(), 0o700);
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("doorward.toml");
    symlink(&config, &link).unwrap();
    assert_eq!(files.notes(&link), [""; 0]);
    set(links.path(), 0o777);
    assert_eq!(files.notes(&link).len(), 1);
}
