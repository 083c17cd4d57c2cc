//! Parses the API key file: one JSON object per line, so that another program can write it. The file contains no
//! secrets: an attacker must guess 178 bits to find the key for a digest.
//!
//! ```json
//! {"id":"0123456789","hash":"sha256:…","owner":"alice","name":"ci","scope":["pull:team/**"],"created":"2026-11-22T09:00:00Z","expires":"2027-02-20T09:00:00Z"}
//! ```
//!
//! Blank lines and lines that start with `#` are ignored. An invalid line disables only its own key. If two lines have
//! the same id, both are disabled, because either of them may be the wrong one.

use std::collections::HashMap as StdHashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use hashbrown::HashMap;
use serde::{Deserialize, Deserializer, Serialize};

use super::format::{ApiKeyDigest, ApiKeyId};
use super::{ApiKey, ApiKeyUsage};
use crate::authn::Identity;
use crate::identity::{Membership, Username, is_layout_character};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::reload::utf8_bom::strip_utf8_bom;

/// The comment that marks a file as intentionally empty. `api-key revoke` writes it in place of the last key.
///
/// Without it, an empty file is used only after a delay, because another program may be about to write it. A file that
/// has only invalid lines is never used without it.
pub(crate) const NO_KEYS_LINE: &[u8] = b"# no keys";

/// The maximum number of keys in a file.
const API_KEYS_MAX: usize = 1_000_000;

/// The maximum length of the name of a key, in characters.
const NAME_LENGTH_MAX: usize = 64;

/// The maximum length of a line, in bytes. A line with the largest scope has about 30,000.
const LINE_LENGTH_MAX: usize = 64 << 10;

/// The maximum number of line errors that are reported for one file.
const LINE_ERRORS_MAX: usize = 100;

/// One line of the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyLine {
    /// The public part of the key, without the prefix.
    pub(crate) id: String,
    /// The digest of the whole key, with the prefix `sha256:`.
    pub(crate) hash: String,
    /// The user name of the owner.
    pub(crate) owner: String,
    /// The name that the owner chose.
    pub(crate) name: String,
    /// The scope. If it is absent, the key has all permissions of its owner.
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<Vec<String>>,
    /// The creation time (RFC 3339, UTC).
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    /// The expiry (RFC 3339, UTC). If it is absent, the key does not expire.
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    /// A note for administrators, which doorward ignores.
    #[serde(default, deserialize_with = "deserialize_present", skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// Deserializes an optional field that is present. `null` is an error: some programs write it for an empty list, and an
/// absent scope would grant all permissions.
fn deserialize_present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// The error of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKeyLineError {
    /// The line number, counted from 1.
    pub(crate) line: usize,
    /// The error and its remedy.
    pub(crate) message: String,
}

/// A valid key.
#[derive(Debug)]
pub(crate) struct ApiKeyRecord {
    /// The digest of the whole key.
    pub(crate) digest: ApiKeyDigest,
    /// The expiry in Unix seconds.
    pub(crate) expires_at: Option<u64>,
    /// The identity that the key authenticates.
    pub(crate) identity: Arc<Identity>,
}

#[derive(Debug)]
enum ApiKeyEntry {
    Key(ApiKeyRecord),
    /// The number of an invalid line.
    InvalidLine(usize),
}

/// The result of the lookup of an id.
pub(crate) enum ApiKeyMatch<'f> {
    /// A valid key.
    ApiKey(&'f ApiKeyRecord),
    /// The number of an invalid line.
    InvalidLine(usize),
}

/// The keys of a file by id.
#[derive(Debug, Default)]
pub(crate) struct ApiKeyIndex {
    entries: HashMap<ApiKeyId, ApiKeyEntry>,
}

/// The result of parsing a file.
#[derive(Debug, Default)]
pub(crate) struct ParsedApiKeys {
    /// The keys.
    pub(crate) index: ApiKeyIndex,
    /// The first `LINE_ERRORS_MAX` errors.
    pub(crate) line_errors: Vec<ApiKeyLineError>,
    /// The number of invalid lines.
    pub(crate) invalid_lines: usize,
    /// Whether the file contains [`NO_KEYS_LINE`].
    pub(crate) is_marked_empty: bool,
}

