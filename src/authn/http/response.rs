//! From a service's answer to an outcome: what its statuses mean, and what it says of the user.
//!
//! What can't be understood is trouble, and never a "yes" nor a "no": a page for people where JSON was
//! agreed on, a status that nobody spoke of, groups of another shape. A group that is left out could be
//! one that a denial names.

pub mod groups;

use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use serde_json::Value;

use self::groups::GroupsSource;
use super::error::CallError;
use crate::authn::{Credentials, Identity, Outcome};
use crate::identity::{Fact, GROUPS_OF_USER_MAX, Membership, Username};

/// The longest fact, in bytes; all of them go into headers that nginx has to take.
const FACT_LENGTH_MAX: usize = 256;

/// What an answer means.
#[derive(Clone, Debug)]
pub struct ResponseRules {
    /// Statuses by which the service vouches.
    pub accepted_statuses: Box<[u16]>,
    /// Statuses by which it says no.
    pub rejected_statuses: Box<[u16]>,
    /// Statuses by which it says that it does not know the user.
    pub unknown_statuses: Box<[u16]>,
    /// What has to hold besides, or it is a no.
    pub conditions: Box<[JsonCondition]>,
    /// Where the identity's name stands, if it is not the one that the client gave.
    pub username_pointer: Option<JsonPointer>,
    /// Where the groups stand.
    pub groups: Box<[GroupsSource]>,
    /// What else is wanted.
    pub facts: Box<[(Arc<str>, ValueSource)]>,
    /// Whether an answer may be a web page.
    pub is_html_allowed: bool,
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(Box<str>);

impl JsonPointer {
    /// Reads one.
    ///
    /// # Errors
    /// What would do instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let escapes_well = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if (text.is_empty() || text.starts_with('/')) && escapes_well {
            return Ok(Self(text.into()));
        }
        Err("it is not a JSON pointer; write it like /user/name, with ~1 for a slash in a name".into())
    }

    /// What stands there; nothing where it is null.
    fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.pointer(&self.0).filter(|value| !value.is_null())
    }
}

/// One thing that has to hold of an object.
#[derive(Clone, Debug)]
pub struct JsonCondition {
    /// Where to look.
    pub pointer: JsonPointer,
    /// What has to stand there.
    pub expected: ExpectedValue,
}

/// What a condition wants.
#[derive(Clone, Debug)]
pub enum ExpectedValue {
    /// This text, number, true or false.
    Value(Value),
    /// The user name as the client gave it.
    Username,
}

/// Where something stands.
#[derive(Clone, Debug)]
pub enum ValueSource {
    /// In the JSON.
    Pointer(JsonPointer),
    /// In a header.
    Header(HeaderName),
}

/// What was answered, read to its end.
#[derive(Debug)]
pub struct BackendResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl ResponseRules {
    /// Whether the body has to be JSON.
    pub fn is_json_required(&self) -> bool {
        let of_facts = self.facts.iter().map(|(_, spot)| spot);
        let spots = self.groups.iter().map(|groups| &groups.source).chain(of_facts);
        let pointers = spots.filter(|spot| matches!(spot, ValueSource::Pointer(_))).count();
        pointers > 0 || self.username_pointer.is_some() || !self.conditions.is_empty()
    }

    /// What the service says of the user. `by` is the authenticator's name.
    pub fn evaluate(
        &self,
        reply: &BackendResponse,
        credentials: &Credentials,
        by: &Arc<str>,
    ) -> Result<Outcome, CallError> {
        let status = reply.status.as_u16();
        if self.rejected_statuses.contains(&status) {
            return Ok(Outcome::Rejected);
        }
        if self.unknown_statuses.contains(&status) {
            return Ok(Outcome::UnknownUser);
        }
        if !self.accepted_statuses.contains(&status) {
            return Err(CallError::UnexpectedStatus(reply.status));
        }
        let kind = reply.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if !self.is_html_allowed && kind.trim_ascii_start().to_ascii_lowercase().starts_with(b"text/html") {
            return Err(CallError::HtmlResponse);
        }
        let json = if self.is_json_required() {
            serde_json::from_slice(&reply.body)
                .map_err(|error| CallError::InvalidJson(error.line(), error.column()))?
        } else {
            Value::Null
        };
        for condition in &self.conditions {
            if !condition.is_met(&json, credentials)? {
                return Ok(Outcome::Rejected);
            }
        }
        let identity = Identity {
            user: self.read_username(&json, credentials)?,
            authenticator: Arc::clone(by),
            membership: self.read_membership(reply, &json, credentials)?,
            facts: self.read_facts(reply, &json)?,
            api_key: None,
        };
        Ok(Outcome::Accepted(Arc::new(identity)))
    }

