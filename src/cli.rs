//! The command line: its words, made from the table of settings, and what each command does.

mod api_key;
pub mod check;
mod check_auth_backends;
pub mod check_upstreams;
mod expectations;
mod explain;
mod file_modes;
pub mod health;
pub mod serve;
mod signing_key;
mod usage_error;
mod user;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use serde::Serialize;

use crate::atomic_write::{AtomicFileWriter, FileWriteError};
use crate::config::layers::{ConfigLayers, ConfigSource};
use crate::config::setting::{ConfigValue, LayerValues, Setting};
use crate::config::table::SETTINGS;
use crate::config::{ConfigError, ConfigOrigin};
use crate::identity::escape_json;

/// What was asked for can't be understood (BSD's and clap's own).
const EXIT_USAGE: u8 = 2;

/// The whole command line.
pub fn command() -> Command {
    let url = Arg::new("url")
        .long("url")
        .value_name("URL")
        .help("http://HOST:PORT or unix:/path, instead of the first admin listener");
    let expect = Arg::new("expect")
        .long("expect")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .help("what the policy should say, one a line: WHO pull|push|delete REPOSITORY allow|deny");
    let probe = Arg::new("probe")
        .long("probe")
        .action(ArgAction::SetTrue)
        .help("ask each HTTP authenticator about a user and a password that are made up");
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(clap_complete::Shell));
    Command::new("doorward")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Answers nginx's auth_request from an htpasswd file, or by asking a service of yours")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_all_settings(Command::new("serve").about("Answer nginx")))
        .subcommand(with_all_settings(
            Command::new("check").about(
                "Check the settings and the files that they name: every fault at once, exit 1 if there is one",
            ),
        )
        .arg(expect)
        .arg(probe))
        .subcommand(explain::command(with_policy_settings))
        .subcommand(
            with_all_settings(
                Command::new("health").about("Ask a running doorward whether it is ready: exit 0 if so"),
            )
            .arg(url),
        )
        .subcommand(user::command(with_htpasswd_settings))
        .subcommand(api_key::command(with_api_key_settings))
        .subcommand(signing_key::command())
        .subcommand(Command::new("completions").about("Print completions for a shell").arg(shell))
}

/// All settings.
fn with_all_settings(command: Command) -> Command {
    with_setting_flags(command, |_| true)
}

/// Those that say where the htpasswd file is and how it is read, and where its users' keys are.
fn with_htpasswd_settings(command: Command) -> Command {
    with_setting_flags(command, |setting| {
        setting.key.starts_with("htpasswd") || setting.key == "api_keys.file"
    })
}

/// Those that say where the policy is, the users and the keys.
fn with_policy_settings(command: Command) -> Command {
    with_setting_flags(command, |setting| {
        matches!(setting.key, "policy.file" | "groups.file" | "htpasswd.file" | "api_keys.file")
    })
}

/// Those that say where the keys are, and where they may be asked for.
fn with_api_key_settings(command: Command) -> Command {
    with_setting_flags(command, |setting| {
        matches!(setting.key, "api_keys.file" | "admin.listen" | "admin.token_file")
    })
}

fn with_setting_flags(command: Command, wanted: impl Fn(&Setting) -> bool) -> Command {
    let config = Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .help("the settings file, in TOML [env: DOORWARD_CONFIG]");
    let settings = SETTINGS.iter().filter(|setting| wanted(setting)).map(|setting| {
        let default = match setting.default {
            "" => String::new(),
            text => format!(" [default: {text}]"),
        };
        Arg::new(setting.key)
            .long(setting.flag())
            .value_name(setting.placeholder)
            .help(format!("{}{default} [env: {}]", setting.help, setting.variable()))
            .action(if setting.is_list { ArgAction::Append } else { ArgAction::Set })
    });
    command.arg(config).args(settings)
}

/// What was given on the command line of a subcommand.
fn read_flags(matches: &ArgMatches) -> LayerValues {
    let mut layer = LayerValues::new();
    for setting in SETTINGS {
        // A command has only some of the flags.
        let Ok(Some(values)) = matches.try_get_many::<String>(setting.key) else { continue };
        let origin = ConfigOrigin::Flag(setting.flag());
        // A list may also be given as in the environment, with commas.
        let texts = values.flat_map(|value| match setting.is_list {
            true => value.split(',').map(|part| part.trim().to_owned()).collect(),
            false => vec![value.clone()],
        });
        layer.insert(setting.key, texts.map(|text| ConfigValue { text, origin: origin.clone() }).collect());
    }
    layer
}

