//! `doorward proxy-config --check FILE`: reports what is unsafe in an nginx configuration.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

use crate::cli::output::{print_error, print_line};
use crate::nginx_check::{INPUT_BYTES_MAX, check};

/// The name of stdin on the command line.
const STDIN: &str = "-";

/// Checks a file and prints the findings.
pub(super) fn run(path: &str) -> ExitCode {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => {
            print_error(&format!("{path}: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let report = check(&text, path);
    for finding in &report.findings {
        print_line(&finding.to_string());
    }
    for note in &report.notes {
        print_line(&format!("note: {note}"));
    }
    if report.has_errors() {
        return ExitCode::FAILURE;
    }
    if report.findings.is_empty() {
        print_line(&format!("{path}: no findings in {} files", report.files));
    }
    ExitCode::SUCCESS
}

/// Reads at most one byte more than the limit, which the check reports.
fn read(path: &str) -> io::Result<String> {
    let input: Box<dyn Read> =
        if path == STDIN { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut bytes = Vec::new();
    input.take(INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
