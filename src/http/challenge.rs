//! The `WWW-Authenticate` challenge: Basic (RFC 7617), or Bearer of the registry token protocol (RFC 6750,
//! distribution's token.md).

use actix_web::http::header::{HeaderValue, InvalidHeaderValue};

use crate::pipeline::challenge::ChallengeReason;

/// The value of `WWW-Authenticate`. A response has exactly one: nginx before 1.23 forwards only the first, and some
/// clients read only the last.
#[derive(Clone, Debug)]
pub enum Challenge {
    /// Requests a user name and a password (RFC 7617 section 2).
    Basic(HeaderValue),
    /// Requests a registry token (distribution's token.md). The value names the token endpoint and the service.
    Bearer(Box<str>),
}

impl Challenge {
    /// Creates a Bearer challenge. The configuration has validated both values.
    pub fn bearer(realm: &str, service: &str) -> Result<Self, InvalidHeaderValue> {
        let text = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
        HeaderValue::from_str(&text).map(|_| Self::Bearer(text.into()))
    }

    /// Returns the header value for a client that needs `scope` and is challenged for `reason`.
    pub(super) fn header_value(
        &self,
        scope: Option<&str>,
        reason: &ChallengeReason,
    ) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = match self {
            Self::Basic(value) => return Ok(value.clone()),
            Self::Bearer(text) => text,
        };
        let mut text = text.to_string();
        if let Some(scope) = scope {
            text.push_str(&format!(",scope=\"{scope}\""));
        }
        // RFC 6750 section 3.1: a request without credentials gets no error code.
        match reason {
            ChallengeReason::InvalidToken(_) => text.push_str(",error=\"invalid_token\""),
            ChallengeReason::InsufficientScope(_) => text.push_str(",error=\"insufficient_scope\""),
            ChallengeReason::NoCredentials
            | ChallengeReason::MalformedCredentials(_)
            | ChallengeReason::UnsupportedScheme
            | ChallengeReason::WrongCredentials
            | ChallengeReason::InvalidHtpasswdLine(_)
            | ChallengeReason::PasswordTooLong
            | ChallengeReason::InvalidApiKey(_) => {}
        }
        HeaderValue::from_str(&text)
    }

    /// Creates a Basic challenge. The configuration has validated the realm.
    pub fn basic(realm: &str) -> Result<Self, InvalidHeaderValue> {
        HeaderValue::from_bytes(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"").as_bytes())
            .map(Self::Basic)
    }
}
