//! Faults of the listeners' settings: a listener that other machines reach must name its peers, and upstream
//! credentials require the proxy secret.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::table::ConfigValues;
use super::upstream::UpstreamConfig;
use super::{ConfigError, ConfigOrigin, ListenAddress};

/// The settings of one listener, and what its peers may do there.
struct ListenerSettings<'s> {
    listen: (&'static str, &'s [ListenAddress]),
    trusted_peers: (&'static str, &'s [IpNet]),
    remedy: &'static str,
}

impl ConfigValues {
    fn listener_settings(&self) -> [ListenerSettings<'_>; 3] {
        [
            ListenerSettings {
                listen: ("listen", &self.listen),
                trusted_peers: ("trusted_peers", &self.trusted_peers),
                remedy: ", and whoever reaches it could ask in nginx's name: set trusted_peers to nginx's address or network, e.g. trusted_peers = [\"10.0.0.7\"]",
            },
            ListenerSettings {
                listen: ("public.listen", &self.public.listen),
                trusted_peers: ("public.trusted_peers", &self.public.trusted_peers),
                remedy: ", and whoever reaches it could choose the address that the throttle counts: set public.trusted_peers to nginx's address or network",
            },
            ListenerSettings {
                listen: ("admin.listen", &self.admin.listen),
                trusted_peers: ("admin.trusted_peers", &self.admin.trusted_peers),
                remedy: ": set admin.trusted_peers to those that may read the metrics",
            },
        ]
    }

    /// The TCP listeners that other machines can reach, with the name of their setting. Credentials and tokens
    /// cross the network there in the clear.
    pub fn non_loopback_listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        self.listener_settings()
            .iter()
            .flat_map(|row| non_loopback_addresses(row.listen.1).map(|address| (row.listen.0, address)))
            .collect()
    }

    /// Notes what is wrong with the listeners.
    pub(super) fn check_listeners(
        &self,
        origin_of: &dyn Fn(&str) -> ConfigOrigin,
        faults: &mut Vec<ConfigError>,
    ) {
        // A listener that could not be read is told already.
        let nothing_to_listen_on = self.listen.is_empty() && faults.is_empty();
        let mut fault =
            |key: &str, what: String| faults.push(ConfigError { origin: origin_of(key), message: what });
        for row in self.listener_settings() {
            let (key, listen) = row.listen;
            let (peers_key, peers) = row.trusted_peers;
            let is_unset = matches!(origin_of(peers_key), ConfigOrigin::Unset);
            if let Some(address) = non_loopback_addresses(listen).next().filter(|_| is_unset) {
                fault(key, format!("{address} can be reached from other machines{}", row.remedy));
            }
            let over_tcp = listen.iter().any(|one| matches!(one, ListenAddress::Tcp(_)));
            if over_tcp && peers.is_empty() && !is_unset {
                fault(peers_key, "it names nobody, so nobody could ask".into());
            }
        }
        if self.proxy_secret_file.is_none()
            && let Some(one) = self.upstreams.iter().find(|one| one.has_credentials())
        {
            faults
                .push(ConfigError { origin: one.origin.clone(), message: missing_proxy_secret_message(one) });
        }
        if self.dialects.is_empty() && faults.is_empty() {
            let what = "no dialect is enabled, so every request would be 404; leave it out for nginx";
            faults.push(ConfigError { origin: origin_of("dialects"), message: what.into() });
        }
        if nothing_to_listen_on {
            let what = "there is nothing to listen on; leave it out for 127.0.0.1:8000";
            faults.push(ConfigError { origin: origin_of("listen"), message: what.into() });
        }
    }
}

fn missing_proxy_secret_message(one: &UpstreamConfig) -> String {
    format!(
        "upstream {} has credentials, which any peer that may ask could read: set proxy_secret_file (make one: openssl rand -hex 32 >FILE), and nginx's NGX_DOORWARD_PROXY_SECRET_FILE to the same file",
        one.name
    )
}

fn non_loopback_addresses(listen: &[ListenAddress]) -> impl Iterator<Item = SocketAddr> {
    listen.iter().filter_map(|one| match one {
        ListenAddress::Tcp(address) if !address.ip().to_canonical().is_loopback() => Some(*address),
        ListenAddress::Tcp(_) | ListenAddress::Unix(_) | ListenAddress::Systemd(_) => None,
    })
}
