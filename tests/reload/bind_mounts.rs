//! A file that is mounted by itself and replaced outside (motuz#55, docker-library/haproxy#31).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::doorward::{Doorward, doorward};
use crate::support::mounted::{Mounts, unshare};
use crate::support::{eventually, users};

const HERE: &str = "192.0.2.1";

/// Name and content of every file that is polled. The command creates the signing keys.
const FILES: [(&str, &str); 6] = [
    ("htpasswd", ""),
    ("policy.toml", "[[grant]]\nwho = \"authenticated\"\nrepositories = [\"**\"]\nactions = [\"pull\"]\n"),
    ("groups", "devs: alice\n"),
    ("keys", "# no keys\n"),
    ("token", "a-secret-for-the-upstream\n"),
    ("proxy-secret", "0123456789abcdef0123456789abcdef\n"),
];

/// The log message at the start for each file that is a mount, and the message of `/readyz` for a replaced one.
const ALONE: &str = "mounted as a single file, replacements outside the mount not detected";
const REPLACED: &str = "replaced outside its mount, old file still active";

/// doorward with every file mounted by itself, and the folder that contains the sources.
struct BindMountSetup {
    doorward: Doorward,
    outside: TempDir,
}

impl BindMountSetup {
    /// Starts doorward in its own mount namespace. If `is_link` is true, the configured paths are links to
    /// the mounts.
    fn start(unshare: &[String], outside: TempDir, is_link: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mounts = Mounts::new(unshare);
        fs::create_dir(dir.path().join("mounts.d")).unwrap();
        let keys = outside.path().join("signing/keys.pem");
        fs::create_dir(keys.parent().unwrap()).unwrap();
        let init = doorward(&["signing-key", "init", "--signing-keys", keys.to_str().unwrap()]);
        assert_eq!(init.code, Some(0), "{init:?}");
        fs::rename(keys, outside.path().join("keys.pem")).unwrap();
        for (name, text) in FILES.iter().copied().chain([("keys.pem", "")]) {
            let (from, to) = (outside.path().join(name), dir.path().join(name));
            match name {
                "keys.pem" => {}
                "htpasswd" => fs::write(&from, users::two()).unwrap(),
                _ => fs::write(&from, text).unwrap(),
            }
            let point = if is_link { dir.path().join("mounts.d").join(name) } else { to.clone() };
            fs::write(&point, "").unwrap();
            if is_link {
                symlink(&point, &to).unwrap();
            }
            mounts.bind(&from, &point);
        }
        mounts.put_in(dir.path());
        let at = |name: &str| dir.path().join(name).display().to_string();
        let settings = format!(
            "[[upstream]]\ntype = \"bearer\"\ntoken_file = \"{}\"\n[token]\nsigning_keys = \"{}\"\nservice = \"r\"\nrealm = \"https://r.example/token\"\n",
            at("token"),
            at("keys.pem"),
        );
        fs::write(dir.path().join("doorward.toml"), settings).unwrap();
        let (config, policy, groups) = (at("doorward.toml"), at("policy.toml"), at("groups"));
        let (keys, secret) = (at("keys"), at("proxy-secret"));
        let flags = [
            ["--reload-poll-interval", "100ms"],
            ["--config", &config],
            ["--policy", &policy],
            ["--groups", &groups],
            ["--api-keys", &keys],
            ["--proxy-secret-file", &secret],
        ];
        let flags: Vec<&str> = flags.iter().flatten().copied().collect();
        Self { doorward: Doorward::start_in(dir, &flags), outside }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.outside.path().join(name)
    }

    fn assert_replacement_reported(&self, name: &str) {
        eventually(&format!("/readyz tells that {name} was replaced"), || {
            let answer = self.doorward.ready();
            assert_eq!(answer.status, 200);
            answer.text().contains(REPLACED).then_some(())
        });
        let line = eventually("the log tells it too", || {
            let log = self.doorward.log();
            log.lines().find(|line| line.contains("ERROR") && line.contains(REPLACED)).map(str::to_owned)
        });
        assert!(line.contains(&format!("/{name} remedy=")), "{line}");
    }
}

/// Replaces the first file by the second.
type Replace = fn(&Path, &Path);

