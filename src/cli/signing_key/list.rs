//! `doorward signing-key list`: the keys of a signing key file, without their secrets.

use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::output::{print_json, print_line};
use crate::reload::SourceFile;
use crate::token::signing_key::reload::FILE_BYTES_MAX;
use crate::token::signing_key::{PublishedKey, SigningKeys};

/// The output for one key.
#[derive(Serialize)]
struct SigningKeySummary<'k> {
    kid: &'k str,
    algorithm: &'static str,
    /// The key signs new tokens. Other keys only verify tokens.
    active: bool,
    /// The expiry of the certificate: RFC 3339, in UTC.
    expires: String,
    expired: bool,
}

impl<'k> SigningKeySummary<'k> {
    fn from_published(key: &PublishedKey<'k>) -> Self {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(key.certificate_not_after);
        Self {
            kid: key.kid,
            algorithm: key.algorithm.name(),
            active: key.is_active,
            expires: humantime::format_rfc3339_seconds(expires).to_string(),
            expired: expires < SystemTime::now(),
        }
    }
}

/// Formats a key as a line for a terminal, with fields separated by tabs.
pub(super) fn key_summary_line(key: &PublishedKey<'_>) -> String {
    let summary = SigningKeySummary::from_published(key);
    let state = if summary.active { "active" } else { "published" };
    let expiry = if summary.expired { "EXPIRED" } else { "until" };
    format!("{}\t{}\t{state}\t{expiry} {}", summary.kid, summary.algorithm, summary.expires)
}

/// Lists the keys in the order of the file.
pub(super) fn list_signing_keys(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: FILE_BYTES_MAX };
    let content = Zeroizing::new(source.read().map_err(|error| error.to_string())?);
    let keys = SigningKeys::parse(&content).map_err(|error| format!("{}: {error}", path.display()))?;
    if matches.get_flag("json") {
        let summaries: Vec<SigningKeySummary<'_>> =
            keys.published_keys().map(|key| SigningKeySummary::from_published(&key)).collect();
        return print_json(&summaries);
    }
    keys.published_keys().for_each(|key| print_line(&key_summary_line(&key)));
    Ok(())
}
