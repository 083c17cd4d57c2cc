//! `/auth`, the target of nginx's `auth_request`. It accepts any method, and never reads the body.

use std::sync::Arc;

use actix_http::Request;
use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

use super::AppState;
use super::challenge::Challenge;
use super::peer::Peer;
use super::response;
use super::response_future::ResponseFuture;
use super::subrequest::{ReceivedSubrequest, echoed_request_id};
use crate::pipeline::Evaluation;
use crate::pipeline::check::PendingCheck;
use crate::pipeline::token::required_scopes;
use crate::pipeline::verdict::Verdict;
use crate::pipeline::worker_cache::WorkerCache;

/// Evaluates a subrequest from `peer`. The response is available at once, unless an authenticator must check the
/// credentials first.
pub(super) fn evaluate(
    state: &Arc<AppState>,
    worker_cache: &mut WorkerCache,
    peer: Peer,
    request: Request,
) -> ResponseFuture {
    let received = ReceivedSubrequest::from_headers(state, &request.head().headers, Some(&peer));
    let verdict = match received.for_auth() {
        Ok(subrequest) => match state.pipeline.evaluate(subrequest, worker_cache) {
            Evaluation::Decided(verdict) => verdict,
            Evaluation::CheckNeeded(check) => {
                let answer = finish_check(Arc::clone(state), check, peer, request);
                return ResponseFuture::Pending(Box::pin(answer));
            }
        },
        Err(verdict) => verdict,
    };
    ResponseFuture::ready(verdict_to_response(state, &received, &verdict))
}

/// Waits for a check, and returns the response.
async fn finish_check(
    state: Arc<AppState>,
    check: Box<PendingCheck>,
    peer: Peer,
    request: Request,
) -> Result<Response<BoxBody>, Error> {
    let received = ReceivedSubrequest::from_headers(&state, &request.head().headers, Some(&peer));
    let verdict = match received.for_auth() {
        Ok(subrequest) => check.evaluate(subrequest).await,
        Err(verdict) => verdict,
    };
    Ok(verdict_to_response(&state, &received, &verdict))
}

fn verdict_to_response(
    state: &AppState,
    received: &ReceivedSubrequest<'_>,
    verdict: &Verdict,
) -> Response<BoxBody> {
    state.verdict_log.log_verdict(state, received, verdict);
    // The challenge names the scope that the client must request to be allowed.
    let scope = match (verdict, &state.challenge) {
        (Verdict::Challenge(_), Challenge::Bearer(_)) => required_scopes(&received.subrequest),
        (Verdict::Challenge(_), Challenge::Basic(_))
        | (
            Verdict::Allow(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoUpstreamCredentials(_),
            _,
        ) => None,
    };
    response::verdict_response(
        verdict,
        &state.challenge,
        &state.identity_headers,
        scope.as_deref(),
        echoed_request_id(received.request_id),
    )
}
