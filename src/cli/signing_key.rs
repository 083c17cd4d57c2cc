//! `doorward signing-key`: keeps the file of keys that sign the registry's tokens, and beside it what registries and
//! others read of it.

mod check;
mod init;
mod list;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use zeroize::Zeroizing;

pub(super) use self::check::check_signing_keys;
use self::init::{REGISTRY_CONFIG_FILE, init_signing_keys};
use self::list::{key_summary_line as told, list_signing_keys};
use super::{open_for_update, print_error, print_line};
use crate::atomic_write::{AtomicFileWriter, FileWriteError};
use crate::reload::SourceFile;
use crate::token::signing_key::SigningKeys;
use crate::token::signing_key::edit;
use crate::token::signing_key::generate::{NewSigningKey, certify_key, generate_key};
use crate::token::signing_key::key_pair::SigningAlgorithm;
use crate::token::signing_key::reload::FILE_BYTES_MAX;

/// Where the file is, if no flag says so.
const SIGNING_KEYS_VARIABLE: &str = "DOORWARD_TOKEN_SIGNING_KEYS";

/// The certificates, for a registry's `rootcertbundle`.
const BUNDLE_FILE: &str = "bundle.pem";

/// The public keys, as `/jwks` gives them.
const JWKS_FILE: &str = "jwks.json";

/// The mode of a new file of keys: whoever reads it can give himself any right.
const SECRET_FILE_MODE: u32 = 0o600;

/// That of the files beside it, which the registry's user reads.
const PUBLIC_FILE_MODE: u32 = 0o644;

/// The subcommands.
pub(super) fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let keys = || {
        option("signing-keys", "FILE", "the file of token.signing_keys [env: DOORWARD_TOKEN_SIGNING_KEYS]")
            .value_hint(ValueHint::FilePath)
    };
    let made = || {
        [
            keys(),
            option(
                "algorithm",
                "NAME",
                "ES256 or RS256, which needs --key [default: ES256, or that of --key]",
            )
            .value_parser(SigningAlgorithm::ALL.map(SigningAlgorithm::name)),
            option("private-key", "FILE", "a key that is there already (PEM), instead of a new one")
                .value_hint(ValueHint::FilePath),
        ]
    };
    // An id may begin with a dash.
    let kid = || {
        Arg::new("kid")
            .value_name("KID")
            .required(true)
            .allow_hyphen_values(true)
            .help("the id of a key, as list shows it")
    };
    Command::new("signing-key")
        .about("Keep the file of keys that sign the registry's tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("init")
                .about("Make the file with a first key, and beside it bundle.pem, jwks.json and registry-auth.yml")
                .args(made())
                .args([
                    option("service", "NAME", "the registry's name, as in token.service"),
                    option("issuer", "NAME", "who gives tokens out, as in token.issuer [default: doorward]"),
                    option("realm", "URL", "where clients get tokens, as in token.realm").value_hint(ValueHint::Url),
                ]),
        )
        .subcommand(Command::new("add").about("Add a further key, which is published and does not sign yet").args(made()))
        .subcommand(Command::new("use").about("Have a key of the file sign from now on").args([keys(), kid()]))
        .subcommand(
            Command::new("remove").about("Take a key out, so that its tokens end").args([keys(), kid()]),
        )
        .subcommand(
            Command::new("list")
                .about("List the keys; never their secrets")
                .args([keys(), Arg::new("json").long("json").action(ArgAction::SetTrue).help("write JSON")]),
        )
}

