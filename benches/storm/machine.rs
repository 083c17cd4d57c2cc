//! The guessing machine that a cache could be: wrong guesses turned away for nothing, the right one
//! answered at once. Alice is cached; somebody in a network of which she never was guesses her password.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Answer, Connection, Sample, basic, question};
use crate::doorward::{Doorward, alice};
use crate::{Fallible, quantile, us};

const GUESSES: usize = 10_000;
/// Which of them is right: one of the last hundred.
const RIGHT: usize = 9_950;
const CONNECTIONS: usize = 16;
/// Between two guesses of one connection: all of them take longer than the first few hashes, so the
/// guesser finds his share of the queue full at first, and is throttled later on.
const PACE: Duration = Duration::from_millis(2);
/// Right and wrong guesses, in turn, whose times are compared.
const TIMED: usize = 4_000;

const HOME: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Runs the scenario and prints its figures.
pub(crate) fn run() -> Fallible<()> {
    let (doorward, home) = (Doorward::start()?, question(&alice(), HOME));
    let first = Connection::open(doorward.port)?.ask(&home)?.status;
    let stop = AtomicBool::new(false);
    let hits = doorward.metric("cache_hits_total")?;
    let (answers, times, at_home) = thread::scope(|scope| {
        let at_home = scope.spawn(|| Sample::take(doorward.port, &home, Duration::ZERO, &stop));
        let answers = guess_all(doorward.port);
        let times = answers.is_ok().then(|| time_both(doorward.port));
        stop.store(true, Ordering::Relaxed);
        (answers, times, at_home.join())
    });
    let (answers, mut at_home) = (answers?, at_home.map_err(|_| "the sampler panicked")??);
    let hits = doorward.metric("cache_hits_total")? - hits;

    let otherwise: Vec<_> = answers.iter().filter(|(_, answer)| !answer.is_limited()).collect();
    let admitted = answers.iter().filter(|(_, answer)| (200..300).contains(&answer.status)).count();
    println!("\n{GUESSES} guesses at the password of a cached user, from a network where it never was used");
    println!("  alice's own first answer                    {first}");
    for reason in ["busy", "throttled"] {
        let count = answers.iter().filter(|(_, answer)| answer.header("x-auth-reason") == reason).count();
        println!("  guesses limited as {reason:10}               {count}");
    }
    println!("  guesses answered otherwise than limited     {}", otherwise.len());
    println!("    of these admitted (target: 0)             {admitted}");
    let last = otherwise.iter().map(|(n, _)| *n).max().unwrap_or(0);
    println!("    the last of them was guess number         {last}");
    told_apart(&answers)?;
    if let Some(times) = times {
        let [mut right, mut wrong] = times?;
        let counts = [right.len(), wrong.len()];
        let (right, wrong) = (quantile(&mut right, 0.5), quantile(&mut wrong, 0.5));
        println!("  median time of a right, a wrong one         {:.1} us, {:.1} us", us(right), us(wrong));
        println!("    of these limited                          {counts:?} of {} each", TIMED / 2);
    }
    let asked = at_home.times.len();
    println!("  alice at home meanwhile                     {}", at_home.line());
    println!("  hits counted less hers (target: 0)          {}", hits.saturating_sub(asked as u64));
    Ok(())
}

fn password(n: usize) -> String {
    if n == RIGHT { "wonderland".into() } else { format!("guess-{n}") }
}

/// All guesses, in order, over a few connections.
fn guess_all(port: u16) -> Fallible<Vec<(usize, Answer)>> {
    let (next, answers) = (AtomicUsize::new(1), Mutex::new(Vec::with_capacity(GUESSES)));
    let guesser = || -> Fallible<()> {
        let mut connection = Connection::open(port)?;
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n > GUESSES {
                return Ok(());
            }
            let answer = connection.ask(&question(&basic("alice", &password(n)), ELSEWHERE))?;
            answers.lock().map_err(|_| "a guesser panicked")?.push((n, answer));
            thread::sleep(PACE);
        }
    };
    thread::scope(|scope| {
        let guessers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(guesser)).collect();
        guessers.into_iter().try_for_each(|guesser| guesser.join().map_err(|_| "a guesser panicked")?)
    })?;
    let mut answers = answers.into_inner().map_err(|_| "a guesser panicked")?;
    answers.sort_unstable_by_key(|(n, _)| *n);
    Ok(answers)
}

/// Compares the answer to the right guess with those to its neighbours, in status, headers and body.
fn told_apart(answers: &[(usize, Answer)]) -> Fallible<()> {
    let plain = |answer: &Answer| {
        let mut head = answer.head.clone();
        // Their order says nothing: it is that of a hash map with a seed of its own.
        head.sort_unstable();
        (answer.status, head, answer.body.clone())
    };
    let (_, right) = answers.iter().find(|(n, _)| *n == RIGHT).ok_or("the right guess has no answer")?;
    let near = |(n, _): &&(usize, Answer)| *n != RIGHT && n.abs_diff(RIGHT) <= 50;
    let neighbours: Vec<_> = answers.iter().filter(near).collect();
    let same = neighbours.iter().filter(|(_, answer)| plain(answer) == plain(right)).count();
    println!("  the right one was answered                  {}", plain(right).1.join(" | "));
    println!("  wrong neighbours answered exactly the same  {same} of {}", neighbours.len());
    Ok(())
}

/// How long the right and a wrong password take, in turn, once the network is throttled.
fn time_both(port: u16) -> Fallible<[Vec<Duration>; 2]> {
    let mut connection = Connection::open(port)?;
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for n in 0..TIMED {
        // As long as the right one, or its length would tell them apart.
        let password = if n % 2 == 0 { "wonderland".into() } else { format!("guess-{n:04}") };
        let request = question(&basic("alice", &password), ELSEWHERE);
        let start = Instant::now();
        let answer = connection.ask(&request)?;
        let times = if n % 2 == 0 { &mut right } else { &mut wrong };
        // Now and then a failure has leaked away, and a wrong one is hashed.
        if answer.is_limited() {
            times.push(start.elapsed());
        }
    }
    Ok([right, wrong])
}
