//! The headers that a location sends to its upstream.

use std::collections::{BTreeMap, BTreeSet};

use super::address::Address;
use super::model::{Model, PassDirective};
use super::tree::Node;

/// The request headers of one pass directive.
pub(super) struct RequestHeaders<'c> {
    /// The directives that set a header, with the name in lower case.
    set: Vec<(String, Node<'c>)>,
    /// The other headers of the client are passed on.
    pub(super) passes_client_headers: bool,
}

impl<'c> RequestHeaders<'c> {
    /// Reads the headers of a pass directive.
    pub(super) fn read(pass: &PassDirective<'c>) -> Self {
        let block = pass.node.parent();
        let protocol = pass.node.name().trim_end_matches("_pass");
        let directive = match protocol {
            "proxy" => "proxy_set_header",
            "grpc" => "grpc_set_header",
            "fastcgi" => "fastcgi_param",
            "uwsgi" => "uwsgi_param",
            _ => "scgi_param",
        };
        let set = block
            .effective_all(directive)
            .into_iter()
            .map(|node| {
                let name = node.arg(0).to_ascii_lowercase();
                let name = match name.strip_prefix("http_") {
                    Some(rest) if directive.ends_with("_param") => rest.replace('_', "-"),
                    Some(_) | None => name,
                };
                (name, node)
            })
            .collect();
        let passes = block.effective_arg(&format!("{protocol}_pass_request_headers"));
        // memcached gets no headers.
        Self { set, passes_client_headers: passes != "off" && protocol != "memcached" }
    }

    /// Returns the directives that set a header.
    pub(super) fn all(&self, name: &str) -> Vec<Node<'c>> {
        let name = name.to_ascii_lowercase();
        self.set.iter().filter(|(set, _)| *set == name).map(|(_, node)| *node).collect()
    }

    /// Returns the directive that sets a header to a value. A line with an empty value sends no header, so a second line
    /// with a value is used.
    pub(super) fn get(&self, name: &str) -> Option<Node<'c>> {
        let all = self.all(name);
        all.iter().rev().find(|node| !node.arg(1).is_empty()).or(all.last()).copied()
    }

    /// Returns whether the client's own header of this name reaches the upstream.
    pub(super) fn lets_client_send(&self, name: &str) -> bool {
        self.passes_client_headers && self.all(name).is_empty()
    }

    /// Returns every directive that sets a header.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Node<'c>)> {
        self.set.iter().map(|(name, node)| (&name[..], *node))
    }
}

/// Headers with the identity that doorward sends, which an upstream reads.
pub(super) const IDENTITY_HEADERS: [&str; 4] = ["X-Auth-User", "X-Auth-Groups", "X-Auth-By", "X-Auth-Stale"];

/// Headers by which guarded locations pass an identity on, and the addresses that get each of them.
pub(super) struct ForwardedIdentities(BTreeMap<String, BTreeSet<String>>);

impl ForwardedIdentities {
    /// Reads the headers that guarded locations set from a response of an auth service.
    pub(super) fn read(model: &Model<'_>) -> Self {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for location in model.locations.iter().filter(|l| l.is_guarded() && !model.is_target(l)) {
            for pass in &location.passes {
                for (name, node) in RequestHeaders::read(pass).iter() {
                    if name != "authorization"
                        && model.variables.any_origin(node.arg(1), is_identity_variable)
                    {
                        names
                            .entry(name.to_owned())
                            .or_default()
                            .extend(pass.address.servers.iter().cloned());
                    }
                }
            }
        }
        Self(names)
    }

    /// Returns the headers with an identity that a service gets from some location.
    pub(super) fn of(&self, address: &Address) -> Vec<&str> {
        let is_sent = |servers: &BTreeSet<String>| !servers.is_disjoint(&address.servers);
        self.0.iter().filter(|(_, servers)| is_sent(servers)).map(|(name, _)| &name[..]).collect()
    }
}

/// Returns whether a variable is a response header of an auth service that identifies a user.
pub(super) fn is_identity_variable(name: &str) -> bool {
    name.strip_prefix("upstream_http_").is_some_and(|header| {
        let words = ["user", "group", "email", "name", "fact", "role", "uid", "_by", "stale"];
        words.iter().any(|word| header.contains(word)) && !header.starts_with("x_upstream")
    })
}
