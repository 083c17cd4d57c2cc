//! Why a request is denied (403).

use crate::permissions::Actions;
use crate::request::malformed::{ErrorCode, Malformed};
use crate::request::registry::CATALOG_SCOPE;
use crate::request::subrequest::Incomplete;

/// What a peer that does not prove to be the proxy lacks.
const UNENTITLED: &str = "an [[upstream]] has credentials, so every peer must show the secret of proxy_secret_file, once, in X-Auth-Proxy-Secret";

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
    pub(crate) fn unreadable(why: &'static str) -> Self {
        Self::NotPermitted(Box::new(Refused { unreadable: Some(why), ..Refused::default() }))
    }

    /// A reference that no registry can have, in a request that is permitted otherwise.
    pub(crate) fn malformed(malformed: Malformed) -> Self {
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

/// Why a request is not permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with the request itself.
    pub unreadable: Option<&'static str>,
    /// The specification's code for that. It is set only if all that the request takes is granted.
    pub error: Option<ErrorCode>,
    /// The rule that forbids it.
    pub denied_by: Option<u32>,
    /// The line of that rule in the policy file.
    pub denied_at: Option<usize>,
    /// It was asked for when the token was issued, and not granted.
    pub by_token: bool,
    /// It is granted, and the scope of the key does not go so far.
    pub for_want_of_scope: bool,
    /// The key that was used, and whose it is, for the log.
    pub key: Option<String>,
    /// The repository that it is about, the source of a mount included.
    pub repository: Option<String>,
    /// What was asked for there and no grant permits, or what is denied.
    pub actions: Actions,
}

impl Refused {
    /// For a malformed reference, where all that the request takes is granted.
    pub fn malformed(malformed: Malformed) -> Self {
        Self { unreadable: Some(malformed.why), error: Some(malformed.code), ..Self::default() }
    }
}

impl From<Incomplete> for Denied {
    fn from(incomplete: Incomplete) -> Self {
        Self::Incomplete(incomplete)
    }
}
