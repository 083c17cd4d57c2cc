//! The gate's limits: the throttle, the shares of the hash queue, and what is left to who is limited.

use std::time::Duration;

use crate::pipeline::tests::{AWAY, HOME, house};

fn bcrypt_of(password: &str) -> String {
    crate::authn::hash::make(password.as_bytes(), 4, [1; 16]).unwrap()
}

#[tokio::test]
async fn too_many_different_wrong_passwords_and_only_the_familiar_answer_is_given() {
    let house = house();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        assert_eq!(house.answer("alice", wrong, HOME).await, "challenge wrong");
    }
    assert_eq!(house.answer("alice", "d", HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    // Other users there, and she elsewhere, go on.
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "wrong", AWAY).await, "challenge wrong");
}

#[tokio::test]
async fn the_cache_is_no_guessing_machine_for_a_throttled_network() {
    let house = house();
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
async fn guessing_many_users_throttles_the_network() {
    let house = house();
    for user in ["u1", "u2", "u3", "u4", "u5"] {
        assert_eq!(house.answer(user, "password", AWAY).await, "challenge wrong");
    }
    assert_eq!(house.answer("bob", "password", AWAY).await, "limited throttled");
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
}

#[tokio::test]
async fn the_same_wrong_password_again_is_no_new_failure() {
    let house = house();
    for _ in 0..20 {
        assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong");
        house.clock.advance(Duration::from_secs(11));
    }
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.metrics.throttle_failures.get(), 1);
}

#[tokio::test]
async fn a_success_gives_no_new_tries() {
    let house = house();
    for wrong in ["a", "b"] {
        house.answer("alice", wrong, HOME).await;
    }
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "c", HOME).await, "challenge wrong");
    assert_eq!(house.answer("alice", "d", HOME).await, "limited throttled");
}

#[tokio::test]
async fn a_full_share_is_shed_at_once_and_gives_only_familiar_answers() {
    let house = house();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    let first = house.ask("alice", "a", AWAY).await;
    let second = house.ask("alice", "b", AWAY).await;
    assert_eq!(house.ask("alice", "c", AWAY).await.await.unwrap(), "limited busy");
    assert_eq!(house.ask("alice", "password", AWAY).await.await.unwrap(), "limited busy");
    assert_eq!(house.ask("alice", "password", HOME).await.await.unwrap(), "allow");
    house.hash();
    assert_eq!(first.await.unwrap(), "challenge wrong");
    assert_eq!(second.await.unwrap(), "challenge wrong");
}

#[tokio::test]
async fn one_callers_limit_never_becomes_anothers() {
    let house = house();
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
    house.hash();
    tokio::task::yield_now().await;
    house.hash();
    assert_eq!(newcomer.await.unwrap(), "allow");
    // The check of u4 was displaced: its leader is told, and who had joined got one of his own.
    assert_eq!(crowd.remove(3).await.unwrap(), "limited busy");
    assert_eq!(joined.await.unwrap(), "challenge wrong");
}

