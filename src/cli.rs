//! The command line: all commands, and the function that runs the selected one.

mod admin_client;
mod api_key;
mod arguments;
mod check;
mod config_flags;
mod explain;
mod health;
mod output;
mod proxy_config;
mod serve;
mod signing_key;
mod usage_error;
mod user;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use self::config_flags::{config_source, run_with_config, with_all_settings};
use self::output::{EXIT_USAGE, print_error};
use crate::atomic_write::{AtomicFileWriter, FileWriteError};

/// Returns the definition of the command line.
fn command() -> Command {
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(clap_complete::Shell));
    Command::new("doorward")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Authenticates and authorizes requests for the auth_request module of nginx")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_all_settings(Command::new("serve").about("Run the service")))
        .subcommand(check::command())
        .subcommand(explain::command())
        .subcommand(health::command())
        .subcommand(user::command())
        .subcommand(api_key::command())
        .subcommand(signing_key::command())
        .subcommand(proxy_config::command())
        .subcommand(Command::new("completions").about("Print the completion script for a shell").arg(shell))
}

/// Parses the arguments of the program and runs the selected command.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let matches = match command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return usage_error::print_usage_error(&error, &arguments),
    };
    match matches.subcommand() {
        Some(("serve", matches)) => {
            run_with_config(matches, |config| serve::run(config, config_source(matches)))
        }
        Some(("check", matches)) => check::run(matches),
        Some(("explain", matches)) => run_with_config(matches, |config| explain::run(&config, matches)),
        Some(("health", matches)) => run_with_config(matches, |config| health::run(&config, matches)),
        Some(("user", matches)) => run_action(matches, |action, matches| {
            run_with_config(matches, |config| user::run(action, matches, &config))
        }),
        Some(("api-key", matches)) => run_action(matches, |action, matches| {
            run_with_config(matches, |config| api_key::run(action, matches, &config))
        }),
        Some(("signing-key", matches)) => run_action(matches, signing_key::run),
        Some(("proxy-config", matches)) => proxy_config::run(matches),
        Some(("completions", matches)) => print_completions(matches),
        Some(_) | None => ExitCode::from(EXIT_USAGE),
    }
}

/// Runs the action of a command that has several, such as `user add`.
fn run_action(matches: &ArgMatches, run: impl FnOnce(&str, &ArgMatches) -> ExitCode) -> ExitCode {
    match matches.subcommand() {
        Some((action, matches)) => run(action, matches),
        None => ExitCode::from(EXIT_USAGE),
    }
}

/// Opens a file for a change. Prints the path of the changed file if the given path is a link.
fn open_for_update(path: &Path, create: bool) -> Result<AtomicFileWriter, FileWriteError> {
    let writer = AtomicFileWriter::open(path, create)?;
    if let Some(target) = writer.link_target() {
        print_error(&format!("{} is a link; the changed file is {}", path.display(), target.display()));
    }
    Ok(writer)
}

fn print_completions(matches: &ArgMatches) -> ExitCode {
    let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") else {
        return ExitCode::from(EXIT_USAGE);
    };
    clap_complete::generate(*shell, &mut command(), "doorward", &mut io::stdout());
    ExitCode::SUCCESS
}
