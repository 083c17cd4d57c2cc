//! The file of keys: one JSON object a line, so that a web service of the user's own can write it, with
//! nothing secret in it but what an attacker would have to guess 178 bits for.
//!
//! ```json
//! {"id":"0123456789","hash":"sha256:…","owner":"alice","name":"ci","scope":["pull:team/**"],"created":"2026-11-22T09:00:00Z","expires":"2027-02-20T09:00:00Z"}
//! ```
//!
//! Blank lines and those that begin with `#` count for nothing. A line that can't be used costs that key,
//! and two lines with one id cost both: which of them was meant can't be told.

use std::collections::HashMap as Interned;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use hashbrown::HashMap;
use serde::{Deserialize, Deserializer, Serialize};

use super::format::{ApiKeyDigest, ApiKeyId};
use super::{ApiKey, ApiKeyUsage};
use crate::authn::Identity;
use crate::identity::{Membership, Username, is_layout_character};
use crate::permissions::api_key_scope::ApiKeyScope;

/// The comment that the last key leaves: without it an empty file would count only after a while, since it
/// may be about to be written, and one with nothing but bad lines not at all.
pub const NO_KEYS_LINE: &[u8] = b"# no keys";

/// The most keys of a file.
pub const API_KEYS_MAX: usize = 1_000_000;

/// The longest name of a key, in characters.
pub const NAME_LENGTH_MAX: usize = 64;

/// The longest line, in bytes: one with the most rights in its scope has some 30,000.
const LINE_LENGTH_MAX: usize = 64 << 10;

/// The most faults that are told of one file.
pub const LINE_ERRORS_MAX: usize = 100;

/// One line, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyLine {
    /// The key's public part, without the prefix.
    pub id: String,
    /// `sha256:` and the digest of the whole key.
    pub hash: String,
    /// The user whose key it is.
    pub owner: String,
    /// What its owner calls it.
    pub name: String,
    /// What may be done with it; without this all that its owner may do.
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// RFC 3339, in UTC.
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// RFC 3339, in UTC; without this never.
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// For people.
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A value that is left out or there: null is neither, and some programs write it for an empty list.
fn deserialize_present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyLineError {
    /// From 1.
    pub line: usize,
    /// What, and what to do.
    pub message: String,
}

/// A key that can be used.
#[derive(Debug)]
pub struct ApiKeyRecord {
    /// Of the whole key.
    pub digest: ApiKeyDigest,
    /// In seconds since 1970.
    pub expires_at: Option<u64>,
    /// Whom it proves.
    pub identity: Arc<Identity>,
}

#[derive(Debug)]
enum ApiKeyEntry {
    Key(ApiKeyRecord),
    /// At this line.
    InvalidLine(usize),
}

/// What there is under an id.
pub enum ApiKeyMatch<'f> {
    /// A key.
    ApiKey(&'f ApiKeyRecord),
    /// A line that can't be used.
    InvalidLine(usize),
}

/// The keys of a file.
#[derive(Debug, Default)]
pub struct ApiKeyIndex {
    entries: HashMap<ApiKeyId, ApiKeyEntry>,
}

/// What comes of reading a file.
#[derive(Debug, Default)]
pub struct ParsedApiKeys {
    /// The keys.
    pub index: ApiKeyIndex,
    /// What is wrong; the first [`FAULTS_MAX`] of it.
    pub line_errors: Vec<ApiKeyLineError>,
    /// How many lines can't be used.
    pub invalid_lines: usize,
    /// Whether it says itself that there are none.
    pub is_marked_empty: bool,
}

