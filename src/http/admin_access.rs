//! Which requests the admin listener serves.
//!
//! A browser on this machine can send requests to a loopback address for any web page. So the listener compares
//! `Host`, which a page that rebinds its own name to this address cannot choose, and `Origin` and `Sec-Fetch-Site`,
//! by which a browser says that another site sent the request (Fetch Standard, section 3.2; Fetch Metadata Request
//! Headers, section 2.3). What changes state or names people also requires a token, or a unix socket.

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

/// Why the admin listener does not serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAccessError {
    /// `Host` is a name that the listener does not have.
    UnknownHost,
    /// A web page of another site sent it.
    CrossSiteRequest,
    /// The peer is not one of `admin.trusted_peers`.
    UntrustedPeer,
    /// A token is required, and none is set.
    TokenNotConfigured,
    /// A token is required, and another one was presented, or none.
    WrongToken,
}

impl AdminAccessError {
    /// What is wrong, and what to do.
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

/// See the top of this file.
#[derive(Debug)]
pub struct AdminAccess {
    /// In lower case.
    hosts: Box<[String]>,
    token: Option<Arc<CurrentCredentials>>,
    log: RateLimitedLog,
}

impl AdminAccess {
    /// For a listener that has the names `hosts`, in lower case, and this token.
    pub fn new(
        hosts: impl Iterator<Item = String>,
        token: Option<Arc<CurrentCredentials>>,
        clock: Clock,
    ) -> Self {
        Self { hosts: hosts.collect(), token, log: RateLimitedLog::new(clock) }
    }

    /// Checks what holds for every path.
    ///
    /// # Errors
    /// Why the request is not served; here and below.
    pub(super) fn check_origin(&self, peer: &Peer, headers: &HeaderMap) -> Result<(), AdminAccessError> {
        let host = single_header_value(headers, &HOST).map_err(|()| AdminAccessError::UnknownHost)?;
        // No browser reaches a unix socket, and none leaves the header out.
        if peer.address.is_some() && !host.is_none_or(|host| self.is_own_host(host)) {
            return Err(AdminAccessError::UnknownHost);
        }
        let site =
            single_header_value(headers, &SEC_FETCH_SITE).map_err(|()| AdminAccessError::CrossSiteRequest)?;
        // Another port of this machine is "same-site", and another origin all the same.
        if !matches!(site, None | Some(b"same-origin" | b"none")) {
            return Err(AdminAccessError::CrossSiteRequest);
        }
        match single_header_value(headers, &ORIGIN).map_err(|()| AdminAccessError::CrossSiteRequest)? {
            None => Ok(()),
            Some(origin) if origin.strip_prefix(b"http://").is_some_and(|of| Some(of) == host) => Ok(()),
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

    /// Checks that the peer may read figures.
    pub(super) fn check_peer(&self, peer: Option<&Peer>) -> Result<(), AdminAccessError> {
        peer.filter(|peer| peer.is_trusted).map(|_| ()).ok_or(AdminAccessError::UntrustedPeer)
    }

    /// Checks that the peer may change state and read names.
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

    /// Logs a refusal, now and then.
    pub(super) fn log_rejection(&self, refusal: AdminAccessError, peer: Option<&Peer>, path: &str) {
        let Some(suppressed) = self.log.next_line() else { return };
        let peer = peer.and_then(|peer| peer.address).map(|address| address.to_string());
        // A path that is served; any other one is the client's own text.
        let path = if matches!(path, "/flush" | "/api-keys" | "/metrics" | "/livez" | "/readyz") {
            path
        } else {
            ""
        };
        tracing::warn!(reason = refusal.message(), peer, path, suppressed, "admin request refused");
    }
}

/// The one value of a header; more than one is an error.
fn single_header_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, ()> {
    let mut values = headers.get_all(name).map(HeaderValue::as_bytes);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(()),
    }
}

/// The host of `host[:port]` (RFC 9110 section 7.2), with its brackets if it is an IPv6 address.
fn without_port(text: &str) -> Option<&str> {
    let after = text.rfind(']').map_or(0, |at| at + 1);
    let rest = text.get(after..)?;
    match rest.split_once(':') {
        None => Some(text),
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => text.get(..after + name.len()),
        Some(_) => None,
    }
}

/// The token of `Bearer`, or the password of `Basic` with any user name.
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
