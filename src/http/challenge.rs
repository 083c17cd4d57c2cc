//! With what a client is challenged: Basic (RFC 7617), or the registry's Bearer (RFC 6750, distribution's token.md).

use actix_web::http::header::{HeaderValue, InvalidHeaderValue};

use crate::pipeline::challenge::ChallengeReason;

/// The `WWW-Authenticate` of a challenge (RFC 7617 section 2): exactly one, since nginx before
/// 1.23 passes only the first on, and some clients look only at the last.
#[derive(Clone, Debug)]
pub enum Challenge {
    /// For a user name and a password.
    Basic(HeaderValue),
    /// For a token of the registry's (distribution's token.md): where it is had, and for which service.
    Bearer(Box<str>),
}

impl Challenge {
    /// For a token that is had at `realm`; the settings found both good.
    pub fn bearer(realm: &str, service: &str) -> Result<Self, InvalidHeaderValue> {
        let text = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
        HeaderValue::from_str(&text).map(|_| Self::Bearer(text.into()))
    }

    /// The header, for who needs `scope` and was refused for `error`.
    pub(super) fn header_value(
        &self,
        scope: Option<&str>,
        refusal: &ChallengeReason,
    ) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = match self {
            Self::Basic(value) => return Ok(value.clone()),
            Self::Bearer(text) => text,
        };
        let mut text = text.to_string();
        if let Some(scope) = scope {
            text.push_str(&format!(",scope=\"{scope}\""));
        }
        // RFC 6750 section 3.1; who has shown nothing has made no error.
        match refusal {
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

    /// For a realm that the settings found good.
    pub fn basic(realm: &str) -> Result<Self, InvalidHeaderValue> {
        HeaderValue::from_bytes(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"").as_bytes())
            .map(Self::Basic)
    }
}
