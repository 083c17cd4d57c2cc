//! The gate's limits: the throttle, the shares of the hash queue, and what is left to who is limited.

use std::time::Duration;

use crate::pipeline::tests::{AWAY, HOME, test_pipeline};

fn bcrypt_of(password: &str) -> String {
    crate::authn::hash::bcrypt::make_hash(password.as_bytes(), 4, [1; 16]).unwrap()
}

#[tokio::test]
async fn throttled_network_gets_only_answers_it_has_seen() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        assert_eq!(house.answer("alice", wrong, HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(house.answer("alice", "d", HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    // Other users there, and she elsewhere, go on.
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "wrong", AWAY).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn throttled_network_cannot_use_answers_cached_for_other_networks() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        house.answer("alice", wrong, AWAY).await;
    }
    assert_eq!(house.answer("alice", "password", AWAY).await, "limited throttled");
    assert_eq!(house.answer("alice", "passwore", AWAY).await, "limited throttled");
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(house.answer("alice", "password", AWAY).await, "allow");
}

#[tokio::test]
async fn failures_of_many_users_throttle_the_network() {
    let house = test_pipeline();
    for user in ["u1", "u2", "u3", "u4", "u5"] {
        assert_eq!(house.answer(user, "password", AWAY).await, "challenge wrong_credentials");
    }
    assert_eq!(house.answer("bob", "password", AWAY).await, "limited throttled");
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
}

#[tokio::test]
async fn repeated_wrong_password_counts_as_one_failure() {
    let house = test_pipeline();
    for _ in 0..20 {
        assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
        house.clock.advance(Duration::from_secs(11));
    }
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.metrics.throttle_failures.get(), 1);
}

#[tokio::test]
async fn successful_login_does_not_reset_user_failures() {
    let house = test_pipeline();
    for wrong in ["a", "b"] {
        house.answer("alice", wrong, HOME).await;
    }
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "c", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.answer("alice", "d", HOME).await, "limited throttled");
}

#[tokio::test]
async fn full_queue_share_is_answered_busy_except_for_seen_answers() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    let first = house.ask("alice", "a", AWAY).await;
    let second = house.ask("alice", "b", AWAY).await;
    assert_eq!(house.ask("alice", "c", AWAY).await.await.unwrap(), "limited busy");
    assert_eq!(house.ask("alice", "password", AWAY).await.await.unwrap(), "limited busy");
    assert_eq!(house.ask("alice", "password", HOME).await.await.unwrap(), "allow");
    house.run_queued_checks();
    assert_eq!(first.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(second.await.unwrap(), "challenge wrong_credentials");
}

#[tokio::test]
async fn evicted_check_is_queued_again_for_requests_that_joined_it() {
    let house = test_pipeline();
    // The crowd's network fills the queue; a network with one check displaces the last of them.
    let mut crowd = Vec::new();
    for user in ["u1", "u2", "u3", "u4"] {
        crowd.push(house.ask(user, "x", AWAY).await);
    }
    let joined = house.ask("u4", "x", "203.0.113.9").await;
    for n in 1..=2 {
        crowd.push(house.ask(&format!("v{n}"), "x", &format!("203.0.{n}.1")).await);
    }
    let newcomer = house.ask("bob", "password", HOME).await;
    tokio::task::yield_now().await;
    house.run_queued_checks();
    tokio::task::yield_now().await;
    house.run_queued_checks();
    assert_eq!(newcomer.await.unwrap(), "allow");
    // The check of u4 was displaced: its leader is told, and who had joined got one of his own.
    assert_eq!(crowd.remove(3).await.unwrap(), "limited busy");
    assert_eq!(joined.await.unwrap(), "challenge wrong_credentials");
}

#[tokio::test]
async fn evicting_a_check_does_not_deadlock_the_in_flight_map() {
    // The map of flights is locked in a few parts; in 100 rounds the two checks meet in one.
    let house = test_pipeline();
    for round in 0..100 {
        let mut asked = Vec::new();
        for network in ["10.1.0.0", "10.1.0.0", "10.1.0.0", "10.2.0.0", "10.2.0.0", "10.2.0.0", "10.3.0.0"] {
            let from = network.replace("0.0", &format!("{round}.1"));
            asked.push(house.ask(&format!("u{}", asked.len()), &format!("x{round}"), &from).await);
        }
        house.run_queued_checks();
        let mut answers = Vec::new();
        for one in asked {
            answers.push(one.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| *answer == "limited busy").count(), 1, "{answers:?}");
        assert_eq!(answers.last().unwrap(), "challenge wrong_credentials");
    }
}

#[tokio::test(start_paused = true)]
async fn timed_out_check_is_not_hashed_and_counts_as_failure() {
    let house = test_pipeline();
    let asked = house.ask("alice", "guess", HOME).await;
    assert_eq!(asked.await.unwrap(), "limited busy");
    house.clock.advance(Duration::from_secs(6));
    house.run_queued_checks();
    assert_eq!(house.check_count(), 0);
    assert_eq!(house.metrics.hash_queue_evicted.get(), 1);
    assert_eq!(house.metrics.throttle_failures.get(), 1);
}

