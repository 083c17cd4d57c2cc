//! `/livez` and `/readyz`, for service managers, monitors and load balancers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpRequest, HttpResponse};

use super::peer::Peer;
use super::response::{self, TEXT_PLAIN};
use crate::authn::remote::RemoteSource;
use crate::reload::FileHealth;
#[cfg(feature = "ecr")]
use crate::upstream::ecr::token_store::{TokenState, TokenStore};

/// The state of the upstream tokens: the first that was never fetched, the first that was not renewed, and one line
/// for each of the others.
#[derive(Default)]
struct UpstreamTokenHealth {
    never_fetched: Option<String>,
    degraded: Option<String>,
    healthy: String,
}

/// The state that decides whether this process should receive requests.
pub(crate) struct Readiness {
    is_draining: AtomicBool,
    /// The health of each reloaded file.
    file_health: Vec<Arc<FileHealth>>,
    authenticators: Vec<Arc<RemoteSource>>,
    #[cfg(feature = "ecr")]
    token_stores: Vec<Arc<TokenStore>>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("draining", &self.is_draining).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Creates the state of a ready process: no listener exists before all files are loaded.
    pub(crate) fn new(files: Vec<Arc<FileHealth>>, authenticators: Vec<Arc<RemoteSource>>) -> Self {
        Self {
            is_draining: AtomicBool::new(false),
            file_health: files,
            authenticators,
            #[cfg(feature = "ecr")]
            token_stores: Vec::new(),
        }
    }

    /// Adds the stores of tokens that must be fetched.
    #[cfg(feature = "ecr")]
    #[must_use]
    pub(crate) fn with_token_stores(self, token_stores: Vec<Arc<TokenStore>>) -> Self {
        Self { token_stores, ..self }
    }

    /// Returns the first problem that does not prevent doorward from answering requests.
    fn degraded_reason(&self) -> Option<String> {
        let file = self.file_health.iter().find_map(|file| file.degraded_message());
        let outage = |authenticator: &Arc<RemoteSource>| {
            authenticator
                .outage_evidence()
                .map(|evidence| format!("authenticator {} is down: {evidence}", authenticator.name()))
        };
        file.or_else(|| self.authenticators.iter().find_map(outage))
    }

    #[cfg(feature = "ecr")]
    fn upstream_token_health(&self) -> UpstreamTokenHealth {
        let mut tokens = UpstreamTokenHealth::default();
        for token_store in &self.token_stores {
            match token_store.state() {
                TokenState::NoTokenYet(why) => drop(tokens.never_fetched.get_or_insert(why)),
                TokenState::Degraded(why) => drop(tokens.degraded.get_or_insert(why)),
                TokenState::Healthy(how) => tokens.healthy.push_str(&format!("{how}\n")),
            }
        }
        tokens
    }

    #[cfg(not(feature = "ecr"))]
    fn upstream_token_health(&self) -> UpstreamTokenHealth {
        UpstreamTokenHealth::default()
    }

    /// Returns the reason why the content of a file on disk is not in force, for the first such file.
    pub(crate) fn outdated_file_reason(&self) -> Option<String> {
        self.file_health.iter().find_map(|file| file.stale_message())
    }

    /// Sets `/readyz` to 503 for the rest of the process.
    pub(crate) fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }
}

/// Returns 200 whenever the process can answer.
pub(super) async fn livez() -> HttpResponse {
    response::text_response(true, TEXT_PLAIN, "alive\n".into())
}

/// Returns 503 while draining, and before the first upstream token if one is required. Otherwise returns 200.
///
/// The body contains "degraded" if the last valid version of a file is in force, an authenticator is down, or a token
/// was not renewed. A status of 503 would take all replicas out of service at the same time. Only a trusted peer gets
/// the reason.
pub(super) async fn readyz(request: HttpRequest) -> HttpResponse {
    let Some(readiness) = request.app_data::<Arc<Readiness>>() else {
        return response::error_response(response::HandlerError::Internal);
    };
    if readiness.is_draining.load(Ordering::Acquire) {
        return response::text_response(false, TEXT_PLAIN, "draining\n".into());
    }
    let trusted = request.conn_data::<Peer>().is_some_and(|peer| peer.is_trusted);
    let reason_suffix = |why: String| if trusted { format!(": {why}") } else { String::new() };
    let tokens = readiness.upstream_token_health();
    if let Some(why) = tokens.never_fetched {
        return response::text_response(false, TEXT_PLAIN, format!("not ready{}\n", reason_suffix(why)));
    }
    let status = match readiness.degraded_reason().or(tokens.degraded) {
        None => "ready\n".to_owned(),
        Some(why) => format!("ready, degraded{}\n", reason_suffix(why)),
    };
    let details = if trusted { &tokens.healthy[..] } else { "" };
    response::text_response(true, TEXT_PLAIN, status + details)
}
