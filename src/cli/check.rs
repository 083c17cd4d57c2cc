//! `doorward check`: reports all errors of the settings and of the files that they name, before the service starts.
//! With `--probe` it also calls the auth backends and AWS.

mod api_keys;
mod expectations;
mod file_modes;
mod htpasswd;
mod policy;
mod remote_sources;
mod signing_keys;
mod upstreams;

use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, Command, ValueHint};

use super::arguments::{option, option_value, switch};
use super::config_flags::{config_path, print_config_errors, read_layers, with_all_settings};
use super::output::print_line;
use crate::config::table::ConfigValues;

/// Warning for a listener that is not on loopback.
const NO_TLS_WARNING: &str = "other machines can reach this listener, which has no TLS; credentials can be read on the network between the listener and its peers";

/// Settings of files that can be checked alone, without settings with which `serve` could start.
const SEPARATE_FILES: [&str; 4] = ["policy.file", "groups.file", "api_keys.file", "token.signing_keys"];

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    let about = "Check the settings and all files that they name: exit 1 if there is an error";
    with_all_settings(Command::new("check").about(about)).args([
        option(
            "expect",
            "FILE",
            "a file of expected policy results, one per line: USER pull|push|delete REPOSITORY allow|deny",
        )
        .value_hint(ValueHint::FilePath),
        switch(
            "probe",
            "call each HTTP authenticator with made-up credentials, and request a token from AWS",
        ),
    ])
}

/// Options of a check.
struct CheckOptions<'a> {
    /// A file of expected policy results.
    expectations_file: Option<&'a str>,
    /// Calls the auth backends and AWS.
    probe: bool,
    /// The settings have no errors. If they have errors, only the valid part of them is checked.
    is_config_valid: bool,
    /// The command line names a file of [`SEPARATE_FILES`] and no settings file, so a source of users is not required.
    has_separate_files: bool,
}

/// Runs the command.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    // Errors of the settings do not hide errors of the files.
    let (config, config_errors) = read_layers(matches).into_partial_config();
    let config_path = config_path(matches);
    let options = CheckOptions {
        expectations_file: option_value(matches, "expect"),
        probe: matches.get_flag("probe"),
        is_config_valid: config_errors.is_empty(),
        has_separate_files: config_path.is_none()
            && SEPARATE_FILES.iter().any(|key| matches.contains_id(key)),
    };
    let is_valid = check_files(&config, &options);
    file_modes::print_notes(&config, config_path.as_deref().map(Path::new));
    if !config_errors.is_empty() {
        return print_config_errors(&config_errors);
    }
    if is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks all parts, and prints all errors of all of them. Returns true if there are none.
fn check_files(config: &ConfigValues, options: &CheckOptions<'_>) -> bool {
    let has_authenticator = !config.authenticators.is_empty();
    let requires_users = !has_authenticator
        && options.expectations_file.is_none()
        && options.is_config_valid
        && !options.has_separate_files;
    let mut is_valid = true;
    if config.htpasswd.file.is_some() || requires_users {
        is_valid &= htpasswd::check_htpasswd(config);
    }
    if !has_authenticator && options.has_separate_files {
        print_line(
            "note: no htpasswd file and no [[authenticator]] is set, so only the named files were checked",
        );
    }
    let probe = options.probe && options.is_config_valid;
    is_valid &= remote_sources::check_remote_sources(config, probe);
    is_valid &= api_keys::check_api_keys(config);
    is_valid &= upstreams::check_upstreams(config, probe);
    is_valid &= config.token.signing_keys.as_deref().is_none_or(signing_keys::check_signing_keys);
    is_valid &= match (policy::check_policy(config), options.expectations_file) {
        (Some(policy), Some(path)) => {
            expectations::check_expectations(&policy, config.policy.file.as_deref(), path)
        }
        (policy, _) => policy.is_some(),
    };
    for (key, address) in config.non_loopback_listeners() {
        print_line(&format!("{key}: warning: {address}: {NO_TLS_WARNING}"));
    }
    is_valid
}
