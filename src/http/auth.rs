//! `/auth`, the target of nginx's `auth_request`. It accepts any method, and never reads the body.

use std::sync::Arc;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

use super::AppState;
use super::challenge::Challenge;
use super::peer::Peer;
use super::response;
use super::subrequest::{ReceivedSubrequest, echoed_request_id};
use crate::pipeline::Evaluation;
use crate::pipeline::check::PendingCheck;
use crate::pipeline::token::required_scopes;
use crate::pipeline::verdict::Verdict;
use crate::pipeline::worker_cache::WorkerCache;

/// The response, or the check that must finish first.
pub(super) enum AuthResponse {
    /// The response, available without waiting.
    Ready(Response<BoxBody>),
    /// An authenticator must check the credentials first.
    CheckNeeded(Box<PendingCheck>, Request),
}

/// Evaluates a subrequest as far as possible without waiting.
pub(super) fn evaluate(state: &AppState, worker_cache: &mut WorkerCache, request: Request) -> AuthResponse {
    let check = {
        let received = read_subrequest(state, &request);
        let verdict = match received.for_auth() {
            Ok(subrequest) => match state.pipeline.evaluate(subrequest, worker_cache) {
                Evaluation::Decided(verdict) => Ok(verdict),
                Evaluation::CheckNeeded(check) => Err(check),
            },
            Err(verdict) => Ok(verdict),
        };
        match verdict {
            Ok(verdict) => return AuthResponse::Ready(verdict_to_response(state, &received, &verdict)),
            Err(check) => check,
        }
    };
    AuthResponse::CheckNeeded(check, request)
}

/// Waits for a check, and returns the response.
pub(super) async fn finish_check(
    state: Arc<AppState>,
    check: Box<PendingCheck>,
    request: Request,
) -> Response<BoxBody> {
    let received = read_subrequest(&state, &request);
    let verdict = match received.for_auth() {
        Ok(subrequest) => check.evaluate(subrequest).await,
        Err(verdict) => verdict,
    };
    verdict_to_response(&state, &received, &verdict)
}

fn read_subrequest<'r>(state: &AppState, request: &'r Request) -> ReceivedSubrequest<'r> {
    ReceivedSubrequest::from_headers(state, &request.head().headers, request.conn_data::<Peer>())
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
