//! Which network a client is in: what the throttle and the hash queue hold somebody to account by.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// How many leading bits of an address make a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPrefixes {
    /// For IPv4, 8 to 32.
    pub ipv4: u8,
    /// For IPv6, 32 to 128; a household or a rented server commonly owns a whole /64.
    pub ipv6: u8,
}

/// The network that a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientNetwork {
    /// An address block.
    Ip(IpNet),
    /// No address was given: a unix socket, without `X-Real-IP`.
    Local,
}

impl ClientNetwork {
    /// The network that `address` is in. An IPv4 address written as IPv6 (`::ffff:1.2.3.4`) counts
    /// as IPv4, or one client would have two networks.
    pub fn from_address(address: Option<IpAddr>, prefixes: NetworkPrefixes) -> Self {
        let Some(address) = address.map(|a| a.to_canonical()) else {
            return Self::Local;
        };
        let prefix = if address.is_ipv4() { prefixes.ipv4 } else { prefixes.ipv6 };
        match IpNet::new(address, prefix) {
            Ok(block) => Self::Ip(block.trunc()),
            // Settings keep the prefixes in range; were one out of it, the address stands alone.
            Err(_) => Self::Ip(IpNet::from(address)),
        }
    }
}

impl ClientNetwork {
    /// A number of its own, as long as the prefixes stay the same.
    pub fn id(self) -> u128 {
        match self {
            Self::Ip(IpNet::V4(block)) => block.network().to_ipv6_mapped().to_bits(),
            Self::Ip(IpNet::V6(block)) => block.network().to_bits(),
            // The unspecified address is nobody's.
            Self::Local => 0,
        }
    }
}

/// The bits of an address, written as IPv6, that those of one block have in common: an IPv4 /24, an
/// IPv6 /48, which is what is commonly given to one customer.
const BLOCK_MASK_V4: u128 = u128::MAX << 8;
const BLOCK_MASK_V6: u128 = u128::MAX << 80;

/// Those that the blocks of one IPv6 allocation have in common.
const ALLOCATION_MASK_V6: u128 = u128::MAX << 96;

impl ClientNetwork {
    /// A number of the wider block that the network is in.
    pub fn block_id(self) -> u128 {
        match self {
            Self::Ip(IpNet::V4(_)) => self.id() & BLOCK_MASK_V4,
            Self::Ip(IpNet::V6(_)) => self.id() & BLOCK_MASK_V6,
            Self::Local => 0,
        }
    }

    /// A number of the IPv6 /32 that the network is in; `None` for others. Addresses of one IPv4 /16 have
    /// nothing in common, but an IPv6 /32 is what one provider gets and anybody can rent: 65,536 blocks.
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
            Self::Ip(block) => write!(f, "{block}"),
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
