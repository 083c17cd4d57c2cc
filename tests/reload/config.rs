//! The settings file changes at run time: what SIGHUP applies, what requires a restart, and invalid files.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::doorward::{Doorward, command};
use crate::support::process::Process;
use crate::support::{eventually, users};

const HERE: &str = "192.0.2.1";

/// Starts doorward with a settings file.
fn start(settings: &str) -> (Doorward, PathBuf) {
    start_with(settings, &[])
}

fn start_with(settings: &str, flags: &[&str]) -> (Doorward, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    let path = dir.path().join("doorward.toml");
    fs::write(&path, settings).unwrap();
    let config = path.to_str().unwrap().to_owned();
    (Doorward::start_in(dir, &[&["--config", &config], flags].concat()), path)
}

/// Writes the settings file, sends SIGHUP, and waits for a log line with these words.
fn reload(doorward: &Doorward, path: &PathBuf, settings: &str, words: &str) {
    let before = doorward.log().matches(words).count();
    fs::write(path, settings).unwrap();
    doorward.signal(Signal::HUP);
    eventually(&format!("the log says {words:?}"), || {
        (doorward.log().matches(words).count() > before).then_some(())
    });
}

/// Returns how many lines of the log have these words.
fn count(doorward: &Doorward, words: &str) -> usize {
    doorward.log().lines().filter(|line| line.contains(words)).count()
}

#[test]
fn changed_log_level_and_logged_requests_take_effect_on_sighup() {
    let (doorward, path) = start("");
    let quiet = "log.level = \"error\"\n";
    // The change to a level that hides the line is logged too.
    reload(&doorward, &path, quiet, "changed=\"log.level\"");
    let before = doorward.log().lines().count();
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    assert_eq!(doorward.log_in("alice", "guess", HERE), 401);
    let verbose = "log.allowed_requests = true\n";
    reload(&doorward, &path, verbose, "changed=\"log.level,log.allowed_requests\"");
    assert_eq!(
        doorward.log().lines().count(),
        before + 1,
        "nothing was logged in between\n{}",
        doorward.log()
    );
    let is_allowed = |line: &str| line.contains("allow") && line.contains("alice");
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    eventually("the allowed request is logged", || doorward.log().lines().any(is_allowed).then_some(()));
    reload(&doorward, &path, "realm = \"Registry\"\n", "changed=\"log.allowed_requests\"");
    let before = doorward.log().lines().count();
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    reload(&doorward, &path, quiet, "changed=\"log.level\"");
    assert_eq!(doorward.log().lines().count(), before + 1, "{}", doorward.log());
}

#[test]
fn changed_throttle_limit_takes_effect_on_sighup_and_failures_stay_counted() {
    let (doorward, path) = start("");
    assert_eq!(doorward.log_in("alice", "guess 1", HERE), 401);
    assert_eq!(doorward.log_in("alice", "guess 2", HERE), 401);
    reload(&doorward, &path, "throttle.user_failures = 2\n", "changed=\"throttle.user_failures\"");
    assert_eq!(doorward.log_in("alice", "guess 3", HERE), 403, "two failures are the limit now");
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
    reload(&doorward, &path, "throttle.user_failures = 5\n", "changed=\"throttle.user_failures\"");
    assert_eq!(doorward.log_in("alice", "guess 3", HERE), 401);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
}

#[test]
fn user_with_failures_is_throttled_by_a_changed_network_limit() {
    let (doorward, path) = start("");
    for guess in 0..4 {
        assert_eq!(doorward.log_in("alice", &format!("guess {guess}"), HERE), 401);
    }
    // Below it, a limit of eight throttles users who failed, and a limit of four all others too.
    let limits = |network| format!("[throttle]\nuser_failures = 4\nnetwork_failures = {network}\n");
    reload(&doorward, &path, &limits(8), "settings reloaded");
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 403);
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
    assert_eq!(doorward.log_in("alice", "wonderland", "198.51.100.1"), 200);
}

