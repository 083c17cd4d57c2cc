//! `doorward api-key`: keeps a file of API keys that the service may be reading.

mod list;
mod scope;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use serde::Serialize;

use self::list::{ApiKeySummary, list_api_keys};
pub(super) use self::scope::find_scope;
use super::check::SCOPE_PUSH_WITHOUT_PULL_WARNING;
use super::{open_for_update, print_error, print_json, print_line};
use crate::atomic_write::AtomicFileWriter;
use crate::authn::api_key::edit;
use crate::authn::api_key::file::{ApiKeyLine, ParsedApiKeys, check_api_key_name, parse};
use crate::authn::api_key::format::{ApiKeyId, generate_api_key, has_api_key_prefix};
use crate::authn::api_key::reload::validate;
use crate::config::Config;
use crate::identity::{Username, sanitize_for_display};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::SourceFile;

/// The longest that a key may be made for; one without an end says so by having none.
const LIFETIME_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The subcommands; `with_settings` adds what names the file.
pub(super) fn command(with_settings: impl Fn(Command) -> Command) -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("write JSON");
    let owner = || option("owner", "USER", "the user whose key it is");
    Command::new("api-key")
        .about("Keep a file of API keys that doorward may be reading")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(Command::new("new").about("Make a key and print it, once")).args([
            owner().required(true),
            option("name", "NAME", "what its owner calls it").required(true),
            option("expires", "TIME", "when it ends, from now on: 90d; without this never"),
            option("scope", "RIGHT", "what it is for, as in pull,push:team/**, catalog or GET:/docs/**; may be given several times. Without this all that its owner may do")
                .action(ArgAction::Append),
            Arg::new("create").long("create").action(ArgAction::SetTrue).help("make the file if there is none"),
            json(),
        ]))
        .subcommand(
            with_settings(Command::new("list").about("List the keys; never their secrets")).args([
                owner(),
                Arg::new("used").long("used").action(ArgAction::SetTrue).help("ask a running doorward how each was used"),
                option("url", "URL", "its admin listener: http://HOST:PORT or unix:/path, instead of admin.listen")
                    .value_hint(ValueHint::Url),
                json(),
            ]),
        )
        .subcommand(with_settings(Command::new("revoke").about("Take keys out of the file")).args([
            Arg::new("key").value_name("KEY").required(true).help("the id of a key, or with --owner its name"),
            owner(),
            json(),
        ]))
}

/// Runs one of them.
pub(super) fn run(what: &str, matches: &ArgMatches, settings: &Config) -> ExitCode {
    let done = match &settings.api_keys.file {
        None => {
            Err("no file of keys is set: use --api-keys FILE, DOORWARD_API_KEYS, or keys = \"FILE\" in the settings"
                .into())
        }
        Some(path) => match what {
            "new" => create_api_key(path, matches),
            "revoke" => revoke_api_keys(path, matches),
            _ => list_api_keys(settings, path, matches),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn given<'m>(matches: &'m ArgMatches, name: &str) -> Option<&'m str> {
    matches.get_one::<String>(name).map(String::as_str)
}

#[derive(Serialize)]
struct NewApiKeyOutput<'k> {
    key: &'k str,
    #[serde(flatten)]
    summary: ApiKeySummary<'k>,
}

