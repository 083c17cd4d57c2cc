//! Decisions on single requests, for tests that compare them with the answers of the program.

use std::net::{IpAddr, Ipv4Addr};

use crate::policy::reload::{GroupSource, PolicyContent, PolicyFileKind};
use crate::policy::rule::Subject;
use crate::policy::rules::{PolicyDecision, PolicyRules};
use crate::request::endpoint::RegistryTarget;
use crate::request::malformed::RegistryErrorCode;
use crate::request::original::{DeclaredUpstream, OriginalRequest};
use crate::request::registry;

/// The rules of a policy file.
pub struct ExplainedRules(PolicyRules);

impl ExplainedRules {
    /// Parses a policy file.
    ///
    /// # Errors
    /// Returns the errors with their places.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        match PolicyFileKind::Rules.parse("policy", text.as_bytes(), GroupSource::Present)? {
            PolicyContent::Rules(rules) => Ok(Self(rules)),
            PolicyContent::Groups(_) => Err(Vec::new()),
        }
    }

    /// Evaluates a request to a registry (method, URI, host, content type) from 127.0.0.1, as `doorward explain` does it.
    /// Returns the URI that the upstream must receive, if it differs from the client's URI.
    ///
    /// # Errors
    /// The rules deny the request. The error has the registry's error code, if the request is malformed.
    pub fn explain(
        &self,
        user: Option<&str>,
        [method, uri, host, content_type]: [&str; 4],
    ) -> Result<Option<String>, Option<RegistryErrorCode>> {
        let client_address = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let user = user.map(str::as_bytes);
        let subject = Subject { user, groups: &[], client_address, api_key_scope: None };
        let request = OriginalRequest::new(method, uri, host, content_type, DeclaredUpstream::Registry);
        match self.0.explain(&subject, &request).decision {
            PolicyDecision::Allowed { upstream_uri } => Ok(upstream_uri),
            PolicyDecision::Denied(denial) => Err(denial.error_code),
        }
    }
}

/// Parses a request to a registry. Returns its repository, and the repository that it mounts a blob from. Returns `None`
/// if the request is invalid.
pub fn registry_repositories(
    method: &str,
    uri: &str,
    content_type: &str,
) -> Option<(Option<String>, Option<String>)> {
    let request = registry::parse_request(method, uri, content_type).ok()?;
    let repository = match request.target {
        RegistryTarget::Repository(name) => Some(name.to_owned()),
        RegistryTarget::Ping | RegistryTarget::Catalog => None,
    };
    Some((repository, request.mount_source.map(|source| source.repository)))
}
