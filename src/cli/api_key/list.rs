//! `doorward key list`: the keys of the file, and what a running doorward knows of their use.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{given, text};
use crate::authn::api_key::edit;
use crate::authn::api_key::file::{Found, Line, Parsed, check_name, parse};
use crate::authn::api_key::secret::Id;
use crate::cli::{complain, health, say, say_json};
use crate::config::Settings;
use crate::identity::{Username, sanitize_for_display};
use crate::permissions::scope::ApiKeyScope;
use crate::reload::Source;

/// The largest file of the admin listener's token that is read.
const TOKEN_FILE_MAX: u64 = 64 << 10;

/// What stands in the place of a text that is not told.
const NOT_TOLD: &str = "-";

/// What is told of a key.
#[derive(Serialize)]
pub(super) struct Told<'k> {
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
    uses: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
}

impl<'k> Told<'k> {
    /// Of a line that was read. Of what can't be right in it no text is told, since it may be a secret.
    pub(super) fn of(line: &'k Line) -> Self {
        let time = |text: &&str| humantime::parse_rfc3339(text).is_ok();
        let over = |text: &str| humantime::parse_rfc3339(text).map_or(true, |time| time <= SystemTime::now());
        let is_owner = Username::check(line.owner.as_bytes()).is_ok();
        let is_scope = |scope: &&[String]| ApiKeyScope::parse(scope.iter().map(String::as_str)).is_ok();
        Self {
            id: Id::parse(&line.id).map_or_else(|| NOT_TOLD.to_owned(), |id| id.to_string()),
            owner: if is_owner { &line.owner } else { NOT_TOLD },
            name: if check_name(&line.name).is_ok() { &line.name } else { NOT_TOLD },
            scope: line.scope.as_deref().map(|scope| Some(scope).filter(is_scope).unwrap_or_default()),
            created: line.created.as_deref().filter(time),
            expires: line.expires.as_deref().filter(time),
            expired: line.expires.as_deref().is_some_and(over),
            unusable: false,
            uses: None,
            last_used: None,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
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
        if let Some(uses) = self.uses {
            let last = self.last_used.as_deref().unwrap_or("never");
            text.push_str(&format!("\tused {uses} times, last {last}"));
        }
        text
    }
}

/// Lists the keys; never their secrets.
pub(super) fn list(settings: &Settings, path: &Path, matches: &ArgMatches) -> Result<(), String> {
    let (lines, parsed) = read(settings, path)?;
    let uses = match matches.get_flag("used") {
        true => Some(uses(settings, given(matches, "url"))?),
        false => None,
    };
    let owner = given(matches, "owner");
    let mut told: Vec<Told<'_>> =
        lines.iter().filter(|line| owner.is_none_or(|owner| owner == line.owner)).map(Told::of).collect();
    for one in &mut told {
        let known = Id::parse(&one.id).and_then(|id| parsed.file.find(&id));
        one.unusable = !matches!(known, Some(Found::ApiKey(_)));
        let Some(uses) = &uses else { continue };
        let known = uses.get(&one.id);
        one.uses = Some(known.map_or(0, |used| used.use_count));
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        one.last_used = known.map(|used| humantime::format_rfc3339_seconds(time(used.last_used_at)).to_string());
    }
    if matches.get_flag("json") {
        return say_json(&told);
    }
    told.iter().for_each(|one| say(&one.text()));
    if parsed.bad > 0 {
        complain(&format!("{} lines can't be used; doorward check says why", parsed.bad));
    }
    Ok(())
}

fn read(settings: &Settings, path: &Path) -> Result<(Vec<Line>, Parsed), String> {
    let source = Source { path: path.to_owned(), max_bytes: settings.keys_max_bytes };
    let text = source.read().map_err(self::text)?;
    Ok((edit::lines(&text).collect(), parse(&text, &"keys".into(), None)))
}

/// The token of the admin listener.
fn token(path: &Path) -> Result<Zeroizing<String>, String> {
    let source = Source { path: path.to_owned(), max_bytes: TOKEN_FILE_MAX };
    let text = Zeroizing::new(source.read().map_err(self::text)?);
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
    match std::str::from_utf8(line) {
        Ok(line) if line.bytes().all(|b| b.is_ascii_graphic()) => Ok(Zeroizing::new(line.to_owned())),
        Ok(_) | Err(_) => Err(format!("{}: the first line is not a token", path.display())),
    }
}

/// How a key was used, as the admin listener tells it.
#[derive(serde::Deserialize)]
struct Used {
    id: String,
    use_count: u64,
    last_used_at: u64,
}

fn uses(settings: &Settings, url: Option<&str>) -> Result<HashMap<String, Used>, String> {
    let token = settings.admin_token_file.as_deref().map(token).transpose()?;
    let token = token.as_ref().map(|token| &token[..]);
    let answer = health::get(url, settings.admin_listen.first(), "/keys", token).map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if matches!(head.split(' ').nth(1), Some("401" | "403")) {
        return Err(format!("the admin listener refuses: {}", body.trim_end()));
    }
    let used: Vec<Used> = serde_json::from_str(body)
        .map_err(|_| "the admin listener gives no list of keys: is it doorward's, and are there keys?")?;
    Ok(used.into_iter().map(|used| (used.id.clone(), used)).collect())
}
