//! Detection of files in a wrong format by their first bytes. Messages do not contain any of their content.

/// Number of bytes that are inspected for NUL bytes.
const INSPECTED_BYTES: usize = 4096;

/// The first bytes of binary formats, with the name of the format and, where there is one, the remedy.
const MAGIC: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
    (b"BZh", "compressed by bzip2; unpack it"),
    (b"\xfd7zXZ\0", "compressed by xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it"),
    (b"PK\x03\x04", "a ZIP archive, or a spreadsheet"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"RIFF", "an image or a recording"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program of Windows"),
    (b"SQLite format 3\0", "a database of SQLite"),
    (b"\xd0\xcf\x11\xe0", "a document of an older office program"),
    (b"\x03\xd9\xa2\x9a", "a database of KeePass"),
    (b"\x05\x02", "a keytab"),
];

/// The descriptions of text with two or four bytes for each character.
const UTF_16: &str = "UTF-16 text; save it as UTF-8 (PowerShell: Set-Content -Encoding ascii)";
const UTF_32: &str = "UTF-32 text; save it as UTF-8";

/// Returns the format and the remedy for content that is not text in an encoding such as UTF-8 or Latin-1.
pub fn detect_binary(text: &[u8]) -> Option<&'static str> {
    if let Some((magic, what)) = MAGIC.iter().find(|(magic, _)| text.starts_with(magic)) {
        // Letters can also be the start of a user name.
        let is_certain = magic.iter().any(|b| !b.is_ascii_graphic()) || text.contains(&0);
        if is_certain {
            return Some(what);
        }
    }
    match text {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some(UTF_32),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some(UTF_16),
        _ => {}
    }
    let start = text.get(..text.len().min(INSPECTED_BYTES)).unwrap_or_default();
    let nuls = start.iter().filter(|b| **b == 0).count();
    match nuls {
        0 => None,
        _ if nuls == start.len() => Some("full of NUL bytes, as after a crash; restore it"),
        _ if start.len() >= 4 && (2 * nuls).abs_diff(start.len()) <= start.len() / 8 + 1 => Some(UTF_16),
        _ => Some("a binary file"),
    }
}

/// Returns true if a text has two or four bytes for each character, so that no line in UTF-8 can be added to it.
pub fn is_wide_encoding(text: &[u8]) -> bool {
    matches!(detect_binary(text), Some(UTF_16 | UTF_32))
}

/// Returns the format of content that is binary, see [`detect_binary`], or text in a format such as PEM, YAML or JSON.
pub fn detect_other_format(text: &[u8]) -> Option<&'static str> {
    if let Some(what) = detect_binary(text) {
        return Some(what);
    }
    let bare = super::utf8_bom::strip_utf8_bom(text).trim_ascii_start();
    match bare {
        _ if bare.starts_with(b"-----BEGIN ") => Some("PEM, a key or a certificate"),
        _ if bare.starts_with(b"---\n") || bare.starts_with(b"---\r\n") || bare.starts_with(b"%YAML") => {
            Some("YAML")
        }
        // A TOML table also starts with [.
        [b'[', rest @ ..] if rest.trim_ascii_start().starts_with(b"{") => Some("JSON"),
        [b'{', next, ..]
            if next.is_ascii_whitespace() || matches!(next, b'"' | b'{' | b'[' | b']' | b'}') =>
        {
            Some("JSON")
        }
        [b'<', next, ..] if next.is_ascii_alphabetic() || matches!(next, b'?' | b'!') => Some("XML or HTML"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_detected_and_an_htpasswd_file_is_not() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        assert_eq!(detect_binary(&[&b"\xff\xfe"[..], &utf16("alice:x\r\n")].concat()), Some(UTF_16));
        assert_eq!(detect_binary(&utf16("alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\r\n")), Some(UTF_16));
        assert_eq!(detect_binary(&utf16("ann:x").iter().rev().copied().collect::<Vec<u8>>()), Some(UTF_16));
        assert_eq!(detect_binary(b"\x89PNG\r\n\x1a\n"), Some("an image"));
        assert!(detect_binary(&[0; 100]).is_some_and(|what| what.contains("NUL")));
        assert_eq!(
            detect_other_format(b"-----BEGIN CERTIFICATE-----\n"),
            Some("PEM, a key or a certificate")
        );
        assert_eq!(detect_other_format(b"{\"alice\": \"x\"}"), Some("JSON"));
        assert_eq!(detect_other_format(b"[\n  {}]"), Some("JSON"));
        for text in [
            &b""[..],
            b"alice:{SHA}x\n",
            b"{alice:x\n",
            b"[ann]:x",
            b"MZ:x\n",
            b"<ann>:x",
            b"#\n",
            b"zo\xeb:x\n",
        ] {
            let found = detect_binary(text);
            assert_eq!(found, None, "{text:?}");
        }
        assert_eq!(detect_other_format(b"{alice:x\n"), None);
    }
}
