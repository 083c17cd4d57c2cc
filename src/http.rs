//! The front: with `server.rs` the only code that knows actix. It turns requests into the gate's
//! terms and verdicts into answers, and decides nothing.

pub mod admin;
pub mod admin_access;
pub mod auth;
mod challenge;
pub mod health;
pub mod peer;
pub mod rate_limited_log;
pub mod response;
pub mod service;
pub mod subrequest;
pub mod token;
mod token_request;
pub mod upstream_refused;
pub mod verdict_log;

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
use health::Readiness;
use peer::ProxySecret;
use response::{Challenge, IdentityHeaders};
use verdict_log::VerdictLog;

/// What the handlers share, made once for all workers.
pub struct AppState {
    /// Who decides.
    pub pipeline: Arc<Pipeline>,
    /// The `WWW-Authenticate` of a challenge.
    pub challenge: Challenge,
    /// The same where tokens are asked for, which takes a password.
    pub token_challenge: Challenge,
    /// The time.
    pub clock: Clock,
    /// What the identity headers of all answers have in common.
    pub identity_headers: IdentityHeaders,
    /// Where refusals are logged.
    pub verdict_log: VerdictLog,
    /// Where it is logged that an upstream refused its credentials: apart, so that a flood of wrong passwords
    /// does not hide it.
    pub upstream_refused_log: VerdictLog,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Of the verdicts, those that admit: looked up once, since it is counted at each hit.
    pub allowed_counter: Counter,
    /// What makes a client network, for the log.
    pub prefixes: NetworkPrefixes,
    /// The longest value of a header that is read.
    pub header_bytes_max: usize,
    /// Whether allowed requests are logged.
    pub log_allowed: AtomicBool,
    /// Who may have the upstream's credentials, where there are any: nobody else may ask then.
    pub proxy_secret: Option<ProxySecret>,
    /// The dialects that are answered.
    pub dialects: Box<[Dialect]>,
    /// Which requests the admin listener serves.
    pub admin_access: AdminAccess,
    /// Asks for a look at all files; empty until their threads run.
    pub reload_handle: OnceLock<ReloadHandle>,
}

impl AppState {
    /// Starts a series for every verdict and reason, so that a rate can be computed from the first one on, and
    /// returns the counter of allowed requests.
    pub fn register_verdicts(metrics: &Metrics) -> Counter {
        for reason in Reason::ALL {
            drop(metrics.verdicts.get_or_create(&verdict_label(*reason)));
        }
        metrics.verdicts.get_or_create(&verdict_label(Reason::Allowed)).clone()
    }
}

impl AppState {
    /// Changes which verdicts are logged.
    pub fn set_log_limits(&self, allowed_requests: bool, denials_per_second: u32) {
        self.log_allowed.store(allowed_requests, Ordering::Relaxed);
        self.verdict_log.set_lines_per_second(denials_per_second);
        self.upstream_refused_log.set_lines_per_second(denials_per_second);
    }

    /// Returns whether allowed requests are logged.
    fn is_allowed_logged(&self) -> bool {
        self.log_allowed.load(Ordering::Relaxed)
    }
}

/// The label of a verdict in the metrics.
fn verdict_label(reason: Reason) -> VerdictLabel {
    VerdictLabel { verdict: reason.verdict_name(), reason: reason.name() }
}

/// The routes of the public listener.
fn public_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/token").to(token::token))
        .service(web::resource("/jwks").to(token::jwks))
        .default_service(web::to(response::not_found));
}

/// The routes of the admin listener.
fn admin_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/metrics").to(admin::metrics))
        .service(web::resource("/api-keys").to(admin::api_keys))
        .service(web::resource("/flush").to(admin::flush))
        .service(web::resource("/livez").to(health::livez))
        .service(web::resource("/readyz").to(health::readyz))
        .default_service(web::to(response::not_found));
}

/// The auth listener has no routes: [`service`] compares its paths itself, as they were sent.
fn auth_routes(config: &mut ServiceConfig) {
    config.default_service(web::to(response::not_found));
}
