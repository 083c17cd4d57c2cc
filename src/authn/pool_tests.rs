//! The queue's rules where its places are fixed; the test takes the place of the hash threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
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
