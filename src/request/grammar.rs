//! The grammar of repository names, tags, digests and upload ids (OCI distribution spec, spec.md). The checks are as
//! strict as the specification.

/// Maximum length of a repository name (spec.md, "Pulling manifests": many clients have this limit).
const REPOSITORY_NAME_MAX: usize = 255;
/// Maximum length of a tag.
const TAG_MAX: usize = 128;
/// Maximum length of an upload id. Registries use 36 characters, or a signed state of some hundred characters.
const UPLOAD_ID_MAX: usize = 1024;
/// Minimum number of hexadecimal digits of a digest in the reference implementation.
const DIGEST_HEX_MIN: usize = 32;

/// Returns true if a text matches spec.md's `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
/// within the length limit. One pass over the bytes decides.
pub fn is_repository_name(name: &str) -> bool {
    // The separator since the last letter or digit, as far as it was read. The start of the name counts as a slash.
    let mut between: &[u8] = b"/";
    for byte in name.bytes() {
        between = match (byte, between) {
            (b'a'..=b'z' | b'0'..=b'9', _) => b"",
            (b'.', b"") => b".",
            (b'_', b"") => b"_",
            (b'_', b"_") => b"__",
            (b'-', b"" | b"-") => b"-",
            (b'/', b"") => b"/",
            _ => return false,
        };
    }
    between.is_empty() && name.len() <= REPOSITORY_NAME_MAX
}

/// Returns true if a text matches spec.md's `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(tag: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let rest = |b: u8| is_word(&b) || b == b'.' || b == b'-';
    tag.len() <= TAG_MAX && tag.as_bytes().first().is_some_and(is_word) && tag.bytes().all(rest)
}

/// Returns true if a text is a digest `algorithm:hex`, with the pattern of the reference implementation:
/// `[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}`.
pub fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let is_component = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_component)
        && hex.len() >= DIGEST_HEX_MIN
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Returns true if a text is an upload id: `[a-zA-Z0-9-_.=]+` as in the reference implementation, but no dot segment.
pub fn is_upload_id(id: &str) -> bool {
    let is_id_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
    (1..=UPLOAD_ID_MAX).contains(&id.len()) && id.bytes().all(is_id_byte) && !matches!(id, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_name_follows_the_oci_grammar() {
        for name in ["a", "a1/b2", "a.b", "a_b", "a__b", "a-b", "a---b", "a/b.c/d__e/f-0", "0"] {
            assert!(is_repository_name(name), "{name}");
        }
        for name in [
            "", "/", "/a", "a/", "a//b", ".a", "a.", "a..b", "a._b", "a_.b", "a___b", "a-_b", "a.-b", "_a",
            "a_", "-a", "a-", "a/-b", "a-/b", "A", "a:b", "a b", "ä", "a\0",
        ] {
            assert!(!is_repository_name(name), "{name}");
        }
        assert!(is_repository_name(&"a".repeat(255)) && !is_repository_name(&"a".repeat(256)));
    }
}
