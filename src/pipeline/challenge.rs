//! The reasons for a challenge (401).

use crate::authn::api_key::ApiKeyError;
use crate::authn::hash::PASSWORD_LENGTH_MAX;
use crate::authn::htpasswd::line::HtpasswdLineError;
use crate::identity::UsernameError;
use crate::policy::token::InsufficientScope;
use crate::token::signing_key::verify::TokenVerifyError;

/// The log text for a user with an invalid line, before the diagnosis.
const INVALID_HTPASSWD_LINE: &str = "the user's line in the htpasswd file is invalid (run doorward check)";

/// The reason for a challenge. It is logged and never sent to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChallengeReason {
    /// No `Authorization` header, or an empty one.
    NoCredentials,
    /// An `Authorization` header that cannot be parsed as a user name and a password.
    MalformedCredentials(MalformedCredentialsError),
    /// An authentication scheme that is not supported.
    UnsupportedScheme,
    /// An unknown user or a wrong password.
    WrongCredentials,
    /// An invalid line in the htpasswd file: no password of this user can be checked.
    InvalidHtpasswdLine(HtpasswdLineError),
    /// A password that is too long to be compared with a hash, for a user that only the htpasswd file decides about.
    PasswordTooLong,
    /// An invalid API key.
    InvalidApiKey(ApiKeyError),
    /// An invalid registry token.
    InvalidToken(TokenVerifyError),
    /// A valid registry token that does not permit the request.
    InsufficientScope(InsufficientScope),
}

impl ChallengeReason {
    /// Returns the detail for the log; empty if there is none besides the name of the reason.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::MalformedCredentials(error) => error.to_string(),
            Self::PasswordTooLong => {
                format!(
                    "the password is longer than {PASSWORD_LENGTH_MAX} bytes, the limit for passwords that are hashed"
                )
            }
            Self::InvalidHtpasswdLine(error) => format!("{INVALID_HTPASSWD_LINE}: {}", error.message()),
            Self::InvalidApiKey(error) => error.to_string(),
            Self::InvalidToken(error) => error.to_string(),
            Self::InsufficientScope(missing) if missing.is_for_other_host => {
                "the token is for another host".to_owned()
            }
            Self::InsufficientScope(missing) => format!("{} is not in the token", missing.scope),
            Self::NoCredentials | Self::UnsupportedScheme | Self::WrongCredentials => String::new(),
        }
    }
}

/// An error in an `Authorization` header of the scheme Basic. No message quotes the header, because it contains the
/// password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedCredentialsError {
    /// More than one `Authorization` header.
    #[error("the request has more than one Authorization header")]
    RepeatedHeader,
    /// A header, or credentials in a form at `/token`, longer than `limits.max_header_bytes`.
    #[error("the Authorization header is longer than limits.max_header_bytes")]
    HeaderTooLong,
    /// Credentials that are not base64.
    #[error("the credentials are not base64")]
    InvalidBase64,
    /// No colon between the user name and the password.
    #[error("the credentials have no colon between the user name and the password")]
    NoColon,
    /// An invalid user name.
    #[error("{0}")]
    InvalidUsername(UsernameError),
    /// An API key in place of the user name.
    #[error("the user name is an API key: send the key as the password")]
    ApiKeyAsUsername,
    /// An empty password.
    #[error("the password is empty")]
    EmptyPassword,
    /// A NUL in the password. C programs end a password there, and bcrypt repeats it: "ab\0ab" would match "ab".
    #[error("the password contains a NUL")]
    NulInPassword,
}
