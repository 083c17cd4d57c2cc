//! The network of a client: the unit by which the throttle and the hash queue count requests.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Number of leading bits of an address that identify its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPrefixes {
    /// The prefix length for IPv4, 8 to 32.
    pub ipv4: u8,
    /// The prefix length for IPv6, 32 to 128. A household or a rented server commonly has a whole /64.
    pub ipv6: u8,
}

/// The address bits of the block that an IPv4 network is in: a /24, which commonly belongs to one customer. The
/// address is in IPv6 form.
const BLOCK_MASK_V4: u128 = u128::MAX << 8;

/// The address bits of the block that an IPv6 network is in: a /48, which commonly belongs to one customer.
const BLOCK_MASK_V6: u128 = u128::MAX << 80;

/// The address bits of the allocation that an IPv6 network is in: a /32, which commonly belongs to one provider.
const ALLOCATION_MASK_V6: u128 = u128::MAX << 96;

/// The network of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientNetwork {
    /// A range of addresses.
    Ip(IpNet),
    /// The network of every client without an address: a peer on a unix socket that sends no `X-Real-IP`.
    Local,
}

impl ClientNetwork {
    /// Returns the network of an address. An IPv4 address in IPv6 form (`::ffff:1.2.3.4`) counts as IPv4. Otherwise one
    /// client would have two networks.
    pub fn from_address(address: Option<IpAddr>, prefixes: NetworkPrefixes) -> Self {
        let Some(address) = address.map(|a| a.to_canonical()) else {
            return Self::Local;
        };
        let prefix = if address.is_ipv4() { prefixes.ipv4 } else { prefixes.ipv6 };
        match IpNet::new(address, prefix) {
            Ok(network) => Self::Ip(network.trunc()),
            // The settings keep the prefixes in range. If one were out of range, the address would be its own network.
            Err(_) => Self::Ip(IpNet::from(address)),
        }
    }

    /// Returns a number that differs from the number of every other network, while the prefixes stay unchanged.
    pub fn id(self) -> u128 {
        match self {
            Self::Ip(IpNet::V4(network)) => network.network().to_ipv6_mapped().to_bits(),
            Self::Ip(IpNet::V6(network)) => network.network().to_bits(),
            // No client has the unspecified address.
            Self::Local => 0,
        }
    }

    /// Returns the number of the block that the network is in: an IPv4 /24 or an IPv6 /48.
    pub fn block_id(self) -> u128 {
        match self {
            Self::Ip(IpNet::V4(_)) => self.id() & BLOCK_MASK_V4,
            Self::Ip(IpNet::V6(_)) => self.id() & BLOCK_MASK_V6,
            Self::Local => 0,
        }
    }

    /// Returns the number of the IPv6 /32 that the network is in; `None` for IPv4 and local networks. One provider gets
    /// a /32, and any customer can rent addresses in all of its 65,536 blocks. The addresses of an IPv4 /16 have no
    /// such common owner.
    pub fn allocation_id(self) -> Option<u128> {
        match self {
            Self::Ip(IpNet::V6(_)) => Some(self.id() & ALLOCATION_MASK_V6),
            Self::Ip(IpNet::V4(_)) | Self::Local => None,
        }
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(network) => write!(f, "{network}"),
            Self::Local => f.write_str("local"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> String {
        ClientNetwork::from_address(address.parse().ok(), NetworkPrefixes { ipv4: 24, ipv6: 64 }).to_string()
    }

    #[test]
    fn address_is_truncated_to_its_network() {
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }

    #[test]
    fn block_is_wider_than_a_network_and_differs_by_address_family() {
        let block = |address: &str| {
            ClientNetwork::from_address(address.parse().ok(), NetworkPrefixes { ipv4: 32, ipv6: 64 })
                .block_id()
        };
        assert_eq!(block("192.0.2.1"), block("192.0.2.254"));
        assert_ne!(block("192.0.2.1"), block("192.0.3.1"));
        assert_eq!(block("2001:db8:1:2::1"), block("2001:db8:1:ffff::1"));
        assert_ne!(block("2001:db8:1::1"), block("2001:db8:2::1"));
        assert_ne!(block("192.0.2.1"), block("::1"));
    }

    #[test]
    fn only_ipv6_has_an_allocation_wider_than_its_block() {
        let allocation = |address: &str| {
            ClientNetwork::from_address(address.parse().ok(), NetworkPrefixes { ipv4: 32, ipv6: 64 })
                .allocation_id()
        };
        assert!(allocation("2001:db8:1::1").is_some());
        assert_eq!(allocation("2001:db8:1::1"), allocation("2001:db8:ffff:1::1"));
        assert_ne!(allocation("2001:db8::1"), allocation("2001:db9::1"));
        assert_eq!(allocation("192.0.2.1"), None);
        assert_eq!(ClientNetwork::Local.allocation_id(), None);
    }

    #[test]
    fn ipv4_mapped_address_counts_as_ipv4() {
        assert_eq!(network("::ffff:192.0.2.77"), network("192.0.2.1"));
    }
}
