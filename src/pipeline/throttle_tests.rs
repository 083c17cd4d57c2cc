//! Tests of the counts of the throttle, with a manual clock.

use std::time::Duration;

use super::*;
use crate::network::NetworkPrefixes;

const MINUTE: Duration = Duration::from_secs(60);

fn limits(entries_max: usize) -> ThrottleLimits {
    ThrottleLimits {
        user_failures: 3,
        network_failures: 6,
        block_user_failures: 9,
        block_failures: 12,
        cached_answer_attempts: 9,
        window: 6 * MINUTE,
        entries_max,
    }
}

fn throttle(entries: usize) -> (Arc<Throttle>, Clock) {
    let clock = Clock::manual();
    (Arc::new(Throttle::new(limits(entries), clock.clone(), Arc::default())), clock)
}

fn keys_from(throttle: &Arc<Throttle>, address: &str, user: &str) -> ThrottleKeys {
    let network = ClientNetwork::from_address(address.parse().ok(), NetworkPrefixes { ipv4: 32, ipv6: 64 });
    throttle.keys_for(network, user.as_bytes())
}

fn fail_attempts(throttle: &Arc<Throttle>, keys: ThrottleKeys, ids: std::ops::Range<u64>) {
    ids.for_each(|id| drop(throttle.start_attempt(keys, id + 1)));
}

#[test]
fn throttled_user_can_retry_after_one_failure_has_leaked() {
    let (throttle, clock) = throttle(64);
    let alice = keys_from(&throttle, "192.0.2.1", "alice");
    fail_attempts(&throttle, alice, 0..2);
    assert_eq!(throttle.retry_after(&alice, None), None);
    fail_attempts(&throttle, alice, 2..3);
    assert_eq!(throttle.retry_after(&alice, None), Some(2 * MINUTE));
    clock.advance(MINUTE);
    assert_eq!(throttle.retry_after(&alice, None), Some(MINUTE));
    clock.advance(MINUTE);
    assert_eq!(throttle.retry_after(&alice, None), None);
    fail_attempts(&throttle, alice, 3..4);
    assert_eq!(throttle.retry_after(&alice, None), Some(2 * MINUTE));
}

#[test]
fn count_above_a_lowered_limit_still_ends_after_one_window() {
    let (throttle, clock) = throttle(64);
    let alice = keys_from(&throttle, "192.0.2.1", "alice");
    fail_attempts(&throttle, alice, 0..3);
    throttle.set_limits(&ThrottleLimits { user_failures: 1, network_failures: 1, ..limits(64) });
    assert_eq!(throttle.retry_after(&alice, None), Some(6 * MINUTE));
    clock.advance(5 * MINUTE);
    assert_eq!(throttle.retry_after(&alice, None), Some(MINUTE));
    clock.advance(MINUTE);
    assert_eq!(throttle.retry_after(&alice, None), None);
}

#[test]
fn successful_attempts_leave_no_records() {
    let (throttle, _) = throttle(64);
    let alice = keys_from(&throttle, "192.0.2.1", "alice");
    (0..100).for_each(|id| throttle.start_attempt(alice, id).record_success());
    assert!(throttle.len() == 0);
}

#[test]
fn addresses_of_one_ipv6_network_share_one_count() {
    let (throttle, _) = throttle(64);
    for host in 1..=3 {
        fail_attempts(&throttle, keys_from(&throttle, &format!("2001:db8::{host}"), "alice"), host..host + 1);
    }
    assert!(throttle.retry_after(&keys_from(&throttle, "2001:db8::ffff", "alice"), None).is_some());
    assert_eq!(throttle.retry_after(&keys_from(&throttle, "2001:db8:0:1::1", "alice"), None), None);
}

#[test]
fn flood_of_user_names_keeps_table_bounded_and_throttled_record_in_place() {
    // tinyauth CVE-2026-77561: 257 unknown names locked every user out.
    let (throttle, _) = throttle(64);
    let attacker = keys_from(&throttle, "192.0.2.1", "x");
    fail_attempts(&throttle, attacker, 0..3);
    for n in 0..10_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n * 256).to_string();
        fail_attempts(&throttle, keys_from(&throttle, &address, &format!("bogus{n}")), 0..1);
    }
    assert!(throttle.len() <= 4 * 64, "{}", throttle.len());
    assert!(throttle.retry_after(&attacker, None).is_some());
    assert_eq!(throttle.retry_after(&keys_from(&throttle, "203.0.113.1", "alice"), None), None);
}

#[test]
fn failures_of_many_users_throttle_their_network_only() {
    let (throttle, _) = throttle(64);
    for n in 0..6 {
        fail_attempts(&throttle, keys_from(&throttle, "192.0.2.1", &format!("user{n}")), 0..1);
    }
    assert!(throttle.retry_after(&keys_from(&throttle, "192.0.2.1", "another user"), None).is_some());
    assert_eq!(throttle.retry_after(&keys_from(&throttle, "192.0.2.2", "user1"), None), None);
}

