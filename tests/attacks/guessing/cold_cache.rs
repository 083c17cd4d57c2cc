//! Many users behind one address after a restart.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::from;
use crate::support::doorward::Doorward;
use crate::support::scale::{is_full, scaled};
use crate::support::users;

/// The address that all users share.
const OFFICE: &str = "192.0.2.10";

/// The number of processes whose estimate is read.
const STARTS: usize = 5;

/// The number of attempts with as many users as the queue holds. A shared machine may be slower during one of them.
const TRIES: usize = 3;

/// The number of guessing clients among the users.
const GUESSERS: usize = 10;

/// The result of one cold start.
struct ColdStart {
    /// The time until the last user was logged in.
    took: Duration,
    /// The number of responses after which a user had to retry later.
    turned_away: usize,
    /// The fraction of the time during which the hash threads were busy.
    busy: f64,
    guesses: usize,
}

/// Guesses the password of one user until the other users are logged in.
fn guess(doorward: &Doorward, user: usize, guesses: &AtomicUsize, stop: &AtomicBool) {
    let mut client = doorward.client();
    while !stop.load(Ordering::Relaxed) {
        let number = guesses.fetch_add(1, Ordering::Relaxed);
        let answer = client.ask(&from(OFFICE, &format!("user{user}"), &format!("guess {number}")));
        assert_ne!(answer.status, 200);
        if answer.status == 403 {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Logs one user in. The client retries after the time in `Retry-After`.
fn log_in(doorward: &Doorward, user: usize, turned_away: &AtomicUsize) {
    let mut client = doorward.client();
    loop {
        let answer = client.ask(&from(OFFICE, &format!("user{user}"), "right"));
        if answer.status == 200 {
            return;
        }
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        if answer.header("x-auth-reason") != Some("busy") {
            println!("XX {user} {:?} {wait}", answer.header("x-auth-reason"));
        }
        turned_away.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(wait));
    }
}

/// Starts doorward with an empty cache. `count` users with the right password log in at once while `guessers` clients
/// guess.
fn cold_start(cost: u32, wait: &str, count: usize, guessers: usize) -> ColdStart {
    let doorward = start(cost, wait, count + guessers);
    let (turned_away, guesses) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (stop, last) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
    let barrier = Barrier::new(count + guessers);
    let begin = Instant::now();
    thread::scope(|scope| {
        for guesser in 0..guessers {
            let (doorward, barrier, stop, guesses) = (&doorward, &barrier, &stop, &guesses);
            scope.spawn(move || {
                barrier.wait();
                guess(doorward, count + guesser, guesses, stop);
            });
        }
        let users = (0..count).map(|user| {
            let (doorward, barrier, turned_away, last) = (&doorward, &barrier, &turned_away, &last);
            scope.spawn(move || {
                barrier.wait();
                log_in(doorward, user, turned_away);
                let mut last = last.lock().unwrap();
                *last = begin.elapsed().max(*last);
            })
        });
        users.collect::<Vec<_>>().into_iter().for_each(|one| one.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    let took = last.into_inner().unwrap();
    let hashed = doorward.metric("doorward_hash_check_seconds_total");
    let threads = thread::available_parallelism().map_or(2, usize::from) as f64;
    ColdStart {
        took,
        turned_away: turned_away.into_inner(),
        busy: hashed / threads / took.as_secs_f64(),
        guesses: guesses.into_inner(),
    }
}

fn start(cost: u32, wait: &str, users: usize) -> Doorward {
    let line = users::line("", "right", cost);
    let file: String = (0..users).map(|user| format!("user{user}{line}")).collect();
    let mut flags = vec!["--hash-wait-timeout", wait, "--log-denials-per-second", "0"];
    if !is_full() {
        // On a busy machine, the guesses could reach the network limit before the users are logged in. The small run
        // does not test the throttle, so its limits are raised.
        flags.extend(["--throttle-network-failures", "1000000", "--throttle-user-failures", "1000000"]);
    }
    Doorward::start(&file, &flags)
}

fn print(what: &str, count: usize, cold_start: &ColdStart) {
    println!(
        "O6: {what}: {count} users in after {:.1?}, told to come again {}, hash threads busy {:.0} %, guesses {}",
        cold_start.took,
        cold_start.turned_away,
        100.0 * cold_start.busy,
        cold_start.guesses
    );
}

#[test]
fn users_behind_one_address_log_in_at_hashing_speed_with_a_cold_cache_field_o6() {
    // A busy machine checks fewer hashes in the same time, so the small run uses wider limits.
    let (cost, long, short) =
        if is_full() { (users::USUAL, "5s", "5s") } else { (users::QUICK, "60s", "2s") };
    // The median of several estimates, because the speed of a shared machine varies.
    let place = |wait| start(cost, wait, 1).metric("doorward_hash_queue_capacity") as usize;
    let places = |wait| {
        let mut places: Vec<usize> = (0..STARTS).map(|_| place(wait)).collect();
        places.sort_unstable();
        println!("O6: places of {STARTS} starts: {places:?}");
        places[STARTS / 2]
    };
    let fitting = places(long).min(scaled(100, usize::MAX));
    let all_fit = (0..TRIES).any(|_| {
        let alone = cold_start(cost, long, fitting, 0);
        print("as many as fit", fitting, &alone);
        alone.turned_away == 0
    });
    assert!(all_fit);
    let fit = places(short);
    println!("O6: bcrypt {cost}, hash.wait_timeout {short}: N = {fit} log-ins at once");
    let many = scaled(100, 3 * fit);
    let all = cold_start(cost, short, many, 0);
    print("three times as many", many, &all);
    let guessed = cold_start(cost, short, many, GUESSERS);
    print("with ten guessers among them", many, &guessed);
    if is_full() {
        assert!(all.turned_away > 0, "not all of them fit");
        assert!(all.busy > 0.85, "the threads had nothing to do for a while");
        assert!(guessed.took <= all.took.mul_f64(1.5), "{:?}", guessed.took);
    }
}

#[test]
fn users_behind_one_address_log_in_soon_after_a_name_spray_from_it() {
    let doorward = Doorward::start(&users::two(), &["--log-denials-per-second", "0"]);
    assert_eq!(doorward.log_in("alice", "wonderland", OFFICE), 200);
    for number in 0..60 {
        doorward.log_in(&format!("name{number}"), "x", OFFICE);
    }
    let answer = doorward.ask(&from(OFFICE, "bob", "builder"));
    assert_eq!(answer.header("x-auth-reason"), Some("throttled"));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(wait <= 12, "a fiftieth of ten minutes, not {wait} s");
    assert_eq!(doorward.log_in("alice", "wonderland", OFFICE), 200, "who was in before stays in");
    assert_eq!(doorward.log_in("bob", "builder", "192.0.2.11"), 200, "and so is the address beside it");
}
