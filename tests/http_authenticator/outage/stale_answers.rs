//! The last accepted answer while a service is down, and the users it applies to.

use crate::http_authenticator::{HOME, assert_challenged, assert_unavailable, start, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::eventually;

/// Disables the cache; an answer can be used for an hour while the service is down.
const HOUR: &str = "cache_ttl = \"0s\"\nstale_if_unavailable = \"1h\"\n";

fn ask(doorward: &Doorward, user: &str, password: &str) -> Answer {
    doorward.ask(&Request::auth().basic(user, password).from(HOME))
}

fn assert_fresh(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-stale"), Some(""), "{answer:?}");
}

fn assert_stale(answer: &Answer, user: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-stale"), Some("true"), "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), Some(user), "{answer:?}");
    assert_eq!(answer.header("x-auth-by"), Some("vendor"), "{answer:?}");
}

/// Starts a service and doorward, and logs these users in.
fn accepted(lines: &str, users: &[&str]) -> (Backend, Doorward) {
    let backend = Backend::saying(Reply::status(200));
    let doorward = start(None, &vendor(backend.address, lines));
    for user in users {
        assert_fresh(&ask(&doorward, user, "right"));
    }
    (backend, doorward)
}

/// Returns a request of another accepted user in another network block.
fn another(number: usize) -> Request {
    Request::auth().basic(&format!("another{number}"), "right").from(&format!("10.0.{number}.1"))
}

/// Starts both, and logs in other users as well, whose requests can show an outage.
fn accepted_beside_others(lines: &str, users: &[&str]) -> (Backend, Doorward) {
    let (backend, doorward) = accepted(lines, users);
    (0..4).for_each(|number| assert_fresh(&doorward.ask(&another(number))));
    (backend, doorward)
}

/// Makes the service answer in this way, and waits until the other users have detected it.
fn fail(backend: &Backend, doorward: &Doorward, reply: Reply) {
    backend.say(reply);
    eventually("the others see the outage", || {
        let answers: Vec<Answer> = (0..4).map(|number| doorward.ask(&another(number))).collect();
        answers.iter().all(|answer| answer.header("x-auth-stale").is_some()).then_some(())
    });
}

#[test]
fn stale_answer_admits_only_a_user_accepted_before() {
    let (backend, doorward) = accepted_beside_others(HOUR, &["alice"]);
    fail(&backend, &doorward, Reply::status(500));
    for _ in 0..5 {
        assert_stale(&ask(&doorward, "alice", "right"), "alice");
    }
    assert_unavailable(&ask(&doorward, "alice", "wrong"));
    assert_unavailable(&ask(&doorward, "bob", "right"));
    assert!(doorward.metric("doorward_stale_answers_total") >= 5.0);
    eventually("the log says so", || {
        doorward.log().contains("request allowed by stale answer").then_some(())
    });
    // From every network, and for any kind of failure.
    let elsewhere = Request::auth().basic("alice", "right").from("203.0.113.5");
    assert_stale(&doorward.ask(&elsewhere), "alice");
    for reply in [Reply::raw("").close(), Reply::with("200 OK", "Content-Type: text/html\r\n", "x")] {
        let (backend, doorward) = accepted_beside_others(HOUR, &["alice"]);
        fail(&backend, &doorward, reply);
        assert_stale(&ask(&doorward, "alice", "right"), "alice");
        assert_unavailable(&ask(&doorward, "bob", "right"));
    }
}

#[test]
fn service_response_replaces_the_stale_answer_after_recovery() {
    let (backend, doorward) = accepted_beside_others(HOUR, &["alice"]);
    fail(&backend, &doorward, Reply::status(500));
    assert_stale(&ask(&doorward, "alice", "right"), "alice");
    // A status that is not configured may be a rejection of the service.
    backend.say(Reply::status(402));
    eventually("she is asked about", || (ask(&doorward, "alice", "right").status == 503).then_some(()));
    assert_unavailable(&ask(&doorward, "alice", "right"));
    backend.say(Reply::status(200));
    assert_fresh(&ask(&doorward, "alice", "right"));
    backend.say(Reply::status(401));
    assert_challenged(&ask(&doorward, "alice", "right"));
}

