//! The HTTP layer: converts requests to values of the pipeline, and verdicts to responses. It makes no decision.
//!
//! Only this module and `server` use actix.

pub(crate) mod admin;
pub(crate) mod admin_access;
pub(crate) mod auth;
pub(crate) mod challenge;
pub(crate) mod health;
pub(crate) mod peer;
pub(crate) mod rate_limited_log;
pub(crate) mod response;
mod response_future;
pub(crate) mod service;
pub(crate) mod subrequest;
pub(crate) mod token;
mod token_request;
pub(crate) mod upstream_refused;
pub(crate) mod verdict_log;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use actix_web::web::{self, ServiceConfig};
use prometheus_client::metrics::counter::Counter;

use crate::clock::Clock;
use crate::dialect::Dialect;
use crate::metrics::{Metrics, VerdictLabel};
use crate::network::NetworkPrefixes;
use crate::pipeline::Pipeline;
use crate::pipeline::verdict::Reason;
use crate::reload::ReloadHandle;
use admin_access::AdminAccess;
use challenge::Challenge;
use health::Readiness;
use peer::ProxySecret;
use response::IdentityHeaders;
use verdict_log::VerdictLog;

/// State that all handlers share, created once.
pub(crate) struct AppState {
    /// The pipeline that evaluates requests.
    pub(crate) pipeline: Arc<Pipeline>,
    /// The challenge that `/auth` sends.
    pub(crate) challenge: Challenge,
    /// The challenge that `/token` sends. It requests a password.
    pub(crate) token_challenge: Challenge,
    /// The clock.
    pub(crate) clock: Clock,
    /// The parts of the identity headers that all responses share.
    pub(crate) identity_headers: IdentityHeaders,
    /// The log of verdicts.
    pub(crate) verdict_log: VerdictLog,
    /// The log of upstream responses that reject the upstream credentials. It has a budget of its own, so that a
    /// flood of wrong passwords does not hide them.
    pub(crate) upstream_refused_log: VerdictLog,
    /// The state that `/readyz` reports.
    pub(crate) readiness: Arc<Readiness>,
    /// The metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// The counter of allowed requests. It is looked up once, because every cached request increments it.
    pub(crate) allowed_counter: Counter,
    /// The prefix lengths of client networks, for the log.
    pub(crate) prefixes: NetworkPrefixes,
    /// Maximum length of a header value, in bytes.
    pub(crate) header_bytes_max: usize,
    /// True if allowed requests are logged.
    pub(crate) log_allowed: AtomicBool,
    /// The secret that every peer of `/auth` must present; `None` if no upstream has credentials.
    pub(crate) proxy_secret: Option<ProxySecret>,
    /// The dialects that `/auth` serves.
    pub(crate) dialects: Box<[Dialect]>,
    /// The access rules of the admin listener.
    pub(crate) admin_access: AdminAccess,
    /// The handle that polls all files at once; empty until the reload threads run.
    pub(crate) reload_handle: OnceLock<ReloadHandle>,
}

impl AppState {
    /// Creates a series for every verdict and reason, so that a rate can be computed from the first event on. Returns
    /// the counter of allowed requests.
    pub(crate) fn register_verdicts(metrics: &Metrics) -> Counter {
        for reason in Reason::ALL {
            drop(metrics.verdicts.get_or_create(&verdict_label(*reason)));
        }
        metrics.verdicts.get_or_create(&verdict_label(Reason::Allowed)).clone()
    }
}

impl AppState {
    /// Changes which verdicts are logged.
    pub(crate) fn set_log_limits(&self, allowed_requests: bool, denials_per_second: u32) {
        self.log_allowed.store(allowed_requests, Ordering::Relaxed);
        self.verdict_log.set_lines_per_second(denials_per_second);
        self.upstream_refused_log.set_lines_per_second(denials_per_second);
    }

    /// Returns whether allowed requests are logged.
    fn is_allowed_logged(&self) -> bool {
        self.log_allowed.load(Ordering::Relaxed)
    }
}

/// Returns the metric label of a verdict.
fn verdict_label(reason: Reason) -> VerdictLabel {
    VerdictLabel { verdict: reason.verdict_name(), reason: reason.name() }
}

/// Adds the routes of the public listener.
fn public_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/token").to(token::token))
        .service(web::resource("/jwks").to(token::jwks))
        .default_service(web::to(response::not_found));
}

/// Adds the routes of the admin listener.
fn admin_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/metrics").to(admin::metrics))
        .service(web::resource("/api-keys").to(admin::api_keys))
        .service(web::resource("/flush").to(admin::flush))
        .service(web::resource("/livez").to(health::livez))
        .service(web::resource("/readyz").to(health::readyz))
        .default_service(web::to(response::not_found));
}

/// Adds no routes: [`service`] compares the paths of the auth listener itself, exactly as they were sent.
fn auth_routes(config: &mut ServiceConfig) {
    config.default_service(web::to(response::not_found));
}
