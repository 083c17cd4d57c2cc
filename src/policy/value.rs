//! Single values of the policy file: one small function for each kind, whose error says what would do
//! instead; and what is told of the file.

use ipnet::IpNet;

/// The most faults that are told of one file.
pub const ERRORS_MAX: usize = 100;

/// What is wrong with the file at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFileError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What, and what to do.
    pub message: String,
}

pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    if let Ok(IpNet::V6(block)) = network
        && block.addr().to_ipv4_mapped().is_some()
    {
        return Err("it is an IPv4 address written as IPv6; write it as IPv4".into());
    }
    network
        .map(|network| network.trunc())
        .map_err(|_| "it is neither an IP address nor a network like 10.0.0.0/24".into())
}
