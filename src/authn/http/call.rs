//! One call: the request out, the answer in, within its time and its size.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Request, Response, Url};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::answer::Reply;
use super::fault::{Fault, is_tls};

/// Before a connection is tried for the second time: long enough for a service that is just being
/// replaced to listen again.
const RETRY_AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// Too Many Requests (RFC 6585 section 4), Service Unavailable (RFC 9110 section 15.6.4).
const LATER: [u16; 2] = [429, 503];

/// What a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// For all of it, a second try included.
    pub timeout: Duration,
    /// Bytes of the answer's body.
    pub max_body: u64,
}

/// Asks, and reads the answer to its end. `left` is how long somebody waits for it.
pub async fn call(client: &Client, request: Request, bounds: Bounds, left: Duration) -> Result<Reply, Fault> {
    let total = bounds.timeout.min(left);
    let asked = async {
        let url = request.url().clone();
        let reply = match send(client, request).await {
            Ok(response) => read(response, bounds, total).await,
            Err(error) => Err(of(&error, bounds, total)),
        };
        match reply {
            Err(broken @ (Fault::Broken(_) | Fault::TlsEnded(_))) => {
                Err(refused(&url).await.unwrap_or(broken))
            }
            reply => reply,
        }
    };
    match timeout(total, asked).await {
        Ok(answered) => answered,
        Err(_) if total < bounds.timeout => Err(Fault::Short(total)),
        Err(_) => Err(Fault::Time(total)),
    }
}

/// Sends, and once more if there was no connection: nothing had been sent then. After that nothing is
/// repeated, since the service may have counted it.
async fn send(client: &Client, request: Request) -> reqwest::Result<Response> {
    let again = request.try_clone();
    match client.execute(request).await {
        Err(error) if error.is_connect() && !error.is_timeout() && !is_tls(&error) => match again {
            Some(request) => {
                sleep(RETRY_AFTER_REFUSAL).await;
                client.execute(request).await
            }
            None => Err(error),
        },
        sent => sent,
    }
}

/// Whether nobody listens any more, after a connection that broke. The requester may have brought about that one
/// connection broke, and never that another is refused.
async fn refused(url: &Url) -> Option<Fault> {
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let error = TcpStream::connect((host, port)).await.err()?;
    (error.kind() == ErrorKind::ConnectionRefused).then(|| Fault::Connect(error.to_string()))
}

async fn read(mut response: Response, bounds: Bounds, total: Duration) -> Result<Reply, Fault> {
    let (status, headers) = (response.status(), response.headers().clone());
    let large = || Fault::Large(bounds.max_body);
    if response.content_length().is_some_and(|length| length > bounds.max_body) {
        return Err(large());
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| of(&error, bounds, total))? {
        if (body.len() + part.len()) as u64 > bounds.max_body {
            return Err(large());
        }
        body.extend_from_slice(&part);
    }
    Ok(Reply { status, headers, body })
}

fn of(error: &reqwest::Error, bounds: Bounds, total: Duration) -> Fault {
    Fault::of(error, bounds.connect_timeout, total)
}

/// That the service wants to be asked later, if that is what it says (RFC 9110 section 10.2.3, RFC 6585
/// section 4).
pub fn later(reply: &Reply, now: SystemTime) -> Option<Fault> {
    if !LATER.contains(&reply.status.as_u16()) {
        return None;
    }
    let text = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = text.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let date = text.and_then(|text| httpdate::parse_http_date(text).ok());
    let wait = seconds.or_else(|| date.map(|date| date.duration_since(now).unwrap_or_default()));
    Some(Fault::Throttled(reply.status, wait))
}
