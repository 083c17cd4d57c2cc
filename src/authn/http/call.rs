//! One call: the request out, the answer in, within its time and its size.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Request, Response, Url};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::error::{CallError, is_tls_error};
use super::response::BackendResponse;

/// Before a connection is tried for the second time: long enough for a service that is just being
/// replaced to listen again.
const CONNECT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Too Many Requests (RFC 6585 section 4), Service Unavailable (RFC 9110 section 15.6.4).
const RETRY_LATER_STATUSES: [u16; 2] = [429, 503];

/// What a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// For all of it, a second try included.
    pub timeout: Duration,
    /// Bytes of the answer's body.
    pub body_size_max: u64,
}

/// Asks, and reads the answer to its end. `left` is how long somebody waits for it.
pub async fn call(
    client: &Client,
    request: Request,
    bounds: CallLimits,
    left: Duration,
) -> Result<BackendResponse, CallError> {
    let total = bounds.timeout.min(left);
    let asked = async {
        let url = request.url().clone();
        let reply = match send_with_retry(client, request).await {
            Ok(response) => read_response(response, bounds, total).await,
            Err(error) => Err(call_error(&error, bounds, total)),
        };
        match reply {
            Err(broken @ (CallError::ConnectionBroken(_) | CallError::TlsClosed(_))) => {
                Err(check_connection_refused(&url).await.unwrap_or(broken))
            }
            reply => reply,
        }
    };
    match timeout(total, asked).await {
        Ok(answered) => answered,
        Err(_) if total < bounds.timeout => Err(CallError::ShortenedTimeout(total)),
        Err(_) => Err(CallError::Timeout(total)),
    }
}

/// Sends, and once more if there was no connection: nothing had been sent then. After that nothing is
/// repeated, since the service may have counted it.
async fn send_with_retry(client: &Client, request: Request) -> reqwest::Result<Response> {
    let again = request.try_clone();
    match client.execute(request).await {
        Err(error) if error.is_connect() && !error.is_timeout() && !is_tls_error(&error) => match again {
            Some(request) => {
                sleep(CONNECT_RETRY_DELAY).await;
                client.execute(request).await
            }
            None => Err(error),
        },
        sent => sent,
    }
}

/// Whether nobody listens any more, after a connection that broke. The requester may have brought about that one
/// connection broke, and never that another is refused.
async fn check_connection_refused(url: &Url) -> Option<CallError> {
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let error = TcpStream::connect((host, port)).await.err()?;
    (error.kind() == ErrorKind::ConnectionRefused).then(|| CallError::ConnectFailed(error.to_string()))
}

async fn read_response(
    mut response: Response,
    bounds: CallLimits,
    total: Duration,
) -> Result<BackendResponse, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let large = || CallError::ResponseTooLarge(bounds.body_size_max);
    if response.content_length().is_some_and(|length| length > bounds.body_size_max) {
        return Err(large());
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| call_error(&error, bounds, total))? {
        if (body.len() + part.len()) as u64 > bounds.body_size_max {
            return Err(large());
        }
        body.extend_from_slice(&part);
    }
    Ok(BackendResponse { status, headers, body })
}

fn call_error(error: &reqwest::Error, bounds: CallLimits, total: Duration) -> CallError {
    CallError::from_reqwest(error, bounds.connect_timeout, total)
}

/// That the service wants to be asked later, if that is what it says (RFC 9110 section 10.2.3, RFC 6585
/// section 4).
pub fn retry_later_error(reply: &BackendResponse, now: SystemTime) -> Option<CallError> {
    if !RETRY_LATER_STATUSES.contains(&reply.status.as_u16()) {
        return None;
    }
    let text = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = text.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let date = text.and_then(|text| httpdate::parse_http_date(text).ok());
    let wait = seconds.or_else(|| date.map(|date| date.duration_since(now).unwrap_or_default()));
    Some(CallError::Throttled(reply.status, wait))
}
