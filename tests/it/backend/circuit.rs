//! A service that is down: it is left alone but for one question a second, everybody is told at once,
//! and it is found again.

use std::time::{Duration, SystemTime};

use super::{assert_challenged, assert_unavailable, start, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::eventually;

/// Between two questions to a service that is down.
const SECOND: Duration = Duration::from_secs(1);

const READY: &str = "ready\n";
const DEGRADED: &str = "ready, degraded: authenticator vendor is down\n";

/// Asks about somebody who was never asked about, from a network of his own, so that neither a cache
/// nor a limit has a word in it.
fn ask(doorward: &Doorward, number: usize) -> Answer {
    doorward.ask(&request(number))
}

fn request(number: usize) -> Request {
    let network = format!("10.{}.{}.1", number / 250, number % 250);
    Request::auth().basic(&format!("user{number}"), "x").from(&network)
}

/// Three failures, one behind the other.
fn fail(doorward: &Doorward, backend: &Backend) {
    let before = backend.requests();
    for number in 0..3 {
        assert_eq!(doorward.ready().text(), READY, "after {number} failures");
        assert_unavailable(&ask(doorward, number));
    }
    assert_eq!(backend.requests(), before + 3);
}

/// Asks until the service hears of it again: with what number.
fn until_asked(doorward: &Doorward, backend: &Backend, from: usize) -> usize {
    let before = backend.requests();
    let mut number = from;
    eventually("the service is asked again", || {
        number += 1;
        ask(doorward, number);
        (backend.requests() > before).then_some(number)
    })
}

#[test]
fn after_three_failures_a_service_is_asked_once_a_second_until_it_is_back() {
    let backend = Backend::saying(Reply::status(502));
    let doorward = start(None, &vendor(backend.address, ""));
    assert_eq!(doorward.metric("doorward_http_up{authenticator=\"vendor\""), 1.0);
    fail(&doorward, &backend);
    assert_eq!(doorward.ready().status, 200, "a 503 would take every replica out at once");
    assert_eq!(doorward.ready().text(), DEGRADED);
    assert_eq!(doorward.metric("doorward_http_up{authenticator=\"vendor\""), 0.0);
    assert_unavailable(&ask(&doorward, 3));
    assert_eq!(backend.requests(), 3, "the fourth is told at once");
    let number = until_asked(&doorward, &backend, 10);
    let number = until_asked(&doorward, &backend, number);
    let at: Vec<_> = backend.heard().iter().map(|heard| heard.at).collect();
    assert!(at[3] - at[2] >= SECOND && at[4] - at[3] >= SECOND, "{at:?}");
    // It comes back: the one question that is let through is answered like any other.
    backend.say(Reply::status(401));
    let before = backend.requests();
    let mut next = number;
    eventually("the service answers again", || {
        next += 1;
        let answer = ask(&doorward, next);
        let asked = backend.requests() > before;
        if asked {
            assert_challenged(&answer)
        } else {
            assert_unavailable(&answer)
        }
        asked.then_some(())
    });
    assert_eq!(doorward.ready().text(), READY);
    assert_eq!(doorward.metric("doorward_http_up{authenticator=\"vendor\""), 1.0);
    backend.say(Reply::status(200));
    for number in 0..20 {
        assert_eq!(ask(&doorward, 1000 + number).status, 200);
    }
    // It is written by a thread of its own.
    let log = eventually("the log says that it is back", || {
        let log = doorward.log();
        log.contains("the authenticator is back").then_some(log)
    });
    let line = |words: &str| log.lines().filter(|line| line.contains(words)).collect::<Vec<_>>();
    let (down, back) = (line("the authenticator is down"), line("the authenticator is back"));
    assert_eq!((down.len(), back.len()), (1, 1), "{log}");
    assert!(down[0].contains("WARN") && down[0].contains("vendor"), "{down:?}");
    assert!(back[0].contains("INFO") && back[0].contains("vendor"), "{back:?}");
    assert!(log.contains("is down: not asked for "), "{log}");
}

#[test]
fn while_it_is_being_tried_nobody_else_tries_it() {
    let backend = Backend::saying(Reply::status(502));
    let doorward = start(None, &vendor(backend.address, "timeout = \"60s\""));
    fail(&doorward, &backend);
    backend.say(Reply::status(200).held());
    let mut number = 10;
    let mut probe = eventually("one is let through", || {
        number += 1;
        let mut client = doorward.client().patient(Duration::from_millis(200)).unwrap();
        client.send(&request(number).bytes()).unwrap();
        // Told at once, or it is the one that waits.
        let told = client.receive(false);
        if let Ok(answer) = &told {
            assert_unavailable(answer);
        }
        (backend.in_flight() == 1).then_some(client)
    });
    for _ in 0..30 {
        number += 1;
        assert_unavailable(&ask(&doorward, number));
    }
    assert_eq!((backend.in_flight(), backend.requests()), (1, 4));
    backend.release();
    probe = probe.patient(crate::support::PATIENCE).unwrap();
    assert_eq!(probe.receive(false).unwrap().status, 200);
    assert_eq!(ask(&doorward, number + 1).status, 200);
    assert_eq!(backend.most_in_flight(), 1);
}

#[test]
fn every_kind_of_failure_counts_and_trouble_of_another_kind_does_not() {
    for reply in [
        Reply::status(502),
        Reply::status(503),
        Reply::raw("").close(),
        Reply::raw("HTTP/1.1 200 OK\r\nContent-").close(),
        Reply::status(200).held(),
    ] {
        let backend = Backend::saying(reply.clone());
        let doorward = start(None, &vendor(backend.address, "timeout = \"300ms\""));
        fail(&doorward, &backend);
        assert_eq!(doorward.ready().text(), DEGRADED, "{reply:?}");
        assert_unavailable(&ask(&doorward, 4));
        assert_eq!(backend.requests(), 3, "{reply:?}");
    }
    let page = Reply::with("200 OK", "Content-Type: text/html\r\n", "<html>");
    // A client may know what makes it answer with the last two.
    let provoked = [Reply::status(500), Reply::status(429)];
    for reply in
        [Reply::status(418), Reply::status(404), Reply::status(302), page].into_iter().chain(provoked)
    {
        let backend = Backend::saying(reply.clone());
        let doorward = start(None, &vendor(backend.address, ""));
        for number in 0..6 {
            assert_unavailable(&ask(&doorward, number));
        }
        assert_eq!(backend.requests(), 6, "{reply:?}");
        assert_eq!(doorward.ready().text(), READY, "{reply:?}");
    }
}

#[test]
fn only_failures_in_a_row_count() {
    let backend = Backend::saying(Reply::status(502));
    let doorward = start(None, &vendor(backend.address, ""));
    for round in 0..5 {
        backend.say(Reply::status(502));
        assert_unavailable(&ask(&doorward, 10 * round));
        assert_unavailable(&ask(&doorward, 10 * round + 1));
        backend.say(Reply::status(401));
        assert_challenged(&ask(&doorward, 10 * round + 2));
    }
    assert_eq!(backend.requests(), 15);
    assert_eq!(doorward.ready().text(), READY);
}

#[test]
fn a_service_that_nobody_answers_for_is_down_and_found_when_it_comes() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], crate::support::free_port()));
    let doorward = start(None, &vendor(address, ""));
    for number in 0..3 {
        assert_unavailable(&ask(&doorward, number));
    }
    assert_eq!(doorward.ready().text(), DEGRADED);
    let backend = Backend::start_at(address, None, |_| Reply::status(200));
    let number = until_asked(&doorward, &backend, 10);
    assert_eq!(ask(&doorward, number + 1).status, 200);
    assert_eq!(doorward.ready().text(), READY);
}

