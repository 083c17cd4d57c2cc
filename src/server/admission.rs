//! Which connections a TCP listener keeps.
//!
//! Connections are counted, and an idle one costs its owner nothing: whoever reaches the port could hold all of them.
//! So a connection of a peer that may not use the listener is closed before a byte of it is read. Probes of the admin
//! listener are for every peer; their connections have places of their own, a few for each address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;

use crate::http::peer::Peer;
use crate::http::rate_limited_log::RateLimitedLog;
use crate::http::service::ListenerKind;

/// The connections of untrusted peers that the admin listener holds at one time: probes of a few balancers and an
/// orchestrator, each of which takes milliseconds.
pub(super) const HEALTH_CHECK_CONNECTIONS_MAX: usize = 64;

/// Of these, for one address: a peer that holds connections open does not keep another one's probes out.
const HEALTH_CHECK_CONNECTIONS_PER_ADDRESS: usize = 4;

/// Decides for each connection of a TCP listener.
pub(super) struct ConnectionAdmission {
    kind: ListenerKind,
    trusted_peers: Vec<IpNet>,
    health_checks: Arc<HealthCheckConnections>,
    refused_connections: Counter,
    refusal_log: Arc<RateLimitedLog>,
}

/// A connection that is kept. Its place is free again when this is dropped.
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

    /// The peer of a connection from `address`.
    pub(super) fn peer(&self, address: SocketAddr) -> Peer {
        Peer::tcp(address, &self.trusted_peers)
    }

    /// Whether a connection is kept. `None`: it must be closed now. An address that the system does not tell is
    /// nobody's.
    pub(super) fn admit(&self, address: Option<SocketAddr>) -> Option<AdmittedConnection> {
        let peer = address.map(|address| self.peer(address));
        if peer.is_some_and(|peer| peer.is_trusted) {
            return Some(AdmittedConnection(None));
        }
        let address = peer.and_then(|peer| peer.address);
        let place = match self.kind {
            ListenerKind::Auth | ListenerKind::Public => None,
            ListenerKind::Admin => {
                address.and_then(|address| HealthCheckConnections::try_acquire(&self.health_checks, address))
            }
        };
        if place.is_none() {
            self.refused_connections.inc();
            if let Some(suppressed) = self.refusal_log.next_line() {
                let (listener, peer) = (self.kind.name(), address.map(|address| address.to_string()));
                tracing::warn!(listener, peer, suppressed, "connection of an untrusted peer closed");
            }
        }
        place.map(|place| AdmittedConnection(Some(place)))
    }
}

/// The connections of untrusted peers, by address. At most [`PROBES_MAX`].
#[derive(Debug, Default)]
struct HealthCheckConnections(Mutex<HashMap<IpAddr, usize>>);

struct HealthCheckSlot {
    connections: Arc<HealthCheckConnections>,
    address: IpAddr,
}

impl HealthCheckConnections {
    fn try_acquire(probes: &Arc<Self>, address: IpAddr) -> Option<HealthCheckSlot> {
        let mut held = probes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = held.values().sum();
        let own = held.get(&address).copied().unwrap_or_default();
        if all >= HEALTH_CHECK_CONNECTIONS_MAX || own >= HEALTH_CHECK_CONNECTIONS_PER_ADDRESS {
            return None;
        }
        held.insert(address, own + 1);
        Some(HealthCheckSlot { connections: Arc::clone(probes), address })
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
        for (kind, is_kept) in
            [(ListenerKind::Auth, false), (ListenerKind::Public, false), (ListenerKind::Admin, true)]
        {
            let admission = admission(kind);
            assert!(admission.admit(from("10.0.0.7")).is_some());
            assert!(admission.admit(from("::ffff:10.0.0.7")).is_some());
            assert_eq!(admission.admit(from("10.0.0.8")).is_some(), is_kept);
            assert!(admission.admit(None).is_none());
            assert_eq!(admission.refused_connections.get(), if is_kept { 1 } else { 2 });
        }
    }

    #[test]
    fn health_check_connections_are_limited_per_address_and_trusted_peers_are_not() {
        let admission = admission(ListenerKind::Admin);
        let mut held: Vec<_> = (0..100).filter_map(|_| admission.admit(from("192.0.2.1"))).collect();
        assert_eq!(held.len(), HEALTH_CHECK_CONNECTIONS_PER_ADDRESS);
        assert!(admission.admit(from("192.0.2.2")).is_some());
        held.pop();
        assert!(admission.admit(from("192.0.2.1")).is_some(), "the place of one that ended is free");
        let many = |third: u8| (0..100).map(move |last| from(&format!("198.51.{third}.{last}")));
        let all: Vec<_> = many(1).chain(many(2)).filter_map(|address| admission.admit(address)).collect();
        assert_eq!(all.len() + held.len(), HEALTH_CHECK_CONNECTIONS_MAX);
        assert!(admission.admit(from("192.0.2.3")).is_none());
        assert!((0..1000).map(|_| admission.admit(from("10.0.0.7"))).all(|kept| kept.is_some()));
        drop((all, held));
        assert!(admission.health_checks.0.lock().unwrap().is_empty(), "nothing is kept of those that ended");
    }
}
