//! `doorward signing-key`: manages the file with the keys that sign registry tokens. Beside the file it writes the
//! public files that registries and other verifiers read.

mod init;
mod list;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Arg, ArgMatches, Command, ValueHint};
use zeroize::Zeroizing;

use self::init::{REGISTRY_CONFIG_FILE, init_signing_keys};
use self::list::{key_summary_line, list_signing_keys};
use super::arguments::{error_message, exit_code, json_switch, option, option_value};
use super::open_for_update;
use super::output::print_line;
use crate::atomic_write::{AtomicFileWriter, FileWriteError};
use crate::reload::SourceFile;
use crate::token::signing_key::SigningKeys;
use crate::token::signing_key::edit;
use crate::token::signing_key::generate::{NewSigningKey, certify_key, generate_key};
use crate::token::signing_key::key_pair::SigningAlgorithm;
use crate::token::signing_key::reload::FILE_BYTES_MAX;

/// The environment variable for the path of the file, used if `--signing-keys` is not given.
const SIGNING_KEYS_VARIABLE: &str = "DOORWARD_TOKEN_SIGNING_KEYS";

/// The name of the file with all certificates, for `rootcertbundle` of a registry.
const BUNDLE_FILE: &str = "bundle.pem";

/// The name of the file with the public keys, in the format of `/jwks`.
const JWKS_FILE: &str = "jwks.json";

/// The mode of a new signing key file. A user that can read it can issue any token.
const SECRET_FILE_MODE: u32 = 0o600;

/// The mode of the public files, which the user of the registry reads.
const PUBLIC_FILE_MODE: u32 = 0o644;

/// Returns the definition of the command.
pub(super) fn command() -> Command {
    let file = || {
        option("signing-keys", "FILE", "the file of token.signing_keys [env: DOORWARD_TOKEN_SIGNING_KEYS]")
            .value_hint(ValueHint::FilePath)
    };
    let new_key_arguments = || {
        [
            file(),
            option(
                "algorithm",
                "NAME",
                "ES256 or RS256; RS256 requires --private-key [default: ES256, or the algorithm of --private-key]",
            )
            .value_parser(SigningAlgorithm::ALL.map(SigningAlgorithm::name)),
            option("private-key", "FILE", "an existing private key (PEM) to use instead of a new one")
                .value_hint(ValueHint::FilePath),
        ]
    };
    // An id can begin with a dash.
    let kid = || {
        Arg::new("kid")
            .value_name("KID")
            .required(true)
            .allow_hyphen_values(true)
            .help("the id of a key, as shown by list")
    };
    Command::new("signing-key")
        .about("Manage the file with the keys that sign registry tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("init")
                .about(
                    "Create the file with one key, and beside it bundle.pem, jwks.json and registry-auth.yml",
                )
                .args(new_key_arguments())
                .args([
                    option("service", "NAME", "the name of the registry, as in token.service"),
                    option(
                        "issuer",
                        "NAME",
                        "the issuer of the tokens, as in token.issuer [default: doorward]",
                    ),
                    option("realm", "URL", "the address of the token endpoint, as in token.realm")
                        .value_hint(ValueHint::Url),
                ]),
        )
        .subcommand(
            Command::new("add")
                .about("Add a key, which is published and does not sign yet")
                .args(new_key_arguments()),
        )
        .subcommand(Command::new("use").about("Sign with another key of the file").args([file(), kid()]))
        .subcommand(
            Command::new("remove")
                .about("Remove a key; tokens that it signed become invalid")
                .args([file(), kid()]),
        )
        .subcommand(
            Command::new("list").about("List the keys without their secrets").args([file(), json_switch()]),
        )
}

