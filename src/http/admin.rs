//! The private listener: `/metrics`, and `POST /flush`, which forgets cached answers.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::Front;
use super::peer::Peer;
use super::reply::{self, Fault};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `?user=`; anything else is an error, since a misspelt name must not flush everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flush {
    user: Option<String>,
}

fn front(request: &HttpRequest) -> Result<&Arc<Front>, Fault> {
    request.conn_data::<Peer>().filter(|peer| peer.trusted).ok_or(Fault::Untrusted)?;
    request.app_data::<Arc<Front>>().ok_or(Fault::NotConfigured)
}

/// The figures, in the OpenMetrics format.
pub(super) async fn metrics(request: HttpRequest) -> HttpResponse {
    let front = match front(&request) {
        Ok(front) => front,
        Err(fault) => return reply::fault(fault),
    };
    front.gate.measure();
    match front.metrics.encode() {
        Ok(text) => reply::text(true, OPEN_METRICS, text),
        Err(_) => reply::fault(Fault::NotConfigured),
    }
}

/// Forgets every cached answer, or one user's. 204 when it is done.
pub(super) async fn flush(request: HttpRequest) -> HttpResponse {
    let front = match front(&request) {
        Ok(front) => front,
        Err(fault) => return reply::fault(fault),
    };
    if request.method() != Method::POST {
        return reply::fault(Fault::Method);
    }
    let Ok(query) = web::Query::<Flush>::from_query(request.query_string()) else {
        return reply::fault(Fault::BadRequest);
    };
    // What was no UTF-8 can't be told any more: nobody's answers would be flushed, and 204 the answer.
    if query.user.as_deref().is_some_and(|user| user.contains('\u{fffd}')) {
        return reply::fault(Fault::BadRequest);
    }
    front.gate.flush(query.user.as_deref().map(str::as_bytes));
    match &query.user {
        Some(user) => tracing::info!(user = %user.escape_debug(), "cached answers of one user flushed"),
        None => tracing::info!("all cached answers flushed"),
    }
    reply::done()
}
