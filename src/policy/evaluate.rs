//! As what a request is judged: as one to a registry, to a site, or as both.

use std::borrow::Cow;

use super::denial::PolicyDenial;
use super::rule::Subject;
use super::rules::{PolicyDecision, PolicyRules, RegistryHosts};
use crate::permissions::api_key_scope::ApiKeyScope;
use crate::request::original::{DeclaredUpstream, OriginalRequest};
use crate::request::registry::RegistryTarget;

/// As what a request is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EvaluatedAs {
    /// As a registry's.
    Registry,
    /// As a site's.
    Site,
    /// As both.
    Either,
}

fn is_ping(request: &OriginalRequest<'_>) -> bool {
    request.registry_request().is_ok_and(|asked| asked.target == RegistryTarget::Ping)
}

/// Permitted, and the URI to ask the backend for instead, if it is another; or not.
type UpstreamUriResult = Result<Option<String>, Box<PolicyDenial>>;

impl PolicyRules {
    /// As what a request at this host is judged.
    pub(super) fn evaluated_as(&self, host: &str, backend: DeclaredUpstream) -> EvaluatedAs {
        if *self.registries() == RegistryHosts::FromProxyOrBoth && backend == DeclaredUpstream::Unspecified {
            EvaluatedAs::Either
        } else if self.is_registry(host, backend == DeclaredUpstream::Registry) {
            EvaluatedAs::Registry
        } else {
            EvaluatedAs::Site
        }
    }

    /// Judges one request.
    pub fn evaluate(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> PolicyDecision {
        match request.host_name().and_then(|host| self.evaluate_at(subject, host, request)) {
            Ok(Ok(uri)) => PolicyDecision::Allowed { upstream_uri: uri },
            Ok(Err(refused)) => PolicyDecision::Denied(refused),
            Err(unreadable) => PolicyDecision::Denied(Box::new(PolicyDenial {
                request_error: Some(unreadable),
                ..PolicyDenial::default()
            })),
        }
    }

    /// The judgement at this host; an error is what is wrong with the request.
    fn evaluate_at(
        &self,
        subject: &Subject<'_>,
        host: &str,
        request: &OriginalRequest<'_>,
    ) -> Result<UpstreamUriResult, &'static str> {
        let at_registry = || -> Result<UpstreamUriResult, &'static str> {
            Ok(self.evaluate_registry(subject, host, request.registry_request()?, request.has_uri_rewrite()))
        };
        let at_site = || -> Result<UpstreamUriResult, &'static str> {
            let segments: Vec<&str> = request.path_segments()?.iter().map(Cow::as_ref).collect();
            Ok(self.evaluate_path(subject, host, &segments, request.method).map(|()| None))
        };
        match self.evaluated_as(host, request.declared_upstream) {
            EvaluatedAs::Registry => at_registry(),
            // The client chooses the host, where nginx answers to any.
            EvaluatedAs::Site if request.has_uri_rewrite() => {
                Err("nginx guards a registry here, and the policy does not count this host among them")
            }
            EvaluatedAs::Site => at_site(),
            EvaluatedAs::Either => match at_registry() {
                Ok(Err(refused)) => match at_site() {
                    Ok(Ok(uri)) => Ok(Ok(uri)),
                    Ok(Err(_)) | Err(_) => Ok(Err(refused)),
                },
                // Every key may ask a registry for /v2/. A site's path it may not, unless its scope has to do
                // with registries.
                Ok(Ok(_))
                    if is_ping(request)
                        && !subject.api_key_scope.is_none_or(ApiKeyScope::has_registry_permission) =>
                {
                    at_site()
                }
                Ok(Ok(uri)) => Ok(Ok(uri)),
                Err(_) => at_site(),
            },
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
