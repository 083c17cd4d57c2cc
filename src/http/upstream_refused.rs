//! `/auth/refused`: what nginx shows in the place of an upstream's own 401 or 403. The client has shown good
//! credentials here; that those which doorward gave were not taken is nothing that it could mend.
//!
//! ECR says 403 of a token that has expired, so one that it does not take is fetched anew.

use actix_http::Request;
use actix_web::HttpResponse;
use actix_web::http::header::HeaderName;

use super::AppState;
use super::peer::Peer;
use super::response::{self, HandlerError};
use super::subrequest::{ReceivedSubrequest, single_header};
use super::verdict_log;
use crate::metrics::UpstreamLabel;
use crate::request::header::RequestHeader;
use crate::request::subrequest::Subrequest;

/// `$upstream_status`: of the request that was refused.
const X_UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-upstream-status");

/// Always 503, for a peer that may ask.
pub(super) fn handle_upstream_refused(front: &AppState, request: &Request) -> HttpResponse {
    let peer = request.conn_data::<Peer>();
    let received = ReceivedSubrequest::from_headers(front, &request.head().headers, peer);
    let Ok(subrequest) = received.for_token() else {
        return response::error_response(HandlerError::UntrustedPeer);
    };
    // Who may not have the credentials can't know that they were refused.
    if subrequest.has_proxy_secret {
        let upstream = front.pipeline.report_upstream_refused(subrequest);
        let status = single_header(&request.head().headers, X_UPSTREAM_STATUS, front.header_bytes_max);
        log_upstream_refused(front, subrequest, status, upstream.as_deref().unwrap_or_default());
    }
    response::upstream_refused_response()
}

/// Counts and logs it.
fn log_upstream_refused(
    front: &AppState,
    request: &Subrequest<'_>,
    status: RequestHeader<'_>,
    upstream: &str,
) {
    let label = UpstreamLabel { upstream: upstream.to_owned() };
    front.metrics.upstream_refused.get_or_create(&label).inc();
    let Some(suppressed) = front.upstream_refused_log.take_line() else { return };
    let path = verdict_log::header_for_log(request.uri);
    tracing::error!(
        upstream,
        status = verdict_log::header_for_log(status),
        host = verdict_log::header_for_log(request.host),
        // A query may hold somebody's token.
        path = path.split('?').next().unwrap_or_default(),
        suppressed,
        "the upstream refused its credentials"
    );
}
