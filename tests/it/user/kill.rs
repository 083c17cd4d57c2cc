//! Killed at any moment.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{QUICK, Users, command};
use crate::random::Random;
use crate::support::PATIENCE;

/// How many are killed.
const KILLED: usize = 100;

/// So many users that writing the file takes a moment.
const EARLIER: usize = 20_000;

/// Starts `doorward user add`.
fn start(users: &Users, name: &str) -> Child {
    let mut command = command(&users.path, "add");
    let password = File::open(users.dir.path().join("password")).unwrap();
    command.arg(name).arg("--stdin").args(QUICK).stdin(password).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The time that one takes that is left alone: the longest of some.
fn undisturbed(users: &Users) -> Duration {
    let time = |i: usize| {
        let begin = Instant::now();
        assert!(start(users, &format!("undisturbed{i}")).wait().unwrap().success());
        begin.elapsed()
    };
    (0..3).map(time).max().unwrap_or_default()
}

/// Kills it once the new file is there, which it is only for a moment; at the latest when it has
/// ended.
fn kill_at_the_new_file(users: &Users, child: &mut Child, then: Duration) {
    let new = users.dir.path().join(".htpasswd.doorward-new");
    let end = Instant::now() + PATIENCE;
    while !new.exists() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "neither a new file nor an end");
    }
    let moment = Instant::now() + then;
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
}

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture, for the documentation")]
fn whoever_is_killed_leaves_a_whole_file_and_no_obstacle() {
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
        // Half of them at any moment of its life, half while it is writing.
        if i % 2 == 0 {
            thread::sleep(Duration::from_micros(random.below(longest.as_micros() as u64)));
            child.kill().unwrap();
        } else {
            kill_at_the_new_file(&users, &mut child, Duration::from_micros(random.below(10_000)));
        }
        child.wait().unwrap();
        let new = users.text();
        let added = new.strip_prefix(&old[..]).unwrap_or_else(|| panic!("a line is lost after {i}"));
        let left = users.names().iter().any(|name| name.ends_with("doorward-new"));
        match (added.is_empty(), left) {
            (true, false) => before += 1,
            (true, true) => between += 1,
            (false, _) => {
                let whole = added.strip_prefix(&format!("{name}:$2y$04$")).map(str::len);
                assert_eq!(whole, Some(53 + 1), "{added:?} after {i}");
                after += 1;
            }
        }
        // The next one is not disturbed, neither by a lock nor by what was left.
        assert!(start(&users, &format!("next{i}")).wait().unwrap().success(), "after {i}");
        let next = users.text();
        assert!(
            next.strip_prefix(&new[..]).is_some_and(|line| line.starts_with(&format!("next{i}:$2y$04$")))
        );
        assert_eq!(users.names(), ["htpasswd", "password"], "after {i}");
    }
    println!(
        "killed before the new file: {before}; while it was there: {between}; after the change: {after}"
    );
    assert!(before > 0 && between > 0, "the moments are not all of one kind");
    let listed = users.run("list", &[], b"");
    assert_eq!(listed.stdout.lines().count(), EARLIER + 3 + KILLED + after);
}
