//! User names, groups and facts of an authenticated user. The types accept only values that are safe in a header and in
//! a log line.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Maximum length of a user name, in bytes. The `htpasswd` command of Apache has the same limit.
pub(crate) const USERNAME_BYTES_MAX: usize = 255;

/// A user name, as bytes. htpasswd files and clients can use different encodings (RFC 7617 section 2.1). Names are
/// compared byte by byte, as in nginx and Apache, so case matters. Clones share the memory, and so do the headers of
/// responses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Username(Bytes);

/// The reason why a user name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsernameError {
    /// The name is empty.
    #[error("the user name is empty")]
    Empty,
    /// The name has more than [`USERNAME_BYTES_MAX`] bytes.
    #[error("the user name is longer than {USERNAME_BYTES_MAX} bytes")]
    TooLong,
    /// The name has a control character, U+0080 to U+009F included. RFC 7617 forbids them, and a header cannot contain
    /// them.
    #[error("the user name has a control character")]
    ControlCharacter,
    /// The name starts or ends with a space. Headers lose such spaces, and the rest can be the name of another user.
    #[error("the user name has a space at the start or end")]
    SurroundingSpace,
    /// The name starts or ends with another invisible character, so that two different names look identical.
    #[error("the user name has an invisible character at the start or end")]
    SurroundingInvisibleCharacter,
    /// The name has a character that reorders the text around it, or that some programs treat as the end of a line.
    #[error("the user name has a character that reorders text or ends a line")]
    LayoutCharacter,
    /// The name has a colon, which ends the name in Basic credentials (RFC 7617) and in an htpasswd line.
    #[error("the user name has a colon")]
    Colon,
}

impl Username {
    /// Checks that `bytes` can be a user name.
    ///
    /// # Errors
    /// Returns the first rule that the name breaks.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), UsernameError> {
        if bytes.is_empty() {
            return Err(UsernameError::Empty);
        }
        if bytes.len() > USERNAME_BYTES_MAX {
            return Err(UsernameError::TooLong);
        }
        if bytes.trim_ascii() != bytes {
            let control = bytes.iter().any(u8::is_ascii_control);
            return Err(if control {
                UsernameError::ControlCharacter
            } else {
                UsernameError::SurroundingSpace
            });
        }
        match bytes.iter().find(|b| b.is_ascii_control() || **b == b':') {
            None if bytes.is_ascii() => Ok(()),
            None => Self::check_non_ascii(bytes),
            Some(b':') => Err(UsernameError::Colon),
            Some(_) => Err(UsernameError::ControlCharacter),
        }
    }

    /// Checks the characters outside ASCII. Bytes that are not UTF-8 are accepted: they are letters of an unknown
    /// encoding, and nginx and Apache compare them as bytes.
    fn check_non_ascii(bytes: &[u8]) -> Result<(), UsernameError> {
        for text in bytes.utf8_chunks().map(|chunk| chunk.valid()) {
            if text.contains(char::is_control) {
                return Err(UsernameError::ControlCharacter);
            }
            if text.contains(is_layout_character) {
                return Err(UsernameError::LayoutCharacter);
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with(is_invisible) || text.ends_with(is_invisible) => {
                Err(UsernameError::SurroundingInvisibleCharacter)
            }
            _ => Ok(()),
        }
    }

    /// Returns `bytes` as a user name.
    ///
    /// # Errors
    /// Returns the first rule that the name breaks.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, UsernameError> {
        Self::check(bytes)?;
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }

    /// Returns the bytes of the name, as the client or the file contains them.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the value of `X-Auth-User`, without a copy.
    pub(crate) fn to_header_value(&self) -> Bytes {
        self.0.clone()
    }
}

/// Returns true if a character reorders the text around it (the bidirectional controls of Unicode, UAX #9), or if some
/// programs treat it as the end of a line. A terminal, browser or editor would show a text that differs from the one
/// compared.
pub(crate) fn is_layout_character(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns true if a character is invisible at the start or end of a name: a space of any width, or a character
/// without width.
fn is_invisible(c: char) -> bool {
    let has_no_width = matches!(
        c,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
    );
    has_no_width || c.is_whitespace()
}

/// Returns true if a terminal or editor can interpret a character instead of showing it.
fn is_unsafe_to_display(c: char) -> bool {
    c.is_control() || is_layout_character(c)
}

/// Returns a name for messages. Bytes that are not UTF-8, control characters and layout characters become U+FFFD. The
/// control characters include U+0080 to U+009F, which some terminals interpret.
pub(crate) fn sanitize_for_display(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(is_unsafe_to_display, "\u{fffd}")
}

/// Escapes the characters of a JSON text that are not safe to show. Apart from line feeds, they can only be in
/// strings.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe_to_display(c) && c != '\n' {
            // All of them are below U+10000, so each needs only one escape.
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sanitize_for_display(&self.0))
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Maximum length of a group name, in bytes. All groups of a user must fit into one header that nginx accepts.
const GROUP_NAME_BYTES_MAX: usize = 64;

/// Maximum number of groups of one user from one source. Each group is looked up on every request of the user, and one
/// header contains them all.
pub(crate) const GROUPS_OF_USER_MAX: usize = 64;

