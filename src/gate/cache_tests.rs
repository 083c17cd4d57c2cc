//! What the cache keeps, and for whom.

use super::*;
use crate::authn::Credentials;
use crate::gate::key::KeyMaker;
use crate::identity::Username;
use zeroize::Zeroizing;

const LIMITS: Limits = Limits {
    accepted_max: 50,
    accepted_idle: Duration::from_secs(100),
    rejected_max: 50,
    rejected_for: Duration::from_secs(10),
};

fn key(password: &str) -> CacheKey {
    let framed = format!("{}alice:{password}", "\0".repeat(Credentials::FRAME)).into_bytes();
    KeyMaker::new([3; 32]).for_test(&mut Credentials::new(Zeroizing::new(framed)).unwrap())
}

fn accepted() -> Outcome {
    let user = Username::parse(b"alice").unwrap();
    Outcome::Accepted(Arc::new(Identity { user, by: "test".into() }))
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

#[test]
fn a_refusal_is_kept_for_its_time_and_no_longer() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(key("x"), b"alice", 1, &Outcome::Rejected, at(0));
    assert!(matches!(cache.get(&key("x"), 1, at(9)), Some(Known::Rejected)));
    assert!(cache.get(&key("x"), 1, at(10)).is_none());
    assert!(cache.get(&key("y"), 1, at(1)).is_none());
}

#[test]
fn only_a_network_that_was_given_the_answer_is_familiar_with_it() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(key("x"), b"alice", 1, &accepted(), at(0));
    assert!(cache.get_familiar(&key("x"), 1, at(1)).is_none());
    assert!(cache.get(&key("x"), 1, at(1)).is_some());
    assert!(cache.get_familiar(&key("x"), 1, at(1)).is_some());
    assert!(cache.get_familiar(&key("x"), 2, at(1)).is_none());
    assert!(cache.get_familiar(&key("x"), 1, at(101)).is_none());
}

#[test]
fn the_networks_of_an_answer_are_bounded_and_the_oldest_goes() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(key("x"), b"alice", 1, &accepted(), at(0));
    for network in 0..=FAMILIAR_MAX as u64 {
        cache.acquaint(&key("x"), network);
    }
    assert!(cache.get_familiar(&key("x"), 0, at(1)).is_none());
    assert!(cache.get_familiar(&key("x"), 1, at(1)).is_some());
}

#[test]
fn a_flood_of_refusals_washes_out_no_good_answer() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(key("x"), b"alice", 1, &accepted(), at(0));
    for n in 0..10_000 {
        cache.put(key(&format!("wrong{n}")), b"alice", 1, &Outcome::Rejected, at(1));
    }
    assert!(matches!(cache.get(&key("x"), 1, at(2)), Some(Known::Accepted(_))));
    let metrics = Metrics::default();
    cache.measure(&metrics);
    assert!(metrics.cache_rejected_entries.get() <= 50);
}

#[test]
fn a_full_cache_takes_a_newcomer_in() {
    let cache = AnswerCache::new(LIMITS);
    for n in 0..200 {
        cache.put(key(&n.to_string()), b"alice", 1, &accepted(), at(0));
    }
    cache.put(key("new"), b"alice", 1, &accepted(), at(0));
    cache.measure(&Metrics::default());
    assert!(cache.get(&key("new"), 1, at(0)).is_some());
}