#[test]
fn changed_denials_per_second_take_effect_on_sighup() {
    let (doorward, path) = start("log.denials_per_second = 0\n");
    let denied = "reason=\"wrong_credentials\"";
    assert_eq!(doorward.log_in("alice", "guess 1", HERE), 401);
    let changed = "changed=\"log.denials_per_second\"";
    reload(&doorward, &path, "log.denials_per_second = 1000\n", changed);
    assert_eq!(count(&doorward, denied), 0);
    let mut networks = (1..250).map(|number| format!("198.51.{number}.7"));
    eventually("a denial is logged", || {
        // The budget was empty, and is refilled from the first denial on.
        assert_eq!(doorward.log_in("alice", "guess", &networks.next().expect("a network")), 401);
        (count(&doorward, denied) > 0).then_some(())
    });
}

#[test]
fn changed_realm_and_tables_are_logged_as_requiring_a_restart() {
    let (doorward, path) = start("realm = \"before\"\n");
    let changed = "# A comment is no change.\nrealm = \"after\"\n[limits]\nworkers = 7\n[[upstream]]\ntype = \"none\"\n[throttle]\nwindow = \"5m\"\n";
    reload(&doorward, &path, changed, "settings reloaded");
    let log = doorward.log();
    for setting in ["realm", "limits.workers", "upstream"] {
        let line = format!("setting changed, restart required setting=\"{setting}\"");
        assert!(log.contains(&line), "{setting}\n{log}");
    }
    assert!(log.contains("changed=\"throttle.window\""), "what can change is applied\n{log}");
    assert_eq!(count(&doorward, "restart required"), 3);
    let challenge = doorward.ask(&crate::support::client::Request::auth());
    assert!(challenge.header("www-authenticate").unwrap().contains("realm=\"before\""));
    // As long as it differs, it is logged again.
    reload(&doorward, &path, &format!("\n{changed}"), "settings reloaded");
    assert_eq!(count(&doorward, "restart required"), 6);
    reload(&doorward, &path, "realm = \"before\"\n", "settings reloaded");
    assert_eq!(count(&doorward, "restart required"), 6);
}

#[test]
fn changed_listen_is_logged_as_requiring_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("htpasswd"), users::alice()).unwrap();
    let path = dir.path().join("doorward.toml");
    let settings = |listen: &str| {
        let htpasswd = dir.path().join("htpasswd");
        format!("listen = \"{listen}\"\nadmin.listen = []\nhtpasswd.file = \"{}\"\n", htpasswd.display())
    };
    fs::write(&path, settings("127.0.0.1:0")).unwrap();
    let mut serve = command();
    serve.arg("serve").arg("--config").arg(&path);
    let mut process = Process::spawn(serve, &dir.path().join("log"));
    process.ready("it listens", |log| log.contains("doorward started").then_some(()));
    fs::write(&path, settings("127.0.0.2:0")).unwrap();
    process.signal(Signal::HUP);
    process.ready("the change is logged", |log| {
        log.contains("setting changed, restart required setting=\"listen\"").then_some(())
    });
    assert!(!process.log().contains("setting=\"admin.listen\""), "{}", process.log());
}

#[test]
fn flag_has_priority_over_a_changed_file() {
    let (doorward, path) = start_with("", &["--throttle-user-failures", "1", "--realm", "flag"]);
    reload(&doorward, &path, "realm = \"file\"\nthrottle.user_failures = 9\n", "settings reloaded");
    assert!(doorward.log().contains("settings reloaded"));
    assert_eq!(count(&doorward, "restart required"), 0);
    assert_eq!(doorward.log_in("alice", "guess 1", HERE), 401);
    assert_eq!(doorward.log_in("alice", "guess 2", HERE), 403);
}

