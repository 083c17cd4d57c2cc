//! Storms of log-ins against a doorward of its own, started from `target/release`, and what became of them.
//!
//! ```text
//! storm                           the next three
//! storm simultaneous              1,000 first requests of one user at once
//! storm guesses                   wrong passwords, at once and continuously, and a cached user meanwhile
//! storm machine                   10,000 guesses at the password of a user whose answer is cached
//! storm outage                    the service that an http authenticator asks goes away under load; for outage.sh
//! storm memory                    where passwords stay in doorward's memory, as root; for memory.sh
//! storm load PORT PATH SECONDS    right and wrong credentials through nginx at PORT, for faults.sh
//! ```
//!
//! Client and server share the machine, so figures mean something only beside others of the same run.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for the command line")]

mod backend;
mod client;
mod doorward;
mod guesses;
mod load;
mod machine;
mod memory;
mod outage;
mod simultaneous;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Any error will do: it ends the program, and is printed.
pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    allow_many_connections();
    let done = match args.as_slice() {
        [] => simultaneous::run().and_then(|()| guesses::run()).and_then(|()| machine::run()),
        ["simultaneous"] => simultaneous::run(),
        ["guesses"] => guesses::run(),
        ["machine"] => machine::run(),
        ["outage"] => outage::run(),
        ["memory"] => memory::run(),
        ["load", port, path, seconds] => load::run(port, path, seconds),
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

/// 1,024 open files are a common limit; here and in the doorward that inherits it, more are needed.
fn allow_many_connections() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("storm: the limit on open files stays as it is: {error}");
    }
}

/// The value below which the share `q` of `times` lies.
pub(crate) fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort_unstable();
    let index = (times.len().saturating_sub(1) as f64 * q).round() as usize;
    times.get(index).copied().unwrap_or_default()
}

/// Milliseconds, for people.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Microseconds, for people.
pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// How many times `b` is in `a`.
pub(crate) fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}
