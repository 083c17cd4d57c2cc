//! Reserves file descriptors for everything that the configuration allows, before the first connection.
//!
//! A process without free descriptors cannot read a changed file. A removed user would be admitted for as long as a
//! client holds the connections open. So the start fails if the limit is lower than what the configuration allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::RESOLVER_THREADS;
use super::http_server::ListenerCapacity;
use crate::config::Config;
use crate::config::authenticator::AuthenticatorType as Authenticator;
use crate::http::service::ListenerKind;

/// Descriptors for the standard streams, the log, the listeners, and each file during a reload.
const DESCRIPTORS_FOR_FILES: usize = 64;

/// Descriptors for each thread that waits for events: an epoll instance, its copy, an event descriptor and the signal pipe.
const DESCRIPTORS_PER_THREAD: usize = 4;

/// Descriptors for each name lookup: sockets to the name servers, and the files of the resolver.
const DESCRIPTORS_PER_LOOKUP: usize = 4;

/// Descriptors for the calls that fetch the token of an upstream, one at a time: the sources of AWS credentials, and
/// the call itself.
#[cfg(feature = "ecr")]
const DESCRIPTORS_PER_TOKEN_FETCH: usize = 16;

/// The limit of file descriptors is below what the configuration allows.
#[derive(Debug, thiserror::Error)]
#[error(
    "limits.max_connections = {connections} requires {needed} file descriptors in all, but the limit is {limit}. Raise it to {needed} (LimitNOFILE= in a systemd unit, --ulimit nofile= for docker, ulimit -Hn in a shell), or set limits.max_connections to {max_connections} or less"
)]
pub(crate) struct DescriptorLimitError {
    connections: usize,
    needed: u64,
    limit: u64,
    max_connections: u64,
}

/// Raises the limit of this process as far as the system allows.
///
/// # Errors
/// The limit is still lower than what the configuration requires.
pub(crate) fn raise_limit(config: &Config) -> Result<(), DescriptorLimitError> {
    let needed = required_descriptors(config);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // The usual soft limit of 1024 is lower than the default of limits.max_connections.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    match limit {
        Some(limit) if limit < needed => {
            let connections = config.limits.max_connections;
            let others = needed.saturating_sub(connections as u64);
            Err(DescriptorLimitError {
                connections,
                needed,
                limit,
                max_connections: limit.saturating_sub(others),
            })
        }
        // Enough, or unlimited.
        Some(_) | None => Ok(()),
    }
}

/// Returns the descriptors that can be in use at the same time.
fn required_descriptors(config: &Config) -> u64 {
    let mut needed = DESCRIPTORS_FOR_FILES;
    for (kind, is_open) in [
        (ListenerKind::Auth, true),
        (ListenerKind::Public, !config.public.listen.is_empty()),
        (ListenerKind::Admin, !config.admin.listen.is_empty()),
    ] {
        if is_open {
            let capacity = ListenerCapacity::for_listener(config, kind);
            // One more thread accepts connections.
            needed += capacity.total_connections() + (capacity.workers + 1) * DESCRIPTORS_PER_THREAD;
        }
    }
    for one in &config.authenticators {
        match &one.settings {
            Authenticator::Remote(spec) => {
                needed +=
                    spec.connections_max + RESOLVER_THREADS * DESCRIPTORS_PER_LOOKUP + DESCRIPTORS_PER_THREAD
            }
            Authenticator::Htpasswd | Authenticator::ApiKeys => {}
        }
    }
    #[cfg(feature = "ecr")]
    {
        let is_fetched = |one: &&crate::config::upstream::UpstreamConfig| {
            matches!(one.settings, crate::config::upstream::UpstreamType::Ecr(_))
        };
        needed += config.upstreams.iter().filter(is_fetched).count()
            * (DESCRIPTORS_PER_TOKEN_FETCH + RESOLVER_THREADS * DESCRIPTORS_PER_LOOKUP);
    }
    needed as u64
}
