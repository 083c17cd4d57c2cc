//! `doorward signing-key init`: a file of keys with its first one, and all that a registry needs to know of it.

use std::fs;
use std::path::Path;

use clap::ArgMatches;

use super::{
    BUNDLE_FILE, JWKS_FILE, PUBLIC_FILE_MODE, SECRET_FILE_MODE, check_file_name, given, key_line, make_key,
    text, write_public_files,
};
use crate::cli::{open_for_update, print_line};
use crate::config::value;
use crate::identity::sanitize_for_display;
use crate::token::signing_key::SigningKeys;
use crate::token::signing_key::key_pair::SigningAlgorithm;

/// The part of a registry's configuration.
pub(super) const REGISTRY_CONFIG_FILE: &str = "registry-auth.yml";

/// What stands there until somebody says what it is.
const EXAMPLE_SERVICE: &str = "registry.example.com";

/// A text that is the same in YAML's and in a header's quotes, and that the settings take.
fn challenge_parameter_option<'m>(matches: &'m ArgMatches, flag: &str) -> Result<Option<&'m str>, String> {
    let Some(text) = given(matches, flag) else { return Ok(None) };
    value::parse_challenge_parameter(text)
        .map_err(|what| format!("--{flag}: {}: {what}", sanitize_for_display(text.as_bytes())))?;
    Ok(Some(text))
}

fn realm_option(matches: &ArgMatches) -> Result<Option<&str>, String> {
    let Some(text) = given(matches, "realm") else { return Ok(None) };
    value::parse_token_url(text).map_err(|what| format!("--realm: {what}"))?;
    Ok(Some(text))
}

/// The part of a registry's configuration, for version 2.8 and 3.
fn registry_config(matches: &ArgMatches, folder: &Path) -> Result<String, String> {
    let (service, issuer, realm) = (
        challenge_parameter_option(matches, "service")?,
        challenge_parameter_option(matches, "issuer")?,
        realm_option(matches)?,
    );
    // JSON's quotes are YAML's too.
    let path = |file: &str| serde_json::to_string(&folder.join(file)).map_err(text);
    let (bundle, jwks) = (path(BUNDLE_FILE)?, path(JWKS_FILE)?);
    let (service_or, example) =
        (service.unwrap_or(EXAMPLE_SERVICE), format!("https://{EXAMPLE_SERVICE}/token"));
    let (issuer, realm_or) = (issuer.unwrap_or("doorward"), realm.unwrap_or(&example));
    let todo = |given: Option<&str>| if given.is_none() { "    # Put in what it is.\n" } else { "" };
    let (todo_service, todo_realm) = (todo(service), todo(realm));
    let algorithms = SigningAlgorithm::ALL.map(|algorithm| format!("\"{algorithm}\"")).join(", ");
    Ok(format!(
        "# The part of the registry's configuration about tokens; it is the same for registry 2.8 and 3.\n\
         # realm, service and issuer are doorward's token.realm, token.service and token.issuer, letter by letter.\n\
         auth:\n\
         \u{20} token:\n\
         {todo_realm}    realm: \"{realm_or}\"\n\
         {todo_service}    service: \"{service_or}\"\n\
         \u{20}   issuer: \"{issuer}\"\n\
         \u{20}   # The file as the registry sees it. It reads it when it starts, so start it again after each\n\
         \u{20}   # doorward signing-key add and remove. It needs nothing else of that folder: never give it the keys.\n\
         \u{20}   rootcertbundle: {bundle}\n\
         \u{20}   # Registry 3 takes no other algorithms then; 2.8 does not know the word, and passes it over.\n\
         \u{20}   signingalgorithms: [{algorithms}]\n\
         \u{20}   # Registry 3 can read this too. It need not: doorward's tokens bring the certificate along, and the\n\
         \u{20}   # registry looks for that alone, in rootcertbundle.\n\
         \u{20}   # jwks: {jwks}\n"
    ))
}

/// Makes all of them, where none is.
pub(super) fn init_signing_keys(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let made = make_key(matches)?;
    check_file_name(path)?;
    let writer = open_for_update(path, true).map_err(text)?;
    let folder = fs::canonicalize(writer.folder()).map_err(|error| format!("{}: {error}", path.display()))?;
    if !writer.is_new() {
        return Err(format!(
            "{}: it is there already, and stays; doorward signing-key add makes a further key",
            path.display()
        ));
    }
    let beside = [BUNDLE_FILE, JWKS_FILE, REGISTRY_CONFIG_FILE].map(|file| folder.join(file));
    if let Some(there) = beside.iter().find(|file| fs::symlink_metadata(file).is_ok()) {
        return Err(format!(
            "{}: it is there already; each file of keys needs a folder of its own, or remove this if it is of no use",
            there.display()
        ));
    }
    let snippet = registry_config(matches, &folder)?;
    let keys = SigningKeys::parse(made.pem.as_bytes()).map_err(text)?;
    let written = write_public_files(&writer, &keys)
        .and_then(|()| {
            writer.write_sibling(REGISTRY_CONFIG_FILE, snippet.as_bytes(), PUBLIC_FILE_MODE).map_err(text)
        })
        .and_then(|()| writer.with_new_mode(SECRET_FILE_MODE).replace(made.pem.as_bytes()).map_err(text));
    if let Err(fault) = written {
        // Without the keys they are of no use, and in the way of the next try.
        beside.iter().for_each(|file| drop(fs::remove_file(file)));
        return Err(fault);
    }
    print_line(&format!("signs: {}", key_line(&keys, &made.kid)));
    print_line(&format!("{}: the keys; for doorward alone", path.display()));
    for (file, what) in beside.iter().zip([
        "for the registry, its rootcertbundle",
        "the public keys",
        "for the registry's configuration",
    ]) {
        print_line(&format!("{}: {what}", file.display()));
    }
    Ok(())
}
