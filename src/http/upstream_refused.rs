//! `/auth/refused`: what nginx shows in the place of an upstream's own 401 or 403. The client has shown good
//! credentials here; that those which doorward gave were not taken is nothing that it could mend.
//!
//! ECR says 403 of a token that has expired, so one that it does not take is fetched anew.

use actix_http::Request;
use actix_web::HttpResponse;
use actix_web::http::header::HeaderName;

use super::peer::Peer;
use super::reply::{self, Fault};
use super::subrequest::{Received, one};
use super::{Front, refusals};
use crate::metrics::UpstreamLabel;
use crate::request::header::Header;
use crate::request::subrequest::Subrequest;

/// `$upstream_status`: of the request that was refused.
const X_UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-upstream-status");

/// Always 503, for a peer that may ask.
pub(super) fn refused(front: &Front, request: &Request) -> HttpResponse {
    let peer = request.conn_data::<Peer>();
    let received = Received::read(front, &request.head().headers, peer);
    let Ok(subrequest) = received.for_token() else { return reply::fault(Fault::Untrusted) };
    // Who may not have the credentials can't know that they were refused.
    if subrequest.is_entitled {
        let upstream = front.gate.refused_upstream(subrequest);
        let status = one(&request.head().headers, X_UPSTREAM_STATUS, front.header_bytes);
        note(front, subrequest, status, upstream.as_deref().unwrap_or_default());
    }
    reply::refused()
}

/// Counts and logs it.
fn note(front: &Front, request: &Subrequest<'_>, status: Header<'_>, upstream: &str) {
    let label = UpstreamLabel { upstream: upstream.to_owned() };
    front.metrics.upstream_refused.get_or_create(&label).inc();
    let Some(suppressed) = front.refused.take() else { return };
    let path = refusals::shown_header(request.uri);
    tracing::error!(
        upstream,
        status = refusals::shown_header(status),
        host = refusals::shown_header(request.host),
        // A query may hold somebody's token.
        path = path.split('?').next().unwrap_or_default(),
        suppressed,
        "the upstream refused its credentials"
    );
}
