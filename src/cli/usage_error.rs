//! Messages for an invalid command line.
//!
//! Values and arguments are not quoted: one of them can be a password, and the message can end up in the log of a
//! container.

use std::process::ExitCode;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::output::{EXIT_USAGE, print_error};
use crate::config::table::SETTINGS;
use crate::config::unknown_setting::{self, NamePlace};

/// Former names of commands, and the present ones.
const RENAMED_COMMANDS: &[(&str, &str)] =
    &[("key", "api-key"), ("keys", "api-key"), ("token", "signing-key")];

/// Prints an error of the command line, or the requested help.
pub(super) fn print_usage_error(error: &Error) -> ExitCode {
    let message = match error.kind() {
        ErrorKind::UnknownArgument => Some(unknown_argument_message(error)),
        ErrorKind::InvalidSubcommand => Some(unknown_command_message(error)),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => Some(invalid_value_message(error)),
        _ => None,
    };
    match message {
        Some(message) => print_error(&format!("{message} (see --help)")),
        // The write fails only if stdout or stderr is closed.
        None => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE))
}

fn context_text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

fn unknown_argument_message(error: &Error) -> String {
    let argument = context_text(error, ContextKind::InvalidArg).unwrap_or_default();
    let Some(name) = argument.strip_prefix("--").filter(|name| !name.is_empty()) else {
        return format!("unexpected argument of {} bytes", argument.len());
    };
    let name = name.split('=').next().unwrap_or_default();
    if SETTINGS.iter().any(|setting| setting.flag() == name) {
        return format!("--{name}: this command does not have this flag");
    }
    match (unknown_setting::has_suggestion(name), context_text(error, ContextKind::SuggestedArg)) {
        (true, _) => unknown_setting::unknown_setting_message(name, NamePlace::CommandLine),
        (false, Some(suggestion)) => format!("unknown flag; did you mean \"{suggestion}\"?"),
        (false, None) => format!("unknown flag of {} bytes", argument.len()),
    }
}

fn unknown_command_message(error: &Error) -> String {
    let command = context_text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    if let Some((old, new)) = RENAMED_COMMANDS.iter().find(|(old, _)| *old == command) {
        return format!("unknown command \"{old}\"; did you mean \"doorward {new}\"?");
    }
    match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(similar)) => {
            format!("unknown command; did you mean \"{}\"?", similar.join("\" or \""))
        }
        _ => format!("unknown command of {} bytes", command.len()),
    }
}

fn invalid_value_message(error: &Error) -> String {
    // The argument as clap writes it: `--cost <N>`.
    let argument = context_text(error, ContextKind::InvalidArg).unwrap_or_default();
    match context_text(error, ContextKind::ValidValue).filter(|valid| !valid.is_empty()) {
        Some(valid) => format!("{argument}: invalid value; use one of {valid}"),
        None => format!("{argument}: invalid value"),
    }
}
