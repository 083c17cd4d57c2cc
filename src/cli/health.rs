//! `doorward health`: the health check of a container whose image contains no other program.

use std::process::ExitCode;

use clap::{ArgMatches, Command, ValueHint};

use super::admin_client::request_admin_listener;
use super::arguments::{option, option_value};
use super::config_flags::with_all_settings;
use super::output::{print_error, print_line};
use crate::config::Config;

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    let about = "Check whether a running doorward is ready: exit 0 if it is, 1 if not";
    with_all_settings(Command::new("health").about(about)).arg(
        option("url", "URL", "http://HOST:PORT or unix:/path [default: the first address of admin.listen]")
            .value_hint(ValueHint::Url),
    )
}

/// Requests `/readyz` of the admin listener and prints its answer.
pub(super) fn run(config: &Config, matches: &ArgMatches) -> ExitCode {
    let url = option_value(matches, "url");
    match request_admin_listener(url, config.admin.listen.first(), "/readyz", None) {
        Ok(response) => {
            let mut lines = response.lines();
            let is_ready = lines.next().is_some_and(|line| line.split(' ').nth(1) == Some("200"));
            let body = lines.skip_while(|line| !line.is_empty()).nth(1).unwrap_or("unreadable response");
            if is_ready {
                print_line(body);
                return ExitCode::SUCCESS;
            }
            print_error(&format!("not ready: {body}"));
        }
        Err(error) => print_error(&format!("not ready: {error}")),
    }
    ExitCode::FAILURE
}