impl ApiKeyIndex {
    /// Returns the key or the invalid line with an id.
    pub(crate) fn find(&self, id: &ApiKeyId) -> Option<ApiKeyMatch<'_>> {
        self.entries.get(id).map(|entry| match entry {
            ApiKeyEntry::Key(record) => ApiKeyMatch::ApiKey(record),
            ApiKeyEntry::InvalidLine(line) => ApiKeyMatch::InvalidLine(*line),
        })
    }

    /// Returns true if the file has no key with a readable id, valid or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the valid keys, in no order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &ApiKeyRecord> {
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

/// Parses the text of a file. `authenticator` is the name of the authenticator in identities. The usage of the keys is
/// taken from the index `before`.
pub(crate) fn parse(text: &[u8], authenticator: &Arc<str>, before: Option<&ApiKeyIndex>) -> ParsedApiKeys {
    let mut parsed = ParsedApiKeys::default();
    let mut scopes = ScopeInterner::new();
    let text = strip_utf8_bom(text);
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        parsed.is_marked_empty |= line == NO_KEYS_LINE;
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if parsed.index.entries.len() >= API_KEYS_MAX {
            parsed.add_line_error(
                number,
                format!("the file has more than {API_KEYS_MAX} keys; the rest is ignored"),
            );
            break;
        }
        match parse_line(line, authenticator, before, &mut scopes) {
            Ok((id, record)) => parsed.insert(number, id, record),
            Err((id, message)) => {
                parsed.add_line_error(number, message);
                if let Some(id) = id {
                    parsed.index.entries.insert(id, ApiKeyEntry::InvalidLine(number));
                }
            }
        }
    }
    parsed
}

impl ParsedApiKeys {
    fn add_line_error(&mut self, line: usize, message: String) {
        self.invalid_lines += 1;
        if self.line_errors.len() < LINE_ERRORS_MAX {
            self.line_errors.push(ApiKeyLineError { line, message });
        }
    }

    fn insert(&mut self, line: usize, id: ApiKeyId, record: ApiKeyRecord) {
        if self.index.entries.insert(id, ApiKeyEntry::Key(record)).is_some() {
            self.add_line_error(
                line,
                format!("another line has the same id {}; both are disabled, so remove one", id.as_str()),
            );
            self.index.entries.insert(id, ApiKeyEntry::InvalidLine(line));
        }
    }
}

/// The parsed scopes by their text, so that keys with equal scopes share one.
type ScopeInterner = StdHashMap<Vec<String>, Arc<ApiKeyScope>>;

fn parse_line(
    line: &[u8],
    authenticator: &Arc<str>,
    before: Option<&ApiKeyIndex>,
    scopes: &mut ScopeInterner,
) -> Result<(ApiKeyId, ApiKeyRecord), (Option<ApiKeyId>, String)> {
    if line.len() > LINE_LENGTH_MAX {
        return Err((None, format!("the line is longer than {LINE_LENGTH_MAX} bytes")));
    }
    if !line.starts_with(b"{") {
        let message =
            format!("the line of {} bytes is not an API key; write one JSON object per line", line.len());
        return Err((None, message));
    }
    let line: ApiKeyLine = serde_json::from_slice(line).map_err(|error| {
        (recover_id(line), format!("invalid API key: {}", describe_json_error(line, &error)))
    })?;
    let id = ApiKeyId::parse_without_prefix(&line.id).ok_or_else(|| {
        (ApiKeyId::parse(&line.id), "id: must be 10 letters and digits, without the prefix".to_owned())
    })?;
    build_record(id, line, authenticator, before, scopes)
        .map(|record| (id, record))
        .map_err(|message| (Some(id), message))
}

