//! Single flight, connection limit, queue and its shares.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{HOME, start, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, Request};
use crate::support::doorward::Doorward;
use crate::support::eventually;

/// Response time of the service.
const RESPONSE_DELAY: Duration = Duration::from_millis(200);

/// Sends all requests, then reads all responses, and returns their statuses.
fn at_once(doorward: &Doorward, requests: impl Iterator<Item = Request>) -> Vec<u16> {
    let requests: Vec<Request> = requests.collect();
    let mut clients: Vec<Client> = requests.iter().map(|_| doorward.client()).collect();
    for (client, request) in clients.iter_mut().zip(&requests) {
        client.send(&request.bytes()).unwrap();
    }
    clients.iter_mut().map(|client| client.receive(false).unwrap().status).collect()
}

fn all(statuses: &[u16], wanted: u16) -> bool {
    statuses.iter().all(|status| *status == wanted)
}

#[test]
fn thousand_simultaneous_requests_of_one_user_cost_one_call() {
    let backend = Backend::start(|heard| {
        Reply::status(if heard.who().1 == "sings" { 200 } else { 401 }).after(RESPONSE_DELAY)
    });
    let doorward = start(None, &vendor(backend.address, ""));
    let carol = |password| Request::auth().basic("carol", password).from(HOME);
    let statuses = at_once(&doorward, (0..1000).map(|_| carol("sings")));
    assert!(all(&statuses, 200), "{statuses:?}");
    assert_eq!(backend.requests(), 1);
    // The same number of requests with a wrong password.
    let statuses = at_once(&doorward, (0..1000).map(|_| carol("hums")));
    assert!(all(&statuses, 401), "{statuses:?}");
    assert_eq!(backend.requests(), 2);
    // Later requests are answered from the cache.
    assert!(all(&at_once(&doorward, (0..100).map(|_| carol("sings"))), 200));
    assert_eq!(backend.requests(), 2);
}

#[test]
fn calls_are_counted_by_outcome() {
    let backend = Backend::start(|heard| match &heard.who().0[..] {
        "ann" => Reply::status(200),
        "bob" => Reply::status(404),
        "carl" => Reply::status(500),
        _ => Reply::status(401),
    });
    let doorward = start(None, &vendor(backend.address, super::UNKNOWN));
    for user in ["ann", "bob", "carl", "dora", "eve"] {
        doorward.log_in(user, "x", HOME);
    }
    let of = |result: &str| {
        let labels = format!("{{authenticator=\"vendor\",result=\"{result}\"");
        doorward.metric(&format!("doorward_authenticator_calls_total{labels}"))
    };
    assert_eq!(["accepted", "rejected", "unknown_user", "error"].map(of), [1.0, 2.0, 1.0, 1.0]);
    assert!(doorward.metric("doorward_authenticator_call_seconds_total{authenticator=\"vendor\"") > 0.0);
}

#[test]
fn overload_of_a_responding_service_opens_no_circuit() {
    // Three batches fit into the timeout. Requests behind them have little time left.
    let backend = Backend::saying(Reply::status(200).after(Duration::from_millis(350)));
    let doorward = start(None, &vendor(backend.address, "timeout = \"1s\"\nmax_connections = 16"));
    let users = (0..100).map(|number| {
        Request::auth().basic(&format!("user{number}"), "x").from(&format!("192.0.2.{number}"))
    });
    let statuses = at_once(&doorward, users);
    assert!(statuses.iter().filter(|status| **status == 200).count() >= 16, "{statuses:?}");
    let log = doorward.log();
    assert!(!log.contains("authenticator down"), "it answered whoever waited for it: {log}");
    assert_eq!(doorward.log_in("one more", "x", HOME), 200);
    backend.say(Reply::status(401));
    assert_eq!(doorward.log_in("one more", "y", HOME), 401);
}

#[test]
fn two_hundred_users_are_answered_within_the_connection_limit() {
    for connections in [1, 16] {
        // With one connection, two hundred full delays would take too long.
        let pause = if connections == 1 { RESPONSE_DELAY / 40 } else { RESPONSE_DELAY };
        let backend = Backend::start(move |heard| {
            let (user, password) = heard.who();
            Reply::status(if password == format!("password of {user}") { 200 } else { 401 }).after(pause)
        });
        let lines = format!("max_connections = {connections}\ntimeout = \"60s\"\n");
        let doorward = start(None, &vendor(backend.address, &lines));
        let users: Vec<String> = (0..200).map(|number| format!("user{number}")).collect();
        // One password in five is wrong, so that an answer that goes to the wrong request is detected.
        let password = |number: usize, user: &str| {
            if number.is_multiple_of(5) { "x".to_owned() } else { format!("password of {user}") }
        };
        let requests = users.iter().enumerate().map(|(number, user)| {
            Request::auth().basic(user, &password(number, user)).from(&format!("192.0.2.{}", number % 100))
        });
        for (number, status) in at_once(&doorward, requests).into_iter().enumerate() {
            assert_eq!(status, if number.is_multiple_of(5) { 401 } else { 200 }, "user {number}");
        }
        assert_eq!(backend.requests(), 200);
        let heard: BTreeSet<String> = backend.heard().iter().map(|heard| heard.who().0).collect();
        assert_eq!(heard.len(), 200, "each was asked about once");
        assert!(backend.most_in_flight() <= connections, "{} at one time", backend.most_in_flight());
        assert!(connections == 1 || backend.most_in_flight() > 1, "they go side by side");
    }
}

