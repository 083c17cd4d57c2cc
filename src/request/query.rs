//! Splits the URI of a request into path and query, and parses the query. A URI that the upstream could read differently
//! is rejected.

use std::borrow::Cow;

/// Maximum number of query parameters in a request. A real request has four.
const PARAMETERS_MAX: usize = 64;

/// A parameter `key=value`, decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParameter<'r> {
    /// The decoded key.
    pub key: Cow<'r, str>,
    /// The decoded value; empty if there is no `=`.
    pub value: Cow<'r, str>,
    raw: &'r str,
}

/// Splits a URI into the path, and the query without its question mark.
///
/// # Errors
/// Returns an error if the URI does not start with a slash, or has a character outside visible ASCII, a `#` or a
/// backslash.
pub fn split_path_and_query(uri: &str) -> Result<(&str, &str), &'static str> {
    if !uri.starts_with('/') {
        return Err("the URI does not start with a slash");
    }
    // One pass accepts almost every URI. The reason for an error is determined afterwards.
    if uri.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\') {
        let end = uri.bytes().position(|b| b == b'?').unwrap_or(uri.len());
        let (path, query) = uri.split_at_checked(end).unwrap_or((uri, ""));
        return Ok((path, query.strip_prefix('?').unwrap_or_default()));
    }
    Err(if uri.contains(['#', '\\']) {
        "the URI has a # or a backslash"
    } else {
        "the URI has a character that must be percent-encoded"
    })
}

/// Parses a query into its parameters.
///
/// # Errors
/// Returns an error if servers could read the query differently. This applies to an invalid percent-encoding, to a
/// semicolon (formerly a separator), and to decoded values that are not UTF-8 or contain NUL.
pub fn parse_parameters(query: &str) -> Result<Vec<QueryParameter<'_>>, &'static str> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    if !has_valid_percent_encoding(query) {
        return Err("the query has an invalid percent-encoding");
    }
    if query.contains(';') {
        return Err("the query has a semicolon, which some servers treat as a separator");
    }
    let mut pairs = Vec::new();
    for raw in query.split('&').filter(|raw| !raw.is_empty()) {
        if pairs.len() == PARAMETERS_MAX {
            return Err("the query has too many parameters");
        }
        // The text has no separator, so it is one parameter.
        let Some((key, value)) = form_urlencoded::parse(raw.as_bytes()).next() else { continue };
        if [&key, &value].into_iter().any(|text| text.contains([char::REPLACEMENT_CHARACTER, '\0'])) {
            return Err("the decoded query is not UTF-8, or contains NUL");
        }
        pairs.push(QueryParameter { key, value, raw });
    }
    Ok(pairs)
}

/// Returns true if each `%` is followed by two hexadecimal digits.
pub fn has_valid_percent_encoding(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Joins a path and parameters into a URI. The parameters keep their original encoding.
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
