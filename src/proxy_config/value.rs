//! Types and parsers of single options. The error of each states what the value must be.
//!
//! A parser accepts only characters that cannot end a directive of nginx, start a variable or start a comment.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The length limit of every value. nginx reads parameters of up to 4096 bytes.
const VALUE_BYTES_MAX: usize = 1000;

/// The limit of digits in a size. Ten digits are several gigabytes, even without a unit.
const SIZE_DIGITS_MAX: usize = 10;

/// The error for an address without a port.
pub(crate) const PORT_MISSING: &str = "must have a port: HOST:PORT, such as registry:5000";

/// The length limit of the path of a unix socket. Linux has 108 bytes for it, with a zero byte at the end.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Returns an error if a value is longer than any real one.
fn check_length(text: &str) -> Result<(), String> {
    if text.len() > VALUE_BYTES_MAX {
        return Err(format!("must have at most {VALUE_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// The service that nginx protects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServiceKind {
    /// A Docker/OCI registry.
    Registry,
    /// A site: any other HTTP service.
    #[default]
    Site,
    /// A remote registry over TLS that needs credentials of its own, such as ECR.
    Ecr,
}

impl ServiceKind {
    /// Returns the name, as written in the option.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Site => "site",
            Self::Ecr => "ecr",
        }
    }
}

/// Parses the kind of the protected service.
pub(crate) fn parse_kind(text: &str) -> Result<ServiceKind, String> {
    [ServiceKind::Registry, ServiceKind::Site, ServiceKind::Ecr]
        .into_iter()
        .find(|kind| kind.name() == text)
        .ok_or_else(|| "must be registry, site or ecr".into())
}

/// The use of registry tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TokenMode {
    /// Tokens are not used.
    #[default]
    Off,
    /// doorward issues tokens and verifies them, beside passwords.
    Mixed,
    /// doorward issues tokens, and the registry verifies them.
    Registry,
}

/// Parses the token mode.
pub(crate) fn parse_token_mode(text: &str) -> Result<TokenMode, String> {
    match text {
        "off" => Ok(TokenMode::Off),
        "mixed" => Ok(TokenMode::Mixed),
        "registry" => Ok(TokenMode::Registry),
        _ => Err("must be off, mixed or registry".into()),
    }
}

/// The handling of redirects of a remote registry to its storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// The client gets the redirect.
    #[default]
    Pass,
    /// nginx fetches the layer.
    Follow,
}

/// Parses the use of redirects.
pub(crate) fn parse_redirects(text: &str) -> Result<Redirects, String> {
    match text {
        "pass" => Ok(Redirects::Pass),
        "follow" => Ok(Redirects::Follow),
        _ => Err("must be pass or follow".into()),
    }
}

/// Parses a switch.
pub(crate) fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("must be on or off".into()),
    }
}

/// The use of IPv6 by listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ipv6Mode {
    /// IPv6 is used if the machine on which the command runs has an IPv6 address.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Parses whether nginx listens on IPv6.
pub(crate) fn parse_ipv6_mode(text: &str) -> Result<Ipv6Mode, String> {
    match text {
        "auto" => Ok(Ipv6Mode::Auto),
        "on" => Ok(Ipv6Mode::On),
        "off" => Ok(Ipv6Mode::Off),
        _ => Err("must be auto, on or off".into()),
    }
}

/// The scheme that clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientScheme {
    /// The scheme without TLS.
    Http,
    /// The scheme with TLS.
    Https,
}

impl ClientScheme {
    /// Returns the name, as written in the option.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Parses the scheme that clients use.
pub(crate) fn parse_scheme(text: &str) -> Result<ClientScheme, String> {
    match text {
        "http" => Ok(ClientScheme::Http),
        "https" => Ok(ClientScheme::Https),
        _ => Err("must be http or https".into()),
    }
}

/// An address to which nginx connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// A name or an address, and a port. IPv6 has brackets.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The absolute path of a unix socket.
    Unix(String),
}

