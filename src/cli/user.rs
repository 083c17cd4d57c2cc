//! `doorward user`: keeps an htpasswd file that the service may be reading.

use std::fs::{self, File};
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use zeroize::Zeroizing;

use super::{open_for_update, print_error, print_line};
use crate::atomic_write::AtomicFileWriter;
use crate::authn::api_key;
use crate::authn::hash::{self, HashFormat, PASSWORD_LENGTH_MAX, is_valid_password};
use crate::authn::htpasswd::Htpasswd;
use crate::authn::htpasswd::edit::{self, HtpasswdEdit};
use crate::authn::htpasswd::file::{FINDINGS_MAX, HtpasswdParseOptions, UserIndex, parse};
use crate::authn::htpasswd::validate::HtpasswdFileError;
use crate::config::Config;
use crate::identity::sanitize_for_display;
use crate::reload::wrong_format;
use crate::reload::{SourceFile, displayable_path};
use crate::server::StartError;

/// The cost of a new hash where none is asked for: the htpasswd tool's 5 is too little, and 10 is
/// some 70 ms, once for each user and restart.
const DEFAULT_BCRYPT_COST: &str = "10";

/// The exit status of `verify` if the password can't be checked, since the user's line can't be used.
const EXIT_UNUSABLE_LINE: u8 = 3;

/// Of a generated password: 20 characters out of 32, 100 bits.
const GENERATED_LENGTH: usize = 20;

