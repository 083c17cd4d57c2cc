//! With which credentials a permitted request goes on to the upstream.
//!
//! They are chosen after the policy and for each request anew, so that what has expired, or was taken out of
//! the settings' files, is gone with the next one. If any upstream has credentials, the front refuses every peer
//! that does not show the proxy's secret before the gate is asked; here the same is checked once more. Who has
//! shown no credentials is challenged where there are some that are not for anyone.

use std::sync::Arc;

use super::Gate;
use super::challenge::Refusal;
use super::verdict::Verdict;
use crate::network::ClientNetwork;
use crate::policy::Grant;
use crate::policy::denial::Denied;
use crate::request::header::Header;
use crate::request::original::OriginalRequest;
use crate::request::registry::{Asked, Target};
use crate::request::subrequest::Subrequest;
use crate::request::subrequest::{HeaderFault, HeaderNames, Incomplete};
use crate::upstream::authorization::Authorization;
use crate::upstream::{About, Permitted, Table, Upstreams};

/// Why a mount is refused whose source has other credentials than its target.
const ACROSS: &str = "it mounts from a repository for which the upstream wants other credentials";

impl Gate {
    /// Lets a permitted request go on.
    pub(super) fn send_on(&self, grant: Grant, request: &Subrequest<'_>) -> Verdict {
        let Some(upstreams) = &self.upstreams else { return Verdict::Allow(grant) };
        let sent = if upstreams.chooses() {
            request
                .original()
                .map_err(Verdict::from)
                .and_then(|original| choose(upstreams, grant, original, request))
        } else {
            let all = Permitted { host: "", about: About::Other };
            upstreams.choose(&all).map_err(unclear).and_then(|table| equip(table, grant, request))
        };
        sent.map_or_else(|refusal| refusal, Verdict::Allow)
    }

    /// The upstream refused the credentials that a request went on with: its name, if there is one. Another
    /// token is fetched, where there is one to be had.
    pub fn refused_upstream(&self, request: &Subrequest<'_>) -> Option<Arc<str>> {
        let upstreams = self.upstreams.as_ref()?;
        let text = |header| match header {
            Header::Once(text) => std::str::from_utf8(text).ok(),
            Header::Absent | Header::Repeated | Header::Unreadable => None,
        };
        // Its body is not judged any more.
        let (method, uri, host) = (text(request.method)?, text(request.uri)?, text(request.host)?);
        let original = OriginalRequest::new(method, uri, host, "", request.backend);
        let about = about(original.registry());
        let block = ClientNetwork::of(request.client().ok().flatten(), self.prefixes).block();
        upstreams.refused(&Permitted { host: original.host().ok()?, about }, block).cloned()
    }
}

fn unclear(why: &'static str) -> Verdict {
    Verdict::Forbid(Denied::unreadable(why))
}

/// Returns the table for a permitted request, and the URI to ask the upstream for if it is another one.
///
/// # Errors
/// If it cannot be told which table that is.
pub fn select<'u>(
    upstreams: &'u Upstreams,
    request: &OriginalRequest<'_>,
) -> Result<(Option<&'u Table>, Option<String>), Denied> {
    let unreadable = Incomplete { header: HeaderNames::NGINX.host, fault: HeaderFault::Unreadable };
    let host = request.host().map_err(|_| Denied::Incomplete(unreadable))?;
    let asked = request.registry();
    let malformed = asked.ok().and_then(|asked| asked.malformed);
    let of = |about| {
        let unclear = |why| malformed.map_or_else(|| Denied::unreadable(why), Denied::malformed);
        upstreams.choose(&Permitted { host, about }).map_err(unclear)
    };
    let table = of(about(asked))?;
    match asked.ok().and_then(|asked| Some((asked, &*asked.source.as_ref()?.repository))) {
        Some((asked, source)) if !same(table, of(About::Repository(source))?) => {
            if !request.rewrites() {
                return Err(Denied::unreadable(ACROSS));
            }
            Ok((table, Some(asked.without_mount())))
        }
        Some(_) | None => Ok((table, None)),
    }
}

fn choose(
    upstreams: &Upstreams,
    grant: Grant,
    original: &OriginalRequest<'_>,
    request: &Subrequest<'_>,
) -> Result<Grant, Verdict> {
    let (table, uri) = select(upstreams, original).map_err(Verdict::Forbid)?;
    let grant = match uri {
        Some(uri) => grant.for_uri(uri),
        None => grant,
    };
    equip(table, grant, request)
}

fn same(one: Option<&Table>, other: Option<&Table>) -> bool {
    one.map(|table| &table.name) == other.map(|table| &table.name)
}

fn equip(table: Option<&Table>, grant: Grant, request: &Subrequest<'_>) -> Result<Grant, Verdict> {
    let Some(table) = table.filter(|table| table.has_credentials()) else {
        return Ok(grant.with(Authorization::none()));
    };
    if grant.identity().is_none() && !table.anyone {
        return Err(Verdict::Challenge(Refusal::Missing));
    }
    if let Some(identity) = grant.identity() {
        request.set_user(identity.user.as_bytes());
    }
    if !request.is_entitled {
        return Err(Verdict::Forbid(Denied::Unentitled));
    }
    table.authorization().map(|authorization| grant.with(authorization)).map_err(Verdict::NoCredentials)
}

/// What a request is about.
fn about<'r>(asked: Result<&Asked<'r>, &'static str>) -> About<'r> {
    match asked {
        // A registry may read it as another reference, and a name as another name.
        Ok(Asked { malformed: Some(malformed), .. }) => About::Unclear(malformed.why),
        Ok(asked) => match asked.target {
            Target::Ping => About::Ping,
            Target::Repository(name) => About::Repository(name),
            Target::Catalog => About::Other,
        },
        Err(why) => About::Unclear(why),
    }
}
