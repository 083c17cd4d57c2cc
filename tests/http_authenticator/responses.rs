//! The response of a service: acceptance, user name, groups and attributes.

use rustix::process::Signal;

use super::{HOME, assert_by, assert_challenged, assert_unavailable, start, start_with, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Request};
use crate::support::eventually;

/// Sends a request of `user` to a service with this response, and returns the result.
fn ask(user: &str, reply: Reply, lines: &str) -> Answer {
    let backend = Backend::saying(reply);
    let doorward = start(None, &vendor(backend.address, lines));
    doorward.ask(&Request::auth().basic(user, "x").from(HOME))
}

#[test]
fn accepted_if_condition_that_fails_in_any_part_rejects() {
    let lines = "accepted_if = { \"/email\" = \"{username}\", \"/active\" = true, \"/level\" = 3 }";
    let says = |document: &str| ask("alice@example.test", Reply::json(document), lines);
    let yes = "{\"email\": \"alice@example.test\", \"active\": true, \"level\": 3, \"more\": [1]}";
    assert_by(&says(yes), "alice@example.test", "vendor");
    for no in [
        yes.replace("alice@", "Alice@"),
        yes.replace("alice@", "bob@"),
        yes.replace("true", "false"),
        yes.replace("true", "null"),
        yes.replace(": 3", ": 4"),
        yes.replace("\"active\"", "\"inactive\""),
        "{}".into(),
    ] {
        assert_challenged(&says(&no));
    }
    for trouble in [yes.replace("true", "\"true\""), yes.replace(": 3", ": \"3\""), "no".into()] {
        assert_unavailable(&says(&trouble));
    }
}

#[test]
fn user_name_is_taken_from_the_service_response() {
    let lines = "username_pointer = \"/user/login\"";
    let answer = ask("ALICE", Reply::json("{\"user\": {\"login\": \"alice\"}}"), lines);
    assert_by(&answer, "alice", "vendor");
    for bad in ["\"\"", "\"a:b\"", "\" a\"", "\"a\\u0000\"", "null", "[\"alice\"]"] {
        let body = format!("{{\"user\": {{\"login\": {bad}}}}}");
        assert_unavailable(&ask("ALICE", Reply::json(&body), lines));
    }
}

#[test]
fn groups_are_read_from_the_configured_pointer_or_header() {
    let licences = "{\"licences\": [{\"release\": \"r1\", \"valid\": true}, {\"release\": \"r2\", \"valid\": false}, {\"release\": \"r3\", \"valid\": true}]}";
    let lines = "groups = [ { pointer = \"/licences\", name_pointer = \"/release\", where = { \"/valid\" = true }, prefix = \"lic-\" } ]";
    let groups = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut groups: Vec<String> =
            answer.header("x-auth-groups").unwrap().split(',').map(|name| name.trim().to_owned()).collect();
        groups.sort();
        groups.join(" ")
    };
    assert_eq!(groups(&ask("alice", Reply::json(licences), lines)), "lic-r1 lic-r3");
    let names = "groups = [ { pointer = \"/teams\" }, { header = \"X-Groups\", separator = \",\", optional = true } ]";
    let reply = Reply::with("200 OK", "X-Groups: ops, devs\r\n", "{\"teams\": [\"a\"]}");
    assert_eq!(groups(&ask("alice", reply, names)), "a devs ops");
    assert_eq!(groups(&ask("alice", Reply::json("{\"teams\": \"one\"}"), names)), "one");
    assert_eq!(groups(&ask("alice", Reply::json("{\"teams\": []}"), names)), "");
    // A value that is not optional must exist.
    assert_unavailable(&ask("alice", Reply::json("{}"), names));
    let optional = "groups = [ { pointer = \"/teams\", optional = true } ]";
    assert_eq!(groups(&ask("alice", Reply::json("{}"), optional)), "");
}

#[test]
fn facts_are_sent_to_nginx_and_a_missing_fact_is_empty() {
    let lines = "facts = { plan = \"/plan\", customer = { header = \"X-Customer\" } }";
    let reply = Reply::with("200 OK", "X-Customer: c-17\r\n", "{\"plan\": \"gold\"}");
    let answer = ask("alice", reply, lines);
    assert_by(&answer, "alice", "vendor");
    assert_eq!(answer.header("x-auth-fact-plan"), Some("gold"));
    assert_eq!(answer.header("x-auth-fact-customer"), Some("c-17"));
    let answer = ask("alice", Reply::json("{}"), lines);
    assert_eq!(answer.header("x-auth-fact-plan"), Some(""));
    assert_eq!(answer.header("x-auth-fact-customer"), Some(""));
    // A rejected user gets no identity, whatever the response contains.
    let reply = Reply::with("401 No", "X-Customer: c-17\r\n", "{\"plan\": \"gold\"}");
    assert_challenged(&ask("alice", reply, lines));
}

