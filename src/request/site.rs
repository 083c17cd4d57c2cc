//! What a request to a site asks for: its path as the site will see it, in segments.
//!
//! Nothing is rewritten, and nothing is let through that two readers take for two things. An encoded
//! slash stays what it is within its segment; everything else is decoded once, as the site does it.

use std::borrow::Cow;

use super::query;
pub use crate::permissions::host::normalize_host;

/// The most segments; each is compared with each rule in question.
const SEGMENTS_MAX: usize = 256;

/// An encoded slash, which is not decoded here. Many a server does, and then sees two segments.
pub const ENCODED_SLASH: &str = "%2F";

/// The segments of a URI's path. A slash at the end makes an empty last one.
///
/// # Errors
/// What is wrong with it, for the log and for `explain`.
pub fn parse_path_segments(uri: &str) -> Result<Vec<Cow<'_, str>>, &'static str> {
    let (path, _) = query::split_path_and_query(uri)?;
    if !query::has_valid_percent_encoding(path) {
        return Err("the path has a % that encodes nothing");
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let last = inner.split('/').count() - 1;
    if last >= SEGMENTS_MAX {
        return Err("the path has too many segments");
    }
    let decoded = inner.split('/').enumerate().map(|(at, raw)| {
        if raw.is_empty() && at != last {
            return Err("the path has two slashes in a row");
        }
        decode_segment(raw)
    });
    decoded.collect()
}

fn decode_segment(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let decoded = if raw.contains('%') { Cow::Owned(percent_decode(raw)?) } else { Cow::Borrowed(raw) };
    // Behind an encoded slash too: many servers decode it before they resolve dots and double slashes.
    if decoded.split(ENCODED_SLASH).any(|part| matches!(part, "." | "..")) {
        return Err("the path has a dot segment");
    }
    if decoded.contains(ENCODED_SLASH) && decoded.split(ENCODED_SLASH).any(str::is_empty) {
        return Err("the path has an encoded slash beside another, or at an end of a segment");
    }
    // Some servers cut a segment at a semicolon: `/public/..;/admin` is then another path.
    if decoded.contains(';') {
        return Err("the path has a semicolon, behind which some servers stop reading");
    }
    Ok(decoded)
}

/// Once, and `%2F` not at all.
fn percent_decode(raw: &str) -> Result<String, &'static str> {
    let mut pieces = raw.split('%');
    let mut bytes: Vec<u8> = pieces.next().unwrap_or_default().into();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        let byte = u8::from_str_radix(digits, 16).map_err(|_| "the path has a % that encodes nothing")?;
        match byte {
            b'/' => bytes.extend_from_slice(ENCODED_SLASH.as_bytes()),
            b'%' => return Err("the path is encoded twice"),
            b'\\' => return Err("the path has a backslash, which some servers take for a slash"),
            0..0x20 | 0x7f => return Err("the path has a control character"),
            _ => bytes.push(byte),
        }
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| "the path is not UTF-8 when it is decoded")
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
