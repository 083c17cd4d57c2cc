//! Admits or closes the connections of a TCP listener.
//!
//! The number of connections is limited, and an idle connection costs a client nothing. A client that reaches the port
//! could therefore hold all of them. So a connection of an untrusted peer is closed before a byte of it is read. Health
//! checks of the admin listener are open to every peer. Their connections have separate places, a few for each address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;

use crate::http::peer::Peer;
use crate::http::rate_limited_log::RateLimitedLog;
use crate::http::service::ListenerKind;

/// Simultaneous connections of untrusted peers to the admin listener: health checks of a few load balancers and an
/// orchestrator, each of which takes milliseconds.
pub(super) const HEALTH_CHECK_CONNECTIONS_MAX: usize = 64;

/// The part of these for one address, so that a peer that holds connections open does not block the health checks of
/// another peer.
const HEALTH_CHECK_CONNECTIONS_PER_ADDRESS: usize = 4;

/// Decides whether a connection of a TCP listener is admitted.
pub(super) struct ConnectionAdmission {
    kind: ListenerKind,
    trusted_peers: Vec<IpNet>,
    health_checks: Arc<HealthCheckConnections>,
    refused_connections: Counter,
    refusal_log: Arc<RateLimitedLog>,
}

/// An admitted connection. Dropping it frees the place.
pub(super) struct AdmittedConnection(Option<HealthCheckSlot>);

impl ConnectionAdmission {
    pub(super) fn new(kind: ListenerKind, peers: Vec<IpNet>, refused: Counter, log: RateLimitedLog) -> Self {
        Self {
            kind,
            trusted_peers: peers,
            health_checks: Arc::default(),
            refused_connections: refused,
            refusal_log: Arc::new(log),
        }
    }

    /// Returns the peer of a connection from `address`.
    pub(super) fn peer(&self, address: SocketAddr) -> Peer {
        Peer::tcp(address, &self.trusted_peers)
    }

    /// Admits a connection. Returns `None` if it must be closed now. A peer without an address is not trusted.
    pub(super) fn admit(&self, address: Option<SocketAddr>) -> Option<AdmittedConnection> {
        let peer = address.map(|address| self.peer(address));
        if peer.is_some_and(|peer| peer.is_trusted) {
            return Some(AdmittedConnection(None));
        }
        let address = peer.and_then(|peer| peer.address);
        let slot = match self.kind {
            ListenerKind::Auth | ListenerKind::Public => None,
            ListenerKind::Admin => {
                address.and_then(|address| HealthCheckConnections::try_acquire(&self.health_checks, address))
            }
        };
        if slot.is_none() {
            self.refused_connections.inc();
            if let Some(suppressed) = self.refusal_log.next_line() {
                let (listener, peer) = (self.kind.name(), address.map(|address| address.to_string()));
                tracing::warn!(listener, peer, suppressed, "connection of an untrusted peer closed");
            }
        }
        slot.map(|slot| AdmittedConnection(Some(slot)))
    }
}

/// The connections of untrusted peers, by address: at most [`HEALTH_CHECK_CONNECTIONS_MAX`].
#[derive(Debug, Default)]
struct HealthCheckConnections(Mutex<HashMap<IpAddr, usize>>);

/// A place of one connection. Dropping it frees the place.
struct HealthCheckSlot {
    connections: Arc<HealthCheckConnections>,
    address: IpAddr,
}

impl HealthCheckConnections {
    fn try_acquire(connections: &Arc<Self>, address: IpAddr) -> Option<HealthCheckSlot> {
        let mut held = connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = held.values().sum();
        let own = held.get(&address).copied().unwrap_or_default();
        if all >= HEALTH_CHECK_CONNECTIONS_MAX || own >= HEALTH_CHECK_CONNECTIONS_PER_ADDRESS {
            return None;
        }
        held.insert(address, own + 1);
        Some(HealthCheckSlot { connections: Arc::clone(connections), address })
    }
}

impl Drop for HealthCheckSlot {
    fn drop(&mut self) {
        let mut held = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(held.remove(&self.address)),
        }
    }
}

impl Drop for AdmittedConnection {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn admission(kind: ListenerKind) -> ConnectionAdmission {
        let peers = vec!["10.0.0.7".parse::<IpAddr>().unwrap().into()];
        ConnectionAdmission::new(kind, peers, Counter::default(), RateLimitedLog::new(Clock::manual()))
    }

    fn from(text: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(text.parse().unwrap(), 40_000))
    }

    #[test]
    fn untrusted_connection_is_admitted_by_the_admin_listener_only() {
        for (kind, is_admitted) in
            [(ListenerKind::Auth, false), (ListenerKind::Public, false), (ListenerKind::Admin, true)]
        {
            let admission = admission(kind);
            assert!(admission.admit(from("10.0.0.7")).is_some());
            assert!(admission.admit(from("::ffff:10.0.0.7")).is_some());
            assert_eq!(admission.admit(from("10.0.0.8")).is_some(), is_admitted);
            assert!(admission.admit(None).is_none());
            assert_eq!(admission.refused_connections.get(), if is_admitted { 1 } else { 2 });
        }
    }

    #[test]
    fn health_check_connections_are_limited_per_address_and_trusted_peers_are_not() {
        let admission = admission(ListenerKind::Admin);
        let mut held: Vec<_> = (0..100).filter_map(|_| admission.admit(from("192.0.2.1"))).collect();
        assert_eq!(held.len(), HEALTH_CHECK_CONNECTIONS_PER_ADDRESS);
        assert!(admission.admit(from("192.0.2.2")).is_some());
        held.pop();
        assert!(admission.admit(from("192.0.2.1")).is_some(), "the place of a closed connection is free");
        let many = |third: u8| (0..100).map(move |last| from(&format!("198.51.{third}.{last}")));
        let all: Vec<_> = many(1).chain(many(2)).filter_map(|address| admission.admit(address)).collect();
        assert_eq!(all.len() + held.len(), HEALTH_CHECK_CONNECTIONS_MAX);
        assert!(admission.admit(from("192.0.2.3")).is_none());
        assert!((0..1000).map(|_| admission.admit(from("10.0.0.7"))).all(|kept| kept.is_some()));
        drop((all, held));
        assert!(admission.health_checks.0.lock().unwrap().is_empty(), "closed connections leave no entry");
    }
}
