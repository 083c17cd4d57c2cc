//! Single values of the policy file: one small function for each kind, whose error says what would do
//! instead; and what is told of the file.

use ipnet::IpNet;

use super::rule::HostPattern;
use super::site;

/// The most faults that are told of one file.
pub const FAULTS_MAX: usize = 100;

/// What is wrong with the file at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What, and what to do.
    pub what: String,
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
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

pub(super) fn host_pattern(text: &str) -> Result<HostPattern, String> {
    let (bare, below) = text.strip_prefix("*.").map_or((text, false), |bare| (bare, true));
    let host =
        site::host(bare).map_err(|_| "it is not a host name; all below one are *.example.com".to_owned())?;
    Ok(if below { HostPattern::Below(format!(".{host}").into()) } else { HostPattern::Literal(host.into()) })
}
