//! A text with placeholders for the user name and the password, which are encoded for their context.
//!
//! A value is refused if it cannot be encoded so that the service reads exactly this value and nothing more. A value must
//! never become another path, another header or another field.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::authn::Credentials;
use crate::authn::remote::client::UnencodableValue;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePiece {
    Literal(Box<str>),
    Username,
    Password,
    /// User name and password as in Basic authentication (RFC 7617 section 2).
    Basic,
    /// The path of a file whose content is read at the start.
    SecretFile(PathBuf),
    Secret(SecretValue),
}

/// The content of a secret file.
#[derive(Clone, PartialEq, Eq)]
struct SecretValue(Zeroizing<Vec<u8>>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The context of a value, which decides how it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodingContext {
    /// A path or a query. Only the unreserved characters of RFC 3986 section 2.3 are not percent-encoded.
    Url,
    /// The end of a header value: visible ASCII, with spaces inside (RFC 9110 section 5.5).
    Header,
    /// The value of a form field or a JSON string. The writer of the form or JSON encodes it.
    Body,
}

/// A function that reads the content of a secret file.
pub type SecretReader<'r, E> = dyn FnMut(&Path) -> Result<Zeroizing<Vec<u8>>, E> + 'r;

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<[TemplatePiece]>);

impl Template {
    /// Parses a template for a context. A brace is written twice.
    ///
    /// # Errors
    /// What is wrong, and how to correct it.
    pub fn parse(text: &str, context: EncodingContext) -> Result<Self, String> {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(brace);
            literal.push_str(before);
            if let Some(after) = from_brace.strip_prefix("{{").or_else(|| from_brace.strip_prefix("}}")) {
                literal.extend(from_brace.chars().next());
                rest = after;
                continue;
            }
            let placeholder = from_brace.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let Some((name, after)) = placeholder else {
                return Err("single brace; write {{ or }} for a brace".into());
            };
            let piece = Self::parse_placeholder(name, context)?;
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
        if context == EncodingContext::Header { template.check_for_header() } else { Ok(template) }
    }

    fn parse_placeholder(name: &str, context: EncodingContext) -> Result<TemplatePiece, String> {
        match (name, context) {
            ("username", _) => Ok(TemplatePiece::Username),
            ("password", EncodingContext::Url) => {
                Err("a password in a URL would be written to logs; send it in a header, a form or JSON"
                    .into())
            }
            ("password", _) => Ok(TemplatePiece::Password),
            ("basic", EncodingContext::Header) => Ok(TemplatePiece::Basic),
            (_, EncodingContext::Header | EncodingContext::Body) if name.starts_with("file:/") => {
                Ok(TemplatePiece::SecretFile(PathBuf::from(name.trim_start_matches("file:"))))
            }
            ("basic", _) => {
                Err("{basic} is allowed only in a header, as in Authorization = \"Basic {basic}\"".into())
            }
            _ => Err(
                "unknown placeholder; use {username}, {password}, {basic}, or {file:/path} outside of URLs"
                    .into(),
            ),
        }
    }

    /// Checks a header template. No text can follow a value, because a comma or semicolon in the value could then begin
    /// another part of the header.
    fn check_for_header(self) -> Result<Self, String> {
        let values = self.0.iter().filter(|piece| !matches!(piece, TemplatePiece::Literal(_))).count();
        let ends_with_text = matches!(self.0.last(), Some(TemplatePiece::Literal(_)) | None);
        if values > 1 || (values == 1 && ends_with_text) {
            return Err("a header can contain one value, at the end".into());
        }
        let is_visible = |c: char| c.is_ascii_graphic() || c == ' ';
        let is_valid = self.0.iter().all(|piece| match piece {
            TemplatePiece::Literal(text) => text.chars().all(is_visible),
            _ => true,
        });
        if is_valid { Ok(self) } else { Err("a header value must be visible ASCII".into()) }
    }

    /// Returns the text before the first value.
    pub fn literal_prefix(&self) -> &str {
        match self.0.first() {
            Some(TemplatePiece::Literal(text)) => text,
            _ => "",
        }
    }

