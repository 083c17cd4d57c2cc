//! What the gate decides. A refusal is a value, with a [`Reason`] whose name is stable: it stands in
//! `X-Auth-Reason`, in the log and in the metrics.

use std::time::Duration;

use super::challenge::ChallengeReason;
use crate::authn::{AuthnError, Identity};
use crate::policy::AllowedRequest;
use crate::policy::denial::Denied;
use crate::request::subrequest::ProxyHeaderError;
use crate::upstream::MissingUpstreamCredentials;

/// The gate's decision on one request. There is no default, and only [`Verdict::Allow`] admits.
#[derive(Debug)]
pub enum Verdict {
    /// The policy permits it.
    Allow(AllowedRequest),
    /// It is not known who asks: the client should present credentials, or others.
    Challenge(ChallengeReason),
    /// It may not, whoever asks: see the reason.
    Forbid(Denied),
    /// It can't be said now: the client should come again later.
    Limited(Limited),
    /// Nobody could be asked.
    Unavailable(AuthnError),
    /// It is permitted, and there are no credentials with which it could go on.
    NoUpstreamCredentials(MissingUpstreamCredentials),
}

/// Why there is no answer now, and when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Too many different failures from this client network.
    Throttled(Duration),
    /// The hash queue, or the client's share of it, is full.
    Busy(Duration),
}

impl Verdict {
    /// The scope that was not permitted or is not in the token, as the registry's token protocol writes it.
    pub fn scope(&self) -> Option<String> {
        match self {
            Self::Forbid(denied) => denied.scope(),
            Self::Challenge(ChallengeReason::InsufficientScope(lacks)) => {
                Some(lacks.scope.clone()).filter(|scope| !scope.is_empty())
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

    /// What the log says besides the reason; empty where there is nothing to add.
    pub fn detail(&self) -> String {
        match self {
            Self::Forbid(denied) => denied.detail(),
            Self::Unavailable(trouble) => trouble.to_string(),
            Self::NoUpstreamCredentials(missing) => missing.to_string(),
            Self::Challenge(refusal) => refusal.detail(),
            Self::Allow(grant) => grant.identity().and_then(Identity::describe_api_key).unwrap_or_default(),
            Self::Limited(_) => String::new(),
        }
    }

    /// The verdict's stable name.
    pub fn name(&self) -> &'static str {
        self.to_reason().verdict_name()
    }

    /// The reason's stable name, for the log and the metrics; empty where there is none.
    pub fn reason_name(&self) -> &'static str {
        self.to_reason().name()
    }

    /// The verdict and its reason, as the log and the metrics have them.
    pub fn to_reason(&self) -> Reason {
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
            Self::Forbid(Denied::ByPolicy(refused)) if refused.error_code.is_some() => {
                Reason::MalformedReference
            }
            Self::Forbid(Denied::ByPolicy(_)) => Reason::Policy,
            Self::Forbid(Denied::InvalidProxyHeaders(_)) => Reason::InvalidProxyHeaders,
            Self::Forbid(Denied::UntrustedPeer) => Reason::UntrustedPeer,
            Self::Forbid(Denied::ProxySecretMissing) => Reason::ProxySecret,
            Self::Limited(Limited::Throttled(_)) => Reason::Throttled,
            Self::Limited(Limited::Busy(_)) => Reason::Busy,
            Self::Unavailable(_) => Reason::AuthenticatorUnavailable,
            Self::NoUpstreamCredentials(_) => Reason::UpstreamCredentials,
        }
    }
}

/// Defines [`Reason`] together with the list of its variants, so that none can be left out of the list.
macro_rules! define_reasons {
    ($($(#[$doc:meta])* $reason:ident: $verdict:literal, $name:literal;)*) => {
        /// A verdict's name together with its reason's. [`Reason::ALL`] has every one of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $reason,)* }

        impl Reason {
            /// Every reason, in the order in which they are documented.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// The verdict's name.
            pub fn verdict_name(self) -> &'static str {
                match self { $(Self::$reason => $verdict,)* }
            }

            /// The reason's name; empty for an allowed request.
            pub fn name(self) -> &'static str {
                match self { $(Self::$reason => $name,)* }
            }
        }
    };
}

define_reasons! {
    /// The policy permits the request.
    Allowed: "allow", "";
    /// No credentials.
    NoCredentials: "challenge", "no_credentials";
    /// Credentials that cannot be read.
    MalformedCredentials: "challenge", "malformed_credentials";
    /// Credentials of another scheme.
    UnsupportedScheme: "challenge", "unsupported_scheme";
    /// An unknown user, or another password.
    WrongCredentials: "challenge", "wrong_credentials";
    /// An API key that is not good.
    InvalidApiKey: "challenge", "invalid_api_key";
    /// A token that is not good.
    InvalidToken: "challenge", "invalid_token";
    /// A token that permits less.
    InsufficientScope: "challenge", "insufficient_scope";
    /// Not permitted.
    Policy: "forbid", "policy";
    /// A malformed reference in a repository where all that the request takes is granted.
    MalformedReference: "forbid", "malformed_reference";
    /// The proxy's headers do not describe the request.
    InvalidProxyHeaders: "forbid", "invalid_proxy_headers";
    /// The peer may not ask.
    UntrustedPeer: "forbid", "untrusted_peer";
    /// The peer does not show the proxy's secret.
    ProxySecret: "forbid", "proxy_secret";
    /// Too many failures.
    Throttled: "limited", "throttled";
    /// A queue is full.
    Busy: "limited", "busy";
    /// A source of users could not be asked.
    AuthenticatorUnavailable: "unavailable", "authenticator_unavailable";
    /// A token could not be signed.
    TokenSigning: "unavailable", "token_signing";
    /// There are no good upstream credentials.
    UpstreamCredentials: "unavailable", "upstream_credentials";
    /// A request for a token that cannot be read, or is for another registry.
    TokenRequest: "invalid", "token_request";
    /// A refresh token, of which there are none.
    RefreshToken: "invalid", "refresh_token";
}

impl From<ProxyHeaderError> for Verdict {
    fn from(incomplete: ProxyHeaderError) -> Self {
        Self::Forbid(Denied::InvalidProxyHeaders(incomplete))
    }
}
