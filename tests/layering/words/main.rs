//! The check of words without cargo: `rustc --edition 2024 -O main.rs`, then `words [--totals] ROOT [PATH...]`.
//!
//! Prints the findings and the totals. The exit status is 1 if there is something to correct. `--totals` leaves the
//! findings out.

mod check;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let only_totals = arguments.first().is_some_and(|argument| argument == "--totals");
    if only_totals {
        arguments.remove(0);
    }
    let Some((root, parts)) = arguments.split_first() else {
        eprintln!("usage: words [--totals] ROOT [PATH...]");
        return ExitCode::from(2);
    };
    let report = check::run(Path::new(root), parts);
    let findings = if only_totals { String::new() } else { report.findings() };
    // A reader such as head may close the pipe.
    let _ = write!(io::stdout(), "{findings}{}", report.totals());
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
