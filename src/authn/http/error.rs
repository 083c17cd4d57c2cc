//! Failures that only HTTP services have, and the translation of errors of the HTTP client.
//!
//! No error text contains a part of the request, or of the content of the response.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use reqwest::StatusCode;
use rustix::io::Errno;

use crate::authn::remote::error::{CallError, FailureEvidence};

/// The longest cause in an error text, in characters.
const CAUSE_LENGTH_MAX: usize = 200;

/// The error name of webpki for a server that uses the certificate of an authority, as `openssl req -x509` makes it.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// A response without an outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpResponseError {
    /// A status that the settings do not list.
    #[error("responded with {}", describe_status(*.0))]
    UnexpectedStatus(StatusCode),
    /// Status 429 or 503, with the time of `Retry-After`.
    #[error("responded with {}, which means to retry later", .0.as_u16())]
    Throttled(StatusCode, Option<Duration>),
    /// A web page in place of data.
    #[error(
        "responded with a web page (text/html), which can be the login or maintenance page of a proxy; set allow_html = true if the service itself responds like this"
    )]
    WebPage,
    /// A body that is not JSON from this line and column on.
    #[error("the response is not JSON: line {0}, column {1}")]
    InvalidJson(usize, usize),
}

fn describe_status(status: StatusCode) -> String {
    let code = status.as_u16();
    if matches!(code, 301 | 302 | 303 | 307 | 308) {
        return format!("{code}, a redirect, which is not followed");
    }
    format!("{code}, which is in none of accepted_statuses, rejected_statuses and unknown_user_statuses")
}

impl HttpResponseError {
    fn evidence(&self) -> FailureEvidence {
        match self {
            Self::Throttled(status, _) if status.as_u16() == 429 => FailureEvidence::RateLimited,
            Self::Throttled(..) => FailureEvidence::Unanswered,
            Self::UnexpectedStatus(status) if status.is_server_error() => FailureEvidence::Unanswered,
            // The service may respond like this to a user that has lost its permissions.
            Self::UnexpectedStatus(_) => FailureEvidence::Answered,
            // A load balancer can respond with a page or text in place of JSON, but so can a service for a closed
            // account.
            Self::WebPage | Self::InvalidJson(..) => FailureEvidence::Unanswered,
        }
    }
}

impl From<HttpResponseError> for CallError {
    fn from(error: HttpResponseError) -> Self {
        let retry_after = if let HttpResponseError::Throttled(_, wait) = &error { *wait } else { None };
        Self::SourceSpecific { message: error.to_string(), evidence: error.evidence(), retry_after }
    }
}

/// The errors that mean that this process lacks a resource.
const LOCAL_ERRNOS: [Errno; 5] =
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];

/// Returns the failure of a call as the HTTP client reports it, without the URL. `connect_timeout` and `total` are the
/// time limits of the connection and of the whole call.
pub fn transport_error(error: &reqwest::Error, connect_timeout: Duration, total: Duration) -> CallError {
    let cause = describe_cause(error);
    match () {
        () if is_local_error(error) => CallError::LocalResourcesExhausted(cause),
        () if is_tls_error(error) && error.is_connect() => CallError::TlsHandshakeFailed(cause),
        () if is_tls_error(error) => CallError::TlsClosed(cause),
        () if error.is_dns() => CallError::NameNotResolved(cause),
        () if error.is_connect() && error.is_timeout() => CallError::ConnectTimeout(connect_timeout),
        () if error.is_connect() => CallError::ConnectFailed(cause),
        () if error.is_timeout() => CallError::Timeout(total),
        () => CallError::ConnectionBroken(cause),
    }
}

/// Returns whether this process lacked a resource for the call. Resolving a name needs a file descriptor too, and the
/// resolver's error does not say so.
fn is_local_error(error: &reqwest::Error) -> bool {
    let is_local = |error: &io::Error| {
        error.raw_os_error().is_some_and(|code| LOCAL_ERRNOS.iter().any(|local| local.raw_os_error() == code))
    };
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.downcast_ref::<io::Error>().is_some_and(is_local) {
            return true;
        }
        next = cause.source();
    }
    error.is_dns() && UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).is_err_and(|error| is_local(&error))
}

/// Returns the innermost cause and the one around it. The outer ones only say that a request failed.
fn describe_cause(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    if causes.iter().any(|cause| cause.contains(CA_AS_SERVER)) {
        return "the server uses the certificate of an authority; let the authority sign a certificate for the server, or create it with basicConstraints CA:FALSE".to_owned();
    }
    let inner = causes.split_off(causes.len().saturating_sub(2)).join(": ");
    let text = if inner.is_empty() { "no cause reported".to_owned() } else { inner };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CAUSE_LENGTH_MAX).collect()
}

/// Returns whether TLS failed, in the handshake or after it: a client certificate is refused after the handshake. The
/// error of TLS is wrapped in nested I/O errors.
pub fn is_tls_error(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        let mut inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        while let Some(wrapped) = inner {
            if wrapped.is::<rustls::Error>() {
                return true;
            }
            inner = wrapped.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        }
        if cause.is::<rustls::Error>() {
            return true;
        }
        next = cause.source();
    }
    false
}
