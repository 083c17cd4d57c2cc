//! Parsers of single values. The error of each states what the value must be. It does not quote the value, which can be
//! a secret that was pasted into the wrong place.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::{ApiKeyOwners, InsecureFormat, ListenAddress, LogFormat, LogLevel, TokenChallenge};
use crate::dialect::Dialect;
use crate::identity::Username;

/// Parses a whole number from `min` to `max`.
pub(crate) fn parse_number<T>(text: &str, min: T, max: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let expected = || format!("must be a whole number from {min} to {max}");
    let number = text.replace('_', "").parse::<T>().map_err(|_| expected())?;
    if number < min || number > max { Err(expected()) } else { Ok(number) }
}

/// Parses a number of threads; `cores` is one for each core.
pub(super) fn parse_thread_count(text: &str) -> Result<usize, String> {
    match text {
        "cores" => Ok(std::thread::available_parallelism().map_or(2, usize::from)),
        _ => parse_number(text, 1, 1024).map_err(|expected| format!("{expected}, or cores")),
    }
}

/// Parses a duration from `min` to `max`: `10s`, `5m`, `12h`, `1h 30m`.
pub(super) fn parse_duration(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let format = humantime::format_duration;
    let duration = humantime::parse_duration(text)
        .map_err(|_| "must be a duration such as 500ms, 10s, 5m or 12h".to_owned())?;
    if duration < min || duration > max {
        return Err(format!("must be from {} to {}, not {}", format(min), format(max), format(duration)));
    }
    Ok(duration)
}

/// Parses a number of bytes from `min` to `max`: `1048576`, `64KiB`, `256MiB`.
pub(super) fn parse_bytes(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let expected =
        || format!("must be a number of bytes from {min} to {max}, such as 65536, 64KiB or 256MiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = text.get(digits.len()..).unwrap_or_default().trim();
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "k" | "K" => 1 << 10,
        "MiB" | "m" | "M" => 1 << 20,
        "GiB" | "g" | "G" => 1 << 30,
        _ => return Err(expected()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(expected)?;
    if bytes < min || bytes > max { Err(expected()) } else { Ok(bytes) }
}

/// The length limit of a parameter of a challenge.
const CHALLENGE_PARAMETER_BYTES_MAX: usize = 255;

/// Parses a parameter of a challenge, which is written in quotes. Some clients take the last word `basic` or `bearer`
/// of the header for the scheme.
pub(crate) fn parse_challenge_parameter(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    if lower.contains("basic") || lower.contains("bearer") {
        return Err(
            "must not contain the word basic or bearer, which some clients take for the scheme".into()
        );
    }
    let is_allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',');
    if (1..=CHALLENGE_PARAMETER_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err("must have 1 to 255 visible ASCII characters, without quotes, commas, backslashes and spaces".into())
}

/// Parses the URL at which clients get tokens.
pub(crate) fn parse_token_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).ok();
    if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return Err("must be a URL such as https://registry.example.com/token".into());
    }
    parse_challenge_parameter(text)
}

/// Parses the scheme of the challenge.
pub(super) fn parse_token_challenge(text: &str) -> Result<TokenChallenge, String> {
    match text {
        "basic" => Ok(TokenChallenge::Basic),
        "bearer" => Ok(TokenChallenge::Bearer),
        _ => Err("must be basic or bearer".into()),
    }
}

/// Parses an address to listen on.
pub(super) fn parse_listen_address(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.strip_prefix('/') {
            Some(_) => Ok(ListenAddress::Unix(PathBuf::from(path))),
            None => {
                Err("the path of a unix socket must be absolute, as in unix:/run/doorward/doorward.sock"
                    .into())
            }
        };
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        // FileDescriptorName= of systemd.socket(5).
        let is_valid =
            !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        return if is_valid {
            Ok(ListenAddress::Systemd(name.to_owned()))
        } else {
            Err("must be the FileDescriptorName= of the socket unit, as in systemd:doorward".into())
        };
    }
    text.parse::<SocketAddr>().map(ListenAddress::Tcp).map_err(|_| {
        "must be IP:PORT such as 127.0.0.1:8000 or [::1]:8000, unix:/path, or systemd:NAME".into()
    })
}

