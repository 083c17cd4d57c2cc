//! The HTTP client for our own call and for the calls of the SDK. With one client there is one TLS library and one
//! set of limits, and all AWS clock values and errors are seen in one place.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse as SdkResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Request, redirect, retry};
use zeroize::Zeroizing;

use super::clock_skew::ClockSkew;
use super::error::{AwsService, EcrError, EcrResponseError, parse_error_code, single_line};
use super::{BODY_BYTES_MAX, CALL_TIMEOUT, CONNECT_TIMEOUT};
use crate::authn::http::error::transport_error;
use crate::authn::remote::error::CallError as Http;

/// Maximum value of Retry-After; a larger one is reduced to it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Maximum size of the file of AWS_CA_BUNDLE, in bytes.
const CA_BUNDLE_BYTES_MAX: u64 = 1 << 20;

/// Error codes of throttling, from the retry rules of the AWS SDKs.
const THROTTLING_ERROR_CODES: [&str; 9] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
];

/// The HTTP clients, the clock difference and the last call of the SDK. Clones share them.
#[derive(Clone, Debug)]
pub struct AwsHttpClient {
    /// The client for https, which AWS uses. It goes through HTTPS_PROXY unless NO_PROXY contains the host, as in the
    /// tools of AWS.
    https_client: Client,
    /// The client for http, which the metadata services of instances and containers use. No proxy can reach them.
    http_client: Client,
    clock_skew: ClockSkew,
    last_call: Arc<Mutex<LastSdkCall>>,
}

/// The service and the error of the last call of the SDK.
#[derive(Clone, Debug, Default)]
pub struct LastSdkCall {
    /// The service; `None` before the first call.
    pub service: Option<AwsService>,
    /// The error; `None` after a successful call.
    pub error: Option<EcrError>,
}

/// A complete response.
pub struct AwsResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body: at most [`BODY_BYTES_MAX`] bytes.
    pub body: Zeroizing<Vec<u8>>,
    /// The date of the response by the clock of the sender, or by the local clock if the header is missing.
    pub date: SystemTime,
}

impl AwsHttpClient {
    /// Creates the clients. With `is_without_tls`, missing CA certificates are not an error: a container image may
    /// have none, and the endpoint of ECR is then called without TLS.
    pub fn new(is_without_tls: bool) -> Result<Self, EcrError> {
        // reqwest is built without a TLS provider. Another module can have installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let error_of = |error: reqwest::Error| {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            EcrError::TlsSetupFailed(single_line(&cause))
        };
        let http_client = client_builder().no_proxy().tls_certs_only([]).build().map_err(error_of)?;
        let https_client = match load_ca_bundle()? {
            Some(certificates) => client_builder().tls_certs_only(certificates).build(),
            None => client_builder().build(),
        };
        Ok(Self {
            https_client: if is_without_tls {
                https_client.unwrap_or_else(|_| http_client.clone())
            } else {
                https_client.map_err(error_of)?
            },
            http_client,
            clock_skew: ClockSkew::default(),
            last_call: Arc::default(),
        })
    }

    /// Returns the difference between the clocks.
    pub fn clock_skew(&self) -> &ClockSkew {
        &self.clock_skew
    }

    /// Returns a client with a last call of its own, for one lookup of credentials.
    pub fn with_separate_last_call(&self) -> Self {
        Self { last_call: Arc::default(), ..self.clone() }
    }

    /// Returns the last call of the SDK, and resets it.
    pub fn take_last_call(&self) -> LastSdkCall {
        std::mem::take(&mut *self.last_call.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record_call(&self, service: AwsService, error: Option<EcrError>) {
        *self.last_call.lock().unwrap_or_else(PoisonError::into_inner) =
            LastSdkCall { service: Some(service), error };
    }

    /// Sends a request, and reads the whole response, whatever its status. `timeout` applies to both.
    pub async fn send(
        &self,
        service: AwsService,
        mut request: Request,
        timeout: Duration,
    ) -> Result<AwsResponse, EcrError> {
        *request.timeout_mut() = Some(timeout);
        let error_of = |error: reqwest::Error| {
            EcrError::CallFailed(service, transport_error(&error, CONNECT_TIMEOUT, timeout))
        };
        let is_signed =
            request.headers().get(AUTHORIZATION).is_some_and(|v| v.as_bytes().starts_with(b"AWS4-"));
        let client = if request.url().scheme() == "https" { &self.https_client } else { &self.http_client };
        let mut response = client.execute(request).await.map_err(error_of)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let date = parse_date_header(&headers);
        // Only a service that checks signatures has a relevant clock.
        if let (true, Some(date)) = (is_signed, date) {
            self.clock_skew.update(date);
        }
        // Allocated at once, because a vector that grows leaves copies of secrets in memory.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX));
        while let Some(chunk) = response.chunk().await.map_err(error_of)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(if service == AwsService::Ecr {
                    EcrError::InvalidResponse(EcrResponseError::BodyTooLarge)
                } else {
                    EcrError::CallFailed(service, Http::ResponseTooLarge(BODY_BYTES_MAX as u64))
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(AwsResponse { status, headers, body, date: date.unwrap_or_else(SystemTime::now) })
    }
}

/// Returns the common configuration of both clients. Connections are not kept alive: hours pass between two calls,
/// and the thread of the next call can be another one.
fn client_builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(0)
}

/// Loads the certificates of AWS_CA_BUNDLE, which the tools of AWS trust instead of those of the system.
fn load_ca_bundle() -> Result<Option<Vec<Certificate>>, EcrError> {
    let Some(path) = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let error_of = |message: &str| EcrError::TlsSetupFailed(format!("the file of AWS_CA_BUNDLE {message}"));
    let metadata = std::fs::metadata(&path).map_err(|_| error_of("cannot be read"))?;
    if !metadata.is_file() || metadata.len() > CA_BUNDLE_BYTES_MAX {
        return Err(error_of("is not a file of at most 1 MiB"));
    }
    let pem = std::fs::read(&path).map_err(|_| error_of("cannot be read"))?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        Err(error_of("contains no PEM certificate"))
    } else {
        Ok(Some(certificates))
    }
}

fn parse_date_header(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Returns the error of a response with a status other than 200 to 299.
pub fn response_error(service: AwsService, response: &AwsResponse) -> EcrError {
    let (status, code) = (response.status, error_code(response));
    if matches!(status, 429 | 503) || THROTTLING_ERROR_CODES.contains(&code.as_str()) {
        let text = response.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
        let seconds = text.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let until = text.and_then(|text| httpdate::parse_http_date(text).ok());
        let after = seconds.or_else(|| until.map(|at| at.duration_since(response.date).unwrap_or_default()));
        return EcrError::RetryLater {
            service,
            status,
            code,
            retry_after: after.map(|after| after.min(RETRY_AFTER_MAX)),
        };
    }
    if status >= 500 {
        EcrError::Failed { service, status, code }
    } else {
        EcrError::Rejected { service, status, code }
    }
}

/// Returns the error code of AWS. It is in a header, in a member of the JSON (awsJson1_1: "Operation error
/// serialization"), or in an element of the XML of STS (awsQuery).
fn error_code(response: &AwsResponse) -> String {
    if let Some(text) = response.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()) {
        return parse_error_code(text);
    }
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(&response.body) {
        let member = ["__type", "code", "Code"].iter().find_map(|name| json.get(name)?.as_str());
        return member.map(parse_error_code).unwrap_or_default();
    }
    let text = String::from_utf8_lossy(&response.body);
    let inner = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    inner.map(|(text, _)| parse_error_code(text)).unwrap_or_default()
}

/// The interface for the SDK, which requests a connector with timeouts and sends its calls through it.
impl HttpClient for AwsHttpClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let (connect, read) = (settings.connect_timeout(), settings.read_timeout());
        // The SDK sets one or two seconds each for the metadata services. Without a read timeout, CALL_TIMEOUT applies.
        let timeout =
            read.map_or(CALL_TIMEOUT, |read| (connect.unwrap_or(CONNECT_TIMEOUT) + read).min(CALL_TIMEOUT));
        SharedHttpConnector::new(SdkConnector { http_client: self.clone(), timeout })
    }
}

