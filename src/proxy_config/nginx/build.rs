//! Makes the values of the templates from the options. Reports options that contradict each other.

use super::checks::check_server;
use super::listeners::{check_listeners, default_servers, mark_default_servers};
use super::view::{
    CertificateView, FactView, ListenView, NginxView, ResolverView, ServerView, StorageHostView, Target,
    UpstreamView,
};
use crate::proxy_config::machine::{Machine, NginxBuild};
use crate::proxy_config::options::{CommonOptions, OptionError, ProxyOptions, ServerOptions};
use crate::proxy_config::value::{
    AuthService, DnsAddress, Ipv6Mode, ListenSocket, PORT_MISSING, Redirects, ServerAddress, ServiceKind,
    TokenMode, UpstreamAddress, parse_remote_registry,
};

/// The limit of servers in one configuration. Real ones have two or three.
const SERVERS_MAX: usize = 64;

/// nginx keeps idle connections for this time, in seconds. It is less than the idle timeouts of doorward and of common
/// servers, so nginx never writes to a connection that is being closed.
const KEEPALIVE_TIMEOUT: u32 = 60;
/// The time for a remote registry, in seconds: load balancers close idle connections after 60 s, or earlier under
/// load.
const REMOTE_KEEPALIVE_TIMEOUT: u32 = 15;

/// The part of the connections of a worker that stay open to one upstream. A request has three connections: to the
/// client, to doorward and to the upstream.
const KEEPALIVE_SHARE: u32 = 4;
/// The smallest number of them. With fewer, an ordinary pull opens connections again.
const KEEPALIVE_MIN: u32 = 64;

/// The longest key of a map that fits into the default `map_hash_bucket_size` of nginx. It is a cache line of 64 bytes. The
/// rest is two pointers and the length of the key.
const MAP_KEY_BYTES_MAX: usize = 46;

/// The length limit of the line that describes the servers. nginx reads comments of up to 4096 bytes.
const SUMMARY_BYTES_MAX: usize = 400;

/// The smallest default of nginx for `server_names_hash_bucket_size`: the size of a cache line.
const SERVER_NAMES_BUCKET_DEFAULT: usize = 64;

/// The size limit of a request body to a site. nginx stores a body on its disk.
const SITE_BODY_DEFAULT: &str = "100m";

/// The part of the configuration that the command writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigurationPart {
    /// The whole configuration.
    Whole,
    /// The configuration without the server itself, which the administrator writes. A server can have no upstream.
    IncludeOnly,
}

/// Returns the values of the templates, or all errors.
pub(crate) fn build(
    options: &ProxyOptions,
    part: ConfigurationPart,
    machine: &Machine,
    nginx: NginxBuild,
    secret_include: Option<String>,
) -> Result<NginxView, Vec<OptionError>> {
    let mut builder = ViewBuilder {
        common: &options.common,
        part,
        machine,
        nginx,
        resolvers: match options.common.resolver.is_empty() {
            true => {
                machine.resolvers().into_iter().map(|address| DnsAddress { address, port: None }).collect()
            }
            false => options.common.resolver.clone(),
        },
        uses_resolver: false,
        upstreams: Vec::new(),
        errors: Vec::new(),
    };
    match builder.build(options, secret_include) {
        Some(view) if builder.errors.is_empty() => Ok(view),
        Some(_) | None => Err(builder.errors),
    }
}

struct ViewBuilder<'o> {
    common: &'o CommonOptions,
    part: ConfigurationPart,
    machine: &'o Machine,
    nginx: NginxBuild,
    resolvers: Vec<DnsAddress>,
    uses_resolver: bool,
    upstreams: Vec<UpstreamView>,
    errors: Vec<OptionError>,
}

