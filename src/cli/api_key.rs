//! `doorward api-key`: creates, lists and revokes API keys in the API key file. A running doorward can read the file at
//! the same time.

mod list;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use serde::Serialize;

use self::list::{ApiKeySummary, list_api_keys};
use super::arguments::{error_message, exit_code, json_switch, option, option_value, switch};
use super::config_flags::{with_api_key_file, with_api_key_file_and_admin_listener};
use super::open_for_update;
use super::output::{print_error, print_json, print_line};
use crate::atomic_write::AtomicFileWriter;
use crate::authn::api_key::edit;
use crate::authn::api_key::file::{ApiKeyLine, ParsedApiKeys, check_api_key_name, parse};
use crate::authn::api_key::format::{ApiKeyId, generate_api_key, has_api_key_prefix};
use crate::authn::api_key::reload::validate;
use crate::config::Config;
use crate::identity::{Username, sanitize_for_display};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::SourceFile;

/// Maximum value of `--expires-in`. A key without `--expires-in` does not expire.
const LIFETIME_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Warning for a scope that permits push without pull.
pub(super) const PUSH_WITHOUT_PULL_WARNING: &str =
    "a push also requires pull, and the scope permits only push; write pull,push:REPOSITORY";

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    let owner = || option("owner", "USER", "the user that owns the key");
    Command::new("api-key")
        .about("Manage the API keys in a file; a running doorward can read it at the same time")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            with_api_key_file(Command::new("new").about("Create an API key and print it once")).args([
                owner().required(true),
                option("name", "NAME", "a name for the key, unique for its owner").required(true),
                option("expires-in", "TIME", "lifetime of the key, such as 90d [default: no expiry]"),
                option(
                    "scope",
                    "RIGHT",
                    "a permission such as pull,push:team/**, catalog or GET:/docs/**; can be repeated [default: all \
                     permissions of the owner]",
                )
                .action(ArgAction::Append),
                switch("create", "create the file if it does not exist"),
                json_switch(),
            ]),
        )
        .subcommand(
            with_api_key_file_and_admin_listener(Command::new("list").about("List the API keys without their secrets")).args([
                owner(),
                switch("usage", "show how often each key was used, from the admin listener of a running doorward"),
                option("url", "URL", "http://HOST:PORT or unix:/path [default: the first address of admin.listen]")
                    .value_hint(ValueHint::Url),
                json_switch(),
            ]),
        )
        .subcommand(
            with_api_key_file(Command::new("revoke").about("Remove API keys from the file")).args([
                Arg::new("key")
                    .value_name("KEY")
                    .required(true)
                    .help("the id of a key, or its name together with --owner"),
                owner(),
                json_switch(),
            ]),
        )
}

/// Runs an action of the command.
pub(super) fn run(action: &str, matches: &ArgMatches, config: &Config) -> ExitCode {
    exit_code(match &config.api_keys.file {
        None => {
            Err("no API key file is set; use --api-keys FILE, DOORWARD_API_KEYS, or api_keys.file in the settings"
                .into())
        }
        Some(path) => match action {
            "new" => create_api_key(path, matches),
            "revoke" => revoke_api_keys(path, matches),
            _ => list_api_keys(config, path, matches),
        },
    })
}

/// The output of `api-key new --json`.
#[derive(Serialize)]
struct NewApiKeyOutput<'k> {
    key: &'k str,
    #[serde(flatten)]
    summary: ApiKeySummary<'k>,
}

