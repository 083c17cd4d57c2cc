//! A template of a JSON body, with placeholders in its texts.

use serde_json::Value;
use zeroize::Zeroizing;

use super::template::{EncodingContext, SecretReader, Template};
use crate::authn::Credentials;
use crate::authn::remote::client::UnencodableValue;

/// A JSON value whose texts are templates.
#[derive(Clone, Debug)]
pub enum JsonTemplate {
    /// A text.
    Text(Template),
    /// An array.
    Array(Box<[JsonTemplate]>),
    /// An object.
    Object(Box<[(String, JsonTemplate)]>),
    /// A number, true or false.
    Fixed(Value),
}

impl JsonTemplate {
    /// Returns the approximate length without the values.
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

    /// Returns the template with the contents of the files that it names.
    ///
    /// # Errors
    /// The first error of `read`.
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

    /// Returns whether `is` holds for one of the texts.
    pub fn has_template(&self, is: fn(&Template) -> bool) -> bool {
        match self {
            Self::Text(template) => is(template),
            Self::Array(items) => items.iter().any(|item| item.has_template(is)),
            Self::Object(fields) => fields.iter().any(|(_, value)| value.has_template(is)),
            Self::Fixed(_) => false,
        }
    }

    /// Writes the JSON with the values of `credentials`.
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
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.render(out, credentials)?;
                }
                out.push(b']');
                Ok(())
            }
            Self::Object(fields) => {
                out.push(b'{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
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
