//! Host names as a proxy sends them, and the host patterns of rules.

use std::borrow::Cow;
use std::net::Ipv6Addr;

const INVALID_HOST: &str = "the host is neither a host name nor an IP address";

/// Returns a host in the form that rules compare: in lower case, without port and trailing dot, an IPv6 address in
/// brackets.
///
/// # Errors
/// Returns an error if the text is neither a host name nor an IP address.
pub(crate) fn normalize_host(text: &str) -> Result<Cow<'_, str>, &'static str> {
    // nginx sends `$host` in this form, so the common case needs no allocation.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.split('.').all(|label| !label.is_empty() && label.bytes().all(plain)) {
        return Ok(Cow::Borrowed(text));
    }
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_port = port.is_empty() || port.starts_with(':');
        let address = address.parse::<Ipv6Addr>().ok().filter(|_| is_port).ok_or(INVALID_HOST)?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    let bare = text.split_once(':').map_or(text, |(host, _)| host);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if bare.split('.').any(str::is_empty) || !bare.bytes().all(known) {
        return Err(INVALID_HOST);
    }
    Ok(Cow::Owned(bare.to_ascii_lowercase()))
}

/// A host name, or all of its subdomains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// The host itself, in lower case.
    Literal(Box<str>),
    /// The hosts that end with this text, which starts with a dot: `.example.com` for `*.example.com`.
    SubdomainsOf(Box<str>),
}

impl HostPattern {
    /// Parses `registry.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// Returns the form to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains(':') && !text.starts_with('[') {
            return Err("not a host name; write it without scheme and port".into());
        }
        let (bare, below) = text.strip_prefix("*.").map_or((text, false), |bare| (bare, true));
        let host = normalize_host(bare)
            .map_err(|_| "not a host name; write HOST, or *.HOST for its subdomains".to_owned())?;
        Ok(if below { Self::SubdomainsOf(format!(".{host}").into()) } else { Self::Literal(host.into()) })
    }

    /// Returns true if the pattern matches a host in the form of [`normalize_host`].
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Literal(name) => **name == *host,
            Self::SubdomainsOf(end) => host.len() > end.len() && host.ends_with(&**end),
        }
    }
}