impl ApiKeyIndex {
    /// What there is under an id.
    pub fn find(&self, id: &ApiKeyId) -> Option<ApiKeyMatch<'_>> {
        self.entries.get(id).map(|entry| match entry {
            ApiKeyEntry::Key(record) => ApiKeyMatch::ApiKey(record),
            ApiKeyEntry::InvalidLine(line) => ApiKeyMatch::InvalidLine(*line),
        })
    }

    /// Whether it is about no key at all, well or spoilt.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys that can be used, in no order.
    pub fn records(&self) -> impl Iterator<Item = &ApiKeyRecord> {
        self.entries.values().filter_map(|entry| match entry {
            ApiKeyEntry::Key(record) => Some(record),
            ApiKeyEntry::InvalidLine(_) => None,
        })
    }

    fn usage(&self, id: &ApiKeyId) -> Option<Arc<ApiKeyUsage>> {
        match self.entries.get(id) {
            Some(ApiKeyEntry::Key(record)) => {
                record.identity.api_key.as_ref().map(|key| Arc::clone(&key.usage))
            }
            _ => None,
        }
    }
}

/// Reads a text. `by` is the authenticator's name; what is known of the use of the keys `before` goes on.
pub fn parse(text: &[u8], by: &Arc<str>, before: Option<&ApiKeyIndex>) -> ParsedApiKeys {
    let mut parsed = ParsedApiKeys::default();
    let mut scopes = Interned::new();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (at, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        parsed.is_marked_empty |= line == NO_KEYS_LINE;
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if parsed.index.entries.len() >= API_KEYS_MAX {
            parsed
                .add_line_error(at, format!("there are more than {API_KEYS_MAX} keys; the rest is not read"));
            break;
        }
        match parse_line(line, by, before, &mut scopes) {
            Ok((id, record)) => parsed.insert(at, id, record),
            Err((id, what)) => {
                parsed.add_line_error(at, what);
                if let Some(id) = id {
                    parsed.index.entries.insert(id, ApiKeyEntry::InvalidLine(at));
                }
            }
        }
    }
    parsed
}

impl ParsedApiKeys {
    fn add_line_error(&mut self, line: usize, what: String) {
        self.invalid_lines += 1;
        if self.line_errors.len() < LINE_ERRORS_MAX {
            self.line_errors.push(ApiKeyLineError { line, message: what });
        }
    }

    fn insert(&mut self, line: usize, id: ApiKeyId, record: ApiKeyRecord) {
        if self.index.entries.insert(id, ApiKeyEntry::Key(record)).is_some() {
            self.add_line_error(
                line,
                format!("there is another line with the id {}; neither counts", id.as_str()),
            );
            self.index.entries.insert(id, ApiKeyEntry::InvalidLine(line));
        }
    }
}

type ScopeInterner = Interned<Vec<String>, Arc<ApiKeyScope>>;

fn parse_line(
    line: &[u8],
    by: &Arc<str>,
    before: Option<&ApiKeyIndex>,
    scopes: &mut ScopeInterner,
) -> Result<(ApiKeyId, ApiKeyRecord), (Option<ApiKeyId>, String)> {
    if line.len() > LINE_LENGTH_MAX {
        return Err((None, format!("the line is longer than {LINE_LENGTH_MAX} bytes")));
    }
    if !line.starts_with(b"{") {
        let what = format!("the line of {} bytes is no key; write one JSON object a line", line.len());
        return Err((None, what));
    }
    let line: ApiKeyLine = serde_json::from_slice(line).map_err(|error| {
        (recover_id(line), format!("it is no key: {}", describe_json_error(line, &error)))
    })?;
    let id = ApiKeyId::parse_without_prefix(&line.id).ok_or_else(|| {
        (ApiKeyId::parse(&line.id), "id: it has 10 letters and digits, and no prefix".to_owned())
    })?;
    build_record(id, line, by, before, scopes).map(|record| (id, record)).map_err(|what| (Some(id), what))
}

