//! The throttle's counts, with a clock that the test moves.

use std::time::Duration;

use super::*;
use crate::network::Prefixes;

const MINUTE: Duration = Duration::from_secs(60);

fn throttle(entries: usize) -> (Arc<Throttle>, Clock) {
    let limits = Limits {
        user_failures: 3,
        network_failures: 6,
        block_user_failures: 9,
        block_failures: 12,
        familiar_failures: 9,
        window: 6 * MINUTE,
        entries,
    };
    let clock = Clock::manual();
    (Arc::new(Throttle::new(limits, clock.clone(), Arc::default())), clock)
}

fn from(throttle: &Arc<Throttle>, address: &str, user: &str) -> Tags {
    let network = ClientNetwork::of(address.parse().ok(), Prefixes { ipv4: 32, ipv6: 64 });
    throttle.tags(network, user.as_bytes())
}

fn fail(throttle: &Arc<Throttle>, asker: Tags, questions: std::ops::Range<u64>) {
    questions.for_each(|question| drop(throttle.admit(asker, question + 1)));
}

#[test]
fn who_failed_to_the_limit_waits_until_one_failure_has_leaked() {
    let (throttle, clock) = throttle(64);
    let alice = from(&throttle, "192.0.2.1", "alice");
    fail(&throttle, alice, 0..2);
    assert_eq!(throttle.wait(&alice, None), None);
    fail(&throttle, alice, 2..3);
    assert_eq!(throttle.wait(&alice, None), Some(2 * MINUTE));
    clock.advance(MINUTE);
    assert_eq!(throttle.wait(&alice, None), Some(MINUTE));
    clock.advance(MINUTE);
    assert_eq!(throttle.wait(&alice, None), None);
    fail(&throttle, alice, 3..4);
    assert_eq!(throttle.wait(&alice, None), Some(2 * MINUTE));
}

#[test]
fn a_success_counts_for_nothing() {
    let (throttle, _) = throttle(64);
    let alice = from(&throttle, "192.0.2.1", "alice");
    (0..100).for_each(|question| throttle.admit(alice, question).succeed());
    assert!(throttle.is_empty());
}

#[test]
fn an_ipv6_network_is_one_whatever_the_address_in_it() {
    let (throttle, _) = throttle(64);
    for host in 1..=3 {
        fail(&throttle, from(&throttle, &format!("2001:db8::{host}"), "alice"), host..host + 1);
    }
    assert!(throttle.wait(&from(&throttle, "2001:db8::ffff", "alice"), None).is_some());
    assert_eq!(throttle.wait(&from(&throttle, "2001:db8:0:1::1", "alice"), None), None);
}

#[test]
fn a_flood_of_names_neither_grows_the_table_nor_washes_out_the_one_who_is_throttled() {
    // tinyauth CVE-2026-77561: 257 bogus names locked everybody out.
    let (throttle, _) = throttle(64);
    let attacker = from(&throttle, "192.0.2.1", "x");
    fail(&throttle, attacker, 0..3);
    for n in 0..10_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n * 256).to_string();
        fail(&throttle, from(&throttle, &address, &format!("bogus{n}")), 0..1);
    }
    assert!(throttle.len() <= 4 * 64, "{}", throttle.len());
    assert!(throttle.wait(&attacker, None).is_some());
    assert_eq!(throttle.wait(&from(&throttle, "203.0.113.1", "alice"), None), None);
}

#[test]
fn many_users_of_one_network_are_counted_together_and_no_other_network_is() {
    let (throttle, _) = throttle(64);
    for n in 0..6 {
        fail(&throttle, from(&throttle, "192.0.2.1", &format!("user{n}")), 0..1);
    }
    assert!(throttle.wait(&from(&throttle, "192.0.2.1", "somebody else"), None).is_some());
    assert_eq!(throttle.wait(&from(&throttle, "192.0.2.2", "user1"), None), None);
}

#[test]
fn guesses_at_some_names_of_a_network_throttle_those_names_before_they_throttle_others_field_o6() {
    let (throttle, _) = throttle(64);
    let of = |user: &str| from(&throttle, "192.0.2.1", user);
    for user in ["user0", "user1", "user2", "user3"] {
        fail(&throttle, of(user), 0..1);
    }
    assert!(throttle.wait(&of("user0"), None).is_some());
    assert_eq!(throttle.wait(&of("somebody else"), None), None);
    // What he asks for is let through, and counts like any other.
    fail(&throttle, of("user4"), 0..1);
    fail(&throttle, of("user5"), 0..1);
    assert!(throttle.wait(&of("somebody else"), None).is_some());
}

