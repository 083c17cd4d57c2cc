//! The call of GetAuthorizationToken, signed with SigV4.
//!
//! aws-sdk-ecr could make the same call. It would add 0.6 MB to the program, and would not return the date, the error
//! code and the size of the response.

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::TimeSource;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request};

use super::CALL_TIMEOUT;
use super::credentials::SigningContext;
use super::error::{AwsService, EcrError};
use super::http_client::{AwsHttpClient, AwsResponse, response_error};

/// The header that selects the operation (Amazon ECR API Reference, GetAuthorizationToken; awsJson1_1 of the Smithy
/// specification).
const TARGET_HEADER: (&str, &str) =
    ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
const CONTENT_TYPE_VALUE: &str = "application/x-amz-json-1.1";

/// An empty request. The parameter registryIds is deprecated, and a token is valid for all registries that its owner
/// can access.
const REQUEST_BODY: &[u8] = b"{}";

/// The name of ECR in a signature, which differs from its endpoint prefix.
const SIGNING_SERVICE: &str = "ecr";

/// Requests a token from ECR. A returned response has status 200.
pub(crate) async fn get_authorization_token(
    signing_context: &SigningContext,
    http_client: &AwsHttpClient,
) -> Result<AwsResponse, EcrError> {
    let request = build_signed_request(signing_context, http_client).ok_or(EcrError::SigningFailed)?;
    let response = http_client.send(AwsService::Ecr, request, CALL_TIMEOUT).await?;
    if response.status == 200 { Ok(response) } else { Err(response_error(AwsService::Ecr, &response)) }
}

/// Builds the signed request, with the time of AWS. Returns `None` only if the SDK creates an invalid header.
fn build_signed_request(signing_context: &SigningContext, http_client: &AwsHttpClient) -> Option<Request> {
    let mut request = Request::new(Method::POST, signing_context.endpoint().clone());
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_VALUE));
    headers.insert(TARGET_HEADER.0, HeaderValue::from_static(TARGET_HEADER.1));
    *request.body_mut() = Some(REQUEST_BODY.into());
    let params = v4::SigningParams::builder()
        .identity(signing_context.identity())
        .region(signing_context.region())
        .name(SIGNING_SERVICE)
        .time(http_client.clock_skew().now())
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    // The signer takes the host from the URL, and so does reqwest.
    let signed_headers = [(CONTENT_TYPE.as_str(), CONTENT_TYPE_VALUE), TARGET_HEADER];
    let url = request.url().to_string();
    let signable =
        SignableRequest::new("POST", &url, signed_headers.into_iter(), SignableBody::Bytes(REQUEST_BODY))
            .ok()?;
    let (instructions, _) = sign(signable, &params).ok()?.into_parts();
    for (name, value) in instructions.headers() {
        let mut value = HeaderValue::from_str(value).ok()?;
        // `Debug` must not show the values: one of them is the session token.
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(request)
}
