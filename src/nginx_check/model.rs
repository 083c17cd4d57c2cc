//! The parts of a configuration: its servers, its locations, and the locations of auth subrequests.

use std::collections::{BTreeMap, BTreeSet};

use super::address::{Address, PASS_DIRECTIVES, UpstreamBlocks};
use super::tree::{Node, Tree};
use super::variables::{Variables, variables};

/// Maximum length of a path that is looked up, in bytes. Paths of configurations are shorter.
const PATH_MAX: usize = 1024;

/// The way in which nginx selects a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocationKind {
    Exact,
    Prefix,
    PreferredPrefix,
    Regex,
    Named,
}

/// A directive that passes requests on, and its address.
pub(super) struct PassDirective<'c> {
    pub(super) node: Node<'c>,
    pub(super) address: Address,
}

/// A location. Its `if` and `limit_except` blocks belong to it; nested locations do not.
pub(super) struct Location<'c> {
    pub(super) block: Node<'c>,
    pub(super) server: Node<'c>,
    pub(super) kind: LocationKind,
    /// The path, the regular expression, or the name with its `@`.
    pub(super) path: &'c str,
    pub(super) passes: Vec<PassDirective<'c>>,
}

impl<'c> Location<'c> {
    /// Returns the URI of the auth subrequest, if one runs before this location answers.
    pub(super) fn guard(&self) -> Option<&'c str> {
        guard(self.block)
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.guard().is_some()
    }

    /// Returns whether `auth_request off` applies.
    pub(super) fn is_explicitly_open(&self) -> bool {
        self.block.effective("auth_request").is_some_and(|node| node.arg(0) == "off")
    }

    /// Returns whether a client can select this location.
    pub(super) fn is_public(&self) -> bool {
        self.kind != LocationKind::Named && self.block.effective("internal").is_none()
    }

    /// Returns whether it answers every request itself, or lets no client in.
    pub(super) fn is_closed(&self) -> bool {
        self.block.child("return").is_some()
            || self.server.child("return").is_some()
            || is_restricted(self.block)
            || is_local_server(self.server)
    }

    /// Returns the block and its `if` and `limit_except` blocks.
    pub(super) fn blocks(&self) -> Vec<Node<'c>> {
        own_blocks(self.block)
    }

    /// Returns whether this is a location of a registry.
    pub(super) fn is_registry(&self) -> bool {
        self.path.trim_start_matches('^').starts_with("/v2")
    }

    /// Returns a description for messages.
    pub(super) fn title(&self) -> String {
        format!("`location {}`", self.block.args().join(" "))
    }
}

/// Returns the URI of the auth subrequest that applies in a block.
pub(super) fn guard(block: Node<'_>) -> Option<&str> {
    Some(block.effective("auth_request")?.arg(0)).filter(|uri| *uri != "off")
}

fn own_blocks(block: Node<'_>) -> Vec<Node<'_>> {
    let mut blocks = vec![block];
    for name in ["if", "limit_except"] {
        blocks.extend(block.children_named(name));
    }
    blocks
}

/// Returns whether another kind of access control applies: addresses, passwords of nginx, certificates, Lua.
pub(super) fn is_restricted(block: Node<'_>) -> bool {
    let denies_all = address_rules(block)
        .iter()
        .find(|rule| rule.arg(0) == "all")
        .is_some_and(|rule| rule.name() == "deny");
    let has_arg = |name: &str| !matches!(block.effective_arg(name), "" | "off");
    (denies_all && block.effective_arg("satisfy") != "any")
        || ["auth_basic", "auth_jwt", "auth_digest"].into_iter().any(has_arg)
        || block.effective_arg("ssl_verify_client") == "on"
        || block.levels().any(|level| level.children().any(|child| child.name().starts_with("access_by_lua")))
}

/// Returns the `allow` and `deny` lines that apply, in their order.
pub(super) fn address_rules(block: Node<'_>) -> Vec<Node<'_>> {
    block
        .levels()
        .map(|level| {
            let mut rules = level.children_named("allow");
            rules.extend(level.children_named("deny"));
            rules.sort_by_key(|node| node.id());
            rules
        })
        .find(|rules| !rules.is_empty())
        .unwrap_or_default()
}

/// Returns whether a server accepts connections over unix sockets only.
fn is_local_server(server: Node<'_>) -> bool {
    let listens = server.children_named("listen");
    !listens.is_empty() && listens.iter().all(|listen| listen.arg(0).starts_with("unix:"))
}

/// The kind of an auth service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubrequestTarget {
    /// doorward: its headers are known.
    Doorward,
    /// Another service, such as oauth2-proxy.
    Other,
}

/// An `auth_request` target: one location that handles the subrequests of a server.
pub(super) struct AuthTarget<'c> {
    /// The first directive that names it.
    pub(super) directive: Node<'c>,
    pub(super) server: Node<'c>,
    pub(super) uri: &'c str,
    /// The position in [`Model::locations`]; `None` if no location has this path.
    pub(super) location: Option<usize>,
    pub(super) service: SubrequestTarget,
}

