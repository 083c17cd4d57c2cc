//! The rules of the queue, with a fixed and with a dynamic capacity. The tests run the checks instead of hash threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::authn::htpasswd::file::{HtpasswdParseOptions, parse};
use crate::authn::queue::job::{QueueLimits, RequesterId};

const LIMITS: QueueLimits = QueueLimits { total: 4, network_share: 3, user_share: 2 };

type FinishedJobs = Arc<Mutex<Vec<(&'static str, bool)>>>;

fn pool() -> (HashPool, Clock, FinishedJobs) {
    let clock = Clock::manual();
    (HashPool::new(LIMITS, clock.clone(), Arc::default()), clock, FinishedJobs::default())
}

fn job(name: &'static str, network: u64, user: u64, finished: &FinishedJobs) -> PasswordCheckJob {
    let finished = Arc::clone(finished);
    PasswordCheckJob {
        requester: requester(network, user),
        deadline_millis: Arc::new(AtomicU64::new(1000)),
        work: Box::new(|| Ok(Outcome::Rejected)),
        on_complete: Box::new(move |result| {
            finished.lock().unwrap().push((name, matches!(result, JobResult::Completed(_))))
        }),
    }
}

/// Returns the requester of a user in a network. Each network is in a block of its own.
fn requester(network: u64, user: u64) -> RequesterId {
    RequesterId { block_tag: network, network_tag: network, network_user_tag: network * 1000 + user }
}

fn completed_names(finished: &FinishedJobs) -> Vec<&'static str> {
    finished.lock().unwrap().iter().filter(|(_, done)| *done).map(|(name, _)| *name).collect()
}

#[test]
fn checks_of_networks_alternate() {
    let (pool, _, finished) = pool();
    for (name, network) in [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2)] {
        pool.submit(job(name, network, u64::from(name.ends_with('3')), &finished))
            .ok()
            .unwrap()
            .notify_dropped();
    }
    while pool.run_next() {}
    assert_eq!(completed_names(&finished), ["a1", "b1", "a3", "a2"]);
}

#[test]
fn exhausted_share_rejects_only_its_own_requester() {
    let (pool, _, finished) = pool();
    pool.submit(job("a1", 1, 1, &finished)).ok().unwrap().notify_dropped();
    pool.submit(job("a2", 1, 1, &finished)).ok().unwrap().notify_dropped();
    assert!(pool.is_full_for(requester(1, 1)));
    assert!(pool.submit(job("a3", 1, 1, &finished)).is_err());
    assert!(!pool.is_full_for(requester(1, 2)));
    pool.submit(job("a4", 1, 2, &finished)).ok().unwrap().notify_dropped();
    assert!(pool.is_full_for(requester(1, 3)));
    assert!(!pool.is_full_for(requester(2, 1)));
    while pool.run_next() {}
    assert!(!pool.is_full_for(requester(1, 1)));
}

#[test]
fn full_queue_evicts_latest_job_of_the_network_with_most_jobs() {
    let (pool, _, finished) = pool();
    for (name, network, user) in [("a1", 1, 1), ("a2", 1, 2), ("a3", 1, 3), ("b1", 2, 1)] {
        pool.submit(job(name, network, user, &finished)).ok().unwrap().notify_dropped();
    }
    pool.submit(job("c1", 3, 1, &finished)).ok().unwrap().notify_dropped();
    assert_eq!(*finished.lock().unwrap(), [("a3", false)]);
    pool.submit(job("d1", 4, 1, &finished)).ok().unwrap().notify_dropped();
    // Now every network has one, and the queue is full for all.
    assert!(pool.is_full_for(requester(5, 1)));
    assert!(pool.submit(job("e1", 5, 1, &finished)).is_err());
    while pool.run_next() {}
    assert_eq!(completed_names(&finished), ["a1", "b1", "c1", "d1"]);
}

#[test]
fn expired_check_is_dropped_unless_its_deadline_was_extfinished() {
    let (pool, clock, finished) = pool();
    let late = job("late", 1, 1, &finished);
    let wanted = job("wanted", 1, 1, &finished);
    wanted.deadline_millis.fetch_max(3000, Ordering::SeqCst);
    pool.submit(late).ok().unwrap().notify_dropped();
    pool.submit(wanted).ok().unwrap().notify_dropped();
    clock.advance(Duration::from_secs(1));
    while pool.run_next() {}
    assert_eq!(*finished.lock().unwrap(), [("late", false), ("wanted", true)]);
}

#[test]
fn panicking_check_is_an_error_and_the_thread_continues() {
    let (pool, _, finished) = pool();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&answers);
    let mut job_that_panics = job("panics", 1, 1, &finished);
    job_that_panics.work = Box::new(|| panic!("on purpose"));
    job_that_panics.on_complete = Box::new(move |result| recorded.lock().unwrap().push(result));
    pool.submit(job_that_panics).ok().unwrap().notify_dropped();
    pool.submit(job("next", 1, 1, &finished)).ok().unwrap().notify_dropped();
    while pool.run_next() {}
    assert_eq!(*answers.lock().unwrap(), [JobResult::Completed(Err(AuthnError::CheckPanicked))]);
    assert_eq!(completed_names(&finished), ["next"]);
}

