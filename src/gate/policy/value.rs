//! Single values of the policy file: one small function for each kind, whose error says what would do
//! instead; and what is told of the file.

use ipnet::IpNet;

use super::glob::{Glob, NamesOf};
use super::registry::Actions;
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

pub(super) fn method(text: &str) -> Result<Box<str>, String> {
    let well = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    well.then(|| text.into()).ok_or_else(|| "a method is written in capitals, as in GET".into())
}

pub(super) fn action(text: &str) -> Result<Actions, String> {
    Actions::named(text).ok_or_else(|| "there are pull, push, delete and catalog".into())
}

pub(super) fn repository(text: &str) -> Result<Glob, String> {
    let foreign = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    Glob::parse(text, NamesOf { what: "repository", foreign, open_end: false })
        .map_err(|fault| fault.to_string())
}

pub(super) fn path(text: &str) -> Result<Glob, String> {
    let inner = text.strip_prefix('/').ok_or("a path begins with a slash")?;
    if inner.replace("%2F", "").contains('%') {
        return Err("write it decoded; only a slash within a segment is written %2F".into());
    }
    let foreign = |c: char| c.is_control() || matches!(c, '\\' | ';' | '?' | '#');
    Glob::parse(inner, NamesOf { what: "path", foreign, open_end: true }).map_err(|fault| fault.to_string())
}