impl ViewBuilder<'_> {
    /// Returns `None` after an error.
    fn build(&mut self, options: &ProxyOptions, secret_include: Option<String>) -> Option<NginxView> {
        if !(1..=SERVERS_MAX).contains(&options.servers.len()) {
            self.common_error("kind", &format!("there must be 1 to {SERVERS_MAX} servers"));
        }
        if self.common.proxy_protocol && self.common.real_ip_from.is_empty() {
            let message = "requires real_ip_from: the load balancers that send the PROXY protocol";
            self.common_error("proxy_protocol", message);
        }
        let auth = match &self.common.auth {
            Some(auth) => Some((
                self.add_upstream(("auth", None), &auth.address, auth_upstream_name(auth), KEEPALIVE_TIMEOUT),
                auth.clone(),
            )),
            None => {
                let message = "missing: set it to the address of doorward, such as 127.0.0.1:8000 or unix:/run/doorward/doorward.sock";
                self.common_error("auth", message);
                None
            }
        };
        let has_tokens = options.servers.iter().any(|server| server.tokens != TokenMode::Off);
        if has_tokens && self.common.auth.as_ref().is_some_and(|auth| !auth.is_doorward) {
            let message = "is another auth service, and only doorward issues tokens; set the address of doorward, such as doorward:8000, or tokens = off";
            self.common_error("auth", message);
        }
        let public = self.build_public(has_tokens);
        let mut servers: Vec<ServerView> = options
            .servers
            .iter()
            .enumerate()
            .filter_map(|(number, server)| self.build_server(number, server))
            .collect();
        self.errors.extend(check_listeners(&servers));
        mark_default_servers(&mut servers);
        let (auth_target, auth) = auth?;
        Some(NginxView {
            summary: summarize(options),
            server_names_bucket: match self.part {
                ConfigurationPart::Whole => server_names_bucket(options),
                ConfigurationPart::IncludeOnly => None,
            },
            keepalive: (self.common.worker_connections / KEEPALIVE_SHARE).max(KEEPALIVE_MIN),
            sends_request_id: self.common.request_id,
            secret_include,
            access_log: self.common.access_log.clone(),
            auth: auth_target,
            auth_is_doorward: auth.is_doorward,
            auth_path: auth.path,
            auth_host: auth.host_header,
            public,
            default_servers: default_servers(&servers, self.nginx.version.has_reject_handshake()),
            real_ip_from: self.common.real_ip_from.iter().map(ToString::to_string).collect(),
            real_ip_header: if self.common.proxy_protocol { "proxy_protocol" } else { "X-Forwarded-For" },
            resolver: self.resolver(),
            joins_header_lines: self.nginx.version.joins_header_lines(),
            has_small_variables_hash: self.nginx.version.has_small_variables_hash()
                || options.servers.len() > 1,
            upstreams: std::mem::take(&mut self.upstreams),
            servers,
        })
    }

    fn common_error(&mut self, option: &'static str, message: &str) {
        self.errors.push(OptionError { option, server: None, message: message.to_owned() });
    }

    fn server_error(&mut self, number: usize, option: &'static str, message: &str) {
        self.errors.push(OptionError { option, server: Some(number), message: message.to_owned() });
    }

    fn build_public(&mut self, has_tokens: bool) -> Option<Target> {
        match (&self.common.public, has_tokens) {
            (Some(address), true) => {
                Some(self.add_upstream(("public", None), address, "doorward_public", KEEPALIVE_TIMEOUT))
            }
            (None, true) => {
                let message = "missing: tokens require the public listener of doorward (public.listen), such as 127.0.0.1:8002";
                self.common_error("public", message);
                None
            }
            // An address alone opens nothing. compose.yaml always names it, so that one setting enables tokens.
            (Some(_) | None, false) => None,
        }
    }

    /// Adds an upstream, and returns what `proxy_pass` names.
    fn add_upstream(
        &mut self,
        option: (&'static str, Option<usize>),
        address: &ServerAddress,
        name: &str,
        keepalive_timeout: u32,
    ) -> Target {
        let is_dynamic = address.host_name().is_some_and(|host| {
            host != "localhost" && !self.machine.has_static_name(host) && !self.resolvers.is_empty()
        });
        if is_dynamic {
            self.uses_resolver = true;
            let short = address.host_name().filter(|host| !host.contains('.'));
            if let (Some(host), Some(domain)) = (short, self.machine.kubernetes_domain()) {
                let message = format!(
                    "write the full name, {host}.{domain}: the resolver of nginx does not use the search list"
                );
                self.errors.push(OptionError { option: option.0, server: option.1, message });
            }
        }
        let target =
            Target { name: name.to_owned(), is_variable: is_dynamic && !self.nginx.version.has_resolve() };
        self.upstreams.push(UpstreamView {
            target: target.clone(),
            server: address.to_string(),
            is_resolved: is_dynamic && self.nginx.version.has_resolve(),
            keepalive_timeout,
        });
        target
    }

    fn build_server(&mut self, number: usize, options: &ServerOptions) -> Option<ServerView> {
        self.errors.extend(check_server(self.common, number, options));
        let suffix = if number == 0 { String::new() } else { format!("_{}", number + 1) };
        let upstream = self.build_upstream(number, &suffix, options)?;
        self.require_resolver(number, options);
        Some(self.server_view(options, suffix, upstream))
    }

    /// Adds the upstream of a server. Returns `None` after an error.
    fn build_upstream(
        &mut self,
        number: usize,
        suffix: &str,
        options: &ServerOptions,
    ) -> Option<ServerUpstream> {
        let Some(UpstreamAddress { address, has_port }) = &options.upstream else {
            if self.part == ConfigurationPart::IncludeOnly && options.kind != ServiceKind::Ecr {
                return Some(ServerUpstream { target: None, remote_host: String::new() });
            }
            let message = "missing: set it to the protected service, such as registry:5000 or 127.0.0.1:5000";
            self.server_error(number, "upstream", message);
            return None;
        };
        let (keepalive_timeout, remote_host) = match options.kind {
            ServiceKind::Registry | ServiceKind::Site if *has_port => (KEEPALIVE_TIMEOUT, Ok(String::new())),
            ServiceKind::Registry | ServiceKind::Site => (KEEPALIVE_TIMEOUT, Err(PORT_MISSING.to_owned())),
            ServiceKind::Ecr => (REMOTE_KEEPALIVE_TIMEOUT, parse_remote_registry(address)),
        };
        let remote_host = match remote_host {
            Ok(host) => host,
            Err(error) => {
                self.server_error(number, "upstream", &error);
                return None;
            }
        };
        let name = format!("doorward_upstream{suffix}");
        let target = self.add_upstream(("upstream", Some(number)), address, &name, keepalive_timeout);
        Some(ServerUpstream { target: Some(target), remote_host })
    }

    /// Adds the resolver if nginx follows redirects.
    fn require_resolver(&mut self, number: usize, options: &ServerOptions) {
        if options.redirects != Redirects::Follow {
            return;
        }
        self.uses_resolver = true;
        if self.resolvers.is_empty() {
            let message = "nginx must resolve names to follow redirects, but /etc/resolv.conf has no server; set resolver";
            self.server_error(number, "redirects", message);
        }
    }

    /// Returns the addresses of a server. A site with TLS at the default port also redirects from http.
    fn listeners(&self, options: &ServerOptions) -> ServerListeners {
        let has_tls = !options.plain_http;
        let is_site = options.kind == ServiceKind::Site;
        let has_http2 = has_tls && is_site && self.nginx.has_http2;
        let has_directive = self.nginx.version.has_http2_directive();
        let default_listen = |port| ListenSocket { address: None, port };
        let default_port = if has_tls { 443 } else { 80 };
        let listen = options.listen.clone().unwrap_or_else(|| default_listen(default_port));
        ServerListeners {
            listen: self.listen(&listen, has_tls, has_http2 && !has_directive),
            redirect_listen: match has_tls && is_site && options.listen.is_none() {
                true => self.listen(&default_listen(80), false, false),
                false => Vec::new(),
            },
            has_http2_directive: has_http2 && has_directive,
        }
    }

    fn listen(&self, socket: &ListenSocket, has_tls: bool, has_http2: bool) -> Vec<ListenView> {
        let view = |address: String| ListenView {
            address,
            has_tls,
            has_http2,
            has_proxy_protocol: self.common.proxy_protocol,
            is_default: false,
        };
        let has_ipv6 = match self.common.ipv6 {
            Ipv6Mode::Auto => self.machine.has_ipv6(),
            Ipv6Mode::On => true,
            Ipv6Mode::Off => false,
        };
        let mut all = vec![view(socket.to_string())];
        if socket.address.is_none() && has_ipv6 {
            all.push(view(format!("[::]:{}", socket.port)));
        }
        all
    }

    fn resolver(&self) -> Option<ResolverView> {
        let is_ipv4_only = match self.common.ipv6 {
            Ipv6Mode::Auto => !self.machine.has_global_ipv6(),
            Ipv6Mode::On => false,
            Ipv6Mode::Off => true,
        };
        let addresses = self.resolvers.iter().map(ToString::to_string).collect();
        self.uses_resolver.then_some(ResolverView { addresses, is_ipv4_only })
    }
}

