//! File descriptors for everything that the settings allow, reserved before the first connection.
//!
//! When a process has none left, it cannot read a changed file: a removed user would stay in for as long as someone
//! holds the connections. So the limit is compared with what the settings allow, and the start fails if it is lower.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::RESOLVER_THREADS;
use super::http::Share;
use crate::config::Settings;
use crate::config::authenticator::Kind as Authenticator;
use crate::http::service::ListenerKind;

/// For the standard streams, the log, the listeners, and each file that is read while it is reloaded.
const FILES: usize = 64;

/// For each thread that waits for events: an epoll instance, its copy, an event descriptor and the signal pipe.
const OF_THREAD: usize = 4;

/// For each name that is being looked up: sockets to the name servers, and their files.
const OF_LOOKUP: usize = 4;

/// For the calls that fetch an upstream's token, one at a time: the sources of AWS's credentials, and the call.
#[cfg(feature = "ecr")]
const OF_TOKEN: usize = 16;

/// There are fewer file descriptors than the settings allow connections.
#[derive(Debug, thiserror::Error)]
#[error(
    "limits.connections = {connections}, with everything else, needs {needed} file descriptors, and the limit is {limit}: raise it to {needed} (LimitNOFILE= in a systemd unit, --ulimit nofile= for docker, ulimit -Hn in a shell), or set limits.connections to {at_most} or less"
)]
pub struct DescriptorFault {
    connections: usize,
    needed: u64,
    limit: u64,
    at_most: u64,
}

/// Raises the limit of this process as far as the system allows.
///
/// # Errors
/// If that is less than the settings need.
pub fn reserve(settings: &Settings) -> Result<(), DescriptorFault> {
    let needed = needed(settings);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // The customary limit of 1024 is less than the connections that are allowed by default.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    match limit {
        Some(limit) if limit < needed => {
            let connections = settings.connections;
            let others = needed.saturating_sub(connections as u64);
            Err(DescriptorFault { connections, needed, limit, at_most: limit.saturating_sub(others) })
        }
        // Enough, or unlimited.
        Some(_) | None => Ok(()),
    }
}

/// The descriptors that everything together may use at one time.
fn needed(settings: &Settings) -> u64 {
    let mut needed = FILES;
    for (kind, is_open) in [
        (ListenerKind::Auth, true),
        (ListenerKind::Public, !settings.public_listen.is_empty()),
        (ListenerKind::Admin, !settings.admin_listen.is_empty()),
    ] {
        if is_open {
            let share = Share::of(settings, kind);
            // And one more thread, which accepts.
            needed += share.connections() + (share.workers + 1) * OF_THREAD;
        }
    }
    for one in &settings.authenticators {
        match &one.kind {
            Authenticator::Http(spec) => {
                needed += spec.connections + RESOLVER_THREADS * OF_LOOKUP + OF_THREAD
            }
            Authenticator::Htpasswd | Authenticator::Keys => {}
        }
    }
    #[cfg(feature = "ecr")]
    {
        let is_fetched = |one: &&crate::config::upstream::Upstream| {
            matches!(one.kind, crate::config::upstream::Kind::Ecr(_))
        };
        needed +=
            settings.upstreams.iter().filter(is_fetched).count() * (OF_TOKEN + RESOLVER_THREADS * OF_LOOKUP);
    }
    needed as u64
}
