//! The thread that fetches the tokens of ECR upstreams, separate from the threads that serve requests.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::RESOLVER_THREADS;
use crate::upstream::ecr::aws::EcrTokenClient;
use crate::upstream::ecr::refresh::{TokenRefresher, random_fraction};
use crate::upstream::ecr::token_store::TokenStore;

/// The time that a start waits for the first tokens. Clients wait at the listener meanwhile, where they would get 503
/// otherwise. nginx waits longer.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts the thread that fetches tokens. Dropping the returned sender stops it.
pub(super) fn spawn_refresh_thread(
    sources: Vec<(EcrTokenClient, Arc<TokenStore>)>,
) -> io::Result<Option<oneshot::Sender<()>>> {
    if sources.is_empty() {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVER_THREADS)
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let run = move || {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for (aws, token_store) in sources {
                tasks.spawn(TokenRefresher::new(token_store, aws, random_fraction).run());
            }
            tokio::select! {
                // The sender was dropped.
                _ = stopped => {}
                // A task has panicked. All upstreams keep their tokens until these expire, which is logged.
                Some(ended) = tasks.join_next() => {
                    tracing::error!(?ended, "fetch of upstream tokens failed, restart required");
                }
            }
        });
        runtime.shutdown_background();
    };
    thread::Builder::new().name("doorward-tokens".into()).spawn(run)?;
    Ok(Some(stop))
}

/// Waits for the first tokens, for [`FIRST_TOKEN_TIMEOUT`] at most.
pub(super) async fn wait_for_first_tokens(token_stores: &[Arc<TokenStore>]) {
    let all = async {
        for token_store in token_stores {
            token_store.wait_for_first_attempt().await;
        }
    };
    // After that, a request that requires a token gets 503, and /readyz reports the reason.
    let _ = timeout(FIRST_TOKEN_TIMEOUT, all).await;
}

#[cfg(test)]
#[path = "ecr_token_refresh_tests.rs"]
mod tests;
