//! Who we are to AWS: credentials, region and endpoint, from where AWS's own tools take them.

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

/// The name of our session in CloudTrail.
const SESSION_NAME: &str = "doorward";

/// The sources in the SDK's order, but the instance's role, of which more is said.
const SOURCES_TRIED: &str = "none in the environment (AWS_ACCESS_KEY_ID), a profile (~/.aws), a web identity \
    (AWS_WEB_IDENTITY_TOKEN_FILE), a container (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI)";

/// Errors of the SDK's whose text is told, since it is known to hold nothing but names: how each begins, and
/// what it is about.
const PRINTABLE_SDK_ERRORS: [(&str, &str); 4] = [
    ("ProfileFile provider could not be built: ", "the profile: "),
    ("Incorrect IMDS/IAM configuration: ", "the instance's role: "),
    ("Error retrieving credentials from IMDS: ", "the instance's role: "),
    ("AWS_ROLE_ARN environment variable must be set", "the web identity: AWS_ROLE_ARN is missing"),
];

/// What a call is signed with, and where it goes. There is no Debug, since there is a secret in it.
pub struct SigningContext {
    identity: Identity,
    expires_at: Option<SystemTime>,
    region: String,
    url: Url,
}

impl SigningContext {
    /// The credentials.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the credentials end, by AWS's clock, if they do.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The region that the call is signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// ECR's API.
    pub fn resolve_endpoint(&self) -> &Url {
        &self.url
    }
}

/// Finds all that is needed for one call. Nothing is kept between calls.
pub async fn resolve_signing_context(
    account: &AwsAccount,
    wire: &AwsHttpClient,
) -> Result<SigningContext, EcrError> {
    // The calls of this lookup alone tell why it failed.
    let wire = wire.with_separate_last_call();
    let config = load_sdk_config(account, &wire).await;
    let region = endpoint::check_region(config.region().ok_or(EcrError::UnknownRegion)?.as_ref())?.to_owned();
    let url = url(account, &config, &region)?;
    // The region may have been asked for where there is none.
    let _ = wire.take_last_call();
    let found = resolve_credentials(account, &config, &wire).await;
    let credentials =
        found.map_err(|error| explain_credentials_error(&error, account, wire.take_last_call()))?;
    let expiry = credentials.expiry();
    Ok(SigningContext { identity: credentials.into(), expires_at: expiry, region, url })
}

async fn load_sdk_config(account: &AwsAccount, wire: &AwsHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(wire.clone())
        .time_source(wire.clock_skew().clone())
        .retry_config(RetryConfig::disabled());
    if let Some(region) = &account.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &account.profile {
        loader = loader.profile_name(profile);
    }
    loader.load().await
}

/// The setting, else the service's and the general variable and key, else the region's.
fn url(account: &AwsAccount, config: &SdkConfig, region: &str) -> Result<Url, EcrError> {
    if let Some(endpoint) = &account.endpoint {
        return endpoint::parse_endpoint(endpoint);
    }
    let key =
        ServiceConfigKey::builder().service_id("ECR").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let ours = key.ok().and_then(|key| config.service_config()?.load_config(key));
    // Where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is set, the SDK has no general one either.
    let ignored = std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_ok_and(|text| text.eq_ignore_ascii_case("true"));
    match ours.filter(|_| !ignored).as_deref().or_else(|| config.endpoint_url()) {
        Some(endpoint) => endpoint::parse_endpoint(endpoint),
        None => {
            let (fips, both) = (config.use_fips(), config.use_dual_stack());
            endpoint::regional_endpoint(region, fips.unwrap_or_default(), both.unwrap_or_default())
        }
    }
}

