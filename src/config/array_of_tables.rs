//! Reads lists of tables (`[[authenticator]]`, `[[upstream]]`): serde reads each into plain texts and numbers with
//! their places, which are checked afterwards, so that every error has its line.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

/// Errors, each with its place in the text.
pub(super) type TableErrors = Vec<(usize, String)>;

/// Former names of keys of tables, and the present ones.
pub(super) const RENAMED_TABLE_KEYS: &[(&str, &str)] = &[
    ("accepted", "accepted_statuses"),
    ("anyone", "allow_anonymous"),
    ("connections", "max_connections"),
    ("covers", "fallback_for"),
    ("html", "allow_html"),
    ("max_body", "max_response_bytes"),
    ("member", "name_pointer"),
    ("network_share", "per_network_limit"),
    ("queue", "queue_limit"),
    ("rejected", "rejected_statuses"),
    ("trusted_for", "cache_ttl"),
    ("unknown", "unknown_user_statuses"),
    ("user_share", "per_user_limit"),
    ("username", "username_pointer"),
];

/// The similarity, in thousandths, from which a known key is suggested for an unknown one.
const SUGGESTED_SIMILARITY_MIN: u32 = 800;

/// Returns the place of a value.
pub(super) fn offset<T>(spanned: &Spanned<T>) -> usize {
    spanned.span().start
}

/// Reads a table into the fields of a type. Reports a value or key that does not fit.
pub(super) fn deserialize<'t, T: Deserialize<'t>>(
    table: DeTable<'t>,
    place: usize,
    errors: &mut TableErrors,
) -> Option<T> {
    deserialize_part(table, &[], place, errors)
}

/// Reads a part of a table, like [`deserialize`]. The error of an unknown key lists `other_keys` too, which the caller
/// has removed from the table.
pub(super) fn deserialize_part<'t, T: Deserialize<'t>>(
    table: DeTable<'t>,
    other_keys: &[&str],
    place: usize,
    errors: &mut TableErrors,
) -> Option<T> {
    let keys: Vec<(usize, String)> =
        table.keys().map(|key| (key.span().start, key.get_ref().to_string())).collect();
    let spanned = Spanned::new(place..place, table);
    match T::deserialize(toml::de::Deserializer::from(spanned)) {
        Ok(raw) => Some(raw),
        Err(error) => {
            let at = error.span().map_or(place, |span| span.start);
            // The value is not quoted, since it can be a secret.
            let message = match error.message().rsplit_once(", expected ") {
                Some((found, expected)) if found.starts_with("invalid ") => {
                    // serde names integers by their Rust type.
                    let is_integer = matches!(expected, "u8" | "u16" | "u32" | "u64" | "usize");
                    format!("must be {}", if is_integer { "a whole number" } else { expected })
                }
                Some((found, expected)) if found.starts_with("unknown field ") => {
                    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
                    let known_here = [known.as_slice(), other_keys].concat();
                    if keys.iter().any(|(key_at, _)| *key_at == at) {
                        // The error of serde is about the first unknown key. All of them are reported.
                        let unknown = keys.iter().filter(|(_, name)| !known.contains(&name.as_str()));
                        errors
                            .extend(unknown.map(|(at, name)| (*at, unknown_key_message(name, &known_here))));
                        return None;
                    }
                    unknown_key_message(found.split('`').nth(1).unwrap_or_default(), &known_here)
                }
                // A missing key is a known one, so it can be quoted.
                _ if error.message().starts_with("missing field ") => {
                    let key = error.message().split('`').nth(1).unwrap_or_default();
                    format!("missing key \"{key}\"; it is required")
                }
                _ => "the table cannot be read".to_owned(),
            };
            errors.push((at, message));
            None
        }
    }
}

/// Returns the error for an unknown key. The key is quoted only if it was renamed or resembles a known one, since the
/// line may come from a file of secrets.
fn unknown_key_message(name: &str, keys: &[&str]) -> String {
    let renamed = RENAMED_TABLE_KEYS.iter().find(|(old, new)| *old == name && keys.contains(new));
    if let Some((old, new)) = renamed {
        return format!("unknown key \"{old}\"; did you mean \"{new}\"?");
    }
    let similarity = |key: &&&str| (strsim::jaro_winkler(name, key) * 1000.0) as u32;
    match keys.iter().max_by_key(similarity).filter(|key| similarity(key) > SUGGESTED_SIMILARITY_MIN) {
        Some(similar) => format!("unknown key \"{name}\"; did you mean \"{similar}\"?"),
        None => format!("unknown key; the keys are {}", keys.join(", ")),
    }
}

/// Returns the name of a table, which appears in headers, logs and metrics.
pub(super) fn read_name(
    given: Option<&Spanned<String>>,
    default: &str,
    errors: &mut TableErrors,
) -> Arc<str> {
    let Some(given) = given else { return default.into() };
    if !is_valid_name(given.get_ref()) {
        let message = "a name must have 1 to 32 lower-case letters, digits, hyphens and underscores, and start with a letter or digit";
        errors.push((offset(given), message.into()));
    }
    given.get_ref().as_str().into()
}

/// Returns whether a text can be the name of a table.
pub(super) fn is_valid_name(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=32).contains(&text.len()) && text.bytes().all(is_allowed) && !text.starts_with(['-', '_'])
}
