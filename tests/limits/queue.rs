//! The hash queue: single flight, shares, full queue.

use std::sync::Barrier;
use std::thread;

use super::throttle::{ATTACKER, CAFE, HOME, assert_limited, from};
use crate::support::client::{Answer, Client};
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

/// Sends all requests at the same time.
fn at_once(doorward: &Doorward, requests: &[crate::support::client::Request]) -> Vec<Answer> {
    let barrier = Barrier::new(requests.len());
    thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| {
                let (mut client, barrier) = (doorward.client(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    client.ask(request)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn simultaneous_first_requests_of_one_user_cost_one_hash() {
    let doorward = Doorward::start(&users::line("alice", "wonderland", users::USUAL), &[]);
    let answers = at_once(&doorward, &vec![from(HOME, "alice", "wonderland"); 50]);
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(doorward.hashes(), 1.0);
    let joined = doorward.metric("doorward_cache_coalesced_total");
    let hit = doorward.metric("doorward_cache_hits_total");
    assert!(joined + hit == 49.0, "{joined} joined and {hit} hit");
}

#[test]
fn identical_wrong_requests_cost_one_hash_and_one_failure_for_known_and_unknown_users_as_in_cve_2026_88010() {
    let doorward = Doorward::start(&users::line("alice", "wonderland", users::USUAL), &[]);
    for (user, sum) in [("alice", 1.0), ("nobody", 2.0)] {
        let answers = at_once(&doorward, &vec![from(HOME, user, "looking-glass"); 20]);
        assert!(answers.iter().all(|answer| answer.status == 401), "{answers:?}");
        assert_eq!(doorward.hashes(), sum, "{user}");
        assert_eq!(doorward.metric("doorward_throttle_failures_total"), sum, "{user}");
    }
}

#[test]
fn simultaneous_users_never_get_each_others_answers_as_in_ghsa_6765_c87h_8mrf() {
    let file = users::line("ab", "cd", users::USUAL) + &users::line("abc", "x", users::USUAL);
    let doorward = Doorward::start(&file, &[]);
    let requests: Vec<_> = ["ab", "abc"].repeat(5).into_iter().zip(["cd", "d"].repeat(5)).collect();
    let requests: Vec<_> = requests.into_iter().map(|(user, password)| from(HOME, user, password)).collect();
    for (number, answer) in at_once(&doorward, &requests).iter().enumerate() {
        assert_eq!(answer.status, if number % 2 == 0 { 200 } else { 401 }, "{number}: {answer:?}");
        assert_eq!(answer.header("x-auth-user"), (number % 2 == 0).then_some("ab"));
    }
}

/// One hash thread, one check for each user of a network, and a throttle that allows many guesses.
const NARROW: [&str; 6] =
    ["--hash-threads", "1", "--hash-per-user-limit", "1", "--throttle-user-failures", "40"];

/// Sends a guess whose check takes long.
fn occupy(doorward: &Doorward, network: &str, user: &str) -> Client {
    let misses = doorward.metric("doorward_cache_misses_total");
    let mut client = doorward.client();
    client.send(&from(network, user, "guess").bytes()).unwrap();
    eventually("the guess is being checked", || {
        (doorward.metric("doorward_cache_misses_total") > misses).then_some(())
    });
    client
}

#[test]
fn full_queue_share_answers_busy_to_unknown_users_of_that_network() {
    let file = users::line("alice", "wonderland", users::SLOW);
    let doorward = Doorward::start(&file, &NARROW);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    let mut other = occupy(&doorward, ATTACKER, "alice");
    let wrong = doorward.ask(&from(ATTACKER, "alice", "another guess"));
    let right = doorward.ask(&from(ATTACKER, "alice", "wonderland"));
    assert_limited(&wrong, "busy");
    assert_limited(&right, "busy");
    assert_eq!(right.face(), wrong.face(), "the right one, though cached, looks like a wrong one");
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200, "where she is known she goes on");
    assert_eq!(other.receive(false).unwrap().status, 401);
    assert!(doorward.metric("doorward_hash_queue_full_total") >= 2.0);
    assert_eq!(doorward.log_in("alice", "wonderland", ATTACKER), 200, "the share is free again");
}

#[test]
fn cached_answer_does_not_wait_for_the_hash_queue() {
    let file = users::line("alice", "wonderland", users::SLOW);
    let doorward = Doorward::start(&file, &NARROW);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    // On a busy machine, a check can end before twenty cache hits have arrived, so the test tries again. A
    // cache hit that waits for a hash never passes.
    let mut tries = 0;
    eventually("twenty hits come while one hash is under way", || {
        tries += 1;
        let hashes = doorward.hashes();
        let mut other = occupy(&doorward, ATTACKER, &format!("nobody {tries}"));
        for _ in 0..20 {
            assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
        }
        let under_way = doorward.hashes() == hashes;
        assert_eq!(other.receive(false).unwrap().status, 401);
        assert_eq!(doorward.hashes(), hashes + 1.0);
        under_way.then_some(())
    });
}

#[test]
fn client_that_disconnects_cancels_no_other_check() {
    let file = users::line("alice", "wonderland", users::SLOW);
    let doorward = Doorward::start(&file, &NARROW);
    let mut leader = doorward.client();
    leader.send(&from(HOME, "alice", "wonderland").bytes()).unwrap();
    eventually("the first is being checked", || {
        (doorward.metric("doorward_cache_misses_total") > 0.0).then_some(())
    });
    let mut joined = doorward.client();
    joined.send(&from(CAFE, "alice", "wonderland").bytes()).unwrap();
    drop(leader);
    assert_eq!(joined.receive(false).unwrap().status, 200);
    assert_eq!(doorward.hashes(), 1.0);
}

#[test]
fn hundred_guesses_from_as_many_networks_are_all_answered() {
    // A cost high enough that the checks queue, and low enough that a hundred of them end soon.
    let file = users::line("alice", "wonderland", users::USUAL - 2);
    let doorward =
        Doorward::start(&file, &["--throttle-user-failures", "1000", "--throttle-network-failures", "1000"]);
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
    let guesses: Vec<_> = (0..100)
        .map(|number| from(&format!("198.51.100.{number}"), "alice", &format!("guess {number}")))
        .collect();
    let answers = at_once(&doorward, &guesses);
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 403)), "{answers:?}");
    eventually("nothing is left in the queue", || {
        (doorward.metric("doorward_hash_queue_length") == 0.0).then_some(())
    });
    assert_eq!(doorward.log_in("alice", "wonderland", HOME), 200);
}
