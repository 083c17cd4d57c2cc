//! `/auth`: the question that nginx's `auth_request` asks. Any method; the body is never read.

use actix_web::{HttpRequest, HttpResponse};

use super::{Front, reply, subrequest};
use crate::gate::verdict::Verdict;

/// Answers one subrequest.
pub(super) async fn auth(request: HttpRequest) -> HttpResponse {
    let Some(front) = request.app_data::<std::sync::Arc<Front>>() else {
        return reply::fault(reply::Fault::NotConfigured);
    };
    if head_bytes(&request) > front.header_bytes {
        return reply::fault(reply::Fault::HeadTooLarge);
    }
    let verdict = match subrequest::read(&request) {
        Ok(subrequest) => front.gate.judge(&subrequest).await,
        Err(denied) => Verdict::Forbid(denied),
    };
    front.refusals.note(front, &request, &verdict);
    reply::reply(&verdict, &front.challenge, request.headers().get(subrequest::X_REQUEST_ID))
}

/// The bytes of the request's headers, names and values.
fn head_bytes(request: &HttpRequest) -> usize {
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
