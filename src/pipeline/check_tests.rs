//! Tests of the limits of the pipeline: the throttle, the shares of the hash queue, and seen answers for limited
//! clients.

use std::time::Duration;

use crate::pipeline::tests::{AWAY, HOME, test_pipeline};

fn bcrypt_hash(password: &str) -> String {
    crate::authn::hash::bcrypt::make_hash(password.as_bytes(), 4, [1; 16]).unwrap()
}

#[tokio::test]
async fn throttled_network_gets_only_answers_it_has_seen() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        assert_eq!(setup.answer("alice", wrong, HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(setup.answer("alice", "d", HOME).await, "limited throttled");
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    // Other users in that network, and alice in another network, are not throttled.
    assert_eq!(setup.answer("bob", "password", HOME).await, "allow");
    assert_eq!(setup.answer("alice", "wrong", AWAY).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn throttled_network_cannot_use_answers_cached_for_other_networks() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        setup.answer("alice", wrong, AWAY).await;
    }
    assert_eq!(setup.answer("alice", "password", AWAY).await, "limited throttled");
    assert_eq!(setup.answer("alice", "passwore", AWAY).await, "limited throttled");
    setup.clock.advance(Duration::from_secs(61));
    assert_eq!(setup.answer("alice", "password", AWAY).await, "allow");
}

#[tokio::test]
async fn failures_of_many_users_throttle_the_network() {
    let setup = test_pipeline();
    for user in ["u1", "u2", "u3", "u4", "u5"] {
        assert_eq!(setup.answer(user, "password", AWAY).await, "challenge wrong_credentials");
    }
    assert_eq!(setup.answer("bob", "password", AWAY).await, "limited throttled");
    assert_eq!(setup.answer("bob", "password", HOME).await, "allow");
}

#[tokio::test]
async fn repeated_wrong_password_counts_as_one_failure() {
    let setup = test_pipeline();
    for _ in 0..20 {
        assert_eq!(setup.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
        setup.clock.advance(Duration::from_secs(11));
    }
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.metrics.throttle_failures.get(), 1);
}

#[tokio::test]
async fn successful_login_does_not_reset_user_failures() {
    let setup = test_pipeline();
    for wrong in ["a", "b"] {
        setup.answer("alice", wrong, HOME).await;
    }
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.answer("alice", "c", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("alice", "d", HOME).await, "limited throttled");
}

#[tokio::test]
async fn full_queue_share_is_answered_busy_except_for_seen_answers() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    let first = setup.send("alice", "a", AWAY).await;
    let second = setup.send("alice", "b", AWAY).await;
    assert_eq!(setup.send("alice", "c", AWAY).await.await.unwrap(), "limited busy");
    assert_eq!(setup.send("alice", "password", AWAY).await.await.unwrap(), "limited busy");
    assert_eq!(setup.send("alice", "password", HOME).await.await.unwrap(), "allow");
    setup.run_queued_checks();
    assert_eq!(first.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(second.await.unwrap(), "challenge wrong_credentials");
}

#[tokio::test]
async fn evicted_check_is_queued_again_for_requests_that_joined_it() {
    let setup = test_pipeline();
    // One network fills the queue. A check from another network evicts the last one of it.
    let mut queued = Vec::new();
    for user in ["u1", "u2", "u3", "u4"] {
        queued.push(setup.send(user, "x", AWAY).await);
    }
    let joined = setup.send("u4", "x", "203.0.113.9").await;
    for n in 1..=2 {
        queued.push(setup.send(&format!("v{n}"), "x", &format!("203.0.{n}.1")).await);
    }
    let newcomer = setup.send("bob", "password", HOME).await;
    tokio::task::yield_now().await;
    setup.run_queued_checks();
    tokio::task::yield_now().await;
    setup.run_queued_checks();
    assert_eq!(newcomer.await.unwrap(), "allow");
    // The check of u4 was evicted. Its first request is busy, and the request that joined it got its own check.
    assert_eq!(queued.remove(3).await.unwrap(), "limited busy");
    assert_eq!(joined.await.unwrap(), "challenge wrong_credentials");
}

#[tokio::test]
async fn evicting_a_check_does_not_deadlock_the_in_flight_map() {
    // The map has a few locks. In 100 rounds the new and the evicted check share one of them.
    let setup = test_pipeline();
    for round in 0..100 {
        let mut responses = Vec::new();
        for network in ["10.1.0.0", "10.1.0.0", "10.1.0.0", "10.2.0.0", "10.2.0.0", "10.2.0.0", "10.3.0.0"] {
            let from = network.replace("0.0", &format!("{round}.1"));
            responses.push(setup.send(&format!("u{}", responses.len()), &format!("x{round}"), &from).await);
        }
        setup.run_queued_checks();
        let mut answers = Vec::new();
        for response in responses {
            answers.push(response.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| *answer == "limited busy").count(), 1, "{answers:?}");
        assert_eq!(answers.last().unwrap(), "challenge wrong_credentials");
    }
}

#[tokio::test(start_paused = true)]
async fn timed_out_check_is_not_hashed_and_counts_as_failure() {
    let setup = test_pipeline();
    let response = setup.send("alice", "guess", HOME).await;
    assert_eq!(response.await.unwrap(), "limited busy");
    setup.clock.advance(Duration::from_secs(6));
    setup.run_queued_checks();
    assert_eq!(setup.check_count(), 0);
    assert_eq!(setup.metrics.hash_queue_evicted.get(), 1);
    assert_eq!(setup.metrics.throttle_failures.get(), 1);
}

#[tokio::test]
async fn concurrent_guesses_stop_at_the_failure_limit() {
    let setup = test_pipeline();
    for wrong in ["a", "b"] {
        setup.answer("alice", wrong, AWAY).await;
    }
    let third = setup.send("alice", "c", AWAY).await;
    assert_eq!(setup.answer_at_once("alice", "d", AWAY).await, "limited throttled");
    // A repeated request joins the same check.
    let again = setup.send("alice", "c", AWAY).await;
    setup.run_queued_checks();
    assert_eq!(third.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(again.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(setup.check_count(), 3);
    setup.clock.advance(Duration::from_secs(61));
    assert_eq!(setup.answer("alice", "e", AWAY).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("alice", "f", AWAY).await, "limited throttled");
}

#[tokio::test]
async fn concurrent_requests_with_correct_password_count_no_failure() {
    let setup = test_pipeline();
    for wrong in ["a", "b"] {
        setup.answer("alice", wrong, AWAY).await;
    }
    let mut responses = Vec::new();
    for _ in 0..10 {
        responses.push(setup.send("alice", "password", AWAY).await);
    }
    setup.run_queued_checks();
    for response in responses {
        assert_eq!(response.await.unwrap(), "allow");
    }
    assert_eq!(setup.answer("alice", "c", AWAY).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("alice", "d", AWAY).await, "limited throttled");
}

#[tokio::test]
async fn attempts_against_cached_answers_are_limited() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.answer("bob", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c", "d", "e", "f", "g"] {
        setup.answer("alice", wrong, HOME).await;
    }
    assert_eq!(setup.answer("alice", "password", HOME).await, "limited throttled");
    // Only alice in that network is affected.
    assert_eq!(setup.answer("bob", "password", HOME).await, "allow");
    assert_eq!(setup.answer("alice", "password", AWAY).await, "allow");
    setup.clock.advance(Duration::from_secs(46));
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test(start_paused = true)]
async fn correct_password_undoes_the_failure_of_its_dropped_check() {
    let setup = test_pipeline();
    let response = setup.send("alice", "password", HOME).await;
    assert_eq!(response.await.unwrap(), "limited busy");
    setup.clock.advance(Duration::from_secs(6));
    setup.run_queued_checks();
    for wrong in ["a", "b"] {
        assert_eq!(setup.answer("alice", wrong, HOME).await, "challenge wrong_credentials");
    }
    setup.clock.advance(Duration::from_secs(61));
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    // Two failures were counted and one has leaked. Two more fit: the dropped check is not counted.
    assert_eq!(setup.answer("alice", "c", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("alice", "d", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("alice", "e", HOME).await, "limited throttled");
}

#[tokio::test]
async fn rejection_is_not_shared_between_networks() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.check_count(), 1);
    assert_eq!(setup.answer("alice", "stale", AWAY).await, "challenge wrong_credentials");
    assert_eq!(setup.check_count(), 2);
}

#[tokio::test]
async fn rejection_is_reused_while_its_attempt_is_remembered_field_s5() {
    let setup = test_pipeline();
    for hour in 0..3 {
        for network in [HOME, AWAY] {
            assert_eq!(setup.answer("alice", "stale", network).await, "challenge wrong_credentials");
        }
        assert_eq!(setup.check_count(), 2, "one for each network, after {hour} hours");
        setup.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(setup.metrics.cache_rejected_hits.get(), 4);
    // The rejection belongs to one version of the user's line, and to one password.
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    setup.pipeline.flush(Some(b"bob"));
    assert_eq!(setup.answer("alice", "stale", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.check_count(), 4, "a flush clears it");
}

#[tokio::test]
async fn throttled_network_can_recheck_seen_user_after_flush() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        assert_eq!(setup.answer("alice", wrong, HOME).await, "challenge wrong_credentials");
    }
    setup.pipeline.flush(Some(b"alice"));
    let check_count = setup.check_count();
    assert_eq!(setup.answer("alice", "passwore", HOME).await, "limited throttled");
    assert_eq!(setup.answer("alice", "password", AWAY).await, "allow");
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.check_count(), check_count + 1, "one check for both networks");
    setup.pipeline.flush(None);
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.check_count(), check_count + 2);
}

