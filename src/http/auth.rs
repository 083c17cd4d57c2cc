//! `/auth`: the question that nginx's `auth_request` asks. Any method; the body is never read.

use std::sync::Arc;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::Response;

use super::peer::Peer;
use super::reply::Challenge;
use super::subrequest::Headers;
use super::{Front, reply};
use crate::gate::check::Check;
use crate::gate::memo::Memo;
use crate::gate::token::needed;
use crate::gate::verdict::{Denied, Verdict};
use crate::gate::{Opened, Subrequest};

/// The answer, or the check that has to be waited for.
pub(super) enum Answer {
    /// It was at hand.
    Ready(Response<BoxBody>),
    /// A password has to be checked first.
    Later(Box<Check>, Request),
}

/// Answers one subrequest as far as that can be done without waiting.
pub(super) fn open(front: &Front, memo: &mut Memo, request: Request) -> Answer {
    let subrequest = read(front, &request, front.reads_request);
    let verdict = match subrequest.map(|subrequest| front.gate.open(&subrequest, memo)) {
        Ok(Opened::Checking(check)) => return Answer::Later(check, request),
        Ok(Opened::Settled(verdict)) => verdict,
        Ok(Opened::Scoped(identity)) => match read(front, &request, true) {
            Ok(subrequest) => front.gate.admit(identity, &subrequest),
            Err(denied) => Verdict::Forbid(denied),
        },
        Err(denied) => Verdict::Forbid(denied),
    };
    Answer::Ready(close(front, &request, &verdict))
}

/// Waits for a check, and answers.
pub(super) async fn wait(front: Arc<Front>, check: Box<Check>, request: Request) -> Response<BoxBody> {
    let verdict = match read(&front, &request, front.reads_request) {
        Ok(subrequest) => check.verdict(&subrequest).await,
        Err(denied) => Verdict::Forbid(denied),
    };
    close(&front, &request, &verdict)
}

fn read<'r>(front: &'r Front, request: &'r Request, for_policy: bool) -> Result<Subrequest<'r>, Denied> {
    Headers::of(front, request).subrequest(request.conn_data::<Peer>(), for_policy)
}

fn close(front: &Front, request: &Request, verdict: &Verdict) -> Response<BoxBody> {
    front.refusals.note(front, request, verdict);
    let headers = Headers::of(front, request);
    // A client asks for a token that permits what it could not do.
    let scope = match (verdict, &front.challenge) {
        (Verdict::Challenge(_), Challenge::Bearer(_)) => {
            read(front, request, true).ok().and_then(|subrequest| needed(&subrequest))
        }
        _ => None,
    };
    reply::reply(verdict, &front.challenge, &front.facts, scope.as_deref(), headers.request_id())
}
