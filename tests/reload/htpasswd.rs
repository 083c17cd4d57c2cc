//! The htpasswd file changes, is invalid, or is removed.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

const HERE: &str = "192.0.2.1";

/// A short poll interval, so that the tests are quick.
const POLL: [&str; 2] = ["--reload-poll-interval", "100ms"];

/// A long poll interval, so that only a signal causes a reload.
const NEVER: [&str; 2] = ["--reload-poll-interval", "1h"];

/// Waits until a login has this status. Every attempt is the same failure, which counts only once.
fn await_log_in(doorward: &Doorward, user: &str, password: &str, status: u16) {
    let what = format!("{user} with {password} gets {status}");
    eventually(&what, || (doorward.log_in(user, password, HERE) == status).then_some(()));
}

/// Waits until `/readyz` has this body, without its time. The status must stay 200.
fn await_ready(doorward: &Doorward, body: &str) {
    eventually(&format!("/readyz says {body:?}"), || {
        let answer = doorward.ready();
        assert_eq!(answer.status, 200, "503 would take every replica out at once");
        let text = answer.text();
        let since = text.split_once(" (since ").and_then(|(what, date)| {
            humantime::parse_rfc3339(date.strip_suffix(")\n")?).ok()?;
            Some(format!("{what}\n"))
        });
        (since.as_deref().unwrap_or(&text) == body).then_some(())
    });
}

/// Waits for a metric, which is updated a moment after the users.
fn await_figure(doorward: &Doorward, name: &str, value: f64) {
    eventually(&format!("{name} is {value}"), || (doorward.metric(name) == value).then_some(()));
}

const READY: &str = "ready\n";

#[test]
fn file_renamed_over_the_old_one_is_reloaded() {
    let doorward = Doorward::start(&users::alice(), &POLL);
    assert_eq!(doorward.log_in("bob", "builder", HERE), 401);
    users::put(&doorward.htpasswd(), users::two());
    await_log_in(&doorward, "bob", "builder", 200);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    await_figure(&doorward, "doorward_htpasswd_users", 2.0);
    await_figure(&doorward, "doorward_htpasswd_reloads_total", 1.0);
}

#[test]
fn file_edited_in_place_is_reloaded() {
    let doorward = Doorward::start(&users::alice(), &POLL);
    fs::write(doorward.htpasswd(), users::two()).unwrap();
    await_log_in(&doorward, "bob", "builder", 200);
    // The Apache tool also edits in place.
    users::htpasswd(&doorward.htpasswd(), &["-B", "-C", "4"], "carol", "sings");
    await_log_in(&doorward, "carol", "sings", 200);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
}

#[test]
fn sighup_reloads_the_file_at_once() {
    let doorward = Doorward::start(&users::alice(), &NEVER);
    users::put(&doorward.htpasswd(), users::two());
    assert_eq!(doorward.log_in("bob", "builder", HERE), 401);
    doorward.signal(Signal::HUP);
    await_log_in(&doorward, "bob", "builder", 200);
}

#[test]
fn sighup_without_a_change_changes_nothing() {
    let doorward = Doorward::start(&users::alice(), &NEVER);
    for _ in 0..20 {
        doorward.signal(Signal::HUP);
        assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    }
    assert_eq!(doorward.hashes(), 1.0);
    assert_eq!(doorward.metric("doorward_htpasswd_reloads_total"), 0.0);
}

#[test]
fn removed_user_is_refused_despite_a_cached_answer_as_in_ghsa_c9p4_xwr9_rfhx() {
    let doorward = Doorward::start(&users::two(), &POLL);
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    users::put(&doorward.htpasswd(), users::alice());
    await_log_in(&doorward, "bob", "builder", 401);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
}

#[test]
fn changed_password_invalidates_the_old_one_and_keeps_answers_of_others() {
    let doorward = Doorward::start(&users::two(), &POLL);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
    let bob = users::line("bob", "builder", users::QUICK);
    users::put(&doorward.htpasswd(), users::line("alice", "looking-glass", users::QUICK) + &bob);
    await_log_in(&doorward, "alice", "wonderland", 401);
    assert_eq!(doorward.log_in("alice", "looking-glass", HERE), 200);
    let hashes = doorward.hashes();
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
    assert_eq!(doorward.hashes(), hashes, "bob's line is the same, so his answer is");
}

#[test]
fn cached_rejection_ends_when_the_user_is_added() {
    let doorward = Doorward::start(&users::alice(), &[&POLL[..], &["--cache-rejection-ttl", "1h"]].concat());
    assert_eq!(doorward.log_in("bob", "builder", HERE), 401);
    users::put(&doorward.htpasswd(), users::two());
    await_log_in(&doorward, "bob", "builder", 200);
}

/// Replaces the file by an unusable one, and then by a valid one.
fn assert_survives(spoil: impl Fn(&Doorward), reason: &str) {
    let doorward = Doorward::start(&users::two(), &POLL);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    spoil(&doorward);
    await_ready(&doorward, &format!("ready, degraded: {reason}; the last valid content is active\n"));
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200, "from the cache");
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200, "from the last good file");
    assert_eq!(doorward.log_in("bob", "wonderland", HERE), 401);
    await_figure(&doorward, "doorward_htpasswd_outdated", 1.0);
    await_figure(&doorward, "doorward_htpasswd_reload_failures_total", 1.0);
    assert!(doorward.log().contains("htpasswd file not reloaded, last valid content stays active"));
    if doorward.htpasswd().is_dir() {
        fs::remove_dir(doorward.htpasswd()).unwrap();
    }
    users::put(&doorward.htpasswd(), users::alice());
    await_log_in(&doorward, "bob", "builder", 401);
    await_ready(&doorward, READY);
    await_figure(&doorward, "doorward_htpasswd_outdated", 0.0);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    let body = doorward.ready().text();
    assert!(!body.contains('/'), "where the file is is nobody's business: {body}");
}