/// Without those that are mistaken for others when read aloud or copied by hand.
const GENERATED_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// The subcommands; `with_settings` adds what names the file.
pub(super) fn command(with_settings: impl Fn(Command) -> Command) -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("the user name");
    let stdin = || switch("stdin", "read the password from the first line of stdin");
    let generate = switch("generate", "make a password and print it, once").conflicts_with("stdin");
    let cost = Arg::new("cost")
        .long("cost")
        .value_name("N")
        .default_value(DEFAULT_BCRYPT_COST)
        .value_parser(value_parser!(u8).range(4..=i64::from(hash::BCRYPT_COST_MAX)))
        .help("bcrypt's cost, 4 to 14; each step doubles the time of a check");
    let writing = |name_of: &'static str, about: &'static str| {
        with_settings(Command::new(name_of).about(about)).args([
            name(),
            stdin(),
            generate.clone(),
            cost.clone(),
        ])
    };
    Command::new("user")
        .about("Keep an htpasswd file that doorward may be reading")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(writing("add", "Add a user").args([
            switch("create", "make the file if there is none"),
            switch("first", "only if the file has no user yet; otherwise do nothing"),
            Arg::new("once")
                .long("once")
                .value_name("FILE")
                .requires("first")
                .value_hint(ValueHint::FilePath)
                .help("a file, elsewhere, that remembers that there were users; then none is added to a file without users, whose share may not be mounted"),
        ]))
        .subcommand(writing("set", "Set a user's password"))
        .subcommand(with_settings(Command::new("remove").about("Remove a user")).arg(name()))
        .subcommand(with_settings(Command::new("list").about("List the users and their hashes' formats")))
        .subcommand(
            with_settings(Command::new("verify").about(
                "Check a user's password: exit 0 if it is right, 1 if it is not, 3 if the user's line can't be used",
            ))
                .args([name(), stdin()]),
        )
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// Runs one of them.
pub(super) fn run(what: &str, matches: &ArgMatches, settings: &Config) -> ExitCode {
    let Some(path) = &settings.htpasswd.file else {
        print_error(&StartError::NoAuthenticatorConfigured.to_string());
        return ExitCode::FAILURE;
    };
    let name = matches.try_get_one::<String>("name").ok().flatten().map_or("", String::as_str);
    let done = match what {
        "list" => list_users(settings, path),
        "verify" => match verify_password(settings, path, name, matches) {
            Ok(None) => Ok(()),
            Ok(Some(diagnosis)) => {
                print_error(&diagnosis);
                return ExitCode::from(EXIT_UNUSABLE_LINE);
            }
            Err(error) => Err(error),
        },
        "remove" => {
            let removed = open_for_update(path, false)
                .map_err(text)
                .and_then(|writer| apply_edit(writer, name, HtpasswdEdit::Remove));
            removed.inspect(|()| warn_about_remaining_api_keys(settings, name))
        }
        _ => set_password(what == "add", settings, path, name, matches),
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

fn apply_edit(writer: AtomicFileWriter, name: &str, edit: HtpasswdEdit<'_>) -> Result<(), String> {
    let changed = edit::apply_edit(writer.text(), name.as_bytes(), edit)
        .map_err(|fault| format!("{}: {fault}", sanitize_for_display(name.as_bytes())))?;
    writer.replace(&changed).map_err(text)
}

/// Says that there are keys of somebody who is gone: they would be good again for another of that name.
fn warn_about_remaining_api_keys(settings: &Config, name: &str) {
    let Some(path) = settings.api_keys.file.clone() else { return };
    let source = SourceFile { path, max_bytes: settings.api_keys.max_bytes };
    let Ok(content) = source.read() else { return };
    let left = api_key::edit::parse_lines(&content).filter(|line| line.owner == name).count();
    if left > 0 {
        print_error(&format!(
            "{}: {left} keys of {name}'s are left, and would be good for another user of that name: doorward api-key revoke",
            source.display_path()
        ));
    }
}

fn set_password(
    add: bool,
    settings: &Config,
    path: &Path,
    name: &str,
    matches: &ArgMatches,
) -> Result<(), String> {
    edit::check_name(name.as_bytes())
        .map_err(|fault| format!("{}: {fault}", sanitize_for_display(name.as_bytes())))?;
    let generate = matches.get_flag("generate");
    let password = if generate { generate_password()? } else { read_password(matches, true)? };
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(text)?;
    let cost = matches.get_one::<u8>("cost").copied().unwrap_or_default();
    let hash = hash::make_bcrypt_hash(&password, cost, salt).map_err(text)?;
    let first = add && matches.get_flag("first");
    let once = add.then(|| matches.get_one::<String>("once")).flatten().map(Path::new);
    // Nothing is changed then, so the file may be a link that this user could not change.
    let there = SourceFile { path: path.to_owned(), max_bytes: settings.htpasswd.max_bytes };
    if first && there.read().is_ok_and(|text| edit::has_users(&text)) {
        return report_existing_users(path, once);
    }
    if let Some(once) = once.filter(|once| fs::symlink_metadata(once).is_ok()) {
        return Err(format!(
            "{}: there are no users, and there were some, as {} shows; mount or restore the file, or remove {1} to begin anew",
            displayable_path(path),
            displayable_path(once)
        ));
    }
    let writer = open_for_update(path, add && matches.get_flag("create")).map_err(text)?;
    if first && edit::has_users(writer.text()) {
        return report_existing_users(path, once);
    }
    apply_edit(writer, name, if add { HtpasswdEdit::Add(&hash) } else { HtpasswdEdit::SetHash(&hash) })?;
    match (generate, String::from_utf8_lossy(&password)) {
        // In a log, among the lines of others.
        (true, password) if first => {
            print_line(&format!("the first user is {name}, with the password {password}"))
        }
        (true, password) => print_line(&password),
        (false, _) => {}
    }
    // Last, since the password that was printed is good whatever becomes of this.
    once.map_or(Ok(()), create_marker_file)
}

/// Says that there are users, of whom none is the first.
fn report_existing_users(path: &Path, once: Option<&Path>) -> Result<(), String> {
    once.map_or(Ok(()), create_marker_file)?;
    print_line(&format!("{}: there are users already, so none was added", displayable_path(path)));
    Ok(())
}

/// Makes the file that remembers that there were users, unless something is there.
fn create_marker_file(once: &Path) -> Result<(), String> {
    match File::options().write(true).create_new(true).open(once) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(format!("--marker-file: {}: {error}", displayable_path(once)))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Checks a password. Returns why it can't be checked, as `check` says it, if the user's line can't be used.
fn verify_password(
    settings: &Config,
    path: &Path,
    name: &str,
    matches: &ArgMatches,
) -> Result<Option<String>, String> {
    let users = Htpasswd::new(read_users(settings, path)?);
    let password = read_password(matches, false)?;
    let found = users.look_up(name.as_bytes());
    if let Some(fault) = found.line_error() {
        let line = found.line_number().unwrap_or_default();
        return Ok(Some(format!("{}:{line}: {fault}", displayable_path(path))));
    }
    let name = sanitize_for_display(name.as_bytes());
    if !is_valid_password(&password) {
        return Err(format!(
            "{name}: no service takes such a password: empty, too long, or with a NUL in it"
        ));
    }
    match found.check_password(&password) {
        Some(true) => Ok(None),
        Some(false) => Err(format!("{name}: the password is another")),
        None => Err(format!("{name}: {}", edit::HtpasswdEditError::UserNotFound)),
    }
}

/// The users of a file that the service would take.
fn read_users(settings: &Config, path: &Path) -> Result<UserIndex, String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: settings.htpasswd.max_bytes };
    let text = source.read().map_err(text)?;
    let rules = HtpasswdParseOptions {
        allowed_formats: settings.htpasswd.allowed_formats(),
        ..HtpasswdParseOptions::default()
    };
    let other = wrong_format::detect_other_format(&text);
    let users = parse(text, &rules).users;
    match other.filter(|_| users.len() == users.invalid_lines()) {
        Some(what) => Err(HtpasswdFileError::NotHtpasswd(source.display_path(), what).to_string()),
        None => Ok(users),
    }
}

fn list_users(settings: &Config, path: &Path) -> Result<(), String> {
    let users = read_users(settings, path)?;
    // Those whose names can't be told come last, in the order of the file.
    let mut nameless = Vec::new();
    for entry in users.sorted_entries() {
        let Some(name) = users.loggable_name(entry) else {
            nameless.push((users.line_number(entry), users.line_error(entry)));
            if nameless.len() >= FINDINGS_MAX {
                break;
            }
            continue;
        };
        let format = match (entry.format, users.line_error(entry)) {
            (Some(HashFormat::Bcrypt(cost)), _) => format!("bcrypt, cost {cost}"),
            (Some(format), _) => format.name().to_owned(),
            (None, Some(fault)) => format!("can't log in: {}", fault.message()),
            (None, None) => "can't log in".to_owned(),
        };
        print_line(&format!("{}\t{format}", sanitize_for_display(name)));
    }
    nameless.sort_by_key(|(line, _)| *line);
    for (line, fault) in nameless {
        let fault = fault.map(|fault| (fault.line_length(), fault.message()));
        let (length, what) = fault.unwrap_or_default();
        print_line(&format!("line {line}, {length} bytes\tcan't log in: {what}"));
    }
    Ok(())
}

/// The password, from stdin or from the terminal; a new one twice.
fn read_password(matches: &ArgMatches, new: bool) -> Result<Zeroizing<Vec<u8>>, String> {
    if matches.get_flag("stdin") {
        let mut line = Zeroizing::new(Vec::new());
        // A line that is longer is read as longer, and refused as such.
        let mut stdin = io::Read::take(io::stdin().lock(), PASSWORD_LENGTH_MAX as u64 + 2);
        stdin.read_until(b'\n', &mut line).map_err(text)?;
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        line.truncate(end);
        return Ok(line);
    }
    if !io::stdin().is_terminal() {
        return Err("there is no terminal to ask for the password; use --stdin or --generate".into());
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map(|p| Zeroizing::new(p.into_bytes())).map_err(text)
    };
    let password = ask("Password: ")?;
    if new && ask("Again: ")? != password {
        return Err("the two are not the same; nothing was changed".into());
    }
    Ok(password)
}

fn generate_password() -> Result<Zeroizing<Vec<u8>>, String> {
    let mut random = Zeroizing::new([0_u8; GENERATED_LENGTH]);
    getrandom::fill(&mut *random).map_err(text)?;
    // 256 is a multiple of 32, so each character is as likely as the others.
    let character = |byte: &u8| GENERATED_ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
    Ok(Zeroizing::new(random.iter().map(character).collect()))
}
