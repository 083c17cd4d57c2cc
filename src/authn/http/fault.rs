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
const CAUSE_MAX: usize = 200;

/// How webpki says that a certificate of an authority is used by a server, as `openssl req -x509` makes it.
const CA_AS_SERVER: &str = "CaUsedAsEndEntity";

/// Why a call has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No address for the name.
    #[error("the name can't be resolved: {0}")]
    Name(String),
    /// No connection: refused, or unreachable.
    #[error("can't connect: {0}")]
    Connect(String),
    /// The connection took too long.
    #[error("no connection within {}", humantime::format_duration(*.0))]
    ConnectTime(Duration),
    /// The answer took too long.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Time(Duration),
    /// The same, and it had less time than it should, having waited for its turn.
    #[error("no answer within {}, all that was left", humantime::format_duration(*.0))]
    Short(Duration),
    /// The other side is not who it should be, or the TLS handshake failed otherwise.
    #[error("TLS: {0}")]
    Tls(String),
    /// TLS ended after the handshake, so the request may have been sent.
    #[error("TLS: {0}")]
    TlsEnded(String),
    /// The connection ended, or what came is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// A status that nobody spoke of.
    #[error("answered {}", status(*.0))]
    Status(StatusCode),
    /// Status 429 or 503: it wants to be left alone for so long, if it says how long.
    #[error("answered {}, which is to come again later", .0.as_u16())]
    Throttled(StatusCode, Option<Duration>),
    /// A page for people.
    #[error(
        "answered with a web page (text/html), which may be anybody's log-in or maintenance page; say html = true if that is its answer"
    )]
    Page,
    /// Not JSON, from this line and column on.
    #[error("the answer is not JSON: line {0}, column {1}")]
    NotJson(usize, usize),
    /// More than may be read.
    #[error("the answer is larger than {}", bytes(*.0))]
    Large(u64),
    /// JSON that is not as the settings say.
    #[error("{0}")]
    Content(String),
    /// It is not asked, since it was down a moment ago.
    #[error("is down: not asked for {}", humantime::format_duration(*.0))]
    Down(Duration),
    /// It is not asked for this requester, whose last calls got no answer, or who was told to come again later.
    #[error("requester held back after calls without an answer: not asked for {}", humantime::format_duration(*.0))]
    HeldBack(Duration),
    /// The call was ended for requesters who wait while slow calls take most connections.
    #[error("no answer within {}, and others wait for the connection", humantime::format_duration(*.0))]
    GaveWay(Duration),
    /// This process lacks what a call takes: a descriptor, a port, memory. It says nothing of the service.
    #[error("the call can't be made here: {0}")]
    Local(String),
    /// The call ended without a result; a fault of ours.
    #[error("the call failed to run")]
    Internal,
}

fn status(status: StatusCode) -> String {
    let code = status.as_u16();
    if matches!(code, 301 | 302 | 303 | 307 | 308) {
        return format!("{code}, a redirect, which is not followed");
    }
    format!("{code}, which is neither accepted, rejected nor unknown")
}

fn bytes(count: u64) -> String {
    if count.is_multiple_of(1024) { format!("{}KiB", count / 1024) } else { format!("{count} bytes") }
}

/// What a call without an outcome says of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The service answered, though not as it was agreed.
    Answered,
    /// There is no connection to the service. No requester can bring that about.
    NoConnection,
    /// No connection came about in time: as above, unless the service just accepted others and is full of them.
    ConnectTimeout,
    /// The request was sent, and no usable answer came. The requester may have brought that about.
    Unanswered,
    /// The service wants fewer calls. Requesters who guess may have brought that about, for others too.
    Limited,
    /// The call was ended before its time. It only says that it was slow.
    Slow,
    /// None: the service was not asked.
    NotAsked,
}

/// The causes for which this process can make no call.
const LOCAL: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];

impl Fault {
    /// What it says of the service.
    pub fn evidence(&self) -> Evidence {
        match self {
            Self::Name(_) | Self::Connect(_) | Self::Tls(_) => Evidence::NoConnection,
            Self::ConnectTime(_) => Evidence::ConnectTimeout,
            // A page or a text in place of JSON may be the answer of a load balancer, and may as well be what the
            // service shows the owner of a closed account.
            Self::Time(_) | Self::TlsEnded(_) | Self::Broken(_) | Self::Page | Self::NotJson(..) => {
                Evidence::Unanswered
            }
            Self::Throttled(status, _) if status.as_u16() == 429 => Evidence::Limited,
            Self::Throttled(..) => Evidence::Unanswered,
            Self::Status(status) if status.is_server_error() => Evidence::Unanswered,
            // It may be the service's way to say that this user has lost his rights.
            Self::Status(_) | Self::Large(_) | Self::Content(_) => Evidence::Answered,
            Self::Short(_) | Self::GaveWay(_) => Evidence::Slow,
            Self::Down(_) | Self::HeldBack(_) | Self::Local(_) | Self::Internal => Evidence::NotAsked,
        }
    }

    /// How long the service wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Throttled(_, wait) = self { *wait } else { None }
    }

    /// What reqwest could not do, without the URL.
    pub fn of(error: &reqwest::Error, connect: Duration, total: Duration) -> Self {
        let cause = cause(error);
        match () {
            () if is_local(error) => Self::Local(cause),
            () if is_tls(error) && error.is_connect() => Self::Tls(cause),
            () if is_tls(error) => Self::TlsEnded(cause),
            () if error.is_dns() => Self::Name(cause),
            () if error.is_connect() && error.is_timeout() => Self::ConnectTime(connect),
            () if error.is_connect() => Self::Connect(cause),
            () if error.is_timeout() => Self::Time(total),
            () => Self::Broken(cause),
        }
    }
}

/// Whether this process could not make the call. To look a name up takes a descriptor too, and its error does not
/// say so.
fn is_local(error: &reqwest::Error) -> bool {
    let is_local = |error: &io::Error| {
        error.raw_os_error().is_some_and(|code| LOCAL.iter().any(|local| local.raw_os_error() == code))
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
fn cause(error: &reqwest::Error) -> String {
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
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CAUSE_MAX).collect()
}

/// Whether TLS failed, also behind the handshake (a client's certificate is refused there); it is wrapped in
/// errors of input and output, one in the other.
pub fn is_tls(error: &reqwest::Error) -> bool {
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
