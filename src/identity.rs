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

/// Who was vouched for, by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user name.
    pub user: Username,
    /// The name of the authenticator that vouched.
    pub by: Arc<str>,
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