fn create_api_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let owner = option_value(matches, "owner").unwrap_or_default();
    Username::check(owner.as_bytes())
        .map_err(|error| format!("{}: {error}", sanitize_for_display(owner.as_bytes())))?;
    let name = option_value(matches, "name").unwrap_or_default();
    check_api_key_name(name)?;
    let scope = matches.get_many::<String>("scope").map(|texts| texts.cloned().collect::<Vec<_>>());
    let parsed_scope = ApiKeyScope::parse(scope.iter().flatten().map(String::as_str))
        .map_err(|error| format!("--scope: {error}"))?;
    let now = SystemTime::now();
    let expires = option_value(matches, "expires-in").map(|text| expiry_time(text, now)).transpose()?;
    let (key, id, digest) = generate_api_key().map_err(error_message)?;
    let line = ApiKeyLine {
        id: id.as_str().to_owned(),
        hash: digest.to_string(),
        owner: owner.to_owned(),
        name: name.to_owned(),
        scope,
        created: Some(humantime::format_rfc3339_seconds(now).to_string()),
        expires,
        note: None,
    };
    let writer = open_for_update(path, matches.get_flag("create")).map_err(error_message)?;
    let has_same_name = |other: &ApiKeyLine| other.owner == line.owner && other.name == line.name;
    if edit::parse_lines(writer.text()).any(|other| has_same_name(&other)) {
        return Err(format!(
            "{owner} already has an API key named {name}; revoke it, or choose another name"
        ));
    }
    let before = writer.text().to_vec();
    let changed = edit::add_line(&before, &line).map_err(error_message)?;
    check_changed_file(path, &changed)?;
    writer.replace(&changed).map_err(error_message)?;
    let output = match matches.get_flag("json") {
        true => {
            serde_json::to_string(&NewApiKeyOutput { key: &key, summary: ApiKeySummary::from_line(&line) })
                .map_err(error_message)?
        }
        false => key.to_string(),
    };
    if parsed_scope.has_push_without_pull() {
        print_error(&format!("--scope: warning: {PUSH_WITHOUT_PULL_WARNING}"));
    }
    // The secret is not stored, so a key that cannot be printed is removed again.
    let mut stdout = io::stdout();
    writeln!(stdout, "{output}").and_then(|()| stdout.flush()).map_err(|error| {
        let removed = AtomicFileWriter::open(path, false).map_err(error_message).and_then(|writer| {
            let (without, _) = edit::remove_lines(writer.text(), |other| other.id == line.id);
            writer.replace(&without).map_err(error_message)
        });
        match removed {
            Ok(()) => format!("the API key cannot be printed and was removed again: {error}"),
            Err(remove_error) => {
                format!("the API key cannot be printed: {error}; it is still in the file: {remove_error}")
            }
        }
    })
}

/// Parses the value of `--expires-in` and returns the time in the format of the file.
fn expiry_time(text: &str, now: SystemTime) -> Result<String, String> {
    let lifetime = humantime::parse_duration(text)
        .map_err(|_| "--expires-in: not a duration; write it like 12h, 90d or 1y".to_owned())?;
    if lifetime < Duration::from_secs(1) || lifetime > LIFETIME_MAX {
        return Err("--expires-in: the duration must be between one second and ten years".into());
    }
    Ok(humantime::format_rfc3339_seconds(now + lifetime).to_string())
}

/// Checks that a running doorward accepts the changed content of the file.
fn check_changed_file(path: &Path, changed: &[u8]) -> Result<ParsedApiKeys, String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: u64::MAX };
    validate(&source, parse(changed, &"keys".into(), None)).map_err(|error| {
        format!("{error}; nothing was changed, because a running doorward would reject the new file")
    })
}

fn revoke_api_keys(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let id_or_name = option_value(matches, "key").unwrap_or_default();
    let owner = option_value(matches, "owner");
    let id = ApiKeyId::parse(id_or_name);
    let is_selected = |line: &ApiKeyLine| {
        let by_id = id.is_some_and(|id| id.as_str() == line.id);
        let by_name = owner.is_some() && line.name == id_or_name;
        (by_id || by_name) && owner.is_none_or(|owner| owner == line.owner)
    };
    let writer = open_for_update(path, false).map_err(error_message)?;
    let revoked: Vec<ApiKeyLine> = edit::parse_lines(writer.text()).filter(is_selected).collect();
    if revoked.is_empty() {
        let hint = if owner.is_none() { "; a name requires --owner" } else { "" };
        // If the argument is a whole key, the message contains only its id.
        let whole_key = id.filter(|_| has_api_key_prefix(id_or_name.as_bytes()));
        let shown =
            whole_key.map_or_else(|| sanitize_for_display(id_or_name.as_bytes()), |id| id.to_string());
        return Err(format!("{shown}: no such API key{hint}; doorward api-key list shows all keys"));
    }
    let (changed, _) = edit::remove_lines(writer.text(), is_selected);
    // If a running doorward rejected the changed file, the revoked keys would remain valid.
    check_changed_file(path, &changed)?;
    writer.replace(&changed).map_err(error_message)?;
    if matches.get_flag("json") {
        return print_json(&revoked.iter().map(ApiKeySummary::from_line).collect::<Vec<_>>());
    }
    for line in &revoked {
        print_line(&format!("revoked: {}", ApiKeySummary::from_line(line).to_line()));
    }
    Ok(())
}
