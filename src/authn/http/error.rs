//! What may go wrong with a call, and what that says of the service.
//!
//! No text of a fault holds anything of the request, nor of the answer's content beyond its form.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use reqwest::StatusCode;
use rustix::io::Errno;

/// How much of a cause is told.
const CAUSE_LENGTH_MAX: usize = 200;

/// How webpki says that a certificate of an authority is used by a server, as `openssl req -x509` makes it.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// Why a call has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No address for the name.
    #[error("the name can't be resolved: {0}")]
    NameNotResolved(String),
    /// No connection: refused, or unreachable.
    #[error("can't connect: {0}")]
    ConnectFailed(String),
    /// The connection took too long.
    #[error("no connection within {}", humantime::format_duration(*.0))]
    ConnectTimeout(Duration),
    /// The answer took too long.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// The same, and it had less time than it should, having waited for its turn.
    #[error("no answer within {}, all that was left", humantime::format_duration(*.0))]
    ShortenedTimeout(Duration),
    /// The other side is not who it should be, or the TLS handshake failed otherwise.
    #[error("TLS: {0}")]
    TlsHandshakeFailed(String),
    /// TLS ended after the handshake, so the request may have been sent.
    #[error("TLS: {0}")]
    TlsClosed(String),
    /// The connection ended, or what came is not HTTP.
    #[error("the connection broke: {0}")]
    ConnectionBroken(String),
    /// A status that nobody spoke of.
    #[error("answered {}", describe_status(*.0))]
    UnexpectedStatus(StatusCode),
    /// Status 429 or 503: it wants to be left alone for so long, if it says how long.
    #[error("answered {}, which is to come again later", .0.as_u16())]
    Throttled(StatusCode, Option<Duration>),
    /// A page for people.
    #[error(
        "answered with a web page (text/html), which may be anybody's log-in or maintenance page; say allow_html = true if that is its answer"
    )]
    HtmlResponse,
    /// Not JSON, from this line and column on.
    #[error("the answer is not JSON: line {0}, column {1}")]
    InvalidJson(usize, usize),
    /// More than may be read.
    #[error("the answer is larger than {}", format_size(*.0))]
    ResponseTooLarge(u64),
    /// JSON that is not as the settings say.
    #[error("{0}")]
    UnexpectedContent(String),
    /// It is not asked, since it was down a moment ago.
    #[error("is down: not asked for {}", humantime::format_duration(*.0))]
    CircuitOpen(Duration),
    /// It is not asked for this requester, whose last calls got no answer, or who was told to come again later.
    #[error("requester held back after calls without an answer: not asked for {}", humantime::format_duration(*.0))]
    RequesterHeldBack(Duration),
    /// The call was ended for requesters who wait while slow calls take most connections.
    #[error("no answer within {}, and others wait for the connection", humantime::format_duration(*.0))]
    Preempted(Duration),
    /// This process lacks what a call takes: a descriptor, a port, memory. It says nothing of the service.
    #[error("the call can't be made here: {0}")]
    LocalResourcesExhausted(String),
    /// The call ended without a result; a fault of ours.
    #[error("the call failed to run")]
    Internal,
}

fn describe_status(status: StatusCode) -> String {
    let code = status.as_u16();
    if matches!(code, 301 | 302 | 303 | 307 | 308) {
        return format!("{code}, a redirect, which is not followed");
    }
    format!("{code}, which is neither accepted, rejected nor unknown")
}

fn format_size(count: u64) -> String {
    if count.is_multiple_of(1024) { format!("{}KiB", count / 1024) } else { format!("{count} bytes") }
}

/// What a call without an outcome says of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureEvidence {
    /// The service answered, though not as it was agreed.
    Answered,
    /// There is no connection to the service. No requester can bring that about.
    NoConnection,
    /// No connection came about in time: as above, unless the service just accepted others and is full of them.
    ConnectTimeout,
    /// The request was sent, and no usable answer came. The requester may have brought that about.
    Unanswered,
    /// The service wants fewer calls. Requesters who guess may have brought that about, for others too.
    RateLimited,
    /// The call was ended before its time. It only says that it was slow.
    Slow,
    /// None: the service was not asked.
    NotCalled,
}

/// The causes for which this process can make no call.
const LOCAL_ERRNOS: [Errno; 5] =
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];

impl CallError {
    /// What it says of the service.
    pub fn evidence(&self) -> FailureEvidence {
        match self {
            Self::NameNotResolved(_) | Self::ConnectFailed(_) | Self::TlsHandshakeFailed(_) => {
                FailureEvidence::NoConnection
            }
            Self::ConnectTimeout(_) => FailureEvidence::ConnectTimeout,
            // A page or a text in place of JSON may be the answer of a load balancer, and may as well be what the
            // service shows the owner of a closed account.
            Self::Timeout(_)
            | Self::TlsClosed(_)
            | Self::ConnectionBroken(_)
            | Self::HtmlResponse
            | Self::InvalidJson(..) => FailureEvidence::Unanswered,
            Self::Throttled(status, _) if status.as_u16() == 429 => FailureEvidence::RateLimited,
            Self::Throttled(..) => FailureEvidence::Unanswered,
            Self::UnexpectedStatus(status) if status.is_server_error() => FailureEvidence::Unanswered,
            // It may be the service's way to say that this user has lost his rights.
            Self::UnexpectedStatus(_) | Self::ResponseTooLarge(_) | Self::UnexpectedContent(_) => {
                FailureEvidence::Answered
            }
            Self::ShortenedTimeout(_) | Self::Preempted(_) => FailureEvidence::Slow,
            Self::CircuitOpen(_)
            | Self::RequesterHeldBack(_)
            | Self::LocalResourcesExhausted(_)
            | Self::Internal => FailureEvidence::NotCalled,
        }
    }

    /// How long the service wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Throttled(_, wait) = self { *wait } else { None }
    }

    /// What reqwest could not do, without the URL.
    pub fn from_reqwest(error: &reqwest::Error, connect: Duration, total: Duration) -> Self {
        let cause = describe_cause(error);
        match () {
            () if is_local_error(error) => Self::LocalResourcesExhausted(cause),
            () if is_tls_error(error) && error.is_connect() => Self::TlsHandshakeFailed(cause),
            () if is_tls_error(error) => Self::TlsClosed(cause),
            () if error.is_dns() => Self::NameNotResolved(cause),
            () if error.is_connect() && error.is_timeout() => Self::ConnectTimeout(connect),
            () if error.is_connect() => Self::ConnectFailed(cause),
            () if error.is_timeout() => Self::Timeout(total),
            () => Self::ConnectionBroken(cause),
        }
    }
}

/// Whether this process could not make the call. To look a name up takes a descriptor too, and its error does not
/// say so.
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

/// The innermost cause and the one around it: the rest only says that a request failed.
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
        return "the server's certificate is an authority's: have one signed by it, or make the certificate with basicConstraints CA:FALSE".to_owned();
    }
    let inner = causes.split_off(causes.len().saturating_sub(2)).join(": ");
    let text = if inner.is_empty() { "no reason is given".to_owned() } else { inner };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CAUSE_LENGTH_MAX).collect()
}

/// Whether TLS failed, also behind the handshake (a client's certificate is refused there); it is wrapped in
/// errors of input and output, one in the other.
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
