//! With which credentials a permitted request goes on to the upstream.
//!
//! They are chosen after the policy and for each request anew, so that what has expired, or was taken out of
//! the settings' files, is gone with the next one. Only a peer that may have them gets any; who may not is
//! refused rather than let through without, since a request without them is not the one that was meant. For
//! the same reason who has shown no credentials is challenged where there are some that are not for anyone.

use std::sync::Arc;

use super::credentials::Header;
use super::policy::registry::{Asked, Target};
use super::policy::rules::{Asking, Refused};
use super::policy::{Grant, asking, registry, site};
use super::verdict::{Denied, Refusal, Verdict};
use super::{Gate, Subrequest};
use crate::network::ClientNetwork;
use crate::upstream::authorization::Authorization;
use crate::upstream::{About, Permitted, Table, Upstreams};

/// Why a mount is refused whose source has other credentials than its target.
const ACROSS: &str = "it mounts from a repository for which the upstream wants other credentials";

impl Gate {
    /// Lets a permitted request go on.
    pub(super) fn send_on(&self, grant: Grant, request: &Subrequest<'_>) -> Verdict {
        let Some(upstreams) = &self.upstreams else { return Verdict::Allow(grant) };
        let sent = if upstreams.chooses() {
            asking(request)
                .map_err(Verdict::Forbid)
                .and_then(|asking| choose(upstreams, grant, &asking, request))
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
        // Its body is not judged any more.
        let content_type = match request.content_type {
            Header::Absent => Header::Once(b"ct:"),
            given => given,
        };
        let asking = asking(&Subrequest { content_type, ..*request }).ok()?;
        let host = site::host(asking.host).ok()?;
        let asked = read(&asking);
        let block = ClientNetwork::of(request.client().ok().flatten(), self.prefixes).block();
        upstreams.refused(&Permitted { host: &host, about: about(&asked) }, block).cloned()
    }
}

fn unclear(why: &'static str) -> Verdict {
    let refused = Refused { unreadable: Some(why), ..Refused::default() };
    Verdict::Forbid(Denied::NotPermitted(Box::new(refused)))
}

fn choose(
    upstreams: &Upstreams,
    grant: Grant,
    asking: &Asking<'_>,
    request: &Subrequest<'_>,
) -> Result<Grant, Verdict> {
    let host = site::host(asking.host).map_err(|_| Verdict::Forbid(Denied::Incomplete))?;
    let asked = read(asking);
    let of = |about| upstreams.choose(&Permitted { host: &host, about }).map_err(unclear);
    let table = of(about(&asked))?;
    let grant = match asked.as_ref().ok().and_then(|asked| Some((asked, asked.source.as_deref()?))) {
        Some((asked, source)) if !same(table, of(About::Repository(source))?) => {
            if !asking.rewrites {
                return Err(unclear(ACROSS));
            }
            grant.for_uri(asked.without_mount())
        }
        _ => grant,
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
    if !request.is_entitled {
        return Err(Verdict::Forbid(Denied::Unentitled));
    }
    table.authorization().map(|authorization| grant.with(authorization)).map_err(Verdict::NoCredentials)
}

fn read<'r>(asking: &Asking<'r>) -> Result<Asked<'r>, &'static str> {
    registry::read(asking.method, asking.uri, asking.content_type)
}

/// What a request is about.
pub fn about<'r>(asked: &Result<Asked<'r>, &'static str>) -> About<'r> {
    match asked {
        Ok(asked) => match asked.target {
            Target::Ping => About::Ping,
            Target::Repository(name) => About::Repository(name),
            Target::Catalog => About::Other,
        },
        Err(why) => About::Unclear(why),
    }
}
