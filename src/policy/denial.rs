//! The reasons why a request is denied (403).

use crate::permissions::actions::Actions;
use crate::request::malformed::{MalformedReference, RegistryErrorCode};
use crate::request::registry::CATALOG_SCOPE;
use crate::request::subrequest::ProxyHeaderError;

/// The detail for a peer that does not send the proxy secret.
const PROXY_SECRET_MISSING: &str = "X-Auth-Proxy-Secret is missing, repeated or wrong; the proxy must send the secret of proxy_secret_file, because an [[upstream]] has credentials";

/// The reason why a request is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The policy does not permit the request.
    ByPolicy(Box<PolicyDenial>),
    /// A header of the proxy is missing, repeated or invalid, or the proxy sent one that it must not send.
    InvalidProxyHeaders(ProxyHeaderError),
    /// The peer is trusted, but does not send the proxy secret. It is required if an upstream has credentials.
    ProxySecretMissing,
}

impl Denied {
    /// Creates the denial of a request that two programs could read differently.
    pub(crate) fn ambiguous_request(message: &'static str) -> Self {
        Self::ByPolicy(Box::new(PolicyDenial { request_error: Some(message), ..PolicyDenial::default() }))
    }

    /// Creates the denial of an otherwise permitted request with a path that two programs could read differently.
    pub(crate) fn ambiguous_path(message: &'static str) -> Self {
        Self::ByPolicy(Box::new(PolicyDenial {
            request_error: Some(message),
            error_code: Some(RegistryErrorCode::NameInvalid),
            ..PolicyDenial::default()
        }))
    }

    /// Creates the denial of an otherwise permitted request with a reference that cannot exist in a registry.
    pub(crate) fn malformed_reference(malformed: MalformedReference) -> Self {
        Self::ByPolicy(Box::new(PolicyDenial::for_malformed_reference(malformed)))
    }

    /// Returns the detail for the log: the scope that was denied and by what, or the error in the request.
    pub(crate) fn detail(&self) -> String {
        let denial = match self {
            Self::ByPolicy(denial) => denial,
            Self::ProxySecretMissing => return PROXY_SECRET_MISSING.to_owned(),
            Self::InvalidProxyHeaders(error) => return error.to_string(),
        };
        let scope = || self.scope().unwrap_or_else(|| "the request".to_owned());
        let detail = match (denial.request_error, denial.deny_rule_line) {
            (Some(error), _) => error.to_owned(),
            (None, Some(line)) => {
                format!("{} is denied by the [[deny]] at line {line} of the policy", scope())
            }
            (None, None) if denial.is_outside_api_key_scope => {
                format!("{} is beyond the API key's scope", scope())
            }
            (None, None) if denial.is_denied_by_token => {
                format!("{} was not granted when the token was issued", scope())
            }
            (None, None) => format!("{} is not granted", scope()),
        };
        match &denial.api_key {
            Some(key) => format!("{detail}; {key}"),
            None => detail,
        }
    }

    /// Returns the error code of the specification for a malformed reference; `None` for every other denial.
    pub(crate) fn error_code(&self) -> Option<RegistryErrorCode> {
        match self {
            Self::ByPolicy(denial) => denial.error_code,
            Self::InvalidProxyHeaders(_) | Self::ProxySecretMissing => None,
        }
    }

    /// Returns the scope that was denied, in the form of the registry token protocol (token/scope.md of distribution):
    /// `repository:team/app:pull,push`. Returns `None` for a site.
    pub(crate) fn scope(&self) -> Option<String> {
        let Self::ByPolicy(denial) = self else { return None };
        let actions: Vec<&str> = denial.denied_actions.names().collect();
        match &denial.repository {
            Some(name) => Some(format!("repository:{name}:{}", actions.join(","))),
            None if denial.denied_actions == Actions::CATALOG => Some(CATALOG_SCOPE.to_owned()),
            None => None,
        }
    }
}

/// The reason why the policy does not permit a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PolicyDenial {
    /// The error in the request itself.
    pub(crate) request_error: Option<&'static str>,
    /// The error code of the specification for `request_error`. It is set only if every required action is granted.
    pub(crate) error_code: Option<RegistryErrorCode>,
    /// The number of the rule that denies the request.
    pub(crate) deny_rule_index: Option<u32>,
    /// The line of that rule in the policy file.
    pub(crate) deny_rule_line: Option<usize>,
    /// Whether the actions were requested for the token, but not granted.
    pub(crate) is_denied_by_token: bool,
    /// Whether the actions are granted, but are outside the scope of the API key.
    pub(crate) is_outside_api_key_scope: bool,
    /// The API key and its owner, for the log.
    pub(crate) api_key: Option<String>,
    /// The repository of the denied actions, which can be the source of a mount.
    pub(crate) repository: Option<String>,
    /// The actions that are denied, or that no grant permits.
    pub(crate) denied_actions: Actions,
}

impl PolicyDenial {
    /// Creates the denial for a malformed reference. Every required action must be granted.
    pub(crate) fn for_malformed_reference(malformed: MalformedReference) -> Self {
        Self { request_error: Some(malformed.message), error_code: Some(malformed.code), ..Self::default() }
    }
}

impl From<ProxyHeaderError> for Denied {
    fn from(error: ProxyHeaderError) -> Self {
        Self::InvalidProxyHeaders(error)
    }
}