#[test]
fn stale_answer_is_refused_if_only_its_user_sees_the_outage_field_s1() {
    // The service may show each of these responses only to the owner of a closed account.
    let page = Reply::with("200 OK", "Content-Type: text/html\r\n", "x");
    for reply in [Reply::status(500), Reply::status(503), Reply::raw("").close(), page] {
        let (backend, doorward) = accepted_beside_others(HOUR, &["alice"]);
        backend
            .behave(move |heard| if heard.who().0 == "alice" { reply.clone() } else { Reply::status(200) });
        for _ in 0..5 {
            let from = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
            for from in from {
                let answer = doorward.ask(&Request::auth().basic("alice", "right").from(from));
                assert_ne!(answer.status, 200, "{answer:?}");
            }
        }
        assert_fresh(&doorward.ask(&another(0)));
    }
}

#[test]
fn no_stale_answer_is_given_by_default() {
    let backend = Backend::saying(Reply::status(200));
    let doorward = start(None, &vendor(backend.address, "cache_ttl = \"0s\"\n"));
    assert_fresh(&ask(&doorward, "alice", "right"));
    drop(backend);
    (0..3).for_each(|_| assert_unavailable(&ask(&doorward, "alice", "right")));
}

#[test]
fn rejected_user_gets_no_stale_answer() {
    for code in [401, 403] {
        let (backend, doorward) = accepted_beside_others(HOUR, &["alice", "bob"]);
        backend.behave(move |heard| Reply::status(if heard.who().0 == "alice" { code } else { 200 }));
        assert_challenged(&ask(&doorward, "alice", "right"));
        fail(&backend, &doorward, Reply::status(500));
        // A rejection is cached for a while; with and without the cache, alice is not admitted.
        for _ in 0..3 {
            assert_ne!(ask(&doorward, "alice", "right").status, 200);
        }
        assert_stale(&ask(&doorward, "bob", "right"), "bob");
    }
}

#[test]
fn user_unknown_since_gets_no_stale_answer() {
    let (backend, doorward) =
        accepted_beside_others(&format!("{HOUR}unknown_user_statuses = [404]\n"), &["alice"]);
    backend.say(Reply::status(404));
    assert_challenged(&ask(&doorward, "alice", "right"));
    fail(&backend, &doorward, Reply::status(500));
    assert_ne!(ask(&doorward, "alice", "right").status, 200);
}

#[test]
fn wrong_password_during_an_outage_keeps_the_stale_answer() {
    let (backend, doorward) = accepted_beside_others(HOUR, &["alice"]);
    backend.say(Reply::status(401));
    assert_challenged(&ask(&doorward, "alice", "wrong"));
    fail(&backend, &doorward, Reply::status(500));
    assert_stale(&ask(&doorward, "alice", "right"), "alice");
    assert_ne!(ask(&doorward, "alice", "wrong").status, 200);
}

#[test]
fn flushed_user_gets_no_stale_answer() {
    let (backend, doorward) = accepted_beside_others(HOUR, &["alice", "bob"]);
    fail(&backend, &doorward, Reply::status(500));
    assert_stale(&ask(&doorward, "alice", "right"), "alice");
    assert_eq!(doorward.admin(&Request::new("POST", "/flush?user=alice")).status, 204);
    assert_unavailable(&ask(&doorward, "alice", "right"));
    assert_stale(&ask(&doorward, "bob", "right"), "bob");
    assert_eq!(doorward.admin(&Request::new("POST", "/flush")).status, 204);
    assert_unavailable(&ask(&doorward, "bob", "right"));
}

