//! The admin listener: `/metrics`, `/keys`, which tells how each was used, and `POST /flush`, which
//! forgets cached answers.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::Front;
use super::access::AdminRefusal;
use super::peer::Peer;
use super::reply::{self, Fault};
use crate::authn::api_key::file::Record;
use crate::reload::IN_FORCE_WITHIN;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PLAIN: &str = "text/plain; charset=utf-8";

const JSON: &str = "application/json";

/// How long a flush waits for changes of files: as long as one may take, and a second for threads that wait for a core.
const LOOKS_WITHIN: Duration = IN_FORCE_WITHIN.saturating_add(Duration::from_secs(1));

/// `?user=`; anything else is an error, since a misspelt name must not flush everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flush {
    user: Option<String>,
}

/// For a peer that may read figures.
fn for_monitor(request: &HttpRequest) -> Result<&Arc<Front>, Fault> {
    let front = request.app_data::<Arc<Front>>().ok_or(Fault::NotConfigured)?;
    let checked = front.admin.check_peer(request.conn_data::<Peer>());
    checked.map_err(|refusal| refuse(front, request, refusal))?;
    Ok(front)
}

/// For a peer that may change state and read names.
fn for_admin(request: &HttpRequest) -> Result<&Arc<Front>, Fault> {
    let front = request.app_data::<Arc<Front>>().ok_or(Fault::NotConfigured)?;
    let checked = front.admin.check_admin(request.conn_data::<Peer>(), request.headers());
    checked.map_err(|refusal| refuse(front, request, refusal))?;
    Ok(front)
}

fn refuse(front: &Front, request: &HttpRequest, refusal: AdminRefusal) -> Fault {
    front.metrics.admin_refused.inc();
    front.admin.note(refusal, request.conn_data::<Peer>(), request.path());
    Fault::Admin(refusal)
}

/// The figures, in the OpenMetrics format.
pub(super) async fn metrics(request: HttpRequest) -> HttpResponse {
    let front = match for_monitor(&request) {
        Ok(front) => front,
        Err(fault) => return reply::fault(fault),
    };
    front.gate.measure();
    match front.metrics.encode() {
        Ok(text) => reply::text(true, OPEN_METRICS, text),
        Err(_) => reply::fault(Fault::NotConfigured),
    }
}

/// One key that was used since the start.
#[derive(Debug, Serialize)]
struct Used<'k> {
    id: String,
    owner: String,
    name: &'k str,
    uses: u64,
    /// In seconds since 1970.
    last_use: u64,
}

/// How each key was used, as JSON.
pub(super) async fn keys(request: HttpRequest) -> HttpResponse {
    let front = match for_admin(&request) {
        Ok(front) => front,
        Err(fault) => return reply::fault(fault),
    };
    let Some(file) = front.gate.keys() else { return reply::fault(Fault::NotFound) };
    let used = |record: &'_ Record| record.identity.key.as_ref().is_some_and(|key| key.uses.count() > 0);
    let told = file.records().filter(|record| used(record)).filter_map(|record| {
        let key = record.identity.key.as_ref()?;
        let (uses, last_use) = (key.uses.count(), key.uses.last());
        Some(Used {
            id: key.id.to_string(),
            owner: record.identity.user.to_string(),
            name: &key.name,
            uses,
            last_use,
        })
    });
    match serde_json::to_string(&told.collect::<Vec<_>>()) {
        Ok(json) => reply::text(true, JSON, json),
        Err(_) => reply::fault(Fault::NotConfigured),
    }
}

/// Has all files looked at, and forgets every cached answer, or one user's. 204 when it is done; 503 if it is done, and
/// some file is in force otherwise than it is on disk.
pub(super) async fn flush(request: HttpRequest) -> HttpResponse {
    let front = match for_admin(&request) {
        Ok(front) => front,
        Err(fault) => return reply::fault(fault),
    };
    if request.method() != Method::POST {
        return reply::fault(Fault::Method);
    }
    let Ok(query) = web::Query::<Flush>::from_query(request.query_string()) else {
        return reply::fault(Fault::BadRequest);
    };
    // What was no UTF-8 can't be told any more: nobody's answers would be flushed, and 204 the answer. An empty
    // name is nobody's either.
    if query.user.as_deref().is_some_and(|user| user.is_empty() || user.contains('\u{fffd}')) {
        return reply::fault(Fault::BadRequest);
    }
    // A user who was taken out of a file a moment ago must not be let in by what was in force of it.
    let is_settled = match front.looks.get() {
        Some(looks) => looks.settle(LOOKS_WITHIN).await,
        None => false,
    };
    front.gate.flush(query.user.as_deref().map(str::as_bytes));
    match &query.user {
        Some(user) => tracing::info!(user = %user.escape_debug(), "cached answers of one user flushed"),
        None => tracing::info!("all cached answers flushed"),
    }
    match (front.readiness.stale_file(), is_settled) {
        (None, true) => reply::done(),
        (stale, _) => {
            let why = stale.unwrap_or_else(|| "a file changes, or a look at it takes too long".to_owned());
            reply::text(false, PLAIN, format!("flushed, but what is on disk is not all in force: {why}\n"))
        }
    }
}
