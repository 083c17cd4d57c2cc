//! ECR's authorization token, which is good for twelve hours: fetched before anybody needs it, renewed long
//! before its end, and given out until its true end if AWS can't be asked.
//!
//! [`aws`] gets one, [`schedule`] says when, [`refresh`] does it, and [`lease`] is what requests look at:
//! no request ever waits for AWS.

pub mod aws;
pub mod lease;
pub mod refresh;
pub mod schedule;

pub use self::aws::{AwsAccount, EcrError, FetchedToken};

/// Where a token comes from.
pub trait FetchToken: Send + Sync + 'static {
    /// Gets a new one, or says why not. Ends within its own bound.
    fn fetch_token(&self) -> impl Future<Output = Result<FetchedToken, EcrError>> + Send;
}

impl FetchToken for aws::EcrTokenClient {
    async fn fetch_token(&self) -> Result<FetchedToken, EcrError> {
        Self::fetch_token(self).await
    }
}
