//! A fallback while a service is down.

use super::{
    HOME, UNKNOWN, assert_by, assert_challenged, assert_unavailable, service_with_carol, staff, start,
    start_with, vendor,
};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::{eventually, free_port, users};

fn ask(doorward: &Doorward, user: &str, password: &str) -> Answer {
    doorward.ask(&Request::auth().basic(user, password).from(HOME))
}

/// Returns an address without a listener.
fn nowhere() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], free_port()))
}

#[test]
fn with_the_file_first_an_outage_affects_only_users_of_the_service() {
    let doorward = start(Some(&users::two()), &(staff("") + &vendor(nowhere(), UNKNOWN)));
    for _ in 0..3 {
        assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "staff");
        assert_challenged(&ask(&doorward, "alice", "x"));
        assert_unavailable(&ask(&doorward, "carol", "sings"));
        assert_unavailable(&ask(&doorward, "nobody", "x"));
    }
    assert_by(&ask(&doorward, "bob", "builder"), "bob", "staff");
}

#[test]
fn with_the_service_first_an_outage_affects_every_user() {
    let doorward = start(Some(&users::two()), &(vendor(nowhere(), UNKNOWN) + &staff("")));
    assert_unavailable(&ask(&doorward, "alice", "wonderland"));
    assert_unavailable(&ask(&doorward, "alice", "x"));
    assert_unavailable(&ask(&doorward, "carol", "sings"));
    assert_eq!(doorward.hashes(), 0.0);
}

#[test]
fn file_as_fallback_admits_only_its_own_users() {
    let covering = staff("fallback_for = [\"vendor\"]");
    let doorward = start(Some(&users::two()), &(vendor(nowhere(), UNKNOWN) + &covering));
    assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "staff");
    assert_challenged(&ask(&doorward, "alice", "x"));
    // The service may have these users, and it cannot be called.
    assert_unavailable(&ask(&doorward, "carol", "sings"));
    assert_unavailable(&ask(&doorward, "nobody", "x"));
}

#[test]
fn fallback_is_not_used_while_the_service_answers() {
    let backend = service_with_carol();
    let file = users::alice() + &users::line("carol", "of the file", users::QUICK);
    let settings = vendor(backend.address, UNKNOWN) + &staff("fallback_for = [\"vendor\"]");
    // Without the cache of rejections, so that the same request is sent to the service again.
    let doorward = start_with(Some(&file), &settings, &["--cache-rejection-ttl", "0s"]);
    assert_challenged(&ask(&doorward, "carol", "of the file"));
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "vendor");
    backend.say(Reply::status(500));
    assert_by(&ask(&doorward, "carol", "of the file"), "carol", "staff");
    assert_challenged(&ask(&doorward, "carol", "neither"));
}

#[test]
fn service_can_be_the_fallback_for_another_service() {
    let second = service_with_carol();
    let other = |more| vendor(second.address, more).replace("name = \"vendor\"", "name = \"other\"");
    let covered = start(
        None,
        &(vendor(nowhere(), UNKNOWN) + &other("unknown_user_statuses = [404]\nfallback_for = [\"vendor\"]")),
    );
    assert_by(&ask(&covered, "carol", "sings"), "carol", "other");
    assert_challenged(&ask(&covered, "carol", "x"));
    assert_unavailable(&ask(&covered, "nobody", "x"));
    let bare = start(None, &(vendor(nowhere(), UNKNOWN) + &other(UNKNOWN)));
    assert_unavailable(&ask(&bare, "carol", "sings"));
}

#[test]
fn fallback_answers_in_time_while_the_service_hangs() {
    let first = Backend::saying(Reply::status(200).held());
    let second = service_with_carol();
    let other = vendor(second.address, "unknown_user_statuses = [404]\nfallback_for = [\"vendor\"]");
    let other = other.replace("name = \"vendor\"", "name = \"other\"");
    let doorward = start(None, &(vendor(first.address, "timeout = \"500ms\"") + &other));
    assert_by(&ask(&doorward, "carol", "sings"), "carol", "other");
    assert_challenged(&ask(&doorward, "carol", "x"));
    assert_unavailable(&ask(&doorward, "nobody", "x"));
}

#[test]
fn hanging_service_delays_no_user_of_the_file() {
    let backend = Backend::saying(Reply::status(200).held());
    let lines = "timeout = \"60s\"\nmax_connections = 2";
    let doorward = start(Some(&users::two()), &(staff("") + &vendor(backend.address, lines)));
    // All connections of the service are in use, and other requests wait for one.
    let mut waiting = Vec::new();
    for number in 0..6 {
        let mut client = doorward.client();
        client.send(&Request::auth().basic(&format!("guest{number}"), "x").from(HOME).bytes()).unwrap();
        waiting.push(client);
    }
    backend.await_requests(2);
    eventually("four wait for a connection", || {
        (doorward.metric("doorward_authenticator_queue_length") >= 4.0).then_some(())
    });
    for number in 0..10 {
        assert_by(&ask(&doorward, "alice", "wonderland"), "alice", "staff");
        assert_by(&ask(&doorward, "bob", "builder"), "bob", "staff");
        if number < 5 {
            assert_challenged(&ask(&doorward, "alice", &format!("guess {number}")));
        }
    }
    assert_eq!((backend.in_flight(), backend.requests()), (2, 2), "they hang still");
    backend.release();
    for mut client in waiting {
        assert_eq!(client.receive(false).unwrap().status, 200);
    }
    assert_eq!(backend.most_in_flight(), 2);
}

#[test]
fn users_are_not_throttled_after_an_outage_ends() {
    // Many clients behind one address that retry several times.
    let backend = Backend::saying(Reply::status(500));
    let doorward = start(None, &vendor(backend.address, ""));
    for _ in 0..2 {
        for number in 0..70 {
            assert_unavailable(&ask(&doorward, &format!("user{number}"), "x"));
        }
    }
    backend.say(Reply::status(200));
    eventually("the service is back", || (ask(&doorward, "user0", "x").status == 200).then_some(()));
    for number in 0..80 {
        let answer = ask(&doorward, &format!("user{number}"), "x");
        assert_eq!(answer.status, 200, "user {number}: {answer:?}");
    }
    backend.say(Reply::status(401));
    assert_challenged(&ask(&doorward, "user0", "y"));
}
