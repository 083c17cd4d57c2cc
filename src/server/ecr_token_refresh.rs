//! The thread on which upstream tokens are fetched, away from those that answer.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::RESOLVER_THREADS;
use crate::upstream::ecr::aws::EcrTokenClient;
use crate::upstream::ecr::lease::Lease;
use crate::upstream::ecr::refresh::{LeaseRefresher, random_fraction};

/// How long a start waits for the first tokens before it answers: clients wait at the listener meanwhile,
/// where they would be told 503. nginx waits longer.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches tokens, and does so until what is returned is dropped.
pub(super) fn spawn_refresh_thread(
    sources: Vec<(EcrTokenClient, Arc<Lease>)>,
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
            for (aws, lease) in sources {
                tasks.spawn(LeaseRefresher::new(lease, aws, random_fraction).run());
            }
            tokio::select! {
                // Dropping the sender is the word.
                _ = stopped => {}
                // By a panic; the others go on until the end of their tokens, and are told of as they end.
                Some(ended) = tasks.join_next() => {
                    tracing::error!(?ended, "upstream tokens are not fetched any more: restart doorward");
                }
            }
        });
        runtime.shutdown_background();
    };
    thread::Builder::new().name("doorward-tokens".into()).spawn(run)?;
    Ok(Some(stop))
}

/// Waits for the first tokens, but not for ever.
pub(super) async fn wait_for_first_tokens(leases: &[Arc<Lease>]) {
    let all = async {
        for lease in leases {
            lease.wait_for_first_attempt().await;
        }
    };
    // Whoever needs one then is told 503, and /readyz says why.
    let _ = timeout(FIRST_TOKEN_TIMEOUT, all).await;
}