#[test]
fn closed_pool_drops_waiting_jobs_and_ends_its_threads() {
    let (pool, _, finished) = pool();
    pool.submit(job("last", 1, 1, &finished)).ok().unwrap().notify_dropped();
    pool.close();
    assert_eq!(*finished.lock().unwrap(), [("last", false)]);
    assert!(pool.submit(job("after", 2, 1, &finished)).is_err());
    pool.run();
    assert!(!pool.run_next());
}

#[test]
fn networks_of_one_block_share_one_turn() {
    let (pool, _, finished) = pool();
    for (name, network) in [("a1", 1), ("a2", 2), ("a3", 3)] {
        let mut job_in_block = job(name, network, network, &finished);
        job_in_block.requester.block_tag = 9;
        pool.submit(job_in_block).ok().unwrap().notify_dropped();
    }
    pool.submit(job("b1", 4, 1, &finished)).ok().unwrap().notify_dropped();
    // The queue is full, and a new block still gets a place.
    pool.submit(job("c1", 5, 1, &finished)).ok().unwrap().notify_dropped();
    while pool.run_next() {}
    assert_eq!(completed_names(&finished), ["a1", "b1", "c1", "a2"]);
}

/// Returns a pool with two threads that tracks failures, as in production, and with this capacity.
fn dynamic_pool(capacity: usize) -> (HashPool, Clock, FinishedJobs) {
    let (clock, metrics) = (Clock::manual(), Arc::<Metrics>::default());
    let queue = Queue::with_dynamic_capacity(2, 4, clock.clone(), HashPool::queue_metrics(&metrics));
    queue.set_capacity(capacity);
    (HashPool { queue, estimator: None, clock: clock.clone(), metrics }, clock, FinishedJobs::default())
}

fn accepted_job(name: &'static str, network: u64, user: u64, finished: &FinishedJobs) -> PasswordCheckJob {
    use crate::authn::Identity;
    use crate::identity::Username;
    let identity = Identity::new(Username::parse(b"ann").unwrap(), "test".into());
    PasswordCheckJob {
        work: Box::new(|| Ok(Outcome::Accepted(Arc::new(identity)))),
        ..job(name, network, user, finished)
    }
}

/// Records `count` failed checks of `network`.
fn record_failures(pool: &HashPool, network: u64, count: u64) {
    for user in 0..count {
        pool.submit(job("failed", network, 100 + user, &FinishedJobs::default()))
            .ok()
            .unwrap()
            .notify_dropped();
        pool.run_next();
    }
}

#[test]
fn queue_capacity_follows_threads_wait_and_check_time() {
    let sizing = HashPoolSizing { threads: 2, wait_max: Duration::from_secs(5), user_share: 4 };
    assert_eq!(sizing.queue_capacity(Duration::from_millis(50)), 180);
    assert_eq!(sizing.queue_capacity(Duration::from_secs(1)), 9);
    assert_eq!(sizing.queue_capacity(Duration::from_secs(60)), 4, "two per thread");
    assert_eq!(sizing.queue_capacity(Duration::from_nanos(100)), QUEUE_CAPACITY_MAX);
}

#[test]
fn check_time_average_follows_accepted_checks_and_a_new_file_within_bounds() {
    let rules = HtpasswdParseOptions::default();
    let file = |cost: &str| {
        let line = format!("ann:$2y${cost}$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK\n");
        parse(line.into_bytes(), &rules).users
    };
    let users = Arc::new(Htpasswd::new(file("10")));
    let sizing = HashPoolSizing { threads: 2, wait_max: Duration::from_secs(5), user_share: 4 };
    let estimator = CheckTimeEstimator::new(sizing, Arc::clone(&users));
    let expected = estimator.average().expected_seconds;
    assert!(expected > 0.0);
    for _ in 0..100 {
        estimator.record(Some(Duration::from_secs(3600)));
    }
    assert!(estimator.average().seconds <= expected * 2.0, "the average is bounded");
    for _ in 0..100 {
        estimator.record(Some(Duration::from_secs_f64(expected / 2.0)));
    }
    assert!(estimator.average().seconds < expected);
    users.replace(file("12"));
    let costlier = estimator.record(None);
    assert!(
        (costlier.expected_seconds / expected - 4.0).abs() < 0.01,
        "a file of a higher cost changes the average at once"
    );
    assert!((costlier.seconds - costlier.expected_seconds).abs() < 1e-9);
}

#[test]
fn network_without_failures_can_use_the_whole_queue_field_o6() {
    let (pool, _, finished) = dynamic_pool(10);
    for user in 0..10 {
        pool.submit(accepted_job("a", 1, user, &finished)).ok().unwrap().notify_dropped();
    }
    assert!(pool.is_full_for(requester(1, 11)));
    // A check of another network still gets the next turn, and one of the waiting checks is evicted.
    pool.submit(accepted_job("b", 2, 1, &finished)).ok().unwrap().notify_dropped();
    assert_eq!(finished.lock().unwrap().len(), 1);
    while pool.run_next() {}
    assert_eq!(completed_names(&finished)[1], "b");
    assert_eq!(completed_names(&finished).len(), 10);
}

