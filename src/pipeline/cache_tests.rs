//! What the cache keeps, and for whom.

use super::*;
use crate::authn::Credentials;
use crate::identity::Username;
use crate::pipeline::cache_key::KeyMaker;
use zeroize::Zeroizing;

const LIMITS: Limits = Limits {
    accepted_max: 50,
    accepted_idle: Duration::from_secs(100),
    rejected_for: Duration::from_secs(10),
};

fn key(password: &str) -> CacheKey {
    let framed = format!("{}alice:{password}", "\0".repeat(Credentials::FRAME)).into_bytes();
    KeyMaker::new([3; 32]).for_test(&mut Credentials::new(Zeroizing::new(framed)).unwrap())
}

fn accepted() -> Outcome {
    let user = Username::parse(b"alice").unwrap();
    Outcome::Accepted(Arc::new(Identity::plain(user, "test".into())))
}

fn asked(key: CacheKey) -> Asked<'static> {
    Asked { key, user: b"alice" }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

#[test]
fn only_a_network_that_was_given_the_answer_is_familiar_with_it() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(&asked(key("x")), &accepted(), Trust::WHOLE, at(0));
    assert!(cache.get_familiar(&key("x"), 1, at(1)).is_none());
    assert!(cache.get(&key("x"), 1, at(1)).is_some());
    assert!(cache.get_familiar(&key("x"), 1, at(1)).is_some());
    assert!(cache.get_familiar(&key("x"), 2, at(1)).is_none());
    assert!(cache.get_familiar(&key("x"), 1, at(101)).is_none());
}

#[test]
fn the_networks_of_an_answer_are_bounded_and_the_oldest_goes() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(&asked(key("x")), &accepted(), Trust::WHOLE, at(0));
    for network in 0..=FAMILIAR_MAX as u64 {
        cache.acquaint(&key("x"), network);
    }
    assert!(cache.get_familiar(&key("x"), 0, at(1)).is_none());
    assert!(cache.get_familiar(&key("x"), 1, at(1)).is_some());
}

#[test]
fn a_full_cache_takes_a_newcomer_in() {
    let cache = AnswerCache::new(LIMITS);
    for n in 0..200 {
        cache.put(&asked(key(&n.to_string())), &accepted(), Trust::WHOLE, at(0));
    }
    cache.put(&asked(key("new")), &accepted(), Trust::WHOLE, at(0));
    cache.measure(&Metrics::default());
    assert!(cache.get(&key("new"), 1, at(0)).is_some());
}

fn seconds(fresh: u64, stale: u64) -> Trust {
    Trust { fresh: Some(Duration::from_secs(fresh)), stale: Some(Duration::from_secs(stale)) }
}

#[test]
fn an_answer_of_a_service_runs_out_and_may_be_given_for_longer_while_nobody_can_be_asked() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(&asked(key("x")), &accepted(), seconds(10, 60), at(0));
    assert!(cache.get(&key("x"), 1, at(9)).is_some());
    assert!(cache.get(&key("x"), 1, at(10)).is_none());
    assert!(cache.stale(&key("x"), at(59)).is_some());
    assert!(cache.stale(&key("x"), at(60)).is_none());
    cache.put(&asked(key("y")), &accepted(), seconds(10, 0), at(0));
    assert!(cache.stale(&key("y"), at(1)).is_none(), "off by default");
}

#[test]
fn a_rejection_and_a_flush_end_what_was_accepted() {
    let cache = AnswerCache::new(LIMITS);
    for end in ["rejected", "unknown", "flushed", "flushed by the other name", "all flushed", "forgotten"] {
        cache.put(&asked(key("x")), &accepted(), seconds(10, 60), at(0));
        let held = cache.get(&key("x"), 1, at(1)).unwrap();
        match end {
            "rejected" => cache.put(&asked(key("x")), &Outcome::Rejected, seconds(10, 60), at(11)),
            "unknown" => cache.put(&asked(key("x")), &Outcome::Unknown, seconds(10, 60), at(11)),
            "flushed" => cache.flush(Some(b"alice")),
            "flushed by the other name" => {
                let asked = Asked { user: b"Alice@example.com", ..asked(key("x")) };
                cache.put(&asked, &accepted(), seconds(10, 60), at(0));
                cache.flush(Some(b"Alice@example.com"));
            }
            "all flushed" => cache.flush(None),
            _ => cache.forget(&key("x")),
        }
        assert!(cache.stale(&key("x"), at(12)).is_none(), "{end}");
        assert!(!cache.is_live(&key("x"), &held, at(12)), "{end}");
    }
}

#[test]
fn another_users_flush_leaves_an_answer_alone() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(&asked(key("x")), &accepted(), seconds(10, 60), at(0));
    cache.flush(Some(b"bob"));
    assert!(cache.stale(&key("x"), at(1)).is_some());
}

#[test]
fn a_network_that_was_given_an_answer_may_have_it_asked_for_anew() {
    let cache = AnswerCache::new(LIMITS);
    cache.put(&asked(key("x")), &accepted(), seconds(10, 0), at(0));
    cache.get(&key("x"), 1, at(0));
    assert!(matches!(cache.get_familiar(&key("x"), 1, at(9)), Some(Familiar::Answer(_))));
    assert!(matches!(cache.get_familiar(&key("x"), 1, at(10)), Some(Familiar::Expired)));
    assert!(cache.get_familiar(&key("x"), 2, at(10)).is_none());
    // And knows the new one.
    cache.put(&asked(key("x")), &accepted(), seconds(10, 0), at(10));
    assert!(matches!(cache.get_familiar(&key("x"), 1, at(11)), Some(Familiar::Answer(_))));
}

#[test]
fn a_flushed_answer_is_asked_for_anew_and_the_networks_that_proved_it_may_ask() {
    let cache = AnswerCache::new(LIMITS);
    let put = || cache.put(&asked(key("x")), &accepted(), Trust::WHOLE, at(0));
    for user in [None, Some(&b"alice"[..])] {
        put();
        cache.get(&key("x"), 1, at(0));
        cache.flush(user);
        assert!(cache.get(&key("x"), 1, at(1)).is_none());
        assert!(matches!(cache.get_familiar(&key("x"), 1, at(1)), Some(Familiar::Expired)));
        assert!(cache.get_familiar(&key("x"), 2, at(1)).is_none());
        put();
        assert!(matches!(cache.get_familiar(&key("x"), 1, at(1)), Some(Familiar::Answer(_))));
        // Once it is known to be wrong, nobody has proved it.
        cache.flush(user);
        cache.put(&asked(key("x")), &Outcome::Rejected, Trust::WHOLE, at(1));
        assert!(cache.get_familiar(&key("x"), 1, at(1)).is_none());
    }
}
