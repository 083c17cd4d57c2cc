//! Checks the settings of the listeners: a listener that other machines can reach must name its peers, and upstream
//! credentials require the proxy secret.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::combination_errors::CombinationErrors;
use super::table::ConfigValues;
use super::upstream::UpstreamConfig;
use super::{ConfigError, ConfigOrigin, ListenAddress};

/// The settings of one listener, each with its key.
struct ListenerSettings<'c> {
    listen: (&'static str, &'c [ListenAddress]),
    trusted_peers: (&'static str, &'c [IpNet]),
    /// Whether the listener answers no peer if the list of peers is empty. `/livez` and `/readyz` answer every peer.
    requires_peers: bool,
    /// The risk of a listener without named peers, and what to set.
    remedy: &'static str,
}

impl ConfigValues {
    fn listener_settings(&self) -> [ListenerSettings<'_>; 3] {
        [
            ListenerSettings {
                listen: ("listen", &self.listen),
                trusted_peers: ("trusted_peers", &self.trusted_peers),
                requires_peers: true,
                remedy: "every client that reaches it could pose as nginx; set trusted_peers to the address or network of nginx, e.g. trusted_peers = [\"10.0.0.7\"]",
            },
            ListenerSettings {
                listen: ("public.listen", &self.public.listen),
                trusted_peers: ("public.trusted_peers", &self.public.trusted_peers),
                requires_peers: true,
                remedy: "every client that reaches it could choose the address that the throttle counts; set public.trusted_peers to the address or network of nginx",
            },
            ListenerSettings {
                listen: ("admin.listen", &self.admin.listen),
                trusted_peers: ("admin.trusted_peers", &self.admin.trusted_peers),
                requires_peers: false,
                remedy: "set admin.trusted_peers to the peers that can read the metrics",
            },
        ]
    }

    /// Returns the TCP listeners that other machines can reach, each with the key of its setting. Credentials and
    /// tokens cross the network in plain text there.
    pub(crate) fn non_loopback_listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        self.listener_settings()
            .iter()
            .flat_map(|row| non_loopback_addresses(row.listen.1).map(|address| (row.listen.0, address)))
            .collect()
    }

    /// Reports the errors of the listeners.
    pub(super) fn check_listeners(&self, errors: &mut CombinationErrors<'_>) {
        for row in self.listener_settings() {
            let (key, listen) = row.listen;
            let (peers_key, peers) = row.trusted_peers;
            let is_unset = matches!(errors.origin_of(peers_key), ConfigOrigin::Unset);
            let is_tcp = listen.iter().any(|one| matches!(one, ListenAddress::Tcp(_)));
            if let Some(address) = non_loopback_addresses(listen).next().filter(|_| is_unset) {
                let message = format!("other machines can reach {address}: {}", row.remedy);
                errors.add(key, peers_key, &message);
            } else if row.requires_peers && is_tcp && peers.is_empty() {
                let message = "the list is empty, so no peer could use the listener; name a peer";
                errors.add(peers_key, key, message);
            }
        }
        if self.proxy_secret_file.is_none()
            && !errors.has_invalid(&["proxy_secret_file"])
            && let Some(upstream) = self.upstreams.iter().find(|one| one.has_credentials())
        {
            let message = missing_proxy_secret_message(upstream);
            errors.errors.push(ConfigError { origin: upstream.origin.clone(), message });
        }
        if self.dialects.is_empty() {
            let message =
                "no dialect is enabled, so every request would get 404; delete the setting for nginx";
            errors.add("dialects", "dialects", message);
        }
        if self.listen.is_empty() {
            let message = "the list is empty; delete the setting for 127.0.0.1:8000";
            errors.add("listen", "listen", message);
        }
    }
}

fn missing_proxy_secret_message(upstream: &UpstreamConfig) -> String {
    format!(
        "upstream {} has credentials, which every peer of the auth listener could read: set proxy_secret_file (create one: openssl rand -hex 32 >FILE), and NGX_DOORWARD_PROXY_SECRET_FILE of nginx to the same file",
        upstream.name
    )
}

fn non_loopback_addresses(listen: &[ListenAddress]) -> impl Iterator<Item = SocketAddr> {
    listen.iter().filter_map(|one| match one {
        ListenAddress::Tcp(address) if !address.ip().to_canonical().is_loopback() => Some(*address),
        ListenAddress::Tcp(_) | ListenAddress::Unix(_) | ListenAddress::Systemd(_) => None,
    })
}
