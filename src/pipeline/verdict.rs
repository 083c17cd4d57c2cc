//! The verdict of the pipeline, and its [`Reason`]. The names of the reasons are stable: they are used in
//! `X-Auth-Reason`, in the log and in the metrics.

use std::time::Duration;

use super::challenge::ChallengeReason;
use crate::authn::{AuthnError, Identity};
use crate::policy::AllowedRequest;
use crate::policy::denial::Denied;
use crate::request::subrequest::ProxyHeaderError;
use crate::upstream::MissingUpstreamCredentials;

/// The verdict on one request. There is no default, and only [`Verdict::Allow`] admits.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The policy permits the request.
    Allow(AllowedRequest),
    /// The client must present valid credentials.
    Challenge(ChallengeReason),
    /// The request is not permitted to this client.
    Forbid(Denied),
    /// The client must retry later.
    Limited(Limited),
    /// No authenticator was available.
    Unavailable(AuthnError),
    /// The request is permitted, and no upstream credentials are available for it.
    NoUpstreamCredentials(MissingUpstreamCredentials),
}

/// The reason for [`Verdict::Limited`], with the time after which the client can retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    /// Too many different failures from this client network.
    Throttled(Duration),
    /// The queue of an authenticator, or the share of the client in it, is full.
    Busy(Duration),
}

impl Verdict {
    /// Returns the scope that is not permitted or not in the token, in the form of the registry token protocol.
    pub(crate) fn scope(&self) -> Option<String> {
        match self {
            Self::Forbid(denied) => denied.scope(),
            Self::Challenge(ChallengeReason::InsufficientScope(missing)) => {
                Some(missing.scope.clone()).filter(|scope| !scope.is_empty())
            }
            Self::Challenge(
                ChallengeReason::NoCredentials
                | ChallengeReason::MalformedCredentials(_)
                | ChallengeReason::UnsupportedScheme
                | ChallengeReason::WrongCredentials
                | ChallengeReason::InvalidHtpasswdLine(_)
                | ChallengeReason::PasswordTooLong
                | ChallengeReason::InvalidApiKey(_)
                | ChallengeReason::InvalidToken(_),
            )
            | Self::Allow(_)
            | Self::Limited(_)
            | Self::Unavailable(_)
            | Self::NoUpstreamCredentials(_) => None,
        }
    }

    /// Returns the detail for the log; empty if there is none besides the name of the reason.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Forbid(denied) => denied.detail(),
            Self::Unavailable(error) => error.to_string(),
            Self::NoUpstreamCredentials(missing) => missing.to_string(),
            Self::Challenge(reason) => reason.detail(),
            Self::Allow(allowed) => {
                allowed.identity().and_then(Identity::describe_api_key).unwrap_or_default()
            }
            Self::Limited(_) => String::new(),
        }
    }

    /// Returns the stable name of the verdict.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        self.to_reason().verdict_name()
    }

    /// Returns the stable name of the reason; empty for an allowed request.
    pub(crate) fn reason_name(&self) -> &'static str {
        self.to_reason().name()
    }

    /// Returns the reason, for the log and the metrics.
    pub(crate) fn to_reason(&self) -> Reason {
        match self {
            Self::Allow(_) => Reason::Allowed,
            Self::Challenge(ChallengeReason::NoCredentials) => Reason::NoCredentials,
            Self::Challenge(ChallengeReason::MalformedCredentials(_)) => Reason::MalformedCredentials,
            Self::Challenge(ChallengeReason::UnsupportedScheme) => Reason::UnsupportedScheme,
            Self::Challenge(
                ChallengeReason::WrongCredentials
                | ChallengeReason::InvalidHtpasswdLine(_)
                | ChallengeReason::PasswordTooLong,
            ) => Reason::WrongCredentials,
            Self::Challenge(ChallengeReason::InvalidApiKey(_)) => Reason::InvalidApiKey,
            Self::Challenge(ChallengeReason::InvalidToken(_)) => Reason::InvalidToken,
            Self::Challenge(ChallengeReason::InsufficientScope(_)) => Reason::InsufficientScope,
            Self::Forbid(Denied::ByPolicy(denial)) if denial.error_code.is_some() => {
                Reason::MalformedReference
            }
            Self::Forbid(Denied::ByPolicy(_)) => Reason::Policy,
            Self::Forbid(Denied::InvalidProxyHeaders(_)) => Reason::InvalidProxyHeaders,
            Self::Forbid(Denied::ProxySecretMissing) => Reason::ProxySecret,
            Self::Limited(Limited::Throttled(_)) => Reason::Throttled,
            Self::Limited(Limited::Busy(_)) => Reason::Busy,
            Self::Unavailable(_) => Reason::AuthenticatorUnavailable,
            Self::NoUpstreamCredentials(_) => Reason::UpstreamCredentials,
        }
    }
}

/// Defines [`Reason`] and the list of its variants, so that the list is always complete.
macro_rules! define_reasons {
    ($($(#[$doc:meta])* $reason:ident: $verdict:literal, $name:literal;)*) => {
        /// The reason for a verdict. Each reason belongs to one verdict. [`Reason::ALL`] lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $reason,)* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// Returns the name of the verdict.
            pub fn verdict_name(self) -> &'static str {
                match self { $(Self::$reason => $verdict,)* }
            }

            /// Returns the name of the reason; empty for an allowed request.
            pub fn name(self) -> &'static str {
                match self { $(Self::$reason => $name,)* }
            }
        }
    };
}

define_reasons! {
    /// The policy permits the request.
    Allowed: "allow", "";
    /// The request has no credentials.
    NoCredentials: "challenge", "no_credentials";
    /// The credentials cannot be parsed.
    MalformedCredentials: "challenge", "malformed_credentials";
    /// The authentication scheme is not supported.
    UnsupportedScheme: "challenge", "unsupported_scheme";
    /// The user is unknown, or the password is wrong.
    WrongCredentials: "challenge", "wrong_credentials";
    /// The API key is invalid.
    InvalidApiKey: "challenge", "invalid_api_key";
    /// The registry token is invalid.
    InvalidToken: "challenge", "invalid_token";
    /// The registry token does not permit the request.
    InsufficientScope: "challenge", "insufficient_scope";
    /// The policy does not permit the request.
    Policy: "forbid", "policy";
    /// The reference is malformed, in a repository where the client is granted all actions of the request.
    MalformedReference: "forbid", "malformed_reference";
    /// A proxy header is missing, repeated, invalid or conflicting.
    InvalidProxyHeaders: "forbid", "invalid_proxy_headers";
    /// The peer did not send the proxy secret.
    ProxySecret: "forbid", "proxy_secret";
    /// The client has too many failures.
    Throttled: "limited", "throttled";
    /// A queue is full, or the check timed out.
    Busy: "limited", "busy";
    /// No authenticator was available.
    AuthenticatorUnavailable: "unavailable", "authenticator_unavailable";
    /// The registry token could not be signed.
    TokenSigning: "unavailable", "token_signing";
    /// No valid upstream credentials are available.
    UpstreamCredentials: "unavailable", "upstream_credentials";
    /// The token request is malformed, or for another registry.
    TokenRequest: "invalid", "token_request";
    /// The token request has a refresh token, which doorward does not issue.
    RefreshToken: "invalid", "refresh_token";
}

impl From<ProxyHeaderError> for Verdict {
    fn from(error: ProxyHeaderError) -> Self {
        Self::Forbid(Denied::InvalidProxyHeaders(error))
    }
}
