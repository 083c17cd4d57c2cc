//! A JSON body with places for values in its texts.

use serde_json::Value;
use zeroize::Zeroizing;

use super::template::{EncodingContext, SecretReader, Template};
use crate::authn::Credentials;
use crate::authn::remote::client::UnencodableValue;

/// A JSON value whose texts are templates.
#[derive(Clone, Debug)]
pub enum JsonTemplate {
    /// A text with values in it.
    Text(Template),
    /// `[…]`
    Array(Box<[JsonTemplate]>),
    /// `{…}`
    Object(Box<[(String, JsonTemplate)]>),
    /// A number, true or false.
    Fixed(Value),
}

impl JsonTemplate {
    /// About how long it is, without the values.
    pub(super) fn length_hint(&self) -> usize {
        match self {
            Self::Text(template) => template.literal_prefix().len() + 16,
            Self::Array(items) => 2 + items.iter().map(|item| item.length_hint() + 1).sum::<usize>(),
            Self::Object(fields) => {
                2 + fields.iter().map(|(name, value)| 6 * name.len() + 4 + value.length_hint()).sum::<usize>()
            }
            Self::Fixed(_) => 32,
        }
    }

    /// The same with the contents of files in their places.
    ///
    /// # Errors
    /// What `read` says.
    pub fn resolve_secrets<E>(&self, read: &mut SecretReader<'_, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Text(template) => Self::Text(template.resolve_secrets(read)?),
            Self::Array(items) => {
                let mut resolved = Vec::new();
                for item in items {
                    resolved.push(item.resolve_secrets(read)?);
                }
                Self::Array(resolved.into())
            }
            Self::Object(fields) => {
                let mut resolved = Vec::new();
                for (name, value) in fields {
                    resolved.push((name.clone(), value.resolve_secrets(read)?));
                }
                Self::Object(resolved.into())
            }
            Self::Fixed(value) => Self::Fixed(value.clone()),
        })
    }

    /// Whether one of its texts is so.
    pub fn has_template(&self, is: fn(&Template) -> bool) -> bool {
        match self {
            Self::Text(template) => is(template),
            Self::Array(items) => items.iter().any(|item| item.has_template(is)),
            Self::Object(fields) => fields.iter().any(|(_, value)| value.has_template(is)),
            Self::Fixed(_) => false,
        }
    }

    /// Writes it with the values in their places.
    pub(super) fn render(
        &self,
        out: &mut Zeroizing<Vec<u8>>,
        credentials: &Credentials,
    ) -> Result<(), UnencodableValue> {
        match self {
            Self::Text(template) => {
                let text = template.render(credentials, EncodingContext::Body)?;
                write_value(out, std::str::from_utf8(&text).map_err(|_| UnencodableValue)?)
            }
            Self::Fixed(value) => write_value(out, value),
            Self::Array(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.render(out, credentials)?;
                }
                out.push(b']');
                Ok(())
            }
            Self::Object(fields) => {
                out.push(b'{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_value(out, name)?;
                    out.push(b':');
                    value.render(out, credentials)?;
                }
                out.push(b'}');
                Ok(())
            }
        }
    }
}

fn write_value<T: serde::Serialize + ?Sized>(
    out: &mut Zeroizing<Vec<u8>>,
    value: &T,
) -> Result<(), UnencodableValue> {
    serde_json::to_writer(&mut **out, value).map_err(|_| UnencodableValue)
}
