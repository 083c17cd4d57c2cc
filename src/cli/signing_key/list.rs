//! `doorward signing-key list`: the keys of a file; never their secrets.

use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{print_json, print_line};
use crate::reload::SourceFile;
use crate::token::signing_key::reload::FILE_BYTES_MAX;
use crate::token::signing_key::{PublishedKey, SigningKeys};

/// A key, as `--json` tells it.
#[derive(Serialize)]
struct SigningKeySummary<'k> {
    kid: &'k str,
    algorithm: &'static str,
    /// Whether it is the one that signs.
    signs: bool,
    /// Until when its certificate counts.
    expires: String,
    expired: bool,
}

impl<'k> SigningKeySummary<'k> {
    fn from_published(key: &PublishedKey<'k>) -> Self {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(key.certificate_not_after);
        Self {
            kid: key.kid,
            algorithm: key.algorithm.name(),
            signs: key.is_active,
            expires: humantime::format_rfc3339_seconds(end).to_string(),
            expired: end < SystemTime::now(),
        }
    }
}

/// A key, for people.
pub(super) fn key_summary_line(key: &PublishedKey<'_>) -> String {
    let told = SigningKeySummary::from_published(key);
    let state = if told.signs { "signs" } else { "published" };
    let end = if told.expired { "EXPIRED" } else { "until" };
    format!("{}\t{}\t{state}\t{end} {}", told.kid, told.algorithm, told.expires)
}

/// Lists them, in their order.
pub(super) fn list_signing_keys(path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: FILE_BYTES_MAX };
    let content = Zeroizing::new(source.read().map_err(|fault| fault.to_string())?);
    let keys = SigningKeys::parse(&content).map_err(|fault| format!("{}: {fault}", path.display()))?;
    if matches.get_flag("json") {
        let all: Vec<SigningKeySummary<'_>> =
            keys.published_keys().map(|key| SigningKeySummary::from_published(&key)).collect();
        print_json(&all)?;
    } else {
        keys.published_keys().for_each(|key| print_line(&key_summary_line(&key)));
    }
    Ok(())
}