/// Checks that a group can have this name.
///
/// # Errors
/// Returns the rules for group names, as a message.
pub(crate) fn check_group_name(name: &[u8]) -> Result<(), String> {
    let is_name_byte = |b: &u8| b.is_ascii_graphic() && *b != b',' || *b >= 0x80;
    let is_deceptive = |c: char| c.is_control() || is_layout_character(c) || is_invisible(c);
    let is_displayable = || !name.utf8_chunks().any(|chunk| chunk.valid().contains(is_deceptive));
    if (1..=GROUP_NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(is_name_byte) && is_displayable() {
        return Ok(());
    }
    Err(format!(
        "not a group name; write 1 to {GROUP_NAME_BYTES_MAX} bytes without spaces, commas and control characters"
    ))
}

/// The groups of a user from one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    groups: Box<[Box<[u8]>]>,
    header_value: Bytes,
}

impl Membership {
    /// Creates the membership from names that [`check_group_name`] accepts, in any order.
    pub(crate) fn new(mut groups: Vec<&[u8]>) -> Self {
        groups.sort_unstable();
        groups.dedup();
        let joined = groups.join(&b","[..]).into();
        Self { header_value: joined, groups: groups.into_iter().map(Box::from).collect() }
    }

    /// Returns the groups, sorted and without duplicates.
    pub(crate) fn groups(&self) -> &[Box<[u8]>] {
        &self.groups
    }

    /// Returns the value of `X-Auth-Groups`, such as `a,b`.
    pub(crate) fn header_value(&self) -> &Bytes {
        &self.header_value
    }

    /// Returns true if there are no groups.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// A named value that an authenticator returns for a user, besides the groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// The name of the fact in the settings: lower-case letters, digits and hyphens.
    pub(crate) name: Arc<str>,
    /// The value, which a header can contain.
    pub(crate) value: Box<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn username_that_a_header_cannot_carry_is_rejected() {
        assert_eq!(Username::parse(b""), Err(UsernameError::Empty));
        assert_eq!(Username::parse(b"a\r\nX-Auth-User: root"), Err(UsernameError::ControlCharacter));
        assert_eq!(Username::parse(b"a\0"), Err(UsernameError::ControlCharacter));
        assert_eq!(Username::parse(b"a\x7f"), Err(UsernameError::ControlCharacter));
        assert_eq!(Username::parse(b"a:b"), Err(UsernameError::Colon));
        assert_eq!(Username::parse(b"alice "), Err(UsernameError::SurroundingSpace));
        assert_eq!(Username::parse(b" alice"), Err(UsernameError::SurroundingSpace));
        assert_eq!(Username::parse(&[b'a'; 256]), Err(UsernameError::TooLong));
    }

    #[test]
    fn utf_8_and_latin_1_usernames_are_accepted() {
        assert!(Username::parse("zoë".as_bytes()).is_ok());
        assert_eq!(Username::parse(b"zo\xeb").map(|n| n.to_string()), Ok("zo\u{fffd}".to_owned()));
        // Persian and emoji need ZWNJ and ZWJ between letters.
        for name in ["می‌خواهم", "日本 語", "a\u{a0}b", "👩‍🔧", "é", "e\u{301}", "ﬁ"] {
            assert!(Username::parse(name.as_bytes()).is_ok(), "{name:?}");
        }
        assert!(Username::parse(b"caf\xe9 \xa0").is_ok(), "Latin-1 letters");
    }

    #[test]
    fn username_with_invisible_end_or_layout_character_is_rejected() {
        // The two reported cases, and variants of them.
        for (name, error) in [
            ("alice\u{a0}", UsernameError::SurroundingInvisibleCharacter),
            ("\u{a0}alice", UsernameError::SurroundingInvisibleCharacter),
            ("alice\u{3000}", UsernameError::SurroundingInvisibleCharacter),
            ("alice\u{2009}", UsernameError::SurroundingInvisibleCharacter),
            ("alice\u{200b}", UsernameError::SurroundingInvisibleCharacter),
            ("\u{feff}alice", UsernameError::SurroundingInvisibleCharacter),
            ("alice\u{3164}", UsernameError::SurroundingInvisibleCharacter),
            ("al\u{9b}2Jice", UsernameError::ControlCharacter),
            ("alice\u{85}", UsernameError::ControlCharacter),
            ("\u{80}", UsernameError::ControlCharacter),
            ("al\u{202e}ecila", UsernameError::LayoutCharacter),
            ("al\u{2066}ice", UsernameError::LayoutCharacter),
            ("al\u{200f}ice", UsernameError::LayoutCharacter),
            ("al\u{2028}ice", UsernameError::LayoutCharacter),
            ("al\u{2029}ice", UsernameError::LayoutCharacter),
        ] {
            assert_eq!(Username::parse(name.as_bytes()), Err(error), "{name:?}");
            assert_eq!(
                Username::parse(&[name.as_bytes(), b"\xeb"].concat()).is_ok(),
                error == UsernameError::SurroundingInvisibleCharacter
            );
            assert!(check_group_name(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(check_group_name("größe".as_bytes()).is_ok() && check_group_name(b"gr\xf6\xdfe").is_ok());
    }

    #[test]
    fn control_and_layout_characters_are_replaced_or_escaped() {
        let unsafe_text = "a\u{9b}31m\u{202e}b\u{2028}c\u{7f}é";
        assert_eq!(sanitize_for_display(unsafe_text.as_bytes()), "a\u{fffd}31m\u{fffd}b\u{fffd}c\u{fffd}é");
        let json = serde_json::to_string(unsafe_text).unwrap();
        let escaped = escape_json(&json);
        assert_eq!(escaped, r#""a\u009b31m\u202eb\u2028c\u007fé""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), unsafe_text);
    }
}
