//! The gate: from a subrequest to a verdict.
//!
//! The steps, in the order in which a request meets them:
//! 1. [`credentials`]: what the client presented. Unreadable: challenge.
//! 2. [`Authenticators::look_up`](crate::authn::Authenticators::look_up): one look at the local
//!    records that the answer depends on; [`key`] names the question after them.
//! 3. [`throttle`] and the share of the hash queue: who has failed too often, or would find no
//!    place in the queue, gets an answer only if his own network has had this very answer before.
//!    Otherwise the cache would be a guessing machine: wrong guesses turned away for nothing, the
//!    right one answered at once.
//! 4. [`cache`]: an answer at hand ends it here.
//! 5. [`flight`] and [`crate::authn::pool`]: the check, one for all who ask the same.
//! 6. [`policy`]: what this identity may do. Judged on every request.
//!
//! Settings: `cache`, `hash` and `throttle`. Metrics: see [`crate::metrics`].
//!
//! **Invariants.** Only an accepted outcome leads to an identity, and only the policy makes a
//! [`Grant`](policy::Grant). No trouble is ever kept in the cache. Every question that was let
//! through to the cache and found no good answer counts as a failure, whatever became of it.

pub mod cache;
pub mod credentials;
pub mod flight;
pub mod key;
pub mod policy;
pub mod throttle;
pub mod verdict;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::cache::{AnswerCache, Known};
use self::credentials::Header;
use self::flight::{Boarding, Flights, Question, land};
use self::key::KeyMaker;
use self::policy::Policy;
use self::throttle::{Throttle, Ticket};
use self::verdict::{Limited, Refusal, Verdict};
use crate::authn::pool::{Asker, HashPool};
use crate::authn::{Answer, Authenticators, Outcome};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::network::{ClientNetwork, Prefixes};

/// What a client that finds the queue full is told to wait: about what a full share takes.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// What nginx tells of the client's request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subrequest<'a> {
    /// The client's `Authorization`.
    pub authorization: Header<'a>,
    /// The client's address; `None` where there is none to be had.
    pub client: Option<IpAddr>,
}

/// What the gate is made of, besides what it makes itself.
pub struct Parts {
    /// Who is asked.
    pub authenticators: Authenticators,
    /// Where passwords are checked.
    pub pool: Arc<HashPool>,
    /// How much of the answers is kept.
    pub cache: cache::Limits,
    /// How many failures are borne.
    pub throttle: throttle::Limits,
    /// What makes a client network.
    pub prefixes: Prefixes,
    /// How long a request waits for its check.
    pub wait: Duration,
    /// 32 random bytes of this process.
    pub random: [u8; 32],
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

/// See the top of this file. Made once and shared by all workers.
pub struct Gate {
    authenticators: Authenticators,
    keys: KeyMaker,
    throttle: Throttle,
    pool: Arc<HashPool>,
    cache: Arc<AnswerCache>,
    flights: Flights,
    policy: Policy,
    prefixes: Prefixes,
    wait: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let cache = Arc::new(AnswerCache::new(parts.cache));
        Self {
            authenticators: parts.authenticators,
            keys: KeyMaker::new(parts.random),
            throttle: Throttle::new(parts.throttle, parts.clock.clone(), Arc::clone(&parts.metrics)),
            flights: Flights::new(Arc::clone(&cache), Arc::clone(&parts.pool), parts.clock.clone()),
            pool: parts.pool,
            cache,
            policy: Policy,
            prefixes: parts.prefixes,
            wait: parts.wait,
            clock: parts.clock,
            metrics: parts.metrics,
        }
    }

    /// Decides on one request.
    pub async fn judge(&self, request: &Subrequest<'_>) -> Verdict {
        match self.identify(request).await {
            Ok(identity) => Verdict::Allow(self.policy.authorize(identity)),
            Err(refusal) => refusal,
        }
    }

