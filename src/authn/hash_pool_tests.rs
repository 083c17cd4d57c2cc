//! The queue's rules, with a fixed number of places and with one that follows from the time; the test takes the place of the hash threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::authn::htpasswd::file::{Rules, parse};
use crate::authn::queue::{Asker, Limits};

const LIMITS: Limits = Limits { queue: 4, network_share: 3, user_share: 2 };

type Ended = Arc<Mutex<Vec<(&'static str, bool)>>>;

fn pool() -> (HashPool, Clock, Ended) {
    let clock = Clock::manual();
    (HashPool::new(LIMITS, clock.clone(), Arc::default()), clock, Ended::default())
}

fn job(name: &'static str, network: u64, user: u64, ended: &Ended) -> Job {
    let ended = Arc::clone(ended);
    Job {
        asker: asker(network, user),
        deadline: Arc::new(AtomicU64::new(1000)),
        work: Box::new(|| Ok(Outcome::Rejected)),
        end: Box::new(move |end| ended.lock().unwrap().push((name, matches!(end, End::Done(_))))),
    }
}

/// A network that is a block by itself, and a user in it.
fn asker(network: u64, user: u64) -> Asker {
    Asker { block: network, network, user: network * 1000 + user }
}

fn order(ended: &Ended) -> Vec<&'static str> {
    ended.lock().unwrap().iter().filter(|(_, done)| *done).map(|(name, _)| *name).collect()
}

#[test]
fn networks_take_turns() {
    let (pool, _, ended) = pool();
    for (name, network) in [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2)] {
        pool.submit(job(name, network, u64::from(name.ends_with('3')), &ended)).ok().unwrap().tell();
    }
    while pool.run_next() {}
    assert_eq!(order(&ended), ["a1", "b1", "a3", "a2"]);
}

#[test]
fn a_share_that_is_taken_is_full_for_its_owner_alone() {
    let (pool, _, ended) = pool();
    pool.submit(job("a1", 1, 1, &ended)).ok().unwrap().tell();
    pool.submit(job("a2", 1, 1, &ended)).ok().unwrap().tell();
    assert!(pool.is_full_for(asker(1, 1)));
    assert!(pool.submit(job("a3", 1, 1, &ended)).is_err());
    assert!(!pool.is_full_for(asker(1, 2)));
    pool.submit(job("a4", 1, 2, &ended)).ok().unwrap().tell();
    assert!(pool.is_full_for(asker(1, 3)));
    assert!(!pool.is_full_for(asker(2, 1)));
    while pool.run_next() {}
    assert!(!pool.is_full_for(asker(1, 1)));
}

#[test]
fn when_the_queue_is_full_the_network_with_most_gives_its_latest_to_one_with_few() {
    let (pool, _, ended) = pool();
    for (name, network, user) in [("a1", 1, 1), ("a2", 1, 2), ("a3", 1, 3), ("b1", 2, 1)] {
        pool.submit(job(name, network, user, &ended)).ok().unwrap().tell();
    }
    pool.submit(job("c1", 3, 1, &ended)).ok().unwrap().tell();
    assert_eq!(*ended.lock().unwrap(), [("a3", false)]);
    pool.submit(job("d1", 4, 1, &ended)).ok().unwrap().tell();
    // Now every network has one, and the queue is full for all.
    assert!(pool.is_full_for(asker(5, 1)));
    assert!(pool.submit(job("e1", 5, 1, &ended)).is_err());
    while pool.run_next() {}
    assert_eq!(order(&ended), ["a1", "b1", "c1", "d1"]);
}

#[test]
fn a_check_that_comes_too_late_is_dropped_unless_somebody_still_waits() {
    let (pool, clock, ended) = pool();
    let late = job("late", 1, 1, &ended);
    let wanted = job("wanted", 1, 1, &ended);
    wanted.deadline.fetch_max(3000, Ordering::SeqCst);
    pool.submit(late).ok().unwrap().tell();
    pool.submit(wanted).ok().unwrap().tell();
    clock.advance(Duration::from_secs(1));
    while pool.run_next() {}
    assert_eq!(*ended.lock().unwrap(), [("late", false), ("wanted", true)]);
}

#[test]
fn a_check_that_panics_is_trouble_and_the_thread_goes_on() {
    let (pool, _, ended) = pool();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&answers);
    let mut job_that_panics = job("panics", 1, 1, &ended);
    job_that_panics.work = Box::new(|| panic!("on purpose"));
    job_that_panics.end = Box::new(move |end| told.lock().unwrap().push(end));
    pool.submit(job_that_panics).ok().unwrap().tell();
    pool.submit(job("next", 1, 1, &ended)).ok().unwrap().tell();
    while pool.run_next() {}
    assert_eq!(*answers.lock().unwrap(), [End::Done(Err(Trouble::CheckFailed))]);
    assert_eq!(order(&ended), ["next"]);
}

