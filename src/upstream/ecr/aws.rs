//! ECR's authorization token, as AWS gives it: who we are to AWS, the one signed call, and its answer.
//!
//! Nothing is kept from one token to the next but how far AWS's clock is from ours. A token is fetched every
//! few hours, so the credentials are looked up anew each time: an edited profile, a renewed key and a
//! rotated web identity token count at once, and none that AWS calls expired is used twice.

pub mod clock_skew;
pub mod credentials;
pub mod endpoint;
pub mod error;
pub mod get_authorization_token;
pub mod http_client;
pub mod response;

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

pub use self::error::EcrError;
use self::http_client::AwsHttpClient;
use crate::upstream::secret_header::VALUE_BYTES_MAX;

/// What stands before a token.
const SCHEME: &str = "Basic ";

/// For a connection, TLS included: AWS's own tools wait 3.1 s, and a packet that got lost is sent again after
/// 1 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For one call with its answer: AWS answers in well under a second, and the caller's schedule has the next
/// one.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole token: the region, the credentials (up to four calls), the call, and once more if the clock
/// was wrong. Nobody waits for it but the schedule.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// The most bytes of an answer's body: a token is 2 to 4 KiB, credentials 1 to 2.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a token as it stands behind `Basic `: what nginx's buffers for it take. ECR's have 2 to
/// 4 KiB.
pub const TOKEN_BYTES_MAX: usize = VALUE_BYTES_MAX - SCHEME.len();

/// The longest that a token is trusted: AWS's say 12 h. A later date does no harm if it is not waited for,
/// so it is cut, not refused.
pub const LIFETIME_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Whose token; two tables with the same one share a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AwsAccount {
    /// The registry's region, as in `eu-central-1`. Missing: AWS_REGION, the profile's, the instance's.
    pub region: Option<String>,
    /// The profile of `~/.aws/config` and `~/.aws/credentials` whose credentials are used, and no others.
    /// Missing: the chain of AWS's tools.
    pub profile: Option<String>,
    /// The role (its ARN) that is assumed with those credentials.
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for as `sts:ExternalId`.
    pub external_id: Option<String>,
    /// The URL of ECR's API, for a VPC endpoint. Missing: AWS_ENDPOINT_URL_ECR, AWS_ENDPOINT_URL, the
    /// profile's, else the region's.
    pub endpoint: Option<String>,
}

/// Fetches tokens for one account. Debug shows no secret: there is none in it.
#[derive(Debug)]
pub struct EcrTokenClient {
    account: AwsAccount,
    http_client: AwsHttpClient,
}

/// A token, fresh from AWS.
pub struct FetchedToken {
    /// What stands behind `Basic ` in the registry's Authorization: base64, 1 to [`TOKEN_MAX`] bytes.
    pub token: Zeroizing<String>,
    /// How long it will be good: more than zero, at most [`LIFE_MAX`]. By AWS's clock, not ours.
    pub lifetime: Duration,
    /// How long the credentials that signed the call will be good, if they end.
    pub credentials_lifetime: Option<Duration>,
}

impl std::fmt::Debug for FetchedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("life", &self.lifetime)
            .field("session", &self.credentials_lifetime)
            .finish_non_exhaustive()
    }
}

impl EcrTokenClient {
    /// For this account. Fails with [`Fault::Settings`] if a setting can't be, and with [`Fault::Ca`] if there
    /// are no certificates of authorities to trust; asks nobody.
    pub fn new(account: AwsAccount) -> Result<Self, EcrError> {
        endpoint::check_account(&account)?;
        let plain = account.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
        Ok(Self { http_client: AwsHttpClient::new(plain)?, account })
    }

    /// A new token, within [`WHOLE`]. Needs tokio's timers and network. Calls AWS once, and once more at once
    /// where it was refused for the time it was signed with and AWS's clock has been learnt from that answer;
    /// else nothing is tried twice, but what the SDK's sources of credentials themselves repeat.
    pub async fn fetch_token(&self) -> Result<FetchedToken, EcrError> {
        timeout(FETCH_TIMEOUT, self.fetch_with_clock_correction())
            .await
            .unwrap_or(Err(EcrError::TimedOut(FETCH_TIMEOUT)))
    }

    async fn fetch_with_clock_correction(&self) -> Result<FetchedToken, EcrError> {
        let before = self.http_client.clock_skew().compute_offset_secs();
        match self.fetch_once().await {
            Err(fault)
                if fault.is_possibly_clock_skew()
                    && self.http_client.clock_skew().has_changed_since(before) =>
            {
                self.fetch_once().await
            }
            fetched => fetched,
        }
    }

    async fn fetch_once(&self) -> Result<FetchedToken, EcrError> {
        let signer = credentials::resolve_signing_context(&self.account, &self.http_client).await?;
        let reply = get_authorization_token::get_authorization_token(&signer, &self.http_client).await?;
        let response::EcrToken { token, lifetime: life } = response::parse_response(&reply.body, reply.date)?;
        let session = signer.expires_at().map(|end| end.duration_since(reply.date).unwrap_or_default());
        Ok(FetchedToken { token, lifetime: life, credentials_lifetime: session })
    }
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod aws_tests;