/// Returns where the configuration comes from.
fn config_source(matches: &ArgMatches) -> ConfigSource {
    let layers = ConfigLayers::with_flags(read_flags(matches)).with_environment(std::env::vars_os());
    ConfigSource::new(layers, config_path(matches))
}

/// The settings of all layers.
fn read_layers(matches: &ArgMatches) -> ConfigLayers {
    config_source(matches).read()
}

/// The settings file.
fn config_path(matches: &ArgMatches) -> Option<String> {
    let config = matches.get_one::<String>("config").cloned();
    config.or_else(|| std::env::var("DOORWARD_CONFIG").ok().filter(|path| !path.is_empty()))
}

/// Runs the command that `arguments` ask for.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return usage_error::print_usage_error(&error),
    };
    match matches.subcommand() {
        Some(("completions", matches)) => print_completions(matches),
        Some(("signing-key", matches)) => match matches.subcommand() {
            Some((what, matches)) => signing_key::run(what, matches),
            None => ExitCode::from(EXIT_USAGE),
        },
        Some((noun @ ("user" | "api-key"), matches)) => match matches.subcommand() {
            Some((what, matches)) => match read_layers(matches).into_config() {
                Ok(settings) if noun == "api-key" => api_key::run(what, matches, &settings),
                Ok(settings) => user::run(what, matches, &settings),
                Err(faults) => print_config_errors(&faults),
            },
            None => ExitCode::from(EXIT_USAGE),
        },
        Some(("check", matches)) => {
            // Every fault at once: those of the settings do not hide those of the htpasswd file.
            let (settings, faults) = read_layers(matches).into_partial_config();
            let expect = matches.get_one::<String>("expect").map(String::as_str);
            let named = |key: &str| matches.contains_id(key);
            let files = config_path(matches).is_none()
                && ["policy.file", "groups.file", "api_keys.file", "token.signing_keys"]
                    .into_iter()
                    .any(named);
            let checked =
                check::run_check(&settings, expect, matches.get_flag("probe"), faults.is_empty(), files);
            file_modes::print_notes(&settings, config_path(matches).as_deref().map(Path::new));
            if faults.is_empty() { checked } else { print_config_errors(&faults) }
        }
        Some((name, matches)) => match read_layers(matches).into_config() {
            Ok(settings) if name == "serve" => serve::run(settings, config_source(matches)),
            Ok(settings) if name == "explain" => explain::run(&settings, matches),
            Ok(settings) => health::run(&settings, matches.get_one::<String>("url").map(String::as_str)),
            Err(faults) => print_config_errors(&faults),
        },
        None => ExitCode::from(EXIT_USAGE),
    }
}

/// Tells every fault. A flag that can't be read is a matter of usage.
fn print_config_errors(faults: &[ConfigError]) -> ExitCode {
    for fault in faults {
        print_error(&fault.to_string());
    }
    let usage = faults.iter().any(|fault| matches!(fault.origin, ConfigOrigin::Flag(_)));
    if usage { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

/// One line on stderr.
fn print_error(what: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "doorward: {what}");
}

/// One line on stdout.
fn print_line(what: &str) {
    // The same.
    let _ = writeln!(std::io::stdout(), "{what}");
}

/// Something as one line of JSON on stdout, safe for a terminal.
fn print_json(told: &impl Serialize) -> Result<(), String> {
    let json = serde_json::to_string(told).map_err(|error| error.to_string())?;
    print_line(&escape_json(&json));
    Ok(())
}

/// Opens a file to change it, and says which one it is if the path is a link.
fn open_for_update(path: &Path, create: bool) -> Result<AtomicFileWriter, FileWriteError> {
    let writer = AtomicFileWriter::open(path, create)?;
    if let Some(target) = writer.link_target() {
        print_error(&format!("{} is a link; what is changed is {}", path.display(), target.display()));
    }
    Ok(writer)
}

fn print_completions(matches: &ArgMatches) -> ExitCode {
    let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") else {
        return ExitCode::from(EXIT_USAGE);
    };
    clap_complete::generate(*shell, &mut command(), "doorward", &mut std::io::stdout());
    ExitCode::SUCCESS
}