/// What is wrong with the JSON of a line. Serde's own words quote what stands there, which may be a secret.
fn describe_json_error(line: &[u8], error: &serde_json::Error) -> String {
    const TEXTS: [&str; 7] = ["id", "hash", "owner", "name", "created", "expires", "note"];
    const REQUIRED: [&str; 4] = ["id", "hash", "owner", "name"];
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice::<serde_json::Value>(line) else {
        return format!("it is not JSON from byte {} of {} on", error.column(), line.len());
    };
    if let Some(missing) = REQUIRED.iter().find(|name| !fields.contains_key(**name)) {
        return format!("missing field {missing}");
    }
    for (name, value) in &fields {
        match (name.as_str(), value) {
            (text, value) if TEXTS.contains(&text) => {
                if !value.is_string() {
                    return format!("{text}: it has to be a text");
                }
            }
            ("scope", serde_json::Value::Array(rights))
                if rights.iter().all(serde_json::Value::is_string) => {}
            ("scope", _) => return "scope: it has to be a list of texts".to_owned(),
            (other, _) => {
                let known = TEXTS.into_iter().chain(["scope"]);
                let alike = |known: &&str| (strsim::jaro_winkler(other, known) * 1000.0) as u32;
                return match known.max_by_key(alike).filter(|near| alike(near) > 800) {
                    Some(near) => format!("{other}: there is no such field; you may mean {near}"),
                    None => format!("there is a field besides {} and scope", TEXTS.join(", ")),
                };
            }
        }
    }
    "a field stands there twice".to_owned()
}

/// The id of a line that can't be used otherwise.
fn recover_id(line: &[u8]) -> Option<ApiKeyId> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    value.get("id")?.as_str().and_then(ApiKeyId::parse)
}

fn build_record(
    id: ApiKeyId,
    line: ApiKeyLine,
    by: &Arc<str>,
    before: Option<&ApiKeyIndex>,
    scopes: &mut ScopeInterner,
) -> Result<ApiKeyRecord, String> {
    let digest = ApiKeyDigest::parse(&line.hash).ok_or("hash: write sha256: and 64 hexadecimal digits")?;
    let user = Username::parse(line.owner.as_bytes()).map_err(|fault| format!("owner: {fault}"))?;
    check_api_key_name(&line.name)?;
    parse_time("created", line.created.as_deref())?;
    let expires = parse_time("expires", line.expires.as_deref())?;
    let scope = match line.scope {
        None => None,
        Some(texts) => Some(match scopes.get(&texts) {
            Some(scope) => Arc::clone(scope),
            None => {
                let scope = ApiKeyScope::parse(texts.iter().map(String::as_str))
                    .map_err(|what| format!("scope: {what}"))?;
                Arc::clone(scopes.entry(texts).or_insert(Arc::new(scope)))
            }
        }),
    };
    let uses = before.and_then(|before| before.usage(&id)).unwrap_or_default();
    let key = ApiKey { id, name: line.name.into(), scope, expires_at: expires, usage: uses };
    let identity = Identity {
        user,
        authenticator: Arc::clone(by),
        membership: Membership::default(),
        facts: Box::default(),
        api_key: Some(Arc::new(key)),
    };
    Ok(ApiKeyRecord { digest, expires_at: expires, identity: Arc::new(identity) })
}

/// Whether a key may be called so.
///
/// # Errors
/// What would do instead.
pub fn check_api_key_name(name: &str) -> Result<(), String> {
    let well = |c: char| !c.is_control() && !c.is_whitespace() && !is_layout_character(c);
    if (1..=NAME_LENGTH_MAX).contains(&name.chars().count()) && name.chars().all(well) {
        return Ok(());
    }
    Err(format!("name: it has 1 to {NAME_LENGTH_MAX} characters, and no spaces"))
}

/// A time of the file, in seconds since 1970.
fn parse_time(what: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    let parsed = humantime::parse_rfc3339(text).ok();
    let since = parsed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let since = since.ok_or_else(|| format!("{what}: write it in UTC, as in 2027-01-31T12:00:00Z"))?;
    Ok(Some(since.as_secs()))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