impl ServerAddress {
    /// Returns the host name, if it is one. Its address can change.
    pub(crate) fn host_name(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } if !host.starts_with('[') && host.parse::<Ipv4Addr>().is_err() => {
                Some(host)
            }
            Self::Tcp { .. } | Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Parses an address to which nginx connects: `HOST:PORT` or `unix:/path`.
pub(crate) fn parse_server_address(text: &str) -> Result<ServerAddress, String> {
    check_length(text)?;
    if let Some(path) = text.strip_prefix("unix:") {
        if path.len() > UNIX_PATH_BYTES_MAX {
            return Err(format!("the path of a unix socket must have at most {UNIX_PATH_BYTES_MAX} bytes"));
        }
        return parse_path(path)
            .map(ServerAddress::Unix)
            .map_err(|error| format!("the path of a unix socket {error}"));
    }
    if text.contains("://") {
        return Err("must be HOST:PORT, without a scheme and a path, such as registry:5000".into());
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(PORT_MISSING.into());
    };
    Ok(ServerAddress::Tcp { host: parse_host(host)?, port: parse_port(port)? })
}

/// Parses a host: a name, an IPv4 address, or an IPv6 address in brackets.
fn parse_host(text: &str) -> Result<String, String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        let address = address.ok_or("the brackets must contain an IPv6 address, as in [fd00::2]:8000")?;
        return Ok(format!("[{address}]"));
    }
    if text.contains(':') {
        return Err("write an IPv6 address in brackets, such as [fd00::2]:8000".into());
    }
    let looks_numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_numeric {
        let address = text.parse::<Ipv4Addr>().map_err(|_| "the host must be an IPv4 address or a name")?;
        return Ok(address.to_string());
    }
    if is_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("the host must be an address, or a name of letters, digits, dots, hyphens and underscores".into())
}

/// Returns whether a text is a host name. Compose and Kubernetes have names with underscores.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

fn parse_port(text: &str) -> Result<u16, String> {
    let is_number = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse::<u16>().ok().filter(|_| is_number);
    port.ok_or_else(|| "the port must be a number from 1 to 65535".into())
}

/// Parses an absolute path.
pub(crate) fn parse_path(text: &str) -> Result<String, String> {
    check_length(text)?;
    if !text.starts_with('/') {
        return Err("must begin with a slash".into());
    }
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._/@+-".contains(&b);
    if !text.bytes().all(is_allowed) {
        return Err("can contain letters, digits and . _ / @ + - only".into());
    }
    Ok(text.to_owned())
}

/// Parses the path of files to include. The last part can have a `*`.
pub(crate) fn parse_include(text: &str) -> Result<String, String> {
    let (folder, name) = text.rsplit_once('/').ok_or("must begin with a slash")?;
    if name.is_empty() {
        return Err("must be a file, or files such as /etc/nginx/own/*.conf".into());
    }
    parse_path(&format!("{folder}/{}", name.replace('*', "_")))?;
    Ok(text.to_owned())
}

/// The service that answers the auth subrequest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthService {
    /// The address of the service.
    pub(crate) address: ServerAddress,
    /// The path of the auth check.
    pub(crate) path: String,
    /// The Host header that it gets.
    pub(crate) host_header: String,
    /// Whether it is doorward. A URL is the address of another service.
    pub(crate) is_doorward: bool,
}

/// Parses the address of doorward, or the URL of another auth service.
pub(crate) fn parse_auth_service(text: &str) -> Result<AuthService, String> {
    check_length(text)?;
    if text.starts_with("https://") {
        return Err("TLS to an auth service is not supported; write http://HOST:PORT/PATH".into());
    }
    let Some(rest) = text.strip_prefix("http://") else {
        let address = parse_server_address(text)?;
        let (path, host_header) = ("/auth".into(), "doorward".into());
        return Ok(AuthService { address, path, host_header, is_doorward: true });
    };
    if rest.starts_with("unix:") {
        return Err("write a unix socket as unix:/path; the path of the auth check is /auth".into());
    }
    let Some((authority, path)) = rest.split_once('/') else {
        return Err("the URL must have the path of the auth check, such as http://HOST:PORT/auth".into());
    };
    let path = format!("/{path}");
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~/%=&?+,:@-".contains(&b);
    if !path.bytes().all(is_allowed) {
        return Err("the path can contain letters, digits and . _ ~ / % = & ? + , : @ - only".into());
    }
    let lacks_port = authority.ends_with(']') || !authority.contains(':');
    let address = if lacks_port { format!("{authority}:80") } else { authority.to_owned() };
    let address = parse_server_address(&address)?;
    Ok(AuthService { address, path, host_header: authority.to_owned(), is_doorward: false })
}

