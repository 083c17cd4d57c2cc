//! The strict parser for the path of a request to a site.
//!
//! The URI is never rewritten, and a path that two programs could read differently is rejected. Every segment is decoded
//! once, as the site decodes it. Only an encoded slash stays encoded within its segment.

use std::borrow::Cow;

use super::query;

/// Maximum number of segments. Each is compared with each candidate rule.
const SEGMENTS_MAX: usize = 256;

/// The encoded slash, which is not decoded here. Many servers decode it and then have two segments.
pub(crate) const ENCODED_SLASH: &str = "%2F";

/// Parses the path of a URI into segments. A slash at the end gives an empty last segment.
///
/// # Errors
/// Returns the error message for the log and for `explain`.
pub(crate) fn parse_path_segments(uri: &str) -> Result<Vec<Cow<'_, str>>, &'static str> {
    let (path, _) = query::split_path_and_query(uri)?;
    if !query::has_valid_percent_encoding(path) {
        return Err("the path has an invalid percent-encoding");
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let last = inner.split('/').count() - 1;
    if last >= SEGMENTS_MAX {
        return Err("the path has too many segments");
    }
    let decoded = inner.split('/').enumerate().map(|(at, raw)| {
        if raw.is_empty() && at != last {
            return Err("the path has two consecutive slashes");
        }
        decode_segment(raw)
    });
    decoded.collect()
}

fn decode_segment(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let decoded = if raw.contains('%') { Cow::Owned(percent_decode(raw)?) } else { Cow::Borrowed(raw) };
    // Parts between encoded slashes are checked too: many servers decode first, and then resolve dots and double
    // slashes.
    if decoded.split(ENCODED_SLASH).any(|part| matches!(part, "." | "..")) {
        return Err("the path has a dot segment");
    }
    if decoded.contains(ENCODED_SLASH) && decoded.split(ENCODED_SLASH).any(str::is_empty) {
        return Err("the path has an encoded slash next to another slash");
    }
    // Some servers cut a segment at a semicolon, and resolve `/public/..;/admin` to `/admin`.
    if decoded.contains(';') {
        return Err("the path has a semicolon, where some servers cut the segment");
    }
    Ok(decoded)
}

/// Decodes a segment once, except for `%2F`.
fn percent_decode(raw: &str) -> Result<String, &'static str> {
    let mut pieces = raw.split('%');
    let mut bytes: Vec<u8> = pieces.next().unwrap_or_default().into();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        let byte = u8::from_str_radix(digits, 16).map_err(|_| "the path has an invalid percent-encoding")?;
        match byte {
            b'/' => bytes.extend_from_slice(ENCODED_SLASH.as_bytes()),
            b'%' => return Err("the path is percent-encoded twice"),
            b'\\' => return Err("the path has a backslash, which some servers treat as a slash"),
            0..0x20 | 0x7f => return Err("the path has a control character"),
            _ => bytes.push(byte),
        }
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| "the decoded path is not UTF-8")
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
