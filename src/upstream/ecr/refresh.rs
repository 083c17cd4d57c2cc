//! Keeps a lease: fetches a token when its schedule says so, or when somebody wants one.

use std::sync::Arc;
use std::time::Duration;

use super::aws::fault::Bad;
use super::lease::Lease;
use super::schedule::{Instant, Schedule};
use super::{Fault, Fetch, Fetched};
use crate::upstream::authorization::Authorization;

/// How often the schedule is looked at: a machine that slept, or whose date was set, finds out by this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A token with less left is of no use: it would have expired before a request has reached ECR with it.
const LIFE_LEAST: Duration = Duration::from_secs(15);

/// From 0 to 1; what makes two doorwards differ.
pub type Chance = fn() -> f64;

/// See the top of this file.
pub struct Refresher<F> {
    lease: Arc<Lease>,
    schedule: Schedule,
    fetch: Arc<F>,
    chance: Chance,
}

impl<F: Fetch> Refresher<F> {
    /// Keeps `lease` by what `fetch` gives.
    pub fn new(lease: Arc<Lease>, fetch: F, chance: Chance) -> Self {
        Self { lease, schedule: Schedule::default(), fetch: Arc::new(fetch), chance }
    }

    /// Fetches a token if it is time.
    pub async fn look(&mut self) {
        if self.schedule.is_due(self.lease.now(), self.lease.is_good()) {
            self.fetch().await;
        }
    }

    /// Fetches one now.
    pub async fn fetch(&mut self) {
        if let Err(fault) = self.renew().await {
            self.schedule.failed(self.lease.now(), fault.retry_after(), (self.chance)());
            self.lease.fail(&fault.to_string());
        }
    }

    /// Fetches one because the upstream refused the one in force to a client, unless AWS gives none. If it fails while
    /// that one is good, nothing changes: any client can have this happen.
    pub async fn fetch_refused(&mut self) {
        let is_good = self.lease.is_good();
        if !self.schedule.permits(self.lease.now(), is_good) {
            return;
        }
        if !is_good {
            return self.fetch().await;
        }
        if let Err(fault) = self.renew().await {
            self.lease.fail_refused(&fault.to_string());
        }
    }

    async fn renew(&mut self) -> Result<(), Fault> {
        let asked = self.lease.now();
        // A task of its own: were there a panic in it, the next try would still come.
        let fetch = Arc::clone(&self.fetch);
        let fetched = tokio::spawn(async move { fetch.token().await }).await.unwrap_or(Err(Fault::Ours));
        fetched.and_then(|fetched| self.take(&fetched, asked))
    }

    fn take(&mut self, fetched: &Fetched, asked: Instant) -> Result<(), Fault> {
        if fetched.life <= LIFE_LEAST {
            return Err(Fault::Answer(Bad::Expired));
        }
        let authorization = Authorization::with_scheme("Basic", fetched.token.as_bytes())
            .map_err(|_| Fault::Answer(Bad::TokenForm))?;
        self.schedule.fetched(asked, fetched.life, fetched.session, (self.chance)());
        self.lease.renew(authorization, fetched.life, asked.moment);
        Ok(())
    }

    /// Does so for ever.
    pub async fn run(mut self) {
        loop {
            self.look().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.lease.wanted() => self.fetch_refused().await,
            }
        }
    }
}

/// A random number from 0 to 1; a half where the system gives none.
pub fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
