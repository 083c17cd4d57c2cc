//! The failures of a call to a remote source, and what each one proves about the service.
//!
//! No error text contains a part of the request, or of the content of the response.

use std::time::Duration;

/// The reason why a call gave no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The host name has no address.
    #[error("the host name cannot be resolved: {0}")]
    NameNotResolved(String),
    /// The connection was refused, or the host is unreachable.
    #[error("cannot connect: {0}")]
    ConnectFailed(String),
    /// The connection was not established in time.
    #[error("no connection within {}", humantime::format_duration(*.0))]
    ConnectTimeout(Duration),
    /// The response did not arrive in time.
    #[error("no response within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// The response did not arrive in time, and the wait in the queue had shortened the timeout.
    #[error("no response within {}, the time left after the queue", humantime::format_duration(*.0))]
    ShortenedTimeout(Duration),
    /// The TLS handshake failed, for example because the certificate is not trusted.
    #[error("TLS: {0}")]
    TlsHandshakeFailed(String),
    /// TLS ended after the handshake, so the request may have been sent.
    #[error("TLS: {0}")]
    TlsClosed(String),
    /// The connection ended, or the peer broke the protocol.
    #[error("the connection broke: {0}")]
    ConnectionBroken(String),
    /// The response is larger than the limit, in bytes.
    #[error("the response is larger than {}", format_size(*.0))]
    ResponseTooLarge(u64),
    /// The content of the response differs from the settings.
    #[error("{0}")]
    UnexpectedContent(String),
    /// A failure that only one kind of source has, such as an HTTP status.
    #[error("{message}")]
    SourceSpecific {
        /// The error text.
        message: String,
        /// The evidence about the service.
        evidence: FailureEvidence,
        /// The delay that the service requested before the next call.
        retry_after: Option<Duration>,
    },
    /// No call was made, because the service was down a moment ago.
    #[error("service down: no call for {}", humantime::format_duration(*.0))]
    CircuitOpen(Duration),
    /// No call was made for this requester, because its last calls got no response or the service requested a delay.
    #[error("requester held back after calls without a response: no call for {}", humantime::format_duration(*.0))]
    RequesterHeldBack(Duration),
    /// The call was ended because other requesters waited while slow calls used most connections.
    #[error("no response within {}, and others wait for the connection", humantime::format_duration(*.0))]
    Preempted(Duration),
    /// A resource of this process is exhausted: file descriptors, ports, memory.
    #[error("the call cannot be made by this process: {0}")]
    LocalResourcesExhausted(String),
    /// The call ended without a result, which is a defect of doorward.
    #[error("the call failed to run")]
    Internal,
}

fn format_size(count: u64) -> String {
    if count.is_multiple_of(1024) { format!("{}KiB", count / 1024) } else { format!("{count} bytes") }
}

/// The evidence about the service that a call without an outcome gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureEvidence {
    /// The service responded, but the response differs from the settings.
    Answered,
    /// No connection to the service. No requester can cause that.
    NoConnection,
    /// The connection was not established in time. This is like `NoConnection`, unless the service accepted other
    /// connections a moment ago and may be overloaded.
    ConnectTimeout,
    /// The request was sent, and no usable response arrived. The requester may have caused that.
    Unanswered,
    /// The service requested fewer calls. A requester that guesses passwords may have caused that, for others too.
    RateLimited,
    /// The call was ended before its timeout. This only proves that it was slow.
    Slow,
    /// No evidence, because no call was made.
    NotCalled,
}

impl CallError {
    /// Returns what the failure proves about the service.
    pub fn evidence(&self) -> FailureEvidence {
        match self {
            Self::NameNotResolved(_) | Self::ConnectFailed(_) | Self::TlsHandshakeFailed(_) => {
                FailureEvidence::NoConnection
            }
            Self::ConnectTimeout(_) => FailureEvidence::ConnectTimeout,
            Self::Timeout(_) | Self::TlsClosed(_) | Self::ConnectionBroken(_) => FailureEvidence::Unanswered,
            // The service may respond like this to a user that has lost its permissions.
            Self::ResponseTooLarge(_) | Self::UnexpectedContent(_) => FailureEvidence::Answered,
            Self::SourceSpecific { evidence, .. } => *evidence,
            Self::ShortenedTimeout(_) | Self::Preempted(_) => FailureEvidence::Slow,
            Self::CircuitOpen(_)
            | Self::RequesterHeldBack(_)
            | Self::LocalResourcesExhausted(_)
            | Self::Internal => FailureEvidence::NotCalled,
        }
    }

    /// Returns the delay that the service requested before the next call.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::SourceSpecific { retry_after, .. } = self { *retry_after } else { None }
    }
}