#[test]
fn a_closed_pool_takes_nothing_drops_what_waits_and_lets_its_threads_go() {
    let (pool, _, ended) = pool();
    pool.submit(job("last", 1, 1, &ended)).ok().unwrap().tell();
    pool.close();
    assert_eq!(*ended.lock().unwrap(), [("last", false)]);
    assert!(pool.submit(job("after", 2, 1, &ended)).is_err());
    pool.run();
    assert!(!pool.run_next());
}

#[test]
fn the_networks_of_one_block_have_one_turn_among_them() {
    let (pool, _, ended) = pool();
    for (name, network) in [("a1", 1), ("a2", 2), ("a3", 3)] {
        let mut of_block = job(name, network, network, &ended);
        of_block.asker.block = 9;
        pool.submit(of_block).ok().unwrap().tell();
    }
    pool.submit(job("b1", 4, 1, &ended)).ok().unwrap().tell();
    // Full, and yet a newcomer finds a place.
    pool.submit(job("c1", 5, 1, &ended)).ok().unwrap().tell();
    while pool.run_next() {}
    assert_eq!(order(&ended), ["a1", "b1", "c1", "a2"]);
}

/// A pool in which failures count, as in the program's, with two threads and so many places.
fn timed(places: usize) -> (HashPool, Clock, Ended) {
    let (clock, metrics) = (Clock::manual(), Arc::<Metrics>::default());
    let queue = Queue::timed(2, 4, clock.clone(), HashPool::figures(&metrics));
    queue.set_places(places);
    (HashPool { queue, pace: None, clock: clock.clone(), metrics }, clock, Ended::default())
}

fn accepted(name: &'static str, network: u64, user: u64, ended: &Ended) -> Job {
    use crate::authn::Identity;
    use crate::identity::Username;
    let identity = Identity::plain(Username::parse(b"ann").unwrap(), "test".into());
    Job { work: Box::new(|| Ok(Outcome::Accepted(Arc::new(identity)))), ..job(name, network, user, ended) }
}

/// Has `network` fail `count` times.
fn fail(pool: &HashPool, network: u64, count: u64) {
    for user in 0..count {
        pool.submit(job("failed", network, 100 + user, &Ended::default())).ok().unwrap().tell();
        pool.run_next();
    }
}

#[test]
fn places_follow_from_threads_wait_and_the_time_of_a_check() {
    let timing = Timing { threads: 2, wait: Duration::from_secs(5), user_share: 4 };
    assert_eq!(timing.places(Duration::from_millis(50)), 180);
    assert_eq!(timing.places(Duration::from_secs(1)), 9);
    assert_eq!(timing.places(Duration::from_secs(60)), 4, "two for each thread");
    assert_eq!(timing.places(Duration::from_nanos(100)), PLACES_MAX);
}

#[test]
fn the_pace_follows_accepted_checks_within_bounds_and_a_new_file() {
    let rules = Rules::default();
    let file = |cost: &str| {
        let line = format!("ann:$2y${cost}$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK\n");
        parse(line.into_bytes(), &rules).users
    };
    let users = Arc::new(Htpasswd::new(file("10")));
    let timing = Timing { threads: 2, wait: Duration::from_secs(5), user_share: 4 };
    let pace = Pace::new(timing, Arc::clone(&users));
    let expected = pace.get().expected;
    assert!(expected > 0.0);
    for _ in 0..100 {
        pace.note(Some(Duration::from_secs(3600)));
    }
    assert!(pace.get().seconds <= expected * 2.0, "whatever it looks like, it is no slower than that");
    for _ in 0..100 {
        pace.note(Some(Duration::from_secs_f64(expected / 2.0)));
    }
    assert!(pace.get().seconds < expected);
    users.replace(file("12"));
    let costlier = pace.note(None);
    assert!((costlier.expected / expected - 4.0).abs() < 0.01, "a file of a higher cost counts at once");
    assert!((costlier.seconds - costlier.expected).abs() < 1e-9);
}

#[test]
fn one_network_without_failures_may_have_all_places_field_o6() {
    let (pool, _, ended) = timed(10);
    for user in 0..10 {
        pool.submit(accepted("a", 1, user, &ended)).ok().unwrap().tell();
    }
    assert!(pool.is_full_for(asker(1, 11)));
    // Another one gets its turn at once all the same, and one of these has to come again.
    pool.submit(accepted("b", 2, 1, &ended)).ok().unwrap().tell();
    assert_eq!(ended.lock().unwrap().len(), 1);
    while pool.run_next() {}
    assert_eq!(order(&ended)[1], "b");
    assert_eq!(order(&ended).len(), 10);
}

