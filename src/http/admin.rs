//! The admin listener: `/metrics`, `/keys`, which tells how each was used, and `POST /flush`, which
//! forgets cached answers.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::AppState;
use super::admin_access::AdminAccessError;
use super::peer::Peer;
use super::response::{self, HandlerError};
use crate::authn::api_key::file::ApiKeyRecord;
use crate::reload::RELOAD_DELAY_MAX;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PLAIN: &str = "text/plain; charset=utf-8";

const JSON: &str = "application/json";

/// How long a flush waits for changes of files: as long as one may take, and a second for threads that wait for a core.
const RELOAD_TIMEOUT: Duration = RELOAD_DELAY_MAX.saturating_add(Duration::from_secs(1));

/// `?user=`; anything else is an error, since a misspelt name must not flush everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlushQuery {
    user: Option<String>,
}

/// For a peer that may read figures.
fn authorize_monitor(request: &HttpRequest) -> Result<&Arc<AppState>, HandlerError> {
    let front = request.app_data::<Arc<AppState>>().ok_or(HandlerError::Internal)?;
    let checked = front.admin_access.check_peer(request.conn_data::<Peer>());
    checked.map_err(|refusal| log_and_reject(front, request, refusal))?;
    Ok(front)
}

/// For a peer that may change state and read names.
fn authorize_admin(request: &HttpRequest) -> Result<&Arc<AppState>, HandlerError> {
    let front = request.app_data::<Arc<AppState>>().ok_or(HandlerError::Internal)?;
    let checked = front.admin_access.check_admin(request.conn_data::<Peer>(), request.headers());
    checked.map_err(|refusal| log_and_reject(front, request, refusal))?;
    Ok(front)
}

fn log_and_reject(front: &AppState, request: &HttpRequest, refusal: AdminAccessError) -> HandlerError {
    front.metrics.admin_requests_rejected.inc();
    front.admin_access.log_rejection(refusal, request.conn_data::<Peer>(), request.path());
    HandlerError::AdminAccess(refusal)
}

/// The figures, in the OpenMetrics format.
pub(super) async fn metrics(request: HttpRequest) -> HttpResponse {
    let front = match authorize_monitor(&request) {
        Ok(front) => front,
        Err(fault) => return response::error_response(fault),
    };
    front.pipeline.update_gauges();
    match front.metrics.encode() {
        Ok(text) => response::text_response(true, OPEN_METRICS, text),
        Err(_) => response::error_response(HandlerError::Internal),
    }
}

/// One key that was used since the start.
#[derive(Debug, Serialize)]
struct ApiKeyUsage<'k> {
    id: String,
    owner: String,
    name: &'k str,
    use_count: u64,
    /// In seconds since 1970.
    last_used_at: u64,
}

/// How each key was used, as JSON.
pub(super) async fn api_keys(request: HttpRequest) -> HttpResponse {
    let front = match authorize_admin(&request) {
        Ok(front) => front,
        Err(fault) => return response::error_response(fault),
    };
    let Some(file) = front.pipeline.api_keys() else {
        return response::error_response(HandlerError::NotFound);
    };
    let used =
        |record: &'_ ApiKeyRecord| record.identity.api_key.as_ref().is_some_and(|key| key.usage.count() > 0);
    let told = file.records().filter(|record| used(record)).filter_map(|record| {
        let key = record.identity.api_key.as_ref()?;
        let (use_count, last_used_at) = (key.usage.count(), key.usage.last_used_at());
        Some(ApiKeyUsage {
            id: key.id.to_string(),
            owner: record.identity.user.to_string(),
            name: &key.name,
            use_count,
            last_used_at,
        })
    });
    match serde_json::to_string(&told.collect::<Vec<_>>()) {
        Ok(json) => response::text_response(true, JSON, json),
        Err(_) => response::error_response(HandlerError::Internal),
    }
}

/// Has all files looked at, and forgets every cached answer, or one user's. 204 when it is done; 503 if it is done, and
/// some file is in force otherwise than it is on disk.
pub(super) async fn flush(request: HttpRequest) -> HttpResponse {
    let front = match authorize_admin(&request) {
        Ok(front) => front,
        Err(fault) => return response::error_response(fault),
    };
    if request.method() != Method::POST {
        return response::error_response(HandlerError::MethodNotAllowed);
    }
    let Ok(query) = web::Query::<FlushQuery>::from_query(request.query_string()) else {
        return response::error_response(HandlerError::BadRequest);
    };
    // What was no UTF-8 can't be told any more: nobody's answers would be flushed, and 204 the answer. An empty
    // name is nobody's either.
    if query.user.as_deref().is_some_and(|user| user.is_empty() || user.contains('\u{fffd}')) {
        return response::error_response(HandlerError::BadRequest);
    }
    // A user who was taken out of a file a moment ago must not be let in by what was in force of it.
    let is_settled = match front.reload_handle.get() {
        Some(looks) => looks.poll_and_wait(RELOAD_TIMEOUT).await,
        None => false,
    };
    front.pipeline.flush(query.user.as_deref().map(str::as_bytes));
    match &query.user {
        Some(user) => tracing::info!(user = %user.escape_debug(), "cached answers of one user flushed"),
        None => tracing::info!("all cached answers flushed"),
    }
    match (front.readiness.outdated_file_reason(), is_settled) {
        (None, true) => response::no_content_response(),
        (stale, _) => {
            let why = stale.unwrap_or_else(|| "a file changes, or a look at it takes too long".to_owned());
            response::text_response(
                false,
                PLAIN,
                format!("flushed, but what is on disk is not all in force: {why}\n"),
            )
        }
    }
}