#[test]
fn failed_users_are_throttled_before_other_users_of_their_network_field_o6() {
    let (throttle, _) = throttle(64);
    let keys = |user: &str| keys_from(&throttle, "192.0.2.1", user);
    for user in ["user0", "user1", "user2", "user3"] {
        fail_attempts(&throttle, keys(user), 0..1);
    }
    assert!(throttle.retry_after(&keys("user0"), None).is_some());
    assert_eq!(throttle.retry_after(&keys("another user"), None), None);
    // Attempts for other users are not throttled yet, and count.
    fail_attempts(&throttle, keys("user4"), 0..1);
    fail_attempts(&throttle, keys("user5"), 0..1);
    assert!(throttle.retry_after(&keys("another user"), None).is_some());
}

/// Tries one password from each network, and returns the number of attempts that were not throttled.
fn guesses_until_throttled(networks: impl Iterator<Item = String>) -> usize {
    let (throttle, _) = throttle(4096);
    let mut count = 0;
    for (number, network) in (0..).zip(networks) {
        let client = keys_from(&throttle, &network, "alice");
        if throttle.retry_after(&client, None).is_none() {
            fail_attempts(&throttle, client, number..number + 1);
            count += 1;
        }
    }
    count
}

#[test]
fn guesses_from_many_networks_stop_at_block_and_allocation_limits_field_s3() {
    assert_eq!(guesses_until_throttled((0..1000).map(|n| format!("2001:db8:1:{n:x}::1"))), 9);
    assert_eq!(guesses_until_throttled((0..256).map(|n| format!("192.0.2.{n}"))), 9);
    // The limit of an allocation is 100 times as high.
    assert_eq!(guesses_until_throttled((0..2000).map(|n| format!("2001:db8:{n:x}::1"))), 900);
}

#[test]
fn failures_of_many_users_throttle_their_block_only() {
    let (throttle, clock) = throttle(4096);
    for n in 0..12 {
        fail_attempts(
            &throttle,
            keys_from(&throttle, &format!("2001:db8:1:{n:x}::1"), &format!("user{n}")),
            0..1,
        );
    }
    let innocent = keys_from(&throttle, "2001:db8:1:ffff::1", "alice");
    assert_eq!(throttle.retry_after(&innocent, None), Some(MINUTE / 2), "a twelfth of six minutes");
    assert_eq!(throttle.retry_after(&keys_from(&throttle, "2001:db8:2::1", "alice"), None), None);
    clock.advance(MINUTE / 2);
    assert_eq!(throttle.retry_after(&innocent, None), None);
}

#[test]
fn same_wrong_password_from_all_networks_of_a_block_counts_once() {
    let (throttle, _) = throttle(4096);
    for n in 0..250 {
        fail_attempts(&throttle, keys_from(&throttle, &format!("192.0.2.{n}"), "ci"), 7..8);
    }
    assert_eq!(throttle.retry_after(&keys_from(&throttle, "192.0.2.254", "ci"), None), None);
    assert_eq!(throttle.retry_after(&keys_from(&throttle, "192.0.2.254", "alice"), None), None);
}

#[test]
fn attempt_in_progress_is_counted_and_can_be_repeated_concurrently() {
    let (throttle, _) = throttle(64);
    let alice = keys_from(&throttle, "192.0.2.1", "alice");
    fail_attempts(&throttle, alice, 0..2);
    let (first, second) = (throttle.start_attempt(alice, 9), throttle.start_attempt(alice, 9));
    assert!(throttle.retry_after(&alice, Some(10)).is_some());
    assert_eq!(throttle.retry_after(&alice, Some(9)), None);
    drop(first);
    assert_eq!(throttle.retry_after(&alice, Some(9)), None);
    second.record_success();
    assert_eq!(throttle.retry_after(&alice, Some(10)), None);
    fail_attempts(&throttle, alice, 2..3);
    assert!(throttle.retry_after(&alice, Some(3)).is_some(), "the attempt is no longer in progress");
}

#[test]
fn rejection_is_kept_for_one_network_until_expiry_or_clear() {
    let (throttle, clock) = throttle(64);
    let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|address| keys_from(&throttle, address, "alice"));
    throttle.record_rejection(&here, 1, Moment::from_millis(u64::MAX), throttle.rejection_epoch());
    assert!(!throttle.is_rejected(&here, 1), "a rejection is stored only for a counted attempt");
    fail_attempts(&throttle, here, 0..1);
    throttle.record_rejection(&here, 1, Moment::from_millis(u64::MAX), throttle.rejection_epoch());
    clock.advance(600 * MINUTE);
    assert!(throttle.is_rejected(&here, 1));
    assert!(!throttle.is_rejected(&here, 2) && !throttle.is_rejected(&there, 1));
    let before = throttle.rejection_epoch();
    throttle.clear_rejections();
    assert!(!throttle.is_rejected(&here, 1));
    throttle.record_rejection(&here, 1, Moment::from_millis(u64::MAX), before);
    assert!(!throttle.is_rejected(&here, 1), "the check started before the rejections were cleared");
    throttle.record_rejection(&here, 1, clock.now().plus(MINUTE), throttle.rejection_epoch());
    assert!(throttle.is_rejected(&here, 1));
    clock.advance(MINUTE);
    assert!(!throttle.is_rejected(&here, 1));
}

#[test]
fn success_removes_the_record_of_its_attempt() {
    let (throttle, _) = throttle(64);
    let alice = keys_from(&throttle, "2001:db8::1", "alice");
    let attempt = throttle.start_attempt(alice, 1);
    assert!(throttle.len() > 0);
    attempt.record_success();
    assert!(throttle.len() == 0);
}
