//! `/auth`: the question that nginx's `auth_request` asks. Any method; the body is never read.

use std::sync::Arc;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

use super::AppState;
use super::peer::Peer;
use super::response;
use super::response::Challenge;
use super::subrequest::{ReceivedSubrequest, echoed_request_id};
use crate::pipeline::Evaluation;
use crate::pipeline::check::PendingCheck;
use crate::pipeline::token::required_scopes;
use crate::pipeline::verdict::Verdict;
use crate::pipeline::worker_cache::WorkerCache;

/// The answer, or the check that has to be waited for.
pub(super) enum AuthResponse {
    /// It was at hand.
    Ready(Response<BoxBody>),
    /// A password has to be checked first.
    CheckNeeded(Box<PendingCheck>, Request),
}

/// Answers one subrequest as far as that can be done without waiting.
pub(super) fn evaluate(front: &AppState, memo: &mut WorkerCache, request: Request) -> AuthResponse {
    let check = {
        let received = read_subrequest(front, &request);
        let verdict = match received.for_auth() {
            Ok(subrequest) => match front.pipeline.evaluate(subrequest, memo) {
                Evaluation::Decided(verdict) => Ok(verdict),
                Evaluation::CheckNeeded(check) => Err(check),
            },
            Err(verdict) => Ok(verdict),
        };
        match verdict {
            Ok(verdict) => return AuthResponse::Ready(verdict_to_response(front, &received, &verdict)),
            Err(check) => check,
        }
    };
    AuthResponse::CheckNeeded(check, request)
}

/// Waits for a check, and answers.
pub(super) async fn finish_check(
    front: Arc<AppState>,
    check: Box<PendingCheck>,
    request: Request,
) -> Response<BoxBody> {
    let received = read_subrequest(&front, &request);
    let verdict = match received.for_auth() {
        Ok(subrequest) => check.evaluate(subrequest).await,
        Err(verdict) => verdict,
    };
    verdict_to_response(&front, &received, &verdict)
}

fn read_subrequest<'r>(front: &AppState, request: &'r Request) -> ReceivedSubrequest<'r> {
    ReceivedSubrequest::from_headers(front, &request.head().headers, request.conn_data::<Peer>())
}

fn verdict_to_response(
    front: &AppState,
    received: &ReceivedSubrequest<'_>,
    verdict: &Verdict,
) -> Response<BoxBody> {
    front.verdict_log.log_verdict(front, received, verdict);
    // A client asks for a token that permits what it could not do.
    let scope = match (verdict, &front.challenge) {
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
        &front.challenge,
        &front.identity_headers,
        scope.as_deref(),
        echoed_request_id(received.request_id),
    )
}
