//! `/livez` and `/readyz`, for those who start, stop and balance.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpRequest, HttpResponse};

use super::peer::Peer;
use super::response;
use crate::authn::remote::RemoteSource;
use crate::reload::FileHealth;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::lease::{Lease, LeaseState};

const PLAIN: &str = "text/plain; charset=utf-8";

/// What is told of upstream tokens: of one that was never had, of one that is not renewed, of the others.
#[derive(Default)]
struct UpstreamTokenHealth {
    never_fetched: Option<String>,
    degraded: Option<String>,
    healthy: String,
}

/// Whether requests should be sent here.
pub struct Readiness {
    is_draining: AtomicBool,
    /// Of each file that is reloaded.
    file_health: Vec<Arc<FileHealth>>,
    authenticators: Vec<Arc<RemoteSource>>,
    #[cfg(feature = "ecr")]
    leases: Vec<Arc<Lease>>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("draining", &self.is_draining).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Ready: there is no listener before the first load.
    pub fn new(files: Vec<Arc<FileHealth>>, services: Vec<Arc<RemoteSource>>) -> Self {
        Self {
            is_draining: AtomicBool::new(false),
            file_health: files,
            authenticators: services,
            #[cfg(feature = "ecr")]
            leases: Vec::new(),
        }
    }

    /// The same, with tokens that have to be had.
    #[cfg(feature = "ecr")]
    #[must_use]
    pub fn with_leases(self, leases: Vec<Arc<Lease>>) -> Self {
        Self { leases, ..self }
    }

    /// What is not as it should be, though requests can be answered.
    fn degraded_reason(&self) -> Option<String> {
        let file = self.file_health.iter().find_map(|file| file.degraded_message());
        let outage = |service: &Arc<RemoteSource>| {
            service
                .outage_evidence()
                .map(|evidence| format!("authenticator {} is down: {evidence}", service.name()))
        };
        file.or_else(|| self.authenticators.iter().find_map(outage))
    }

    #[cfg(feature = "ecr")]
    fn upstream_token_health(&self) -> UpstreamTokenHealth {
        let mut tokens = UpstreamTokenHealth::default();
        for lease in &self.leases {
            match lease.state() {
                LeaseState::NoTokenYet(why) => drop(tokens.never_fetched.get_or_insert(why)),
                LeaseState::Degraded(why) => drop(tokens.degraded.get_or_insert(why)),
                LeaseState::Healthy(how) => tokens.healthy.push_str(&format!("{how}\n")),
            }
        }
        tokens
    }

    #[cfg(not(feature = "ecr"))]
    fn tokens(&self) -> UpstreamTokenHealth {
        UpstreamTokenHealth::default()
    }

    /// Why what is in force of a file is not what is on disk, of the first file of which it is not.
    pub fn outdated_file_reason(&self) -> Option<String> {
        self.file_health.iter().find_map(|file| file.stale_message())
    }

    /// From now on, 503.
    pub fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }
}

/// 200 as long as the process answers at all.
pub(super) async fn livez() -> HttpResponse {
    response::text_response(true, PLAIN, "alive\n".into())
}

/// 503 while draining, and before the first token where one is needed; else 200, with "degraded" in the body
/// where the last good file is in force, an authenticator was down when it was last asked, or a token is not
/// renewed: a 503 for that would take every replica out at the same time. Why it is so is told to who may ask.
pub(super) async fn readyz(request: HttpRequest) -> HttpResponse {
    let Some(readiness) = request.app_data::<Arc<Readiness>>() else {
        return response::error_response(response::HandlerError::Internal);
    };
    if readiness.is_draining.load(Ordering::Acquire) {
        return response::text_response(false, PLAIN, "draining\n".into());
    }
    let trusted = request.conn_data::<Peer>().is_some_and(|peer| peer.is_trusted);
    let because = |why: String| if trusted { format!(": {why}") } else { String::new() };
    let tokens = readiness.upstream_token_health();
    if let Some(why) = tokens.never_fetched {
        return response::text_response(false, PLAIN, format!("not ready{}\n", because(why)));
    }
    let told = match readiness.degraded_reason().or(tokens.degraded) {
        None => "ready\n".to_owned(),
        Some(why) => format!("ready, degraded{}\n", because(why)),
    };
    let well = if trusted { &tokens.healthy[..] } else { "" };
    response::text_response(true, PLAIN, told + well)
}
