//! `/auth`: the question that nginx's `auth_request` asks. Any method; the body is never read.

use std::sync::Arc;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

use super::peer::Peer;
use super::reply::Challenge;
use super::subrequest::{Received, echo};
use super::{Front, reply};
use crate::pipeline::Opened;
use crate::pipeline::check::Check;
use crate::pipeline::token::needed;
use crate::pipeline::verdict::Verdict;
use crate::pipeline::worker_cache::Memo;

/// The answer, or the check that has to be waited for.
pub(super) enum Answer {
    /// It was at hand.
    Ready(Response<BoxBody>),
    /// A password has to be checked first.
    Later(Box<Check>, Request),
}

/// Answers one subrequest as far as that can be done without waiting.
pub(super) fn open(front: &Front, memo: &mut Memo, request: Request) -> Answer {
    let check = {
        let received = read(front, &request);
        let verdict = match received.for_auth() {
            Ok(subrequest) => match front.gate.open(subrequest, memo) {
                Opened::Settled(verdict) => Ok(verdict),
                Opened::Checking(check) => Err(check),
            },
            Err(verdict) => Ok(verdict),
        };
        match verdict {
            Ok(verdict) => return Answer::Ready(close(front, &received, &verdict)),
            Err(check) => check,
        }
    };
    Answer::Later(check, request)
}

/// Waits for a check, and answers.
pub(super) async fn wait(front: Arc<Front>, check: Box<Check>, request: Request) -> Response<BoxBody> {
    let received = read(&front, &request);
    let verdict = match received.for_auth() {
        Ok(subrequest) => check.verdict(subrequest).await,
        Err(verdict) => verdict,
    };
    close(&front, &received, &verdict)
}

fn read<'r>(front: &Front, request: &'r Request) -> Received<'r> {
    Received::read(front, &request.head().headers, request.conn_data::<Peer>())
}

fn close(front: &Front, received: &Received<'_>, verdict: &Verdict) -> Response<BoxBody> {
    front.refusals.note(front, received, verdict);
    // A client asks for a token that permits what it could not do.
    let scope = match (verdict, &front.challenge) {
        (Verdict::Challenge(_), Challenge::Bearer(_)) => needed(&received.subrequest),
        (Verdict::Challenge(_), Challenge::Basic(_))
        | (
            Verdict::Allow(_)
            | Verdict::Forbid(_)
            | Verdict::Limited(_)
            | Verdict::Unavailable(_)
            | Verdict::NoCredentials(_),
            _,
        ) => None,
    };
    reply::reply(
        verdict,
        &front.challenge,
        &front.identity_headers,
        scope.as_deref(),
        echo(received.request_id),
    )
}