    /// Finds out who asks, or the verdict that there is instead.
    pub async fn identify(&self, request: &Subrequest<'_>) -> Result<Arc<Identity>, Verdict> {
        let credentials = credentials::read(request.authorization).map_err(Verdict::Challenge)?;
        let records = self.authenticators.look_up(credentials.user());
        let key = self.keys.key(&credentials, &records.fingerprint());
        let network = ClientNetwork::of(request.client, self.prefixes);
        let asker = self.throttle.asker(network, credentials.user());

        if let Some(limited) = self.limit(asker) {
            let familiar = self.cache.get_familiar(&key, asker.network, self.clock.now());
            return familiar.inspect(|_| self.hit()).ok_or(Verdict::Limited(limited));
        }
        let ticket = self.throttle.admit(asker, key.short());
        if let Some(known) = self.cache.get(&key, asker.network, self.clock.now()) {
            return self.settle_known(ticket, known);
        }
        self.metrics.cache_misses.inc();
        self.check(ticket, asker, Question { key, credentials, records }).await
    }

    /// Whether `asker` is kept from the cache and the hash queue, and for how long.
    fn limit(&self, asker: Asker) -> Option<Limited> {
        if let Some(wait) = self.throttle.wait(asker) {
            return Some(Limited::Throttled(wait));
        }
        if self.pool.is_full_for(asker) {
            self.metrics.hash_shed.inc();
            return Some(Limited::Busy(BUSY_WAIT));
        }
        None
    }

    /// Has the question checked, once for all who ask it at this time.
    async fn check(
        &self,
        ticket: Ticket<'_>,
        asker: Asker,
        question: Question,
    ) -> Result<Arc<Identity>, Verdict> {
        let until = Instant::now() + self.wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let boarding = self.flights.board(&question, asker, left).map_err(|_| {
                self.metrics.hash_shed.inc();
                Verdict::Limited(Limited::Busy(BUSY_WAIT))
            })?;
            let (end, led) = match boarding {
                Boarding::Known(known) => return self.settle_known(ticket, known),
                Boarding::Led(end) => (end, true),
                Boarding::Joined(end) => {
                    self.metrics.cache_coalesced.inc();
                    (end, false)
                }
            };
            match land(end, left).await {
                Some(answer) => {
                    self.cache.acquaint(&question.key, asker.network);
                    return self.settle(ticket, answer);
                }
                None if !led && Instant::now() < until => {}
                None => return Err(Verdict::Limited(Limited::Busy(BUSY_WAIT))),
            }
        }
    }

    fn settle(&self, ticket: Ticket<'_>, answer: Answer) -> Result<Arc<Identity>, Verdict> {
        match answer {
            Ok(Outcome::Accepted(identity)) => {
                ticket.succeed();
                Ok(identity)
            }
            Ok(Outcome::Rejected | Outcome::Unknown) => Err(Verdict::Challenge(Refusal::Wrong)),
            Err(trouble) => Err(Verdict::Unavailable(trouble)),
        }
    }

    fn settle_known(&self, ticket: Ticket<'_>, known: Known) -> Result<Arc<Identity>, Verdict> {
        match known {
            Known::Accepted(identity) => {
                ticket.succeed();
                self.hit();
                Ok(identity)
            }
            Known::Rejected => {
                self.metrics.cache_rejected_hits.inc();
                Err(Verdict::Challenge(Refusal::Wrong))
            }
        }
    }

    fn hit(&self) {
        self.metrics.cache_hits.inc();
    }

    /// Forgets the answers about one user, or all of them, those under way included.
    pub fn flush(&self, user: Option<&[u8]>) {
        self.flights.flush(user);
        self.cache.flush(user);
    }

    /// Brings the gauges up to date, for somebody who is about to read them.
    pub fn measure(&self) {
        self.cache.measure(&self.metrics);
        self.metrics.throttle_entries.set(i64::try_from(self.throttle.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
