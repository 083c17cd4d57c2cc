//! A secret header value. It is never printed, and is cleared when it is dropped.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Maximum length, in bytes. Tokens of ECR have some 2,000 to 4,000, and more with long sessions. The nginx
/// configuration has buffers for this value beside the other headers.
pub(crate) const VALUE_BYTES_MAX: usize = 16 << 10;

/// A secret header value, such as the value of `Authorization`. Clones share the memory.
#[derive(Clone)]
pub(crate) struct SecretHeaderValue(Bytes);

impl fmt::Debug for SecretHeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

impl SecretHeaderValue {
    /// Creates an empty value, for which no header is sent.
    pub(crate) const fn empty() -> Self {
        Self(Bytes::new())
    }

    /// Creates a value from a complete header value.
    ///
    /// # Errors
    /// Returns the problem with the value. The other constructors do the same.
    pub(crate) fn from_value(value: Zeroizing<Vec<u8>>) -> Result<Self, &'static str> {
        if value.is_empty() {
            return Err("it is empty");
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err("the header value would have more than 16 KiB");
        }
        // RFC 9110 section 5.5. Servers interpret non-ASCII bytes in different ways.
        if !value.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
            return Err("it contains a character other than visible ASCII, or a second line");
        }
        Ok(Self(Bytes::from_owner(value)))
    }

    /// Creates a value from a scheme and credentials (RFC 9110 section 11.4).
    pub(crate) fn with_scheme(scheme: &str, credentials: &[u8]) -> Result<Self, &'static str> {
        if credentials.is_empty() {
            return Err("it is empty");
        }
        // The characters of token68, the syntax of Basic and Bearer credentials.
        let is_token68 =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        if !credentials.iter().copied().all(is_token68) {
            return Err("it contains a character that is not allowed in a token, or a second line");
        }
        let mut value = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + credentials.len()));
        value.extend_from_slice(scheme.as_bytes());
        value.push(b' ');
        value.extend_from_slice(credentials);
        Self::from_value(value)
    }

    /// Creates the value of Basic from a user name and a password (RFC 7617 section 2).
    pub(crate) fn basic(username: &str, password: &[u8]) -> Result<Self, &'static str> {
        if password.is_empty() {
            return Err("it is empty");
        }
        if password.iter().any(|b| b.is_ascii_control()) {
            return Err("it contains a control character, or a second line");
        }
        let mut pair = Zeroizing::new(Vec::with_capacity(username.len() + 1 + password.len()));
        pair.extend_from_slice(username.as_bytes());
        pair.push(b':');
        pair.extend_from_slice(password);
        let mut text = Zeroizing::new(vec![0; pair.len().div_ceil(3) * 4]);
        let length = BASE64_STANDARD.encode_slice(&*pair, &mut text).map_err(|_| "it is too long")?;
        text.truncate(length);
        Self::with_scheme("Basic", &text)
    }

    /// Returns the value; empty if no header must be sent.
    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Compares the value with a text in constant time.
    pub(crate) fn constant_time_eq(&self, text: &[u8]) -> bool {
        self.0.ct_eq(text).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(authorization: Result<SecretHeaderValue, &'static str>) -> Result<String, &'static str> {
        authorization.map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap())
    }

    fn from_value(text: &[u8]) -> Result<String, &'static str> {
        value(SecretHeaderValue::from_value(Zeroizing::new(text.to_vec())))
    }

    #[test]
    fn value_that_a_header_cannot_carry_is_rejected() {
        assert_eq!(from_value(b"Basic QVdTOng="), Ok("Basic QVdTOng=".into()));
        assert_eq!(value(SecretHeaderValue::basic("AWS", b"x y")), Ok("Basic QVdTOnggeQ==".into()));
        assert_eq!(value(SecretHeaderValue::with_scheme("Bearer", b"a.b-c")), Ok("Bearer a.b-c".into()));
        assert!(
            from_value(&[b'a'; VALUE_BYTES_MAX]).is_ok() && from_value(&[b'a'; VALUE_BYTES_MAX + 1]).is_err()
        );
        for bad in [&b""[..], b"a\r\nX: y", b"a\0", b"a\tb", "ä".as_bytes()] {
            assert!(from_value(bad).is_err());
            assert!(SecretHeaderValue::basic("AWS", bad).is_err() || bad == "ä".as_bytes());
            assert!(SecretHeaderValue::with_scheme("Bearer", bad).is_err());
        }
        assert!(SecretHeaderValue::with_scheme("Bearer", b"a b").is_err());
    }

    #[test]
    fn secret_header_value_debug_shows_no_secret() {
        let authorization = SecretHeaderValue::basic("AWS", b"s3cret").unwrap();
        assert_eq!(format!("{authorization:?}"), "***");
        assert!(
            authorization.constant_time_eq(authorization.as_bytes())
                && !authorization.constant_time_eq(b"s3cret")
        );
    }
}