fn create_api_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let owner = given(matches, "owner").unwrap_or_default();
    Username::check(owner.as_bytes())
        .map_err(|fault| format!("{}: {fault}", sanitize_for_display(owner.as_bytes())))?;
    let name = given(matches, "name").unwrap_or_default();
    check_api_key_name(name)?;
    let scope = matches.get_many::<String>("scope").map(|texts| texts.cloned().collect::<Vec<_>>());
    let parsed = ApiKeyScope::parse(scope.iter().flatten().map(String::as_str));
    let lacks_pull = parsed.map_err(|what| format!("--scope: {what}"))?.has_push_without_pull();
    let now = SystemTime::now();
    let expires = match given(matches, "expires") {
        None => None,
        Some(span) => {
            let span = humantime::parse_duration(span).map_err(|_| {
                "--expires: it is not a span of time; write it like 12h, 90d or 1y".to_owned()
            })?;
            if span < Duration::from_secs(1) || span > LIFETIME_MAX {
                return Err("--expires: it is not within a second and ten years".into());
            }
            Some(humantime::format_rfc3339_seconds(now + span).to_string())
        }
    };
    let (key, id, digest) = generate_api_key().map_err(text)?;
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
    let writer = open_for_update(path, matches.get_flag("create")).map_err(text)?;
    let alike = |other: &ApiKeyLine| other.owner == line.owner && other.name == line.name;
    if edit::parse_lines(writer.text()).any(|other| alike(&other)) {
        return Err(format!("{owner} has a key called {name} already; revoke it, or choose another name"));
    }
    let before = writer.text().to_vec();
    let changed = edit::add_line(&before, &line).map_err(text)?;
    check_changed_file(path, &changed)?;
    writer.replace(&changed).map_err(text)?;
    let told = match matches.get_flag("json") {
        true => {
            serde_json::to_string(&NewApiKeyOutput { key: &key, summary: ApiKeySummary::from_line(&line) })
                .map_err(text)?
        }
        false => key.to_string(),
    };
    if lacks_pull {
        print_error(&format!("--scope: warning: {SCOPE_PUSH_WITHOUT_PULL_WARNING}"));
    }
    // Nobody will ever see it again, so a key that could not be printed must not stay.
    let mut stdout = io::stdout();
    writeln!(stdout, "{told}").and_then(|()| stdout.flush()).map_err(|error| {
        let taken_back = AtomicFileWriter::open(path, false).map_err(text).and_then(|writer| {
            let (without, _) = edit::remove_lines(writer.text(), |other| other.id == line.id);
            writer.replace(&without).map_err(text)
        });
        match taken_back {
            Ok(()) => format!("the key can't be printed, and was not made: {error}"),
            Err(fault) => format!("the key can't be printed: {error}; and it stays: {fault}"),
        }
    })
}

/// Whether the service would take a text.
fn check_changed_file(path: &Path, changed: &[u8]) -> Result<ParsedApiKeys, String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: u64::MAX };
    validate(&source, parse(changed, &"keys".into(), None)).map_err(|fault| {
        format!("{fault}; nothing was changed, since a service that runs would not take it and go on with the old one")
    })
}

fn revoke_api_keys(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let wanted = given(matches, "key").unwrap_or_default();
    let owner = given(matches, "owner");
    let id = ApiKeyId::parse(wanted);
    let is_meant = |line: &ApiKeyLine| {
        let by_id = id.is_some_and(|id| id.as_str() == line.id);
        let by_name = owner.is_some() && line.name == wanted;
        (by_id || by_name) && owner.is_none_or(|owner| owner == line.owner)
    };
    let writer = open_for_update(path, false).map_err(text)?;
    let gone: Vec<ApiKeyLine> = edit::parse_lines(writer.text()).filter(is_meant).collect();
    if gone.is_empty() {
        let how = if owner.is_none() { "; by its name only with --owner" } else { "" };
        // Whoever gives the whole key has told it to enough people.
        let whole = id.filter(|_| has_api_key_prefix(wanted.as_bytes()));
        let named = whole.map_or_else(|| sanitize_for_display(wanted.as_bytes()), |id| id.to_string());
        return Err(format!("{named}: there is no such key{how}; doorward api-key list shows them all"));
    }
    let (changed, _) = edit::remove_lines(writer.text(), is_meant);
    // The service would go on with what it has, the revoked ones included.
    check_changed_file(path, &changed)?;
    writer.replace(&changed).map_err(text)?;
    if matches.get_flag("json") {
        return print_json(&gone.iter().map(ApiKeySummary::from_line).collect::<Vec<_>>());
    }
    gone.iter()
        .for_each(|line| print_line(&format!("revoked: {}", ApiKeySummary::from_line(line).to_line())));
    Ok(())
}
