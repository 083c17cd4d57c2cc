//! Why a client is challenged (401).

use crate::authn::api_key::ApiKeyError;
use crate::authn::hash::PASSWORD_LENGTH_MAX;
use crate::authn::htpasswd::line::HtpasswdLineError;
use crate::identity::UsernameError;
use crate::policy::token::InsufficientScope;
use crate::token::signing_key::verify::TokenVerifyError;

/// What the log says of a user whose line can't be used, before the diagnosis.
const INVALID_HTPASSWD_LINE: &str = "the user's line in the htpasswd file can't be used (see doorward check)";

/// Why a client is challenged. It is never told which of these it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeReason {
    /// No `Authorization`.
    NoCredentials,
    /// An `Authorization` that can't be read as a user name and a password.
    MalformedCredentials(MalformedCredentialsError),
    /// Another scheme than Basic.
    UnsupportedScheme,
    /// The user is unknown, or his password is another.
    WrongCredentials,
    /// The user's line in the htpasswd file can't be used, so no password can be checked against it.
    InvalidHtpasswdLine(HtpasswdLineError),
    /// The password is longer than any that is compared with a hash, and nothing else decides about this user.
    PasswordTooLong,
    /// A key that is no good.
    InvalidApiKey(ApiKeyError),
    /// A token of the registry's that is no good.
    InvalidToken(TokenVerifyError),
    /// One that is, and permits less.
    InsufficientScope(InsufficientScope),
}

impl ChallengeReason {
    /// What the log says besides the reason; empty where there is nothing to add.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::MalformedCredentials(why) => why.to_string(),
            Self::PasswordTooLong => {
                format!(
                    "the password is longer than {PASSWORD_LENGTH_MAX} bytes, and no hash is compared with it"
                )
            }
            Self::InvalidHtpasswdLine(fault) => format!("{INVALID_HTPASSWD_LINE}: {}", fault.message()),
            Self::InvalidApiKey(fault) => fault.to_string(),
            Self::InvalidToken(fault) => fault.to_string(),
            Self::InsufficientScope(lacks) if lacks.is_for_other_host => {
                "the token is for another host".to_owned()
            }
            Self::InsufficientScope(lacks) => format!("{} is not in the token", lacks.scope),
            Self::NoCredentials | Self::UnsupportedScheme | Self::WrongCredentials => String::new(),
        }
    }
}

/// Why an `Authorization` header of the scheme Basic cannot be read. Nothing of the header is quoted: a part of it is
/// the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCredentialsError {
    /// More than one header.
    #[error("the request has more than one Authorization header")]
    RepeatedHeader,
    /// A header, or a password in a form, that is longer than `limits.max_header_bytes`.
    #[error("the Authorization header is longer than limits.max_header_bytes")]
    HeaderTooLong,
    /// Not base64.
    #[error("the credentials are not base64")]
    InvalidBase64,
    /// No colon between the user name and the password.
    #[error("the credentials have no colon between the user name and the password")]
    NoColon,
    /// A user name that no user can have.
    #[error("{0}")]
    InvalidUsername(UsernameError),
    /// An API key where the user name belongs.
    #[error("the user name is an API key: send the key as the password")]
    ApiKeyAsUsername,
    /// An empty password.
    #[error("the password is empty")]
    EmptyPassword,
    /// A NUL, which ends a password for C programs and repeats it for bcrypt: "ab\0ab" would match "ab".
    #[error("the password has a NUL")]
    NulInPassword,
}
