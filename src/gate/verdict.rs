//! What the gate decides. A refusal is a value, with a [`Reason`] whose name is stable: it stands in
//! `X-Auth-Reason`, in the log and in the metrics.

use std::time::Duration;

use super::credentials::MalformedCredentials;
use super::policy::Grant;
use super::policy::malformed::{ErrorCode, Malformed};
use super::policy::rules::Refused;
use super::subrequest::Incomplete;
use crate::authn::hash::PASSWORD_MAX;
use crate::authn::htpasswd::line::LineFault;
use crate::authn::keys::KeyFault;
use crate::authn::{Identity, Trouble};
use crate::rights::Actions;
use crate::token::keys::VerifyFault;
use crate::upstream::Missing;

/// What a peer that does not prove to be the proxy lacks.
const UNENTITLED: &str = "an [[upstream]] has credentials, so every peer must show the secret of proxy_secret_file, once, in X-Auth-Proxy-Secret";

/// What the log says of a user whose line can't be used, before the diagnosis.
const UNUSABLE: &str = "the user's line in the htpasswd file can't be used (see doorward check)";
/// The scope of the list of all repositories.
pub(super) const CATALOG_SCOPE: &str = "registry:catalog:*";

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

/// Why a client is challenged. It is never told which of these it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No `Authorization`.
    Missing,
    /// An `Authorization` that can't be read as a user name and a password.
    Malformed(MalformedCredentials),
    /// Another scheme than Basic.
    Scheme,
    /// The user is unknown, or his password is another.
    Wrong,
    /// The user's line in the htpasswd file can't be used, so no password can be checked against it.
    Unusable(LineFault),
    /// The password is longer than any that is compared with a hash, and nothing else decides about this user.
    TooLong,
    /// A key that is no good.
    Key(KeyFault),
    /// A token of the registry's that is no good.
    Token(VerifyFault),
    /// One that is, and permits less.
    Scope(TokenLacks),
}

/// What a token lacks for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLacks {
    /// The scope, as the registry's token protocol writes it; empty for `/v2/`, which needs none.
    pub scope: String,
    /// Whether the token is for another host, where all of it may be permitted.
    pub is_of_other_host: bool,
    /// Whether the token names a user. A client without a user is asked to log in.
    pub has_user: bool,
}

/// Why a request is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The policy does not permit it.
    NotPermitted(Box<Refused>),
    /// A header of the proxy's is missing, doubled or can't be read, or one is there that it never sends.
    Incomplete(Incomplete),
    /// The peer is not one that may ask.
    Untrusted,
    /// The peer may ask, and does not show the proxy's secret, which the upstream's credentials require.
    Unentitled,
}

impl Denied {
    /// A request that two readers could take for two things.
    pub(super) fn unreadable(why: &'static str) -> Self {
        Self::NotPermitted(Box::new(Refused { unreadable: Some(why), ..Refused::default() }))
    }

    /// A reference that no registry can have, in a request that is permitted otherwise.
    pub(super) fn malformed(malformed: Malformed) -> Self {
        Self::NotPermitted(Box::new(Refused::malformed(malformed)))
    }

    /// What the log says besides the reason: what was not permitted, or what is wrong with the request.
    pub fn detail(&self) -> String {
        let refused = match self {
            Self::NotPermitted(refused) => refused,
            Self::Unentitled => return UNENTITLED.to_owned(),
            Self::Incomplete(what) => return what.to_string(),
            Self::Untrusted => return String::new(),
        };
        let mut what = match (refused.unreadable, self.scope()) {
            (Some(why), _) => why.to_owned(),
            (None, Some(scope)) if refused.for_want_of_scope => format!("{scope} is beyond the scope"),
            (None, None) if refused.for_want_of_scope => "the request is beyond the scope".to_owned(),
            (None, Some(scope)) => scope,
            (None, None) if refused.denied_at.is_some() => "the request".to_owned(),
            (None, None) => "no grant permits it".to_owned(),
        };
        if let Some(line) = refused.denied_at {
            what.push_str(&format!("; the [[deny]] at line {line} of the policy forbids it"));
        }
        if refused.by_token {
            what.push_str("; it was not granted when the token was issued");
        }
        match &refused.key {
            Some(key) => format!("{what}; {key}"),
            None => what,
        }
    }

    /// The specification's code for a malformed reference; `None` for every other refusal.
    pub fn error(&self) -> Option<ErrorCode> {
        match self {
            Self::NotPermitted(refused) => refused.error,
            Self::Incomplete(_) | Self::Untrusted | Self::Unentitled => None,
        }
    }

    /// What was not permitted in a registry, as its token protocol writes it (distribution's
    /// token/scope.md): `repository:team/app:pull,push`.
    pub fn scope(&self) -> Option<String> {
        let Self::NotPermitted(refused) = self else { return None };
        let actions: Vec<&str> = refused.actions.names().collect();
        match &refused.repository {
            Some(name) => Some(format!("repository:{name}:{}", actions.join(","))),
            None if refused.actions == Actions::CATALOG => Some(CATALOG_SCOPE.to_owned()),
            None => None,
        }
    }
}

impl Refusal {
    /// What the log says besides the reason; empty where there is nothing to add.
    fn detail(&self) -> String {
        match self {
            Self::Malformed(why) => why.to_string(),
            Self::TooLong => {
                format!("the password is longer than {PASSWORD_MAX} bytes, and no hash is compared with it")
            }
            Self::Unusable(fault) => format!("{UNUSABLE}: {}", fault.what()),
            Self::Key(fault) => fault.to_string(),
            Self::Token(fault) => fault.to_string(),
            Self::Scope(lacks) if lacks.is_of_other_host => "the token is for another host".to_owned(),
            Self::Scope(lacks) => format!("{} is not in the token", lacks.scope),
            Self::Missing | Self::Scheme | Self::Wrong => String::new(),
        }
    }
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
