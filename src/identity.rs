//! Who somebody is, once an authenticator has vouched for it. The names are safe in a header and in
//! a log line by construction.

use std::fmt;
use std::sync::Arc;

/// The longest user name, in bytes; Apache's htpasswd takes no more than 255 either.
pub const USERNAME_MAX: usize = 255;

/// A user name as bytes: htpasswd files and clients disagree on the encoding (RFC 7617 section 2.1),
/// and a name works if both mean the same bytes, as it does with nginx and Apache. Case matters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Username(Box<[u8]>);

/// Why some bytes are no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameFault {
    /// Nothing at all.
    #[error("the user name is empty")]
    Empty,
    /// More than [`USERNAME_MAX`] bytes.
    #[error("the user name is longer than 255 bytes")]
    Long,
    /// A control character, which RFC 7617 forbids and a header can't carry.
    #[error("the user name has a control character")]
    Control,
    /// A space at either end, which headers lose on their way: it would be another's name.
    #[error("the user name has a space at one end")]
    Space,
    /// A colon, which ends the name in Basic (RFC 7617) and in an htpasswd line.
    #[error("the user name has a colon")]
    Colon,
}

impl Username {
    /// Says whether `bytes` can be a user name.
    pub fn check(bytes: &[u8]) -> Result<(), UsernameFault> {
        if bytes.is_empty() {
            return Err(UsernameFault::Empty);
        }
        if bytes.len() > USERNAME_MAX {
            return Err(UsernameFault::Long);
        }
        if bytes.trim_ascii() != bytes {
            let control = bytes.iter().any(u8::is_ascii_control);
            return Err(if control { UsernameFault::Control } else { UsernameFault::Space });
        }
        match bytes.iter().find(|b| b.is_ascii_control() || **b == b':') {
            None => Ok(()),
            Some(b':') => Err(UsernameFault::Colon),
            Some(_) => Err(UsernameFault::Control),
        }
    }

    /// Takes `bytes` as a user name if they can be one.
    pub fn parse(bytes: &[u8]) -> Result<Self, UsernameFault> {
        Self::check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The name's bytes, as the client sent them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A name for messages: what is not UTF-8, or is one of its control characters (U+0080 to U+009F among
/// them, which some terminals obey), shows as U+FFFD.
pub fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace(char::is_control, "\u{fffd}")
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// The longest name of a group, in bytes. All of a user's together fit into a header that nginx takes.
const GROUP_NAME_MAX: usize = 64;

/// The most groups that one user may have from one source; each is looked up on each of his requests,
/// and all of them go into one header.
pub const GROUPS_OF_USER_MAX: usize = 64;

/// Whether a group may be called so.
///
/// # Errors
/// What is wrong with the name, for people.
pub fn check_group(name: &[u8]) -> Result<(), String> {
    let well = |b: &u8| b.is_ascii_graphic() && *b != b',' || *b >= 0x80;
    if (1..=GROUP_NAME_MAX).contains(&name.len()) && name.iter().all(well) {
        return Ok(());
    }
    Err(format!(
        "\"{}\" is no name of a group: 1 to {GROUP_NAME_MAX} bytes, without spaces and commas",
        shown(name)
    ))
}

/// The groups that one source says a user is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    groups: Box<[Box<[u8]>]>,
    joined: Box<[u8]>,
}

impl Membership {
    /// Of names that [`check_group`] found good, in any order.
    pub fn new(mut groups: Vec<&[u8]>) -> Self {
        groups.sort_unstable();
        groups.dedup();
        let joined = groups.join(&b","[..]).into();
        Self { joined, groups: groups.into_iter().map(Box::from).collect() }
    }

    /// Sorted, each once.
    pub fn groups(&self) -> &[Box<[u8]>] {
        &self.groups
    }

    /// As `X-Auth-Groups` has them: `a,b`.
    pub fn joined(&self) -> &[u8] {
        &self.joined
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
    fn a_name_that_a_header_cannot_carry_is_refused() {
        assert_eq!(Username::parse(b""), Err(UsernameFault::Empty));
        assert_eq!(Username::parse(b"a\r\nX-Auth-User: root"), Err(UsernameFault::Control));
        assert_eq!(Username::parse(b"a\0"), Err(UsernameFault::Control));
        assert_eq!(Username::parse(b"a\x7f"), Err(UsernameFault::Control));
        assert_eq!(Username::parse(b"a:b"), Err(UsernameFault::Colon));
        assert_eq!(Username::parse(b"alice "), Err(UsernameFault::Space));
        assert_eq!(Username::parse(b" alice"), Err(UsernameFault::Space));
        assert_eq!(Username::parse(&[b'a'; 256]), Err(UsernameFault::Long));
    }

    #[test]
    fn utf_8_and_latin_1_names_are_names() {
        assert!(Username::parse("zoë".as_bytes()).is_ok());
        assert_eq!(Username::parse(b"zo\xeb").map(|n| n.to_string()), Ok("zo\u{fffd}".to_owned()));
        // U+0085 is a new line to some, and no ASCII control character.
        assert_eq!(Username::parse(b"zo\xc2\x85").map(|n| n.to_string()), Ok("zo\u{fffd}".to_owned()));
    }
}
