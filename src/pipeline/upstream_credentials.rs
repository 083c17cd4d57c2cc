//! The upstream credentials of an allowed request.
//!
//! They are selected after the policy, on every request, so that expired or removed credentials are never used
//! again. If any upstream has credentials, `http` rejects every peer without the proxy secret before the pipeline
//! runs; the same is checked here once more. An anonymous request is challenged, unless the upstream permits its
//! credentials to `anyone`.

use std::sync::Arc;

use super::Pipeline;
use super::challenge::ChallengeReason;
use super::verdict::Verdict;
use crate::network::ClientNetwork;
use crate::policy::AllowedRequest;
use crate::policy::denial::Denied;
use crate::request::endpoint::RegistryTarget;
use crate::request::header::RequestHeader;
use crate::request::original::OriginalRequest;
use crate::request::registry::RegistryRequest;
use crate::request::subrequest::{ProxyHeaderError, Subrequest};
use crate::upstream::secret_header::SecretHeaderValue;
use crate::upstream::{PermittedRequest, UpstreamEntry, UpstreamTarget, Upstreams};

/// The error for a mount whose source and target need different upstream credentials.
const MOUNT_ACROSS_CREDENTIALS: &str = "it mounts from a repository that needs other upstream credentials";

impl Pipeline {
    /// Adds the upstream credentials to an allowed request.
    pub(super) fn attach_upstream_credentials(
        &self,
        allowed: AllowedRequest,
        request: &Subrequest<'_>,
    ) -> Verdict {
        let Some(upstreams) = &self.upstreams else { return Verdict::Allow(allowed) };
        let result = match upstreams.entry_of_every_request() {
            // The original request is not parsed.
            Some(entry) => attach(Some(entry), allowed, request),
            None => request
                .original_request()
                .map_err(Verdict::from)
                .and_then(|original| select_and_attach(upstreams, allowed, original, request)),
        };
        result.map_or_else(|refusal| refusal, Verdict::Allow)
    }

    /// Reports that the upstream refused the credentials of a request, so that a new token is fetched if the
    /// credentials are a token. Returns the name of the upstream.
    pub(crate) fn report_upstream_refused(&self, request: &Subrequest<'_>) -> Option<Arc<str>> {
        let upstreams = self.upstreams.as_ref()?;
        let text = |header| match header {
            RequestHeader::Once(text) => std::str::from_utf8(text).ok(),
            RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid => None,
        };
        // The request was permitted before, so its content type is not evaluated again.
        let (method, uri, host) = (text(request.method)?, text(request.uri)?, text(request.host)?);
        let original = OriginalRequest::new(method, uri, host, "", request.declared_upstream);
        let target = upstream_target(original.registry_request());
        let block =
            ClientNetwork::from_address(request.client_address().ok().flatten(), self.prefixes).block_id();
        upstreams
            .report_credentials_refused(&PermittedRequest { host: original.host_name().ok()?, target }, block)
            .cloned()
    }
}

/// Returns the `[[upstream]]` entry for a permitted request, and the URI for the upstream if it differs from the
/// original.
///
/// # Errors
/// If the entry cannot be determined.
pub(crate) fn select_table<'u>(
    upstreams: &'u Upstreams,
    request: &OriginalRequest<'_>,
) -> Result<(Option<&'u UpstreamEntry>, Option<String>), Denied> {
    let host = request.host_name().map_err(|_| ProxyHeaderError::INVALID_HOST)?;
    let registry_request = request.registry_request();
    let malformed = registry_request.ok().and_then(|registry_request| registry_request.malformed_reference);
    let select = |target| {
        let deny = |message| {
            malformed.map_or_else(|| Denied::ambiguous_request(message), Denied::malformed_reference)
        };
        upstreams.select(&PermittedRequest { host, target }).map_err(deny)
    };
    let entry = select(upstream_target(registry_request))?;
    let mount = registry_request.ok().and_then(|registry_request| {
        Some((registry_request, &*registry_request.mount_source.as_ref()?.repository))
    });
    match mount {
        Some((registry_request, source))
            if !is_same_entry(entry, select(UpstreamTarget::Repository(source))?) =>
        {
            if !request.has_uri_rewrite() {
                return Err(Denied::ambiguous_request(MOUNT_ACROSS_CREDENTIALS));
            }
            Ok((entry, Some(registry_request.uri_without_mount())))
        }
        Some(_) | None => Ok((entry, None)),
    }
}

fn select_and_attach(
    upstreams: &Upstreams,
    allowed: AllowedRequest,
    original: &OriginalRequest<'_>,
    request: &Subrequest<'_>,
) -> Result<AllowedRequest, Verdict> {
    let (entry, uri) = select_table(upstreams, original).map_err(Verdict::Forbid)?;
    let allowed = match uri {
        Some(uri) => allowed.with_upstream_uri(uri),
        None => allowed,
    };
    attach(entry, allowed, request)
}

fn is_same_entry(a: Option<&UpstreamEntry>, b: Option<&UpstreamEntry>) -> bool {
    a.map(|entry| &entry.name) == b.map(|entry| &entry.name)
}

fn attach(
    entry: Option<&UpstreamEntry>,
    allowed: AllowedRequest,
    request: &Subrequest<'_>,
) -> Result<AllowedRequest, Verdict> {
    let Some(entry) = entry.filter(|entry| entry.has_credentials()) else {
        return Ok(allowed.with_upstream_authorization(SecretHeaderValue::empty()));
    };
    if allowed.identity().is_none() && !entry.is_anonymous_allowed {
        return Err(Verdict::Challenge(ChallengeReason::NoCredentials));
    }
    if let Some(identity) = allowed.identity() {
        request.set_user(identity.user.as_bytes());
    }
    if !request.has_proxy_secret {
        return Err(Verdict::Forbid(Denied::ProxySecretMissing));
    }
    entry
        .authorization()
        .map(|authorization| allowed.with_upstream_authorization(authorization))
        .map_err(Verdict::NoUpstreamCredentials)
}

/// Returns what a request accesses, for the selection of the upstream.
fn upstream_target<'r>(registry_request: Result<&RegistryRequest<'r>, &'static str>) -> UpstreamTarget<'r> {
    match registry_request {
        // A registry may read a malformed reference as another reference, and a malformed name as another name.
        Ok(RegistryRequest { malformed_reference: Some(malformed), .. }) => {
            UpstreamTarget::Ambiguous(malformed.message)
        }
        Ok(registry_request) => match registry_request.target {
            RegistryTarget::Ping => UpstreamTarget::Ping,
            RegistryTarget::Repository(name) => UpstreamTarget::Repository(name),
            RegistryTarget::Catalog => UpstreamTarget::Other,
        },
        Err(message) => UpstreamTarget::Ambiguous(message),
    }
}
