//! `doorward proxy-config`: writes and checks the configuration of a proxy.

mod check;
mod nginx;

use std::process::ExitCode;

use clap::{ArgMatches, Command, ValueHint};

use super::arguments::{option, option_value};
use super::output::EXIT_USAGE;

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    Command::new("proxy-config")
        .about("Write the configuration of the proxy in front of doorward, or check one")
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
        .arg_required_else_help(true)
        .arg(
            option(
                "check",
                "FILE",
                "check the output of `nginx -T`, or one configuration file, and exit 1 if there is an error; - is stdin",
            )
            .value_hint(ValueHint::FilePath),
        )
        .subcommand(nginx::command())
}

/// Runs the command.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    match (matches.subcommand(), option_value(matches, "check")) {
        (Some(("nginx", matches)), _) => nginx::run(matches),
        (None, Some(file)) => check::run(file),
        (Some(_) | None, _) => ExitCode::from(EXIT_USAGE),
    }
}
