//! Slow clients, and the end: what is in flight is answered, and nothing new is taken.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::client::{Client, OF_DOORWARD, Request, unix};
use crate::support::doorward::Doorward;
use crate::support::{PATIENCE, eventually, users};

#[test]
fn slowly_sent_request_head_is_closed() {
    let doorward = Doorward::start(&users::alice(), &["--limits-head-timeout", "1s"]);
    let mut client = doorward.client().patient(Duration::from_millis(100)).unwrap();
    client.send(b"GET /auth HTTP/1.1\r\nX: ").unwrap();
    let end = Instant::now() + PATIENCE;
    // A byte each time that nothing came back.
    let answer = loop {
        assert!(Instant::now() < end, "the connection was not cut");
        match client.receive(false) {
            Ok(answer) => break Some(answer.status),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break None,
        }
        if client.send(b"x").is_err() {
            break None;
        }
    };
    assert!(matches!(answer, None | Some(408)), "{answer:?}");
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
}

#[test]
fn silent_connection_is_closed() {
    let doorward = Doorward::start(&users::alice(), &["--limits-head-timeout", "1s"]);
    let mut silent = doorward.client();
    match silent.receive(false) {
        Ok(answer) => assert_eq!(answer.status, 408),
        Err(error) => {
            assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        }
    }
}

#[test]
fn idle_keepalive_connection_is_closed_after_its_timeout() {
    let doorward = Doorward::start(&users::alice(), &["--limits-keep-alive", "1s"]);
    let mut client = doorward.client();
    assert_eq!(client.ask(&Request::auth()).status, 401);
    assert!(client.is_at_end(), "it is still open after {PATIENCE:?}");
}

#[test]
fn slow_clients_do_not_block_other_clients() {
    let doorward = Doorward::start(&users::alice(), &["--limits-workers", "1"]);
    let slow: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = doorward.client();
            client.send(b"GET /auth HTTP/1.1\r\n").unwrap();
            client
        })
        .collect();
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    drop(slow);
}

/// Sends a request whose check takes a while, and returns when that has begun.
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
        assert!(doorward.log().contains("doorward has ended"));
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
    let doorward = Doorward::start(&users::alice(), &["--limits-drain", "1h"]);
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
fn connection_beyond_the_limit_waits_until_another_closes() {
    let flags = ["--limits-connections", "2", "--limits-workers", "1"];
    let doorward = Doorward::start(&users::alice(), &flags);
    let mut held: Vec<Client> = (0..2).map(|_| doorward.client()).collect();
    for client in &mut held {
        assert_eq!(client.ask(&Request::auth()).status, 401);
    }
    let mut third = doorward.client().patient(Duration::from_millis(300)).unwrap();
    third.send(&Request::auth().bytes()).unwrap();
    let early = third.receive(false);
    assert!(early.is_err(), "it was answered while the other two were open: {early:?}");
    drop(held);
    let mut third = third.patient(PATIENCE).unwrap();
    assert_eq!(third.receive(false).unwrap().status, 401);
}

#[test]
fn user_signals_are_logged_and_ignored_at_any_time_field_o9() {
    let mut doorward = Doorward::start(&users::alice(), &["--limits-drain", "60s"]);
    let logged = |doorward: &Doorward, signal: &str| {
        let line = format!("signal ignored signal=\"{signal}\"");
        eventually(&line, || doorward.log().contains(&line).then_some(()));
    };
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        doorward.signal(signal);
        logged(&doorward, name);
        assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    }
    // Also while a shutdown waits: it goes on, and is not cut short.
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
