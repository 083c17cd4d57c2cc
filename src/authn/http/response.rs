//! Evaluates the response of a service: the outcome by its status, and the identity by its content.
//!
//! A response that differs from the settings is an error, and neither an acceptance nor a rejection. Examples are a web
//! page in place of JSON, a status that is not listed, and groups of another type.

pub(crate) mod groups;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;

use self::groups::GroupsSource;
use super::error::HttpResponseError;
use crate::authn::remote::error::CallError;
use crate::authn::remote::identity_builder::IdentityBuilder;
use crate::authn::{Credentials, Outcome};
use crate::identity::Username;

/// Too Many Requests (RFC 6585 section 4), Service Unavailable (RFC 9110 section 15.6.4).
const RETRY_LATER_STATUSES: [u16; 2] = [429, 503];

/// The meaning of responses.
#[derive(Clone, Debug)]
pub(crate) struct ResponseRules {
    /// The statuses that accept the user.
    pub(crate) accepted_statuses: Box<[u16]>,
    /// The statuses that reject the user.
    pub(crate) rejected_statuses: Box<[u16]>,
    /// The statuses that mean that the service does not know the user.
    pub(crate) unknown_statuses: Box<[u16]>,
    /// Conditions on an accepting response. If one is not met, the user is rejected.
    pub(crate) conditions: Box<[JsonCondition]>,
    /// The place of the user name. If there is none, the name that the client sent is used.
    pub(crate) username_pointer: Option<JsonPointer>,
    /// The places of the groups.
    pub(crate) groups: Box<[GroupsSource]>,
    /// The names and places of the facts.
    pub(crate) facts: Box<[(Arc<str>, ValueSource)]>,
    /// Whether an accepting response can be a web page.
    pub(crate) is_html_allowed: bool,
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPointer(Box<str>);

impl JsonPointer {
    /// Parses a pointer.
    ///
    /// # Errors
    /// If the text is not a JSON pointer.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if (text.is_empty() || text.starts_with('/')) && is_escaped {
            return Ok(Self(text.into()));
        }
        Err("not a JSON pointer; write it like /user/name, with ~1 for a slash in a name".into())
    }

    /// Returns the value at this place, or `None` if it is missing or null.
    fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.pointer(&self.0).filter(|value| !value.is_null())
    }

    /// Returns the error that another value than expected is at this place.
    fn mismatch_error(&self, found: &str) -> CallError {
        let place = if self.0.is_empty() { "the whole document" } else { &self.0 };
        CallError::UnexpectedContent(format!("{place}: found {found}"))
    }
}

/// A condition on a JSON object.
#[derive(Clone, Debug)]
pub(crate) struct JsonCondition {
    /// The place of the value.
    pub(crate) pointer: JsonPointer,
    /// The expected value.
    pub(crate) expected: ExpectedValue,
}

/// The value that a condition expects.
#[derive(Clone, Debug)]
pub(crate) enum ExpectedValue {
    /// A text, number or boolean.
    Value(Value),
    /// The user name that the client sent.
    Username,
}

