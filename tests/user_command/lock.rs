//! The lock of a file, and changes by programs that use no lock.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use doorward::internals::AtomicFileWriter;
use rustix::fs::{FlockOperation, flock};

use super::{QUICK, Users};
use crate::support::doorward::doorward;
use crate::support::keys::{Key, file};
use crate::support::process::program;
use crate::support::users;

/// The user `nobody` of Debian.
const OTHER_UID: u32 = 65534;

/// Far less than the time that a command waits for a lock.
const SOON: Duration = Duration::from_secs(5);

const LOCK: &str = ".htpasswd.doorward-lock";

/// Locks a file that every user can open, until the returned file is dropped.
fn locked(path: &Path) -> File {
    let file = File::open(path).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    file
}

#[test]
fn lock_on_the_folder_or_the_file_by_a_reader_delays_no_change_field_r4() {
    let users = Users::of(&users::alice());
    let keys = users.dir.path().join("keys");
    let key = Key::new("alice", "ci");
    fs::write(&keys, file(&[&key, &Key::new("alice", "other")])).unwrap();
    let signing = users.dir.path().join("signing.pem").display().to_string();
    assert_eq!(doorward(&["signing-key", "init", "--signing-keys", &signing]).code, Some(0));
    let _held = [locked(users.dir.path()), locked(&users.path), locked(&keys), locked(Path::new(&signing))];
    let begin = Instant::now();
    users.quietly("set", &["alice", "--stdin", QUICK[0], QUICK[1]], "looking-glass");
    users.add("bob", "builder");
    users.quietly("remove", &["bob"], "");
    let revoked = doorward(&["api-key", "revoke", "--api-keys", keys.to_str().unwrap(), &key.id()]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_eq!(doorward(&["signing-key", "add", "--signing-keys", &signing]).code, Some(0));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn lock_can_be_opened_only_by_users_that_can_change_the_folder_field_r4() {
    let users = Users::of(&users::alice());
    let lock = users.dir.path().join(LOCK);
    let owner = fs::metadata(users.dir.path()).unwrap().uid();
    for (folder, mode) in [(0o700, 0o600), (0o755, 0o600), (0o775, 0o660), (0o777, 0o666), (0o1777, 0o600)] {
        fs::set_permissions(users.dir.path(), fs::Permissions::from_mode(folder)).unwrap();
        let writer = AtomicFileWriter::open(&users.path, false).unwrap();
        let metadata = fs::symlink_metadata(&lock).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (mode, owner), "{folder:o}");
        drop(writer);
        assert!(!lock.exists());
    }
    if rustix::process::geteuid().is_root() {
        // The lock file of root in a folder of another user belongs to that user, so that the user can remove
        // it if it is left behind.
        chown(users.dir.path(), Some(OTHER_UID), Some(OTHER_UID)).unwrap();
        let _writer = AtomicFileWriter::open(&users.path, false).unwrap();
        assert_eq!(fs::symlink_metadata(&lock).unwrap().uid(), OTHER_UID);
    }
}

#[test]
fn abandoned_lock_is_taken_over_and_a_held_lock_is_waited_for() {
    let users = Users::of(&users::alice());
    let lock = users.dir.path().join(LOCK);
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock).unwrap();
    users.add("bob", "builder");
    assert_eq!(users.names(), ["htpasswd"]);
    let writer = AtomicFileWriter::open(&users.path, false).unwrap();
    let before = users.text();
    let begin = Instant::now();
    let output = users.run("add", &["carol", "--generate", "--cost", "4"], b"");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("another command has held the lock "), "{output:?}");
    assert!(output.stderr.contains(&format!("{LOCK} for 10 s; try again")), "{output:?}");
    assert!((10..20).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert_eq!(users.text(), before);
    drop(writer);
    users.add("carol", "sings");
}

#[test]
fn lock_planted_by_another_user_is_refused_at_once_by_name() {
    let users = Users::of(&users::alice());
    let lock = users.dir.path().join(LOCK);
    let planted = || {
        fs::write(&lock, "").unwrap();
        rustix::process::geteuid().is_root().then(|| chown(&lock, Some(OTHER_UID), Some(OTHER_UID)).unwrap())
    };
    // As in /tmp: every user can create a file, and no user can remove the file of another user.
    fs::set_permissions(users.dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    if planted().is_some() {
        let begin = Instant::now();
        let output = users.run("remove", &["alice"], b"");
        assert!(output.code == Some(1) && output.stderr.contains(LOCK), "{output:?}");
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    }
    let _ = fs::remove_file(&lock);
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let output = users.run("remove", &["alice"], b"");
    assert!(output.code == Some(1) && output.stderr.contains(LOCK), "{output:?}");
}

#[test]
fn change_by_a_program_without_a_lock_is_not_undone() {
    let users = Users::of(&users::alice());
    let writer = AtomicFileWriter::open(&users.path, false).unwrap();
    let text = writer.text().to_vec();
    // The Apache tool writes in place.
    users::htpasswd(&users.path, &["-B", "-C", "4"], "bob", "builder");
    let fault = writer.replace(&[&text, &b"carol:x\n"[..]].concat()).unwrap_err();
    assert!(fault.to_string().contains("another program changed it at the same time"), "{fault}");
    assert!(users.text().contains("bob:"));
    assert_eq!(users.names(), ["htpasswd"]);
    // The same holds for a file that did not exist.
    let none = Users::none();
    let writer = AtomicFileWriter::open(&none.path, true).unwrap();
    fs::write(&none.path, users::alice()).unwrap();
    assert!(writer.replace(b"x").is_err());
    assert_eq!(none.text(), users::alice());
}

#[test]
fn concurrent_htpasswd_and_doorward_changes_leave_whole_lines_or_report_a_conflict() {
    const EACH: usize = 40;
    let users = Users::of(&users::alice());
    let htpasswd = program("htpasswd", "apache2-utils");
    let mut added = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..EACH {
                let mut command = Command::new(&htpasswd);
                command.args(["-b", "-B", "-C", "4"]).arg(&users.path).args([&format!("theirs{n}"), "x"]);
                assert!(command.output().unwrap().status.success());
            }
        });
        for n in 0..EACH {
            let name = format!("ours{n}");
            let output = users.run("add", &[&name, "--stdin", QUICK[0], QUICK[1]], b"x");
            match output.code {
                Some(0) => added.push(name),
                _ => assert!(output.stderr.contains("try again"), "{output:?}"),
            }
        }
    });
    let text = users.text();
    let torn: Vec<&str> = text
        .lines()
        .filter(|line| {
            !line.split_once(':').is_some_and(|(_, hash)| hash.starts_with("$2y$04$") && hash.len() == 60)
        })
        .collect();
    assert!(torn.is_empty(), "{torn:?}");
    assert!(!added.is_empty());
    assert_eq!(users.names(), ["htpasswd"]);
}
