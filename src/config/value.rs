//! Reading single values from text: one small function for each kind, whose error says what would
//! do instead. The value itself is not quoted: it can be a secret that was pasted into the wrong place.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::{ApiKeyOwners, InsecureFormat, ListenAddress, LogFormat, LogLevel, TokenChallenge};
use crate::dialect::Dialect;
use crate::identity::Username;

/// A whole number within bounds, both included.
pub(super) fn parse_number<T>(text: &str, low: T, high: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let wanted = || format!("it is not a whole number from {low} to {high}");
    let number = text.replace('_', "").parse::<T>().map_err(|_| wanted())?;
    if number < low || number > high { Err(wanted()) } else { Ok(number) }
}

/// A number of threads: `cores` is one for each.
pub(super) fn parse_thread_count(text: &str) -> Result<usize, String> {
    match text {
        "cores" => Ok(std::thread::available_parallelism().map_or(2, usize::from)),
        _ => parse_number(text, 1, 1024).map_err(|what| format!("{what}, nor the word cores")),
    }
}

/// A span of time within bounds, both included: `10s`, `5m`, `12h`, `1h 30m`.
pub(super) fn parse_duration(text: &str, low: Duration, high: Duration) -> Result<Duration, String> {
    let show = humantime::format_duration;
    let span = humantime::parse_duration(text)
        .map_err(|_| "it is not a span of time; write it like 500ms, 10s, 5m or 12h".to_owned())?;
    if span < low || span > high {
        return Err(format!("{} is not within {} and {}", show(span), show(low), show(high)));
    }
    Ok(span)
}

/// A number of bytes: `1048576`, `64KiB`, `256MiB`.
pub(super) fn parse_bytes(text: &str, low: u64, high: u64) -> Result<u64, String> {
    let wanted =
        || format!("it is not a number of bytes from {low} to {high}; write it like 65536, 64KiB or 256MiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = text.get(digits.len()..).unwrap_or_default().trim();
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "k" | "K" => 1 << 10,
        "MiB" | "m" | "M" => 1 << 20,
        "GiB" | "g" | "G" => 1 << 30,
        _ => return Err(wanted()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(wanted)?;
    if bytes < low || bytes > high { Err(wanted()) } else { Ok(bytes) }
}

/// The longest name or URL of a challenge.
const CHALLENGE_PARAMETER_BYTES_MAX: usize = 255;

/// A name that can stand between quotes in a challenge. Some clients take the last of these words for the scheme.
pub fn parse_challenge_parameter(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    if lower.contains("basic") || lower.contains("bearer") {
        return Err("clients would take the word basic or bearer in it for a scheme".into());
    }
    let well = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',');
    if (1..=CHALLENGE_PARAMETER_BYTES_MAX).contains(&text.len()) && text.bytes().all(well) {
        return Ok(text.to_owned());
    }
    Err("it has 1 to 255 visible ASCII characters, and no quotes, commas, backslashes or blanks".into())
}

/// The URL at which clients get tokens.
pub fn parse_token_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).ok();
    if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return Err("it is no URL; write it like https://registry.example.com/token".into());
    }
    parse_challenge_parameter(text)
}

/// With what is challenged.
pub(super) fn parse_token_challenge(text: &str) -> Result<TokenChallenge, String> {
    match text {
        "basic" => Ok(TokenChallenge::Basic),
        "bearer" => Ok(TokenChallenge::Bearer),
        _ => Err("it is neither basic nor bearer".into()),
    }
}

/// An address to listen on.
pub(super) fn parse_listen_address(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.strip_prefix('/') {
            Some(_) => Ok(ListenAddress::Unix(PathBuf::from(path))),
            None => {
                Err("a unix socket needs an absolute path, as in unix:/run/doorward/doorward.sock".into())
            }
        };
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        // FileDescriptorName= of systemd.socket(5).
        let named =
            !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        return if named {
            Ok(ListenAddress::Systemd(name.to_owned()))
        } else {
            Err("write the FileDescriptorName of the socket unit, as in systemd:doorward".into())
        };
    }
    text.parse::<SocketAddr>().map(ListenAddress::Tcp).map_err(|_| {
        "it is not an address to listen on; write IP:PORT like 127.0.0.1:8000 or [::1]:8000, unix:/path, or systemd:NAME".into()
    })
}

