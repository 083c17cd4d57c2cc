//! The words of the registry protocol (OCI distribution spec, spec.md): names, tags, digests and upload
//! ids, each as strict as it is written there.

/// The longest repository name (spec.md, "Pulling manifests": many clients take no more).
const REPOSITORY_NAME_MAX: usize = 255;
/// The longest tag.
const TAG_MAX: usize = 128;
/// The longest upload id; registries' own have 36 characters, or some hundred of a signed state.
const UPLOAD_ID_MAX: usize = 1024;
/// The fewest hexadecimal digits of a digest that the reference implementation takes.
const DIGEST_HEX_MIN: usize = 32;

/// spec.md: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`, in one pass.
pub fn is_repository_name(name: &str) -> bool {
    // What stands since the last letter or digit: one of the separators, so far.
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

/// spec.md: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub fn is_tag(tag: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let rest = |b: u8| is_word(&b) || b == b'.' || b == b'-';
    tag.len() <= TAG_MAX && tag.as_bytes().first().is_some_and(is_word) && tag.bytes().all(rest)
}

/// `algorithm:hex`, as the reference implementation takes it
/// (`[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}`).
pub fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let is_component = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_component)
        && hex.len() >= DIGEST_HEX_MIN
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The reference implementation's `[a-zA-Z0-9-_.=]+`, but no dot segment.
pub fn is_upload_id(id: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
    (1..=UPLOAD_ID_MAX).contains(&id.len()) && id.bytes().all(known) && !matches!(id, "." | "..")
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
