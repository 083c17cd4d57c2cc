//! Slow and idle connections, and the connection limit.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::support::client::{Client, Request};
use crate::support::doorward::Doorward;
use crate::support::{PATIENCE, users};

#[test]
fn slowly_sent_request_head_is_closed() {
    let doorward = Doorward::start(&users::alice(), &["--limits-header-timeout", "1s"]);
    let mut client = doorward.client().patient(Duration::from_millis(100)).unwrap();
    client.send(b"GET /auth HTTP/1.1\r\nX: ").unwrap();
    let end = Instant::now() + PATIENCE;
    // One byte is sent after each timeout without a response.
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
    let doorward = Doorward::start(&users::alice(), &["--limits-header-timeout", "1s"]);
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
    let doorward = Doorward::start(&users::alice(), &["--limits-keepalive-timeout", "1s"]);
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

#[test]
fn connection_beyond_the_limit_waits_until_another_closes() {
    let flags = ["--limits-max-connections", "2", "--limits-workers", "1"];
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
