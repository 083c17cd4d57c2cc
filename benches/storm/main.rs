//! Measures doorward as a process under load. It starts its own doorward from `target/release` (or `$DOORWARD`).
//!
//! ```text
//! cargo bench --bench storm                   the first two
//! cargo bench --bench storm -- first          1,000 first requests of one user at once: number of hashes, time
//! cargo bench --bench storm -- guesses        a cached answer's p99 while others guess passwords
//! cargo bench --bench storm -- reload         time until a changed file is in force, and what other users notice
//! cargo bench --bench storm -- million        a million users: start, memory, reload, processor time of a cached answer
//! cargo bench --bench storm -- refusals       whether the time of a refusal reveals users or API keys
//! cargo bench --bench storm -- memory         passwords left in doorward's memory; needs root
//!
//! 1000 simultaneous first requests of one user (bcrypt, cost 10), 5 rounds
//!   hashes in each round (target: 1)          [1, 1, 1, 1, 1]
//! ```
//!
//! Client and server share the machine, so compare figures of one run only. A missed target is printed and fails nothing.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command-line program")]

mod api_keys;
mod client;
mod doorward;
mod first_requests;
mod guesses;
mod memory;
mod million;
mod random;
mod refusals;
mod reload;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Any error ends the program and is printed.
pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    allow_many_connections();
    let done = match args.as_slice() {
        [] => first_requests::run().and_then(|()| guesses::run()),
        ["first"] => first_requests::run(),
        ["guesses"] => guesses::run(),
        ["reload"] => reload::run(),
        ["million"] => million::run(),
        ["refusals"] => refusals::run(),
        ["memory"] => memory::run(),
        _ => Err("unknown arguments; the top of benches/storm/main.rs lists them".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Raises the limit on open files, which is often 1,024; the doorward that is started inherits it.
fn allow_many_connections() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("storm: the limit on open files could not be raised: {error}");
    }
}

/// Returns a number from a variable of the environment.
pub(crate) fn setting(name: &str, default: usize) -> Fallible<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is no number").into()),
        Err(_) => Ok(default),
    }
}

/// Returns the value below which the share `q` of `times` lies.
pub(crate) fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort_unstable();
    let index = (times.len().saturating_sub(1) as f64 * q).round() as usize;
    times.get(index).copied().unwrap_or_default()
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Microseconds.
pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns `a / b`.
pub(crate) fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}
