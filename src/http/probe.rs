//! `/livez` and `/readyz`, for those who start, stop and balance.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpRequest, HttpResponse};

use super::reply;
use crate::authn::http::Service;
use crate::watch::Freshness;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Whether requests should be sent here.
pub struct Readiness {
    draining: AtomicBool,
    /// Of each file that is reloaded.
    files: Vec<Arc<Freshness>>,
    services: Vec<Arc<Service>>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("draining", &self.draining).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Ready: there is no listener before the first load.
    pub fn new(files: Vec<Arc<Freshness>>, services: Vec<Arc<Service>>) -> Self {
        Self { draining: AtomicBool::new(false), files, services }
    }

    /// What is not as it should be, though requests can be answered.
    fn degraded(&self) -> Option<String> {
        let file = self.files.iter().find_map(|file| file.degraded());
        let down = || self.services.iter().find(|service| service.is_down());
        file.map(|why| format!("{why}; the last good one is in force"))
            .or_else(|| down().map(|service| format!("authenticator {} is down", service.name())))
    }

    /// From now on, 503.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

/// 200 as long as the process answers at all.
pub(super) async fn livez() -> HttpResponse {
    reply::text(true, PLAIN, "alive\n".into())
}

/// 503 while draining, else 200; "degraded" in the body where the last good file is in force, or an
/// authenticator was down when it was last asked. A 503 for that would take every replica out at the same
/// time.
pub(super) async fn readyz(request: HttpRequest) -> HttpResponse {
    let Some(readiness) = request.app_data::<Arc<Readiness>>() else {
        return reply::fault(reply::Fault::NotConfigured);
    };
    if readiness.draining.load(Ordering::Acquire) {
        return reply::text(false, PLAIN, "draining\n".into());
    }
    match readiness.degraded() {
        None => reply::text(true, PLAIN, "ready\n".into()),
        Some(why) => reply::text(true, PLAIN, format!("ready, degraded: {why}\n")),
    }
}
