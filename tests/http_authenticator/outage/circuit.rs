//! The circuit breaker: when a service counts as down, probes, and recovery.

use std::time::{Duration, Instant, SystemTime};

use crate::http_authenticator::{assert_challenged, assert_unavailable, start, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::eventually;

/// Interval between two probes of a service that is down.
const SECOND: Duration = Duration::from_secs(1);

const READY: &str = "ready\n";
const DEGRADED: &str = "ready, degraded: authenticator vendor is down: ";

/// Sends a request for a new user from a new network, so that neither a cache nor a limit affects it.
fn ask(doorward: &Doorward, number: usize) -> Answer {
    doorward.ask(&request(number))
}

fn request(number: usize) -> Request {
    let network = format!("10.{}.{}.1", number / 250, number % 250);
    Request::auth().basic(&format!("user{number}"), "x").from(&network)
}

fn is_degraded(doorward: &Doorward) -> bool {
    doorward.ready().text().starts_with(DEGRADED)
}

/// Sends requests until the service receives one again, and returns its number.
fn until_called(doorward: &Doorward, backend: &Backend, from: usize) -> usize {
    let before = backend.requests();
    let mut number = from;
    eventually("the service is asked again", || {
        number += 1;
        ask(doorward, number);
        (backend.requests() > before).then_some(number)
    })
}

/// Disables the cache, so that every login is a call.
const UNTRUSTED: &str = "cache_ttl = \"0s\"\n";

/// Starts doorward with this service, which has accepted five users, each in another network block.
fn accepted(backend: &Backend, lines: &str) -> Doorward {
    let doorward = start(None, &vendor(backend.address, &format!("{UNTRUSTED}{lines}")));
    backend.say(Reply::status(200));
    (1..6).for_each(|number| assert_eq!(ask(&doorward, 1000 + number).status, 200));
    doorward
}

/// Makes the service answer in this way, and waits until the accepted users have detected it.
fn fail(backend: &Backend, doorward: &Doorward, reply: Reply) {
    backend.say(reply);
    eventually("the service counts as down", || {
        (1..6).for_each(|number| assert_unavailable(&ask(doorward, 1000 + number)));
        let is_told_at_once = || doorward.log().contains("service down: no call for");
        (is_degraded(doorward) && is_told_at_once()).then_some(())
    });
}

#[test]
fn service_that_fails_for_several_users_is_probed_once_a_second_until_it_recovers() {
    let backend = Backend::saying(Reply::status(200));
    let doorward = accepted(&backend, "");
    assert_eq!(doorward.metric("doorward_authenticator_up{authenticator=\"vendor\""), 1.0);
    fail(&backend, &doorward, Reply::status(502));
    let mut number = 0;
    assert_eq!(doorward.ready().status, 200, "a 503 would take every replica out at once");
    let ready = doorward.ready().text();
    assert!(ready.contains("no response for ") && ready.contains(" network blocks"), "{ready}");
    assert_eq!(doorward.metric("doorward_authenticator_up{authenticator=\"vendor\""), 0.0);
    // Later requests fail at once, except one probe a second.
    let (before, began) = (backend.requests(), Instant::now());
    while began.elapsed() < 3 * SECOND {
        number += 1;
        assert_unavailable(&ask(&doorward, number));
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = backend.requests() - before;
    let most = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((2..=most).contains(&asked), "{asked}");
    // The service recovers: the probe is answered like any other request.
    backend.say(Reply::status(401));
    let before = backend.requests();
    eventually("the service answers again", || {
        number += 1;
        let answer = ask(&doorward, number);
        let asked = backend.requests() > before;
        if asked {
            assert_challenged(&answer)
        } else {
            assert_unavailable(&answer)
        }
        asked.then_some(())
    });
    assert_eq!(doorward.ready().text(), READY);
    assert_eq!(doorward.metric("doorward_authenticator_up{authenticator=\"vendor\""), 1.0);
    backend.say(Reply::status(200));
    for number in 0..20 {
        assert_eq!(ask(&doorward, 2000 + number).status, 200);
    }
    // Another thread writes the log.
    let log = eventually("the log says that it is back", || {
        let log = doorward.log();
        log.contains("authenticator recovered").then_some(log)
    });
    let line = |words: &str| log.lines().filter(|line| line.contains(words)).collect::<Vec<_>>();
    let (down, back) = (line("authenticator down"), line("authenticator recovered"));
    assert_eq!((down.len(), back.len()), (1, 1), "{log}");
    assert!(down[0].contains("WARN") && down[0].contains("vendor"), "{down:?}");
    assert!(down[0].contains("responded with 502") && down[0].contains("network blocks"), "{down:?}");
    assert!(back[0].contains("INFO") && back[0].contains("vendor"), "{back:?}");
    assert!(log.contains("service down: no call for "), "{log}");
}

#[test]
fn during_an_outage_a_few_probes_are_sent_and_other_requests_get_503_at_once() {
    let backend = Backend::saying(Reply::status(200));
    let doorward = accepted(&backend, "timeout = \"60s\"");
    fail(&backend, &doorward, Reply::status(502));
    let number = 0;
    backend.say(Reply::status(200).held());
    let mut trying = Vec::new();
    let began = Instant::now();
    while began.elapsed() < 3 * SECOND {
        let mut client = doorward.client().patient(Duration::from_millis(100)).unwrap();
        client.send(&request(number + trying.len() + 100).bytes()).unwrap();
        // The request has failed at once, or it is a probe that waits.
        match client.receive(false) {
            Ok(answer) => assert_unavailable(&answer),
            Err(_) => trying.push(client),
        }
    }
    // Three probes at once and one more a second, of sixteen connections.
    assert!((2..=6).contains(&trying.len()), "{}", trying.len());
    assert!(backend.in_flight() <= 6);
    backend.release();
    for client in trying {
        let mut client = client.patient(crate::support::PATIENCE).unwrap();
        assert_eq!(client.receive(false).unwrap().status, 200);
    }
    assert_eq!(doorward.ready().text(), READY);
}

#[test]
fn each_service_failure_opens_the_circuit_and_unexpected_statuses_do_not() {
    for reply in [
        Reply::status(500),
        Reply::status(502),
        Reply::status(503),
        Reply::raw("").close(),
        Reply::raw("HTTP/1.1 200 OK\r\nContent-").close(),
        Reply::status(200).held(),
        Reply::with("200 OK", "Content-Type: text/html\r\n", "<html>"),
    ] {
        let backend = Backend::saying(Reply::status(200));
        let doorward = accepted(&backend, "timeout = \"300ms\"");
        fail(&backend, &doorward, reply);
    }
    // A client that guesses passwords can cause the 429 for all users.
    for reply in [Reply::status(418), Reply::status(404), Reply::status(302), Reply::status(429)] {
        let backend = Backend::saying(reply.clone());
        let doorward = start(None, &vendor(backend.address, ""));
        for number in 0..6 {
            assert_unavailable(&ask(&doorward, number));
            std::thread::sleep(SECOND / 4);
        }
        assert_eq!(backend.requests(), 6, "{reply:?}");
        assert_eq!(doorward.ready().text(), READY, "{reply:?}");
    }
}

#[test]
fn failure_of_one_requester_is_reported_to_that_requester_only_field_s1() {
    let backend = Backend::start(|heard| match &heard.who().0[..] {
        "user1" => Reply::raw("").close(),
        _ => Reply::status(200),
    });
    let doorward = start(None, &vendor(backend.address, ""));
    assert_unavailable(&ask(&doorward, 1));
    assert_eq!(ask(&doorward, 99).status, 200);
    for number in 0..10 {
        // An immediate retry makes no call.
        assert_unavailable(&ask(&doorward, 1));
        let before = backend.requests();
        assert_unavailable(&ask(&doorward, 1));
        assert_eq!(backend.requests(), before);
        assert_eq!(ask(&doorward, 100 + number).status, 200);
        assert_eq!(doorward.ready().text(), READY);
    }
    eventually("the log names the network that is held back", || {
        let line = |line: &str| line.contains("requester held back") && line.contains("10.0.1.1/32");
        doorward.log().lines().any(line).then_some(())
    });
    assert!(doorward.metric("doorward_authenticator_held_back_total") >= 10.0);
}

#[test]
fn only_consecutive_failures_open_the_circuit() {
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
fn unreachable_service_is_down_and_is_used_when_it_starts() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], crate::support::free_port()));
    let doorward = start(None, &vendor(address, ""));
    for number in 0..3 {
        assert_unavailable(&ask(&doorward, number));
    }
    let ready = doorward.ready().text();
    assert_eq!(ready, format!("{DEGRADED}no connection, 3 times in a row\n"));
    let backend = Backend::start_at(address, None, |_| Reply::status(200));
    let number = until_called(&doorward, &backend, 10);
    assert_eq!(ask(&doorward, number + 1).status, 200);
    assert_eq!(doorward.ready().text(), READY);
}

