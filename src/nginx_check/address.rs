//! The address in a `proxy_pass` and similar directives, so that two of them can be compared.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Node, Tree};
use super::variables::Variables;

/// The directives that pass a request on to another program.
pub(super) const PASS_DIRECTIVES: [&str; 6] =
    ["proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass"];

/// The address to which a directive passes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The name of an `upstream`, or the host, as written.
    pub(super) name: String,
    /// The hosts and ports, or the unix sockets.
    pub(super) servers: BTreeSet<String>,
    /// The path after the host, with its slash; `None` if requests are passed on with the path of the client.
    pub(super) path: Option<String>,
    /// The scheme is https or grpcs.
    pub(super) is_tls: bool,
}

impl Address {
    /// Returns whether both lead to the same program.
    pub(super) fn is_same_service(&self, other: &Self) -> bool {
        !self.servers.is_disjoint(&other.servers)
    }
}

/// The `upstream` blocks: the servers of each name.
pub(super) struct UpstreamBlocks(BTreeMap<String, BTreeSet<String>>);

impl UpstreamBlocks {
    /// Reads the `upstream` blocks of http and stream.
    pub(super) fn read(tree: &Tree<'_>, variables: &Variables<'_>) -> Self {
        let mut read: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in tree.nodes().filter(|node| node.name() == "upstream") {
            let servers = node.children_named("server");
            read.entry(node.arg(0).to_ascii_lowercase())
                .or_default()
                .extend(servers.iter().map(|server| normalize(&variables.resolve(server.arg(0)), "80")));
        }
        Self(read)
    }

    /// Returns the address of a pass directive.
    pub(super) fn address(&self, pass: Node<'_>, variables: &Variables<'_>) -> Address {
        let url = variables.resolve(pass.arg(0));
        let (scheme, rest) = url.split_once("://").unwrap_or(("", &url));
        let is_tls = matches!(scheme, "https" | "grpcs");
        let (host, path) = split_host(rest);
        let name = host.to_ascii_lowercase();
        let default_port = if is_tls { "443" } else { "80" };
        let servers = match self.0.get(&name) {
            Some(servers) if !servers.is_empty() => servers.clone(),
            Some(_) | None => BTreeSet::from([normalize(&name, default_port)]),
        };
        Address { name, servers, path: path.map(str::to_owned), is_tls }
    }
}

/// Splits `host:port/path`, `unix:/socket:/path` and `host$variable` at the end of the host.
fn split_host(text: &str) -> (&str, Option<&str>) {
    if let Some(socket) = text.strip_prefix("unix:") {
        let end = socket.find(':').map_or(text.len(), |at| at + "unix:".len());
        let (host, path) = text.split_at(end);
        return (host, path.strip_prefix(':').filter(|path| !path.is_empty()));
    }
    // A variable directly after a host is its path.
    let end = text
        .char_indices()
        .find(|(at, c)| *c == '/' || *c == '?' || (*c == '$' && *at > 0 && !text.starts_with('$')))
        .map_or(text.len(), |(at, _)| at);
    let (host, path) = text.split_at(end);
    (host, Some(path).filter(|path| !path.is_empty()))
}

/// Writes one address in one way: `localhost` as `127.0.0.1`, and with a port.
pub(super) fn normalize(address: &str, default_port: &str) -> String {
    let address = address.to_ascii_lowercase();
    if address.starts_with("unix:") || address.starts_with('$') {
        return address;
    }
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        Some(_) | None => (&address[..], default_port),
    };
    let host = if matches!(host, "localhost" | "[::1]") { "127.0.0.1" } else { host };
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_are_separated() {
        for (text, host, path) in [
            ("app:80/x", "app:80", Some("/x")),
            ("app", "app", None),
            ("app$request_uri", "app", Some("$request_uri")),
            ("$host:80/x", "$host:80", Some("/x")),
            ("unix:/run/a.sock", "unix:/run/a.sock", None),
            ("unix:/run/a.sock:/auth", "unix:/run/a.sock", Some("/auth")),
            ("[::1]:80", "[::1]:80", None),
        ] {
            assert_eq!(split_host(text), (host, path), "{text}");
        }
    }

    #[test]
    fn spellings_of_one_address_are_equal() {
        assert_eq!(normalize("LOCALHOST:80", "1"), normalize("127.0.0.1", "80"));
        assert_eq!(normalize("[::1]:8000", "80"), "127.0.0.1:8000");
        assert_ne!(normalize("app:81", "80"), normalize("app", "80"));
    }
}