/// The place of a value in a response.
#[derive(Clone, Debug)]
pub(crate) enum ValueSource {
    /// A value in the JSON body.
    Pointer(JsonPointer),
    /// A header.
    Header(HeaderName),
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct BackendResponse {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl BackendResponse {
    /// Returns an error if the response means to retry later (RFC 9110 section 10.2.3, RFC 6585 section 4).
    fn retry_later_error(&self, now: SystemTime) -> Option<HttpResponseError> {
        if !RETRY_LATER_STATUSES.contains(&self.status.as_u16()) {
            return None;
        }
        let text = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
        let seconds = text.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let date = text.and_then(|text| httpdate::parse_http_date(text).ok());
        let wait = seconds.or_else(|| date.map(|date| date.duration_since(now).unwrap_or_default()));
        Some(HttpResponseError::Throttled(self.status, wait))
    }
}

impl ResponseRules {
    /// Returns whether the body must be JSON.
    pub(crate) fn is_json_required(&self) -> bool {
        let facts = self.facts.iter().map(|(_, source)| source);
        let mut sources = self.groups.iter().map(|groups| &groups.source).chain(facts);
        sources.any(|source| matches!(source, ValueSource::Pointer(_)))
            || self.username_pointer.is_some()
            || !self.conditions.is_empty()
    }

    /// Returns the outcome that a response means. `authenticator` is the name for the identity.
    ///
    /// # Errors
    /// If the response differs from the settings.
    pub(crate) fn evaluate(
        &self,
        response: &BackendResponse,
        credentials: &Credentials,
        authenticator: &Arc<str>,
    ) -> Result<Outcome, CallError> {
        let status = response.status.as_u16();
        if self.rejected_statuses.contains(&status) {
            return Ok(Outcome::Rejected);
        }
        if self.unknown_statuses.contains(&status) {
            return Ok(Outcome::UnknownUser);
        }
        if !self.accepted_statuses.contains(&status) {
            let retry_later = response.retry_later_error(SystemTime::now());
            return Err(retry_later.unwrap_or(HttpResponseError::UnexpectedStatus(response.status)).into());
        }
        let content_type = response.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let is_html = content_type.trim_ascii_start().to_ascii_lowercase().starts_with(b"text/html");
        if is_html && !self.is_html_allowed {
            return Err(HttpResponseError::WebPage.into());
        }
        let json = if self.is_json_required() {
            serde_json::from_slice(&response.body)
                .map_err(|error| HttpResponseError::InvalidJson(error.line(), error.column()))?
        } else {
            Value::Null
        };
        for condition in &self.conditions {
            if !condition.is_met(&json, credentials)? {
                return Ok(Outcome::Rejected);
            }
        }
        let user = self.read_username(&json, credentials)?;
        let mut identity = IdentityBuilder::default();
        for groups in &self.groups {
            groups.read(response, &json, credentials, &mut identity)?;
        }
        self.read_facts(response, &json, &mut identity)?;
        Ok(Outcome::Accepted(Arc::new(identity.build(user, authenticator)?)))
    }

    fn read_username(&self, json: &Value, credentials: &Credentials) -> Result<Username, CallError> {
        let Some(pointer) = &self.username_pointer else {
            return Username::parse(credentials.user())
                .map_err(|error| CallError::UnexpectedContent(error.to_string()));
        };
        let name =
            pointer.find(json).and_then(Value::as_str).ok_or_else(|| pointer.mismatch_error("no text"))?;
        Username::parse(name.as_bytes())
            .map_err(|error| pointer.mismatch_error(&format!("an invalid user name: {error}")))
    }

    fn read_facts(
        &self,
        response: &BackendResponse,
        json: &Value,
        identity: &mut IdentityBuilder,
    ) -> Result<(), CallError> {
        for (name, source) in &self.facts {
            let value = match source {
                ValueSource::Header(header) => {
                    response.headers.get(header).map(|value| value.as_bytes().to_vec())
                }
                ValueSource::Pointer(pointer) => match pointer.find(json) {
                    None => None,
                    Some(Value::String(text)) => Some(text.as_bytes().to_vec()),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string().into_bytes()),
                    Some(_) => return Err(pointer.mismatch_error("no text, number or boolean")),
                },
            };
            if let Some(value) = value {
                identity.add_fact(name, value)?;
            }
        }
        Ok(())
    }
}

impl JsonCondition {
    /// Returns whether the condition is met. A missing value or null does not meet it, because many services leave out
    /// what is false.
    ///
    /// # Errors
    /// If the value has another type than the expected one.
    fn is_met(&self, json: &Value, credentials: &Credentials) -> Result<bool, CallError> {
        let Some(found) = self.pointer.find(json) else { return Ok(false) };
        match (&self.expected, found) {
            (ExpectedValue::Username, Value::String(text)) => Ok(text.as_bytes() == credentials.user()),
            (ExpectedValue::Value(Value::Number(expected)), Value::Number(found)) => Ok(expected == found
                || (expected.is_f64() || found.is_f64()) && expected.as_f64() == found.as_f64()),
            (ExpectedValue::Value(expected @ Value::String(_)), Value::String(_))
            | (ExpectedValue::Value(expected @ Value::Bool(_)), Value::Bool(_)) => Ok(expected == found),
            _ => Err(self.pointer.mismatch_error("a value of another type than the condition has")),
        }
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