#[test]
fn blocks_without_recent_failures_come_first_and_the_others_have_every_fourth_turn_field_s5() {
    let (pool, _, ended) = timed(10);
    fail(&pool, 1, 1);
    for (name, network) in [("x1", 1), ("x2", 1), ("a", 2), ("b", 3), ("c", 4), ("d", 5)] {
        pool.submit(job(name, network, u64::from(name.ends_with('2')), &ended)).ok().unwrap().tell();
    }
    let mut turns = Vec::new();
    while pool.run_next() {}
    turns.extend(order(&ended));
    assert_eq!(turns.iter().filter(|name| name.starts_with('x')).count(), 2);
    let last = turns.iter().position(|name| *name == "x2").unwrap();
    assert!(last == 5, "{turns:?}");
    assert!(turns.iter().position(|name| *name == "x1").unwrap() <= 3, "{turns:?}");
}

#[test]
fn failing_blocks_hold_a_quarter_of_the_places_and_all_threads_but_one_field_s5() {
    let (pool, _, ended) = timed(10);
    for network in 1..=8 {
        fail(&pool, network, 6);
    }
    let taken = (1..=8).filter(|network| {
        let Ok(displaced) = pool.submit(job("x", *network, 1, &ended)) else { return false };
        displaced.tell();
        true
    });
    assert_eq!(taken.count(), 3);
    let first = pool.queue.try_next().unwrap();
    assert!(pool.queue.try_next().is_none(), "the other thread is left to those who have not failed");
    for user in 0..8 {
        pool.submit(job("a", 20 + user, 1, &ended)).ok().unwrap().tell();
    }
    let second = pool.queue.try_next().unwrap();
    assert_eq!(second.asker.block, 20);
    // Full: who has not failed takes the place of who has.
    pool.submit(job("b", 40, 1, &ended)).ok().unwrap().tell();
    pool.submit(job("b", 41, 1, &ended)).ok().unwrap().tell();
    assert_eq!(*ended.lock().unwrap(), [("x", false)]);
    pool.queue.settle_as(first.asker, Some(true));
    pool.queue.settle_as(second.asker, Some(false));
    while pool.run_next() {}
    assert_eq!(ended.lock().unwrap().iter().filter(|(name, done)| *name != "x" && !done).count(), 0);
}

#[test]
fn of_a_network_that_fills_all_places_with_guesses_few_are_hashed() {
    let (pool, _, ended) = timed(200);
    for user in 0..200 {
        pool.submit(job("guess", 1, user, &ended)).ok().unwrap().tell();
    }
    while pool.run_next() {}
    let hashed = order(&ended).len();
    assert!((10..=60).contains(&hashed), "{hashed}");
    assert_eq!(ended.lock().unwrap().len(), 200, "all are told");
}

#[test]
fn a_network_with_many_users_bears_ten_guessers_among_them_field_o6() {
    let (pool, _, ended) = timed(200);
    for user in 0..150 {
        pool.submit(accepted("right", 1, user, &ended)).ok().unwrap().tell();
        if user % 15 == 0 {
            pool.submit(job("guess", 1, 500 + user, &ended)).ok().unwrap().tell();
        }
    }
    while pool.run_next() {}
    assert_eq!(order(&ended).len(), 160);
}

#[test]
fn a_guesser_with_four_places_has_one_turn_among_the_users_of_his_network() {
    let (pool, _, ended) = timed(10);
    for (name, user) in [("x", 1), ("x", 1), ("x", 1), ("a", 2), ("b", 3), ("c", 4)] {
        pool.submit(accepted(name, 1, user, &ended)).ok().unwrap().tell();
    }
    while pool.run_next() {}
    assert_eq!(order(&ended), ["x", "a", "b", "c", "x", "x"]);
}

#[test]
fn users_without_failures_take_the_places_of_guessers_in_their_network_field_o6() {
    let (pool, _, ended) = timed(40);
    // Ten guessers, by whose failures the network's share is down to a few places.
    (0..3).for_each(|_| fail(&pool, 1, 10));
    let guess = |user: u64| pool.submit(job("guess", 1, 100 + user, &ended)).map(Displaced::tell);
    assert_eq!((0..10).filter(|user| guess(*user).is_ok()).count(), 4);
    for user in 0..4 {
        pool.submit(accepted("right", 1, user, &ended)).ok().unwrap().tell();
    }
    assert!(pool.is_full_for(asker(1, 5)), "nobody who has not failed gives his place up");
    assert!(pool.is_full_for(asker(1, 100)));
    while pool.run_next() {}
    assert_eq!(order(&ended), ["right"; 4]);
    assert_eq!(ended.lock().unwrap().iter().filter(|end| **end == ("guess", false)).count(), 4);
}
