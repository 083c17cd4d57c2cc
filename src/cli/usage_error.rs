//! Messages for an invalid command line.
//!
//! Values and arguments are not quoted: one of them can be a password, and the message can end up in the log of a
//! container.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use super::output::{EXIT_USAGE, print_error};
use crate::config::table::{self, SETTINGS};
use crate::config::unknown_setting::{NamePlace, SERVICE_SETTINGS};

/// Former names of commands, and the present ones.
const RENAMED_COMMANDS: &[(&str, &str)] =
    &[("key", "api-key"), ("keys", "api-key"), ("token", "signing-key")];

/// Prints an error of the command line `arguments`, or the requested help.
pub(super) fn print_usage_error(error: &Error, arguments: &[OsString]) -> ExitCode {
    let message = match error.kind() {
        ErrorKind::UnknownArgument => Some(unknown_argument_message(error, &selected_command(arguments))),
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

/// Former flags of commands that are not settings, and the present ones. A command has only one of the present flags
/// for a former one.
const RENAMED_FLAGS: &[(&str, &str)] = &[
    ("expires", "expires-in"),
    ("first", "if-empty"),
    ("key", "api-key"),
    ("key", "private-key"),
    ("keys", "signing-keys"),
    ("once", "marker-file"),
    ("used", "usage"),
];

/// Returns the command that the first arguments select. No command with subcommands has a flag with a value, so these
/// arguments precede all others.
fn selected_command(arguments: &[OsString]) -> Command {
    let mut command = super::command();
    for argument in arguments.iter().skip(1) {
        let Some(subcommand) = command.find_subcommand(argument) else { break };
        command = subcommand.clone();
    }
    command
}

fn unknown_argument_message(error: &Error, command: &Command) -> String {
    let argument = context_text(error, ContextKind::InvalidArg).unwrap_or_default();
    let Some(name) = argument.strip_prefix("--").filter(|name| !name.is_empty()) else {
        return format!("unexpected argument of {} bytes", argument.len());
    };
    let name = name.split('=').next().unwrap_or_default();
    if SETTINGS.iter().any(|setting| setting.flag() == name) {
        return format!("--{name}: this command does not have this flag");
    }
    let has_flag = |flag: &str| command.get_arguments().any(|argument| argument.get_long() == Some(flag));
    if let Some((_, new)) = RENAMED_FLAGS.iter().find(|(old, new)| *old == name && has_flag(new)) {
        return format!("unknown flag \"--{name}\"; did you mean \"--{new}\"?");
    }
    let has_setting = |key: &str| table::find_setting(key).is_some_and(|setting| has_flag(&setting.flag()));
    match (SERVICE_SETTINGS.has_suggestion(name, has_setting), context_text(error, ContextKind::SuggestedArg))
    {
        (true, _) => SERVICE_SETTINGS.unknown_message(name, NamePlace::CommandLine),
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
