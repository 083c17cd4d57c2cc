//! The UTF-8 byte order mark, which some editors write at the start of a file. Every parser of a file skips it.

/// The UTF-8 byte order mark, U+FEFF.
pub const UTF8_BOM: &str = "\u{feff}";

/// Returns `text` without the byte order mark at its start.
pub fn strip_utf8_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(UTF8_BOM.as_bytes()).unwrap_or(text)
}
