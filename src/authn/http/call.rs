//! One HTTP call: sends the request and reads the response within its size limit.

use std::io::ErrorKind;
use std::time::Duration;

use reqwest::{Client, Request, Response, Url};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::error::{is_tls_error, transport_error};
use super::response::BackendResponse;
use crate::authn::remote::error::CallError;

/// The delay before a connection is tried for the second time. A service that is being replaced can listen again
/// within this time.
const CONNECT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The limits of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// The time limit of a connection, including TLS.
    pub connect_timeout: Duration,
    /// The largest body of a response, in bytes.
    pub body_size_max: u64,
}

/// Sends `request` and reads the whole response. The caller ends the call after `total`.
pub async fn call(
    client: &Client,
    request: Request,
    limits: CallLimits,
    total: Duration,
) -> Result<BackendResponse, CallError> {
    let url = request.url().clone();
    let result = match send_with_retry(client, request).await {
        Ok(response) => read_response(response, limits, total).await,
        Err(error) => Err(transport_error(&error, limits.connect_timeout, total)),
    };
    match result {
        Err(broken @ (CallError::ConnectionBroken(_) | CallError::TlsClosed(_))) => {
            Err(check_connection_refused(&url).await.unwrap_or(broken))
        }
        result => result,
    }
}

/// Sends the request, and once more if there was no connection. Nothing had been sent then. After that nothing is
/// repeated, because the service may have counted the attempt.
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

/// Returns an error if the service refuses connections, after a connection that broke. A requester can cause that its
/// own connection breaks, but not that another one is refused.
async fn check_connection_refused(url: &Url) -> Option<CallError> {
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let error = TcpStream::connect((host, port)).await.err()?;
    (error.kind() == ErrorKind::ConnectionRefused).then(|| CallError::ConnectFailed(error.to_string()))
}

async fn read_response(
    mut response: Response,
    limits: CallLimits,
    total: Duration,
) -> Result<BackendResponse, CallError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let too_large = || CallError::ResponseTooLarge(limits.body_size_max);
    let broken = |error: reqwest::Error| transport_error(&error, limits.connect_timeout, total);
    if response.content_length().is_some_and(|length| length > limits.body_size_max) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(broken)? {
        if (body.len() + part.len()) as u64 > limits.body_size_max {
            return Err(too_large());
        }
        body.extend_from_slice(&part);
    }
    Ok(BackendResponse { status, headers, body })
}