async fn resolve_credentials(
    account: &AwsAccount,
    config: &SdkConfig,
    wire: &AwsHttpClient,
) -> Result<Credentials, CredentialsError> {
    let base = match &account.profile {
        // A profile that is named is meant: the environment's keys, or the instance's role where the profile
        // has none, would be somebody else's.
        Some(profile) => {
            let provider = ProviderConfig::without_region()
                .with_region(config.region().cloned())
                .with_http_client(wire.clone())
                .with_time_source(wire.clock_skew().clone())
                .with_retry_config(RetryConfig::disabled());
            let provider =
                ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
            SharedCredentialsProvider::new(provider.build())
        }
        None => config
            .credentials_provider()
            .ok_or_else(|| CredentialsError::not_loaded("the SDK has no chain of sources"))?,
    };
    let Some(role) = &account.role_arn else { return base.provide_credentials().await };
    let mut assumed = AssumeRoleProvider::builder(role).configure(config).session_name(SESSION_NAME);
    if let Some(id) = &account.external_id {
        assumed = assumed.external_id(id);
    }
    assumed.build_from_provider(base).await.provide_credentials().await
}

/// Why there are no credentials. What our own client saw says more than the SDK's error does.
fn explain_credentials_error(error: &CredentialsError, account: &AwsAccount, last: LastSdkCall) -> EcrError {
    let text = innermost_message(error);
    if let Some(fault) = explain_missing_credentials(error, account, last.error.as_ref()) {
        return fault;
    }
    if let Some(trouble) = last.error {
        return trouble;
    }
    // One that hangs could not be ended, and the next try would start another.
    if text.contains("cargo feature(s) enabled: credentials-process") {
        return EcrError::CredentialSourceFailed(
            "the profile names a credential_process, which doorward does not run: have it write a file that \
             the profile's keys are read from, or use a role"
                .into(),
        );
    }
    if text.contains("cargo feature(s) enabled: sso") || text.contains("sso-session") {
        return EcrError::CredentialSourceFailed(
            "the profile uses IAM Identity Center (SSO), which is for people: give doorward a role or a key"
                .into(),
        );
    }
    for (prefix, about) in PRINTABLE_SDK_ERRORS {
        if let Some(rest) = text.strip_prefix(prefix) {
            return EcrError::CredentialSourceFailed(single_line(&format!("{about}{rest}")));
        }
    }
    if let Some(who) = last.service {
        return EcrError::CredentialSourceFailed(format!("what {who} answers is of no use"));
    }
    if let Some(kind) = find_io_error_kind(error) {
        return EcrError::CredentialSourceFailed(format!(
            "the file of AWS_WEB_IDENTITY_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE can't be read: {kind}"
        ));
    }
    EcrError::CredentialSourceFailed(
        "a source is set up, and can't be used: see AWS_CONTAINER_CREDENTIALS_FULL_URI, \
         AWS_CONTAINER_AUTHORIZATION_TOKEN and _FILE, AWS_WEB_IDENTITY_TOKEN_FILE, and the profile"
            .into(),
    )
}

/// That no source has any. Whoever assumes a role learns of it wrapped in the error of STS's client.
fn explain_missing_credentials(
    error: &CredentialsError,
    account: &AwsAccount,
    trouble: Option<&EcrError>,
) -> Option<EcrError> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = false;
    while let Some(cause) = next {
        found |= matches!(cause.downcast_ref(), Some(CredentialsError::CredentialsNotLoaded(_)));
        next = cause.source();
    }
    if !found || matches!(trouble, Some(EcrError::Refused { service: AwsService::Sts, .. })) {
        return None;
    }
    if let Some(profile) = &account.profile {
        return Some(EcrError::NoCredentials(single_line(&format!("the profile {profile} has none"))));
    }
    let instance = match trouble {
        Some(EcrError::Refused { status: 404, .. }) => "the instance has no role".to_owned(),
        Some(trouble) => single_line(&trouble.to_string()),
        None => "the instance's role is not asked for (AWS_EC2_METADATA_DISABLED)".to_owned(),
    };
    Some(EcrError::NoCredentials(format!("{SOURCES_TRIED}; {instance}")))
}

/// The text of the innermost cause; for us to look at, not to be told.
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
