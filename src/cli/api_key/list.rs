//! `doorward api-key list`: the keys of the file, and what a running doorward knows of their use.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{given, text};
use crate::authn::api_key::edit;
use crate::authn::api_key::file::{ApiKeyLine, ApiKeyMatch, ParsedApiKeys, check_api_key_name, parse};
use crate::authn::api_key::format::ApiKeyId;
use crate::cli::{health, print_error, print_json, print_line};
use crate::config::Config;
use crate::identity::{Username, sanitize_for_display};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::SourceFile;

/// The largest file of the admin listener's token that is read.
const ADMIN_TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;

/// What stands in the place of a text that is not told.
const REDACTED: &str = "-";

/// What is told of a key.
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
    /// Its line can't be used.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unusable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
}

impl<'k> ApiKeySummary<'k> {
    /// Of a line that was read. Of what can't be right in it no text is told, since it may be a secret.
    pub(super) fn from_line(line: &'k ApiKeyLine) -> Self {
        let time = |text: &&str| humantime::parse_rfc3339(text).is_ok();
        let over = |text: &str| humantime::parse_rfc3339(text).map_or(true, |time| time <= SystemTime::now());
        let is_owner = Username::check(line.owner.as_bytes()).is_ok();
        let is_scope = |scope: &&[String]| ApiKeyScope::parse(scope.iter().map(String::as_str)).is_ok();
        Self {
            id: ApiKeyId::parse(&line.id).map_or_else(|| REDACTED.to_owned(), |id| id.to_string()),
            owner: if is_owner { &line.owner } else { REDACTED },
            name: if check_api_key_name(&line.name).is_ok() { &line.name } else { REDACTED },
            scope: line.scope.as_deref().map(|scope| Some(scope).filter(is_scope).unwrap_or_default()),
            created: line.created.as_deref().filter(time),
            expires: line.expires.as_deref().filter(time),
            expired: line.expires.as_deref().is_some_and(over),
            unusable: false,
            use_count: None,
            last_used_at: None,
        }
    }

    /// For people.
    pub(super) fn to_line(&self) -> String {
        let word = |text: &str| sanitize_for_display(text.as_bytes());
        let scope = self.scope.map_or("everything".to_owned(), |scope| scope.join(" "));
        let end = match (self.expires, self.expired) {
            _ if self.unusable => "CAN'T BE USED; doorward check says why".to_owned(),
            (None, _) => "never ends".to_owned(),
            (Some(end), true) => format!("EXPIRED {end}"),
            (Some(end), false) => format!("until {end}"),
        };
        let mut text = format!(
            "{}\t{}\t{}\t{}\t{}",
            self.id,
            word(self.owner),
            word(self.name),
            word(&scope),
            word(&end)
        );
        if let Some(uses) = self.use_count {
            let last = self.last_used_at.as_deref().unwrap_or("never");
            text.push_str(&format!("\tused {uses} times, last {last}"));
        }
        text
    }
}

/// Lists the keys; never their secrets.
pub(super) fn list_api_keys(settings: &Config, path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let (lines, parsed) = read_api_key_file(settings, path)?;
    let uses = match matches.get_flag("used") {
        true => Some(fetch_usage(settings, given(matches, "url"))?),
        false => None,
    };
    let owner = given(matches, "owner");
    let mut told: Vec<ApiKeySummary<'_>> = lines
        .iter()
        .filter(|line| owner.is_none_or(|owner| owner == line.owner))
        .map(ApiKeySummary::from_line)
        .collect();
    for one in &mut told {
        let known = ApiKeyId::parse(&one.id).and_then(|id| parsed.index.find(&id));
        one.unusable = !matches!(known, Some(ApiKeyMatch::ApiKey(_)));
        let Some(uses) = &uses else { continue };
        let known = uses.get(&one.id);
        one.use_count = Some(known.map_or(0, |used| used.use_count));
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        one.last_used_at =
            known.map(|used| humantime::format_rfc3339_seconds(time(used.last_used_at)).to_string());
    }
    if matches.get_flag("json") {
        return print_json(&told);
    }
    told.iter().for_each(|one| print_line(&one.to_line()));
    if parsed.invalid_lines > 0 {
        print_error(&format!("{} lines can't be used; doorward check says why", parsed.invalid_lines));
    }
    Ok(())
}

fn read_api_key_file(settings: &Config, path: &Path) -> Result<(Vec<ApiKeyLine>, ParsedApiKeys), String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: settings.api_keys.max_bytes };
    let text = source.read().map_err(self::text)?;
    Ok((edit::parse_lines(&text).collect(), parse(&text, &"keys".into(), None)))
}

/// The token of the admin listener.
fn read_admin_token(path: &Path) -> Result<Zeroizing<String>, String> {
    let source = SourceFile { path: path.to_owned(), max_bytes: ADMIN_TOKEN_FILE_BYTES_MAX };
    let text = Zeroizing::new(source.read().map_err(self::text)?);
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
    match std::str::from_utf8(line) {
        Ok(line) if line.bytes().all(|b| b.is_ascii_graphic()) => Ok(Zeroizing::new(line.to_owned())),
        Ok(_) | Err(_) => Err(format!("{}: the first line is not a token", path.display())),
    }
}

/// How a key was used, as the admin listener tells it.
#[derive(serde::Deserialize)]
struct ApiKeyUsageEntry {
    id: String,
    use_count: u64,
    last_used_at: u64,
}

fn fetch_usage(settings: &Config, url: Option<&str>) -> Result<HashMap<String, ApiKeyUsageEntry>, String> {
    let token = settings.admin.token_file.as_deref().map(read_admin_token).transpose()?;
    let token = token.as_ref().map(|token| &token[..]);
    let answer = health::request_admin_listener(url, settings.admin.listen.first(), "/api-keys", token)
        .map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if matches!(head.split(' ').nth(1), Some("401" | "403")) {
        return Err(format!("the admin listener refuses: {}", body.trim_end()));
    }
    let used: Vec<ApiKeyUsageEntry> = serde_json::from_str(body)
        .map_err(|_| "the admin listener gives no list of keys: is it doorward's, and are there keys?")?;
    Ok(used.into_iter().map(|used| (used.id.clone(), used)).collect())
}