#[derive(Debug)]
struct SdkConnector {
    http_client: AwsHttpClient,
    timeout: Duration,
}

/// A call of the SDK. The SDK drops it if a timeout of its own expires, which can be shorter.
struct AwsCall {
    http_client: AwsHttpClient,
    service: AwsService,
    started_at: Instant,
    /// The result; `None` if the call was dropped before its end.
    result: Option<Result<(), EcrError>>,
}

impl Drop for AwsCall {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            let waited = Duration::from_secs(self.started_at.elapsed().as_secs().max(1));
            Err(EcrError::CallFailed(self.service, Http::Timeout(waited)))
        });
        self.http_client.record_call(self.service, result.err());
    }
}

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http_client, timeout) = (self.http_client.clone(), self.timeout);
        HttpConnectorFuture::new(async move {
            let (service, request) = to_reqwest_request(request)?;
            let mut call = AwsCall { http_client, service, started_at: Instant::now(), result: None };
            let sent = call.http_client.send(service, request, timeout).await;
            call.result = Some(match &sent {
                Ok(response) if matches!(response.status, 200..=299) => Ok(()),
                Ok(response) => Err(response_error(service, response)),
                Err(error) => Err(error.clone()),
            });
            match sent {
                Ok(response) => to_sdk_response(response),
                Err(error) if error.is_timeout() => Err(ConnectorError::timeout(error.into())),
                Err(error) => Err(ConnectorError::io(error.into())),
            }
        })
    }
}

/// Converts a request of the SDK, and determines its service. The SDK sends POST only to STS, and only the paths of
/// IMDS start with `/latest/`.
fn to_reqwest_request(request: HttpRequest) -> Result<(AwsService, Request), ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let service = match request.method().as_str() {
        "POST" => AwsService::Sts,
        _ if request.uri().path().starts_with("/latest/") => AwsService::InstanceMetadata,
        _ => AwsService::ContainerCredentials,
    };
    // The requests of the credential chain are never streams.
    let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
    let request = Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
    Ok((service, request))
}

/// Converts a response for the SDK. Headers that are not UTF-8 are omitted.
fn to_sdk_response(response: AwsResponse) -> Result<SdkResponse, ConnectorError> {
    let status = response.status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    let mut sdk_response = SdkResponse::new(status, SdkBody::from(response.body.to_vec()));
    for (name, value) in &response.headers {
        if let Ok(value) = value.to_str() {
            let _ = sdk_response.headers_mut().try_append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(sdk_response)
}
