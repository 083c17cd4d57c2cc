//! The arguments that several commands have, and the exit status of a command.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches};

use super::output::print_error;

/// Returns the definition of a flag with a value: `--NAME VALUE`.
pub(super) fn option(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).help(help)
}

/// Returns the definition of a flag without a value: `--NAME`.
pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// Returns the definition of the flag `--json`.
pub(super) fn json_switch() -> Arg {
    switch("json", "write JSON")
}

/// Returns the value of an argument; `None` if it was not given or if the command does not have it.
pub(super) fn option_value<'m>(matches: &'m ArgMatches, name: &str) -> Option<&'m str> {
    matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

/// Prints the error of a command and returns its exit status.
pub(super) fn exit_code(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Converts an error to its message. A command reports all its errors as text.
pub(super) fn error_message(error: impl ToString) -> String {
    error.to_string()
}
