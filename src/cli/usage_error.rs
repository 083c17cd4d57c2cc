//! Messages for an invalid command line.
//!
//! Values and arguments are not quoted: one of them can be a password, and the message can end up in the log of a
//! container.

use std::process::ExitCode;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::output::{EXIT_USAGE, print_error};
use crate::config::table::{self, SETTINGS};
use crate::config::unknown_setting;

/// Prints an error of the command line, or the requested help.
pub(super) fn print_usage_error(error: &Error) -> ExitCode {
    let message = match error.kind() {
        ErrorKind::UnknownArgument => Some(unknown_argument_message(error)),
        ErrorKind::InvalidSubcommand => Some("unknown command".to_owned() + &command_suggestion(error)),
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
    let as_flag = |key: &str| {
        table::find_setting(key).map_or_else(|| key.to_owned(), |setting| format!("--{}", setting.flag()))
    };
    match (unknown_setting::has_suggestion(name), context_text(error, ContextKind::SuggestedArg)) {
        (true, _) => format!("--{name}: {}", unknown_setting::unknown_setting_message(name, &as_flag)),
        (false, Some(suggestion)) => format!("unknown flag; did you mean {suggestion}?"),
        (false, None) => format!("unknown flag of {} bytes", argument.len()),
    }
}

/// Returns the suggested commands; if there are none, all commands.
fn command_suggestion(error: &Error) -> String {
    let suggestion = context_text(error, ContextKind::SuggestedSubcommand)
        .or_else(|| context_text(error, ContextKind::ValidSubcommand));
    suggestion.map(|commands| format!("; did you mean {commands}?")).unwrap_or_default()
}

fn invalid_value_message(error: &Error) -> String {
    // The argument as clap writes it: `--cost <N>`.
    let argument = context_text(error, ContextKind::InvalidArg).unwrap_or_default();
    match context_text(error, ContextKind::ValidValue).filter(|valid| !valid.is_empty()) {
        Some(valid) => format!("{argument}: invalid value; use one of {valid}"),
        None => format!("{argument}: invalid value"),
    }
}
