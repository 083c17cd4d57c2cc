//! `doorward api-key list`: the API keys of the file, and how often a running doorward accepted each.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::authn::api_key::edit;
use crate::authn::api_key::file::{ApiKeyLine, ApiKeyMatch, ParsedApiKeys, check_api_key_name, parse};
use crate::authn::api_key::format::ApiKeyId;
use crate::cli::admin_client::request_admin_listener;
use crate::cli::arguments::{error_message, option_value};
use crate::cli::output::{print_error, print_json, print_line};
use crate::config::Config;
use crate::identity::{Username, sanitize_for_display};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::SourceFile;

/// Maximum size of the file with the token of the admin listener.
const ADMIN_TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;

/// Replacement for an invalid field, which can be a secret in the wrong place.
const REDACTED: &str = "-";

/// The output for one API key.
#[derive(Serialize)]
pub(super) struct ApiKeySummary<'k> {
    id: String,
    owner: &'k str,
    name: &'k str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'k [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'k str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<&'k str>,
    expired: bool,
    /// The line of the key is invalid, so doorward does not accept the key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unusable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_count: Option<u64>,
    /// RFC 3339, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
}

impl<'k> ApiKeySummary<'k> {
    /// Returns the output for a line of the file. The text of an invalid field is left out, since it can be a secret.
    pub(super) fn from_line(line: &'k ApiKeyLine) -> Self {
        let is_time = |text: &&str| humantime::parse_rfc3339(text).is_ok();
        let is_past = |text: &str| humantime::parse_rfc3339(text).map_or(true, |t| t <= SystemTime::now());
        let is_owner = Username::check(line.owner.as_bytes()).is_ok();
        let is_scope = |scope: &&[String]| ApiKeyScope::parse(scope.iter().map(String::as_str)).is_ok();
        Self {
            id: ApiKeyId::parse(&line.id).map_or_else(|| REDACTED.to_owned(), |id| id.to_string()),
            owner: if is_owner { &line.owner } else { REDACTED },
            name: if check_api_key_name(&line.name).is_ok() { &line.name } else { REDACTED },
            scope: line.scope.as_deref().map(|scope| Some(scope).filter(is_scope).unwrap_or_default()),
            created: line.created.as_deref().filter(is_time),
            expires: line.expires.as_deref().filter(is_time),
            expired: line.expires.as_deref().is_some_and(is_past),
            unusable: false,
            use_count: None,
            last_used_at: None,
        }
    }

    /// Formats the key as a line for a terminal, with fields separated by tabs.
    pub(super) fn to_line(&self) -> String {
        let display = |text: &str| sanitize_for_display(text.as_bytes());
        let scope = self.scope.map_or("everything".to_owned(), |scope| scope.join(" "));
        let state = match (self.expires, self.expired) {
            _ if self.unusable => "INVALID LINE; run doorward check".to_owned(),
            (None, _) => "no expiry".to_owned(),
            (Some(expires), true) => format!("EXPIRED {expires}"),
            (Some(expires), false) => format!("until {expires}"),
        };
        let mut text = format!(
            "{}\t{}\t{}\t{}\t{}",
            self.id,
            display(self.owner),
            display(self.name),
            display(&scope),
            display(&state)
        );
        if let Some(use_count) = self.use_count {
            let last_used_at = self.last_used_at.as_deref().unwrap_or("never");
            text.push_str(&format!("\tused {use_count} times, last {last_used_at}"));
        }
        text
    }
}

/// Lists the API keys without their secrets.
pub(super) fn list_api_keys(config: &Config, path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let (lines, parsed) = read_api_key_file(config, path)?;
    let usage = match matches.get_flag("usage") {
        true => Some(fetch_usage(config, option_value(matches, "url"))?),
        false => None,
    };
    let owner = option_value(matches, "owner");
    let mut keys: Vec<ApiKeySummary<'_>> = lines
        .iter()
        .filter(|line| owner.is_none_or(|owner| owner == line.owner))
        .map(ApiKeySummary::from_line)
        .collect();
    for key in &mut keys {
        let record = ApiKeyId::parse(&key.id).and_then(|id| parsed.index.find(&id));
        key.unusable = !matches!(record, Some(ApiKeyMatch::ApiKey(_)));
        let Some(usage) = &usage else { continue };
        let entry = usage.get(&key.id);
        key.use_count = Some(entry.map_or(0, |entry| entry.use_count));
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        key.last_used_at =
            entry.map(|entry| humantime::format_rfc3339_seconds(time(entry.last_used_at)).to_string());
    }
    if matches.get_flag("json") {
        return print_json(&keys);
    }
    keys.iter().for_each(|key| print_line(&key.to_line()));
    if parsed.invalid_lines > 0 {
        print_error(&format!("{} invalid lines; doorward check reports the reasons", parsed.invalid_lines));
    }
    Ok(())
}

fn read_api_key_file(config: &Config, path: &Path) -> Result<(Vec<ApiKeyLine>, ParsedApiKeys), String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: config.api_keys.max_bytes };
    let text = source.read().map_err(error_message)?;
    Ok((edit::parse_lines(&text).collect(), parse(&text, &"keys".into(), None)))
}

/// Reads the token of the admin listener: the first line of the file.
fn read_admin_token(path: &Path) -> Result<Zeroizing<String>, String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: ADMIN_TOKEN_FILE_BYTES_MAX };
    let text = Zeroizing::new(source.read().map_err(error_message)?);
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
    match std::str::from_utf8(line) {
        Ok(line) if line.bytes().all(|b| b.is_ascii_graphic()) => Ok(Zeroizing::new(line.to_owned())),
        Ok(_) | Err(_) => Err(format!("{}: the first line is not a token", path.display())),
    }
}

/// An entry of `/api-keys` of the admin listener.
#[derive(serde::Deserialize)]
struct ApiKeyUsageEntry {
    id: String,
    use_count: u64,
    /// Seconds since 1970.
    last_used_at: u64,
}

fn fetch_usage(config: &Config, url: Option<&str>) -> Result<HashMap<String, ApiKeyUsageEntry>, String> {
    let token = config.admin.token_file.as_deref().map(read_admin_token).transpose()?;
    let token = token.as_ref().map(|token| &token[..]);
    let response = request_admin_listener(url, config.admin.listen.first(), "/api-keys", token)
        .map_err(error_message)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    if matches!(head.split(' ').nth(1), Some("401" | "403")) {
        return Err(format!("the admin listener refused the request: {}", body.trim_end()));
    }
    let entries: Vec<ApiKeyUsageEntry> = serde_json::from_str(body).map_err(
        |_| "no list of API keys in the response; check that the address is the admin listener and that api_keys.file is set",
    )?;
    Ok(entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect())
}