#[test]
fn blocks_with_recent_failures_get_every_fourth_turn_field_s5() {
    let (pool, _, finished) = dynamic_pool(10);
    record_failures(&pool, 1, 1);
    for (name, network) in [("x1", 1), ("x2", 1), ("a", 2), ("b", 3), ("c", 4), ("d", 5)] {
        pool.submit(job(name, network, u64::from(name.ends_with('2')), &finished))
            .ok()
            .unwrap()
            .notify_dropped();
    }
    let mut turns = Vec::new();
    while pool.run_next() {}
    turns.extend(completed_names(&finished));
    assert_eq!(turns.iter().filter(|name| name.starts_with('x')).count(), 2);
    let last = turns.iter().position(|name| *name == "x2").unwrap();
    assert!(last == 5, "{turns:?}");
    assert!(turns.iter().position(|name| *name == "x1").unwrap() <= 3, "{turns:?}");
}

#[test]
fn failing_blocks_get_a_quarter_of_the_queue_and_all_threads_but_one_field_s5() {
    let (pool, _, finished) = dynamic_pool(10);
    for network in 1..=8 {
        record_failures(&pool, network, 6);
    }
    let taken = (1..=8).filter(|network| {
        let Ok(evicted) = pool.submit(job("x", *network, 1, &finished)) else { return false };
        evicted.notify_dropped();
        true
    });
    assert_eq!(taken.count(), 3);
    let first = pool.queue.try_next().unwrap();
    assert!(pool.queue.try_next().is_none(), "the other thread is reserved for blocks without failures");
    for user in 0..8 {
        pool.submit(job("a", 20 + user, 1, &finished)).ok().unwrap().notify_dropped();
    }
    let second = pool.queue.try_next().unwrap();
    assert_eq!(second.requester.block_tag, 20);
    // The queue is full: a check of a block without failures evicts one of a block with failures.
    pool.submit(job("b", 40, 1, &finished)).ok().unwrap().notify_dropped();
    pool.submit(job("b", 41, 1, &finished)).ok().unwrap().notify_dropped();
    assert_eq!(*finished.lock().unwrap(), [("x", false)]);
    pool.queue.release_with_result(first.requester, Some(true));
    pool.queue.release_with_result(second.requester, Some(false));
    while pool.run_next() {}
    assert_eq!(finished.lock().unwrap().iter().filter(|(name, done)| *name != "x" && !done).count(), 0);
}

#[test]
fn network_that_fills_the_queue_with_guesses_has_few_hashed() {
    let (pool, _, finished) = dynamic_pool(200);
    for user in 0..200 {
        pool.submit(job("guess", 1, user, &finished)).ok().unwrap().notify_dropped();
    }
    while pool.run_next() {}
    let hashed = completed_names(&finished).len();
    assert!((10..=60).contains(&hashed), "{hashed}");
    assert_eq!(finished.lock().unwrap().len(), 200, "every check has a result");
}

#[test]
fn network_with_many_users_tolerates_ten_guessers_field_o6() {
    let (pool, _, finished) = dynamic_pool(200);
    for user in 0..150 {
        pool.submit(accepted_job("right", 1, user, &finished)).ok().unwrap().notify_dropped();
        if user % 15 == 0 {
            pool.submit(job("guess", 1, 500 + user, &finished)).ok().unwrap().notify_dropped();
        }
    }
    while pool.run_next() {}
    assert_eq!(completed_names(&finished).len(), 160);
}

#[test]
fn user_with_several_jobs_gets_one_turn_among_the_users_of_the_network() {
    let (pool, _, finished) = dynamic_pool(10);
    for (name, user) in [("x", 1), ("x", 1), ("x", 1), ("a", 2), ("b", 3), ("c", 4)] {
        pool.submit(accepted_job(name, 1, user, &finished)).ok().unwrap().notify_dropped();
    }
    while pool.run_next() {}
    assert_eq!(completed_names(&finished), ["x", "a", "b", "c", "x", "x"]);
}

#[test]
fn users_without_failures_evict_guessers_of_their_network_field_o6() {
    let (pool, _, finished) = dynamic_pool(40);
    // The failures of ten guessers reduce the share of the network to a few places.
    (0..3).for_each(|_| record_failures(&pool, 1, 10));
    let guess =
        |user: u64| pool.submit(job("guess", 1, 100 + user, &finished)).map(EvictedJob::notify_dropped);
    assert_eq!((0..10).filter(|user| guess(*user).is_ok()).count(), 4);
    for user in 0..4 {
        pool.submit(accepted_job("right", 1, user, &finished)).ok().unwrap().notify_dropped();
    }
    assert!(pool.is_full_for(requester(1, 5)), "a check of a user without failures is not evicted");
    assert!(pool.is_full_for(requester(1, 100)));
    while pool.run_next() {}
    assert_eq!(completed_names(&finished), ["right"; 4]);
    assert_eq!(finished.lock().unwrap().iter().filter(|end| **end == ("guess", false)).count(), 4);
}
