//! Forged tokens are throttled by network.

use super::{get, start, token};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;

const HOME: &str = "192.0.2.1";
const ATTACKER: &str = "198.51.100.66";

fn show(doorward: &Doorward, token: &str, network: &str) -> Answer {
    let request = Request::auth()
        .header("X-Original-Method", "GET")
        .header("X-Original-URI", "/v2/team/app/manifests/v1")
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:")
        .header("X-Auth-Rewrite", "yes")
        .header("Authorization", format!("Bearer {token}"));
    doorward.ask(&request.from(network))
}

fn good(doorward: &Doorward) -> String {
    token(doorward, &get("service=registry.test&scope=repository:team/app:pull").basic("bob", "builder"))
}

/// Returns the n-th forgery of a token: the same header and claims, with another signature.
fn forged(token: &str, number: usize) -> String {
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}{number:04}AA", "A".repeat(80))
}

#[test]
fn forged_tokens_are_throttled_by_network_and_known_valid_tokens_are_accepted() {
    let doorward = start(&["--token-challenge", "bearer", "--throttle-user-failures", "5"]);
    let (shown, fresh) = (good(&doorward), good(&doorward));
    assert_eq!(show(&doorward, &shown, ATTACKER).status, 200);
    let failures = || doorward.metric("doorward_throttle_failures_total");
    for number in 0..5 {
        assert_eq!(show(&doorward, &forged(&shown, number), ATTACKER).status, 401);
        assert_eq!(show(&doorward, &forged(&shown, 0), ATTACKER).status, if number < 4 { 401 } else { 403 });
    }
    assert_eq!(failures(), 5.0, "the same one again is no new failure");
    for unknown in [forged(&shown, 9), fresh.clone()] {
        let answer = show(&doorward, &unknown, ATTACKER);
        assert_eq!((answer.status, answer.header("x-auth-reason")), (403, Some("throttled")), "{answer:?}");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(show(&doorward, &shown, ATTACKER).status, 200, "it was good before");
    assert_eq!(show(&doorward, &fresh, HOME).status, 200, "nobody else is affected");
    assert_eq!(show(&doorward, &fresh, ATTACKER).status, 200, "and now it is known");
}

#[test]
fn invalid_tokens_that_are_not_forged_are_not_throttled() {
    let doorward = start(&["--token-challenge", "bearer", "--throttle-user-failures", "5"]);
    let other = start(&["--token-challenge", "bearer"]);
    for number in 0..20 {
        // A token of another registry, an opaque string, and a truncated token.
        assert_eq!(show(&doorward, &good(&other), HOME).status, 401);
        assert_eq!(show(&doorward, &format!("opaque-{number}"), HOME).status, 401);
        assert_eq!(show(&doorward, &good(&doorward)[..100 + number], HOME).status, 401);
    }
    assert_eq!(doorward.metric("doorward_throttle_failures_total"), 0.0);
    assert_eq!(show(&doorward, &good(&doorward), HOME).status, 200);
}