/// The input of the rules.
pub(super) struct Model<'c> {
    pub(super) tree: &'c Tree<'c>,
    pub(super) variables: Variables<'c>,
    pub(super) servers: Vec<Node<'c>>,
    pub(super) locations: Vec<Location<'c>>,
    pub(super) targets: Vec<AuthTarget<'c>>,
    pub(super) stream_passes: Vec<PassDirective<'c>>,
    index: Index<'c>,
}

/// Lookups that would otherwise read all locations.
#[derive(Default)]
struct Index<'c> {
    /// The locations of each server.
    by_server: BTreeMap<usize, Vec<usize>>,
    /// The exact and named locations, by server and path.
    exact: BTreeMap<(usize, &'c str), usize>,
    /// The prefix locations, by server and path.
    prefix: BTreeMap<(usize, &'c str), usize>,
    /// The blocks that handle auth subrequests.
    targets: BTreeSet<usize>,
    /// The servers in which an auth subrequest runs.
    guarded_servers: BTreeSet<usize>,
    /// The addresses to which guarded locations pass requests, the part that doorward guards, and the names.
    protected: BTreeSet<String>,
    protected_by_doorward: BTreeSet<String>,
    protected_names: BTreeSet<String>,
    /// The addresses of auth services.
    auth_services: BTreeSet<String>,
}

impl<'c> Model<'c> {
    /// Reads the tree.
    pub(super) fn read(tree: &'c Tree<'c>) -> Self {
        let variables = Variables::read(tree);
        let upstreams = UpstreamBlocks::read(tree, &variables);
        let pass = |node: Node<'c>| PassDirective { node, address: upstreams.address(node, &variables) };
        let (mut servers, mut locations, mut stream_passes) = (Vec::new(), Vec::new(), Vec::new());
        for node in tree.nodes() {
            let top = node.levels().find(|level| level.parent().is_root()).map_or("", Node::name);
            let is_stream = matches!(top, "stream" | "mail");
            match node.name() {
                "server" if !is_stream && node.parent().name() != "upstream" => servers.push(node),
                "proxy_pass" if is_stream => stream_passes.push(pass(node)),
                "location" if !is_stream => {
                    let server = node.levels().find(|level| level.name() == "server");
                    let (kind, path) = location_path(node);
                    let passes = own_blocks(node)
                        .into_iter()
                        .flat_map(|block| block.children())
                        .filter(|child| PASS_DIRECTIVES.contains(&child.name()))
                        .map(pass)
                        .collect();
                    let server = server.unwrap_or_else(|| tree.root());
                    locations.push(Location { block: node, server, kind, path, passes });
                }
                _ => {}
            }
        }
        let mut model = Self {
            tree,
            variables,
            servers,
            locations,
            targets: Vec::new(),
            stream_passes,
            index: Index::default(),
        };
        model.index_locations();
        model.targets = model.find_targets();
        model.index_targets();
        model
    }

    fn index_locations(&mut self) {
        for (at, location) in self.locations.iter().enumerate() {
            let server = location.server.id();
            self.index.by_server.entry(server).or_default().push(at);
            let paths = match location.kind {
                LocationKind::Exact | LocationKind::Named => &mut self.index.exact,
                LocationKind::Prefix | LocationKind::PreferredPrefix => &mut self.index.prefix,
                LocationKind::Regex => continue,
            };
            paths.entry((server, location.path)).or_insert(at);
        }
        let guarded = self.locations.iter().filter(|location| location.is_guarded());
        let mut servers: BTreeSet<usize> = guarded.map(|location| location.server.id()).collect();
        servers
            .extend(self.servers.iter().filter(|server| guard(**server).is_some()).map(|server| server.id()));
        self.index.guarded_servers = servers;
    }

    fn index_targets(&mut self) {
        for target in &self.targets {
            let Some(location) = target.location.and_then(|at| self.locations.get(at)) else { continue };
            self.index.targets.insert(location.block.id());
            // A target that requires the check itself is the application, not an auth service.
            if location.guard() != Some(target.uri) || location.path == target.uri {
                let servers = location.passes.iter().flat_map(|pass| pass.address.servers.iter().cloned());
                self.index.auth_services.extend(servers);
            }
        }
        let mut index = std::mem::take(&mut self.index);
        for location in &self.locations {
            if !location.is_guarded() || index.targets.contains(&location.block.id()) {
                continue;
            }
            let is_doorward = self.service_of(location) == Some(SubrequestTarget::Doorward);
            for address in location.passes.iter().map(|pass| &pass.address) {
                index.protected.extend(address.servers.iter().cloned());
                index.protected_names.insert(address.name.clone());
                if is_doorward {
                    index.protected_by_doorward.extend(address.servers.iter().cloned());
                }
            }
        }
        self.index = index;
    }

    /// Returns the locations of a server.
    pub(super) fn locations_of(&self, server: Node<'c>) -> impl Iterator<Item = &Location<'c>> {
        let indexes = self.index.by_server.get(&server.id());
        indexes.into_iter().flatten().filter_map(|at| self.locations.get(*at))
    }

    /// Returns whether an auth subrequest runs in a server or in one of its locations.
    pub(super) fn has_guard(&self, server: Node<'c>) -> bool {
        self.index.guarded_servers.contains(&server.id())
    }

    /// Returns the location that nginx selects for a path, as far as it does not depend on a regular expression.
    pub(super) fn location_for(&self, server: Node<'c>, uri: &str) -> Option<usize> {
        let server = server.id();
        if let Some(at) = self.index.exact.get(&(server, uri)) {
            return Some(*at);
        }
        let lengths = (1..=uri.len().min(PATH_MAX)).rev();
        lengths
            .filter_map(|end| uri.get(..end))
            .find_map(|path| self.index.prefix.get(&(server, path)).copied())
    }

    /// Returns whether a location handles auth subrequests.
    pub(super) fn is_target(&self, location: &Location<'c>) -> bool {
        self.index.targets.contains(&location.block.id())
    }

    /// Returns whether a guarded location passes requests to the same service.
    pub(super) fn is_protected(&self, address: &Address) -> bool {
        address.servers.iter().any(|server| self.index.protected.contains(server))
    }

    /// Returns whether a location that doorward guards passes requests to the same service.
    pub(super) fn is_protected_by_doorward(&self, address: &Address) -> bool {
        address.servers.iter().any(|server| self.index.protected_by_doorward.contains(server))
    }

    /// Returns the names of the upstreams to which guarded locations pass requests.
    pub(super) fn protected_names(&self) -> &BTreeSet<String> {
        &self.index.protected_names
    }

    /// Returns whether an address is that of an auth service.
    pub(super) fn is_auth_service(&self, address: &Address) -> bool {
        address.servers.iter().any(|server| self.index.auth_services.contains(server))
    }

    /// Returns the kind of the auth service that guards a location.
    pub(super) fn service_of(&self, location: &Location<'c>) -> Option<SubrequestTarget> {
        let uri = location.guard()?;
        let server = location.server;
        let target = self.targets.iter().find(|target| target.server == server && target.uri == uri)?;
        Some(target.service)
    }

    fn find_targets(&self) -> Vec<AuthTarget<'c>> {
        let mut targets: Vec<AuthTarget<'c>> = Vec::new();
        for server in self.servers.iter().copied() {
            let own = self.locations_of(server).filter_map(|l| l.block.effective("auth_request"));
            for directive in server.effective("auth_request").into_iter().chain(own) {
                let uri = directive.arg(0);
                let is_known = targets.iter().any(|known| known.server == server && known.uri == uri);
                if uri == "off" || is_known {
                    continue;
                }
                let location = self.location_for(server, uri);
                let service = self.classify(server, uri, location);
                targets.push(AuthTarget { directive, server, uri, location, service });
            }
        }
        targets
    }

    /// Determines from names, paths and headers which service answers an auth subrequest.
    fn classify(&self, server: Node<'c>, uri: &str, location: Option<usize>) -> SubrequestTarget {
        let Some(location) = location.and_then(|at| self.locations.get(at)) else {
            return SubrequestTarget::Other;
        };
        let Some(pass) = location.passes.first() else { return SubrequestTarget::Other };
        let address = &pass.address;
        let servers: Vec<&str> = address.servers.iter().map(String::as_str).collect();
        let path = address.path.clone().unwrap_or_else(|| uri.to_owned());
        let text = format!("{uri} {} {} {path}", address.name, servers.join(" ")).to_ascii_lowercase();
        if text.contains("doorward") {
            return SubrequestTarget::Doorward;
        }
        let headers = location.block.effective_all("proxy_set_header");
        let sets =
            |names: &[&str]| headers.iter().any(|node| names.contains(&&*node.arg(0).to_ascii_lowercase()));
        if OTHER_SERVICES.iter().any(|word| text.contains(word)) || sets(&["x-original-url", "x-ldap-url"]) {
            return SubrequestTarget::Other;
        }
        let reads = server
            .descendants("auth_request_set")
            .into_iter()
            .chain(server.effective_all("auth_request_set"))
            .flat_map(|node| variables(node.arg(1)))
            .any(|name| DOORWARD_RESPONSE_VARIABLES.contains(&name));
        let sends =
            sets(&["x-original-method", "x-original-content-type", "x-auth-proxy-secret", "x-auth-rewrite"]);
        if path.starts_with("/auth") && (reads || sends) || reads && sends {
            SubrequestTarget::Doorward
        } else {
            SubrequestTarget::Other
        }
    }
}

/// Parts of the names and paths of other auth services.
const OTHER_SERVICES: [&str; 12] = [
    "oauth2",
    "authelia",
    "authentik",
    "vouch",
    "tinyauth",
    "ldap",
    "keycloak",
    "/api/authz",
    "/api/verify",
    "pomerium",
    "/validate",
    "rauthy",
];

/// Variables with response headers that only doorward sends in this combination of names.
const DOORWARD_RESPONSE_VARIABLES: [&str; 9] = [
    "upstream_http_x_auth_user",
    "upstream_http_x_auth_groups",
    "upstream_http_x_auth_by",
    "upstream_http_x_auth_stale",
    "upstream_http_x_auth_reason",
    "upstream_http_x_auth_scope",
    "upstream_http_x_auth_error",
    "upstream_http_x_upstream_uri",
    "upstream_http_x_upstream_authorization",
];

/// Returns the kind and the path of a location. The modifier can be attached to the path.
fn location_path(node: Node<'_>) -> (LocationKind, &str) {
    let (modifier, path) = match node.args() {
        [path] => {
            let modifier = ["=", "^~", "~*", "~"].into_iter().find(|modifier| path.starts_with(modifier));
            let modifier = modifier.unwrap_or_default();
            (modifier, path.get(modifier.len()..).unwrap_or_default())
        }
        args => (node.arg(0), args.get(1).map(String::as_str).unwrap_or_default()),
    };
    let kind = match modifier {
        "=" => LocationKind::Exact,
        "^~" => LocationKind::PreferredPrefix,
        "~" | "~*" => LocationKind::Regex,
        _ if path.starts_with('@') => LocationKind::Named,
        _ => LocationKind::Prefix,
    };
    (kind, path)
}