#[tokio::test]
async fn displacing_a_check_never_waits_for_itself() {
    // The map of flights is locked in a few parts; in 100 rounds the two checks meet in one.
    let house = house();
    for round in 0..100 {
        let mut asked = Vec::new();
        for network in ["10.1.0.0", "10.1.0.0", "10.1.0.0", "10.2.0.0", "10.2.0.0", "10.2.0.0", "10.3.0.0"] {
            let from = network.replace("0.0", &format!("{round}.1"));
            asked.push(house.ask(&format!("u{}", asked.len()), &format!("x{round}"), &from).await);
        }
        house.hash();
        let mut answers = Vec::new();
        for one in asked {
            answers.push(one.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| *answer == "limited busy").count(), 1, "{answers:?}");
        assert_eq!(answers.last().unwrap(), "challenge wrong");
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_whose_askers_gave_up_is_not_done_and_counts_as_a_failure() {
    let house = house();
    let asked = house.ask("alice", "guess", HOME).await;
    assert_eq!(asked.await.unwrap(), "limited busy");
    house.clock.advance(Duration::from_secs(6));
    house.hash();
    assert_eq!(house.hashes(), 0);
    assert_eq!(house.metrics.hash_dropped.get(), 1);
    assert_eq!(house.metrics.throttle_failures.get(), 1);
}

#[tokio::test]
async fn a_burst_of_guesses_gets_no_further_than_the_limit() {
    let house = house();
    for wrong in ["a", "b"] {
        house.answer("alice", wrong, AWAY).await;
    }
    let third = house.ask("alice", "c", AWAY).await;
    assert_eq!(house.answer_at_once("alice", "d", AWAY).await, "limited throttled");
    // The same one again waits for the same check.
    let again = house.ask("alice", "c", AWAY).await;
    house.hash();
    assert_eq!(third.await.unwrap(), "challenge wrong");
    assert_eq!(again.await.unwrap(), "challenge wrong");
    assert_eq!(house.hashes(), 3);
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(house.answer("alice", "e", AWAY).await, "challenge wrong");
    assert_eq!(house.answer("alice", "f", AWAY).await, "limited throttled");
}

#[tokio::test]
async fn the_last_try_counts_nothing_if_it_is_right_however_often_it_is_asked_at_once() {
    let house = house();
    for wrong in ["a", "b"] {
        house.answer("alice", wrong, AWAY).await;
    }
    let mut asked = Vec::new();
    for _ in 0..10 {
        asked.push(house.ask("alice", "password", AWAY).await);
    }
    house.hash();
    for one in asked {
        assert_eq!(one.await.unwrap(), "allow");
    }
    assert_eq!(house.answer("alice", "c", AWAY).await, "challenge wrong");
    assert_eq!(house.answer("alice", "d", AWAY).await, "limited throttled");
}

#[tokio::test]
async fn familiar_answers_cannot_be_guessed_at_without_end() {
    let house = house();
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
async fn a_right_password_takes_its_own_failure_back() {
    let house = house();
    let asked = house.ask("alice", "password", HOME).await;
    assert_eq!(asked.await.unwrap(), "limited busy");
    house.clock.advance(Duration::from_secs(6));
    house.hash();
    for wrong in ["a", "b"] {
        assert_eq!(house.answer("alice", wrong, HOME).await, "challenge wrong");
    }
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    // Counted: a and b, of which one has leaked. Room for two, as if the first had not been.
    assert_eq!(house.answer("alice", "c", HOME).await, "challenge wrong");
    assert_eq!(house.answer("alice", "d", HOME).await, "challenge wrong");
    assert_eq!(house.answer("alice", "e", HOME).await, "limited throttled");
}

#[tokio::test]
async fn one_network_does_not_learn_what_another_was_refused() {
    let house = house();
    assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong");
    assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong");
    assert_eq!(house.hashes(), 1);
    assert_eq!(house.answer("alice", "stale", AWAY).await, "challenge wrong");
    assert_eq!(house.hashes(), 2);
}

#[tokio::test]
async fn a_rejection_is_kept_as_long_as_its_question_is_remembered_field_s5() {
    let house = house();
    for hour in 0..3 {
        for network in [HOME, AWAY] {
            assert_eq!(house.answer("alice", "stale", network).await, "challenge wrong");
        }
        assert_eq!(house.hashes(), 2, "one for each network, after {hour} hours");
        house.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(house.metrics.cache_rejected_hits.get(), 4);
    // It belongs to one state of the user's line, and to one password.
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    house.gate.flush(Some(b"bob"));
    assert_eq!(house.answer("alice", "stale", HOME).await, "challenge wrong");
    assert_eq!(house.hashes(), 4, "a flush forgets it");
}

#[tokio::test]
async fn a_throttled_network_that_proved_a_user_may_ask_for_him_after_a_flush() {
    let house = house();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    for wrong in ["a", "b", "c"] {
        assert_eq!(house.answer("alice", wrong, HOME).await, "challenge wrong");
    }
    house.gate.flush(Some(b"alice"));
    let hashes = house.hashes();
    assert_eq!(house.answer("alice", "passwore", HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", "password", AWAY).await, "allow");
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.hashes(), hashes + 1, "asked anew, once for both");
    house.gate.flush(None);
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.hashes(), hashes + 2);
}

#[tokio::test]
async fn endings_that_no_check_looks_at_cost_one_hash_if_they_are_right_and_one_each_if_not_field_s2() {
    let house = house();
    let long = "x".repeat(72);
    for (number, user) in [(1, "alice"), (2, "carol")] {
        for ending in ["a", "b"] {
            assert_eq!(house.answer(user, &format!("{long}{ending}"), HOME).await, "challenge wrong");
        }
        assert_eq!((house.hashes(), house.metrics.throttle_failures.get()), (2 * number, 2 * number));
    }
    house.set_users(&format!("alice:{}\n", bcrypt_of(&long)));
    for ending in ["", "a", "b", "ccc"] {
        assert_eq!(house.answer("alice", &format!("{long}{ending}"), AWAY).await, "allow");
    }
    assert_eq!(house.hashes(), 5);
    assert_eq!(house.answer("alice", &long[1..], AWAY).await, "challenge wrong");
}

#[tokio::test(start_paused = true)]
async fn users_whose_turn_does_not_come_do_not_shut_their_network_field_o6() {
    let house = house();
    let mut waiting = Vec::new();
    for user in ["u1", "u2", "u3"] {
        waiting.push(house.ask(user, "x", HOME).await);
    }
    for one in waiting {
        assert_eq!(one.await.unwrap(), "limited busy");
    }
    house.clock.advance(Duration::from_secs(6));
    house.hash();
    assert_eq!(house.hashes(), 0);
    // With those it would be five failures of the network.
    for user in ["u4", "u5"] {
        assert_eq!(house.answer(user, "x", HOME).await, "challenge wrong");
    }
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    // Of each user it is one.
    for wrong in ["y", "z"] {
        assert_eq!(house.answer("u1", wrong, HOME).await, "challenge wrong");
    }
    assert_eq!(house.answer("u1", "x", HOME).await, "limited throttled");
}

#[tokio::test]
async fn first_log_ins_of_a_network_take_its_failures_back_and_cached_answers_do_not_field_o6() {
    let house = house();
    for user in ["u1", "u2", "u3", "u4"] {
        assert_eq!(house.answer(user, "x", HOME).await, "challenge wrong");
    }
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    for _ in 0..10 {
        assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    }
    // Of five that are borne, three count.
    for user in ["u5", "u6"] {
        assert_eq!(house.answer(user, "x", HOME).await, "challenge wrong");
    }
    assert_eq!(house.answer("u7", "x", HOME).await, "limited throttled");
    assert_eq!(house.answer("bob", "password", HOME).await, "limited throttled");
}
