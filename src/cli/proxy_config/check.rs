//! `doorward proxy-config --check FILE`: reports what is unsafe in an nginx configuration.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::cli::output::{print_error, print_line};
use crate::nginx_check::{INPUT_BYTES_MAX, check};

/// The name of stdin on the command line.
const STDIN: &str = "-";

/// The time limit for reading a file. `nginx -T` at the other end of a pipe takes seconds, if it starts at all.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Checks a file and prints the findings.
pub(super) fn run(path: &str) -> ExitCode {
    let text = match read_in_time(path) {
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
    if report.has_failed() {
        return ExitCode::FAILURE;
    }
    if report.findings.is_empty() {
        let files = if report.files == 1 { "file" } else { "files" };
        print_line(&format!("{path}: no findings in {} {files}", report.files));
    }
    ExitCode::SUCCESS
}

/// Reads a file, or a pipe such as `<(nginx -T)`. Opening a pipe without a writer would block, so a thread of its own does
/// it. stdin has no time limit.
fn read_in_time(path: &str) -> Result<String, String> {
    if path == STDIN {
        return read(io::stdin()).map_err(|error| error.to_string());
    }
    let (sender, receiver) = mpsc::channel();
    let owned = path.to_owned();
    thread::spawn(move || {
        let result = File::open(owned).and_then(read);
        // The receiver is gone after the time limit.
        let _ = sender.send(result);
    });
    match receiver.recv_timeout(READ_TIMEOUT) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err("the file does not exist".into()),
        Ok(Err(error)) => Err(format!("the file cannot be read: {error}")),
        Err(_) => Err(format!(
            "no end of the input within {} s; if it is a pipe, another program must write the output of `nginx -T` to it",
            READ_TIMEOUT.as_secs()
        )),
    }
}

/// Reads at most one byte more than the limit, which the check reports.
fn read(input: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.take(INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