/// An address, or a network in CIDR notation.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let parsed =
        text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(|a| IpNet::from(a.to_canonical())));
    let network = parsed.map_err(|_| {
        "it is neither an IP address nor a network like 10.0.0.0/24; names are not looked up".to_owned()
    })?;
    if matches!(network, IpNet::V6(block) if block.addr().to_ipv4_mapped().is_some()) {
        return Err("it is an IPv4 address written as IPv6; write it as IPv4".into());
    }
    if network.prefix_len() == 0 {
        return Err("it is everybody: name the addresses that nginx asks from".into());
    }
    Ok(network.trunc())
}

/// The name of a dialect.
pub(super) fn parse_dialect(text: &str) -> Result<Dialect, String> {
    let known = Dialect::ALL.into_iter().find(|dialect| dialect.name() == text);
    known.ok_or_else(|| {
        let names: Vec<&str> = Dialect::ALL.into_iter().map(Dialect::name).collect();
        format!("it is not a dialect; known are: {}", names.join(", "))
    })
}

/// The longest host name (RFC 1035 section 2.3.4).
const HOST_NAME_BYTES_MAX: usize = 253;

/// A host name without a port, in lower case.
pub(super) fn parse_host_name(text: &str) -> Result<String, String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if (1..=HOST_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(known) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("it is not a host name; write it without a scheme and a port, like doorward.internal".into())
}

/// The realm of the challenge.
pub(super) fn parse_realm(text: &str) -> Result<String, String> {
    let printable = text.chars().all(|c| !c.is_control() && c != '"' && c != '\\');
    if text.is_empty() || text.len() > 128 || !printable {
        return Err(
            "the realm is a text of 1 to 128 bytes without quotes, backslashes and control characters".into(),
        );
    }
    let lower = text.to_lowercase();
    match ["basic", "bearer"].into_iter().find(|word| lower.contains(word)) {
        // Clients look for the scheme with a regular expression over the whole header.
        Some(word) => Err(format!(
            "the realm has the word \"{word}\" in it, by which some clients choose the scheme; leave it out"
        )),
        None => Ok(text.to_owned()),
    }
}

/// The mode of a unix socket, in octal.
pub(super) fn parse_socket_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 && digits.len() >= 3 => Ok(mode),
        _ => Err("it is not a file mode; write it in octal and in quotes, like \"0660\"".into()),
    }
}

/// Yes or no.
pub(super) fn parse_boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}

/// How log lines are written.
pub(super) fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it is neither text nor json".into()),
    }
}

/// Parses the lowest severity that is logged.
pub(super) fn parse_log_level(text: &str) -> Result<LogLevel, String> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err("it is not one of error, warn, info and debug".into()),
    }
}

/// Parses the name of a format of the htpasswd file that must be allowed by name.
pub(super) fn parse_insecure_format(text: &str) -> Result<InsecureFormat, String> {
    match text {
        "plain" => Ok(InsecureFormat::Plain),
        _ => Err("it is not a format that has to be allowed by name; plain is the only one".into()),
    }
}

/// A path; an empty one is a mistake.
pub(super) fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("the path is empty".into()) } else { Ok(PathBuf::from(text)) }
}

/// A user name, or none.
pub(super) fn parse_username(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    Username::check(text.as_bytes()).map(|()| text.to_owned()).map_err(|fault| fault.to_string())
}

/// Whose keys count.
pub(super) fn parse_api_key_owners(text: &str) -> Result<ApiKeyOwners, String> {
    match text {
        "htpasswd" => Ok(ApiKeyOwners::Htpasswd),
        "any" => Ok(ApiKeyOwners::Any),
        _ => Err("it is neither htpasswd nor any".into()),
    }
}
