//! The options of a proxy configuration: for each its key, default, help and parser.
//!
//! Options are read as settings are: flags, environment variables, the table `[proxy_config]` of the settings file. An
//! option of a server can also be in a table `[[proxy_config.server]]`.

use ipnet::IpNet;

use super::value::{
    AuthService, ClientScheme, DnsAddress, Ipv6Mode, ListenSocket, Redirects, ServerAddress, ServiceKind,
    StorageHost, TokenMode, UpstreamAddress, parse_auth_service, parse_balancer_network, parse_cors_origin,
    parse_fact, parse_include, parse_ipv6_mode, parse_kind, parse_listen, parse_path, parse_public_path,
    parse_redirects, parse_resolver, parse_scheme, parse_server_address, parse_server_name, parse_size,
    parse_storage_host, parse_switch, parse_token_mode, parse_upstream,
};
use super::version::NginxVersion;
use crate::config::reader::SettingReader;
use crate::config::setting::{Setting, setting_row};
use crate::config::value::parse_number;

/// Makes a struct of options, the list of its rows, and the function that reads it. The columns are those of the table
/// of settings, without the time of a change.
macro_rules! option_table {
    (
        $(#[$doc:meta])*
        struct $Options:ident, $ROWS:ident {
            $( $count:ident $field:ident: $type:ty = $default:literal, $placeholder:literal, $parse:expr, $help:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $Options {
            $( #[doc = $help] pub(crate) $field: $type, )*
        }

        /// The rows of these options.
        pub(crate) const $ROWS: &[Setting] =
            &[ $( setting_row!(stringify!($field), $count, $default, $placeholder, restart, $help), )* ];

        impl $Options {
            /// Reads every option. A value that cannot be parsed is reported, and replaced by the default.
            pub(crate) fn read(reader: &mut SettingReader<'_>) -> Self {
                Self { $( $field: reader.$count(stringify!($field), $default, $parse), )* }
            }
        }
    };
}

option_table! {
    /// The options that apply to all servers.
    struct CommonOptions, COMMON_OPTIONS {
        optional auth: Option<AuthService> = "", "ADDR", parse_auth_service,
            "doorward: HOST:PORT or unix:/path; or another auth service: http://HOST:PORT/PATH";
        optional public: Option<ServerAddress> = "", "ADDR", parse_server_address,
            "the public listener of doorward (public.listen); required with tokens";
        optional proxy_secret_file: Option<String> = "", "FILE", parse_path,
            "file with the proxy secret, which doorward requires before it gives upstream credentials";
        optional nginx_version: Option<NginxVersion> = "", "VERSION", parse_supported_version,
            "version of nginx; by default that of the installed one, else 1.18.0";
        one worker_connections: u32 = "1024", "N", |text| parse_number(text, 1, 1_000_000),
            "worker_connections of nginx.conf; a quarter of them can be idle connections to each upstream";
        list resolver: Vec<DnsAddress> = "", "IP", parse_resolver,
            "DNS servers of nginx; by default those in /etc/resolv.conf";
        one ipv6: Ipv6Mode = "auto", "MODE", parse_ipv6_mode,
            "IPv6 beside IPv4: auto (if this machine has an address), on or off";
        list real_ip_from: Vec<IpNet> = "", "NET", parse_balancer_network,
            "load balancers from whose X-Forwarded-For nginx takes the client's address";
        one proxy_protocol: bool = "off", "SWITCH", parse_switch,
            "the load balancers send the PROXY protocol, with the client's address: on or off";
        optional scheme: Option<ClientScheme> = "", "SCHEME", parse_scheme,
            "scheme that clients use, http or https, if a load balancer terminates TLS";
        one access_log: String = "/var/log/nginx/access.log", "FILE", parse_path, "access log of nginx";
        one request_id: bool = "on", "SWITCH", parse_switch,
            "doorward gets the ID of each request for its log: on or off; each request then costs nginx 2 % less";
        one file_checks: bool = "on", "SWITCH", parse_switch,
            "certificates and authorities must exist on this machine: on or off";
    }
}

option_table! {
    /// The options of one protected server.
    struct ServerOptions, SERVER_OPTIONS {
        one kind: ServiceKind = "site", "KIND", parse_kind,
            "registry, site, or ecr: a remote registry over TLS with credentials of its own";
        optional upstream: Option<UpstreamAddress> = "", "ADDR", parse_upstream,
            "the protected service: HOST:PORT or unix:/path; the name of a remote registry";
        list server_name: Vec<String> = "_", "NAME", parse_server_name,
            "names that clients use; _ is every name";
        optional listen: Option<ListenSocket> = "", "ADDR", parse_listen,
            "PORT or ADDRESS:PORT; by default 443, or 80 without TLS";
        one plain_http: bool = "off", "SWITCH", parse_switch,
            "no TLS, for a local trial or behind a load balancer: on or off";
        one tls_certificate: String = "/etc/nginx/tls/tls.crt", "FILE", parse_path,
            "the certificate, then the intermediate certificates";
        one tls_key: String = "/etc/nginx/tls/tls.key", "FILE", parse_path, "the key of the certificate";
        one tokens: TokenMode = "off", "MODE", parse_token_mode,
            "registry tokens: off, mixed (doorward verifies them) or registry (the registry verifies them)";
        optional push: Option<bool> = "", "SWITCH", parse_switch,
            "pass on pushes and deletions: on or off; by default on, and off for ecr";
        list facts: Vec<String> = "", "NAME", parse_fact, "facts about a user that the upstream gets";
        optional max_body_size: Option<String> = "", "SIZE", parse_size,
            "size limit of a request body to a site, by default 100m; 0 means no limit";
        one body_with_any_method: bool = "off", "SWITCH", parse_switch,
            "a site accepts a body with GET, HEAD, DELETE and OPTIONS: on or off";
        list public_paths: Vec<String> = "", "PATH", parse_public_path,
            "paths of a site that need no login, such as /public/";
        list cors_origins: Vec<String> = "", "ORIGIN", parse_cors_origin,
            "origins of web pages that can use the service, such as `https://ui.example.com`";
        optional upstream_ca: Option<String> = "", "FILE", parse_path,
            "certificate authorities of a remote registry; by default those of the system";
        one redirects: Redirects = "pass", "MODE", parse_redirects,
            "redirects of a remote registry to its storage: pass, or follow for clients that cannot reach it";
        list redirect_hosts: Vec<StorageHost> = "", "HOST", parse_storage_host,
            "hosts to which nginx follows redirects; by default those of S3";
        list include: Vec<String> = "", "FILE", parse_include,
            "files with locations of your own, which are protected; the last part can have a *";
    }
}

fn parse_supported_version(text: &str) -> Result<NginxVersion, String> {
    text.parse::<NginxVersion>()?.check_supported()
}

/// The options of one configuration.
#[derive(Clone, Debug)]
pub(crate) struct ProxyOptions {
    /// The options that apply to all servers.
    pub(crate) common: CommonOptions,
    /// The protected servers.
    pub(crate) servers: Vec<ServerOptions>,
}

/// An error in one option, or between several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionError {
    /// The key of the option.
    pub(crate) option: &'static str,
    /// The number of the server in the configuration, from 0; none for a common option.
    pub(crate) server: Option<usize>,
    /// The error, and what to do.
    pub(crate) message: String,
}