/// Runs one of them.
pub(super) fn run(what: &str, matches: &ArgMatches) -> ExitCode {
    let variable =
        || std::env::var_os(SIGNING_KEYS_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let done = match given(matches, "signing-keys").map(PathBuf::from).or_else(variable) {
        None => {
            Err(format!("no file of signing keys is named: use --api-keys FILE, or {SIGNING_KEYS_VARIABLE}"))
        }
        Some(path) => match what {
            "init" => init_signing_keys(&path, matches),
            "add" => add_key(&path, matches),
            "use" => use_key(&path, matches),
            "remove" => remove_key(&path, matches),
            _ => list_signing_keys(&path, matches),
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

/// A new key, or the one that is brought along.
fn make_key(matches: &ArgMatches) -> Result<NewSigningKey, String> {
    let (now, algorithm) = (SystemTime::now(), given(matches, "algorithm"));
    let Some(file) = given(matches, "private-key") else {
        if algorithm == Some(SigningAlgorithm::Rs256.name()) {
            return Err(
                "--algorithm RS256 needs a key, since doorward makes no RSA keys: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out rsa.pem, and --key rsa.pem"
                    .into(),
            );
        }
        return generate_key(now).map_err(text);
    };
    let source = SourceFile { path: file.into(), max_bytes: FILE_BYTES_MAX };
    let secret = Zeroizing::new(source.read().map_err(|fault| format!("--key: {fault}"))?);
    let made = certify_key(&secret, now).map_err(|fault| format!("--key: {file}: {fault}"))?;
    match algorithm.filter(|algorithm| *algorithm != made.algorithm.name()) {
        None => Ok(made),
        Some(other) => Err(format!("--key: {file}: it is a key for {}, and not for {other}", made.algorithm)),
    }
}

/// Puts what is published beside the file.
fn write_public_files(writer: &AtomicFileWriter, keys: &SigningKeys) -> Result<(), String> {
    writer
        .write_sibling(BUNDLE_FILE, keys.certificate_bundle().as_bytes(), PUBLIC_FILE_MODE)
        .map_err(text)?;
    writer.write_sibling(JWKS_FILE, (keys.jwks() + "\n").as_bytes(), PUBLIC_FILE_MODE).map_err(text)
}

/// Refuses a file that is called like one of those that are written beside it, for everybody to read. The name
/// counts, too, that it has behind any links.
fn check_file_name(path: &Path) -> Result<(), String> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = |path: &Path| {
        path.file_name().is_some_and(|name| {
            [BUNDLE_FILE, JWKS_FILE, REGISTRY_CONFIG_FILE].iter().any(|file| name == *file)
        })
    };
    if beside(path) || beside(&real) {
        return Err(format!(
            "{}: that is what another file is called that is made beside it, for everybody to read",
            path.display()
        ));
    }
    Ok(())
}

/// Opens the file, which has to be there.
fn open_existing(path: &Path) -> Result<AtomicFileWriter, String> {
    check_file_name(path)?;
    open_for_update(path, false).map_err(|fault| match fault {
        FileWriteError::Missing(name) => {
            format!("{name}: there is no such file; doorward signing-key init makes it")
        }
        other => other.to_string(),
    })
}

/// Writes all files anew. What is published comes first: a key that nobody holds does no harm in there, and a
/// key that signs must be known.
fn replace_all_files(writer: AtomicFileWriter, changed: &str, keys: &SigningKeys) -> Result<PathBuf, String> {
    let folder = writer.folder().to_owned();
    // Before anything is written.
    [BUNDLE_FILE, JWKS_FILE].iter().try_for_each(|file| writer.check_sibling(file)).map_err(text)?;
    write_public_files(&writer, keys)?;
    writer.replace(changed.as_bytes()).map_err(text)?;
    Ok(folder.join(BUNDLE_FILE))
}

/// What is said of the one key of this id.
fn key_line(keys: &SigningKeys, kid: &str) -> String {
    keys.published_keys().find(|key| key.kid == kid).map(|key| told(&key)).unwrap_or_default()
}

fn error_in_file(path: &Path) -> impl Fn(edit::SigningKeyEditError) -> String {
    move |fault| format!("{}: {fault}; nothing was changed", path.display())
}

fn add_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let made = make_key(matches)?;
    let writer = open_existing(path)?;
    let (changed, keys) = edit::add_key(writer.text(), &made).map_err(error_in_file(path))?;
    let bundle = replace_all_files(writer, &changed, &keys)?;
    print_line(&format!("added: {}", key_line(&keys, &made.kid)));
    print_line(&format!(
        "have the registry read {} (start it again), then: doorward signing-key use {}",
        bundle.display(),
        made.kid
    ));
    Ok(())
}

fn use_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let kid = given(matches, "kid").unwrap_or_default();
    let writer = open_existing(path)?;
    let before = SigningKeys::parse(writer.text()).map_err(|fault| error_in_file(path)(fault.into()))?;
    let (changed, keys) = edit::move_key_first(writer.text(), kid).map_err(error_in_file(path))?;
    replace_all_files(writer, &changed, &keys)?;
    print_line(&format!("signs: {}", key_line(&keys, kid)));
    for old in before.kids().take(1).filter(|old| *old != kid) {
        print_line(&format!(
            "when the tokens of the other are over (token.lifetime): doorward signing-key remove {old}"
        ));
    }
    Ok(())
}

fn remove_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let kid = given(matches, "kid").unwrap_or_default();
    let writer = open_existing(path)?;
    let (changed, keys) = edit::remove_key(writer.text(), kid).map_err(error_in_file(path))?;
    let bundle = replace_all_files(writer, &changed, &keys)?;
    print_line(&format!("removed: {kid}"));
    print_line(&format!(
        "its tokens are taken until the registry has read {} (start it again)",
        bundle.display()
    ));
    Ok(())
}
