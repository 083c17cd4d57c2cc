//! The one call: GetAuthorizationToken, signed (SigV4) and sent.
//!
//! The SDK's ECR client would do the same; ARCHITECTURE.md says what it costs.

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::TimeSource;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request};

use super::CALL_TIMEOUT;
use super::credentials::SigningContext;
use super::error::{AwsService, EcrError};
use super::http_client::{AwsHttpClient, AwsResponse, response_error};

/// Amazon ECR API Reference, GetAuthorizationToken; awsJson1_1 of the Smithy specification.
const TARGET_HEADER: (&str, &str) =
    ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
const CONTENT_TYPE_VALUE: &str = "application/x-amz-json-1.1";

/// No registryIds: they are deprecated, and a token is good for every registry that its owner may use.
const REQUEST_BODY: &[u8] = b"{}";

/// ECR's name in a signature, its endpoint prefix notwithstanding.
const SIGNING_SERVICE: &str = "ecr";

/// Asks ECR for a token; the answer has status 200.
pub async fn get_authorization_token(
    signer: &SigningContext,
    wire: &AwsHttpClient,
) -> Result<AwsResponse, EcrError> {
    let request = build_signed_request(signer, wire).ok_or(EcrError::TaskFailed)?;
    let reply = wire.send(AwsService::Ecr, request, CALL_TIMEOUT).await?;
    if reply.status == 200 { Ok(reply) } else { Err(response_error(AwsService::Ecr, &reply)) }
}

/// The request with its signature, by AWS's clock; None only if the SDK makes something that is no header.
fn build_signed_request(signer: &SigningContext, wire: &AwsHttpClient) -> Option<Request> {
    let mut request = Request::new(Method::POST, signer.resolve_endpoint().clone());
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_VALUE));
    headers.insert(TARGET_HEADER.0, HeaderValue::from_static(TARGET_HEADER.1));
    *request.body_mut() = Some(REQUEST_BODY.into());
    let params = v4::SigningParams::builder()
        .identity(signer.identity())
        .region(signer.region())
        .name(SIGNING_SERVICE)
        .time(wire.clock_skew().now())
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    // The signer adds the host by the URL, from which reqwest takes it, too.
    let plain = [(CONTENT_TYPE.as_str(), CONTENT_TYPE_VALUE), TARGET_HEADER];
    let url = request.url().to_string();
    let signable =
        SignableRequest::new("POST", &url, plain.into_iter(), SignableBody::Bytes(REQUEST_BODY)).ok()?;
    let (instructions, _) = sign(signable, &params).ok()?.into_parts();
    for (name, value) in instructions.headers() {
        let mut value = HeaderValue::from_str(value).ok()?;
        // So that no Debug shows it: the session's token is one of them.
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(request)
}