#[tokio::test]
async fn concurrent_guesses_stop_at_the_failure_limit() {
    let house = test_pipeline();
    for wrong in ["a", "b"] {
        house.answer("alice", wrong, AWAY).await;
    }
    let third = house.ask("alice", "c", AWAY).await;
    assert_eq!(house.answer_at_once("alice", "d", AWAY).await, "limited throttled");
    // The same one again waits for the same check.
    let again = house.ask("alice", "c", AWAY).await;
    house.run_queued_checks();
    assert_eq!(third.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(again.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(house.check_count(), 3);
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(house.answer("alice", "e", AWAY).await, "challenge wrong_credentials");
    assert_eq!(house.answer("alice", "f", AWAY).await, "limited throttled");
}

#[tokio::test]
async fn concurrent_requests_with_correct_password_count_no_failure() {
    let house = test_pipeline();
    for wrong in ["a", "b"] {
        house.answer("alice", wrong, AWAY).await;
    }
    let mut asked = Vec::new();
    for _ in 0..10 {
        asked.push(house.ask("alice", "password", AWAY).await);
    }
    house.run_queued_checks();
    for one in asked {
        assert_eq!(one.await.unwrap(), "allow");
    }
    assert_eq!(house.answer("alice", "c", AWAY).await, "challenge wrong_credentials");
    assert_eq!(house.answer("alice", "d", AWAY).await, "limited throttled");
}

#[tokio::test]
async fn attempts_against_cached_answers_are_limited() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c", "d", "e", "f", "g"] {
        house.answer("alice", wrong, HOME).await;
    }
    assert_eq!(house.answer("alice", "password", HOME).await, "limited throttled");
    // That costs alice, in the guest's own network; nobody else.
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "password", AWAY).await, "allow");
    house.clock.advance(Duration::from_secs(46));
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test(start_paused = true)]
async fn correct_password_undoes_the_failure_of_its_dropped_check() {
    let house = test_pipeline();
    let asked = house.ask("alice", "password", HOME).await;
    assert_eq!(asked.await.unwrap(), "limited busy");
    house.clock.advance(Duration::from_secs(6));
    house.run_queued_checks();
    for wrong in ["a", "b"] {
        assert_eq!(house.answer("alice", wrong, HOME).await, "challenge wrong_credentials");
    }
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    // Counted: a and b, of which one has leaked. Room for two, as if the first had not been.
    assert_eq!(house.answer("alice", "c", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.answer("alice", "d", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.answer("alice", "e", HOME).await, "limited throttled");
}

#[tokio::test]
async fn rejection_is_not_shared_between_networks() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.check_count(), 1);
    assert_eq!(house.answer("alice", "stale", AWAY).await, "challenge wrong_credentials");
    assert_eq!(house.check_count(), 2);
}

#[tokio::test]
async fn rejection_is_reused_while_its_attempt_is_remembered_field_s5() {
    let house = test_pipeline();
    for hour in 0..3 {
        for network in [HOME, AWAY] {
            assert_eq!(house.answer("alice", "stale", network).await, "challenge wrong_credentials");
        }
        assert_eq!(house.check_count(), 2, "one for each network, after {hour} hours");
        house.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(house.metrics.cache_rejected_hits.get(), 4);
    // It belongs to one state of the user's line, and to one password.
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    house.pipeline.flush(Some(b"bob"));
    assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.check_count(), 4, "a flush forgets it");
}

#[tokio::test]
async fn throttled_network_can_recheck_seen_user_after_flush() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        assert_eq!(house.answer("alice", wrong, HOME).await, "challenge wrong_credentials");
    }
    house.pipeline.flush(Some(b"alice"));
    let hashes = house.check_count();
    assert_eq!(house.answer("alice", "passwore", HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", "password", AWAY).await, "allow");
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.check_count(), hashes + 1, "asked anew, once for both");
    house.pipeline.flush(None);
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.check_count(), hashes + 2);
}

#[tokio::test]
async fn correct_passwords_equal_in_72_bytes_share_one_hash_and_wrong_ones_do_not_field_s2() {
    let house = test_pipeline();
    let long = "x".repeat(72);
    for (number, user) in [(1, "alice"), (2, "carol")] {
        for ending in ["a", "b"] {
            assert_eq!(
                house.answer(user, &format!("{long}{ending}"), HOME).await,
                "challenge wrong_credentials"
            );
        }
        assert_eq!((house.check_count(), house.metrics.throttle_failures.get()), (2 * number, 2 * number));
    }
    house.set_users(&format!("alice:{}\n", bcrypt_of(&long)));
    for ending in ["", "a", "b", "ccc"] {
        assert_eq!(house.answer("alice", &format!("{long}{ending}"), AWAY).await, "allow");
    }
    assert_eq!(house.check_count(), 5);
    assert_eq!(house.answer("alice", &long[1..], AWAY).await, "challenge wrong_credentials");
}

#[tokio::test(start_paused = true)]
async fn timed_out_users_do_not_throttle_their_network_field_o6() {
    let house = test_pipeline();
    let mut waiting = Vec::new();
    for user in ["u1", "u2", "u3"] {
        waiting.push(house.ask(user, "x", HOME).await);
    }
    for one in waiting {
        assert_eq!(one.await.unwrap(), "limited busy");
    }
    house.clock.advance(Duration::from_secs(6));
    house.run_queued_checks();
    assert_eq!(house.check_count(), 0);
    // With those it would be five failures of the network.
    for user in ["u4", "u5"] {
        assert_eq!(house.answer(user, "x", HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    // Of each user it is one.
    for wrong in ["y", "z"] {
        assert_eq!(house.answer("u1", wrong, HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(house.answer("u1", "x", HOME).await, "limited throttled");
}

#[tokio::test]
async fn first_login_undoes_one_network_failure_and_cached_answer_does_not_field_o6() {
    let house = test_pipeline();
    for user in ["u1", "u2", "u3", "u4"] {
        assert_eq!(house.answer(user, "x", HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    for _ in 0..10 {
        assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    }
    // Of five that are borne, three count.
    for user in ["u5", "u6"] {
        assert_eq!(house.answer(user, "x", HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(house.answer("u7", "x", HOME).await, "limited throttled");
    assert_eq!(house.answer("bob", "password", HOME).await, "limited throttled");
}