/// Returns the date `after` from now in the format of HTTP.
fn date(after: Duration) -> String {
    let mut command = std::process::Command::new("date");
    let then = (SystemTime::now() + after).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    command.env("LC_ALL", "C").args(["-u", "-d", &format!("@{then}"), "+%a, %d %b %Y %H:%M:%S GMT"]);
    crate::support::process::run(command).stdout.trim().to_owned()
}

#[test]
fn user_with_retry_after_is_called_again_at_that_time_and_other_users_at_once_field_s1() {
    for (after, least) in [(Some("3"), 3), (None, 2)] {
        // A date has whole seconds, and time passes before it is read. The minimum leaves room for both.
        let after = after.map_or_else(|| date(Duration::from_secs(4)), str::to_owned);
        let told = format!("Retry-After: {after}\r\n");
        let backend = Backend::start(move |heard| match &heard.who().0[..] {
            "user1" => Reply::with("503 Later", &told, ""),
            _ => Reply::status(200),
        });
        let doorward = start(None, &vendor(backend.address, ""));
        let at = || {
            let heard = backend.heard();
            heard.iter().filter(|heard| heard.who().0 == "user1").map(|heard| heard.at).collect::<Vec<_>>()
        };
        let mut number = 100;
        let at = eventually("the user is asked about again", || {
            assert_unavailable(&ask(&doorward, 1));
            assert_eq!(ask(&doorward, number).status, 200);
            number += 1;
            Some(at()).filter(|at| at.len() > 1)
        });
        assert!(at[1] - at[0] >= Duration::from_secs(least), "{after}: {:?}", at[1] - at[0]);
    }
}

#[test]
fn status_429_with_retry_after_delays_only_its_user() {
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
