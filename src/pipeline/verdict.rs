//! What the gate decides. A refusal is a value, with a [`Reason`] whose name is stable: it stands in
//! `X-Auth-Reason`, in the log and in the metrics.

use std::time::Duration;

use super::challenge::Refusal;
use crate::authn::{Identity, Trouble};
use crate::policy::Grant;
use crate::policy::denial::Denied;
use crate::request::subrequest::Incomplete;
use crate::upstream::Missing;

/// The gate's decision on one request. There is no default, and only [`Verdict::Allow`] admits.
#[derive(Debug)]
pub enum Verdict {
    /// The policy permits it.
    Allow(Grant),
    /// It is not known who asks: the client should present credentials, or others.
    Challenge(Refusal),
    /// It may not, whoever asks: see the reason.
    Forbid(Denied),
    /// It can't be said now: the client should come again later.
    Limited(Limited),
    /// Nobody could be asked.
    Unavailable(Trouble),
    /// It is permitted, and there are no credentials with which it could go on.
    NoCredentials(Missing),
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
            Self::Challenge(Refusal::Scope(lacks)) => {
                Some(lacks.scope.clone()).filter(|scope| !scope.is_empty())
            }
            Self::Challenge(
                Refusal::Missing
                | Refusal::Malformed(_)
                | Refusal::Scheme
                | Refusal::Wrong
                | Refusal::Unusable(_)
                | Refusal::TooLong
                | Refusal::Key(_)
                | Refusal::Token(_),
            )
            | Self::Allow(_)
            | Self::Limited(_)
            | Self::Unavailable(_)
            | Self::NoCredentials(_) => None,
        }
    }

    /// What the log says besides the reason; empty where there is nothing to add.
    pub fn detail(&self) -> String {
        match self {
            Self::Forbid(denied) => denied.detail(),
            Self::Unavailable(trouble) => trouble.to_string(),
            Self::NoCredentials(missing) => missing.to_string(),
            Self::Challenge(refusal) => refusal.detail(),
            Self::Allow(grant) => grant.identity().and_then(Identity::key_of_whom).unwrap_or_default(),
            Self::Limited(_) => String::new(),
        }
    }

    /// The verdict's stable name.
    pub fn name(&self) -> &'static str {
        self.label().verdict()
    }

    /// The reason's stable name, for the log and the metrics; empty where there is none.
    pub fn reason(&self) -> &'static str {
        self.label().name()
    }

    /// The verdict and its reason, as the log and the metrics have them.
    pub fn label(&self) -> Reason {
        match self {
            Self::Allow(_) => Reason::Allowed,
            Self::Challenge(Refusal::Missing) => Reason::Missing,
            Self::Challenge(Refusal::Malformed(_)) => Reason::Malformed,
            Self::Challenge(Refusal::Scheme) => Reason::Scheme,
            Self::Challenge(Refusal::Wrong | Refusal::Unusable(_) | Refusal::TooLong) => Reason::Wrong,
            Self::Challenge(Refusal::Key(_)) => Reason::Key,
            Self::Challenge(Refusal::Token(_)) => Reason::Token,
            Self::Challenge(Refusal::Scope(_)) => Reason::Scope,
            Self::Forbid(Denied::NotPermitted(refused)) if refused.error.is_some() => {
                Reason::MalformedReference
            }
            Self::Forbid(Denied::NotPermitted(_)) => Reason::Denied,
            Self::Forbid(Denied::Incomplete(_)) => Reason::Incomplete,
            Self::Forbid(Denied::Untrusted) => Reason::Untrusted,
            Self::Forbid(Denied::Unentitled) => Reason::ProxySecret,
            Self::Limited(Limited::Throttled(_)) => Reason::Throttled,
            Self::Limited(Limited::Busy(_)) => Reason::Busy,
            Self::Unavailable(_) => Reason::Unavailable,
            Self::NoCredentials(_) => Reason::Upstream,
        }
    }
}

/// Defines [`Reason`] together with the list of its variants, so that none can be left out of the list.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident: $verdict:literal, $name:literal;)*) => {
        /// A verdict's name together with its reason's. [`Reason::ALL`] has every one of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $reason,)* }

        impl Reason {
            /// Every reason, in the order in which they are documented.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// The verdict's name.
            pub fn verdict(self) -> &'static str {
                match self { $(Self::$reason => $verdict,)* }
            }

            /// The reason's name; empty for an allowed request.
            pub fn name(self) -> &'static str {
                match self { $(Self::$reason => $name,)* }
            }
        }
    };
}

reasons! {
    /// The policy permits the request.
    Allowed: "allow", "";
    /// No credentials.
    Missing: "challenge", "missing";
    /// Credentials that cannot be read.
    Malformed: "challenge", "malformed";
    /// Credentials of another scheme.
    Scheme: "challenge", "scheme";
    /// An unknown user, or another password.
    Wrong: "challenge", "wrong";
    /// An API key that is not good.
    Key: "challenge", "key";
    /// A token that is not good.
    Token: "challenge", "token";
    /// A token that permits less.
    Scope: "challenge", "scope";
    /// Not permitted.
    Denied: "forbid", "denied";
    /// A malformed reference in a repository where all that the request takes is granted.
    MalformedReference: "forbid", "malformed";
    /// The proxy's headers do not describe the request.
    Incomplete: "forbid", "incomplete";
    /// The peer may not ask.
    Untrusted: "forbid", "untrusted";
    /// The peer does not show the proxy's secret.
    ProxySecret: "forbid", "proxy_secret";
    /// Too many failures.
    Throttled: "limited", "throttled";
    /// A queue is full.
    Busy: "limited", "busy";
    /// A source of users could not be asked.
    Unavailable: "unavailable", "unavailable";
    /// A token could not be signed.
    Signing: "unavailable", "signing";
    /// There are no good upstream credentials.
    Upstream: "unavailable", "upstream";
    /// A request for a token that cannot be read, or is for another registry.
    TokenRequest: "invalid", "token_request";
    /// A refresh token, of which there are none.
    RefreshToken: "invalid", "refresh_token";
}

impl From<Incomplete> for Verdict {
    fn from(incomplete: Incomplete) -> Self {
        Self::Forbid(Denied::Incomplete(incomplete))
    }
}
