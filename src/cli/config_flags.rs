//! The flags of commands that correspond to settings, and the settings that result from flags, environment and file.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

use super::arguments::{option, option_value};
use super::output::{EXIT_USAGE, print_error};
use crate::config::layers::{ConfigLayers, ConfigSource};
use crate::config::reader::split_list;
use crate::config::setting::{ConfigValue, LayerValues, Setting};
use crate::config::table::SETTINGS;
use crate::config::unknown_setting::{SERVICE_SETTINGS, SettingNames};
use crate::config::{Config, ConfigError, ConfigOrigin};

/// Adds the flags of all settings to a command.
pub(super) fn with_all_settings(command: Command) -> Command {
    with_setting_flags(command, |_| true)
}

/// Adds the flags for the htpasswd file, its format, and the API key file.
pub(super) fn with_htpasswd_settings(command: Command) -> Command {
    with_setting_flags(command, |setting| {
        setting.key.starts_with("htpasswd") || setting.key == "api_keys.file"
    })
}

/// Adds the flags for the files that a policy decision depends on.
pub(super) fn with_policy_settings(command: Command) -> Command {
    with_setting_flags(command, |setting| {
        matches!(setting.key, "policy.file" | "groups.file" | "htpasswd.file" | "api_keys.file")
    })
}

/// Adds the flag for the API key file.
pub(super) fn with_api_key_file(command: Command) -> Command {
    with_setting_flags(command, |setting| setting.key == "api_keys.file")
}

/// Adds the flags for the API key file, and for the admin listener that reports the use of the keys.
pub(super) fn with_api_key_file_and_admin_listener(command: Command) -> Command {
    with_setting_flags(command, |setting| {
        matches!(setting.key, "api_keys.file" | "admin.listen" | "admin.token_file")
    })
}

fn with_setting_flags(command: Command, is_selected: impl Fn(&Setting) -> bool) -> Command {
    let config = option("config", "FILE", "the settings file, in TOML [env: DOORWARD_CONFIG]")
        .short('c')
        .value_hint(ValueHint::FilePath);
    let settings = SETTINGS.iter().filter(|setting| is_selected(setting));
    command.arg(config).args(settings.map(|setting| setting_flag(setting, SERVICE_SETTINGS.variable_prefix)))
}

/// Returns the flag of a setting whose variable has this prefix.
pub(super) fn setting_flag(setting: &'static Setting, variable_prefix: &str) -> Arg {
    let default = match setting.default {
        "" => String::new(),
        text => format!(" [default: {text}]"),
    };
    let variable = setting.variable_with_prefix(variable_prefix);
    Arg::new(setting.key)
        .long(setting.flag())
        .value_name(setting.placeholder)
        .help(format!("{}{default} [env: {variable}]", setting.help))
        .action(if setting.is_list { ArgAction::Append } else { ArgAction::Set })
}

/// Returns the settings that the flags of a command set. A list can be several flags or one flag with commas, as in the
/// environment.
pub(super) fn read_flags(names: SettingNames, matches: &ArgMatches) -> LayerValues {
    let mut layer = LayerValues::new();
    for setting in names.all() {
        // A command has flags for some settings only.
        let Ok(Some(values)) = matches.try_get_many::<String>(setting.key) else { continue };
        let origin = ConfigOrigin::Flag(setting.flag());
        let texts = values.flat_map(|value| match setting.is_list {
            true if split_list(value).next().is_some() => split_list(value).map(str::to_owned).collect(),
            // A flag without a value is a mistake, which the parser of the value reports.
            true | false => vec![value.clone()],
        });
        layer.insert(setting.key, texts.map(|text| ConfigValue { text, origin: origin.clone() }).collect());
    }
    layer
}

/// Returns the source of the settings, from which they can be read again.
pub(super) fn config_source(matches: &ArgMatches) -> ConfigSource {
    let layers =
        ConfigLayers::with_flags(read_flags(SERVICE_SETTINGS, matches)).with_environment(std::env::vars_os());
    ConfigSource::new(layers, config_path(matches))
}

/// Reads the settings of all layers: flags, environment and file.
pub(super) fn read_layers(matches: &ArgMatches) -> ConfigLayers {
    config_source(matches).read()
}

/// Returns the path of the settings file.
pub(super) fn config_path(matches: &ArgMatches) -> Option<String> {
    let flag = option_value(matches, "config").map(str::to_owned);
    flag.or_else(|| std::env::var("DOORWARD_CONFIG").ok().filter(|path| !path.is_empty()))
}

/// Runs a command with the settings, or prints their errors.
pub(super) fn run_with_config(matches: &ArgMatches, command: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match read_layers(matches).into_config() {
        Ok(config) => command(config),
        Err(errors) => print_config_errors(&errors),
    }
}

/// Prints all errors of the settings. An invalid flag is an error of usage and has its exit status.
pub(super) fn print_config_errors(errors: &[ConfigError]) -> ExitCode {
    for error in errors {
        print_error(&error.to_string());
    }
    let is_usage_error = errors.iter().any(|error| matches!(error.origin, ConfigOrigin::Flag(_)));
    if is_usage_error { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}
