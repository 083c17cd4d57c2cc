//! The AWS credentials, region and endpoint of a call. They come from the same sources as in the tools of AWS.

use std::error::Error;
use std::io;
use std::time::SystemTime;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;
use reqwest::Url;

use super::AwsAccount;
use super::endpoint;
use super::error::{AwsService, EcrError, single_line};
use super::http_client::{AwsHttpClient, LastSdkCall};

/// The name of the role session in CloudTrail.
const SESSION_NAME: &str = "doorward";

/// The credential sources in the order of the SDK. The role of the instance is missing, because its own error is
/// added.
const SOURCES_TRIED: &str = "none in the environment (AWS_ACCESS_KEY_ID), a profile (~/.aws), a web identity \
    (AWS_WEB_IDENTITY_TOKEN_FILE), a container (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI)";

/// Errors of the SDK that contain only names and no secrets, so that their text can be shown. Each is the start of
/// the SDK error and the text that replaces it.
const PRINTABLE_SDK_ERRORS: [(&str, &str); 4] = [
    ("ProfileFile provider could not be built: ", "the profile: "),
    ("Incorrect IMDS/IAM configuration: ", "the role of the instance: "),
    ("Error retrieving credentials from IMDS: ", "the role of the instance: "),
    ("AWS_ROLE_ARN environment variable must be set", "the web identity: AWS_ROLE_ARN is missing"),
];

/// The credentials that sign a call, and its destination. There is no `Debug`, because it contains a secret.
pub(crate) struct SigningContext {
    identity: Identity,
    expires_at: Option<SystemTime>,
    region: String,
    endpoint: Url,
}

impl SigningContext {
    /// Returns the credentials.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the expiry of the credentials by the AWS clock, if they expire.
    pub(crate) fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Returns the region that the call is signed for.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Returns the endpoint of the ECR API.
    pub(crate) fn endpoint(&self) -> &Url {
        &self.endpoint
    }
}

/// Finds the credentials, the region and the endpoint of one call. Nothing is kept between calls.
pub(crate) async fn resolve_signing_context(
    account: &AwsAccount,
    http_client: &AwsHttpClient,
) -> Result<SigningContext, EcrError> {
    // The error of this lookup depends only on the calls of this lookup.
    let http_client = http_client.with_separate_last_call();
    let config = load_sdk_config(account, &http_client).await;
    let region = endpoint::check_region(config.region().ok_or(EcrError::UnknownRegion)?.as_ref())?.to_owned();
    let endpoint = resolve_endpoint(account, &config, &region)?;
    // The lookup of the region can have failed; its call must not explain missing credentials.
    let _ = http_client.take_last_call();
    let result = resolve_credentials(account, &config, &http_client).await;
    let credentials =
        result.map_err(|error| explain_credentials_error(&error, account, http_client.take_last_call()))?;
    let expiry = credentials.expiry();
    Ok(SigningContext { identity: credentials.into(), expires_at: expiry, region, endpoint })
}

async fn load_sdk_config(account: &AwsAccount, http_client: &AwsHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client.clone())
        .time_source(http_client.clock_skew().clone())
        .retry_config(RetryConfig::disabled());
    if let Some(region) = &account.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &account.profile {
        loader = loader.profile_name(profile);
    }
    loader.load().await
}

/// Returns the configured endpoint, the endpoint variable or profile key of ECR, the general one, or the endpoint of
/// the region, in this order.
fn resolve_endpoint(account: &AwsAccount, config: &SdkConfig, region: &str) -> Result<Url, EcrError> {
    if let Some(endpoint) = &account.endpoint {
        return endpoint::parse_endpoint(endpoint);
    }
    let key =
        ServiceConfigKey::builder().service_id("ECR").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let ecr_endpoint = key.ok().and_then(|key| config.service_config()?.load_config(key));
    // If AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is set, the SDK returns no general endpoint either.
    let is_ignored = std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_ok_and(|text| text.eq_ignore_ascii_case("true"));
    match ecr_endpoint.filter(|_| !is_ignored).as_deref().or_else(|| config.endpoint_url()) {
        Some(endpoint) => endpoint::parse_endpoint(endpoint),
        None => {
            let (fips, dual_stack) = (config.use_fips(), config.use_dual_stack());
            endpoint::regional_endpoint(region, fips.unwrap_or_default(), dual_stack.unwrap_or_default())
        }
    }
}