#[test]
fn user_flushed_during_a_call_gets_no_stale_answer() {
    let (backend, doorward) = accepted_beside_others(HOUR, &["bob"]);
    backend.say(Reply::status(200).held());
    let before = backend.requests();
    let mut client = doorward.client();
    client.send(&Request::auth().basic("alice", "right").from(HOME).bytes()).unwrap();
    backend.await_requests(before + 1);
    assert_eq!(doorward.admin(&Request::new("POST", "/flush?user=alice")).status, 204);
    backend.release();
    assert_fresh(&client.receive(false).unwrap());
    fail(&backend, &doorward, Reply::status(500));
    assert_unavailable(&ask(&doorward, "alice", "right"));
    assert_stale(&ask(&doorward, "bob", "right"), "bob");
}

#[test]
fn user_that_fills_its_queue_share_gets_busy_and_no_stale_answer() {
    // A user whose access was revoked keeps all calls busy, so that the service is not called for this user.
    let (backend, doorward) =
        accepted(&format!("{HOUR}per_user_limit = 1\ntimeout = \"60s\"\n"), &["mallory"]);
    backend.say(Reply::status(401).held());
    let before = backend.requests();
    let mut guess = doorward.client();
    guess.send(&Request::auth().basic("mallory", "a guess").from(HOME).bytes()).unwrap();
    backend.await_requests(before + 1);
    let answer = ask(&doorward, "mallory", "right");
    assert_eq!(answer.status, 403, "the service is there, and would say no: {answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some("busy"), "{answer:?}");
    backend.release();
    assert_eq!(guess.receive(false).unwrap().status, 401);
    assert_challenged(&ask(&doorward, "mallory", "right"));
}

#[test]
fn stale_answer_expires_after_its_limit_from_the_last_acceptance() {
    let (backend, doorward) = accepted("cache_ttl = \"0s\"\nstale_if_unavailable = \"2s\"\n", &["alice"]);
    let given = backend.heard()[0].at;
    // No client can stop the service, so the outage needs no confirmation by other users.
    drop(backend);
    // A stale answer does not renew itself, so constant requests do not extend it.
    eventually("she goes on", || (ask(&doorward, "alice", "right").status == 200).then_some(()));
    let refused = eventually("she is not admitted any more", || {
        let answer = ask(&doorward, "alice", "right");
        if answer.status == 200 {
            assert_stale(&answer, "alice");
            return None;
        }
        assert_unavailable(&answer);
        Some(std::time::Instant::now())
    });
    assert!((refused - given).as_secs() >= 2, "{:?}", refused - given);
}

#[test]
fn cached_answer_is_given_without_a_call_and_is_not_stale() {
    let (backend, doorward) = accepted("cache_ttl = \"1h\"\n", &["alice"]);
    backend.say(Reply::status(500));
    for _ in 0..5 {
        assert_fresh(&ask(&doorward, "alice", "right"));
    }
    assert_eq!(backend.requests(), 1);
    assert_unavailable(&ask(&doorward, "alice", "wrong"));
    assert_eq!(doorward.admin(&Request::new("POST", "/flush?user=alice")).status, 204);
    assert_unavailable(&ask(&doorward, "alice", "right"));
}

#[test]
fn cache_ttl_of_0_calls_each_time_and_of_1_s_calls_again_after_it() {
    let (backend, doorward) = accepted("cache_ttl = \"0s\"\n", &["alice", "alice", "alice"]);
    assert_eq!(backend.requests(), 3);
    backend.say(Reply::status(401));
    assert_challenged(&ask(&doorward, "alice", "right"));
    let (backend, doorward) = accepted("cache_ttl = \"1s\"\n", &["alice"]);
    backend.say(Reply::status(401));
    eventually("she is asked about again", || (ask(&doorward, "alice", "right").status == 401).then_some(()));
    let heard = backend.heard();
    assert!((heard[1].at - heard[0].at).as_millis() >= 950, "{heard:?}");
}
