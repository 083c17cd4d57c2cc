//! `doorward user`: manages the users of an htpasswd file. A running doorward can read the file at the same time.

mod password;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};

use self::password::{generate_password, read_password};
use super::arguments::{error_message, exit_code, option, option_value, switch};
use super::config_flags::with_htpasswd_settings;
use super::open_for_update;
use super::output::{print_error, print_line};
use crate::atomic_write::AtomicFileWriter;
use crate::authn::api_key;
use crate::authn::hash::{self, HashFormat, is_valid_password};
use crate::authn::htpasswd::Htpasswd;
use crate::authn::htpasswd::edit::{self, HtpasswdEdit};
use crate::authn::htpasswd::file::{FINDINGS_MAX, HtpasswdParseOptions, UserIndex, parse};
use crate::authn::htpasswd::validate::HtpasswdFileError;
use crate::config::Config;
use crate::identity::sanitize_for_display;
use crate::reload::wrong_format;
use crate::reload::{SourceFile, displayable_path};
use crate::server::StartError;

/// The default cost of a new bcrypt hash. The default of the htpasswd tool, 5, is too low. Cost 10 takes about 70 ms,
/// once for each user and restart.
const DEFAULT_BCRYPT_COST: &str = "10";

/// Exit status of `verify` if the password cannot be checked because the line of the user is invalid.
const EXIT_UNUSABLE_LINE: u8 = 3;

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("the user name");
    let stdin = || switch("stdin", "read the password from the first line of stdin");
    let generate = switch("generate", "generate a password and print it once").conflicts_with("stdin");
    let cost = option("cost", "N", "the bcrypt cost, 4 to 14; each step doubles the time of a check")
        .default_value(DEFAULT_BCRYPT_COST)
        .value_parser(value_parser!(u8).range(4..=i64::from(hash::BCRYPT_COST_MAX)));
    let with_password = |action: &'static str, about: &'static str| {
        with_htpasswd_settings(Command::new(action).about(about)).args([
            name(),
            stdin(),
            generate.clone(),
            cost.clone(),
        ])
    };
    Command::new("user")
        .about("Manage the users of an htpasswd file; a running doorward can read it at the same time")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_password("add", "Add a user").args([
            switch("create", "create the file if it does not exist"),
            switch("if-empty", "do nothing if the file already has users"),
            option(
                "marker-file",
                "FILE",
                "a file in another folder that records that users existed; if it exists, no user is added to an empty file, which can be a share that is not mounted",
            )
            .requires("if-empty")
            .value_hint(ValueHint::FilePath),
        ]))
        .subcommand(with_password("set", "Set the password of a user"))
        .subcommand(with_htpasswd_settings(Command::new("remove").about("Remove a user")).arg(name()))
        .subcommand(with_htpasswd_settings(
            Command::new("list").about("List the users and their hash formats"),
        ))
        .subcommand(
            with_htpasswd_settings(Command::new("verify").about(
                "Check the password of a user: exit 0 if it is correct, 1 if not, 3 if the line of the user is invalid",
            ))
            .args([name(), stdin()]),
        )
}

/// Runs an action of the command.
pub(super) fn run(action: &str, matches: &ArgMatches, config: &Config) -> ExitCode {
    let Some(path) = &config.htpasswd.file else {
        print_error(&StartError::NoAuthenticatorConfigured.to_string());
        return ExitCode::FAILURE;
    };
    let name = option_value(matches, "name").unwrap_or_default();
    exit_code(match action {
        "list" => list_users(config, path),
        "verify" => match verify_password(config, path, name, matches) {
            Ok(None) => Ok(()),
            Ok(Some(diagnosis)) => {
                print_error(&diagnosis);
                return ExitCode::from(EXIT_UNUSABLE_LINE);
            }
            Err(error) => Err(error),
        },
        "remove" => open_for_update(path, false)
            .map_err(error_message)
            .and_then(|writer| apply_edit(writer, name, HtpasswdEdit::Remove))
            .inspect(|()| warn_about_remaining_api_keys(config, name)),
        _ => set_password(action == "add", config, path, name, matches),
    })
}

fn apply_edit(writer: AtomicFileWriter, name: &str, edit: HtpasswdEdit<'_>) -> Result<(), String> {
    let changed = edit::apply_edit(writer.text(), name.as_bytes(), edit)
        .map_err(|error| format!("{}: {error}", sanitize_for_display(name.as_bytes())))?;
    writer.replace(&changed).map_err(error_message)
}

/// Prints a warning if a removed user has API keys. They would be valid for a new user of the same name.
fn warn_about_remaining_api_keys(config: &Config, name: &str) {
    let Some(path) = config.api_keys.file.clone() else { return };
    let source = SourceFile { path, max_bytes: config.api_keys.max_bytes };
    let Ok(content) = source.read() else { return };
    let count = api_key::edit::parse_lines(&content).filter(|line| line.owner == name).count();
    if count > 0 {
        print_error(&format!(
            "{}: {count} API keys of {name} remain, and would be valid for a new user of that name; remove them with: doorward api-key revoke",
            source.display_path()
        ));
    }
}