/// Parses the address of a remote registry: a name with a domain, by default at port 443.
pub(crate) fn parse_remote_registry(address: &ServerAddress) -> Result<String, String> {
    match address {
        ServerAddress::Tcp { host, port } if address.host_name().is_some_and(|name| name.contains('.')) => {
            Ok(if *port == 443 { host.clone() } else { format!("{host}:{port}") })
        }
        ServerAddress::Tcp { .. } | ServerAddress::Unix(_) => Err(
            "must be the name of a remote registry, which its certificate contains, such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com; for a registry without TLS, use the kind registry"
                .into(),
        ),
    }
}

/// The address of the protected service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamAddress {
    /// The address, by default at port 443.
    pub(crate) address: ServerAddress,
    /// Whether the port was given. Only a remote registry has a default port.
    pub(crate) has_port: bool,
}

/// Parses the address of the protected service. A name with a domain can have no port.
pub(crate) fn parse_upstream(text: &str) -> Result<UpstreamAddress, String> {
    let has_port = text.contains(':') || !text.contains('.') || !is_name(text);
    let address =
        if has_port { parse_server_address(text)? } else { parse_server_address(&format!("{text}:443"))? };
    Ok(UpstreamAddress { address, has_port })
}

/// Parses a name of a server, for `server_name`: a host name, `*.DOMAIN`, or `_` for every name.
pub(crate) fn parse_server_name(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    if text == "_" || (is_name(bare) && bare != "_" && !bare.ends_with('.')) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("must be a host name such as registry.example.com, *.example.com, or _ for every name".into())
}

/// An address on which nginx listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenSocket {
    /// The address; none for every address.
    pub(crate) address: Option<IpAddr>,
    /// The port.
    pub(crate) port: u16,
}

impl fmt::Display for ListenSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            // nginx reads a port alone as 0.0.0.0. With one spelling, equal addresses are found.
            Some(IpAddr::V4(address)) if address.is_unspecified() => write!(f, "{}", self.port),
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}

/// Parses an address on which nginx listens: `PORT`, `ADDRESS:PORT` or `*:PORT`.
pub(crate) fn parse_listen(text: &str) -> Result<ListenSocket, String> {
    let expected = "must be PORT or ADDRESS:PORT, such as 8443, 127.0.0.1:5000 or [::1]:5000";
    let (address, port) = match text.rsplit_once(':') {
        None => (None, text),
        Some(("*", port)) => (None, port),
        Some((address, port)) => {
            let inner = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
            let address = match inner {
                Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6),
                None => address.parse::<Ipv4Addr>().map(IpAddr::V4),
            };
            (Some(address.map_err(|_| expected)?), port)
        }
    };
    Ok(ListenSocket { address, port: parse_port(port)? })
}

/// Parses a network of load balancers. With all addresses, every client could set its own address.
pub(crate) fn parse_balancer_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| "must be an address or a network, such as 10.0.0.0/8".to_owned())?;
    if network.prefix_len() == 0 {
        return Err(
            "with this network every client can set its own address; list the load balancers only".into()
        );
    }
    // nginx warns if bits beyond the prefix are set.
    Ok(network.trunc())
}

/// The address of a DNS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsAddress {
    /// The address.
    pub(crate) address: IpAddr,
    /// The port; none for port 53.
    pub(crate) port: Option<u16>,
}

impl fmt::Display for DnsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}")?,
            IpAddr::V6(address) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Parses the address of a DNS server, with or without a port. IPv6 with a port has brackets.
pub(crate) fn parse_resolver(text: &str) -> Result<DnsAddress, String> {
    let expected = "must be the address of a DNS server, such as 10.0.0.2 or [fd00::53]";
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(DnsAddress { address, port: None });
    }
    let (address, port) = match text.rsplit_once(':') {
        Some((address, port)) if !text.ends_with(']') => {
            (address, Some(parse_port(port).map_err(|_| expected)?))
        }
        Some(_) | None => (text, None),
    };
    let address = match address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => address.parse::<Ipv4Addr>().map(IpAddr::V4),
    };
    Ok(DnsAddress { address: address.map_err(|_| expected)?, port })
}

