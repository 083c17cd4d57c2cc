//! The groups in an answer: a list of names, a list of objects with a name in each, one text, or a
//! header.

use serde_json::Value;

use super::{Condition, Pointer, Reply, Spot};
use crate::authn::Credentials;
use crate::authn::http::fault::Fault;
use crate::identity::{GROUPS_OF_USER_MAX, check_group_name};

/// A list of groups in an answer.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Where.
    pub spot: Spot,
    /// In a list of objects, where the name stands in each.
    pub member: Option<Pointer>,
    /// Which of those objects count.
    pub conditions: Box<[Condition]>,
    /// What parts the names, where they are in one text.
    pub separator: Option<char>,
    /// Put before each name.
    pub prefix: Box<str>,
    /// Whether it may be missing.
    pub optional: bool,
}

impl Groups {
    /// Adds the names to `names`.
    ///
    /// # Errors
    /// What is missing, or not as the settings say.
    pub(super) fn read(
        &self,
        reply: &Reply,
        json: &Value,
        credentials: &Credentials,
        names: &mut Vec<String>,
    ) -> Result<(), Fault> {
        let found = match &self.spot {
            Spot::Header(header) => {
                for value in reply.headers.get_all(header) {
                    let fault = || Fault::Content(format!("the header {header} has bytes that no text has"));
                    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| fault())?;
                    self.take(text, names)?;
                }
                reply.headers.contains_key(header)
            }
            Spot::Pointer(pointer) => match pointer.find(json) {
                None => false,
                Some(value) => {
                    self.value(pointer, value, credentials, names)?;
                    true
                }
            },
        };
        if found || self.optional {
            return Ok(());
        }
        Err(match &self.spot {
            Spot::Header(header) => Fault::Content(format!(
                "the header {header} with the groups is missing; say optional = true if that may be"
            )),
            Spot::Pointer(pointer) => pointer.fault("no list of groups; say optional = true if that may be"),
        })
    }

    fn value(
        &self,
        pointer: &Pointer,
        value: &Value,
        credentials: &Credentials,
        names: &mut Vec<String>,
    ) -> Result<(), Fault> {
        match (value, &self.member) {
            (Value::String(text), None) => self.take(text, names),
            (Value::Array(items), None) => items.iter().try_for_each(|item| match item {
                Value::String(name) => self.name(name, names),
                _ => Err(pointer.fault("a list of something else than texts; for objects say member")),
            }),
            (Value::Array(items), Some(member)) => items.iter().try_for_each(|item| {
                if !item.is_object() {
                    return Err(pointer.fault("something else than an object in the list"));
                }
                for condition in &self.conditions {
                    if !condition.holds(item, credentials)? {
                        return Ok(());
                    }
                }
                match member.find(item) {
                    Some(Value::String(name)) => self.name(name, names),
                    _ => Err(pointer.fault("an object in the list without a text where member points")),
                }
            }),
            (_, None) => Err(pointer.fault("neither a list of texts nor a text")),
            (_, Some(_)) => Err(pointer.fault("something else than a list of objects")),
        }
    }

    /// A text of one name, or of several.
    fn take(&self, text: &str, names: &mut Vec<String>) -> Result<(), Fault> {
        let Some(separator) = self.separator else { return self.name(text, names) };
        let mut parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
        parts.try_for_each(|part| self.name(part, names))
    }

    fn name(&self, name: &str, names: &mut Vec<String>) -> Result<(), Fault> {
        let name = format!("{}{name}", self.prefix);
        if check_group_name(name.as_bytes()).is_err() {
            // The name itself is the service's, and may be anything.
            let what = "it names a group as none can be called: 1 to 64 bytes, without spaces and commas";
            return Err(Fault::Content(what.into()));
        }
        // One more than may be, so that it is told.
        if names.len() <= GROUPS_OF_USER_MAX && !names.contains(&name) {
            names.push(name);
        }
        Ok(())
    }
}