fn set_password(
    add: bool,
    config: &Config,
    path: &Path,
    name: &str,
    matches: &ArgMatches,
) -> Result<(), String> {
    edit::check_name(name.as_bytes())
        .map_err(|error| format!("{}: {error}", sanitize_for_display(name.as_bytes())))?;
    let generate = matches.get_flag("generate");
    let password = if generate { generate_password()? } else { read_password(matches, true)? };
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(error_message)?;
    let cost = matches.get_one::<u8>("cost").copied().unwrap_or_default();
    let hash = hash::bcrypt::make_hash(&password, cost, salt).map_err(error_message)?;
    let if_empty = add && matches.get_flag("if-empty");
    let marker_file = add.then(|| option_value(matches, "marker-file")).flatten().map(Path::new);
    // A file that has users is not opened for a change, so it can be behind a link that this user cannot follow.
    let source = SourceFile { path: path.to_owned(), max_bytes: config.htpasswd.max_bytes };
    if if_empty && source.read().is_ok_and(|text| edit::has_users(&text)) {
        return report_existing_users(path, marker_file);
    }
    if let Some(marker_file) = marker_file.filter(|file| fs::symlink_metadata(file).is_ok()) {
        return Err(format!(
            "{}: the file has no users, but {} records that it had some; mount or restore the file, or remove {1} to start again",
            displayable_path(path),
            displayable_path(marker_file)
        ));
    }
    let writer = open_for_update(path, add && matches.get_flag("create")).map_err(error_message)?;
    if if_empty && edit::has_users(writer.text()) {
        return report_existing_users(path, marker_file);
    }
    apply_edit(writer, name, if add { HtpasswdEdit::Add(&hash) } else { HtpasswdEdit::SetHash(&hash) })?;
    match (generate, String::from_utf8_lossy(&password)) {
        // This line is read in a log, among lines of other programs.
        (true, password) if if_empty => {
            print_line(&format!("the first user is {name}, with the password {password}"))
        }
        (true, password) => print_line(&password),
        (false, _) => {}
    }
    // The marker file comes last: if it cannot be created, the printed password is still valid.
    marker_file.map_or(Ok(()), create_marker_file)
}

/// Reports that the file has users, so that `--if-empty` adds none.
fn report_existing_users(path: &Path, marker_file: Option<&Path>) -> Result<(), String> {
    marker_file.map_or(Ok(()), create_marker_file)?;
    print_line(&format!("{}: the file already has users, so none was added", displayable_path(path)));
    Ok(())
}

/// Creates the marker file, unless it exists.
fn create_marker_file(path: &Path) -> Result<(), String> {
    match File::options().write(true).create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(format!("--marker-file: {}: {error}", displayable_path(path)))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Checks a password. Returns the diagnosis of the line, as `check` prints it, if the line of the user is invalid.
fn verify_password(
    config: &Config,
    path: &Path,
    name: &str,
    matches: &ArgMatches,
) -> Result<Option<String>, String> {
    let users = Htpasswd::new(read_users(config, path)?);
    let password = read_password(matches, false)?;
    let record = users.look_up(name.as_bytes());
    if let Some(error) = record.line_error() {
        let line = record.line_number().unwrap_or_default();
        return Ok(Some(format!("{}:{line}: {error}", displayable_path(path))));
    }
    let name = sanitize_for_display(name.as_bytes());
    if !is_valid_password(&password) {
        return Err(format!("{name}: invalid password: it is empty, too long, or contains a NUL byte"));
    }
    match record.check_password(&password) {
        Some(true) => Ok(None),
        Some(false) => Err(format!("{name}: wrong password")),
        None => Err(format!("{name}: {}", edit::HtpasswdEditError::UserNotFound)),
    }
}

/// Returns the users of a file that a running doorward would accept.
fn read_users(config: &Config, path: &Path) -> Result<UserIndex, String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: config.htpasswd.max_bytes };
    let text = source.read().map_err(error_message)?;
    let options = HtpasswdParseOptions {
        allowed_formats: config.htpasswd.allowed_formats(),
        ..HtpasswdParseOptions::default()
    };
    let other_format = wrong_format::detect_other_format(&text);
    let users = parse(text, &options).users;
    match other_format.filter(|_| users.len() == users.invalid_lines()) {
        Some(format) => Err(HtpasswdFileError::NotHtpasswd(source.display_path(), format).to_string()),
        None => Ok(users),
    }
}

fn list_users(config: &Config, path: &Path) -> Result<(), String> {
    let users = read_users(config, path)?;
    // Users whose names must not be printed come last, in the order of the file.
    let mut unnamed = Vec::new();
    for entry in users.sorted_entries() {
        let Some(name) = users.loggable_name(entry) else {
            unnamed.push((users.line_number(entry), users.line_error(entry)));
            if unnamed.len() >= FINDINGS_MAX {
                break;
            }
            continue;
        };
        let format = match (entry.format, users.line_error(entry)) {
            (Some(HashFormat::Bcrypt(cost)), _) => format!("bcrypt, cost {cost}"),
            (Some(format), _) => format.name().to_owned(),
            (None, Some(error)) => format!("cannot log in: {}", error.message()),
            (None, None) => "cannot log in".to_owned(),
        };
        print_line(&format!("{}\t{format}", sanitize_for_display(name)));
    }
    unnamed.sort_by_key(|(line, _)| *line);
    for (line, error) in unnamed {
        let (length, message) = error.map(|error| (error.line_length(), error.message())).unwrap_or_default();
        print_line(&format!("line {line}, {length} bytes\tcannot log in: {message}"));
    }
    Ok(())
}