#[test]
fn fact_or_group_with_a_line_break_adds_no_header() {
    let lines = "facts = { plan = \"/plan\" }";
    for bad in ["a\\r\\nX-Auth-User: root", "a\\nb", "a\\u0000b"] {
        let answer = ask("alice", Reply::json(&format!("{{\"plan\": \"{bad}\"}}")), lines);
        if answer.status == 200 {
            assert_eq!(answer.header("x-auth-user"), Some("alice"), "{answer:?}");
            assert_eq!(answer.header("x-auth-fact-plan"), Some(""), "{answer:?}");
        } else {
            assert_unavailable(&answer);
        }
    }
}

#[test]
fn configured_method_is_used_and_a_body_defaults_to_post() {
    let json = "json = { password = \"{password}\" }";
    for (lines, method) in
        [("", "GET"), ("method = \"HEAD\"", "HEAD"), ("method = \"POST\"", "POST"), (json, "POST")]
    {
        for (code, wanted) in [(200, 200), (401, 401)] {
            let backend = Backend::saying(Reply::status(code));
            let doorward = start(None, &vendor(backend.address, lines));
            assert_eq!(doorward.log_in("alice", "x", HOME), wanted, "{lines}");
            let heard = backend.heard();
            assert_eq!((&heard[0].method[..], &heard[0].version[..]), (method, "HTTP/1.1"), "{lines}");
            assert_eq!(heard[0].header("host"), Some(backend.address.to_string().as_bytes()));
        }
    }
}

#[test]
fn connections_to_the_service_are_reused() {
    let backend = Backend::saying(Reply::status(200));
    let doorward = start(None, &vendor(backend.address, ""));
    for number in 0..20 {
        assert_eq!(doorward.log_in(&format!("user{number}"), "x", HOME), 200);
    }
    backend.say(Reply::status(401));
    assert_eq!(doorward.log_in("eve", "x", HOME), 401);
    assert_eq!((backend.requests(), backend.connections()), (21, 1));
}

#[test]
fn connection_closed_by_the_service_while_idle_causes_no_failure() {
    // The service closes the connection after every response, with and without `Connection: close`.
    for header in ["", "Connection: close\r\n"] {
        let says = |status: &str| Reply::with(status, header, "").close();
        let backend = Backend::saying(says("200 Yes"));
        let doorward = start(None, &vendor(backend.address, ""));
        for number in 1..=20 {
            assert_eq!(doorward.log_in(&format!("user{number}"), "x", HOME), 200, "{}", doorward.log());
            // A close while a call is in progress is different: such a call is not retried.
            backend.await_closed(number);
        }
        backend.say(says("401 No"));
        assert_eq!(doorward.log_in("eve", "x", HOME), 401);
        assert_eq!((backend.requests(), backend.connections()), (21, 21));
    }
}

#[test]
fn surplus_response_is_not_used_for_another_request() {
    // A response that a client leaves on a connection would be taken for the response to the next request, as
    // in the desync attacks on proxies.
    let backend = Backend::start(|heard| match &heard.who().0[..] {
        "bob" => Reply::status(401),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(3)),
    });
    let doorward = start(None, &vendor(backend.address, "cache_ttl = \"0s\"\nmax_connections = 1"));
    for number in 0..20 {
        assert_eq!(doorward.log_in(&format!("ann{number}"), "x", HOME), 200);
        let bob = doorward.log_in("bob", &format!("guess {}", number % 5), HOME);
        assert!(matches!(bob, 401 | 503), "{bob}");
    }
    // More bytes than announced, which are not a response.
    let backend = Backend::start(|heard| match &heard.who().0[..] {
        "bob" => Reply::status(401),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n"),
    });
    let doorward = start(None, &vendor(backend.address, "cache_ttl = \"0s\"\nmax_connections = 1"));
    for number in 0..20 {
        assert_eq!(doorward.log_in(&format!("ann{number}"), "x", HOME), 200);
        let bob = doorward.log_in("bob", &format!("guess {}", number % 5), HOME);
        assert!(matches!(bob, 401 | 503), "{bob}");
    }
}

#[test]
fn shutdown_waits_for_a_service_response_up_to_the_drain_limit() {
    let backend = Backend::saying(Reply::status(200).held());
    let mut doorward = start(None, &vendor(backend.address, "timeout = \"60s\""));
    let mut client = doorward.client();
    client.send(&Request::auth().basic("alice", "x").bytes()).unwrap();
    backend.await_requests(1);
    doorward.signal(Signal::TERM);
    eventually("it is on its way out", || doorward.log().contains("shutting down").then_some(()));
    backend.release();
    assert_eq!(client.receive(false).unwrap().status, 200);
    assert_eq!(doorward.wait(), Some(0));
    // Control: no response arrives, and the call still ends at its own timeout.
    let backend = Backend::saying(Reply::status(200).held());
    let lines = "timeout = \"3s\"";
    let mut doorward =
        start_with(None, &vendor(backend.address, lines), &["--limits-shutdown-timeout", "1s"]);
    let mut client = doorward.client();
    client.send(&Request::auth().basic("alice", "x").bytes()).unwrap();
    backend.await_requests(1);
    doorward.signal(Signal::TERM);
    assert!(doorward.wait().is_some());
    assert!(!client.receive(false).is_ok_and(|answer| answer.status == 200));
}
