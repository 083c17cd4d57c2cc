//! Measures an htpasswd file of a million lines against one of ten: start, memory, a reload under load, and the processor
//! time of a cached answer.
//!
//! ```text
//! LINES=1000000    lines of the large file
//! ROUNDS=5         starts, reloads and rounds of requests to take the median of
//! ```

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Connection, basic, subrequest};
use crate::doorward::{Doorward, UNTHROTTLED};
use crate::random::Random;
use crate::reload::{replace, sampled, until, user};
use crate::{Fallible, ms, quantile, ratio, setting, us};

/// Cached requests of one round.
const REQUESTS: u32 = 20_000;

const HOME: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const BCRYPT: &str = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Runs all parts and prints their figures.
pub(crate) fn run() -> Fallible<()> {
    let (lines, rounds) = (setting("LINES", 1_000_000)?, setting("ROUNDS", 5)?);
    let dir = tempfile::tempdir()?;
    let (large, small) = (dir.path().join("large"), dir.path().join("small"));
    let known: String = (0..9).map(|n| user(&format!("user{n}"), "wonderland")).collect();
    let victim = user("victim", "wonderland");
    replace(&small, (known.clone() + &victim).as_bytes())?;
    let mut text = known.into_bytes();
    let mut random = Random(1);
    for n in 10..lines {
        // Salt and digest end in a character with fewer bits.
        let (salt, digest) = (random.text(BCRYPT, 21), random.text(BCRYPT, 30));
        text.extend_from_slice(format!("stranger{n}:$2y$04${salt}.{digest}.\n").as_bytes());
    }
    let without = text.clone();
    text.extend_from_slice(victim.as_bytes());
    replace(&large, &text)?;
    println!(
        "\nA file of {lines} lines, {:.0} MB, against ten lines; medians of {rounds}",
        text.len() as f64 / 1e6
    );
    let (many, few) = (starts(&large, rounds)?, starts(&small, rounds)?);
    row("start to ready, ms (target: 1000)", many.0, few.0);
    row("resident memory, MiB (target: 200)", many.1, few.1);
    row("  peak", many.2, few.2);
    reload(&large, [&text, &without], rounds)?;
    replace(&large, &text)?;
    hits(&large, &small, rounds)
}

fn row(what: &str, many: f64, few: f64) {
    println!("  {what:52} {many:10.1} {few:10.1}");
}

fn options() -> Vec<&'static std::ffi::OsStr> {
    UNTHROTTLED.iter().map(AsRef::as_ref).collect()
}

/// Returns medians: milliseconds to ready, resident memory when idle, and its peak.
fn starts(path: &Path, rounds: usize) -> Fallible<(f64, f64, f64)> {
    let (mut ready, mut resident, mut peak) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let doorward = Doorward::with_users(path, &options())?;
        ready.push(ms(doorward.start));
        thread::sleep(Duration::from_millis(500));
        resident.push(doorward.memory("VmRSS:")?);
        peak.push(doorward.memory("VmHWM:")?);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Ok((median(ready), median(resident), median(peak)))
}

/// Removes a user from the large file and puts it back, while a cached user sends requests.
fn reload(path: &Path, texts: [&[u8]; 2], rounds: usize) -> Fallible<()> {
    let doorward = Doorward::with_users(path, &options())?;
    let request = |name| subrequest(&basic(name, "wonderland"), HOME);
    let victim = request("victim");
    let (mut times, mut sample) = sampled(doorward.port, &request("user0"), || {
        let mut times = Vec::new();
        for _ in 0..rounds {
            for (text, status) in texts.iter().rev().zip([401, 200]) {
                replace(path, text)?;
                times.push(until(doorward.port, &victim, status, Instant::now())?);
            }
        }
        Ok(times)
    })?;
    println!(
        "  reload of one changed line, ms: median {:.0}, max {:.0}",
        ms(quantile(&mut times, 0.5)),
        ms(quantile(&mut times, 1.0))
    );
    println!("    a cached user meanwhile: {}", sample.line());
    let (resident, peak) = (doorward.memory("VmRSS:")?, doorward.memory("VmHWM:")?);
    println!("    memory afterwards: {resident:.0} MiB, peak {peak:.0} MiB");
    Ok(())
}

/// Measures the processor time of a cached answer, in turn with both files.
fn hits(large: &Path, small: &Path, rounds: usize) -> Fallible<()> {
    let doorwards = [Doorward::with_users(large, &options())?, Doorward::with_users(small, &options())?];
    let request = subrequest(&basic("user0", "wonderland"), HOME);
    let mut connections = [Connection::open(doorwards[0].port)?, Connection::open(doorwards[1].port)?];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..=rounds {
        for ((doorward, connection), times) in doorwards.iter().zip(&mut connections).zip(&mut times) {
            let begin = doorward.processor_time()?;
            for _ in 0..REQUESTS {
                if connection.ask(&request)?.status != 200 {
                    return Err("a known user was refused".into());
                }
            }
            times.push((doorward.processor_time()? - begin) / REQUESTS);
        }
    }
    // The first round warms up.
    let [many, few] = times.map(|times| quantile(&mut times.into_iter().skip(1).collect::<Vec<_>>(), 0.5));
    row("processor time of a cached answer, us", us(many), us(few));
    println!("  ratio (target: 1)                                    {:10.2}", ratio(many, few));
    Ok(())
}
