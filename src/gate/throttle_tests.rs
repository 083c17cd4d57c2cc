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