/// Runs an action of the command.
pub(super) fn run(action: &str, matches: &ArgMatches) -> ExitCode {
    let variable =
        || std::env::var_os(SIGNING_KEYS_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = option_value(matches, "signing-keys").map(PathBuf::from).or_else(variable);
    exit_code(match path {
        None => {
            Err(format!("no signing key file is set; use --signing-keys FILE or {SIGNING_KEYS_VARIABLE}"))
        }
        Some(path) => match action {
            "init" => init_signing_keys(&path, matches),
            "add" => add_key(&path, matches),
            "use" => use_key(&path, matches),
            "remove" => remove_key(&path, matches),
            _ => list_signing_keys(&path, matches),
        },
    })
}

/// Returns the key of `--private-key`, or generates a key.
fn make_key(matches: &ArgMatches) -> Result<NewSigningKey, String> {
    let (now, algorithm) = (SystemTime::now(), option_value(matches, "algorithm"));
    let Some(file) = option_value(matches, "private-key") else {
        if algorithm == Some(SigningAlgorithm::Rs256.name()) {
            return Err(
                "--algorithm RS256 requires --private-key, because doorward generates no RSA keys; create one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out rsa.pem"
                    .into(),
            );
        }
        return generate_key(now).map_err(error_message);
    };
    let source = SourceFile { path: file.into(), max_bytes: FILE_BYTES_MAX };
    let secret = Zeroizing::new(source.read().map_err(|error| format!("--private-key: {error}"))?);
    let key = certify_key(&secret, now).map_err(|error| format!("--private-key: {file}: {error}"))?;
    match algorithm.filter(|algorithm| *algorithm != key.algorithm.name()) {
        None => Ok(key),
        Some(other) => {
            Err(format!("--private-key: {file}: the key is for {}, not for {other}", key.algorithm))
        }
    }
}

/// Writes the public files into the folder of the signing key file.
fn write_public_files(writer: &AtomicFileWriter, keys: &SigningKeys) -> Result<(), String> {
    writer
        .write_sibling(BUNDLE_FILE, keys.certificate_bundle().as_bytes(), PUBLIC_FILE_MODE)
        .map_err(error_message)?;
    writer.write_sibling(JWKS_FILE, (keys.jwks() + "\n").as_bytes(), PUBLIC_FILE_MODE).map_err(error_message)
}

/// Rejects a signing key file with the name of a public file, which every user of the machine can read. If the path is
/// a link, both its own name and the name of its target are checked.
fn check_file_name(path: &Path) -> Result<(), String> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_public_file = |path: &Path| {
        path.file_name().is_some_and(|name| {
            [BUNDLE_FILE, JWKS_FILE, REGISTRY_CONFIG_FILE].iter().any(|file| name == *file)
        })
    };
    if is_public_file(path) || is_public_file(&target) {
        return Err(format!(
            "{}: the name of a public file that is written into the same folder; choose another name",
            path.display()
        ));
    }
    Ok(())
}

/// Opens the signing key file, which must exist.
fn open_existing(path: &Path) -> Result<AtomicFileWriter, String> {
    check_file_name(path)?;
    open_for_update(path, false).map_err(|error| match error {
        FileWriteError::Missing(name) => {
            format!("{name}: the file does not exist; create it with: doorward signing-key init")
        }
        other => other.to_string(),
    })
}

/// Replaces the public files and then the signing key file, and returns the path of the certificates.
///
/// The order matters: a published key that does not sign is harmless, but a key that signs must be published.
fn replace_all_files(writer: AtomicFileWriter, changed: &str, keys: &SigningKeys) -> Result<PathBuf, String> {
    let folder = writer.folder().to_owned();
    // All checks come before the first write.
    [BUNDLE_FILE, JWKS_FILE].iter().try_for_each(|file| writer.check_sibling(file)).map_err(error_message)?;
    write_public_files(&writer, keys)?;
    writer.replace(changed.as_bytes()).map_err(error_message)?;
    Ok(folder.join(BUNDLE_FILE))
}

/// Formats the key with this id.
fn key_line(keys: &SigningKeys, kid: &str) -> String {
    keys.published_keys().find(|key| key.kid == kid).map(|key| key_summary_line(&key)).unwrap_or_default()
}

fn error_in_file(path: &Path) -> impl Fn(edit::SigningKeyEditError) -> String {
    move |error| format!("{}: {error}; nothing was changed", path.display())
}

fn add_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let key = make_key(matches)?;
    let writer = open_existing(path)?;
    let (changed, keys) = edit::add_key(writer.text(), &key).map_err(error_in_file(path))?;
    let bundle = replace_all_files(writer, &changed, &keys)?;
    print_line(&format!("added: {}", key_line(&keys, &key.kid)));
    print_line(&format!(
        "restart the registry so that it reads {}, then run: doorward signing-key use {}",
        bundle.display(),
        key.kid
    ));
    Ok(())
}

fn use_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let kid = option_value(matches, "kid").unwrap_or_default();
    let writer = open_existing(path)?;
    let before = SigningKeys::parse(writer.text()).map_err(|error| error_in_file(path)(error.into()))?;
    let (changed, keys) = edit::move_key_first(writer.text(), kid).map_err(error_in_file(path))?;
    replace_all_files(writer, &changed, &keys)?;
    print_line(&format!("active: {}", key_line(&keys, kid)));
    for previous in before.kids().take(1).filter(|previous| *previous != kid) {
        print_line(&format!(
            "after token.lifetime, when the tokens of the previous key have expired: doorward signing-key remove {previous}"
        ));
    }
    Ok(())
}

fn remove_key(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let kid = option_value(matches, "kid").unwrap_or_default();
    let writer = open_existing(path)?;
    let (changed, keys) = edit::remove_key(writer.text(), kid).map_err(error_in_file(path))?;
    let bundle = replace_all_files(writer, &changed, &keys)?;
    print_line(&format!("removed: {kid}"));
    print_line(&format!(
        "the registry accepts tokens of this key until it is restarted and reads {}",
        bundle.display()
    ));
    Ok(())
}
