//! The servers that get the auth subrequests: servers of this nginx that admit every client, and connections without TLS.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::super::address::normalize;
use super::super::finding::CheckRule;
use super::super::headers::RequestHeaders;
use super::super::model::{AuthTarget, Model, PassDirective};
use super::super::tree::Node;
use super::Findings;
use super::auth_location::is_self_check;
use super::auth_response::is_success;

const ADMITS: CheckRule = CheckRule::error("auth-server-admits", Some(7));
const PLAIN: CheckRule = CheckRule::warning("auth-service-without-tls", Some(41));

/// Last labels of host names that no public DNS has.
const INTERNAL_LABELS: [&str; 11] = [
    "local",
    "localhost",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "svc",
    "arpa",
];

/// Labels from which a name is that of a host. Names with fewer are those of containers and Kubernetes services.
const HOST_LABELS_MIN: usize = 3;

pub(super) fn check<'c>(findings: &mut Findings<'_, 'c>) {
    let model = findings.model;
    let (listeners, upstreams) = (Listeners::read(model), upstream_lines(model));
    for target in &model.targets {
        let Some(location) = target.location.and_then(|at| model.locations.get(at)) else { continue };
        if is_self_check(location, target) {
            continue;
        }
        for pass in &location.passes {
            check_answers(findings, target, pass, &listeners, &upstreams);
            check_encryption(findings, pass);
        }
    }
}

/// Returns the `server` lines of the upstreams by their names.
fn upstream_lines<'c>(model: &Model<'c>) -> BTreeMap<String, Vec<Node<'c>>> {
    let mut lines: BTreeMap<String, Vec<Node<'c>>> = BTreeMap::new();
    for upstream in model.tree.nodes().filter(|node| node.name() == "upstream") {
        lines
            .entry(upstream.arg(0).to_ascii_lowercase())
            .or_default()
            .extend(upstream.children_named("server"));
    }
    lines
}

/// The servers of this nginx, by the port or the unix socket.
struct Listeners<'c>(BTreeMap<String, Vec<(String, Node<'c>)>>);

impl<'c> Listeners<'c> {
    fn read(model: &Model<'c>) -> Self {
        let mut read: BTreeMap<String, Vec<(String, Node<'c>)>> = BTreeMap::new();
        for server in model.servers.iter().copied() {
            for listen in server.children_named("listen") {
                let address = listen.arg(0);
                let is_port = address.bytes().all(|byte| byte.is_ascii_digit());
                let address = if is_port { format!("*:{address}") } else { normalize(address, "80") };
                let (host, port) = split_port(&address);
                read.entry(port.to_owned()).or_default().push((host.to_owned(), server));
            }
        }
        Self(read)
    }

    /// Returns the servers that accept connections to an address.
    fn at(&self, address: &str) -> impl Iterator<Item = Node<'c>> {
        let (to, port) = split_port(address);
        let at_port = self.0.get(port).into_iter().flatten();
        at_port
            .filter(move |(host, _)| {
                host == to || (matches!(&host[..], "*" | "0.0.0.0" | "[::]") && to.starts_with("127."))
            })
            .map(|(_, server)| *server)
    }
}

/// Splits an address at its port. The whole path of a unix socket is its port.
fn split_port(address: &str) -> (&str, &str) {
    if address.starts_with("unix:") {
        return ("", address);
    }
    address.rsplit_once(':').unwrap_or((address, ""))
}

/// Checks that no server of this nginx answers the subrequest with a 2xx status.
fn check_answers<'c>(
    findings: &mut Findings<'_, 'c>,
    target: &AuthTarget<'c>,
    pass: &PassDirective<'c>,
    listeners: &Listeners<'c>,
    upstreams: &BTreeMap<String, Vec<Node<'c>>>,
) {
    let model = findings.model;
    let path = pass.address.path.as_deref().unwrap_or(target.uri);
    let path = path.split(['?', '$']).next().unwrap_or_default();
    let places: Vec<(String, Node<'c>)> = match upstreams.get(&pass.address.name) {
        Some(lines) => {
            lines.iter().map(|line| (normalize(&model.variables.resolve(line.arg(0)), "80"), *line)).collect()
        }
        None => pass.address.servers.iter().map(|address| (address.clone(), pass.node)).collect(),
    };
    for (address, place) in places {
        let Some(answer) = listeners.at(&address).find_map(|server| success(model, server, path)) else {
            continue;
        };
        let message = format!(
            "{address} is a server of this nginx, whose `{}` admits every client that is checked there",
            answer.words().join(" ")
        );
        findings.report(
            place,
            &ADMITS,
            message,
            "remove the server; without doorward, clients must get a 503",
        );
    }
}

/// Returns the `return` with which a server answers a path with a 2xx status.
fn success<'c>(model: &Model<'c>, server: Node<'c>, path: &str) -> Option<Node<'c>> {
    let location = || model.locations.get(model.location_for(server, path)?)?.block.child("return");
    server.child("return").or_else(location).filter(|answer| is_success(*answer))
}

/// Checks that passwords do not cross a public network without encryption.
fn check_encryption<'c>(findings: &mut Findings<'_, 'c>, pass: &PassDirective<'c>) {
    if pass.address.is_tls || pass.node.name() != "proxy_pass" {
        return;
    }
    let headers = RequestHeaders::read(pass);
    let sends_credentials = ["Authorization", "Cookie"].into_iter().any(|name| {
        headers.lets_client_send(name) || headers.get(name).is_some_and(|node| !node.arg(1).is_empty())
    });
    let remote = pass.address.servers.iter().find(|address| is_public_host(split_port(address).0));
    if let (Some(address), true) = (remote, sends_credentials) {
        findings.report(
            pass.node,
            &PLAIN,
            format!("the auth subrequest sends passwords to {address} without encryption"),
            "write `https://` and add `proxy_ssl_verify on;`, or use an address of a private network",
        );
    }
}

/// Returns whether a host is neither this machine nor in a private network, as far as its address or name shows.
fn is_public_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => is_public_v4(address),
        Ok(IpAddr::V6(address)) => address.to_ipv4_mapped().map_or_else(
            || {
                !(address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unique_local()
                    || address.is_unicast_link_local())
            },
            is_public_v4,
        ),
        Err(_) => {
            let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
            labels.len() >= HOST_LABELS_MIN
                && !host.contains('$')
                && labels.last().is_some_and(|last| !INTERNAL_LABELS.contains(last))
        }
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    // 100.64.0.0/10 is the address space of carriers and of VPNs (RFC 6598).
    let [first, second, _, _] = address.octets();
    let is_shared = first == 100 && second & 0xc0 == 64;
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || is_shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_outside_of_private_networks_are_public() {
        for host in ["203.0.113.40", "[2001:db8::1]", "[::ffff:8.8.8.8]", "auth.example.com"] {
            assert!(is_public_host(host), "{host}");
        }
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.1.1",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
            "doorward",
            "doorward.auth",
            "doorward.auth.svc",
            "doorward.auth.svc.cluster.local",
            "$auth.example.com",
            "",
        ];
        for host in private {
            assert!(!is_public_host(host), "{host}");
        }
    }
}
