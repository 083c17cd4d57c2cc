//! Shutdown: drain, requests in flight, signals, core dumps.

use rustix::process::Signal;

use crate::support::client::{Client, OF_DOORWARD, Request, unix};
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

/// Sends a request with a slow check, and returns when the check has begun.
fn in_flight(doorward: &Doorward) -> Client {
    let mut client = doorward.client();
    client.send(&Request::auth().basic("alice", "wonderland").bytes()).unwrap();
    eventually("the password is being checked", || {
        (doorward.metric("doorward_cache_misses_total") > 0.0).then_some(())
    });
    client
}

#[test]
fn request_in_flight_is_answered_before_shutdown() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let file = users::line("alice", "wonderland", users::SLOW);
        let mut doorward = Doorward::start(&file, &["--limits-shutdown-timeout", "60s"]);
        let mut client = in_flight(&doorward);
        doorward.signal(signal);
        eventually("nobody new is let in", || {
            Client::connect(&doorward.address, OF_DOORWARD).is_err().then_some(())
        });
        assert_eq!(client.receive(false).unwrap().status, 200, "{signal:?}");
        assert_eq!(doorward.wait(), Some(0), "{signal:?}: {}", doorward.log());
        assert!(doorward.log().contains("doorward stopped"));
    }
}

#[test]
fn idle_keepalive_connection_does_not_delay_shutdown() {
    let mut doorward = Doorward::start(&users::alice(), &["--limits-shutdown-timeout", "1h"]);
    let mut client = doorward.client();
    assert_eq!(client.ask(&Request::auth()).status, 401);
    doorward.signal(Signal::TERM);
    assert_eq!(doorward.wait(), Some(0));
    assert!(client.is_at_end());
}

#[test]
fn readyz_reports_draining_while_listeners_are_open() {
    let doorward = Doorward::start(&users::alice(), &["--limits-shutdown-delay", "1h"]);
    doorward.signal(Signal::TERM);
    let answer = eventually("/readyz answers 503", || {
        let answer = doorward.ready();
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(answer.text(), "draining\n");
    assert_eq!(doorward.admin(&Request::get("/livez")).status, 200);
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200, "what comes is still answered");
    assert_eq!(doorward.log_in("alice", "looking-glass", "192.0.2.1"), 401);
}

#[test]
fn unix_socket_is_removed_at_exit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("doorward.sock");
    let mut doorward = Doorward::start(&users::alice(), &["--listen", &unix(&path)]);
    assert!(path.exists());
    doorward.signal(Signal::TERM);
    assert_eq!(doorward.wait(), Some(0));
    assert!(!path.exists());
}

#[test]
fn user_signals_are_logged_and_ignored_at_any_time_field_o9() {
    let mut doorward = Doorward::start(&users::alice(), &["--limits-shutdown-delay", "60s"]);
    let logged = |doorward: &Doorward, signal: &str| {
        let line = format!("signal ignored signal=\"{signal}\"");
        eventually(&line, || doorward.log().contains(&line).then_some(()));
    };
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        doorward.signal(signal);
        logged(&doorward, name);
        assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    }
    // The signal does not shorten or stop a shutdown in progress.
    doorward.signal(Signal::TERM);
    eventually("it drains", || (doorward.ready().status == 503).then_some(()));
    for _ in 0..3 {
        let before = doorward.log().matches("SIGUSR1").count();
        doorward.signal(Signal::USR1);
        eventually("it is logged", || (doorward.log().matches("SIGUSR1").count() > before).then_some(()));
    }
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    doorward.signal(Signal::TERM);
    assert_eq!(doorward.wait(), Some(0));
}

#[test]
fn running_doorward_writes_no_core_dump() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", doorward.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
}
