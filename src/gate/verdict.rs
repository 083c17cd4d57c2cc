//! What the gate decides. A refusal is a value, with a reason whose name is stable: it stands in
//! `X-Auth-Reason`, in the log and in the metrics.

use std::time::Duration;

use super::policy::Grant;
use super::policy::rules::Refused;
use crate::authn::keys::KeyFault;
use crate::authn::{Identity, Trouble};
use crate::rights::Actions;
use crate::upstream::Missing;

/// Why a peer that may ask does not get the upstream's credentials.
const UNENTITLED: &str = "the upstream's credentials go over a unix socket or loopback, or to who shows the secret of proxy_secret_file in X-Auth-Proxy-Secret";

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
    Malformed,
    /// Another scheme than Basic.
    Scheme,
    /// The user is unknown, or his password is another.
    Wrong,
    /// A key that is no good.
    Key(KeyFault),
    /// A token of the registry's that is no good.
    Token,
    /// One that is, and permits less.
    Scope,
}

/// Why a request is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The policy does not permit it.
    NotPermitted(Box<Refused>),
    /// A header of the proxy's is missing, doubled or can't be read.
    Incomplete,
    /// The peer is not one that may ask.
    Untrusted,
    /// The peer may ask, and may not have the upstream's credentials.
    Unentitled,
}

impl Denied {
    /// What the log says besides the reason: what was not permitted, or what is wrong with the request.
    fn detail(&self) -> String {
        let refused = match self {
            Self::NotPermitted(refused) => refused,
            Self::Unentitled => return UNENTITLED.to_owned(),
            Self::Incomplete | Self::Untrusted => return String::new(),
        };
        let what = match refused.unreadable {
            Some(why) => why.to_owned(),
            None if refused.for_want_of_scope => {
                format!("{} is beyond the scope", self.scope().unwrap_or_default())
            }
            None => self.scope().unwrap_or_default(),
        };
        match &refused.key {
            Some(key) => format!("{what}; {key}"),
            None => what,
        }
    }

    /// What was not permitted in a registry, as its token protocol writes it (distribution's
    /// token/scope.md): `repository:team/app:pull,push`.
    pub fn scope(&self) -> Option<String> {
        let Self::NotPermitted(refused) = self else { return None };
        let actions: Vec<&str> = refused.actions.names().collect();
        match &refused.repository {
            Some(name) => Some(format!("repository:{name}:{}", actions.join(","))),
            None if refused.actions == Actions::CATALOG => Some("registry:catalog:*".to_owned()),
            None => None,
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
    /// What the log says besides the reason; empty where there is nothing to add.
    pub fn detail(&self) -> String {
        match self {
            Self::Forbid(denied) => denied.detail(),
            Self::Unavailable(trouble) => trouble.to_string(),
            Self::NoCredentials(missing) => missing.to_string(),
            Self::Challenge(Refusal::Key(fault)) => fault.to_string(),
            Self::Allow(grant) => grant.identity().and_then(Identity::key_of_whom).unwrap_or_default(),
            Self::Challenge(_) | Self::Limited(_) => String::new(),
        }
    }

    /// The verdict's stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Challenge(_) => "challenge",
            Self::Forbid(_) => "forbid",
            Self::Limited(_) => "limited",
            Self::Unavailable(_) | Self::NoCredentials(_) => "unavailable",
        }
    }

    /// The reason's stable name, for the log and the metrics; empty where there is none.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Allow(_) => "",
            Self::Challenge(Refusal::Missing) => "missing",
            Self::Challenge(Refusal::Malformed) => "malformed",
            Self::Challenge(Refusal::Scheme) => "scheme",
            Self::Challenge(Refusal::Wrong) => "wrong",
            Self::Challenge(Refusal::Key(_)) => "key",
            Self::Challenge(Refusal::Token) => "token",
            Self::Challenge(Refusal::Scope) => "scope",
            Self::Forbid(Denied::NotPermitted(_)) => "denied",
            Self::Forbid(Denied::Incomplete) => "incomplete",
            Self::Forbid(Denied::Untrusted | Denied::Unentitled) => "untrusted",
            Self::Limited(Limited::Throttled(_)) => "throttled",
            Self::Limited(Limited::Busy(_)) => "busy",
            Self::Unavailable(_) => "unavailable",
            Self::NoCredentials(_) => "upstream",
        }
    }
}
