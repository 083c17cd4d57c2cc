//! With which credentials a permitted request goes on to the upstream.
//!
//! They are chosen after the policy and for each request anew, so that what has expired, or was taken out of
//! the settings' files, is gone with the next one. If any upstream has credentials, the front refuses every peer
//! that does not show the proxy's secret before the gate is asked; here the same is checked once more. Who has
//! shown no credentials is challenged where there are some that are not for anyone.

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
use crate::request::subrequest::Subrequest;
use crate::request::subrequest::{HeaderNames, ProxyHeaderError, ProxyHeaderErrorKind};
use crate::upstream::secret_header::SecretHeaderValue;
use crate::upstream::{PermittedRequest, UpstreamEntry, UpstreamTarget, Upstreams};

/// Why a mount is refused whose source has other credentials than its target.
const MOUNT_ACROSS_CREDENTIALS: &str =
    "it mounts from a repository for which the upstream wants other credentials";

impl Pipeline {
    /// Lets a permitted request go on.
    pub(super) fn attach_upstream_credentials(
        &self,
        grant: AllowedRequest,
        request: &Subrequest<'_>,
    ) -> Verdict {
        let Some(upstreams) = &self.upstreams else { return Verdict::Allow(grant) };
        let sent = if upstreams.is_request_dependent() {
            request
                .original_request()
                .map_err(Verdict::from)
                .and_then(|original| select_and_attach(upstreams, grant, original, request))
        } else {
            let all = PermittedRequest { host: "", target: UpstreamTarget::Other };
            upstreams.select(&all).map_err(deny_ambiguous).and_then(|table| attach(table, grant, request))
        };
        sent.map_or_else(|refusal| refusal, Verdict::Allow)
    }

    /// The upstream refused the credentials that a request went on with: its name, if there is one. Another
    /// token is fetched, where there is one to be had.
    pub fn report_upstream_refused(&self, request: &Subrequest<'_>) -> Option<Arc<str>> {
        let upstreams = self.upstreams.as_ref()?;
        let text = |header| match header {
            RequestHeader::Once(text) => std::str::from_utf8(text).ok(),
            RequestHeader::Absent | RequestHeader::Repeated | RequestHeader::Invalid => None,
        };
        // Its body is not judged any more.
        let (method, uri, host) = (text(request.method)?, text(request.uri)?, text(request.host)?);
        let original = OriginalRequest::new(method, uri, host, "", request.declared_upstream);
        let about = upstream_subject(original.registry_request());
        let block =
            ClientNetwork::from_address(request.client_address().ok().flatten(), self.prefixes).block_id();
        upstreams
            .report_credentials_refused(
                &PermittedRequest { host: original.host_name().ok()?, target: about },
                block,
            )
            .cloned()
    }
}

fn deny_ambiguous(why: &'static str) -> Verdict {
    Verdict::Forbid(Denied::ambiguous_request(why))
}

/// Returns the table for a permitted request, and the URI to ask the upstream for if it is another one.
///
/// # Errors
/// If it cannot be told which table that is.
pub fn select_table<'u>(
    upstreams: &'u Upstreams,
    request: &OriginalRequest<'_>,
) -> Result<(Option<&'u UpstreamEntry>, Option<String>), Denied> {
    let unreadable =
        ProxyHeaderError { header: HeaderNames::NGINX.host, kind: ProxyHeaderErrorKind::Invalid };
    let host = request.host_name().map_err(|_| Denied::InvalidProxyHeaders(unreadable))?;
    let asked = request.registry_request();
    let malformed = asked.ok().and_then(|asked| asked.malformed_reference);
    let of = |about| {
        let unclear =
            |why| malformed.map_or_else(|| Denied::ambiguous_request(why), Denied::malformed_reference);
        upstreams.select(&PermittedRequest { host, target: about }).map_err(unclear)
    };
    let table = of(upstream_subject(asked))?;
    match asked.ok().and_then(|asked| Some((asked, &*asked.mount_source.as_ref()?.repository))) {
        Some((asked, source)) if !is_same_table(table, of(UpstreamTarget::Repository(source))?) => {
            if !request.has_uri_rewrite() {
                return Err(Denied::ambiguous_request(MOUNT_ACROSS_CREDENTIALS));
            }
            Ok((table, Some(asked.uri_without_mount())))
        }
        Some(_) | None => Ok((table, None)),
    }
}

fn select_and_attach(
    upstreams: &Upstreams,
    grant: AllowedRequest,
    original: &OriginalRequest<'_>,
    request: &Subrequest<'_>,
) -> Result<AllowedRequest, Verdict> {
    let (table, uri) = select_table(upstreams, original).map_err(Verdict::Forbid)?;
    let grant = match uri {
        Some(uri) => grant.with_upstream_uri(uri),
        None => grant,
    };
    attach(table, grant, request)
}

fn is_same_table(one: Option<&UpstreamEntry>, other: Option<&UpstreamEntry>) -> bool {
    one.map(|table| &table.name) == other.map(|table| &table.name)
}

fn attach(
    table: Option<&UpstreamEntry>,
    grant: AllowedRequest,
    request: &Subrequest<'_>,
) -> Result<AllowedRequest, Verdict> {
    let Some(table) = table.filter(|table| table.has_credentials()) else {
        return Ok(grant.with_upstream_authorization(SecretHeaderValue::empty()));
    };
    if grant.identity().is_none() && !table.is_anonymous_allowed {
        return Err(Verdict::Challenge(ChallengeReason::NoCredentials));
    }
    if let Some(identity) = grant.identity() {
        request.set_user(identity.user.as_bytes());
    }
    if !request.has_proxy_secret {
        return Err(Verdict::Forbid(Denied::ProxySecretMissing));
    }
    table
        .authorization()
        .map(|authorization| grant.with_upstream_authorization(authorization))
        .map_err(Verdict::NoUpstreamCredentials)
}

/// What a request is about.
fn upstream_subject<'r>(asked: Result<&RegistryRequest<'r>, &'static str>) -> UpstreamTarget<'r> {
    match asked {
        // A registry may read it as another reference, and a name as another name.
        Ok(RegistryRequest { malformed_reference: Some(malformed), .. }) => {
            UpstreamTarget::Ambiguous(malformed.message)
        }
        Ok(asked) => match asked.target {
            RegistryTarget::Ping => UpstreamTarget::Ping,
            RegistryTarget::Repository(name) => UpstreamTarget::Repository(name),
            RegistryTarget::Catalog => UpstreamTarget::Other,
        },
        Err(why) => UpstreamTarget::Ambiguous(why),
    }
}
