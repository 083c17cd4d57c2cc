//! Repeated requests are answered from the cache, and reloads, flushes and the throttle still apply.

use std::time::{Duration, Instant};

use crate::limits::throttle::{ATTACKER, HOME, THREE, assert_limited, from, guess};
use crate::support::client::{Client, Request};
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

/// Number of requests after which every cache has an entry.
const TIMES: usize = 5;

/// Sends requests of alice from HOME, which must all succeed.
fn settle_in(client: &mut Client) {
    for _ in 0..TIMES {
        assert_eq!(client.ask(&from(HOME, "alice", "wonderland")).status, 200);
    }
}

/// Starts doorward with one worker, so that every request uses the cache of the request before it.
fn start(flags: &[&str]) -> Doorward {
    Doorward::start(&users::two(), &[&["--limits-workers", "1"], flags].concat())
}

#[test]
fn identical_requests_cost_one_hash_and_are_all_counted() {
    let doorward = start(&[]);
    let mut client = doorward.client();
    for _ in 0..100 {
        settle_in(&mut client);
    }
    assert_eq!(doorward.hashes(), 1.0);
    let hits = doorward.metric("doorward_cache_hits_total");
    let allowed = doorward.metric("doorward_verdicts_total{verdict=\"allow\"");
    assert_eq!((hits, allowed), ((100 * TIMES - 1) as f64, (100 * TIMES) as f64));
}

#[test]
fn identical_header_from_another_network_has_its_own_throttle() {
    let doorward = start(&THREE);
    let mut client = doorward.client();
    settle_in(&mut client);
    guess(&doorward, ATTACKER, "alice", 3);
    let wrong = client.ask(&from(ATTACKER, "alice", "looking-glass"));
    let right = client.ask(&from(ATTACKER, "alice", "wonderland"));
    assert_limited(&wrong, "throttled");
    assert_limited(&right, "throttled");
    assert_eq!(right.face(), wrong.face());
    settle_in(&mut client);
}

#[test]
fn throttled_network_keeps_its_cached_answers_and_gets_no_new_ones() {
    let doorward = start(&["--throttle-user-failures", "3", "--throttle-network-failures", "3"]);
    let mut client = doorward.client();
    settle_in(&mut client);
    guess(&doorward, HOME, "alice", 3);
    settle_in(&mut client);
    assert_limited(&client.ask(&from(HOME, "bob", "builder")), "throttled");
}

#[test]
fn flush_invalidates_a_cached_answer() {
    let doorward = start(&[]);
    let mut client = doorward.client();
    for (query, hashes) in [("", 2.0), ("?user=alice", 3.0), ("?user=bob", 3.0)] {
        settle_in(&mut client);
        assert_eq!(doorward.admin(&Request::new("POST", &format!("/flush{query}"))).status, 204);
        settle_in(&mut client);
        assert_eq!(doorward.hashes(), hashes, "/flush{query}");
    }
}

#[test]
fn file_change_invalidates_a_cached_answer() {
    let doorward = start(&["--reload-poll-interval", "100ms"]);
    let mut client = doorward.client();
    settle_in(&mut client);
    users::put(&doorward.htpasswd(), users::line("bob", "builder", users::QUICK));
    eventually("alice is refused", || {
        (client.ask(&from(HOME, "alice", "wonderland")).status == 401).then_some(())
    });
    users::put(&doorward.htpasswd(), users::two());
    eventually("alice is back", || {
        (client.ask(&from(HOME, "alice", "wonderland")).status == 200).then_some(())
    });
    settle_in(&mut client);
    users::put(&doorward.htpasswd(), users::line("alice", "other", users::QUICK));
    eventually("the old password is refused", || {
        (client.ask(&from(HOME, "alice", "wonderland")).status == 401).then_some(())
    });
}

#[test]
fn cached_answer_is_evicted_after_the_idle_timeout() {
    let doorward = start(&["--cache-idle-timeout", "1s"]);
    let mut client = doorward.client();
    settle_in(&mut client);
    let asked = Instant::now();
    // The elapsed time is the subject of this test.
    eventually("the idle time has passed", || (asked.elapsed() > Duration::from_millis(2500)).then_some(()));
    let hashes = doorward.hashes();
    settle_in(&mut client);
    assert!(doorward.hashes() > hashes, "it was still there");
}
