//! Measures the latency of a cached answer while other clients send wrong passwords, at once and continuously.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Answer, Connection, Sample, basic, client, subrequest};
use crate::doorward::{Doorward, alice};
use crate::{Fallible, ms, quantile, ratio};

const AT_ONCE: usize = 1000;
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;

/// The address of the cached user, in a network without other clients.
const HOME: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Pause between two requests of the cached user, so that they cause little load.
const PACE: Duration = Duration::from_millis(1);

/// The duration of each phase.
const PHASE: Duration = Duration::from_secs(3);

/// The source of the requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// Each guess comes from another network.
    Many,
    /// All guesses come from one network, not that of the cached user.
    One,
    /// Requests without credentials, which cost no hash: they show the effect of the load alone.
    Anonymous,
}

/// Returns the n-th guess.
fn guess(from: From, n: usize) -> Vec<u8> {
    let wrong = basic("alice", &format!("guess-{n}"));
    match from {
        From::Many => subrequest(&wrong, client(n)),
        From::One => subrequest(&wrong, client(0)),
        From::Anonymous => subrequest("", client(n)),
    }
}

/// Counts answers by status and reason.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn add(&mut self, answer: &Answer) {
        let name = format!("{} {}", answer.status, answer.header("x-auth-reason"));
        *self.0.entry(name.trim_end().to_owned()).or_default() += 1;
    }

    fn merge(&mut self, other: Self) {
        for (name, count) in other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    fn line(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(name, count)| format!("{count} x {name}")).collect();
        parts.join(", ")
    }
}

/// Starts a doorward that has cached alice's answer.
fn start() -> Fallible<(Doorward, Vec<u8>)> {
    let (doorward, cached) = (Doorward::start()?, subrequest(&alice(), HOME));
    match Connection::open(doorward.port)?.ask(&cached)?.status {
        200 => Ok((doorward, cached)),
        status => Err(format!("alice gets {status}").into()),
    }
}

/// Runs the scenarios and prints their figures.
pub(crate) fn run() -> Fallible<()> {
    println!("\n{AT_ONCE} different wrong passwords at once, and a cached user meanwhile");
    at_once(From::Many, "each from a network of its own")?;
    at_once(From::One, "all from one network")?;
    at_once(From::Anonymous, "for comparison: no credentials")?;
    println!(
        "\n{CONNECTIONS} connections that guess continuously, and a cached user meanwhile, {ROUNDS} rounds"
    );
    continuously()
}

fn at_once(from: From, title: &str) -> Fallible<()> {
    let (doorward, cached) = start()?;
    let mut idle = Sample::take_for(doorward.port, &cached, PACE, Duration::from_secs(3))?;
    let mut connections =
        (0..AT_ONCE).map(|_| Connection::open(doorward.port)).collect::<Fallible<Vec<_>>>()?;
    let requests: Vec<_> = (0..AT_ONCE).map(|n| guess(from, n)).collect();
    let names = ["hash_checks_total", "hash_queue_full_total", "throttle_failures_total"];
    let figures = || names.iter().map(|name| doorward.metric(name)).collect::<Fallible<Vec<u64>>>();
    let before = figures()?;
    let stop = AtomicBool::new(false);
    let (meanwhile, tally, took) = thread::scope(|scope| {
        let sampler = scope.spawn(|| Sample::take(doorward.port, &cached, PACE, &stop));
        let start = Instant::now();
        let mut ask = || -> Fallible<Tally> {
            for (connection, request) in connections.iter_mut().zip(&requests) {
                connection.send(request)?;
            }
            let mut tally = Tally::default();
            for connection in &mut connections {
                tally.add(&connection.receive()?);
            }
            Ok(tally)
        };
        let (tally, took) = (ask(), start.elapsed());
        stop.store(true, Ordering::Relaxed);
        (sampler.join(), tally, took)
    });
    let (mut meanwhile, tally) = (meanwhile.map_err(|_| "the sampler panicked")??, tally?);
    let grown = figures()?.into_iter().zip(before).map(|(after, before)| after - before);
    println!("  {title}: {}", tally.line());
    let grown: Vec<_> = names.iter().zip(grown).map(|(name, n)| format!("{name} +{n}")).collect();
    println!("    {}; the last one answered after {:.0} ms", grown.join(", "), ms(took));
    println!("    cached user, idle       {}", idle.line());
    println!("    cached user, meanwhile  {}", meanwhile.line());
    println!("    p99 to idle             {:.2}", ratio(meanwhile.p99(), idle.p99()));
    Ok(())
}

/// Guesses over many connections for a fixed time, and samples the cached user meanwhile.
fn guess_for(
    port: u16,
    cached: &[u8],
    from: From,
    pause: Duration,
    next: &AtomicUsize,
) -> Fallible<(Sample, Tally)> {
    let stop = AtomicBool::new(false);
    let guesser = || -> Fallible<Tally> {
        let (mut connection, mut tally) = (Connection::open(port)?, Tally::default());
        while !stop.load(Ordering::Relaxed) {
            let request = guess(from, next.fetch_add(1, Ordering::Relaxed));
            tally.add(&connection.ask(&request)?);
            thread::sleep(pause);
        }
        Ok(tally)
    };
    thread::scope(|scope| {
        let guessers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(guesser)).collect();
        // The first answers bring the throttle and the queue to their steady state.
        thread::sleep(Duration::from_millis(300));
        let sample = Sample::take_for(port, cached, PACE, PHASE);
        stop.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        for guesser in guessers {
            tally.merge(guesser.join().map_err(|_| "a guesser panicked")??);
        }
        Ok((sample?, tally))
    })
}

fn continuously() -> Fallible<()> {
    // 64 connections with a pause of 64 ms send 1,000 requests a second.
    let (none, thousand) = (Duration::ZERO, Duration::from_millis(64));
    let phases = [
        (From::Many, none, "guesses from many networks, no pause"),
        (From::One, thousand, "guesses from one, 1,000 a second"),
        (From::Anonymous, thousand, "no credentials, 1,000 a second"),
        (From::One, none, "guesses from one, no pause"),
        (From::Anonymous, none, "no credentials, no pause"),
    ];
    let (doorward, cached) = start()?;
    let next = AtomicUsize::new(0);
    let mut idle = Vec::new();
    let mut p99s = phases.map(|_| Vec::new());
    for round in 1..=ROUNDS {
        let mut sample = Sample::take_for(doorward.port, &cached, PACE, PHASE)?;
        println!("  round {round}, {:36} {}", "idle", sample.line());
        idle.push(sample.p99());
        for ((from, pause, title), p99s) in phases.iter().zip(&mut p99s) {
            let (mut sample, tally) = guess_for(doorward.port, &cached, *from, *pause, &next)?;
            println!("  round {round}, {title:36} {}", sample.line());
            println!("           answers to the {CONNECTIONS}: {}", tally.line());
            p99s.push(sample.p99());
        }
    }
    let idle = quantile(&mut idle, 0.5);
    println!("  p99 to idle, medians of the rounds");
    for ((from, _, title), mut p99s) in phases.into_iter().zip(p99s) {
        let target = if from == From::Anonymous { "for comparison" } else { "target: 1.2 or less" };
        println!("    {title:40} {:.2}   ({target})", ratio(quantile(&mut p99s, 0.5), idle));
    }
    Ok(())
}