#[tokio::test]
async fn correct_passwords_equal_in_72_bytes_share_one_hash_and_wrong_ones_do_not_field_s2() {
    let setup = test_pipeline();
    let long = "x".repeat(72);
    for (number, user) in [(1, "alice"), (2, "carol")] {
        for ending in ["a", "b"] {
            assert_eq!(
                setup.answer(user, &format!("{long}{ending}"), HOME).await,
                "challenge wrong_credentials"
            );
        }
        assert_eq!((setup.check_count(), setup.metrics.throttle_failures.get()), (2 * number, 2 * number));
    }
    setup.set_users(&format!("alice:{}\n", bcrypt_hash(&long)));
    for ending in ["", "a", "b", "ccc"] {
        assert_eq!(setup.answer("alice", &format!("{long}{ending}"), AWAY).await, "allow");
    }
    assert_eq!(setup.check_count(), 5);
    assert_eq!(setup.answer("alice", &long[1..], AWAY).await, "challenge wrong_credentials");
}

#[tokio::test(start_paused = true)]
async fn timed_out_users_do_not_throttle_their_network_field_o6() {
    let setup = test_pipeline();
    let mut waiting = Vec::new();
    for user in ["u1", "u2", "u3"] {
        waiting.push(setup.send(user, "x", HOME).await);
    }
    for response in waiting {
        assert_eq!(response.await.unwrap(), "limited busy");
    }
    setup.clock.advance(Duration::from_secs(6));
    setup.run_queued_checks();
    assert_eq!(setup.check_count(), 0);
    // With the timed-out checks, these would be five failures of the network.
    for user in ["u4", "u5"] {
        assert_eq!(setup.answer(user, "x", HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(setup.answer("bob", "password", HOME).await, "allow");
    // The timed-out check counts as one failure of its user.
    for wrong in ["y", "z"] {
        assert_eq!(setup.answer("u1", wrong, HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(setup.answer("u1", "x", HOME).await, "limited throttled");
}

#[tokio::test]
async fn first_login_undoes_one_network_failure_and_cached_answer_does_not_field_o6() {
    let setup = test_pipeline();
    for user in ["u1", "u2", "u3", "u4"] {
        assert_eq!(setup.answer(user, "x", HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    for _ in 0..10 {
        assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    }
    // Three of the four failures are left. The limit is five.
    for user in ["u5", "u6"] {
        assert_eq!(setup.answer(user, "x", HOME).await, "challenge wrong_credentials");
    }
    assert_eq!(setup.answer("u7", "x", HOME).await, "limited throttled");
    assert_eq!(setup.answer("bob", "password", HOME).await, "limited throttled");
}
