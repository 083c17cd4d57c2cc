//! Commands that are killed at any moment.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{QUICK, Users, command};
use crate::support::doorward::doorward;
use crate::support::random::Random;
use crate::support::{PATIENCE, doorward as support};

/// Number of commands that are killed.
const KILLED: usize = 100;
/// Commands that are killed right after their start, before they write.
const KILLED_AT_ONCE: usize = 5;

/// Number of users in the file, enough that writing it takes some time.
const EARLIER: usize = 20_000;

/// Starts `doorward user add`.
fn start(users: &Users, name: &str) -> Child {
    let mut command = command(&users.path, "add");
    let password = File::open(users.dir.path().join("password")).unwrap();
    command.arg(name).arg("--stdin").args(QUICK).stdin(password).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Returns the longest time that an undisturbed command takes.
fn undisturbed(users: &Users) -> Duration {
    let time = |i: usize| {
        let begin = Instant::now();
        assert!(start(users, &format!("undisturbed{i}")).wait().unwrap().success());
        begin.elapsed()
    };
    (0..3).map(time).max().unwrap_or_default()
}

/// Kills the command while it writes, or when it has ended. Writing takes only a moment, and the lock exists
/// during that time.
fn kill_while_it_writes(folder: &Path, lock: &str, child: &mut Child, then: Duration) {
    let lock = folder.join(lock);
    let end = Instant::now() + PATIENCE;
    while !lock.exists() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "neither a lock nor an end");
    }
    let moment = Instant::now() + then;
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
}

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture, for the documentation")]
fn killed_command_leaves_a_complete_file_and_no_lock() {
    let earlier: String =
        (0..EARLIER).map(|i| format!("u{i}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")).collect();
    let users = Users::of(&earlier);
    fs::write(users.dir.path().join("password"), "wonderland\n").unwrap();
    let longest = undisturbed(&users);
    let mut random = Random::new();
    let (mut before, mut between, mut after) = (0, 0, 0);
    for i in 0..KILLED {
        let old = users.text();
        let name = format!("killed{i}");
        let mut child = start(&users, &name);
        // Half of the commands are killed at a random moment, and half while they write. The first ones are killed at once:
        // on a loaded machine few random moments are before the first write.
        if i < KILLED_AT_ONCE {
            child.kill().unwrap();
        } else if i % 2 == 0 {
            thread::sleep(Duration::from_micros(random.below(longest.as_micros() as u64)));
            child.kill().unwrap();
        } else {
            let then = Duration::from_micros(random.below(10_000));
            kill_while_it_writes(users.dir.path(), ".htpasswd.doorward-lock", &mut child, then);
        }
        child.wait().unwrap();
        let new = users.text();
        let added = new.strip_prefix(&old[..]).unwrap_or_else(|| panic!("a line is lost after {i}"));
        let left = users.names().iter().any(|name| name.ends_with("doorward-lock"));
        if let Ok(unnamed) = fs::read_to_string(users.dir.path().join(".htpasswd.doorward-new")) {
            assert!(
                unnamed.ends_with('\n') && unnamed.starts_with(&old),
                "it has a name only when it is whole"
            );
        }
        match (added.is_empty(), left) {
            (true, false) => before += 1,
            (true, true) => between += 1,
            (false, _) => {
                let whole = added.strip_prefix(&format!("{name}:$2y$04$")).map(str::len);
                assert_eq!(whole, Some(53 + 1), "{added:?} after {i}");
                after += 1;
            }
        }
        // The next command is not disturbed by a lock or a remaining file.
        assert!(start(&users, &format!("next{i}")).wait().unwrap().success(), "after {i}");
        let next = users.text();
        assert!(
            next.strip_prefix(&new[..]).is_some_and(|line| line.starts_with(&format!("next{i}:$2y$04$")))
        );
        assert_eq!(users.names(), ["htpasswd", "password"], "after {i}");
    }
    println!("killed before it wrote: {before}; while it wrote: {between}; after the change: {after}");
    assert!(before > 0 && between > 0, "the moments are not all of one kind");
    let listed = users.run("list", &[], b"");
    assert_eq!(listed.stdout.lines().count(), EARLIER + 3 + KILLED + after);
}

#[test]
fn killed_signing_key_command_leaves_no_key_in_a_temporary_file_after_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem").display().to_string();
    assert_eq!(doorward(&["signing-key", "init", "--signing-keys", &path]).code, Some(0));
    let names = || {
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let usual = names();
    let mut random = Random::new();
    for _ in 0..KILLED / 5 {
        let mut command = support::command();
        command
            .args(["signing-key", "add", "--signing-keys", &path])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let then = Duration::from_micros(random.below(3_000));
        kill_while_it_writes(folder.path(), ".keys.pem.doorward-lock", &mut child, then);
        child.wait().unwrap();
        // A file with a name, as left by a command that could not create an unnamed file.
        fs::write(folder.path().join(".keys.pem.doorward-new"), "half a key").unwrap();
        // Also after a command that changes nothing, because the key does not exist.
        assert_eq!(doorward(&["signing-key", "use", "--signing-keys", &path, "none"]).code, Some(1));
        assert_eq!(names(), usual);
    }
}
