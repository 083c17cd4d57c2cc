//! The front: with `server.rs` the only code that knows actix. It turns requests into the gate's
//! terms and verdicts into answers, and decides nothing.

pub mod admin;
pub mod auth;
pub mod peer;
pub mod probe;
pub mod refusals;
pub mod reply;
pub mod service;
pub mod subrequest;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use prometheus_client::metrics::counter::Counter;

use crate::gate::Gate;
use crate::metrics::{Metrics, VerdictLabel};
use crate::network::Prefixes;
use probe::Readiness;
use refusals::RefusalLog;
use reply::{Challenge, FactHeaders};

/// What the handlers share, made once for all workers.
pub struct Front {
    /// Who decides.
    pub gate: Arc<Gate>,
    /// The `WWW-Authenticate` of a challenge.
    pub challenge: Challenge,
    /// In which headers facts go.
    pub facts: FactHeaders,
    /// Where refusals are logged.
    pub refusals: RefusalLog,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Of the verdicts, those that admit: looked up once, since it is counted at each hit.
    pub allowed: Counter,
    /// What makes a client network, for the log.
    pub prefixes: Prefixes,
    /// The longest value of a header that is read.
    pub header_bytes: usize,
    /// Whether allowed requests are logged.
    pub log_allowed: bool,
    /// Whether there is a policy, which has to know what the client asks for. It may change, but not
    /// come and go.
    pub has_policy: bool,
}

impl Front {
    /// The counter of allowed requests among `metrics`.
    pub fn allowed_counter(metrics: &Metrics) -> Counter {
        metrics.verdicts.get_or_create(&VerdictLabel { verdict: "allow", reason: "" }).clone()
    }
}

/// The routes of the listener that nginx asks, besides `/auth`; see [`service`].
fn public_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/livez").to(probe::livez))
        .service(web::resource("/readyz").to(probe::readyz))
        .default_service(web::to(reply::not_found));
}

/// The routes of the private listener.
fn admin_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/metrics").to(admin::metrics))
        .service(web::resource("/keys").to(admin::keys))
        .service(web::resource("/flush").to(admin::flush))
        .service(web::resource("/livez").to(probe::livez))
        .service(web::resource("/readyz").to(probe::readyz))
        .default_service(web::to(reply::not_found));
}