/// Guesses once from each network until the throttle stops all of them.
fn guesses_from(networks: impl Iterator<Item = String>) -> usize {
    let (throttle, _) = throttle(4096);
    let mut count = 0;
    for (number, network) in (0..).zip(networks) {
        let client = from(&throttle, &network, "alice");
        if throttle.wait(&client, None).is_none() {
            fail(&throttle, client, number..number + 1);
            count += 1;
        }
    }
    count
}

#[test]
fn a_block_bears_more_than_a_network_and_no_more_than_its_limit_field_s3() {
    assert_eq!(guesses_from((0..1000).map(|n| format!("2001:db8:1:{n:x}::1"))), 9);
    assert_eq!(guesses_from((0..256).map(|n| format!("192.0.2.{n}"))), 9);
    // A hundred times as many from one allocation, whatever the number of its blocks.
    assert_eq!(guesses_from((0..2000).map(|n| format!("2001:db8:{n:x}::1"))), 900);
}

#[test]
fn a_block_is_limited_whoever_the_user_and_no_other_block_is() {
    let (throttle, clock) = throttle(4096);
    for n in 0..12 {
        fail(&throttle, from(&throttle, &format!("2001:db8:1:{n:x}::1"), &format!("user{n}")), 0..1);
    }
    let innocent = from(&throttle, "2001:db8:1:ffff::1", "alice");
    assert_eq!(throttle.wait(&innocent, None), Some(MINUTE / 2), "a twelfth of six minutes");
    assert_eq!(throttle.wait(&from(&throttle, "2001:db8:2::1", "alice"), None), None);
    clock.advance(MINUTE / 2);
    assert_eq!(throttle.wait(&innocent, None), None);
}

#[test]
fn one_stale_password_on_all_machines_of_a_block_is_one_failure_of_it() {
    let (throttle, _) = throttle(4096);
    for n in 0..250 {
        fail(&throttle, from(&throttle, &format!("192.0.2.{n}"), "ci"), 7..8);
    }
    assert_eq!(throttle.wait(&from(&throttle, "192.0.2.254", "ci"), None), None);
    assert_eq!(throttle.wait(&from(&throttle, "192.0.2.254", "alice"), None), None);
}

#[test]
fn a_question_that_is_being_asked_is_counted_and_may_be_asked_by_others_at_the_same_time() {
    let (throttle, _) = throttle(64);
    let alice = from(&throttle, "192.0.2.1", "alice");
    fail(&throttle, alice, 0..2);
    let (one, other) = (throttle.admit(alice, 9), throttle.admit(alice, 9));
    assert!(throttle.wait(&alice, Some(10)).is_some());
    assert_eq!(throttle.wait(&alice, Some(9)), None);
    drop(one);
    assert_eq!(throttle.wait(&alice, Some(9)), None);
    other.succeed();
    assert_eq!(throttle.wait(&alice, Some(10)), None);
    fail(&throttle, alice, 2..3);
    assert!(throttle.wait(&alice, Some(3)).is_some(), "nobody asks it any more");
}

#[test]
fn a_rejection_is_kept_with_its_question_for_one_network_until_it_is_forgotten() {
    let (throttle, clock) = throttle(64);
    let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|address| from(&throttle, address, "alice"));
    throttle.reject(&here, 1, Moment::from_millis(u64::MAX), throttle.epoch());
    assert!(!throttle.is_rejected(&here, 1), "nothing is kept of what was not counted");
    fail(&throttle, here, 0..1);
    throttle.reject(&here, 1, Moment::from_millis(u64::MAX), throttle.epoch());
    clock.advance(600 * MINUTE);
    assert!(throttle.is_rejected(&here, 1));
    assert!(!throttle.is_rejected(&here, 2) && !throttle.is_rejected(&there, 1));
    let before = throttle.epoch();
    throttle.forget_rejections();
    assert!(!throttle.is_rejected(&here, 1));
    throttle.reject(&here, 1, Moment::from_millis(u64::MAX), before);
    assert!(!throttle.is_rejected(&here, 1), "it was asked before");
    throttle.reject(&here, 1, clock.now().plus(MINUTE), throttle.epoch());
    assert!(throttle.is_rejected(&here, 1));
    clock.advance(MINUTE);
    assert!(!throttle.is_rejected(&here, 1));
}

#[test]
fn a_success_leaves_no_record_behind() {
    let (throttle, _) = throttle(64);
    let alice = from(&throttle, "2001:db8::1", "alice");
    let ticket = throttle.admit(alice, 1);
    assert!(!throttle.is_empty());
    ticket.succeed();
    assert!(throttle.is_empty());
}
