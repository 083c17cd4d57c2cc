//! The handlers of the admin listener: `/metrics`, `/api-keys` (the usage of each API key), and `POST /flush`, which
//! evicts cached answers.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::AppState;
use super::admin_access::AdminAccessError;
use super::peer::Peer;
use super::response::{self, APPLICATION_JSON, HandlerError, TEXT_PLAIN};
use crate::authn::api_key::file::ApiKeyRecord;
use crate::reload::RELOAD_DELAY_MAX;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Maximum time that a flush waits for file changes: the longest reload, and one second for threads that wait for a
/// core.
const RELOAD_TIMEOUT: Duration = RELOAD_DELAY_MAX.saturating_add(Duration::from_secs(1));

/// The query of `/flush`. Any parameter other than `user` is an error, because a misspelled name must not flush
/// everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlushQuery {
    user: Option<String>,
}

/// Returns the shared state if the peer can read metrics.
fn authorize_monitor(request: &HttpRequest) -> Result<&Arc<AppState>, HandlerError> {
    let state = request.app_data::<Arc<AppState>>().ok_or(HandlerError::Internal)?;
    let checked = state.admin_access.check_peer(request.conn_data::<Peer>());
    checked.map_err(|error| log_and_reject(state, request, error))?;
    Ok(state)
}

/// Returns the shared state if the peer can change state and read user names.
fn authorize_admin(request: &HttpRequest) -> Result<&Arc<AppState>, HandlerError> {
    let state = request.app_data::<Arc<AppState>>().ok_or(HandlerError::Internal)?;
    let checked = state.admin_access.check_admin(request.conn_data::<Peer>(), request.headers());
    checked.map_err(|error| log_and_reject(state, request, error))?;
    Ok(state)
}

fn log_and_reject(state: &AppState, request: &HttpRequest, error: AdminAccessError) -> HandlerError {
    state.metrics.admin_requests_rejected.inc();
    state.admin_access.log_rejection(error, request.conn_data::<Peer>(), request.path());
    HandlerError::AdminAccess(error)
}

/// Returns the metrics in the OpenMetrics format.
pub(super) async fn metrics(request: HttpRequest) -> HttpResponse {
    let state = match authorize_monitor(&request) {
        Ok(state) => state,
        Err(error) => return response::error_response(error),
    };
    state.pipeline.update_gauges();
    match state.metrics.encode() {
        Ok(text) => response::text_response(true, OPEN_METRICS, text),
        Err(_) => response::error_response(HandlerError::Internal),
    }
}

/// An API key that was used since the start.
#[derive(Debug, Serialize)]
struct ApiKeyUsage<'k> {
    id: String,
    owner: String,
    name: &'k str,
    use_count: u64,
    /// Time of the last use, in seconds since 1970.
    last_used_at: u64,
}

/// Returns the usage of each API key as JSON.
pub(super) async fn api_keys(request: HttpRequest) -> HttpResponse {
    let state = match authorize_admin(&request) {
        Ok(state) => state,
        Err(error) => return response::error_response(error),
    };
    let Some(file) = state.pipeline.api_keys() else {
        return response::error_response(HandlerError::NotFound);
    };
    let used =
        |record: &'_ ApiKeyRecord| record.identity.api_key.as_ref().is_some_and(|key| key.usage.count() > 0);
    let usages = file.records().filter(|record| used(record)).filter_map(|record| {
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
    match serde_json::to_string(&usages.collect::<Vec<_>>()) {
        Ok(json) => response::text_response(true, APPLICATION_JSON, json),
        Err(_) => response::error_response(HandlerError::Internal),
    }
}

/// Polls all files, then evicts every cached answer, or the answers of one user.
///
/// Returns 204 if the current content of all files is in force. Returns 503 if the answers were evicted, but the
/// content of a file on disk is not in force.
pub(super) async fn flush(request: HttpRequest) -> HttpResponse {
    let state = match authorize_admin(&request) {
        Ok(state) => state,
        Err(error) => return response::error_response(error),
    };
    if request.method() != Method::POST {
        return response::error_response(HandlerError::MethodNotAllowed);
    }
    let Ok(query) = web::Query::<FlushQuery>::from_query(request.query_string()) else {
        return response::error_response(HandlerError::BadRequest);
    };
    // The query parser replaces bytes that are not UTF-8. No user has such a name, so 204 would report a flush that
    // evicted nothing. An empty name matches no user either.
    if query.user.as_deref().is_some_and(|user| user.is_empty() || user.contains('\u{fffd}')) {
        return response::error_response(HandlerError::BadRequest);
    }
    // The old content of a file must not admit a user who was removed from the file a moment ago.
    let is_settled = match state.reload_handle.get() {
        Some(handle) => handle.poll_and_wait(RELOAD_TIMEOUT).await,
        None => false,
    };
    state.pipeline.flush(query.user.as_deref().map(str::as_bytes));
    match &query.user {
        Some(user) => tracing::info!(user = %user.escape_debug(), "cached answers flushed"),
        None => tracing::info!("all cached answers flushed"),
    }
    match (state.readiness.outdated_file_reason(), is_settled) {
        (None, true) => response::no_content_response(),
        (outdated_file, _) => {
            let why = outdated_file
                .unwrap_or_else(|| "a file is being changed, or reading it takes too long".to_owned());
            response::text_response(
                false,
                TEXT_PLAIN,
                format!("flushed, but not every change on disk is in force: {why}\n"),
            )
        }
    }
}
