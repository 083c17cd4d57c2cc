//! The authorization token of ECR, which is valid for twelve hours. It is fetched before a request needs it, and
//! renewed long before it expires. If AWS cannot be reached, the old token is used until it expires.
//!
//! [`aws`] fetches a token, [`schedule`] decides when, [`refresh`] runs the schedule, and [`token_store`] is the state that
//! requests read. A request never waits for AWS.

pub(crate) mod aws;
pub(crate) mod refresh;
pub(crate) mod schedule;
pub(crate) mod token_store;

use self::aws::FetchedToken;
use self::aws::error::EcrError;

/// A source of tokens.
pub(crate) trait FetchToken: Send + Sync + 'static {
    /// Fetches a token, or returns the reason for the failure. The implementation must have a timeout of its own.
    fn fetch_token(&self) -> impl Future<Output = Result<FetchedToken, EcrError>> + Send;
}

impl FetchToken for aws::EcrTokenClient {
    async fn fetch_token(&self) -> Result<FetchedToken, EcrError> {
        Self::fetch_token(self).await
    }
}