    fn read_username(&self, json: &Value, credentials: &Credentials) -> Result<Username, CallError> {
        let Some(pointer) = &self.username_pointer else {
            return Username::parse(credentials.user())
                .map_err(|fault| CallError::UnexpectedContent(fault.to_string()));
        };
        let name =
            pointer.find(json).and_then(Value::as_str).ok_or_else(|| pointer.mismatch_error("no text"))?;
        Username::parse(name.as_bytes())
            .map_err(|fault| pointer.mismatch_error(&format!("a text that is no user name: {fault}")))
    }

    fn read_membership(
        &self,
        reply: &BackendResponse,
        json: &Value,
        credentials: &Credentials,
    ) -> Result<Membership, CallError> {
        let mut names = Vec::new();
        for groups in &self.groups {
            groups.collect_names(reply, json, credentials, &mut names)?;
        }
        if names.len() > GROUPS_OF_USER_MAX {
            return Err(CallError::UnexpectedContent(format!(
                "it names more than {GROUPS_OF_USER_MAX} groups"
            )));
        }
        Ok(Membership::new(names.iter().map(String::as_bytes).collect()))
    }

    fn read_facts(&self, reply: &BackendResponse, json: &Value) -> Result<Box<[Fact]>, CallError> {
        let mut facts = Vec::new();
        for (name, spot) in &self.facts {
            let value = match spot {
                ValueSource::Header(header) => {
                    reply.headers.get(header).map(|value| value.as_bytes().to_vec())
                }
                ValueSource::Pointer(pointer) => match pointer.find(json) {
                    None => None,
                    Some(Value::String(text)) => Some(text.as_bytes().to_vec()),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string().into_bytes()),
                    Some(_) => return Err(pointer.mismatch_error("neither a text, a number, true nor false")),
                },
            };
            let Some(value) = value else { continue };
            if value.len() > FACT_LENGTH_MAX || value.iter().any(u8::is_ascii_control) {
                return Err(CallError::UnexpectedContent(format!(
                    "the fact {name} can't be sent in a header"
                )));
            }
            facts.push(Fact { name: Arc::clone(name), value: value.into() });
        }
        Ok(facts.into())
    }
}

impl JsonPointer {
    /// That something else stands there than was agreed on.
    fn mismatch_error(&self, what: &str) -> CallError {
        CallError::UnexpectedContent(format!(
            "{}: there is {what}",
            if self.0.is_empty() { "the whole" } else { &self.0 }
        ))
    }
}

impl JsonCondition {
    /// Whether it holds. What is missing or null does not; many a service leaves out what is false.
    fn is_met(&self, json: &Value, credentials: &Credentials) -> Result<bool, CallError> {
        let Some(found) = self.pointer.find(json) else { return Ok(false) };
        match (&self.expected, found) {
            (ExpectedValue::Username, Value::String(text)) => Ok(text.as_bytes() == credentials.user()),
            (ExpectedValue::Value(Value::Number(wanted)), Value::Number(found)) => {
                Ok(wanted == found
                    || (wanted.is_f64() || found.is_f64()) && wanted.as_f64() == found.as_f64())
            }
            (ExpectedValue::Value(wanted @ Value::String(_)), Value::String(_))
            | (ExpectedValue::Value(wanted @ Value::Bool(_)), Value::Bool(_)) => Ok(wanted == found),
            _ => Err(self.pointer.mismatch_error("a value of another kind than the condition's")),
        }
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
