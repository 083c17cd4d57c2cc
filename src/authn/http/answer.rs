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

use self::groups::Groups;
use super::fault::Fault;
use crate::authn::{Credentials, Identity, Outcome};
use crate::identity::{Fact, GROUPS_OF_USER_MAX, Membership, Username};

/// The longest fact, in bytes; all of them go into headers that nginx has to take.
const FACT_MAX: usize = 256;

/// What an answer means.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Statuses by which the service vouches.
    pub accepted: Box<[u16]>,
    /// Statuses by which it says no.
    pub rejected: Box<[u16]>,
    /// Statuses by which it says that it does not know the user.
    pub unknown: Box<[u16]>,
    /// What has to hold besides, or it is a no.
    pub conditions: Box<[Condition]>,
    /// Where the identity's name stands, if it is not the one that the client gave.
    pub username: Option<Pointer>,
    /// Where the groups stand.
    pub groups: Box<[Groups]>,
    /// What else is wanted.
    pub facts: Box<[(Arc<str>, Spot)]>,
    /// Whether an answer may be a web page.
    pub html: bool,
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Box<str>);

impl Pointer {
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
pub struct Condition {
    /// Where to look.
    pub pointer: Pointer,
    /// What has to stand there.
    pub wanted: Wanted,
}

/// What a condition wants.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// This text, number, true or false.
    Value(Value),
    /// The user name as the client gave it.
    Username,
}

/// Where something stands.
#[derive(Clone, Debug)]
pub enum Spot {
    /// In the JSON.
    Pointer(Pointer),
    /// In a header.
    Header(HeaderName),
}

/// What was answered, read to its end.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Reading {
    /// Whether the body has to be JSON.
    pub fn needs_json(&self) -> bool {
        let of_facts = self.facts.iter().map(|(_, spot)| spot);
        let spots = self.groups.iter().map(|groups| &groups.spot).chain(of_facts);
        let pointers = spots.filter(|spot| matches!(spot, Spot::Pointer(_))).count();
        pointers > 0 || self.username.is_some() || !self.conditions.is_empty()
    }

    /// What the service says of the user. `by` is the authenticator's name.
    pub fn outcome(&self, reply: &Reply, credentials: &Credentials, by: &Arc<str>) -> Result<Outcome, Fault> {
        let status = reply.status.as_u16();
        if self.rejected.contains(&status) {
            return Ok(Outcome::Rejected);
        }
        if self.unknown.contains(&status) {
            return Ok(Outcome::Unknown);
        }
        if !self.accepted.contains(&status) {
            return Err(Fault::Status(reply.status));
        }
        let kind = reply.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if !self.html && kind.trim_ascii_start().to_ascii_lowercase().starts_with(b"text/html") {
            return Err(Fault::Page);
        }
        let json = if self.needs_json() {
            serde_json::from_slice(&reply.body)
                .map_err(|error| Fault::NotJson(error.line(), error.column()))?
        } else {
            Value::Null
        };
        for condition in &self.conditions {
            if !condition.holds(&json, credentials)? {
                return Ok(Outcome::Rejected);
            }
        }
        let identity = Identity {
            user: self.username(&json, credentials)?,
            by: Arc::clone(by),
            membership: self.membership(reply, &json, credentials)?,
            facts: self.facts(reply, &json)?,
            key: None,
        };
        Ok(Outcome::Accepted(Arc::new(identity)))
    }

    fn username(&self, json: &Value, credentials: &Credentials) -> Result<Username, Fault> {
        let Some(pointer) = &self.username else {
            return Username::parse(credentials.user()).map_err(|fault| Fault::Content(fault.to_string()));
        };
        let name = pointer.find(json).and_then(Value::as_str).ok_or_else(|| pointer.fault("no text"))?;
        Username::parse(name.as_bytes())
            .map_err(|fault| pointer.fault(&format!("a text that is no user name: {fault}")))
    }

    fn membership(
        &self,
        reply: &Reply,
        json: &Value,
        credentials: &Credentials,
    ) -> Result<Membership, Fault> {
        let mut names = Vec::new();
        for groups in &self.groups {
            groups.read(reply, json, credentials, &mut names)?;
        }
        if names.len() > GROUPS_OF_USER_MAX {
            return Err(Fault::Content(format!("it names more than {GROUPS_OF_USER_MAX} groups")));
        }
        Ok(Membership::new(names.iter().map(String::as_bytes).collect()))
    }

    fn facts(&self, reply: &Reply, json: &Value) -> Result<Box<[Fact]>, Fault> {
        let mut facts = Vec::new();
        for (name, spot) in &self.facts {
            let value = match spot {
                Spot::Header(header) => reply.headers.get(header).map(|value| value.as_bytes().to_vec()),
                Spot::Pointer(pointer) => match pointer.find(json) {
                    None => None,
                    Some(Value::String(text)) => Some(text.as_bytes().to_vec()),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string().into_bytes()),
                    Some(_) => return Err(pointer.fault("neither a text, a number, true nor false")),
                },
            };
            let Some(value) = value else { continue };
            if value.len() > FACT_MAX || value.iter().any(u8::is_ascii_control) {
                return Err(Fault::Content(format!("the fact {name} can't be sent in a header")));
            }
            facts.push(Fact { name: Arc::clone(name), value: value.into() });
        }
        Ok(facts.into())
    }
}

impl Pointer {
    /// That something else stands there than was agreed on.
    fn fault(&self, what: &str) -> Fault {
        Fault::Content(format!("{}: there is {what}", if self.0.is_empty() { "the whole" } else { &self.0 }))
    }
}

impl Condition {
    /// Whether it holds. What is missing or null does not; many a service leaves out what is false.
    fn holds(&self, json: &Value, credentials: &Credentials) -> Result<bool, Fault> {
        let Some(found) = self.pointer.find(json) else { return Ok(false) };
        match (&self.wanted, found) {
            (Wanted::Username, Value::String(text)) => Ok(text.as_bytes() == credentials.user()),
            (Wanted::Value(Value::Number(wanted)), Value::Number(found)) => {
                Ok(wanted == found
                    || (wanted.is_f64() || found.is_f64()) && wanted.as_f64() == found.as_f64())
            }
            (Wanted::Value(wanted @ Value::String(_)), Value::String(_))
            | (Wanted::Value(wanted @ Value::Bool(_)), Value::Bool(_)) => Ok(wanted == found),
            _ => Err(self.pointer.fault("a value of another kind than the condition's")),
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