/// Ways to replace a file outside. In three of them the old file keeps a name.
fn presentations() -> [(&'static str, Replace); 5] {
    [
        ("renamed over", |old, new| fs::rename(new, old).unwrap()),
        ("removed and made anew", |old, new| {
            fs::remove_file(old).unwrap();
            fs::copy(new, old).unwrap();
        }),
        ("kept under another name", |old, new| {
            fs::rename(old, old.with_extension("bak")).unwrap();
            fs::rename(new, old).unwrap();
        }),
        ("linked and renamed over", |old, new| {
            fs::hard_link(old, old.with_extension("bak")).unwrap();
            fs::rename(new, old).unwrap();
        }),
        ("moved to another folder", |old, new| {
            fs::create_dir(old.with_extension("d")).unwrap();
            fs::rename(old, old.with_extension("d").join(old.file_name().unwrap())).unwrap();
            fs::rename(new, old).unwrap();
        }),
    ]
}

/// Returns a folder on disk and, if possible, one in memory.
fn outsides() -> Vec<TempDir> {
    let memory = Path::new("/dev/shm");
    let folders = [Some(tempfile::tempdir().unwrap()), tempfile::tempdir_in(memory).ok()];
    folders.into_iter().flatten().collect()
}

#[test]
fn bind_mounted_file_is_warned_about_and_reported_when_replaced_field_o3() {
    let Some(unshare) = unshare() else { return };
    for name in FILES.map(|(name, _)| name).into_iter().chain(["keys.pem"]) {
        let setup = BindMountSetup::start(&unshare, tempfile::tempdir().unwrap(), false);
        let log = setup.doorward.log();
        let warned = log.lines().filter(|line| line.contains("WARN") && line.contains(ALONE)).count();
        assert_eq!(warned, FILES.len() + 1, "{log}");
        assert_eq!(setup.doorward.ready().text(), "ready\n");
        let new = setup.at("new");
        fs::copy(setup.at(name), &new).unwrap();
        fs::rename(&new, setup.at(name)).unwrap();
        setup.assert_replacement_reported(name);
    }
}

#[test]
fn replaced_bind_mounted_file_is_reported_while_a_removed_user_stays_admitted_field_o3() {
    let Some(unshare) = unshare() else { return };
    for (number, (way, replace)) in presentations().into_iter().enumerate() {
        for (kind, outside) in outsides().into_iter().enumerate() {
            {
                // Every second setup uses links.
                let setup = BindMountSetup::start(&unshare, outside, (number + kind) % 2 == 1);
                let secret = FILES[5].1.trim();
                let bob = || {
                    let request = crate::support::client::Request::auth().basic("bob", "builder").from(HERE);
                    let request = request.header("X-Auth-Proxy-Secret", secret);
                    let request = request.header("X-Original-URI", "/v2/").header("X-Original-Method", "GET");
                    let request = request.header("X-Original-Host", "r.example");
                    setup.doorward.ask(&request.header("X-Original-Content-Type", "ct:")).status
                };
                assert_eq!(bob(), 200, "{way}");
                fs::write(setup.at("new"), users::alice()).unwrap();
                replace(&setup.at("htpasswd"), &setup.at("new"));
                setup.assert_replacement_reported("htpasswd");
                assert_eq!(bob(), 200, "{way}: the kernel shows the old file");
                eventually("it counts as stale", || {
                    (setup.doorward.metric("doorward_htpasswd_outdated") == 1.0).then_some(())
                });
                // A SIGHUP requests a reload, so the message is logged again.
                let told = || setup.doorward.log().matches(REPLACED).count();
                assert_eq!(told(), 1, "{way}: once");
                setup.doorward.signal(Signal::HUP);
                eventually("SIGHUP is answered in the log", || (told() == 2).then_some(()));
            }
        }
    }
}

#[test]
fn bind_mounted_file_changed_in_place_is_reloaded_without_a_report_field_o3() {
    let Some(unshare) = unshare() else { return };
    let setup = BindMountSetup::start(&unshare, tempfile::tempdir().unwrap(), false);
    let file = fs::OpenOptions::new().write(true).truncate(true).open(setup.at("htpasswd")).unwrap();
    std::io::Write::write_all(&mut &file, users::alice().as_bytes()).unwrap();
    eventually("it is in force", || (setup.doorward.metric("doorward_htpasswd_users") == 1.0).then_some(()));
    assert_eq!(setup.doorward.ready().text(), "ready\n");
    assert!(!setup.doorward.log().contains(REPLACED));
}

#[test]
fn replaced_file_in_a_mounted_folder_is_reloaded_without_a_warning_field_o3() {
    let Some(unshare) = unshare() else { return };
    let (outside, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("htpasswd"), users::two()).unwrap();
    fs::create_dir(dir.path().join("conf")).unwrap();
    symlink("conf/htpasswd", dir.path().join("htpasswd")).unwrap();
    // The file does not exist before it is mounted.
    fs::write(dir.path().join("conf/htpasswd"), "").unwrap();
    let mut mounts = Mounts::new(&unshare);
    mounts.bind(outside.path(), &dir.path().join("conf"));
    mounts.put_in(dir.path());
    let doorward = Doorward::start_in(dir, &["--reload-poll-interval", "100ms"]);
    users::put(&outside.path().join("htpasswd"), users::alice());
    eventually("it is in force", || (doorward.metric("doorward_htpasswd_users") == 1.0).then_some(()));
    assert_eq!(doorward.log_in("bob", "builder", HERE), 401);
    assert!(!doorward.log().contains(ALONE), "{}", doorward.log());
}
