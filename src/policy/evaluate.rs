//! Evaluates a request as a request to a registry, to a site, or as both.

use std::borrow::Cow;

use super::denial::PolicyDenial;
use super::rule::Subject;
use super::rules::{PolicyDecision, PolicyRules, RegistryHosts};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::request::endpoint::RegistryTarget;
use crate::request::original::{DeclaredUpstream, OriginalRequest};

/// The protocol by which a request is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestProtocol {
    /// The registry protocol.
    Registry,
    /// The paths and methods of a site.
    Site,
    /// Either of the two.
    Either,
}

fn is_ping(request: &OriginalRequest<'_>) -> bool {
    request.registry_request().is_ok_and(|request| request.target == RegistryTarget::Ping)
}

/// The URI that the upstream must receive, if it differs from the client's URI; or the denial.
type UpstreamUriResult = Result<Option<String>, Box<PolicyDenial>>;

impl PolicyRules {
    /// Returns the protocol by which a request to this host is evaluated.
    pub(super) fn protocol_at(&self, host: &str, declared: DeclaredUpstream) -> RequestProtocol {
        if *self.registries() == RegistryHosts::FromProxyOrBoth && declared == DeclaredUpstream::Unspecified {
            RequestProtocol::Either
        } else if self.is_registry(host, declared == DeclaredUpstream::Registry) {
            RequestProtocol::Registry
        } else {
            RequestProtocol::Site
        }
    }

    /// Evaluates a request.
    pub(crate) fn evaluate(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> PolicyDecision {
        match request.host_name().and_then(|host| self.evaluate_at(subject, host, request)) {
            Ok(Ok(upstream_uri)) => PolicyDecision::Allowed { upstream_uri },
            Ok(Err(denial)) => PolicyDecision::Denied(denial),
            Err(request_error) => PolicyDecision::Denied(Box::new(PolicyDenial {
                request_error: Some(request_error),
                ..PolicyDenial::default()
            })),
        }
    }

    /// Evaluates a request to this host.
    ///
    /// # Errors
    /// Returns the error message if the request itself is invalid.
    fn evaluate_at(
        &self,
        subject: &Subject<'_>,
        host: &str,
        request: &OriginalRequest<'_>,
    ) -> Result<UpstreamUriResult, &'static str> {
        let as_registry_request = || -> Result<UpstreamUriResult, &'static str> {
            Ok(self.evaluate_registry(subject, host, request.registry_request()?, request.has_uri_rewrite()))
        };
        let as_site_request = || -> Result<UpstreamUriResult, &'static str> {
            let segments: Vec<&str> = request.path_segments()?.iter().map(Cow::as_ref).collect();
            Ok(self.evaluate_path(subject, host, &segments, request.method).map(|()| None))
        };
        match self.protocol_at(host, request.declared_upstream) {
            RequestProtocol::Registry => as_registry_request(),
            // The client chooses the host if nginx serves every host name. The registry must not be evaluated as a
            // site because of it.
            RequestProtocol::Site if request.has_uri_rewrite() => Err(
                "the proxy declares a registry at this host, but the policy does not; add the host to registries",
            ),
            RequestProtocol::Site => as_site_request(),
            RequestProtocol::Either => match as_registry_request() {
                Ok(Err(denial)) => match as_site_request() {
                    Ok(Ok(uri)) => Ok(Ok(uri)),
                    Ok(Err(_)) | Err(_) => Ok(Err(denial)),
                },
                // Every API key may request /v2/ of a registry. If its scope has no permission for registries, /v2/ is
                // evaluated as a path of a site.
                Ok(Ok(_))
                    if is_ping(request)
                        && !subject.api_key_scope.is_none_or(ApiKeyScope::has_registry_permission) =>
                {
                    as_site_request()
                }
                Ok(Ok(uri)) => Ok(Ok(uri)),
                Err(_) => as_site_request(),
            },
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