async fn resolve_credentials(
    account: &AwsAccount,
    config: &SdkConfig,
    http_client: &AwsHttpClient,
) -> Result<Credentials, CredentialsError> {
    let base = match &account.profile {
        // A configured profile has no fallback. The keys of the environment or the role of the instance can belong
        // to another account.
        Some(profile) => {
            let provider = ProviderConfig::without_region()
                .with_region(config.region().cloned())
                .with_http_client(http_client.clone())
                .with_time_source(http_client.clock_skew().clone())
                .with_retry_config(RetryConfig::disabled());
            let provider =
                ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
            SharedCredentialsProvider::new(provider.build())
        }
        None => config
            .credentials_provider()
            .ok_or_else(|| CredentialsError::not_loaded("the SDK has no credential sources"))?,
    };
    let Some(role) = &account.role_arn else { return base.provide_credentials().await };
    let mut assumed = AssumeRoleProvider::builder(role).configure(config).session_name(SESSION_NAME);
    if let Some(id) = &account.external_id {
        assumed = assumed.external_id(id);
    }
    assumed.build_from_provider(base).await.provide_credentials().await
}

/// Returns the reason why there are no credentials. The calls of our own HTTP client explain more than the error of
/// the SDK.
fn explain_credentials_error(error: &CredentialsError, account: &AwsAccount, last: LastSdkCall) -> EcrError {
    let text = innermost_message(error);
    if let Some(ecr_error) = explain_missing_credentials(error, account, last.error.as_ref()) {
        return ecr_error;
    }
    if let Some(call_error) = last.error {
        return call_error;
    }
    // A process that hangs could not be stopped, and the next attempt would start another one.
    if text.contains("cargo feature(s) enabled: credentials-process") {
        return EcrError::CredentialSourceFailed(
            "the profile contains a credential_process, which doorward does not run: write its output to a file \
             that the profile reads, or use a role"
                .into(),
        );
    }
    if text.contains("cargo feature(s) enabled: sso") || text.contains("sso-session") {
        return EcrError::CredentialSourceFailed(
            "the profile uses IAM Identity Center (SSO), which requires an interactive login: use a role or a key"
                .into(),
        );
    }
    for (prefix, replacement) in PRINTABLE_SDK_ERRORS {
        if let Some(rest) = text.strip_prefix(prefix) {
            return EcrError::CredentialSourceFailed(single_line(&format!("{replacement}{rest}")));
        }
    }
    if let Some(service) = last.service {
        return EcrError::CredentialSourceFailed(format!("the response of {service} is invalid"));
    }
    if let Some(kind) = find_io_error_kind(error) {
        return EcrError::CredentialSourceFailed(format!(
            "the file of AWS_WEB_IDENTITY_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read: {kind}"
        ));
    }
    EcrError::CredentialSourceFailed(
        "a configured source is invalid: check AWS_CONTAINER_CREDENTIALS_FULL_URI, \
         AWS_CONTAINER_AUTHORIZATION_TOKEN and _FILE, AWS_WEB_IDENTITY_TOKEN_FILE, and the profile"
            .into(),
    )
}

/// Returns an error if no source has credentials. If a role is assumed, this error is wrapped in the error of the STS
/// client.
fn explain_missing_credentials(
    error: &CredentialsError,
    account: &AwsAccount,
    call_error: Option<&EcrError>,
) -> Option<EcrError> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut is_not_loaded = false;
    while let Some(cause) = next {
        is_not_loaded |= matches!(cause.downcast_ref(), Some(CredentialsError::CredentialsNotLoaded(_)));
        next = cause.source();
    }
    if !is_not_loaded || matches!(call_error, Some(EcrError::Rejected { service: AwsService::Sts, .. })) {
        return None;
    }
    if let Some(profile) = &account.profile {
        return Some(EcrError::NoCredentials(single_line(&format!("the profile {profile} has none"))));
    }
    let instance = match call_error {
        Some(EcrError::Rejected { status: 404, .. }) => "the instance has no role".to_owned(),
        Some(call_error) => single_line(&call_error.to_string()),
        None => "the role of the instance is disabled (AWS_EC2_METADATA_DISABLED)".to_owned(),
    };
    Some(EcrError::NoCredentials(format!("{SOURCES_TRIED}; {instance}")))
}

/// Returns the text of the innermost cause. It can contain secrets, so it is only compared and never shown.
fn innermost_message(error: &CredentialsError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    text
}

fn find_io_error_kind(error: &CredentialsError) -> Option<io::ErrorKind> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = cause.source();
    }
    None
}
