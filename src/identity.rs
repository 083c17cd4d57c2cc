//! Who somebody is, once an authenticator has vouched for it. The names are safe in a header and in
//! a log line by construction.

use std::fmt;
use std::sync::Arc;

/// The longest user name, in bytes; Apache's htpasswd takes no more than 255 either.
pub const USERNAME_BYTES_MAX: usize = 255;

/// A user name as bytes: htpasswd files and clients disagree on the encoding (RFC 7617 section 2.1),
/// and a name works if both mean the same bytes, as it does with nginx and Apache. Case matters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Username(Box<[u8]>);

/// Why some bytes are no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// Nothing at all.
    #[error("the user name is empty")]
    Empty,
    /// More than [`USERNAME_MAX`] bytes.
    #[error("the user name is longer than 255 bytes")]
    TooLong,
    /// A control character, which RFC 7617 forbids and a header can't carry; also one of U+0080 to U+009F.
    #[error("the user name has a control character")]
    ControlCharacter,
    /// A space at either end, which headers lose on their way: it would be another's name.
    #[error("the user name has a space at one end")]
    SurroundingSpace,
    /// Another character at either end that cannot be seen, so that two names look the same.
    #[error("the user name has an invisible character at one end")]
    SurroundingInvisibleCharacter,
    /// A character that reorders the text around it, or ends a line for some readers.
    #[error("the user name has a character that reorders text or ends a line")]
    LayoutCharacter,
    /// A colon, which ends the name in Basic (RFC 7617) and in an htpasswd line.
    #[error("the user name has a colon")]
    Colon,
}

impl Username {
    /// Says whether `bytes` can be a user name.
    pub fn check(bytes: &[u8]) -> Result<(), UsernameError> {
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

    /// The rule for characters that only UTF-8 has. Bytes that are not UTF-8 are left alone: they are letters of an
    /// encoding that is not known, and nginx and Apache compare them as bytes.
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

    /// Takes `bytes` as a user name if they can be one.
    pub fn parse(bytes: &[u8]) -> Result<Self, UsernameError> {
        Self::check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The name's bytes, as the client sent them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Returns whether a character reorders the text around it (Unicode's bidirectional controls, UAX #9) or ends a line
/// for some readers. A terminal, a browser or an editor then shows something else than what is compared.
pub fn is_layout_character(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a character at an end of a name cannot be seen: a space of any width, or nothing at all.
fn is_invisible(c: char) -> bool {
    let has_no_width = matches!(
        c,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
    );
    has_no_width || c.is_whitespace()
}

/// Returns whether a terminal or an editor could do something else with a character than show it.
fn is_unsafe_to_display(c: char) -> bool {
    c.is_control() || is_layout_character(c)
}

/// A name for messages: what is not UTF-8, or is one of its control characters (U+0080 to U+009F among
/// them, which some terminals obey), or changes the layout, shows as U+FFFD.
pub fn sanitize_for_display(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(is_unsafe_to_display, "\u{fffd}")
}

/// The same JSON, with each character escaped that is not safe to show. They can only stand in its strings.
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe_to_display(c) && c != '\n' {
            // All of them are below U+10000, so one escape each will do.
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

/// The longest name of a group, in bytes. All of a user's together fit into a header that nginx takes.
const GROUP_NAME_BYTES_MAX: usize = 64;

/// The most groups that one user may have from one source; each is looked up on each of his requests,
/// and all of them go into one header.
pub const GROUPS_OF_USER_MAX: usize = 64;

/// Whether a group may be called so.
///
/// # Errors
/// What is wrong with the name, for people.
pub fn check_group_name(name: &[u8]) -> Result<(), String> {
    let well = |b: &u8| b.is_ascii_graphic() && *b != b',' || *b >= 0x80;
    let bad = |c: char| c.is_control() || is_layout_character(c) || is_invisible(c);
    let is_plain = || !name.utf8_chunks().any(|chunk| chunk.valid().contains(bad));
    if (1..=GROUP_NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(well) && is_plain() {
        return Ok(());
    }
    Err(format!("it is no name of a group: 1 to {GROUP_NAME_BYTES_MAX} bytes, without spaces and commas"))
}

/// The groups that one source says a user is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    groups: Box<[Box<[u8]>]>,
    header_value: Box<[u8]>,
}

impl Membership {
    /// Of names that [`check_group`] found good, in any order.
    pub fn new(mut groups: Vec<&[u8]>) -> Self {
        groups.sort_unstable();
        groups.dedup();
        let joined = groups.join(&b","[..]).into();
        Self { header_value: joined, groups: groups.into_iter().map(Box::from).collect() }
    }

    /// Sorted, each once.
    pub fn groups(&self) -> &[Box<[u8]>] {
        &self.groups
    }

    /// As `X-Auth-Groups` has them: `a,b`.
    pub fn header_value(&self) -> &[u8] {
        &self.header_value
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// Something that an authenticator says of a user besides his groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// As the settings call it: lower-case letters, digits and hyphens.
    pub name: Arc<str>,
    /// Bytes that a header can carry.
    pub value: Box<[u8]>,
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
        // What ZWNJ and ZWJ do between letters, Persian and emoji need.
        for name in ["می‌خواهم", "日本 語", "a\u{a0}b", "👩‍🔧", "é", "e\u{301}", "ﬁ"] {
            assert!(Username::parse(name.as_bytes()).is_ok(), "{name:?}");
        }
        assert!(Username::parse(b"caf\xe9 \xa0").is_ok(), "letters of another encoding");
    }

    #[test]
    fn username_with_invisible_end_or_layout_character_is_rejected() {
        // The two cases that were reported, and their kind.
        for (name, fault) in [
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
            assert_eq!(Username::parse(name.as_bytes()), Err(fault), "{name:?}");
            assert_eq!(
                Username::parse(&[name.as_bytes(), b"\xeb"].concat()).is_ok(),
                fault == UsernameError::SurroundingInvisibleCharacter
            );
            assert!(check_group_name(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(check_group_name("größe".as_bytes()).is_ok() && check_group_name(b"gr\xf6\xdfe").is_ok());
    }

    #[test]
    fn control_and_layout_characters_are_replaced_or_escaped() {
        let bad = "a\u{9b}31m\u{202e}b\u{2028}c\u{7f}é";
        assert_eq!(sanitize_for_display(bad.as_bytes()), "a\u{fffd}31m\u{fffd}b\u{fffd}c\u{fffd}é");
        let json = serde_json::to_string(bad).unwrap();
        let escaped = escape_json(&json);
        assert_eq!(escaped, r#""a\u009b31m\u202eb\u2028c\u007fé""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), bad);
    }
}
