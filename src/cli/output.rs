//! The output of commands: results on stdout, errors on stderr.
//!
//! A failed write is ignored: if the stream is closed, an error message cannot be delivered either.

use std::io::{self, Write};

use serde::Serialize;

use crate::identity::escape_json;

/// Exit status for an invalid command line; clap uses the same number.
pub(super) const EXIT_USAGE: u8 = 2;

/// Prints an error as one line on stderr.
pub(super) fn print_error(message: &str) {
    let _ = writeln!(io::stderr(), "doorward: {message}");
}

/// Prints one line on stdout.
pub(super) fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes text with its line breaks to stdout. A file that another program reads must not end in the middle, so a failed
/// write is an error.
pub(super) fn write_text(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| format!("the output cannot be written: {error}"))
}

/// Prints a value as one line of JSON on stdout. Characters that can change the display of a terminal are escaped.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), String> {
    let json = serde_json::to_string(value).map_err(|error| error.to_string())?;
    print_line(&escape_json(&json));
    Ok(())
}
