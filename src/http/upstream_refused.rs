//! `/auth/refused`: the response to a client if the upstream answers 401 or 403. The client has presented valid
//! credentials to doorward. The upstream refused the credentials of doorward, which the client cannot change.
//!
//! ECR answers 403 to an expired token, so a refused token is fetched again.

use actix_http::Request;
use actix_web::HttpResponse;
use actix_web::http::header::HeaderName;

use super::AppState;
use super::peer::Peer;
use super::response;
use super::subrequest::{ReceivedSubrequest, single_header};
use super::verdict_log::line::header_for_log;
use crate::metrics::UpstreamLabel;
use crate::request::header::RequestHeader;
use crate::request::subrequest::Subrequest;

/// The header with the value of nginx's `$upstream_status`: the status of the refused request.
const X_UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-upstream-status");

/// Returns 503. A request with invalid proxy headers is not counted.
pub(super) fn handle_upstream_refused(state: &AppState, request: &Request) -> HttpResponse {
    let peer = request.conn_data::<Peer>();
    let received = ReceivedSubrequest::from_headers(state, &request.head().headers, peer);
    let Ok(subrequest) = received.for_token() else {
        return response::upstream_refused_response();
    };
    // Only a peer that presents the proxy secret can have used the upstream credentials.
    if subrequest.has_proxy_secret {
        let upstream = state.pipeline.report_upstream_refused(subrequest);
        let status = single_header(&request.head().headers, X_UPSTREAM_STATUS, state.header_bytes_max);
        log_upstream_refused(state, subrequest, status, upstream.as_deref().unwrap_or_default());
    }
    response::upstream_refused_response()
}

/// Counts the refused request, and logs it if the budget permits.
fn log_upstream_refused(
    state: &AppState,
    request: &Subrequest<'_>,
    status: RequestHeader<'_>,
    upstream: &str,
) {
    let label = UpstreamLabel { upstream: upstream.to_owned() };
    state.metrics.upstream_refused.get_or_create(&label).inc();
    let Some(suppressed) = state.upstream_refused_log.take_line() else { return };
    let path = header_for_log(request.uri);
    tracing::error!(
        reason = "upstream_refused",
        upstream,
        status = header_for_log(status),
        host = header_for_log(request.host),
        // A query can contain a token.
        path = path.split('?').next().unwrap_or_default(),
        suppressed,
        "upstream credentials refused"
    );
}