/// The date `after` from now, as HTTP writes it.
fn date(after: Duration) -> String {
    let mut command = std::process::Command::new("date");
    let then = (SystemTime::now() + after).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    command.env("LC_ALL", "C").args(["-u", "-d", &format!("@{then}"), "+%a, %d %b %Y %H:%M:%S GMT"]);
    crate::support::process::run(command).stdout.trim().to_owned()
}

#[test]
fn a_service_that_says_when_to_come_again_is_asked_then_and_not_before() {
    for (status, after, least) in [("503 Later", Some("3"), 3), ("503 Later", None, 2)] {
        // A date has whole seconds, and some time passes before it is read: the least leaves room for both.
        let after = after.map_or_else(|| date(Duration::from_secs(4)), str::to_owned);
        let backend = Backend::saying(Reply::with(status, &format!("Retry-After: {after}\r\n"), ""));
        let doorward = start(None, &vendor(backend.address, ""));
        let mut number = 0;
        while doorward.ready().text() == READY {
            number += 1;
            assert!(number <= 3, "three failures are enough");
            assert_unavailable(&ask(&doorward, number));
        }
        let asked = backend.requests();
        until_asked(&doorward, &backend, 10);
        let heard = backend.heard();
        let waited = heard[asked].at - heard[asked - 1].at;
        assert!(waited >= Duration::from_secs(least), "{status} {after}: {waited:?}");
    }
}

#[test]
fn a_429_with_a_time_holds_the_user_whom_it_was_said_of() {
    let backend = Backend::start(|heard| match &heard.who().0[..] {
        "user1" => Reply::with("429 Slowly", "Retry-After: 30\r\n", ""),
        _ => Reply::status(200),
    });
    let doorward = start(None, &vendor(backend.address, ""));
    for _ in 0..5 {
        assert_unavailable(&ask(&doorward, 1));
    }
    assert_eq!(backend.requests(), 1, "he was asked about once");
    assert_eq!(ask(&doorward, 2).status, 200, "anybody else is asked about");
    assert_eq!(backend.requests(), 2);
}
