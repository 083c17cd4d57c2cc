//! A text with places for the user name and the password, and the escaping that each place needs.
//!
//! What can't be placed so that the other side reads exactly this value, and nothing more, is refused:
//! a value must never become another path, another header or another field.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::authn::Credentials;
use crate::authn::remote::client::UnencodableValue;

/// One part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePiece {
    Literal(Box<str>),
    Username,
    Password,
    /// Both, as in Basic (RFC 7617 section 2).
    Basic,
    /// The content of a file, which is read when the service is made.
    SecretFile(PathBuf),
    Secret(SecretValue),
}

/// What was in a file.
#[derive(Clone, PartialEq, Eq)]
struct SecretValue(Zeroizing<Vec<u8>>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a value goes, and so how it is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodingContext {
    /// A path or a query: percent-encoded but for RFC 3986's unreserved characters.
    Url,
    /// The end of a header's value: visible ASCII, and spaces within (RFC 9110 section 5.5).
    Header,
    /// A form's value or a JSON string, which are escaped by who writes them.
    Body,
}

/// How the content of a file is had, when a service is made.
pub type SecretReader<'r, E> = dyn FnMut(&Path) -> Result<Zeroizing<Vec<u8>>, E> + 'r;

/// See the top of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<[TemplatePiece]>);

impl Template {
    /// Reads a template for `place`. A brace is written twice.
    ///
    /// # Errors
    /// What is wrong with it, and what would do.
    pub fn parse(text: &str, place: EncodingContext) -> Result<Self, String> {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.extend(from.chars().next());
                rest = after;
                continue;
            }
            let named = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let Some((name, after)) = named else {
                return Err("there is a single brace; write {{ or }} for a brace".into());
            };
            let piece = Self::parse_placeholder(name, place)?;
            if !literal.is_empty() {
                pieces.push(TemplatePiece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(TemplatePiece::Literal(literal.into()));
        }
        let template = Self(pieces.into());
        if place == EncodingContext::Header { template.check_for_header() } else { Ok(template) }
    }

    fn parse_placeholder(name: &str, place: EncodingContext) -> Result<TemplatePiece, String> {
        match (name, place) {
            ("username", _) => Ok(TemplatePiece::Username),
            ("password", EncodingContext::Url) => {
                Err("a password in a URL ends up in logs; send it in a header, as a form or as JSON".into())
            }
            ("password", _) => Ok(TemplatePiece::Password),
            ("basic", EncodingContext::Header) => Ok(TemplatePiece::Basic),
            (_, EncodingContext::Header | EncodingContext::Body) if name.starts_with("file:/") => {
                Ok(TemplatePiece::SecretFile(PathBuf::from(name.trim_start_matches("file:"))))
            }
            ("basic", _) => Err("{basic} is for a header, as in Authorization = \"Basic {basic}\"".into()),
            _ => Err("such a brace is not known; there are {username}, {password}, {basic}, and {file:/path} outside of URLs".into()),
        }
    }

    /// Behind a value nothing may follow: a comma or a semicolon in it would else begin a part of ours.
    fn check_for_header(self) -> Result<Self, String> {
        let values = self.0.iter().filter(|piece| !matches!(piece, TemplatePiece::Literal(_))).count();
        let last = matches!(self.0.last(), Some(TemplatePiece::Literal(_)) | None);
        if values > 1 || (values == 1 && last) {
            return Err("in a header one value may stand, at the end".into());
        }
        let visible = |c: char| c.is_ascii_graphic() || c == ' ';
        let well = self.0.iter().all(|piece| match piece {
            TemplatePiece::Literal(text) => text.chars().all(visible),
            _ => true,
        });
        if well { Ok(self) } else { Err("it can't be sent in a header".into()) }
    }

    /// The text before the first value, which is all of it where there is none.
    pub fn literal_prefix(&self) -> &str {
        match self.0.first() {
            Some(TemplatePiece::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether it is a user name and nothing else.
    pub fn is_username(&self) -> bool {
        matches!(&*self.0, [TemplatePiece::Username])
    }

    /// The text, if there is no value in it.
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [TemplatePiece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether the user name is in it.
    pub fn has_username(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TemplatePiece::Username | TemplatePiece::Basic))
    }

    /// The same with the contents of files in their places, as `read` reads them.
    ///
    /// # Errors
    /// What `read` says.
    pub fn resolve_secrets<E>(&self, read: &mut SecretReader<'_, E>) -> Result<Self, E> {
        let resolved = self.0.iter().map(|piece| match piece {
            TemplatePiece::SecretFile(path) => {
                read(path).map(|text| TemplatePiece::Secret(SecretValue(text)))
            }
            other => Ok(other.clone()),
        });
        resolved.collect::<Result<_, E>>().map(Self)
    }

    /// Whether the password is in it.
    pub fn has_password(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TemplatePiece::Password | TemplatePiece::Basic))
    }

    /// The text with the values in their places.
    pub fn render(
        &self,
        credentials: &Credentials,
        place: EncodingContext,
    ) -> Result<Zeroizing<Vec<u8>>, UnencodableValue> {
        // Nothing makes more than three bytes of one; and growing would leave a copy behind.
        let values = 3 * (credentials.user().len() + credentials.password().len() + 4);
        let room = self.0.iter().map(|piece| match piece {
            TemplatePiece::Literal(text) => text.len(),
            TemplatePiece::Secret(SecretValue(text)) => text.len(),
            _ => values,
        });
        let mut out = Zeroizing::new(Vec::with_capacity(room.sum()));
        for piece in &self.0 {
            match piece {
                TemplatePiece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                TemplatePiece::Secret(SecretValue(text)) => out.extend_from_slice(text),
                // It was never read, so there is nothing to send.
                TemplatePiece::SecretFile(_) => return Err(UnencodableValue),
                TemplatePiece::Username => push_encoded(&mut out, credentials.user(), place)?,
                TemplatePiece::Password => push_encoded(&mut out, credentials.password(), place)?,
                TemplatePiece::Basic => {
                    let mut text = Zeroizing::new(vec![0; values]);
                    let length = BASE64_STANDARD.encode_slice(credentials.user_pass(), &mut text);
                    out.extend(text.iter().take(length.map_err(|_| UnencodableValue)?));
                }
            }
        }
        Ok(out)
    }
}

fn push_encoded(
    out: &mut Zeroizing<Vec<u8>>,
    value: &[u8],
    place: EncodingContext,
) -> Result<(), UnencodableValue> {
    match place {
        EncodingContext::Url => {
            for byte in value {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
                    _ => out.extend(format!("%{byte:02X}").bytes()),
                }
            }
        }
        EncodingContext::Header => {
            // Who reads a header takes the spaces at its ends away, and it would be another value.
            let visible = value.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
            if !visible || value.trim_ascii() != value {
                return Err(UnencodableValue);
            }
            out.extend_from_slice(value);
        }
        EncodingContext::Body => out.extend_from_slice(value),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        let frame = "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH);
        Credentials::new(Zeroizing::new(format!("{frame}{user}:{password}").into_bytes())).unwrap()
    }

    fn rendered(
        text: &str,
        place: EncodingContext,
        user: &str,
        password: &str,
    ) -> Result<String, UnencodableValue> {
        let bytes = Template::parse(text, place).unwrap().render(&credentials(user, password), place)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn value_is_escaped_for_its_context() {
        let both = |place, user| rendered("<{username}", place, user, "x");
        assert_eq!(both(EncodingContext::Url, "a/b c%&=é"), Ok("<a%2Fb%20c%25%26%3D%C3%A9".into()));
        assert_eq!(both(EncodingContext::Header, "a/b c%&=\""), Ok("<a/b c%&=\"".into()));
        assert_eq!(both(EncodingContext::Body, " é\"\\"), Ok("< é\"\\".into()));
        assert_eq!(
            rendered("Basic {basic}", EncodingContext::Header, "é", "a:b\n"),
            Ok("Basic w6k6YTpiCg==".into())
        );
        assert_eq!(rendered("{{{username}}}", EncodingContext::Body, "ann", "x"), Ok("{ann}".into()));
    }

    #[test]
    fn secret_is_read_from_its_file_and_redacted_in_debug_output() {
        let template = Template::parse("Key {file:/run/key}", EncodingContext::Header).unwrap();
        assert_eq!(template.render(&credentials("ann", "x"), EncodingContext::Header), Err(UnencodableValue));
        let mut read = |path: &Path| {
            assert_eq!(path, Path::new("/run/key"));
            Ok::<_, ()>(Zeroizing::new(b"s3cret".to_vec()))
        };
        let template = template.resolve_secrets(&mut read).unwrap();
        assert_eq!(
            &*template.render(&credentials("ann", "x"), EncodingContext::Header).unwrap(),
            b"Key s3cret"
        );
        assert!(!format!("{template:?}").contains("s3cret"));
        assert!(template.resolve_secrets(&mut |_: &Path| Err(())).is_ok(), "it was read before");
    }

    #[test]
    fn value_that_a_header_cannot_carry_is_rejected() {
        for password in [" a", "a ", "a\r\nX: y", "a\tb", "\u{e9}", "a\u{7f}"] {
            assert_eq!(
                rendered("Key {password}", EncodingContext::Header, "ann", password),
                Err(UnencodableValue)
            );
        }
    }

    #[test]
    fn invalid_template_is_rejected_with_a_suggestion() {
        let told = |text, place| Template::parse(text, place).unwrap_err();
        assert!(told("{user}", EncodingContext::Body).contains("{username}"));
        assert!(told("{file:/x}", EncodingContext::Url).contains("outside of URLs"));
        assert!(told("{file:x}", EncodingContext::Body).contains("{file:/path}"));
        assert!(told("{file:/x}, {password}", EncodingContext::Header).contains("at the end"));
        assert!(told("a{b", EncodingContext::Body).contains("single brace"));
        assert!(told("a}b", EncodingContext::Body).contains("single brace"));
        assert!(told("/{password}", EncodingContext::Url).contains("logs"));
        assert!(told("{basic}", EncodingContext::Body).contains("Authorization"));
        assert!(told("{username}, {password}", EncodingContext::Header).contains("at the end"));
        assert!(told("{password}; x", EncodingContext::Header).contains("at the end"));
        assert!(told("a\nb", EncodingContext::Header).contains("header"));
    }
}
