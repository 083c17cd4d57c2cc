//! As what a request is judged: as one to a registry, to a site, or as both.

use std::borrow::Cow;

use super::denial::Refused;
use super::rule::Subject;
use super::rules::{Judgement, Registries, Rules};
use crate::permissions::scope::Scope;
use crate::request::original::{Backend, OriginalRequest};
use crate::request::registry::Target;

/// As what a request is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As a registry's.
    Registry,
    /// As a site's.
    Site,
    /// As both.
    Either,
}

fn is_ping(request: &OriginalRequest<'_>) -> bool {
    request.registry().is_ok_and(|asked| asked.target == Target::Ping)
}

/// Permitted, and the URI to ask the backend for instead, if it is another; or not.
type Rewritten = Result<Option<String>, Box<Refused>>;

impl Rules {
    /// As what a request at this host is judged.
    pub(super) fn reading(&self, host: &str, backend: Backend) -> Reading {
        if *self.registries() == Registries::Either && backend == Backend::Unsaid {
            Reading::Either
        } else if self.is_registry(host, backend == Backend::Registry) {
            Reading::Registry
        } else {
            Reading::Site
        }
    }

    /// Judges one request.
    pub fn judge(&self, subject: &Subject<'_>, request: &OriginalRequest<'_>) -> Judgement {
        match request.host().and_then(|host| self.judge_at(subject, host, request)) {
            Ok(Ok(uri)) => Judgement::Allowed { uri },
            Ok(Err(refused)) => Judgement::Refused(refused),
            Err(unreadable) => {
                Judgement::Refused(Box::new(Refused { unreadable: Some(unreadable), ..Refused::default() }))
            }
        }
    }

    /// The judgement at this host; an error is what is wrong with the request.
    fn judge_at(
        &self,
        subject: &Subject<'_>,
        host: &str,
        request: &OriginalRequest<'_>,
    ) -> Result<Rewritten, &'static str> {
        let at_registry = || -> Result<Rewritten, &'static str> {
            Ok(self.judge_registry(subject, host, request.registry()?, request.rewrites()))
        };
        let at_site = || -> Result<Rewritten, &'static str> {
            let segments: Vec<&str> = request.segments()?.iter().map(Cow::as_ref).collect();
            Ok(self.judge_path(subject, host, &segments, request.method).map(|()| None))
        };
        match self.reading(host, request.backend) {
            Reading::Registry => at_registry(),
            // The client chooses the host, where nginx answers to any.
            Reading::Site if request.rewrites() => {
                Err("nginx guards a registry here, and the policy does not count this host among them")
            }
            Reading::Site => at_site(),
            Reading::Either => match at_registry() {
                Ok(Err(refused)) => match at_site() {
                    Ok(Ok(uri)) => Ok(Ok(uri)),
                    Ok(Err(_)) | Err(_) => Ok(Err(refused)),
                },
                // Every key may ask a registry for /v2/. A site's path it may not, unless its scope has to do
                // with registries.
                Ok(Ok(_)) if is_ping(request) && !subject.scope.is_none_or(Scope::names_registries) => {
                    at_site()
                }
                Ok(Ok(uri)) => Ok(Ok(uri)),
                Err(_) => at_site(),
            },
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
