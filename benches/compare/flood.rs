//! Part `flood`: the requests of a known user while clients of many networks guess passwords.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::client::{Client, basic};
use crate::contestants::start_or_note;
use crate::samples::Recorder;
use crate::services::{Contestant, PASSWORD, Running, USER};
use crate::statistics::{maximum, next_random, quantile};
use crate::world::World;

/// The case of all samples.
pub(crate) const CASE: &str = "flood";

/// Guesses that are in flight at any time, each from a network of its own.
const GUESSES: u64 = 200;
/// Longest time that the known user or a guess waits for a response.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Time that the guesses run before the known user is measured.
const LEAD: Duration = Duration::from_millis(500);
/// A guess needs little stack.
const STACK: usize = 256 * 1024;
/// The address of the known user, which no guess has.
const KNOWN_ADDRESS: &str = "X-Forwarded-For: 203.0.113.7\r\n";

pub(crate) fn run(world: &World, recorder: &mut Recorder) -> Fallible<()> {
    let users = world.options.root.join("htpasswd.example");
    let mut contestants: Vec<Contestant> = Contestant::ALL
        .into_iter()
        .filter(|contestant| contestant.checks_bcrypt_10() && world.options.includes(contestant.name()))
        .collect();
    for round in 0..world.options.long_rounds {
        let mut missing = Vec::new();
        for contestant in &contestants {
            let Some(running) = start_or_note(world, recorder, *contestant, &users)? else {
                missing.push(*contestant);
                continue;
            };
            running.check(USER, PASSWORD)?;
            let name = contestant.name();
            let result = flood(&running, Duration::from_secs(world.options.flood_seconds))
                .map_err(|error| format!("{name}: {error}"))?;
            eprintln!(
                "round {}, {name}: {} requests, {} guesses",
                round + 1,
                result.milliseconds.len(),
                result.guesses
            );
            for (metric, value) in [
                ("p50_ms", quantile(&result.milliseconds, 0.5)),
                ("p99_ms", quantile(&result.milliseconds, 0.99)),
                ("max_ms", maximum(&result.milliseconds)),
                ("requests", result.milliseconds.len() as f64),
                ("failures", result.failures as f64),
                ("guesses", result.guesses as f64),
            ] {
                recorder.sample(CASE, name, round, metric, value)?;
            }
        }
        contestants.retain(|contestant| !missing.contains(contestant));
    }
    Ok(())
}

struct Flooded {
    /// Times of the known user's requests, failed ones included.
    milliseconds: Vec<f64>,
    failures: usize,
    /// Answered guesses.
    guesses: usize,
}

/// Guesses passwords for a time, while the known user sends one request after the other.
fn flood(running: &Running, length: Duration) -> Fallible<Flooded> {
    let (stop, guesses, admitted) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let known = format!("{KNOWN_ADDRESS}{}", basic(USER, PASSWORD));
    let mut client = Client::new(running.port, ANSWER_LIMIT);
    let status = client.get(&running.path, &known)?;
    if !(200..300).contains(&status) {
        return Err(format!("the known user was answered with {status} before the flood").into());
    }
    let (mut milliseconds, mut failures) = (Vec::new(), 0);
    thread::scope(|scope| -> Fallible<()> {
        for network in 0..GUESSES {
            let (stop, guesses, admitted) = (&stop, &guesses, &admitted);
            let guess = move || guess(running, network, stop, guesses, admitted);
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, guess).inspect_err(|_| {
                stop.store(true, Ordering::Relaxed);
            })?;
        }
        thread::sleep(LEAD);
        let start = Instant::now();
        while start.elapsed() < length {
            let sent = Instant::now();
            let is_admitted =
                client.get(&running.path, &known).is_ok_and(|status| (200..300).contains(&status));
            milliseconds.push(sent.elapsed().as_secs_f64() * 1000.0);
            failures += usize::from(!is_admitted);
        }
        stop.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    match admitted.into_inner() {
        0 => Ok(Flooded { milliseconds, failures, guesses: guesses.into_inner() }),
        count => Err(format!("{count} wrong passwords were accepted").into()),
    }
}

/// Sends one wrong password after the other: for the known user, and for names that do not exist.
fn guess(running: &Running, network: u64, stop: &AtomicBool, guesses: &AtomicUsize, admitted: &AtomicUsize) {
    let mut client = Client::new(running.port, ANSWER_LIMIT);
    let mut random = next_random(network + 1);
    while !stop.load(Ordering::Relaxed) {
        random = next_random(random);
        let unknown = format!("user-{random:x}");
        let user = if random % 2 == 0 { USER } else { &unknown };
        let credentials = basic(user, &format!("{random:x}"));
        let headers = format!("X-Forwarded-For: 198.18.{network}.9\r\n{credentials}");
        match client.get(&running.path, &headers) {
            Ok(status) => {
                guesses.fetch_add(1, Ordering::Relaxed);
                if (200..300).contains(&status) {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            }
            // A server that refuses connections must not turn this into a busy loop.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}