/// Starts a service that never answers, with one connection, and a client that occupies it.
fn taken(lines: &str) -> (Backend, Doorward, Client) {
    let backend = Backend::saying(Reply::status(200).held());
    let lines = format!("max_connections = 1\ntimeout = \"60s\"\n{lines}\n");
    let doorward = start(None, &vendor(backend.address, &lines));
    let mut first = doorward.client();
    first.send(&Request::auth().basic("first", "x").from(HOME).bytes()).unwrap();
    backend.await_requests(1);
    (backend, doorward, first)
}

/// Sends a request, and waits until the queue has this length.
fn queue(doorward: &Doorward, user: &str, password: &str, network: &str, length: f64) -> Client {
    let mut client = doorward.client();
    client.send(&Request::auth().basic(user, password).from(network).bytes()).unwrap();
    eventually("it waits in the queue", || {
        (doorward.metric("doorward_authenticator_queue_length") >= length).then_some(())
    });
    client
}

fn assert_busy(doorward: &Doorward, user: &str, password: &str, network: &str) {
    let answer = doorward.ask(&Request::auth().basic(user, password).from(network));
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some("busy"), "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    super::assert_no_identity(&answer);
}

#[test]
fn request_beyond_the_queue_limit_is_answered_busy() {
    // All requests come from one network block, which does not compete with itself.
    let (backend, doorward, first) = taken("queue_limit = 2\nper_network_limit = 2\nper_user_limit = 1");
    let mut waiting = vec![first];
    waiting.push(queue(&doorward, "second", "x", "192.0.2.1", 1.0));
    waiting.push(queue(&doorward, "third", "x", "192.0.2.2", 2.0));
    assert_busy(&doorward, "fourth", "x", "192.0.2.3");
    assert!(doorward.metric("doorward_authenticator_queue_full_total") >= 1.0);
    backend.release();
    for mut client in waiting {
        assert_eq!(client.receive(false).unwrap().status, 200);
    }
    assert_eq!(doorward.log_in("fourth", "x", "192.0.2.3"), 200, "there is room again");
    assert_eq!(backend.most_in_flight(), 1);
}

#[test]
fn full_queue_evicts_from_the_largest_network_block_for_a_new_block() {
    let (backend, doorward, mut first) = taken("queue_limit = 2\nper_network_limit = 2\nper_user_limit = 1");
    let mut second = queue(&doorward, "second", "x", "192.0.2.1", 1.0);
    let mut third = queue(&doorward, "third", "x", "192.0.2.2", 2.0);
    let mut newcomer = doorward.client();
    newcomer.send(&Request::auth().basic("newcomer", "x").from("203.0.113.1").bytes()).unwrap();
    let displaced = third.receive(false).unwrap();
    assert_eq!(displaced.header("x-auth-reason"), Some("busy"), "{displaced:?}");
    backend.release();
    for client in [&mut first, &mut second, &mut newcomer] {
        assert_eq!(client.receive(false).unwrap().status, 200);
    }
    let asked: Vec<String> = backend.heard().iter().map(|heard| heard.who().0).collect();
    assert!(!asked.contains(&"third".to_owned()), "{asked:?}");
}

#[test]
fn queue_share_limits_one_user_and_one_network_and_leaves_room_for_others() {
    let (backend, doorward, first) = taken("queue_limit = 8\nper_network_limit = 2\nper_user_limit = 1");
    let mut waiting = vec![first];
    let network = "198.51.100.7";
    waiting.push(queue(&doorward, "second", "x", network, 1.0));
    assert_busy(&doorward, "second", "y", network);
    waiting.push(queue(&doorward, "third", "x", network, 2.0));
    assert_busy(&doorward, "fourth", "x", network);
    waiting.push(queue(&doorward, "fourth", "x", "203.0.113.1", 3.0));
    backend.release();
    for mut client in waiting {
        assert_eq!(client.receive(false).unwrap().status, 200);
    }
}
