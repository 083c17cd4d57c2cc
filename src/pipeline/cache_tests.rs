//! Tests of the answer cache.

use super::*;
use crate::authn::Credentials;
use crate::identity::Username;
use crate::pipeline::cache_key::CacheKeyMaker;
use zeroize::Zeroizing;

const LIMITS: CacheLimits = CacheLimits {
    entries_max: 50,
    idle_timeout: Duration::from_secs(100),
    rejection_ttl: Duration::from_secs(10),
};

fn check_key_for(password: &str) -> CacheKey {
    let buffer =
        format!("{}alice:{password}", "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH)).into_bytes();
    CacheKeyMaker::new([3; 32]).check_key_for_test(&mut Credentials::new(Zeroizing::new(buffer)).unwrap())
}

fn accepted_alice() -> Outcome {
    let user = Username::parse(b"alice").unwrap();
    Outcome::Accepted(Arc::new(Identity::new(user, "test".into())))
}

fn alice_entry(key: CacheKey) -> CacheEntryId<'static> {
    CacheEntryId { key, user: b"alice" }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

#[test]
fn cached_answer_is_seen_only_from_networks_that_received_it() {
    let cache = AnswerCache::new(LIMITS);
    cache.store_outcome(
        &alice_entry(check_key_for("x")),
        &accepted_alice(),
        AnswerLifetime::UNLIMITED,
        at(0),
    );
    assert!(cache.get_if_seen_from(&check_key_for("x"), 1, at(1)).is_none());
    assert!(cache.get(&check_key_for("x"), 1, at(1)).is_some());
    assert!(cache.get_if_seen_from(&check_key_for("x"), 1, at(1)).is_some());
    assert!(cache.get_if_seen_from(&check_key_for("x"), 2, at(1)).is_none());
    assert!(cache.get_if_seen_from(&check_key_for("x"), 1, at(101)).is_none());
}

#[test]
fn full_list_of_seen_networks_evicts_the_oldest() {
    let cache = AnswerCache::new(LIMITS);
    cache.store_outcome(
        &alice_entry(check_key_for("x")),
        &accepted_alice(),
        AnswerLifetime::UNLIMITED,
        at(0),
    );
    for network in 0..=SEEN_NETWORKS_MAX as u64 {
        cache.mark_seen(&check_key_for("x"), network);
    }
    assert!(cache.get_if_seen_from(&check_key_for("x"), 0, at(1)).is_none());
    assert!(cache.get_if_seen_from(&check_key_for("x"), 1, at(1)).is_some());
}

#[test]
fn full_cache_admits_new_entry() {
    let cache = AnswerCache::new(LIMITS);
    for n in 0..200 {
        cache.store_outcome(
            &alice_entry(check_key_for(&n.to_string())),
            &accepted_alice(),
            AnswerLifetime::UNLIMITED,
            at(0),
        );
    }
    cache.store_outcome(
        &alice_entry(check_key_for("new")),
        &accepted_alice(),
        AnswerLifetime::UNLIMITED,
        at(0),
    );
    cache.update_gauges(&Metrics::default());
    assert!(cache.get(&check_key_for("new"), 1, at(0)).is_some());
}

fn lifetime_secs(fresh: u64, stale: u64) -> AnswerLifetime {
    AnswerLifetime {
        cache_ttl: Some(Duration::from_secs(fresh)),
        stale_ttl: Some(Duration::from_secs(stale)),
    }
}

#[test]
fn service_answer_expires_and_stays_available_as_stale_answer() {
    let cache = AnswerCache::new(LIMITS);
    cache.store_outcome(&alice_entry(check_key_for("x")), &accepted_alice(), lifetime_secs(10, 60), at(0));
    assert!(cache.get(&check_key_for("x"), 1, at(9)).is_some());
    assert!(cache.get(&check_key_for("x"), 1, at(10)).is_none());
    assert!(cache.stale_answer(&check_key_for("x"), at(59)).is_some());
    assert!(cache.stale_answer(&check_key_for("x"), at(60)).is_none());
    cache.store_outcome(&alice_entry(check_key_for("y")), &accepted_alice(), lifetime_secs(10, 0), at(0));
    assert!(cache.stale_answer(&check_key_for("y"), at(1)).is_none(), "off by default");
}

#[test]
fn rejection_or_flush_invalidates_accepted_answer() {
    let cache = AnswerCache::new(LIMITS);
    for end in ["rejected", "unknown", "flushed", "flushed by the other name", "all flushed", "removed"] {
        cache.store_outcome(
            &alice_entry(check_key_for("x")),
            &accepted_alice(),
            lifetime_secs(10, 60),
            at(0),
        );
        let held = cache.get(&check_key_for("x"), 1, at(1)).unwrap();
        match end {
            "rejected" => cache.store_outcome(
                &alice_entry(check_key_for("x")),
                &Outcome::Rejected,
                lifetime_secs(10, 60),
                at(11),
            ),
            "unknown" => cache.store_outcome(
                &alice_entry(check_key_for("x")),
                &Outcome::UnknownUser,
                lifetime_secs(10, 60),
                at(11),
            ),
            "flushed" => cache.flush(Some(b"alice")),
            "flushed by the other name" => {
                let entry_id = CacheEntryId { user: b"Alice@example.com", ..alice_entry(check_key_for("x")) };
                cache.store_outcome(&entry_id, &accepted_alice(), lifetime_secs(10, 60), at(0));
                cache.flush(Some(b"Alice@example.com"));
            }
            "all flushed" => cache.flush(None),
            _ => cache.remove(&check_key_for("x")),
        }
        assert!(cache.stale_answer(&check_key_for("x"), at(12)).is_none(), "{end}");
        assert!(!cache.is_live(&check_key_for("x"), &held, at(12)), "{end}");
    }
}

#[test]
fn flush_of_another_user_keeps_the_answer() {
    let cache = AnswerCache::new(LIMITS);
    cache.store_outcome(&alice_entry(check_key_for("x")), &accepted_alice(), lifetime_secs(10, 60), at(0));
    cache.flush(Some(b"bob"));
    assert!(cache.stale_answer(&check_key_for("x"), at(1)).is_some());
}

#[test]
fn expired_answer_is_reported_as_expired_to_networks_that_received_it() {
    let cache = AnswerCache::new(LIMITS);
    cache.store_outcome(&alice_entry(check_key_for("x")), &accepted_alice(), lifetime_secs(10, 0), at(0));
    cache.get(&check_key_for("x"), 1, at(0));
    assert!(matches!(
        cache.get_if_seen_from(&check_key_for("x"), 1, at(9)),
        Some(SeenFromNetwork::Answer(_))
    ));
    assert!(matches!(cache.get_if_seen_from(&check_key_for("x"), 1, at(10)), Some(SeenFromNetwork::Expired)));
    assert!(cache.get_if_seen_from(&check_key_for("x"), 2, at(10)).is_none());
    // A new answer keeps the list of networks.
    cache.store_outcome(&alice_entry(check_key_for("x")), &accepted_alice(), lifetime_secs(10, 0), at(10));
    assert!(matches!(
        cache.get_if_seen_from(&check_key_for("x"), 1, at(11)),
        Some(SeenFromNetwork::Answer(_))
    ));
}

#[test]
fn flushed_answer_is_reported_as_expired_to_networks_that_received_it() {
    let cache = AnswerCache::new(LIMITS);
    let store = || {
        cache.store_outcome(
            &alice_entry(check_key_for("x")),
            &accepted_alice(),
            AnswerLifetime::UNLIMITED,
            at(0),
        )
    };
    for user in [None, Some(&b"alice"[..])] {
        store();
        cache.get(&check_key_for("x"), 1, at(0));
        cache.flush(user);
        assert!(cache.get(&check_key_for("x"), 1, at(1)).is_none());
        assert!(matches!(
            cache.get_if_seen_from(&check_key_for("x"), 1, at(1)),
            Some(SeenFromNetwork::Expired)
        ));
        assert!(cache.get_if_seen_from(&check_key_for("x"), 2, at(1)).is_none());
        store();
        assert!(matches!(
            cache.get_if_seen_from(&check_key_for("x"), 1, at(1)),
            Some(SeenFromNetwork::Answer(_))
        ));
        // A rejection removes the list of networks.
        cache.flush(user);
        cache.store_outcome(
            &alice_entry(check_key_for("x")),
            &Outcome::Rejected,
            AnswerLifetime::UNLIMITED,
            at(1),
        );
        assert!(cache.get_if_seen_from(&check_key_for("x"), 1, at(1)).is_none());
    }
}
