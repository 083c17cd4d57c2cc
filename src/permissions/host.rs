//! Host names, as a proxy tells them and as rules name them.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// A host as rules have it: in lower case, without port and final dot; an IPv6 address in brackets.
///
/// # Errors
/// If it is none.
pub fn normalize_host(text: &str) -> Result<Cow<'_, str>, &'static str> {
    // As nginx writes `$host`, nearly always.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.split('.').all(|label| !label.is_empty() && label.bytes().all(plain)) {
        return Ok(Cow::Borrowed(text));
    }
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let well = port.is_empty() || port.starts_with(':');
        let address = address.parse::<Ipv6Addr>().ok().filter(|_| well).ok_or("the host is not one")?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    let bare = text.split_once(':').map_or(text, |(host, _)| host);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if bare.split('.').any(str::is_empty) || !bare.bytes().all(known) {
        return Err("the host is not one");
    }
    Ok(Cow::Owned(bare.to_ascii_lowercase()))
}

/// A host name, or all below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one, in lower case.
    Literal(Box<str>),
    /// `*.example.com`: what ends with this text, its dot included.
    SubdomainsOf(Box<str>),
}

impl HostPattern {
    /// Reads `registry.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// What would do instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(':') && !text.starts_with('[') {
            return Err("write the host alone, without scheme and port".into());
        }
        let (bare, below) = text.strip_prefix("*.").map_or((text, false), |bare| (bare, true));
        let host = normalize_host(bare)
            .map_err(|_| "it is not a host name; all below one are *.example.com".to_owned())?;
        Ok(if below { Self::SubdomainsOf(format!(".{host}").into()) } else { Self::Literal(host.into()) })
    }

    /// Whether it is for this host, which is in lower case.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Literal(name) => **name == *host,
            Self::SubdomainsOf(end) => host.len() > end.len() && host.ends_with(&**end),
        }
    }
}