#[test]
fn removed_file_keeps_the_last_valid_users() {
    assert_survives(|doorward| fs::remove_file(doorward.htpasswd()).unwrap(), "the htpasswd file is missing");
}

#[test]
fn garbage_file_keeps_the_last_valid_users() {
    let rubbish = [0x7f, b'E', b'L', b'F', 0, 1, 2, 0xff, b'\n', 0, 0xfe].repeat(100);
    assert_survives(
        |doorward| users::put(&doorward.htpasswd(), &rubbish),
        "the htpasswd file cannot be used",
    );
}

#[test]
fn file_without_a_usable_line_keeps_the_last_valid_users() {
    let line = "alice:$2y$99$cut\nbob:\n";
    assert_survives(|doorward| users::put(&doorward.htpasswd(), line), "the htpasswd file cannot be used");
}

#[test]
fn directory_in_place_of_the_file_keeps_the_last_valid_users() {
    let spoil = |doorward: &Doorward| {
        fs::remove_file(doorward.htpasswd()).unwrap();
        fs::create_dir(doorward.htpasswd()).unwrap();
    };
    // The exchange is atomic, because a missing file would be another failure.
    let swap = |doorward: &Doorward| {
        let aside = doorward.folder().join("aside");
        fs::create_dir(&aside).unwrap();
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let renamed =
            rustix::fs::renameat_with(rustix::fs::CWD, &aside, rustix::fs::CWD, doorward.htpasswd(), flags);
        if renamed.is_err() {
            spoil(doorward);
        }
    };
    assert_survives(swap, "the htpasswd file cannot be read");
}

#[test]
fn file_beyond_the_size_limit_keeps_the_last_valid_users() {
    let grow = |doorward: &Doorward| {
        let file = fs::OpenOptions::new().write(true).open(doorward.htpasswd()).unwrap();
        file.set_len(1 << 30).unwrap();
    };
    assert_survives(grow, "the htpasswd file is too large");
}

#[test]
fn invalid_line_in_a_new_file_affects_only_its_user() {
    let doorward = Doorward::start(&users::two(), &POLL);
    assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
    users::put(&doorward.htpasswd(), users::alice() + "bob:$apr1$\n");
    await_log_in(&doorward, "bob", "builder", 401);
    assert_eq!(doorward.log_in("alice", "wonderland", HERE), 200);
    await_figure(&doorward, "doorward_htpasswd_invalid_lines", 1.0);
    await_ready(&doorward, READY);
    let said = "htpasswd:2:5: the $apr1$ hash is truncated or malformed";
    eventually("the log names the line", || doorward.log().contains(said).then_some(()));
}

#[test]
fn emptied_file_takes_effect_within_two_seconds_and_is_reported_field_m3_n1_c18() {
    let doorward = Doorward::start(&users::alice(), &[]);
    for text in ["", "# nobody\n\n"] {
        let emptied = Instant::now();
        fs::write(doorward.htpasswd(), text).unwrap();
        await_log_in(&doorward, "alice", "wonderland", 401);
        let after = emptied.elapsed();
        assert!(after >= Duration::from_secs(1), "a tool may be between truncating and writing: {after:?}");
        assert!(after <= Duration::from_secs(2), "{after:?}");
        await_figure(&doorward, "doorward_htpasswd_users", 0.0);
        await_ready(&doorward, "ready, degraded: the htpasswd file has no users, so it accepts no login\n");
        fs::write(doorward.htpasswd(), users::alice()).unwrap();
        await_log_in(&doorward, "alice", "wonderland", 200);
        await_ready(&doorward, READY);
    }
    let log = doorward.log();
    let told = log.lines().filter(|line| line.contains("has no users, so it accepts no login"));
    assert_eq!(told.inspect(|line| assert!(line.contains(" WARN "), "{line}")).count(), 2, "{log}");
}

#[test]
fn file_truncated_and_rewritten_by_a_slow_tool_locks_no_user_out() {
    let doorward = Doorward::start(&users::two(), &POLL);
    for _ in 0..5 {
        fs::write(doorward.htpasswd(), "").unwrap();
        let end = Instant::now() + Duration::from_millis(900);
        while Instant::now() < end {
            assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
        }
        fs::write(doorward.htpasswd(), users::two()).unwrap();
        let end = Instant::now() + Duration::from_millis(400);
        while Instant::now() < end {
            assert_eq!(doorward.log_in("bob", "builder", HERE), 200);
        }
    }
}

#[test]
fn start_check_and_reload_treat_a_file_without_users_alike_field_n1() {
    for (text, told) in [("", true), ("# nobody yet\n", true), ("# no users\n", false)] {
        let doorward = Doorward::start(text, &POLL);
        let path = doorward.htpasswd().display().to_string();
        assert_eq!(doorward.log_in("alice", "wonderland", HERE), 401);
        let note = "the htpasswd file has no users, so it accepts no login";
        let check = crate::support::doorward::doorward(&["check", "--htpasswd", &path]);
        assert_eq!((check.code, check.stdout.contains(note)), (Some(0), told), "{check:?}");
        assert_eq!(doorward.ready().text().contains(note), told, "{text:?}");
        fs::write(doorward.htpasswd(), users::alice()).unwrap();
        await_log_in(&doorward, "alice", "wonderland", 200);
        await_ready(&doorward, READY);
    }
}
