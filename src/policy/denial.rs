//! Why a request is denied (403).

use crate::permissions::Actions;
use crate::request::malformed::{MalformedReference, RegistryErrorCode};
use crate::request::registry::CATALOG_SCOPE;
use crate::request::subrequest::ProxyHeaderError;

/// What a peer that does not prove to be the proxy lacks.
const PROXY_SECRET_MISSING: &str = "an [[upstream]] has credentials, so every peer must show the secret of proxy_secret_file, once, in X-Auth-Proxy-Secret";

/// Why a request is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The policy does not permit it.
    ByPolicy(Box<PolicyDenial>),
    /// A header of the proxy's is missing, doubled or can't be read, or one is there that it never sends.
    InvalidProxyHeaders(ProxyHeaderError),
    /// The peer may ask, and does not show the proxy's secret, which the upstream's credentials require.
    ProxySecretMissing,
}

impl Denied {
    /// A request that two readers could take for two things.
    pub(crate) fn ambiguous_request(why: &'static str) -> Self {
        Self::ByPolicy(Box::new(PolicyDenial { request_error: Some(why), ..PolicyDenial::default() }))
    }

    /// A reference that no registry can have, in a request that is permitted otherwise.
    pub(crate) fn malformed_reference(malformed: MalformedReference) -> Self {
        Self::ByPolicy(Box::new(PolicyDenial::for_malformed_reference(malformed)))
    }

    /// What the log says besides the reason: what was not permitted, or what is wrong with the request.
    pub fn detail(&self) -> String {
        let refused = match self {
            Self::ByPolicy(refused) => refused,
            Self::ProxySecretMissing => return PROXY_SECRET_MISSING.to_owned(),
            Self::InvalidProxyHeaders(what) => return what.to_string(),
        };
        let mut what = match (refused.request_error, self.scope()) {
            (Some(why), _) => why.to_owned(),
            (None, Some(scope)) if refused.is_outside_api_key_scope => format!("{scope} is beyond the scope"),
            (None, None) if refused.is_outside_api_key_scope => "the request is beyond the scope".to_owned(),
            (None, Some(scope)) => scope,
            (None, None) if refused.deny_rule_line.is_some() => "the request".to_owned(),
            (None, None) => "no grant permits it".to_owned(),
        };
        if let Some(line) = refused.deny_rule_line {
            what.push_str(&format!("; the [[deny]] at line {line} of the policy forbids it"));
        }
        if refused.is_denied_by_token {
            what.push_str("; it was not granted when the token was issued");
        }
        match &refused.api_key {
            Some(key) => format!("{what}; {key}"),
            None => what,
        }
    }

    /// The specification's code for a malformed reference; `None` for every other refusal.
    pub fn error_code(&self) -> Option<RegistryErrorCode> {
        match self {
            Self::ByPolicy(refused) => refused.error_code,
            Self::InvalidProxyHeaders(_) | Self::ProxySecretMissing => None,
        }
    }

    /// What was not permitted in a registry, as its token protocol writes it (distribution's
    /// token/scope.md): `repository:team/app:pull,push`.
    pub fn scope(&self) -> Option<String> {
        let Self::ByPolicy(refused) = self else { return None };
        let actions: Vec<&str> = refused.denied_actions.names().collect();
        match &refused.repository {
            Some(name) => Some(format!("repository:{name}:{}", actions.join(","))),
            None if refused.denied_actions == Actions::CATALOG => Some(CATALOG_SCOPE.to_owned()),
            None => None,
        }
    }
}

/// Why a request is not permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDenial {
    /// What is wrong with the request itself.
    pub request_error: Option<&'static str>,
    /// The specification's code for that. It is set only if all that the request takes is granted.
    pub error_code: Option<RegistryErrorCode>,
    /// The rule that forbids it.
    pub deny_rule_index: Option<u32>,
    /// The line of that rule in the policy file.
    pub deny_rule_line: Option<usize>,
    /// It was asked for when the token was issued, and not granted.
    pub is_denied_by_token: bool,
    /// It is granted, and the scope of the key does not go so far.
    pub is_outside_api_key_scope: bool,
    /// The key that was used, and whose it is, for the log.
    pub api_key: Option<String>,
    /// The repository that it is about, the source of a mount included.
    pub repository: Option<String>,
    /// What was asked for there and no grant permits, or what is denied.
    pub denied_actions: Actions,
}

impl PolicyDenial {
    /// For a malformed reference, where all that the request takes is granted.
    pub fn for_malformed_reference(malformed: MalformedReference) -> Self {
        Self { request_error: Some(malformed.message), error_code: Some(malformed.code), ..Self::default() }
    }
}

impl From<ProxyHeaderError> for Denied {
    fn from(incomplete: ProxyHeaderError) -> Self {
        Self::InvalidProxyHeaders(incomplete)
    }
}
