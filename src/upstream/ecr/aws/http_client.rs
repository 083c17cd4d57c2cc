//! HTTP, for our own call and for the SDK's: one client of ours, so that there is one TLS, one set of bounds,
//! and one place that sees AWS's clock and what went wrong.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse as Answered};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Request, redirect, retry};
use zeroize::Zeroizing;

use super::clock_skew::ClockSkew;
use super::error::{AwsService, EcrError, EcrResponseError, parse_error_code};
use super::{BODY_BYTES_MAX, CALL_TIMEOUT, CONNECT_TIMEOUT};
use crate::authn::http::error::transport_error;
use crate::authn::remote::error::CallError as Http;

/// The most that a Retry-After counts.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// The most bytes of the file that AWS_CA_BUNDLE names.
const CA_BUNDLE_BYTES_MAX: u64 = 1 << 20;

/// Codes that say that we call too often, from the retry rules of AWS's SDKs.
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

/// The clients, and what is learnt from their answers. Clones share them.
#[derive(Clone, Debug)]
pub struct AwsHttpClient {
    /// For https: AWS. Through HTTPS_PROXY unless NO_PROXY names the host, as AWS's tools do.
    https_client: Client,
    /// For http: the metadata services of instances and containers, which no proxy reaches.
    http_client: Client,
    clock_skew: ClockSkew,
    last_call: Arc<Mutex<LastSdkCall>>,
}

/// The SDK's last call: whom it asked, and what went wrong, if that did.
#[derive(Clone, Debug, Default)]
pub struct LastSdkCall {
    /// None before the first call.
    pub service: Option<AwsService>,
    /// None if it was answered with a success.
    pub error: Option<EcrError>,
}

/// An answer, read to its end.
pub struct AwsResponse {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its content: at most [`BODY_MAX`] bytes.
    pub body: Zeroizing<Vec<u8>>,
    /// When it was sent, by the sender's clock; by ours if it does not say.
    pub date: SystemTime,
}

impl AwsHttpClient {
    /// Makes the clients. With `no_tls` it is no fault that the system has no certificates: an image may have
    /// none, and ECR is asked without TLS.
    pub fn new(no_tls: bool) -> Result<Self, EcrError> {
        // reqwest has no cryptography of its own here; somebody else may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let fault = |error: reqwest::Error| {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            EcrError::TlsSetupFailed(crate::upstream::ecr::aws::error::single_line(&cause))
        };
        let plain = client_builder().no_proxy().tls_certs_only([]).build().map_err(fault)?;
        let secure = match load_ca_bundle()? {
            Some(certificates) => client_builder().tls_certs_only(certificates).build(),
            None => client_builder().build(),
        };
        Ok(Self {
            https_client: if no_tls {
                secure.unwrap_or_else(|_| plain.clone())
            } else {
                secure.map_err(fault)?
            },
            http_client: plain,
            clock_skew: ClockSkew::default(),
            last_call: Arc::default(),
        })
    }

    /// AWS's clock.
    pub fn clock_skew(&self) -> &ClockSkew {
        &self.clock_skew
    }

    /// The same for one lookup of credentials, which has its own [`Wire::last`].
    pub fn with_separate_last_call(&self) -> Self {
        Self { last_call: Arc::default(), ..self.clone() }
    }

    /// What became of the SDK's last call; forgotten once told.
    pub fn take_last_call(&self) -> LastSdkCall {
        std::mem::take(&mut *self.last_call.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record_call(&self, who: AwsService, trouble: Option<EcrError>) {
        *self.last_call.lock().unwrap_or_else(PoisonError::into_inner) =
            LastSdkCall { service: Some(who), error: trouble };
    }

    /// Sends, and reads the answer to its end, whatever its status. `total` is for all of it.
    pub async fn send(
        &self,
        who: AwsService,
        mut request: Request,
        total: Duration,
    ) -> Result<AwsResponse, EcrError> {
        *request.timeout_mut() = Some(total);
        let fault = |error: reqwest::Error| {
            EcrError::CallFailed(who, transport_error(&error, CONNECT_TIMEOUT, total))
        };
        let signed = request.headers().get(AUTHORIZATION).is_some_and(|v| v.as_bytes().starts_with(b"AWS4-"));
        let client = if request.url().scheme() == "https" { &self.https_client } else { &self.http_client };
        let mut response = client.execute(request).await.map_err(fault)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let dated = parse_date_header(&headers);
        // Only those that check signatures have a clock that matters.
        if let (true, Some(dated)) = (signed, dated) {
            self.clock_skew.update(dated);
        }
        // All at once: a vector that grows leaves what it held where it was.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX));
        while let Some(part) = response.chunk().await.map_err(fault)? {
            if body.len() + part.len() > BODY_BYTES_MAX {
                return Err(if who == AwsService::Ecr {
                    EcrError::InvalidResponse(EcrResponseError::BodyTooLarge)
                } else {
                    EcrError::CallFailed(who, Http::ResponseTooLarge(BODY_BYTES_MAX as u64))
                });
            }
            body.extend_from_slice(&part);
        }
        Ok(AwsResponse { status, headers, body, date: dated.unwrap_or_else(SystemTime::now) })
    }
}

/// What both clients are like. No connection is kept: there is one call in hours, and the threads that fetch
/// may not be there for it.
fn client_builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(0)
}

