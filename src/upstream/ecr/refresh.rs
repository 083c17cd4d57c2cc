//! Keeps a lease: fetches a token when its schedule says so, or when somebody wants one.

use std::sync::Arc;
use std::time::Duration;

use super::aws::error::EcrResponseError;
use super::lease::Lease;
use super::schedule::{ClockReading, FetchSchedule};
use super::{EcrError, FetchToken, FetchedToken};
use crate::upstream::secret_header::SecretHeaderValue;

/// How often the schedule is looked at: a machine that slept, or whose date was set, finds out by this.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A token with less left is of no use: it would have expired before a request has reached ECR with it.
const LIFETIME_MIN: Duration = Duration::from_secs(15);

/// From 0 to 1; what makes two doorwards differ.
pub type RandomFraction = fn() -> f64;

/// See the top of this file.
pub struct LeaseRefresher<F> {
    lease: Arc<Lease>,
    schedule: FetchSchedule,
    fetcher: Arc<F>,
    random: RandomFraction,
}

impl<F: FetchToken> LeaseRefresher<F> {
    /// Keeps `lease` by what `fetch` gives.
    pub fn new(lease: Arc<Lease>, fetch: F, chance: RandomFraction) -> Self {
        Self { lease, schedule: FetchSchedule::default(), fetcher: Arc::new(fetch), random: chance }
    }

    /// Fetches a token if it is time.
    pub async fn fetch_if_due(&mut self) {
        if self.schedule.is_due(self.lease.now(), self.lease.has_valid_token()) {
            self.fetch_now().await;
        }
    }

    /// Fetches one now.
    pub async fn fetch_now(&mut self) {
        if let Err(fault) = self.fetch_and_store().await {
            self.schedule.record_failure(self.lease.now(), fault.retry_after(), (self.random)());
            self.lease.record_failure(&fault.to_string());
        }
    }

    /// Fetches one because the upstream refused the one in force to a client, unless AWS gives none. If it fails while
    /// that one is good, nothing changes: any client can have this happen.
    pub async fn fetch_after_refusal(&mut self) {
        let is_good = self.lease.has_valid_token();
        if !self.schedule.is_fetch_allowed(self.lease.now(), is_good) {
            return;
        }
        if !is_good {
            return self.fetch_now().await;
        }
        if let Err(fault) = self.fetch_and_store().await {
            self.lease.record_failure_after_refusal(&fault.to_string());
        }
    }

    async fn fetch_and_store(&mut self) -> Result<(), EcrError> {
        let asked = self.lease.now();
        // A task of its own: were there a panic in it, the next try would still come.
        let fetch = Arc::clone(&self.fetcher);
        let fetched =
            tokio::spawn(async move { fetch.fetch_token().await }).await.unwrap_or(Err(EcrError::TaskFailed));
        fetched.and_then(|fetched| self.store_token(&fetched, asked))
    }

    fn store_token(&mut self, fetched: &FetchedToken, asked: ClockReading) -> Result<(), EcrError> {
        if fetched.lifetime <= LIFETIME_MIN {
            return Err(EcrError::InvalidResponse(EcrResponseError::AlreadyExpired));
        }
        let authorization = SecretHeaderValue::with_scheme("Basic", fetched.token.as_bytes())
            .map_err(|_| EcrError::InvalidResponse(EcrResponseError::InvalidToken))?;
        self.schedule.record_fetch(asked, fetched.lifetime, fetched.credentials_lifetime, (self.random)());
        self.lease.store_token(authorization, fetched.lifetime, asked.monotonic);
        Ok(())
    }

    /// Does so for ever.
    pub async fn run(mut self) {
        loop {
            self.fetch_if_due().await;
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = self.lease.wait_for_fetch_request() => self.fetch_after_refusal().await,
            }
        }
    }
}

/// A random number from 0 to 1; a half where the system gives none.
pub fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
