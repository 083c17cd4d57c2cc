//! A request's URI in two halves, and the pairs of its query, for readers that must not see them
//! otherwise than the backend does.

use std::borrow::Cow;

/// Parameters of one request; a real one has four.
const PARAMETERS_MAX: usize = 64;

/// One `key=value`, decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParameter<'r> {
    /// Decoded.
    pub key: Cow<'r, str>,
    /// Decoded; empty where there is no `=`.
    pub value: Cow<'r, str>,
    raw: &'r str,
}

/// The path, and the query without its question mark.
///
/// # Errors
/// If it is not a path of printable ASCII characters, as nginx passes on what a client may send.
pub fn split_path_and_query(uri: &str) -> Result<(&str, &str), &'static str> {
    if !uri.starts_with('/') {
        return Err("the URI is not a path");
    }
    // One pass: nearly all are well.
    if uri.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\') {
        let end = uri.bytes().position(|b| b == b'?').unwrap_or(uri.len());
        let (path, query) = uri.split_at_checked(end).unwrap_or((uri, ""));
        return Ok((path, query.strip_prefix('?').unwrap_or_default()));
    }
    Err(if uri.contains(['#', '\\']) {
        "the URI has a # or a backslash"
    } else {
        "the URI has a character that must be encoded"
    })
}

/// The pairs of a query.
///
/// # Errors
/// Where readers disagree: an encoding that is none, a semicolon (once a separator), what is no
/// text when it is decoded.
pub fn parse_parameters(query: &str) -> Result<Vec<QueryParameter<'_>>, &'static str> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    if !has_valid_percent_encoding(query) {
        return Err("the query has a % that encodes nothing");
    }
    if query.contains(';') {
        return Err("the query has a semicolon, which some take for a separator");
    }
    let mut pairs = Vec::new();
    for raw in query.split('&').filter(|raw| !raw.is_empty()) {
        if pairs.len() == PARAMETERS_MAX {
            return Err("the query has too many parameters");
        }
        // One piece, so one pair.
        let Some((key, value)) = form_urlencoded::parse(raw.as_bytes()).next() else { continue };
        if [&key, &value].into_iter().any(|text| text.contains([char::REPLACEMENT_CHARACTER, '\0'])) {
            return Err("the query is not UTF-8 when it is decoded, or has a NUL");
        }
        pairs.push(QueryParameter { key, value, raw });
    }
    Ok(pairs)
}

/// Whether each `%` is followed by two hexadecimal digits.
pub fn has_valid_percent_encoding(text: &str) -> bool {
    text.split('%').skip(1).all(|behind| {
        behind.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// A path with these pairs, as they were written.
pub fn join_path_and_parameters<'p>(
    path: &str,
    pairs: impl Iterator<Item = &'p QueryParameter<'p>>,
) -> String {
    let mut joined = path.to_owned();
    for (at, pair) in pairs.enumerate() {
        joined.push(if at == 0 { '?' } else { '&' });
        joined.push_str(pair.raw);
    }
    joined
}
