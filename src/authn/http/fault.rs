//! What may go wrong with a call, and what that says of the service.
//!
//! No text of a fault holds anything of the request, nor of the answer's content beyond its form.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;

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
    /// The other side is not who it should be, or TLS failed otherwise.
    #[error("TLS: {0}")]
    Tls(String),
    /// The connection ended, or what came is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// A status that nobody spoke of.
    #[error("answered {}", status(*.0))]
    Status(StatusCode),
    /// Status 429 or 503: it wants to be left alone for so long, if it says how long.
    #[error("answered {}, which is to come again later", .0.as_u16())]
    Later(StatusCode, Option<Duration>),
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
    /// It is not asked for this client, by its own wish.
    #[error("wants to be left alone with this client: not asked for {}", humantime::format_duration(*.0))]
    Held(Duration),
    /// The call ended without a result; a fault of ours.
    #[error("the call failed to run")]
    Ours,
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

impl Fault {
    /// Whether it says that the service is down, rather than that it answers strangely. A 500 or a 429 may be
    /// about what this client sent, and he must not shut the service for others.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Status(status) | Self::Later(status, _) => matches!(status.as_u16(), 502..=504),
            Self::Name(_)
            | Self::Connect(_)
            | Self::ConnectTime(_)
            | Self::Time(_)
            | Self::Tls(_)
            | Self::Broken(_) => true,
            Self::Short(_)
            | Self::Page
            | Self::NotJson(..)
            | Self::Large(_)
            | Self::Content(_)
            | Self::Down(_)
            | Self::Held(_)
            | Self::Ours => false,
        }
    }

    /// Whether it could not be asked, so that its last answer may do: it is down, fails, or something else
    /// answers in its place. A status that nobody spoke of, or an answer of another shape, may be its way to
    /// say that this user has lost his rights, and that it wants to be left alone may be a guesser's doing.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Down(_) | Self::Page | Self::NotJson(..) => true,
            Self::Status(status) | Self::Later(status, _) => status.is_server_error(),
            other => other.is_outage(),
        }
    }

    /// What reqwest could not do, without the URL.
    pub fn of(error: &reqwest::Error, connect: Duration, total: Duration) -> Self {
        let cause = cause(error);
        match () {
            () if is_tls(error) => Self::Tls(cause),
            () if error.is_dns() => Self::Name(cause),
            () if error.is_connect() && error.is_timeout() => Self::ConnectTime(connect),
            () if error.is_connect() => Self::Connect(cause),
            () if error.is_timeout() => Self::Time(total),
            () => Self::Broken(cause),
        }
    }
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