/// Parses a size in the format of nginx, such as `100m`.
pub(crate) fn parse_size(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let scale = match unit {
        "" => Some(1),
        "k" | "K" => Some(1 << 10),
        "m" | "M" => Some(1 << 20),
        "g" | "G" => Some(1_i64 << 30),
        _ => None,
    };
    let number = digits
        .parse::<i64>()
        .ok()
        .filter(|_| digits.len() <= SIZE_DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_digit()));
    // nginx computes the number of bytes with 64 bits.
    if number.zip(scale).and_then(|(number, scale)| number.checked_mul(scale)).is_some() {
        return Ok(text.to_owned());
    }
    Err("must be a size such as 100m or 2g; 0 means no limit".into())
}

/// A host to which nginx follows redirects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorageHost {
    /// The name, with a port if it is not 443; without `*.`.
    pub(crate) name: String,
    /// Whether every name below this domain is meant, instead of the name itself.
    pub(crate) with_subdomains: bool,
}

/// Parses a host of a storage. nginx sends the request from its own network, in which an address can be link-local or
/// belong to this machine, and does not verify addresses in a certificate. So only names with a domain are accepted.
pub(crate) fn parse_storage_host(text: &str) -> Result<StorageHost, String> {
    let text = text.to_ascii_lowercase();
    let (bare, with_subdomains) = match text.strip_prefix("*.") {
        Some(bare) => (bare, true),
        None => (text.as_str(), false),
    };
    let name = match bare.rsplit_once(':') {
        Some((name, port)) => {
            parse_port(port)?;
            name
        }
        None => bare,
    };
    let is_plain = name.bytes().all(|b| b != b'_') && is_name(name) && !name.ends_with('.');
    if !is_plain {
        return Err("must be a host or *.DOMAIN, such as *.s3.example.com or storage.example.com:9000".into());
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if !name.contains('.') {
        return Err(match with_subdomains {
            true => "matches a whole top-level domain; write *.DOMAIN with two labels or more".into(),
            false => "must have a domain; write the name that the certificate contains".into(),
        });
    }
    if !last.starts_with(|c: char| c.is_ascii_lowercase()) || matches!(last, "localhost" | "localdomain") {
        return Err("is an address or this machine; write the name that the certificate contains".into());
    }
    Ok(StorageHost { name: bare.to_owned(), with_subdomains })
}

/// Parses the name of a fact: `plan` is the header `X-Auth-Fact-Plan`.
pub(crate) fn parse_fact(text: &str) -> Result<String, String> {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_valid = (1..=32).contains(&text.len())
        && text.bytes().all(is_allowed)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_valid {
        return Ok(text.to_owned());
    }
    Err("must be the name of a fact: 1 to 32 lower-case letters, digits and hyphens".into())
}

/// Parses an origin of a web page: `https://ui.example.com`, with a port if it is not the default.
pub(crate) fn parse_cors_origin(text: &str) -> Result<String, String> {
    let expected = "must be one origin such as https://ui.example.com or http://localhost:8080, without a path; * and null are not accepted";
    let (scheme, authority) = text.split_once("://").ok_or(expected)?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(expected.into()),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(parse_port(port)?)),
        _ => (authority, None),
    };
    let host = parse_host(host).map_err(|_| expected)?;
    if host.contains('_') || host.ends_with('.') {
        return Err(expected.into());
    }
    // A browser omits the default port, so an origin with it would never match.
    Ok(match port.filter(|port| *port != default_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

/// Parses the path of a location that needs no login. It begins and ends with a slash.
pub(crate) fn parse_public_path(text: &str) -> Result<String, String> {
    check_length(text)?;
    let expected = "must begin and end with a slash, and have a name between them, such as /public/";
    let inner = text.strip_prefix('/').and_then(|inner| inner.strip_suffix('/')).ok_or(expected)?;
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.bytes().all(|b| b == b'.')
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
    };
    if inner.split('/').all(is_segment) { Ok(text.to_owned()) } else { Err(expected.into()) }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