/// Describes the error in the JSON of a line. The messages of serde are not used: they quote the line, which may contain
/// a secret.
fn describe_json_error(line: &[u8], error: &serde_json::Error) -> String {
    const STRINGS: [&str; 7] = ["id", "hash", "owner", "name", "created", "expires", "note"];
    const REQUIRED: [&str; 4] = ["id", "hash", "owner", "name"];
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice::<serde_json::Value>(line) else {
        return format!("not JSON at byte {} of {}", error.column(), line.len());
    };
    if let Some(missing) = REQUIRED.iter().find(|name| !fields.contains_key(**name)) {
        return format!("missing field {missing}");
    }
    for (name, value) in &fields {
        match (name.as_str(), value) {
            (known, value) if STRINGS.contains(&known) => {
                if !value.is_string() {
                    return format!("{known}: must be a string");
                }
            }
            ("scope", serde_json::Value::Array(entries))
                if entries.iter().all(serde_json::Value::is_string) => {}
            ("scope", _) => return "scope: must be an array of strings".to_owned(),
            (other, _) => {
                let known = STRINGS.into_iter().chain(["scope"]);
                let similarity = |known: &&str| (strsim::jaro_winkler(other, known) * 1000.0) as u32;
                // An unknown field is quoted only if it is similar to a known one: it may be a secret.
                return match known.max_by_key(similarity).filter(|known| similarity(known) > 800) {
                    Some(similar) => format!("unknown field \"{other}\"; did you mean \"{similar}\"?"),
                    None => format!("unknown field; the fields are {} and scope", STRINGS.join(", ")),
                };
            }
        }
    }
    "a field is present twice".to_owned()
}

/// Returns the id of an invalid line, if it can be read.
fn recover_id(line: &[u8]) -> Option<ApiKeyId> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    value.get("id")?.as_str().and_then(ApiKeyId::parse)
}

fn build_record(
    id: ApiKeyId,
    line: ApiKeyLine,
    authenticator: &Arc<str>,
    before: Option<&ApiKeyIndex>,
    scopes: &mut ScopeInterner,
) -> Result<ApiKeyRecord, String> {
    let digest = ApiKeyDigest::parse(&line.hash).ok_or("hash: write sha256: and 64 hexadecimal digits")?;
    let user = Username::parse(line.owner.as_bytes()).map_err(|error| format!("owner: {error}"))?;
    check_api_key_name(&line.name)?;
    parse_time("created", line.created.as_deref())?;
    let expires = parse_time("expires", line.expires.as_deref())?;
    let scope = match line.scope {
        None => None,
        Some(entries) => Some(match scopes.get(&entries) {
            Some(scope) => Arc::clone(scope),
            None => {
                let scope = ApiKeyScope::parse(entries.iter().map(String::as_str))
                    .map_err(|error| format!("scope: {error}"))?;
                Arc::clone(scopes.entry(entries).or_insert(Arc::new(scope)))
            }
        }),
    };
    let usage = before.and_then(|before| before.usage(&id)).unwrap_or_default();
    let key = ApiKey { id, name: line.name.into(), scope, expires_at: expires, usage };
    let identity = Identity {
        user,
        authenticator: Arc::clone(authenticator),
        membership: Membership::default(),
        facts: Box::default(),
        api_key: Some(Arc::new(key)),
    };
    Ok(ApiKeyRecord { digest, expires_at: expires, identity: Arc::new(identity) })
}

/// Checks the name of a key.
///
/// # Errors
/// Returns the requirements that a name must meet.
pub(crate) fn check_api_key_name(name: &str) -> Result<(), String> {
    let is_valid = |c: char| !c.is_control() && !c.is_whitespace() && !is_layout_character(c);
    if (1..=NAME_LENGTH_MAX).contains(&name.chars().count()) && name.chars().all(is_valid) {
        return Ok(());
    }
    Err(format!("name: must be 1 to {NAME_LENGTH_MAX} characters, without spaces"))
}

/// Parses a time, and returns it in Unix seconds. `field` is the name of the field in an error.
fn parse_time(field: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    let parsed = humantime::parse_rfc3339(text).ok();
    let since_epoch = parsed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    match since_epoch {
        Some(duration) => Ok(Some(duration.as_secs())),
        None => Err(format!("{field}: write the time in UTC, for example 2027-01-31T12:00:00Z")),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
