//! The groups in an answer: a list of names, a list of objects with a name in each, one text, or a
//! header.

use serde_json::Value;

use super::{BackendResponse, JsonCondition, JsonPointer, ValueSource};
use crate::authn::Credentials;
use crate::authn::http::error::CallError;
use crate::identity::{GROUPS_OF_USER_MAX, check_group_name};

/// A list of groups in an answer.
#[derive(Clone, Debug)]
pub struct GroupsSource {
    /// Where.
    pub source: ValueSource,
    /// In a list of objects, where the name stands in each.
    pub name_pointer: Option<JsonPointer>,
    /// Which of those objects count.
    pub conditions: Box<[JsonCondition]>,
    /// What parts the names, where they are in one text.
    pub separator: Option<char>,
    /// Put before each name.
    pub prefix: Box<str>,
    /// Whether it may be missing.
    pub is_optional: bool,
}

impl GroupsSource {
    /// Adds the names to `names`.
    ///
    /// # Errors
    /// What is missing, or not as the settings say.
    pub(super) fn collect_names(
        &self,
        reply: &BackendResponse,
        json: &Value,
        credentials: &Credentials,
        names: &mut Vec<String>,
    ) -> Result<(), CallError> {
        let found = match &self.source {
            ValueSource::Header(header) => {
                for value in reply.headers.get_all(header) {
                    let fault = || {
                        CallError::UnexpectedContent(format!(
                            "the header {header} has bytes that no text has"
                        ))
                    };
                    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| fault())?;
                    self.collect_from_text(text, names)?;
                }
                reply.headers.contains_key(header)
            }
            ValueSource::Pointer(pointer) => match pointer.find(json) {
                None => false,
                Some(value) => {
                    self.collect_from_json(pointer, value, credentials, names)?;
                    true
                }
            },
        };
        if found || self.is_optional {
            return Ok(());
        }
        Err(match &self.source {
            ValueSource::Header(header) => CallError::UnexpectedContent(format!(
                "the header {header} with the groups is missing; say optional = true if that may be"
            )),
            ValueSource::Pointer(pointer) => {
                pointer.mismatch_error("no list of groups; say optional = true if that may be")
            }
        })
    }

    fn collect_from_json(
        &self,
        pointer: &JsonPointer,
        value: &Value,
        credentials: &Credentials,
        names: &mut Vec<String>,
    ) -> Result<(), CallError> {
        match (value, &self.name_pointer) {
            (Value::String(text), None) => self.collect_from_text(text, names),
            (Value::Array(items), None) => items.iter().try_for_each(|item| match item {
                Value::String(name) => self.push_name(name, names),
                _ => {
                    Err(pointer.mismatch_error("a list of something else than texts; for objects say member"))
                }
            }),
            (Value::Array(items), Some(member)) => {
                items.iter().try_for_each(|item| {
                    if !item.is_object() {
                        return Err(pointer.mismatch_error("something else than an object in the list"));
                    }
                    for condition in &self.conditions {
                        if !condition.is_met(item, credentials)? {
                            return Ok(());
                        }
                    }
                    match member.find(item) {
                        Some(Value::String(name)) => self.push_name(name, names),
                        _ => Err(pointer
                            .mismatch_error("an object in the list without a text where member points")),
                    }
                })
            }
            (_, None) => Err(pointer.mismatch_error("neither a list of texts nor a text")),
            (_, Some(_)) => Err(pointer.mismatch_error("something else than a list of objects")),
        }
    }

    /// A text of one name, or of several.
    fn collect_from_text(&self, text: &str, names: &mut Vec<String>) -> Result<(), CallError> {
        let Some(separator) = self.separator else { return self.push_name(text, names) };
        let mut parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
        parts.try_for_each(|part| self.push_name(part, names))
    }

    fn push_name(&self, name: &str, names: &mut Vec<String>) -> Result<(), CallError> {
        let name = format!("{}{name}", self.prefix);
        if check_group_name(name.as_bytes()).is_err() {
            // The name itself is the service's, and may be anything.
            let what = "it names a group as none can be called: 1 to 64 bytes, without spaces and commas";
            return Err(CallError::UnexpectedContent(what.into()));
        }
        // One more than may be, so that it is told.
        if names.len() <= GROUPS_OF_USER_MAX && !names.contains(&name) {
            names.push(name);
        }
        Ok(())
    }
}
