//! A command line that can't be understood: what is said of it. Values and words are not quoted, since a password may
//! stand among them, and the line may go into the log of a container.

use std::process::ExitCode;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{EXIT_USAGE, print_error};
use crate::config::table::{self, SETTINGS};
use crate::config::unknown_setting;

/// Says what is wrong, or shows the help that was asked for.
pub(super) fn print_usage_error(error: &Error) -> ExitCode {
    let told = match error.kind() {
        ErrorKind::UnknownArgument => Some(unknown_argument_message(error)),
        ErrorKind::InvalidSubcommand => {
            Some("there is no such command".to_owned() + &command_suggestion(error))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => Some(invalid_value_message(error)),
        _ => None,
    };
    match told {
        Some(what) => print_error(&format!("{what}; see --help")),
        // If stdout and stderr are closed, nobody reads it.
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
        return format!("a word of {} bytes is not expected here", argument.len());
    };
    let name = name.split('=').next().unwrap_or_default();
    if SETTINGS.iter().any(|setting| setting.flag() == name) {
        return format!("--{name}: this command does not take it");
    }
    let as_flag = |key: &str| {
        table::find_setting(key).map_or_else(|| key.to_owned(), |one| format!("--{}", one.flag()))
    };
    match (unknown_setting::has_suggestion(name), context_text(error, ContextKind::SuggestedArg)) {
        (true, _) => format!("--{name}: {}", unknown_setting::unknown_setting_message(name, &as_flag)),
        (false, Some(meant)) => format!("there is no such flag; you may mean {meant}"),
        (false, None) => format!("a flag of {} bytes is not known", argument.len()),
    }
}

/// What may have been meant in the place of a command.
fn command_suggestion(error: &Error) -> String {
    let known = context_text(error, ContextKind::SuggestedSubcommand)
        .or_else(|| context_text(error, ContextKind::ValidSubcommand));
    known.map(|known| format!("; you may mean {known}")).unwrap_or_default()
}

fn invalid_value_message(error: &Error) -> String {
    // The name of the argument, as clap writes it: `--cost <N>`.
    let argument = context_text(error, ContextKind::InvalidArg).unwrap_or_default();
    match context_text(error, ContextKind::ValidValue).filter(|known| !known.is_empty()) {
        Some(known) => format!("{argument}: it takes one of {known}"),
        None => format!("{argument}: it does not take this value"),
    }
}