/// The upstream of a server.
struct ServerUpstream {
    /// The target; none if the administrator writes the location.
    target: Option<Target>,
    /// The Host of a remote registry.
    remote_host: String,
}

/// The addresses of a server.
struct ServerListeners {
    listen: Vec<ListenView>,
    redirect_listen: Vec<ListenView>,
    has_http2_directive: bool,
}

impl ViewBuilder<'_> {
    fn server_view(&self, options: &ServerOptions, suffix: String, upstream: ServerUpstream) -> ServerView {
        let is_whole = self.part == ConfigurationPart::Whole;
        let listeners = self.listeners(options);
        let ServerUpstream { target, remote_host } = upstream;
        let storage_hosts = options.redirect_hosts.iter();
        let facts = options.facts.iter();
        ServerView {
            suffix,
            kind: options.kind,
            tokens: options.tokens,
            usual_hosts: if is_whole {
                usual_hosts(&options.server_name, &listeners.listen)
            } else {
                Vec::new()
            },
            names: options.server_name.clone(),
            client_scheme: match self.common.scheme {
                Some(scheme) => scheme.name(),
                None if !is_whole => "$scheme",
                None if options.plain_http => "http",
                None => "https",
            },
            listen: listeners.listen,
            redirect_listen: listeners.redirect_listen,
            certificate: (!options.plain_http).then(|| CertificateView {
                certificate: options.tls_certificate.clone(),
                key: options.tls_key.clone(),
            }),
            has_http2_directive: listeners.has_http2_directive,
            upstream: target,
            remote_name: remote_host.split(':').next().unwrap_or_default().to_owned(),
            remote_host,
            upstream_ca: options.upstream_ca.clone().unwrap_or_default(),
            is_read_only: !options.push.unwrap_or(options.kind != ServiceKind::Ecr),
            follows_redirects: options.redirects == Redirects::Follow,
            redirect_hosts: storage_hosts
                .map(|host| StorageHostView {
                    name: host.name.clone(),
                    with_subdomains: host.with_subdomains,
                })
                .collect(),
            facts: facts
                .map(|fact| FactView { header: fact.clone(), variable: fact.replace('-', "_") })
                .collect(),
            max_body_size: options.max_body_size.clone().unwrap_or_else(|| SITE_BODY_DEFAULT.to_owned()),
            body_with_any_method: options.body_with_any_method,
            public_paths: options.public_paths.clone(),
            cors_origins: options.cors_origins.clone(),
            include: options.include.clone(),
            is_include_only: !is_whole,
            doorward_checks_path: options.kind == ServiceKind::Registry
                && options.tokens == TokenMode::Off
                && options.include.is_empty()
                && is_whole
                && self.common.auth.as_ref().is_some_and(|auth| auth.is_doorward),
        }
    }
}

