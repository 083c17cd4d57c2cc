//! The access rules of the admin listener.
//!
//! A web page can make a browser on this machine send requests to a loopback address. The listener therefore checks
//! three headers. A page that rebinds its own name to this address cannot choose `Host`. The browser marks requests
//! from other sites with `Origin` and `Sec-Fetch-Site` (Fetch Standard, section 3.2; Fetch Metadata Request Headers,
//! section 2.3).
//!
//! Requests that change state or read user names also require a token, or a unix socket.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::peer::Peer;
use super::rate_limited_log::RateLimitedLog;
use crate::clock::Clock;
use crate::upstream::secret_file::CurrentCredentials;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The reason why the admin listener rejects a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAccessError {
    /// `Host` is not a name of the listener.
    UnknownHost,
    /// A web page of another site sent the request.
    CrossSiteRequest,
    /// The peer is not one of `admin.trusted_peers`.
    UntrustedPeer,
    /// A token is required, and none is configured.
    TokenNotConfigured,
    /// A token is required, and the request presents none or another one.
    WrongToken,
}

impl AdminAccessError {
    /// Returns the problem and the remedy, for the response and the log.
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownHost => {
                "the Host header is neither an IP address, localhost nor one of admin.allowed_hosts"
            }
            Self::CrossSiteRequest => "a web page of another site sent this request",
            Self::UntrustedPeer => "the peer is not one of admin.trusted_peers",
            Self::TokenNotConfigured => {
                "set admin.token_file and present the token as Bearer, or use a unix socket as admin.listen"
            }
            Self::WrongToken => {
                "present the token of admin.token_file as Bearer, or as the password of Basic"
            }
        }
    }
}

/// The names, the token and the rejection log of the admin listener.
#[derive(Debug)]
pub struct AdminAccess {
    /// Additional host names, in lower case.
    hosts: Box<[String]>,
    token: Option<Arc<CurrentCredentials>>,
    log: RateLimitedLog,
}

impl AdminAccess {
    /// Creates the rules of a listener with these additional host names, in lower case, and this token.
    pub fn new(
        hosts: impl Iterator<Item = String>,
        token: Option<Arc<CurrentCredentials>>,
        clock: Clock,
    ) -> Self {
        Self { hosts: hosts.collect(), token, log: RateLimitedLog::new(clock) }
    }

    /// Checks that no web page of another site sent the request. This applies to every path.
    ///
    /// # Errors
    /// Returns the rule that the request breaks. The other checks do the same.
    pub(super) fn check_origin(&self, peer: &Peer, headers: &HeaderMap) -> Result<(), AdminAccessError> {
        let host = single_header_value(headers, &HOST).map_err(|()| AdminAccessError::UnknownHost)?;
        // Browsers always send `Host`, and cannot connect to a unix socket.
        if peer.address.is_some() && !host.is_none_or(|host| self.is_own_host(host)) {
            return Err(AdminAccessError::UnknownHost);
        }
        let site =
            single_header_value(headers, &SEC_FETCH_SITE).map_err(|()| AdminAccessError::CrossSiteRequest)?;
        // `same-site` includes other ports of this machine, which are other origins.
        if !matches!(site, None | Some(b"same-origin" | b"none")) {
            return Err(AdminAccessError::CrossSiteRequest);
        }
        match single_header_value(headers, &ORIGIN).map_err(|()| AdminAccessError::CrossSiteRequest)? {
            None => Ok(()),
            Some(origin)
                if origin.strip_prefix(b"http://").is_some_and(|authority| Some(authority) == host) =>
            {
                Ok(())
            }
            Some(_) => Err(AdminAccessError::CrossSiteRequest),
        }
    }

    fn is_own_host(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let Some(name) = without_port(host) else { return false };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let name = name.to_ascii_lowercase();
        bare.parse::<IpAddr>().is_ok() || name == "localhost" || self.hosts.contains(&name)
    }

    /// Checks that the peer can read metrics.
    pub(super) fn check_peer(&self, peer: Option<&Peer>) -> Result<(), AdminAccessError> {
        peer.filter(|peer| peer.is_trusted).map(|_| ()).ok_or(AdminAccessError::UntrustedPeer)
    }

    /// Checks that the peer can change state and read user names.
    pub(super) fn check_admin(
        &self,
        peer: Option<&Peer>,
        headers: &HeaderMap,
    ) -> Result<(), AdminAccessError> {
        self.check_peer(peer)?;
        if peer.is_some_and(|peer| peer.address.is_none()) {
            return Ok(());
        }
        let token = self.token.as_ref().ok_or(AdminAccessError::TokenNotConfigured)?;
        let presented = single_header_value(headers, &AUTHORIZATION).ok().flatten().and_then(presented_token);
        match presented {
            Some(presented) if token.is_valid_secret(&presented) => Ok(()),
            Some(_) | None => Err(AdminAccessError::WrongToken),
        }
    }

    /// Logs a rejected request, within the limit of [`RateLimitedLog`].
    pub(super) fn log_rejection(&self, error: AdminAccessError, peer: Option<&Peer>, path: &str) {
        let Some(suppressed) = self.log.next_line() else { return };
        let peer = peer.and_then(|peer| peer.address).map(|address| address.to_string());
        // Any other path is text of the client, which could forge log entries or fill the log.
        let path = if matches!(path, "/flush" | "/api-keys" | "/metrics" | "/livez" | "/readyz") {
            path
        } else {
            ""
        };
        tracing::warn!(reason = error.message(), peer, path, suppressed, "admin request denied");
    }
}

/// Returns the value of a header, or an error if the header is repeated.
fn single_header_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, ()> {
    let mut values = headers.get_all(name).map(HeaderValue::as_bytes);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(()),
    }
}

/// Returns the host of `host[:port]` (RFC 9110 section 7.2), with the brackets of an IPv6 address.
fn without_port(text: &str) -> Option<&str> {
    let after = text.rfind(']').map_or(0, |at| at + 1);
    let rest = text.get(after..)?;
    match rest.split_once(':') {
        None => Some(text),
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => text.get(..after + name.len()),
        Some(_) => None,
    }
}

/// Returns the token of `Bearer`, or the password of `Basic` with any user name.
fn presented_token(authorization: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let at = authorization.iter().position(|b| *b == b' ')?;
    let (scheme, value) = authorization.split_at_checked(at)?;
    let value = value.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(Zeroizing::new(value.to_vec()));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = Zeroizing::new(BASE64_STANDARD.decode(value).ok()?);
    let colon = pair.iter().position(|b| *b == b':')?;
    Some(Zeroizing::new(pair.get(colon + 1..)?.to_vec()))
}

#[cfg(test)]
#[path = "admin_access_tests.rs"]
mod tests;
