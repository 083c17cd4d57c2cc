//! File descriptors for everything that the settings allow, reserved before the first connection.
//!
//! When a process has none left, it cannot read a changed file: a removed user would stay in for as long as someone
//! holds the connections. So the limit is compared with what the settings allow, and the start fails if it is lower.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::RESOLVER_THREADS;
use super::http_server::ListenerCapacity;
use crate::config::Config;
use crate::config::authenticator::AuthenticatorType as Authenticator;
use crate::http::service::ListenerKind;

/// For the standard streams, the log, the listeners, and each file that is read while it is reloaded.
const DESCRIPTORS_FOR_FILES: usize = 64;

/// For each thread that waits for events: an epoll instance, its copy, an event descriptor and the signal pipe.
const DESCRIPTORS_PER_THREAD: usize = 4;

/// For each name that is being looked up: sockets to the name servers, and their files.
const DESCRIPTORS_PER_LOOKUP: usize = 4;

/// For the calls that fetch an upstream's token, one at a time: the sources of AWS's credentials, and the call.
#[cfg(feature = "ecr")]
const DESCRIPTORS_PER_TOKEN_FETCH: usize = 16;

/// There are fewer file descriptors than the settings allow connections.
#[derive(Debug, thiserror::Error)]
#[error(
    "limits.max_connections = {connections}, with everything else, needs {needed} file descriptors, and the limit is {limit}: raise it to {needed} (LimitNOFILE= in a systemd unit, --ulimit nofile= for docker, ulimit -Hn in a shell), or set limits.max_connections to {max_connections} or less"
)]
pub struct DescriptorLimitError {
    connections: usize,
    needed: u64,
    limit: u64,
    max_connections: u64,
}

/// Raises the limit of this process as far as the system allows.
///
/// # Errors
/// If that is less than the settings need.
pub fn raise_limit(settings: &Config) -> Result<(), DescriptorLimitError> {
    let needed = required_descriptors(settings);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // The customary limit of 1024 is less than the connections that are allowed by default.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    match limit {
        Some(limit) if limit < needed => {
            let connections = settings.max_connections;
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

/// The descriptors that everything together may use at one time.
fn required_descriptors(settings: &Config) -> u64 {
    let mut needed = DESCRIPTORS_FOR_FILES;
    for (kind, is_open) in [
        (ListenerKind::Auth, true),
        (ListenerKind::Public, !settings.public_listen.is_empty()),
        (ListenerKind::Admin, !settings.admin_listen.is_empty()),
    ] {
        if is_open {
            let share = ListenerCapacity::for_listener(settings, kind);
            // And one more thread, which accepts.
            needed += share.total_connections() + (share.workers + 1) * DESCRIPTORS_PER_THREAD;
        }
    }
    for one in &settings.authenticators {
        match &one.kind {
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
            matches!(one.kind, crate::config::upstream::UpstreamType::Ecr(_))
        };
        needed += settings.upstreams.iter().filter(is_fetched).count()
            * (DESCRIPTORS_PER_TOKEN_FETCH + RESOLVER_THREADS * DESCRIPTORS_PER_LOOKUP);
    }
    needed as u64
}