/// Returns the name of the upstream for the auth check.
fn auth_upstream_name(auth: &AuthService) -> &'static str {
    if auth.is_doorward { "doorward" } else { "auth_service" }
}

/// Returns a line that describes the servers, without secrets.
fn summarize(options: &ProxyOptions) -> String {
    let summary = |server: &ServerOptions| {
        let upstream =
            server.upstream.as_ref().map(|upstream| upstream.address.to_string()).unwrap_or_default();
        format!("{} {} -> {upstream}", server.kind.name(), server.server_name.join(" "))
    };
    let text = options.servers.iter().map(summary).collect::<Vec<_>>().join(", ");
    match text.len() {
        0..=SUMMARY_BYTES_MAX => text,
        _ => format!("number of servers: {}", options.servers.len()),
    }
}

/// Returns the usual values of the Host header for a server with one name that is not a pattern: the name, alone and with
/// the port. Such a server answers no other name, so one of these values is the host that doorward checks. Long ones are
/// not listed.
fn usual_hosts(names: &[String], listen: &[ListenView]) -> Vec<String> {
    let [name] = names else { return Vec::new() };
    if name == "_" || name.contains('*') {
        return Vec::new();
    }
    let port = listen.first().and_then(|listen| listen.address.rsplit(':').next()).unwrap_or_default();
    let hosts = [name.clone(), format!("{name}:{port}")];
    hosts.into_iter().filter(|host| host.len() <= MAP_KEY_BYTES_MAX).collect()
}

/// Returns the bucket size of the hash of server names, if a name is too long for the default of 64 bytes.
fn server_names_bucket(options: &ProxyOptions) -> Option<usize> {
    let longest = options.servers.iter().flat_map(|server| &server.server_name).map(String::len).max()?;
    // An entry has two pointers, the length in two bytes, and the name, and is aligned to 8 bytes.
    let entry = (longest + 2).next_multiple_of(8) + 16;
    (entry > SERVER_NAMES_BUCKET_DEFAULT).then(|| entry.next_power_of_two())
}