#[test]
fn invalid_settings_file_is_rejected_with_its_errors_and_changes_nothing() {
    let (doorward, path) = start("throttle.user_failures = 1\n");
    let rejected = "settings rejected, previous ones stay in force";
    let invalid = "throttle.user_failures = 9\nrealm = \"s3cret basic\"\n[log]\nlevel = \"loud\"\n";
    reload(&doorward, &path, invalid, ":4:9: log.level: ");
    let log = doorward.log();
    for place in [":2:9: realm: ", ":4:9: log.level: "] {
        assert!(log.contains(&format!("{}{place}", path.display())), "{place}\n{log}");
    }
    assert!(!log.contains("s3cret") && !log.contains("settings reloaded"), "{log}");
    assert_eq!(doorward.log_in("alice", "guess 1", HERE), 401);
    assert_eq!(doorward.log_in("alice", "guess 2", HERE), 403, "the limit of the start");
    fs::remove_file(&path).unwrap();
    let before = count(&doorward, rejected);
    doorward.signal(Signal::HUP);
    let missing = "the settings file cannot be read: the file does not exist";
    eventually("the missing file is logged", || (count(&doorward, missing) > 0).then_some(()));
    assert_eq!(doorward.log_in("alice", "guess 2", HERE), 403, "the limit of the start");
    let many: String = (0..100).map(|number| format!("unknown{number} = 1\n")).collect();
    reload(&doorward, &path, &many, "further errors in settings");
    assert!(count(&doorward, rejected) <= before + 1 + 20, "the log is bounded");
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
    // A valid file is applied again.
    reload(&doorward, &path, "throttle.user_failures = 9\n", "settings reloaded");
    assert_eq!(doorward.log_in("alice", "guess 2", HERE), 401);
}

#[test]
fn settings_file_without_any_source_of_users_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    fs::write(&users, users::alice()).unwrap();
    let path = dir.path().join("doorward.toml");
    let settings = format!("htpasswd.file = \"{}\"\n", users.display());
    fs::write(&path, &settings).unwrap();
    let config = path.to_str().unwrap().to_owned();
    let doorward = Doorward::start_in(dir, &["--config", &config]);
    reload(&doorward, &path, "realm = \"x\"\n", "settings rejected");
    reload(&doorward, &path, &settings, "settings reloaded");
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
}

#[test]
fn emptied_settings_file_is_rejected_and_the_limits_stay_in_force() {
    let limit = "throttle.user_failures = 1\n";
    let (doorward, path) = start(limit);
    assert_eq!(doorward.log_in("alice", "guess 1", HERE), 401);
    for content in ["", "# throttle.user_failures = 1\n", "[throttle]\n"] {
        reload(&doorward, &path, content, "the file has no settings, but the previous one had");
        assert_eq!(doorward.log_in("alice", "guess 2", HERE), 403, "{content:?}");
    }
    assert!(!doorward.log().contains("settings reloaded"), "{}", doorward.log());
    // A file with settings is applied, also the default of a setting.
    reload(&doorward, &path, "throttle.user_failures = 10\n", "changed=\"throttle.user_failures\"");
    assert_eq!(doorward.log_in("alice", "guess 2", HERE), 401);
}

#[test]
fn empty_settings_file_that_was_empty_at_the_start_is_valid() {
    let (doorward, path) = start("");
    reload(&doorward, &path, "# no change\n", "settings reloaded");
    assert_eq!(count(&doorward, "settings rejected"), 0);
}

#[test]
fn settings_file_that_is_written_slowly_is_read_when_it_is_complete() {
    let (doorward, path) = start("throttle.user_failures = 1\n");
    // The program that writes the file pauses after it has truncated it.
    let mut file = fs::File::create(&path).unwrap();
    doorward.signal(Signal::HUP);
    thread::sleep(Duration::from_millis(300));
    file.write_all(b"throttle.user_failures = 3\nthrottle.network_failures = 7\n").unwrap();
    eventually("the file is applied", || (count(&doorward, "settings reloaded") == 1).then_some(()));
    let log = doorward.log();
    assert!(log.contains("changed=\"throttle.user_failures,throttle.network_failures\""), "{log}");
    assert_eq!(count(&doorward, "settings rejected"), 0, "{log}");
}

#[test]
fn settings_file_that_keeps_changing_is_rejected_within_seconds() {
    let settings = "throttle.user_failures = 1\n";
    let (doorward, path) = start(settings);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                fs::write(&path, format!("{settings}# {number}\n")).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        // Ends the writer, also if the test fails.
        let _guard = SetOnDrop(&is_done);
        eventually("the file is rejected", || {
            // The content is stable while the writer waits for a core. Then the next signal counts.
            doorward.signal(Signal::HUP);
            doorward
                .log()
                .contains("the file keeps changing; write a new file beside it and rename it")
                .then_some(())
        });
    });
    assert_eq!(doorward.log_in("alice", "guess 1", HERE), 401);
    assert_eq!(doorward.log_in("alice", "guess 2", HERE), 403, "the limit of the start");
}

/// Sets a flag when it is dropped.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
