//! The command line: its words, made from the table of settings, and what each command does.

mod api_key;
pub mod check;
mod expect;
mod explain;
pub mod health;
mod permissions;
mod probe;
pub mod serve;
mod signing_key;
pub mod upstreams;
mod usage;
mod user;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use serde::Serialize;

use crate::authn::htpasswd::write::{WriteFault, Writer};
use crate::config::layers::{Layer, Layers};
use crate::config::setting::Given;
use crate::config::table::{SETTINGS, Setting};
use crate::config::{Fault, Origin};
use crate::identity::escape_json;

/// What was asked for can't be understood (BSD's and clap's own).
const USAGE: u8 = 2;

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
        .subcommand(with_settings(Command::new("serve").about("Answer nginx")))
        .subcommand(with_settings(
            Command::new("check").about(
                "Check the settings and the files that they name: every fault at once, exit 1 if there is one",
            ),
        )
        .arg(expect)
        .arg(probe))
        .subcommand(explain::command(with_policy_settings))
        .subcommand(
            with_settings(
                Command::new("health").about("Ask a running doorward whether it is ready: exit 0 if so"),
            )
            .arg(url),
        )
        .subcommand(user::command(with_htpasswd_settings))
        .subcommand(api_key::command(with_key_settings))
        .subcommand(signing_key::command())
        .subcommand(Command::new("completions").about("Print completions for a shell").arg(shell))
}

/// All settings.
fn with_settings(command: Command) -> Command {
    with(command, |_| true)
}

/// Those that say where the htpasswd file is and how it is read, and where its users' keys are.
fn with_htpasswd_settings(command: Command) -> Command {
    with(command, |setting| setting.key.starts_with("htpasswd") || setting.key == "keys")
}

/// Those that say where the policy is, the users and the keys.
fn with_policy_settings(command: Command) -> Command {
    with(command, |setting| matches!(setting.key, "policy" | "groups" | "htpasswd" | "keys"))
}

/// Those that say where the keys are, and where they may be asked for.
fn with_key_settings(command: Command) -> Command {
    with(command, |setting| matches!(setting.key, "keys" | "admin.listen" | "admin.token_file"))
}

fn with(command: Command, wanted: impl Fn(&Setting) -> bool) -> Command {
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
            .action(if setting.many { ArgAction::Append } else { ArgAction::Set })
    });
    command.arg(config).args(settings)
}

/// What was given on the command line of a subcommand.
fn flags(matches: &ArgMatches) -> Layer {
    let mut layer = Layer::new();
    for setting in SETTINGS {
        // A command has only some of the flags.
        let Ok(Some(values)) = matches.try_get_many::<String>(setting.key) else { continue };
        let origin = Origin::Flag(setting.flag());
        // A list may also be given as in the environment, with commas.
        let texts = values.flat_map(|value| match setting.many {
            true => value.split(',').map(|part| part.trim().to_owned()).collect(),
            false => vec![value.clone()],
        });
        layer.insert(setting.key, texts.map(|text| Given { text, origin: origin.clone() }).collect());
    }
    layer
}

/// The settings of all layers.
fn layers(matches: &ArgMatches) -> Layers {
    let layers = Layers::with_flags(flags(matches)).with_environment(std::env::vars_os());
    match config(matches) {
        Some(path) => layers.with_file(&path),
        None => layers,
    }
}

/// The settings file.
fn config(matches: &ArgMatches) -> Option<String> {
    let config = matches.get_one::<String>("config").cloned();
    config.or_else(|| std::env::var("DOORWARD_CONFIG").ok().filter(|path| !path.is_empty()))
}

/// Runs the command that `arguments` ask for.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return usage::tell(&error),
    };
    match matches.subcommand() {
        Some(("completions", matches)) => completions(matches),
        Some(("token", matches)) => match matches.subcommand() {
            Some((what, matches)) => signing_key::run(what, matches),
            None => ExitCode::from(USAGE),
        },
        Some((noun @ ("user" | "key"), matches)) => match matches.subcommand() {
            Some((what, matches)) => match layers(matches).settle() {
                Ok(settings) if noun == "key" => api_key::run(what, matches, &settings),
                Ok(settings) => user::run(what, matches, &settings),
                Err(faults) => report(&faults),
            },
            None => ExitCode::from(USAGE),
        },
        Some(("check", matches)) => {
            // Every fault at once: those of the settings do not hide those of the htpasswd file.
            let (settings, faults) = layers(matches).read();
            let expect = matches.get_one::<String>("expect").map(String::as_str);
            let named = |key: &str| matches.contains_id(key);
            let files = config(matches).is_none()
                && ["policy", "groups", "keys", "token.keys"].into_iter().any(named);
            let checked = check::run(&settings, expect, matches.get_flag("probe"), faults.is_empty(), files);
            permissions::run(&settings, config(matches).as_deref().map(Path::new));
            if faults.is_empty() { checked } else { report(&faults) }
        }
        Some((name, matches)) => match layers(matches).settle() {
            Ok(settings) if name == "serve" => serve::run(settings),
            Ok(settings) if name == "explain" => explain::run(&settings, matches),
            Ok(settings) => health::run(&settings, matches.get_one::<String>("url").map(String::as_str)),
            Err(faults) => report(&faults),
        },
        None => ExitCode::from(USAGE),
    }
}

/// Tells every fault. A flag that can't be read is a matter of usage.
fn report(faults: &[Fault]) -> ExitCode {
    for fault in faults {
        complain(&fault.to_string());
    }
    let usage = faults.iter().any(|fault| matches!(fault.origin, Origin::Flag(_)));
    if usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

/// One line on stderr.
fn complain(what: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "doorward: {what}");
}

/// One line on stdout.
fn say(what: &str) {
    // The same.
    let _ = writeln!(std::io::stdout(), "{what}");
}

/// Something as one line of JSON on stdout, safe for a terminal.
fn say_json(told: &impl Serialize) -> Result<(), String> {
    let json = serde_json::to_string(told).map_err(|error| error.to_string())?;
    say(&escape_json(&json));
    Ok(())
}

/// Opens a file to change it, and says which one it is if the path is a link.
fn open_to_change(path: &Path, create: bool) -> Result<Writer, WriteFault> {
    let writer = Writer::open(path, create)?;
    if let Some(target) = writer.link_target() {
        complain(&format!("{} is a link; what is changed is {}", path.display(), target.display()));
    }
    Ok(writer)
}

fn completions(matches: &ArgMatches) -> ExitCode {
    let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") else {
        return ExitCode::from(USAGE);
    };
    clap_complete::generate(*shell, &mut command(), "doorward", &mut std::io::stdout());
    ExitCode::SUCCESS
}
