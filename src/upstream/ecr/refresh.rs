//! Keeps a token store up to date: fetches a token if the schedule requires it, or if the upstream refused the current
//! one.

use std::sync::Arc;
use std::time::Duration;

use super::FetchToken;
use super::aws::FetchedToken;
use super::aws::error::{EcrError, EcrResponseError};
use super::schedule::{ClockReading, FetchSchedule};
use super::token_store::TokenStore;
use crate::upstream::secret_header::SecretHeaderValue;

/// Interval between two checks of the schedule. After a suspend or a change of the date, a due fetch is delayed by at
/// most this time.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Minimum lifetime of a usable token. A shorter one could expire before a request reaches ECR.
const LIFETIME_MIN: Duration = Duration::from_secs(15);

/// A function that returns a random number from 0 to 1. It prevents that several doorward processes fetch at the same
/// time.
pub(crate) type RandomFraction = fn() -> f64;

/// A token store, its schedule and its source of tokens.
pub(crate) struct TokenRefresher<F> {
    token_store: Arc<TokenStore>,
    schedule: FetchSchedule,
    fetcher: Arc<F>,
    random: RandomFraction,
}

impl<F: FetchToken> TokenRefresher<F> {
    /// Creates a refresher of `token_store` that gets tokens from `fetcher`.
    pub(crate) fn new(token_store: Arc<TokenStore>, fetcher: F, random: RandomFraction) -> Self {
        Self { token_store, schedule: FetchSchedule::default(), fetcher: Arc::new(fetcher), random }
    }

    /// Fetches a token if the schedule requires it.
    pub(crate) async fn fetch_if_due(&mut self) {
        if self.schedule.is_due(self.token_store.now(), self.token_store.has_valid_token()) {
            self.fetch_now().await;
        }
    }

    /// Fetches a token now.
    pub(crate) async fn fetch_now(&mut self) {
        if let Err(error) = self.fetch_and_store().await {
            self.schedule.record_failure(self.token_store.now(), error.retry_after(), (self.random)());
            self.token_store.record_failure(&error.to_string());
        }
    }

    /// Fetches a token because the upstream refused the current one for a client. While AWS returns no tokens, the
    /// schedule decides instead. If the fetch fails but the current token is still valid, no state changes, because
    /// any client can cause this.
    pub(crate) async fn fetch_after_refusal(&mut self) {
        let is_valid = self.token_store.has_valid_token();
        if !self.schedule.is_fetch_allowed(self.token_store.now(), is_valid) {
            return;
        }
        if !is_valid {
            return self.fetch_now().await;
        }
        if let Err(error) = self.fetch_and_store().await {
            self.token_store.record_failure_after_refusal(&error.to_string());
        }
    }

    async fn fetch_and_store(&mut self) -> Result<(), EcrError> {
        let requested_at = self.token_store.now();
        // A separate task, so that a panic in it does not prevent the next attempt.
        let fetcher = Arc::clone(&self.fetcher);
        let fetched = tokio::spawn(async move { fetcher.fetch_token().await })
            .await
            .unwrap_or(Err(EcrError::FetchPanicked));
        fetched.and_then(|fetched| self.store_token(&fetched, requested_at))
    }

    fn store_token(&mut self, fetched: &FetchedToken, requested_at: ClockReading) -> Result<(), EcrError> {
        if fetched.lifetime <= LIFETIME_MIN {
            return Err(EcrError::InvalidResponse(EcrResponseError::AlreadyExpired));
        }
        let authorization = SecretHeaderValue::with_scheme("Basic", fetched.token.as_bytes())
            .map_err(|_| EcrError::InvalidResponse(EcrResponseError::InvalidToken))?;
        self.schedule.record_fetch(
            requested_at,
            fetched.lifetime,
            fetched.credentials_lifetime,
            (self.random)(),
        );
        self.token_store.replace_token(authorization, fetched.lifetime, requested_at.monotonic);
        Ok(())
    }

    /// Runs the schedule forever.
    pub(crate) async fn run(mut self) {
        loop {
            self.fetch_if_due().await;
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = self.token_store.wait_for_fetch_request() => self.fetch_after_refusal().await,
            }
        }
    }
}

/// Returns a random number from 0 to 1, or 0.5 if the system returns none.
pub(crate) fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
