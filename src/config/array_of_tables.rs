//! What the lists of tables of the settings file have in common: each is read by serde into plain texts and
//! numbers with their places, and then checked, so that every fault is told with its line.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

/// What is wrong, and where in the text.
pub(super) type TableErrors = Vec<(usize, String)>;

/// A value's place.
pub(super) fn offset<T>(spanned: &Spanned<T>) -> usize {
    spanned.span().start
}

/// Reads a table into the shape of its type; what does not fit is a fault.
pub(super) fn deserialize<'t, T: Deserialize<'t>>(
    table: DeTable<'t>,
    place: usize,
    faults: &mut TableErrors,
) -> Option<T> {
    deserialize_part(table, &[], place, faults)
}

/// Reads a part of a table, like [`deserialize`]. The error of an unknown key lists `other_keys` too, which the caller
/// has removed from the table.
pub(super) fn deserialize_part<'t, T: Deserialize<'t>>(
    table: DeTable<'t>,
    other_keys: &[&str],
    place: usize,
    faults: &mut TableErrors,
) -> Option<T> {
    let spanned = Spanned::new(place..place, table);
    match T::deserialize(toml::de::Deserializer::from(spanned)) {
        Ok(raw) => Some(raw),
        Err(error) => {
            // What was found there is not quoted: it may be a secret.
            let what = match error.message().rsplit_once(", expected ") {
                Some((said, wanted)) if said.starts_with("invalid ") => format!("it should be {wanted}"),
                Some((said, wanted)) if said.starts_with("unknown field ") => {
                    unknown_key_message(said, wanted, other_keys)
                }
                // Which key is missing is ours.
                _ if error.message().starts_with("missing field ") => error.message().to_owned(),
                _ => "it can't be read".to_owned(),
            };
            faults.push((error.span().map_or(place, |span| span.start), what));
            None
        }
    }
}

/// What to say of a key that there is not, from serde's words. It is named if it resembles one that there is: the line
/// may be one of another file.
fn unknown_key_message(said: &str, wanted: &str, other_keys: &[&str]) -> String {
    let name = said.split('`').nth(1).unwrap_or_default();
    let keys = wanted.split('`').skip(1).step_by(2);
    let keys: Vec<&str> = keys.chain(other_keys.iter().copied()).collect();
    let alike = |key: &&&str| (strsim::jaro_winkler(name, key) * 1000.0) as u32;
    match keys.iter().max_by_key(alike).filter(|key| alike(key) > 800) {
        Some(near) => format!("{name}: there is no such key; you may mean {near}"),
        None => format!("there is no such key here; there are {}", keys.join(", ")),
    }
}

/// A name that stands in headers, logs and metrics.
pub(super) fn read_name(
    given: Option<&Spanned<String>>,
    default: &str,
    faults: &mut TableErrors,
) -> Arc<str> {
    let Some(given) = given else { return default.into() };
    if !is_valid_name(given.get_ref()) {
        let what = "a name has 1 to 32 lower-case letters, digits, hyphens and underscores";
        faults.push((offset(given), format!("{what}, and begins with none of the latter two")));
    }
    given.get_ref().as_str().into()
}

/// Whether it can stand there.
pub(super) fn is_valid_name(text: &str) -> bool {
    let well = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=32).contains(&text.len()) && text.bytes().all(well) && !text.starts_with(['-', '_'])
}
