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

use super::secret::{Digest, Id};
use super::{Key, Uses};
use crate::authn::Identity;
use crate::identity::{Membership, Username, is_layout_character};
use crate::permissions::scope::ApiKeyScope;

/// The comment that the last key leaves: without it an empty file would count only after a while, since it
/// may be about to be written, and one with nothing but bad lines not at all.
pub const NONE_LEFT: &[u8] = b"# no keys";

/// The most keys of a file.
pub const KEYS_MAX: usize = 1_000_000;

/// The longest name of a key, in characters.
pub const NAME_MAX: usize = 64;

/// The longest line, in bytes: one with the most rights in its scope has some 30,000.
const LINE_MAX: usize = 64 << 10;

/// The most faults that are told of one file.
pub const FAULTS_MAX: usize = 100;

/// One line, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The key's public part, without the prefix.
    pub id: String,
    /// `sha256:` and the digest of the whole key.
    pub hash: String,
    /// The user whose key it is.
    pub owner: String,
    /// What its owner calls it.
    pub name: String,
    /// What may be done with it; without this all that its owner may do.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// RFC 3339, in UTC.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// RFC 3339, in UTC; without this never.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// For people.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A value that is left out or there: null is neither, and some programs write it for an empty list.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// What, and what to do.
    pub what: String,
}

/// A key that can be used.
#[derive(Debug)]
pub struct Record {
    /// Of the whole key.
    pub digest: Digest,
    /// In seconds since 1970.
    pub expires: Option<u64>,
    /// Whom it proves.
    pub identity: Arc<Identity>,
}

#[derive(Debug)]
enum Entry {
    Key(Record),
    /// At this line.
    Bad(usize),
}

/// What there is under an id.
pub enum Found<'f> {
    /// A key.
    ApiKey(&'f Record),
    /// A line that can't be used.
    Bad(usize),
}

/// The keys of a file.
#[derive(Debug, Default)]
pub struct KeyFile {
    keys: HashMap<Id, Entry>,
}

/// What comes of reading a file.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The keys.
    pub file: KeyFile,
    /// What is wrong; the first [`FAULTS_MAX`] of it.
    pub faults: Vec<Fault>,
    /// How many lines can't be used.
    pub bad: usize,
    /// Whether it says itself that there are none.
    pub says_none: bool,
}

impl KeyFile {
    /// What there is under an id.
    pub fn find(&self, id: &Id) -> Option<Found<'_>> {
        self.keys.get(id).map(|entry| match entry {
            Entry::Key(record) => Found::ApiKey(record),
            Entry::Bad(line) => Found::Bad(*line),
        })
    }

    /// Whether it is about no key at all, well or spoilt.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that can be used, in no order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.keys.values().filter_map(|entry| match entry {
            Entry::Key(record) => Some(record),
            Entry::Bad(_) => None,
        })
    }

    fn uses(&self, id: &Id) -> Option<Arc<Uses>> {
        match self.keys.get(id) {
            Some(Entry::Key(record)) => record.identity.key.as_ref().map(|key| Arc::clone(&key.uses)),
            _ => None,
        }
    }
}

/// Reads a text. `by` is the authenticator's name; what is known of the use of the keys `before` goes on.
pub fn parse(text: &[u8], by: &Arc<str>, before: Option<&KeyFile>) -> Parsed {
    let mut parsed = Parsed::default();
    let mut scopes = Interned::new();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (at, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        parsed.says_none |= line == NONE_LEFT;
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if parsed.file.keys.len() >= KEYS_MAX {
            parsed.fault(at, format!("there are more than {KEYS_MAX} keys; the rest is not read"));
            break;
        }
        match read(line, by, before, &mut scopes) {
            Ok((id, record)) => parsed.enter(at, id, record),
            Err((id, what)) => {
                parsed.fault(at, what);
                if let Some(id) = id {
                    parsed.file.keys.insert(id, Entry::Bad(at));
                }
            }
        }
    }
    parsed
}

impl Parsed {
    fn fault(&mut self, line: usize, what: String) {
        self.bad += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { line, what });
        }
    }

    fn enter(&mut self, line: usize, id: Id, record: Record) {
        if self.file.keys.insert(id, Entry::Key(record)).is_some() {
            self.fault(line, format!("there is another line with the id {}; neither counts", id.as_str()));
            self.file.keys.insert(id, Entry::Bad(line));
        }
    }
}

type Scopes = Interned<Vec<String>, Arc<ApiKeyScope>>;

fn read(
    line: &[u8],
    by: &Arc<str>,
    before: Option<&KeyFile>,
    scopes: &mut Scopes,
) -> Result<(Id, Record), (Option<Id>, String)> {
    if line.len() > LINE_MAX {
        return Err((None, format!("the line is longer than {LINE_MAX} bytes")));
    }
    if !line.starts_with(b"{") {
        let what = format!("the line of {} bytes is no key; write one JSON object a line", line.len());
        return Err((None, what));
    }
    let line: Line = serde_json::from_slice(line)
        .map_err(|error| (id_of(line), format!("it is no key: {}", shape(line, &error))))?;
    let id = Id::bare(&line.id)
        .ok_or_else(|| (Id::parse(&line.id), "id: it has 10 letters and digits, and no prefix".to_owned()))?;
    record(id, line, by, before, scopes).map(|record| (id, record)).map_err(|what| (Some(id), what))
}

/// What is wrong with the JSON of a line. Serde's own words quote what stands there, which may be a secret.
fn shape(line: &[u8], error: &serde_json::Error) -> String {
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
fn id_of(line: &[u8]) -> Option<Id> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    value.get("id")?.as_str().and_then(Id::parse)
}

fn record(
    id: Id,
    line: Line,
    by: &Arc<str>,
    before: Option<&KeyFile>,
    scopes: &mut Scopes,
) -> Result<Record, String> {
    let digest = Digest::parse(&line.hash).ok_or("hash: write sha256: and 64 hexadecimal digits")?;
    let user = Username::parse(line.owner.as_bytes()).map_err(|fault| format!("owner: {fault}"))?;
    check_name(&line.name)?;
    time("created", line.created.as_deref())?;
    let expires = time("expires", line.expires.as_deref())?;
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
    let uses = before.and_then(|before| before.uses(&id)).unwrap_or_default();
    let key = Key { id, name: line.name.into(), scope, expires, uses };
    let identity = Identity {
        user,
        by: Arc::clone(by),
        membership: Membership::default(),
        facts: Box::default(),
        key: Some(Arc::new(key)),
    };
    Ok(Record { digest, expires, identity: Arc::new(identity) })
}

/// Whether a key may be called so.
///
/// # Errors
/// What would do instead.
pub fn check_name(name: &str) -> Result<(), String> {
    let well = |c: char| !c.is_control() && !c.is_whitespace() && !is_layout_character(c);
    if (1..=NAME_MAX).contains(&name.chars().count()) && name.chars().all(well) {
        return Ok(());
    }
    Err(format!("name: it has 1 to {NAME_MAX} characters, and no spaces"))
}

/// A time of the file, in seconds since 1970.
fn time(what: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    let parsed = humantime::parse_rfc3339(text).ok();
    let since = parsed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let since = since.ok_or_else(|| format!("{what}: write it in UTC, as in 2027-01-31T12:00:00Z"))?;
    Ok(Some(since.as_secs()))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
