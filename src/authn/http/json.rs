//! A JSON body with places for values in its texts.

use serde_json::Value;
use zeroize::Zeroizing;

use super::template::{Place, ReadSecret, Template, Unplaceable};
use crate::authn::Credentials;

/// A JSON value whose texts are templates.
#[derive(Clone, Debug)]
pub enum Json {
    /// A text with values in it.
    Text(Template),
    /// `[…]`
    Array(Box<[Json]>),
    /// `{…}`
    Object(Box<[(String, Json)]>),
    /// A number, true or false.
    Fixed(Value),
}

impl Json {
    /// About how long it is, without the values.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Text(template) => template.beginning().len() + 16,
            Self::Array(items) => 2 + items.iter().map(|item| item.length() + 1).sum::<usize>(),
            Self::Object(fields) => {
                2 + fields.iter().map(|(name, value)| 6 * name.len() + 4 + value.length()).sum::<usize>()
            }
            Self::Fixed(_) => 32,
        }
    }

    /// The same with the contents of files in their places.
    ///
    /// # Errors
    /// What `read` says.
    pub fn resolve<E>(&self, read: &mut ReadSecret<'_, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Text(template) => Self::Text(template.resolve(read)?),
            Self::Array(items) => {
                let mut resolved = Vec::new();
                for item in items {
                    resolved.push(item.resolve(read)?);
                }
                Self::Array(resolved.into())
            }
            Self::Object(fields) => {
                let mut resolved = Vec::new();
                for (name, value) in fields {
                    resolved.push((name.clone(), value.resolve(read)?));
                }
                Self::Object(resolved.into())
            }
            Self::Fixed(value) => Self::Fixed(value.clone()),
        })
    }

    /// Whether one of its texts is so.
    pub fn any(&self, is: fn(&Template) -> bool) -> bool {
        match self {
            Self::Text(template) => is(template),
            Self::Array(items) => items.iter().any(|item| item.any(is)),
            Self::Object(fields) => fields.iter().any(|(_, value)| value.any(is)),
            Self::Fixed(_) => false,
        }
    }

    /// Writes it with the values in their places.
    pub(super) fn write(
        &self,
        out: &mut Zeroizing<Vec<u8>>,
        credentials: &Credentials,
    ) -> Result<(), Unplaceable> {
        match self {
            Self::Text(template) => {
                let text = template.render(credentials, Place::Body)?;
                write(out, std::str::from_utf8(&text).map_err(|_| Unplaceable)?)
            }
            Self::Fixed(value) => write(out, value),
            Self::Array(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out, credentials)?;
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
                    write(out, name)?;
                    out.push(b':');
                    value.write(out, credentials)?;
                }
                out.push(b'}');
                Ok(())
            }
        }
    }
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Zeroizing<Vec<u8>>, value: &T) -> Result<(), Unplaceable> {
    serde_json::to_writer(&mut **out, value).map_err(|_| Unplaceable)
}