/// The certificates that AWS_CA_BUNDLE names, which AWS's tools trust instead of the system's.
fn load_ca_bundle() -> Result<Option<Vec<Certificate>>, EcrError> {
    let Some(path) = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let fault = |what: &str| EcrError::TlsSetupFailed(format!("the file of AWS_CA_BUNDLE {what}"));
    let metadata = std::fs::metadata(&path).map_err(|_| fault("can't be read"))?;
    if !metadata.is_file() || metadata.len() > CA_BUNDLE_BYTES_MAX {
        return Err(fault("is not a file of at most 1 MiB"));
    }
    let pem = std::fs::read(&path).map_err(|_| fault("can't be read"))?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() { Err(fault("has no certificate in PEM")) } else { Ok(Some(certificates)) }
}

fn parse_date_header(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// What an answer other than 200 to 299 says.
pub fn response_error(who: AwsService, reply: &AwsResponse) -> EcrError {
    let (status, code) = (reply.status, error_code(reply));
    if matches!(status, 429 | 503) || THROTTLING_ERROR_CODES.contains(&code.as_str()) {
        let text = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
        let seconds = text.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let until = text.and_then(|text| httpdate::parse_http_date(text).ok());
        let after = seconds.or_else(|| until.map(|at| at.duration_since(reply.date).unwrap_or_default()));
        return EcrError::RetryLater {
            service: who,
            status,
            code,
            retry_after: after.map(|after| after.min(RETRY_AFTER_MAX)),
        };
    }
    if status >= 500 {
        EcrError::Failed { service: who, status, code }
    } else {
        EcrError::Refused { service: who, status, code }
    }
}

/// AWS's code: a header, a member of the JSON (awsJson1_1: "Operation error serialization"), or an element of
/// the XML that STS speaks (awsQuery).
fn error_code(reply: &AwsResponse) -> String {
    if let Some(text) = reply.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()) {
        return parse_error_code(text);
    }
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(&reply.body) {
        let member = ["__type", "code", "Code"].iter().find_map(|name| json.get(name)?.as_str());
        return member.map(parse_error_code).unwrap_or_default();
    }
    let text = String::from_utf8_lossy(&reply.body);
    let inner = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    inner.map(|(text, _)| parse_error_code(text)).unwrap_or_default()
}

/// The SDK's side: it asks for a connector with time-outs, and that for an answer.
impl HttpClient for AwsHttpClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let (connect, read) = (settings.connect_timeout(), settings.read_timeout());
        // The metadata services get one or two seconds for each; where the SDK names no end, ours counts.
        let total =
            read.map_or(CALL_TIMEOUT, |read| (connect.unwrap_or(CONNECT_TIMEOUT) + read).min(CALL_TIMEOUT));
        SharedHttpConnector::new(SdkConnector { http_client: self.clone(), timeout: total })
    }
}

#[derive(Debug)]
struct SdkConnector {
    http_client: AwsHttpClient,
    timeout: Duration,
}

/// A call of the SDK's, which drops it when a time-out of its own is up: some have less than ours.
struct AwsCall {
    http_client: AwsHttpClient,
    service: AwsService,
    started_at: Instant,
    /// What is to be noted of it, once it has ended by itself.
    finished: Option<Option<EcrError>>,
}

impl Drop for AwsCall {
    fn drop(&mut self) {
        let dropped = || {
            let waited = Duration::from_secs(self.started_at.elapsed().as_secs().max(1));
            Some(EcrError::CallFailed(self.service, Http::Timeout(waited)))
        };
        self.http_client.record_call(self.service, self.finished.take().unwrap_or_else(dropped));
    }
}

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (wire, total) = (self.http_client.clone(), self.timeout);
        HttpConnectorFuture::new(async move {
            let (who, request) = to_reqwest_request(request)?;
            let mut asking =
                AwsCall { http_client: wire, service: who, started_at: Instant::now(), finished: None };
            let sent = asking.http_client.send(who, request, total).await;
            asking.finished = Some(match &sent {
                Ok(reply) if matches!(reply.status, 200..=299) => None,
                Ok(reply) => Some(response_error(who, reply)),
                Err(fault) => Some(fault.clone()),
            });
            match sent {
                Ok(reply) => to_sdk_response(reply),
                Err(fault) if fault.kind() == "timeout" => Err(ConnectorError::timeout(fault.into())),
                Err(fault) => Err(ConnectorError::io(fault.into())),
            }
        })
    }
}

/// The SDK's request as reqwest's, and whom it is for: STS is the only one that it posts to, and IMDS the only
/// one with such paths.
fn to_reqwest_request(request: HttpRequest) -> Result<(AwsService, Request), ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let who = match request.method().as_str() {
        "POST" => AwsService::Sts,
        _ if request.uri().path().starts_with("/latest/") => AwsService::InstanceMetadata,
        _ => AwsService::ContainerCredentials,
    };
    // All that the chain sends is in memory.
    let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
    let request = Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
    Ok((who, request))
}

/// An answer as the SDK's; headers that are not UTF-8 are left out.
fn to_sdk_response(reply: AwsResponse) -> Result<Answered, ConnectorError> {
    let status = reply.status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    let mut answered = Answered::new(status, SdkBody::from(reply.body.to_vec()));
    for (name, value) in &reply.headers {
        if let Ok(value) = value.to_str() {
            let _ = answered.headers_mut().try_append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(answered)
}