/// Parses an IP address, or a network in CIDR notation.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let parsed =
        text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(|a| IpNet::from(a.to_canonical())));
    let network = parsed.map_err(|_| {
        "must be an IP address or a network such as 10.0.0.0/24; host names are not resolved".to_owned()
    })?;
    if matches!(network, IpNet::V6(block) if block.addr().to_ipv4_mapped().is_some()) {
        return Err("an IPv4 address must be written as IPv4, not as IPv6".into());
    }
    if network.prefix_len() == 0 {
        return Err("must not be all addresses; name those from which nginx connects".into());
    }
    Ok(network.trunc())
}

/// Parses the name of a dialect.
pub(super) fn parse_dialect(text: &str) -> Result<Dialect, String> {
    let known = Dialect::ALL.into_iter().find(|dialect| dialect.name() == text);
    known.ok_or_else(|| {
        let names: Vec<&str> = Dialect::ALL.into_iter().map(Dialect::name).collect();
        format!("unknown dialect; known dialects: {}", names.join(", "))
    })
}

/// The length limit of a host name (RFC 1035 section 2.3.4).
const HOST_NAME_BYTES_MAX: usize = 253;

/// Parses a host name without a port. Returns it in lower case.
pub(super) fn parse_host_name(text: &str) -> Result<String, String> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if (1..=HOST_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("must be a host name without scheme and port, such as doorward.internal".into())
}

/// Parses the realm of the challenge.
pub(super) fn parse_realm(text: &str) -> Result<String, String> {
    let is_printable = text.chars().all(|c| !c.is_control() && c != '"' && c != '\\');
    if text.is_empty() || text.len() > 128 || !is_printable {
        return Err("must have 1 to 128 bytes, without quotes, backslashes and control characters".into());
    }
    let lower = text.to_lowercase();
    match ["basic", "bearer"].into_iter().find(|word| lower.contains(word)) {
        // Clients search the whole header for the scheme with a regular expression.
        Some(word) => {
            Err(format!("must not contain the word \"{word}\", which some clients take for the scheme"))
        }
        None => Ok(text.to_owned()),
    }
}

/// Parses the mode of a unix socket, in octal.
pub(super) fn parse_socket_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 && digits.len() >= 3 => Ok(mode),
        _ => Err("must be a file mode in octal and in quotes, such as \"0660\"".into()),
    }
}

/// Parses `true` or `false`.
pub(super) fn parse_boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

/// Parses the format of log lines.
pub(super) fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".into()),
    }
}

/// Parses the lowest severity that is logged.
pub(super) fn parse_log_level(text: &str) -> Result<LogLevel, String> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err("must be error, warn, info or debug".into()),
    }
}

/// Parses the name of a format of the htpasswd file that must be allowed by name.
pub(super) fn parse_insecure_format(text: &str) -> Result<InsecureFormat, String> {
    match text {
        "plain" => Ok(InsecureFormat::Plain),
        _ => Err("must be plain; all other formats are always allowed or never".into()),
    }
}

/// Parses a path, which must not be empty.
pub(super) fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("the path is empty".into()) } else { Ok(PathBuf::from(text)) }
}

/// Parses a user name, which can be empty for none.
pub(super) fn parse_username(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    Username::check(text.as_bytes()).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// Parses the setting for the users whose API keys are valid.
pub(super) fn parse_api_key_owners(text: &str) -> Result<ApiKeyOwners, String> {
    match text {
        "htpasswd" => Ok(ApiKeyOwners::Htpasswd),
        "any" => Ok(ApiKeyOwners::Any),
        _ => Err("must be htpasswd or any".into()),
    }
}
