//! The throttle for failed logins: by user, network and block; and from where a throttled client still gets an answer.

use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::users;

/// Three networks (TEST-NET-1 to 3 of RFC 5737).
pub(crate) const HOME: &str = "192.0.2.10";
pub(crate) const ATTACKER: &str = "198.51.100.66";
pub(crate) const CAFE: &str = "203.0.113.5";

/// Three failures in ten minutes. The leak of one failure is slower than any test.
pub(crate) const THREE: [&str; 2] = ["--throttle-user-failures", "3"];

pub(crate) fn from(network: &str, user: &str, password: &str) -> Request {
    Request::auth().basic(user, password).from(network)
}

/// Guesses `count` different wrong passwords.
pub(crate) fn guess(doorward: &Doorward, network: &str, user: &str, count: usize) {
    for number in 0..count {
        doorward.ask(&from(network, user, &format!("guess {number}")));
    }
}

/// Checks that the request was throttled, and returns the seconds to wait.
pub(crate) fn assert_limited(answer: &Answer, reason: &str) -> u64 {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some(reason), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
    assert_eq!(answer.header("content-length"), Some("0"), "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), None, "{answer:?}");
    let wait = answer.header("retry-after").expect("a time to wait").parse().expect("whole seconds");
    assert!((1..=86_400).contains(&wait), "{answer:?}");
    wait
}

#[test]
fn different_wrong_passwords_from_one_network_are_throttled() {
    let doorward = Doorward::start(&users::alice(), &THREE);
    for number in 0..3 {
        let answer = doorward.ask(&from(ATTACKER, "alice", &format!("guess {number}")));
        assert_eq!(answer.status, 401, "guess {number}");
    }
    let hashes = doorward.hashes();
    let wait = assert_limited(&doorward.ask(&from(ATTACKER, "alice", "guess 3")), "throttled");
    assert!(wait <= 200, "a third of ten minutes, not {wait} s");
    // Even a guess that was answered before.
    assert_limited(&doorward.ask(&from(ATTACKER, "alice", "guess 0")), "throttled");
    assert_eq!(doorward.hashes(), hashes, "who is limited costs no hash");
}

#[test]
fn repeated_wrong_password_counts_as_one_failure_pitfall_p24() {
    // Without the cache of rejections, the throttle itself must recognize the repeated password.
    for rejected in ["10s", "0s"] {
        let doorward =
            Doorward::start(&users::alice(), &[&THREE[..], &["--cache-rejection-ttl", rejected]].concat());
        for _ in 0..10 {
            assert_eq!(doorward.log_in("alice", "stale", HOME), 401);
        }
        assert_eq!(doorward.metric("doorward_throttle_failures_total"), 1.0);
        assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    }
}

#[test]
fn throttled_network_still_admits_a_password_used_there_before() {
    let doorward = Doorward::start(&users::two(), &THREE);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    guess(&doorward, HOME, "alice", 5);
    assert_limited(&doorward.ask(&from(HOME, "alice", "guess 9")), "throttled");
    for _ in 0..3 {
        assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    }
    // The other user on the same network did not fail.
    assert_eq!(doorward.log_in("bob", "builder", HOME), 200);
}

#[test]
fn throttled_network_gets_the_same_response_for_right_and_wrong_passwords() {
    let doorward = Doorward::start(&users::alice(), &THREE);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    guess(&doorward, ATTACKER, "alice", 3);
    let wrong = doorward.ask(&from(ATTACKER, "alice", "looking-glass"));
    let right = doorward.ask(&from(ATTACKER, "alice", "wonderland"));
    let again = doorward.ask(&from(ATTACKER, "alice", "looking-glass"));
    let waits = [&wrong, &right, &again].map(|answer| assert_limited(answer, "throttled"));
    assert_eq!(right.face(), wrong.face());
    // The waiting time only decreases.
    assert!(waits[0] >= waits[1] && waits[1] >= waits[2], "{waits:?}");
    assert_eq!(doorward.hashes(), 4.0, "one for each guess and one for alice");
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
}

#[test]
fn throttle_of_one_network_does_not_affect_others() {
    let doorward = Doorward::start(&users::two(), &THREE);
    guess(&doorward, ATTACKER, "alice", 10);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    assert_eq!(doorward.log_in("alice", "wonderland", CAFE), 200);
    assert_eq!(doorward.log_in("alice", "looking-glass", CAFE), 401);
    assert_eq!(doorward.log_in("bob", "builder", ATTACKER), 200, "another user, and the network has room");
}

#[test]
fn network_that_fails_for_many_users_is_throttled_and_no_other_is_as_in_cve_2026_77561() {
    let doorward = Doorward::start(&users::two(), &["--throttle-network-failures", "20"]);
    assert_eq!(doorward.log_in("bob", "builder", ATTACKER), 200);
    for number in 0..300 {
        doorward.log_in(&format!("name{number}"), "x", ATTACKER);
    }
    assert_limited(&doorward.ask(&from(ATTACKER, "alice", "wonderland")), "throttled");
    assert_eq!(doorward.log_in("bob", "builder", ATTACKER), 200, "he used it from there before");
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    assert_eq!(doorward.hashes(), 22.0, "two good ones and twenty guesses");
}

#[test]
fn full_throttle_table_locks_no_user_out_and_keeps_throttled_entries_as_in_cve_2026_77561() {
    let doorward =
        Doorward::start(&users::alice(), &["--throttle-user-failures", "3", "--throttle-max-entries", "16"]);
    guess(&doorward, ATTACKER, "alice", 3);
    for number in 0..400 {
        let network = format!("10.1.{}.{}", number / 200, number % 200);
        assert_eq!(doorward.log_in(&format!("name{number}"), "x", &network), 401);
    }
    assert!(doorward.metric("doorward_throttle_entries") <= 64.0, "four tables of sixteen");
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    assert_limited(&doorward.ask(&from(ATTACKER, "alice", "wonderland")), "throttled");
}

#[test]
fn ipv6_is_throttled_by_64_bit_prefix_and_ipv4_mapped_as_ipv4() {
    let doorward = Doorward::start(&users::alice(), &THREE);
    for number in 0..3 {
        doorward.ask(&from(&format!("2001:db8:1:2::{number}"), "alice", &format!("guess {number}")));
    }
    assert_limited(&doorward.ask(&from("2001:db8:1:2:ffff::1", "alice", "x")), "throttled");
    assert_eq!(doorward.log_in("alice", "x", "2001:db8:1:3::1"), 401);
    guess(&doorward, "::ffff:192.0.2.10", "alice", 3);
    assert_limited(&doorward.ask(&from(HOME, "alice", "x")), "throttled");
}

#[test]
fn block_limit_applies_above_network_limits_and_known_users_stay_admitted_field_s3() {
    let flags = ["--throttle-block-user-failures", "20", "--throttle-user-failures", "10"];
    let doorward = Doorward::start(&users::two(), &flags);
    assert_eq!(doorward.log_in("alice", "wonderland", "2001:db8:1:aaaa::1"), 200);
    for network in 0..20 {
        let answer =
            doorward.ask(&from(&format!("2001:db8:1:{network:x}::1"), "alice", &format!("{network}")));
        assert_eq!(answer.status, 401);
    }
    let hashes = doorward.hashes();
    let limited = doorward.ask(&from("2001:db8:1:bbbb::1", "alice", "wonderland"));
    let wait = assert_limited(&limited, "throttled");
    assert!(wait <= 30, "a twentieth of ten minutes, not {wait} s");
    assert_eq!(limited.face(), doorward.ask(&from("2001:db8:1:cccc::1", "alice", "x")).face());
    assert_eq!(doorward.hashes(), hashes);
    // Not throttled: alice on the network of an earlier login, other users in the block, and alice in another
    // block.
    assert_eq!(doorward.log_in("alice", "wonderland", "2001:db8:1:aaaa::2"), 200);
    assert_eq!(doorward.log_in("bob", "builder", "2001:db8:1:bbbb::1"), 200);
    assert_eq!(doorward.log_in("alice", "wonderland", "2001:db8:2::1"), 200);
}

#[test]
fn malformed_credentials_are_not_throttled() {
    let doorward = Doorward::start(&users::alice(), &THREE);
    for number in 0..20 {
        let request = Request::auth().from(HOME).header("Authorization", format!("Bearer {number}"));
        assert_eq!(doorward.ask(&request).status, 401);
    }
    assert_eq!(doorward.metric("doorward_throttle_failures_total"), 0.0);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
}

#[test]
fn throttled_user_can_log_in_after_the_window() {
    let flags = ["--throttle-user-failures", "1", "--throttle-window", "1s"];
    let doorward = Doorward::start(&users::alice(), &flags);
    guess(&doorward, HOME, "alice", 2);
    crate::support::eventually("alice may try again once her failure has leaked", || {
        (doorward.log_in("alice", "wonderland", HOME) == 200).then_some(())
    });
}

#[test]
fn throttled_client_never_gets_429_from_auth_because_nginx_would_return_500() {
    let doorward =
        Doorward::start(&users::alice(), &["--throttle-user-failures", "1", "--hash-per-user-limit", "1"]);
    for password in ["a", "b", "c", "wonderland"] {
        let status = doorward.log_in("alice", password, ATTACKER);
        assert!(matches!(status, 200 | 401 | 403), "{status}");
    }
}
