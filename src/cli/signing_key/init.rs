//! `doorward signing-key init`: creates a signing key file with one key, and the files that a registry needs to verify
//! tokens.

use std::fs;
use std::path::Path;

use clap::ArgMatches;

use super::{
    BUNDLE_FILE, JWKS_FILE, PUBLIC_FILE_MODE, SECRET_FILE_MODE, check_file_name, key_line, make_key,
    write_public_files,
};
use crate::cli::arguments::{error_message, option_value};
use crate::cli::open_for_update;
use crate::cli::output::print_line;
use crate::config::value;
use crate::identity::sanitize_for_display;
use crate::token::signing_key::SigningKeys;
use crate::token::signing_key::key_pair::SigningAlgorithm;

/// The name of the file with the token section for the configuration of a registry.
pub(super) const REGISTRY_CONFIG_FILE: &str = "registry-auth.yml";

/// The placeholder for `--service`.
const EXAMPLE_SERVICE: &str = "registry.example.com";

/// Returns the value of a flag that is placed between quotes in YAML and in the `WWW-Authenticate` header. The setting
/// of the same name has the same restrictions.
fn challenge_parameter_option<'m>(matches: &'m ArgMatches, flag: &str) -> Result<Option<&'m str>, String> {
    let Some(text) = option_value(matches, flag) else { return Ok(None) };
    value::parse_challenge_parameter(text)
        .map_err(|error| format!("--{flag}: {}: {error}", sanitize_for_display(text.as_bytes())))?;
    Ok(Some(text))
}

fn realm_option(matches: &ArgMatches) -> Result<Option<&str>, String> {
    let Some(text) = option_value(matches, "realm") else { return Ok(None) };
    value::parse_token_url(text).map_err(|error| format!("--realm: {error}"))?;
    Ok(Some(text))
}

/// Returns the token section for the configuration of a registry, version 2.8 or 3.
fn registry_config(matches: &ArgMatches, folder: &Path) -> Result<String, String> {
    let (service, issuer, realm) = (
        challenge_parameter_option(matches, "service")?,
        challenge_parameter_option(matches, "issuer")?,
        realm_option(matches)?,
    );
    // A JSON string is also a YAML string.
    let quoted_path = |file: &str| serde_json::to_string(&folder.join(file)).map_err(error_message);
    let (bundle, jwks) = (quoted_path(BUNDLE_FILE)?, quoted_path(JWKS_FILE)?);
    let (service_or, example) =
        (service.unwrap_or(EXAMPLE_SERVICE), format!("https://{EXAMPLE_SERVICE}/token"));
    let (issuer, realm_or) = (issuer.unwrap_or("doorward"), realm.unwrap_or(&example));
    let todo = |value: Option<&str>| if value.is_none() { "    # Replace this example.\n" } else { "" };
    let (todo_service, todo_realm) = (todo(service), todo(realm));
    let algorithms = SigningAlgorithm::ALL.map(|algorithm| format!("\"{algorithm}\"")).join(", ");
    Ok(format!(
        "# The token section of the registry configuration, for registry 2.8 and 3.\n\
         # realm, service and issuer must be equal to token.realm, token.service and token.issuer of doorward.\n\
         auth:\n\
         \u{20} token:\n\
         {todo_realm}    realm: \"{realm_or}\"\n\
         {todo_service}    service: \"{service_or}\"\n\
         \u{20}   issuer: \"{issuer}\"\n\
         \u{20}   # The path at which the registry reads the file. The registry reads it only at its start, so restart\n\
         \u{20}   # it after each doorward signing-key add and remove. Do not give the registry the signing key file.\n\
         \u{20}   rootcertbundle: {bundle}\n\
         \u{20}   # Registry 3 accepts only these algorithms. Registry 2.8 ignores this line.\n\
         \u{20}   signingalgorithms: [{algorithms}]\n\
         \u{20}   # Registry 3 can also read the public keys. This is not required: each token contains its certificate,\n\
         \u{20}   # which the registry verifies with rootcertbundle.\n\
         \u{20}   # jwks: {jwks}\n"
    ))
}

/// Creates the signing key file and the public files. None of them may exist.
pub(super) fn init_signing_keys(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let key = make_key(matches)?;
    check_file_name(path)?;
    let writer = open_for_update(path, true).map_err(error_message)?;
    let folder = fs::canonicalize(writer.folder()).map_err(|error| format!("{}: {error}", path.display()))?;
    if !writer.is_new() {
        return Err(format!(
            "{}: the file exists and was not changed; add a key with: doorward signing-key add",
            path.display()
        ));
    }
    let public_files = [BUNDLE_FILE, JWKS_FILE, REGISTRY_CONFIG_FILE].map(|file| folder.join(file));
    if let Some(existing) = public_files.iter().find(|file| fs::symlink_metadata(file).is_ok()) {
        return Err(format!(
            "{}: the file exists; use another folder for each signing key file, or remove this file if it is not used",
            existing.display()
        ));
    }
    let registry_config = registry_config(matches, &folder)?;
    let keys = SigningKeys::parse(key.pem.as_bytes()).map_err(error_message)?;
    let written = write_public_files(&writer, &keys)
        .and_then(|()| {
            writer
                .write_sibling(REGISTRY_CONFIG_FILE, registry_config.as_bytes(), PUBLIC_FILE_MODE)
                .map_err(error_message)
        })
        .and_then(|()| {
            writer.with_new_mode(SECRET_FILE_MODE).replace(key.pem.as_bytes()).map_err(error_message)
        });
    if let Err(error) = written {
        // Public files without a signing key file are useless, and would make the next attempt fail.
        public_files.iter().for_each(|file| drop(fs::remove_file(file)));
        return Err(error);
    }
    print_line(&format!("active: {}", key_line(&keys, &key.kid)));
    print_line(&format!("{}: the private keys, for doorward only", path.display()));
    for (file, description) in public_files.iter().zip([
        "the certificates, for rootcertbundle of the registry",
        "the public keys",
        "the token section for the registry configuration",
    ]) {
        print_line(&format!("{}: {description}", file.display()));
    }
    Ok(())
}
