//! Reads the groups of a response: from a list of names, a list of objects with a name in each, a text, or a header.

use serde_json::Value;

use super::{BackendResponse, JsonCondition, JsonPointer, ValueSource};
use crate::authn::Credentials;
use crate::authn::remote::error::CallError;
use crate::authn::remote::identity_builder::IdentityBuilder;

/// A list of groups in a response.
#[derive(Clone, Debug)]
pub struct GroupsSource {
    /// The place of the list.
    pub source: ValueSource,
    /// The place of the name in each object of a list of objects.
    pub name_pointer: Option<JsonPointer>,
    /// Conditions on the objects. An object that does not meet them is skipped.
    pub conditions: Box<[JsonCondition]>,
    /// The separator of names in a text.
    pub separator: Option<char>,
    /// Written before each name.
    pub prefix: Box<str>,
    /// Whether the list can be missing.
    pub is_optional: bool,
}

impl GroupsSource {
    /// Adds the groups to `identity`.
    ///
    /// # Errors
    /// If the list is missing, or differs from the settings.
    pub(super) fn read(
        &self,
        response: &BackendResponse,
        json: &Value,
        credentials: &Credentials,
        identity: &mut IdentityBuilder,
    ) -> Result<(), CallError> {
        match &self.source {
            ValueSource::Header(header) => {
                for value in response.headers.get_all(header) {
                    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
                        CallError::UnexpectedContent(format!("the header {header} is not valid UTF-8"))
                    })?;
                    self.read_text(text, identity)?;
                }
                if !response.headers.contains_key(header) && !self.is_optional {
                    return Err(CallError::UnexpectedContent(format!(
                        "the header {header} with the groups is missing; set optional = true if it can be missing"
                    )));
                }
            }
            ValueSource::Pointer(pointer) => match pointer.find(json) {
                Some(value) => self.read_json(pointer, value, credentials, identity)?,
                None if self.is_optional => {}
                None => {
                    return Err(
                        pointer.mismatch_error("no groups; set optional = true if they can be missing")
                    );
                }
            },
        }
        Ok(())
    }

    fn read_json(
        &self,
        pointer: &JsonPointer,
        value: &Value,
        credentials: &Credentials,
        identity: &mut IdentityBuilder,
    ) -> Result<(), CallError> {
        match (value, &self.name_pointer) {
            (Value::String(text), None) => self.read_text(text, identity),
            (Value::Array(items), None) => items.iter().try_for_each(|item| match item {
                Value::String(name) => identity.add_group(&self.prefix, name),
                _ => Err(pointer
                    .mismatch_error("a list with an item that is not a text; for objects set name_pointer")),
            }),
            (Value::Array(items), Some(name_pointer)) => items
                .iter()
                .try_for_each(|item| self.read_object(pointer, name_pointer, item, credentials, identity)),
            (_, None) => Err(pointer.mismatch_error("no text and no list of texts")),
            (_, Some(_)) => Err(pointer.mismatch_error("no list of objects")),
        }
    }

    fn read_object(
        &self,
        pointer: &JsonPointer,
        name_pointer: &JsonPointer,
        item: &Value,
        credentials: &Credentials,
        identity: &mut IdentityBuilder,
    ) -> Result<(), CallError> {
        if !item.is_object() {
            return Err(pointer.mismatch_error("a list with an item that is not an object"));
        }
        for condition in &self.conditions {
            if !condition.is_met(item, credentials)? {
                return Ok(());
            }
        }
        match name_pointer.find(item) {
            Some(Value::String(name)) => identity.add_group(&self.prefix, name),
            _ => Err(pointer.mismatch_error("an object without a text at name_pointer")),
        }
    }

    /// Reads one name, or several with a separator.
    fn read_text(&self, text: &str, identity: &mut IdentityBuilder) -> Result<(), CallError> {
        let Some(separator) = self.separator else { return identity.add_group(&self.prefix, text) };
        let mut names = text.split(separator).map(str::trim).filter(|name| !name.is_empty());
        names.try_for_each(|name| identity.add_group(&self.prefix, name))
    }
}