    /// Returns whether the template is the user name alone.
    pub fn is_username(&self) -> bool {
        matches!(&*self.0, [TemplatePiece::Username])
    }

    /// Returns the text if it contains no value.
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [TemplatePiece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns whether the template contains the user name.
    pub fn has_username(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TemplatePiece::Username | TemplatePiece::Basic))
    }

    /// Returns the template with the contents of the files that it names.
    ///
    /// # Errors
    /// The first error of `read`.
    pub fn resolve_secrets<E>(&self, read: &mut SecretReader<'_, E>) -> Result<Self, E> {
        let resolved = self.0.iter().map(|piece| match piece {
            TemplatePiece::SecretFile(path) => {
                read(path).map(|text| TemplatePiece::Secret(SecretValue(text)))
            }
            other => Ok(other.clone()),
        });
        resolved.collect::<Result<_, E>>().map(Self)
    }

    /// Returns whether the template contains the password.
    pub fn has_password(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TemplatePiece::Password | TemplatePiece::Basic))
    }

    /// Returns the text with the values of `credentials`.
    ///
    /// # Errors
    /// If a value cannot be encoded safely.
    pub fn render(
        &self,
        credentials: &Credentials,
        context: EncodingContext,
    ) -> Result<Zeroizing<Vec<u8>>, UnencodableValue> {
        // No encoding needs more than three bytes for one. A reallocation would leave a copy of the password in memory.
        let value_max = 3 * (credentials.user().len() + credentials.password().len() + 4);
        let lengths = self.0.iter().map(|piece| match piece {
            TemplatePiece::Literal(text) => text.len(),
            TemplatePiece::Secret(SecretValue(text)) => text.len(),
            _ => value_max,
        });
        let mut out = Zeroizing::new(Vec::with_capacity(lengths.sum()));
        for piece in &self.0 {
            match piece {
                TemplatePiece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                TemplatePiece::Secret(SecretValue(text)) => out.extend_from_slice(text),
                // The file was not read, so there is nothing to send.
                TemplatePiece::SecretFile(_) => return Err(UnencodableValue),
                TemplatePiece::Username => push_encoded(&mut out, credentials.user(), context)?,
                TemplatePiece::Password => push_encoded(&mut out, credentials.password(), context)?,
                TemplatePiece::Basic => {
                    let mut text = Zeroizing::new(vec![0; value_max]);
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
    context: EncodingContext,
) -> Result<(), UnencodableValue> {
    match context {
        EncodingContext::Url => {
            for byte in value {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
                    _ => out.extend(format!("%{byte:02X}").bytes()),
                }
            }
        }
        EncodingContext::Header => {
            // A recipient removes spaces at the ends of a header value, so the value would change.
            let is_visible = value.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
            if !is_visible || value.trim_ascii() != value {
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
        context: EncodingContext,
        user: &str,
        password: &str,
    ) -> Result<String, UnencodableValue> {
        let bytes = Template::parse(text, context).unwrap().render(&credentials(user, password), context)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn value_is_escaped_for_its_context() {
        let both = |context, user| rendered("<{username}", context, user, "x");
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
        assert!(template.resolve_secrets(&mut |_: &Path| Err(())).is_ok(), "the file was read before");
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
        let error = |text, context| Template::parse(text, context).unwrap_err();
        assert!(error("{user}", EncodingContext::Body).contains("{username}"));
        assert!(error("{file:/x}", EncodingContext::Url).contains("outside of URLs"));
        assert!(error("{file:x}", EncodingContext::Body).contains("{file:/path}"));
        assert!(error("{file:/x}, {password}", EncodingContext::Header).contains("at the end"));
        assert!(error("a{b", EncodingContext::Body).contains("single brace"));
        assert!(error("a}b", EncodingContext::Body).contains("single brace"));
        assert!(error("/{password}", EncodingContext::Url).contains("logs"));
        assert!(error("{basic}", EncodingContext::Body).contains("Authorization"));
        assert!(error("{username}, {password}", EncodingContext::Header).contains("at the end"));
        assert!(error("{password}; x", EncodingContext::Header).contains("at the end"));
        assert!(error("a\nb", EncodingContext::Header).contains("visible ASCII"));
    }
}
