//! Fetches the authorization token of ECR: finds the AWS credentials, makes the one signed call, and parses the
//! response.
//!
//! Only the difference to the AWS clock is kept between two tokens. A token is fetched every few hours, so the
//! credentials are looked up each time. An edited profile, a renewed key or a rotated web identity token is used
//! immediately, and expired credentials are never used twice.

pub(crate) mod clock_skew;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod get_authorization_token;
pub(crate) mod http_client;
pub(crate) mod response;

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use self::error::EcrError;
use self::http_client::AwsHttpClient;
use self::response::{EcrToken, parse_response};
use crate::upstream::secret_header::VALUE_BYTES_MAX;

/// The prefix of a token in the header value.
const SCHEME: &str = "Basic ";

/// Timeout of a connection, including TLS. The tools of AWS wait 3.1 s, and a lost packet is sent again after 1 s.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout of one call with its response. AWS answers in well under a second, and the schedule repeats a failed
/// fetch.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a whole fetch: the region, the credentials (up to four calls), the call, and a second attempt if the
/// clock was wrong. Only the schedule waits for it.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum size of a response body, in bytes. A token has 2 to 4 KiB, credentials 1 to 2.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Maximum length of a token without `Basic `, in bytes. The buffers of nginx set this limit; tokens of ECR have 2 to
/// 4 KiB.
pub(crate) const TOKEN_BYTES_MAX: usize = VALUE_BYTES_MAX - SCHEME.len();

/// Maximum lifetime of a token; AWS documents 12 h. A later expiry is reduced to this value, which does no harm
/// because the token is renewed earlier.
pub(crate) const LIFETIME_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// The account and the way to its credentials. Tables with equal values share a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AwsAccount {
    /// The region of the registry, such as `eu-central-1`. Default: AWS_REGION, the region of the profile, or the
    /// region of the instance.
    pub region: Option<String>,
    /// The profile in `~/.aws/config` and `~/.aws/credentials`. If it is set, no other credentials are used. Default:
    /// the credential chain of the AWS tools.
    pub profile: Option<String>,
    /// The ARN of a role to assume with those credentials.
    pub role_arn: Option<String>,
    /// The `sts:ExternalId` that the trust policy of the role requires.
    pub external_id: Option<String>,
    /// The URL of the ECR API, for a VPC endpoint. Default: AWS_ENDPOINT_URL_ECR, AWS_ENDPOINT_URL, the endpoint of
    /// the profile, or the endpoint of the region.
    pub endpoint: Option<String>,
}

/// Fetches tokens for one account. It contains no secret, so `Debug` shows none.
#[derive(Debug)]
pub struct EcrTokenClient {
    account: AwsAccount,
    http_client: AwsHttpClient,
}

/// A new token.
pub struct FetchedToken {
    /// The token in the form that follows `Basic ` in `Authorization`: base64, 1 to [`TOKEN_BYTES_MAX`] bytes.
    pub token: Zeroizing<String>,
    /// Remaining lifetime by the AWS clock: more than zero, at most [`LIFETIME_MAX`].
    pub lifetime: Duration,
    /// Remaining lifetime of the credentials that signed the call, if they expire.
    pub credentials_lifetime: Option<Duration>,
}

impl std::fmt::Debug for FetchedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchedToken")
            .field("lifetime", &self.lifetime)
            .field("credentials_lifetime", &self.credentials_lifetime)
            .finish_non_exhaustive()
    }
}

impl EcrTokenClient {
    /// Creates a client for an account, without calling AWS.
    ///
    /// # Errors
    /// Returns [`EcrError::InvalidSetting`] if a setting is invalid, and [`EcrError::TlsSetupFailed`] if there are no
    /// CA certificates.
    pub fn new(account: AwsAccount) -> Result<Self, EcrError> {
        endpoint::check_account(&account)?;
        let is_without_tls = account.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
        Ok(Self { http_client: AwsHttpClient::new(is_without_tls)?, account })
    }

    /// Fetches a token within [`FETCH_TIMEOUT`]. Requires the timers and the network of tokio.
    ///
    /// AWS is called once. If it rejects the time of the signature and its response shows another time, it is called
    /// a second time. Nothing else is retried, except by the credential sources of the SDK.
    pub async fn fetch_token(&self) -> Result<FetchedToken, EcrError> {
        timeout(FETCH_TIMEOUT, self.fetch_with_clock_correction())
            .await
            .unwrap_or(Err(EcrError::TimedOut(FETCH_TIMEOUT)))
    }

    async fn fetch_with_clock_correction(&self) -> Result<FetchedToken, EcrError> {
        let offset_before = self.http_client.clock_skew().offset_secs();
        match self.fetch_once().await {
            Err(error)
                if error.is_possibly_clock_skew()
                    && self.http_client.clock_skew().has_changed_since(offset_before) =>
            {
                self.fetch_once().await
            }
            fetched => fetched,
        }
    }

    async fn fetch_once(&self) -> Result<FetchedToken, EcrError> {
        let signing_context = credentials::resolve_signing_context(&self.account, &self.http_client).await?;
        let response =
            get_authorization_token::get_authorization_token(&signing_context, &self.http_client).await?;
        let EcrToken { token, lifetime } = parse_response(&response.body, response.date)?;
        let credentials_lifetime = signing_context
            .expires_at()
            .map(|expiry| expiry.duration_since(response.date).unwrap_or_default());
        Ok(FetchedToken { token, lifetime, credentials_lifetime })
    }
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod aws_tests;
