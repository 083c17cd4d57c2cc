//! The budgets of the log, with a manual clock.

use super::*;
use crate::clock::Clock;
use crate::network::NetworkPrefixes;

fn network(address: &str) -> ClientNetwork {
    ClientNetwork::from_address(address.parse().ok(), NetworkPrefixes { ipv4: 32, ipv6: 64 })
}

fn v4(number: usize) -> ClientNetwork {
    network(&format!("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255))
}

/// Returns the number of `count` different denials of a network that are logged.
fn logged_count(budget: &mut LogBudget<()>, network: ClientNetwork, count: u64, now: Moment) -> u64 {
    let is_logged = |n: &u64| matches!(budget.decide(network, *n, now, || ()), LogDecision::Log(_));
    (0..count).filter(is_logged).count() as u64
}

#[test]
fn network_over_its_share_is_suppressed_and_next_line_has_the_count() {
    let clock = Clock::manual();
    let mut budget = LogBudget::new(10, clock.now());
    let home = network("192.0.2.1");
    assert_eq!(logged_count(&mut budget, home, 1000, clock.now()), 10);
    clock.advance(Duration::from_secs(1));
    assert_eq!(budget.decide(home, 5000, clock.now(), || ()), LogDecision::Log(990));
    assert_eq!(budget.decide(home, 5001, clock.now(), || ()), LogDecision::Suppress);
}

#[test]
fn repeated_denial_is_logged_once_per_minute_with_count() {
    let clock = Clock::manual();
    let mut budget = LogBudget::new(10, clock.now());
    let home = network("192.0.2.1");
    assert_eq!(budget.decide(home, 1, clock.now(), || "a"), LogDecision::Log(0));
    for _ in 0..500 {
        assert_eq!(budget.decide(home, 1, clock.now(), || "b"), LogDecision::Suppress);
    }
    let report = budget.take_report();
    assert_eq!(report.networks, [(home, SuppressedCounts { repeated: 500, over_budget: 0 }, Some("b"))]);
    assert!(budget.take_report().networks.is_empty(), "reported counts are not reported again");
    clock.advance(REPETITION_WINDOW);
    assert_eq!(budget.decide(home, 1, clock.now(), || "c"), LogDecision::Log(0));
}

#[test]
fn guesses_from_new_networks_are_logged_during_floods_field_r3() {
    // Floods of one network with one wrong password, and with a new one in each request. Floods from all networks of
    // an IPv4 /24 and of an IPv6 /48. A flood from one network in each of a hundred blocks.
    type FloodPattern = fn(usize) -> (ClientNetwork, u64);
    let floods: [(&str, FloodPattern); 5] = [
        ("one password", |_| (network("192.0.2.1"), 7)),
        ("one network", |n| (network("192.0.2.1"), n as u64)),
        ("a /24", |n| (network(&format!("192.0.2.{}", n % 256)), n as u64)),
        ("a /48", |n| (network(&format!("2001:db8:1:{:x}::1", n % 65_536)), n as u64)),
        ("a hundred blocks", |n| (network(&format!("203.0.{}.1", n % 100)), n as u64)),
    ];
    for (name, flood) in floods {
        let clock = Clock::manual();
        let mut budget = LogBudget::new(10, clock.now());
        let mut seen = 0;
        for n in 0..40 {
            for m in 0..1000 {
                let (network, signature) = flood(n * 1000 + m);
                budget.decide(network, signature, clock.now(), || ());
            }
            clock.advance(Duration::from_millis(500));
            let guess = budget.decide(v4(n * 256), 1, clock.now(), || ());
            seen += usize::from(matches!(guess, LogDecision::Log(_)));
        }
        assert_eq!(seen, 40, "beside a flood from {name}");
    }
}

#[test]
fn total_budget_holds_for_any_number_of_networks() {
    let clock = Clock::manual();
    let mut budget = LogBudget::new(10, clock.now());
    let total: u64 = (0..20_000).map(|n| logged_count(&mut budget, v4(n), 2, clock.now())).sum();
    assert_eq!(total, 100);
    let (networks, counts) = budget.take_report().others;
    let suppressed = 40_000 - 100;
    assert!(
        networks > 3000 && counts.total() > suppressed - 100 && counts.total() <= suppressed,
        "{networks} {counts:?}"
    );
    assert!(budget.networks.iter().all(|set| set.len() <= SET_ENTRIES));
    assert!(budget.blocks.iter().all(|set| set.len() <= SET_ENTRIES));
}

#[test]
fn zero_budget_logs_nothing() {
    let clock = Clock::manual();
    let mut budget = LogBudget::new(0, clock.now());
    assert_eq!(logged_count(&mut budget, network("192.0.2.1"), 10, clock.now()), 0);
    assert!(budget.is_disabled() && !budget.take_line(clock.now()));
}
