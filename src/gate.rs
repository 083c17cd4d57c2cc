//! The gate: from a subrequest to a verdict.
//!
//! The steps, in the order in which a request meets them:
//! 1. [`credentials`]: what the client presented. Unreadable: challenge.
//! 2. [`Authenticators::look_up`]: one look at the local
//!    records that the answer depends on; [`key`] names the question after them.
//! 3. [`throttle`] and the share of the first queue: who has failed too often, or would find no
//!    place in the queue, gets an answer only if his own network has had this very answer before.
//!    Otherwise the cache would be a guessing machine: wrong guesses turned away for nothing, the
//!    right one answered at once.
//! 4. [`cache`]: an answer at hand ends it here.
//! 5. [`flight`] and [`crate::authn::chain`]: the check, one for all who ask the same.
//! 6. [`policy`]: what this identity may do. Judged on every request.
//!
//! A request that is the same as one before takes the short way of the worker's [`memo`] to the
//! answer in step 4; the throttle and the policy are asked all the same.
//!
//! Settings: `cache`, `hash` and `throttle`. Metrics: see [`crate::metrics`].
//!
//! **Invariants.** Only an accepted outcome leads to an identity, and only the policy makes a
//! [`Grant`](policy::Grant). No trouble is ever kept in the cache. Every question that was let
//! through to the cache and found no good answer counts as a failure, whatever became of it.

pub mod cache;
pub mod check;
pub mod credentials;
pub mod flight;
pub mod key;
pub mod memo;
pub mod policy;
pub mod subrequest;
pub mod throttle;
pub mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::cache::{Accepted, AnswerCache, Familiar, Known};
use self::check::Check;
use self::credentials::Header;
use self::flight::{Flights, Question};
use self::key::{CacheKey, KeyMaker};
use self::memo::{Memo, Sight, State};
use self::policy::Policy;
pub use self::subrequest::Subrequest;
use self::throttle::Throttle;
use self::verdict::{Denied, Limited, Refusal, Verdict};
use crate::authn::Records;
use crate::authn::chain::Authenticators;
use crate::authn::queue::Asker;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::network::{ClientNetwork, Prefixes};

/// What a client that finds the queue full is told to wait: about what a full share takes.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// What the gate is made of, besides what it makes itself.
pub struct Parts {
    /// Who is asked.
    pub authenticators: Authenticators,
    /// What each may do.
    pub policy: Arc<Policy>,
    /// How much of the answers is kept.
    pub cache: cache::Limits,
    /// How many failures are borne.
    pub throttle: throttle::Limits,
    /// What makes a client network.
    pub prefixes: Prefixes,
    /// How long a request waits for its check, by all authenticators together.
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
    throttle: Arc<Throttle>,
    cache: Arc<AnswerCache>,
    flights: Flights,
    policy: Arc<Policy>,
    prefixes: Prefixes,
    wait: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// How often answers were flushed.
    flushes: AtomicU64,
}

impl Gate {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let cache = Arc::new(AnswerCache::new(parts.cache));
        Self {
            flights: Flights::new(Arc::clone(&cache), parts.authenticators.clone(), parts.clock.clone()),
            authenticators: parts.authenticators,
            keys: KeyMaker::new(parts.random),
            throttle: Arc::new(Throttle::new(
                parts.throttle,
                parts.clock.clone(),
                Arc::clone(&parts.metrics),
            )),
            cache,
            policy: parts.policy,
            prefixes: parts.prefixes,
            wait: parts.wait,
            clock: parts.clock,
            metrics: parts.metrics,
            flushes: AtomicU64::new(0),
        }
    }

    /// Decides on one request as far as that can be done without waiting. `memo` is the worker's.
    pub fn open(self: &Arc<Self>, request: &Subrequest<'_>, memo: &mut Memo) -> Opened {
        let sight = self.sight(request);
        if let Some(identity) = sight.as_ref().and_then(|sight| self.recall(sight, memo)) {
            return Opened::Settled(self.admit(identity, request));
        }
        match self.identify(request) {
            Ok(Found::Answer { entrance, asker, key, answer }) => {
                let identity = answer.identity();
                if let Some(sight) = sight {
                    memo.write(&sight, entrance, asker, key, answer);
                }
                Opened::Settled(self.admit(identity, request))
            }
            Ok(Found::Familiar(answer)) => Opened::Settled(self.admit(answer.identity(), request)),
            Ok(Found::Check(check)) => Opened::Checking(check),
            Err(Verdict::Challenge(Refusal::Missing)) => Opened::Settled(self.admit_anyone(request)),
            Err(refusal) => Opened::Settled(refusal),
        }
    }

    /// How a request is known again, if it has what it takes.
    fn sight<'r>(&self, request: &Subrequest<'r>) -> Option<Sight<'r>> {
        let (Header::Once(header), Header::Once(client)) = (request.authorization, request.real_ip) else {
            return None;
        };
        let flushes = self.flushes.load(Ordering::SeqCst);
        let state = State { records: self.authenticators.replaced(), flushes };
        Some(Sight { header: self.keys.header(header), client, state })
    }

    /// The short way: the answer that an identical request was given.
    fn recall(&self, sight: &Sight<'_>, memo: &Memo) -> Option<Arc<Identity>> {
        let note = memo.find(sight)?;
        let open = self.limit(note.entrance, note.asker).is_none();
        if !open || !self.cache.is_live(&note.key, &note.answer, self.clock.now()) {
            return None;
        }
        self.metrics.cache_hits.inc();
        Some(note.answer.identity())
    }

    /// Finds out who asks, or the check that it takes, or the verdict that there is instead.
    fn identify(self: &Arc<Self>, request: &Subrequest<'_>) -> Result<Found, Verdict> {
        let client = request.client().map_err(Verdict::Forbid)?;
        let mut credentials = credentials::read(request.authorization).map_err(Verdict::Challenge)?;
        let records = self.authenticators.look_up(credentials.user());
        let key = self.keys.key(&mut credentials, &records);
        let asker = self.throttle.asker(ClientNetwork::of(client, self.prefixes), credentials.user());

        let entrance = self.authenticators.entrance(&records);
        if let Some(limited) = self.limit(entrance, asker) {
            match self.familiar(&key, asker) {
                Some(Familiar::Answer(answer)) => return Ok(Found::Familiar(answer)),
                // He proved it from there a while ago; to ask for it anew is no guess.
                Some(Familiar::Expired) => {}
                None => return Err(self.turn_away(limited, &records)),
            }
        }
        let ticket = self.throttle.admit(asker, key.short());
        if let Some(known) = self.cache.get(&key, asker.network, self.clock.now()) {
            let answer = self.known(known)?;
            ticket.succeed();
            return Ok(Found::Answer { entrance, asker, key, answer });
        }
        self.metrics.cache_misses.inc();
        let question = Question { key, credentials: Arc::new(credentials), records };
        Ok(Found::Check(Box::new(Check::new(Arc::clone(self), ticket, asker, question))))
    }

    fn admit(&self, identity: Arc<Identity>, request: &Subrequest<'_>) -> Verdict {
        match self.policy.authorize(Some(identity), request) {
            Ok(grant) => Verdict::Allow(grant),
            Err(denied) => Verdict::Forbid(denied),
        }
    }

    /// Who has shown no credentials may do what the policy grants to anyone. For all else he is
    /// challenged; wrong credentials never come here.
    fn admit_anyone(&self, request: &Subrequest<'_>) -> Verdict {
        match self.policy.authorize(None, request) {
            Ok(grant) => Verdict::Allow(grant),
            Err(Denied::Incomplete) => Verdict::Forbid(Denied::Incomplete),
            Err(_) => Verdict::Challenge(Refusal::Missing),
        }
    }

    /// Whether `asker` is kept from the cache and the queue that he would come to, and for how long.
    fn limit(&self, entrance: usize, asker: Asker) -> Option<Limited> {
        if let Some(wait) = self.throttle.wait(asker) {
            return Some(Limited::Throttled(wait));
        }
        self.authenticators.is_full_for(entrance, asker).then_some(Limited::Busy(BUSY_WAIT))
    }

    fn turn_away(&self, limited: Limited, records: &Records) -> Verdict {
        if matches!(limited, Limited::Busy(_)) {
            self.shed(records);
        }
        Verdict::Limited(limited)
    }

    fn shed(&self, records: &Records) {
        let entrance = self.authenticators.entrance(records);
        let shed = if self.authenticators.hashes(entrance) {
            &self.metrics.hash_shed
        } else {
            &self.metrics.http_shed
        };
        shed.inc();
    }

    /// What is left to who is limited: an answer that his own network has had before.
    fn familiar(&self, key: &CacheKey, asker: Asker) -> Option<Familiar> {
        if !self.throttle.may_probe(asker) {
            return None;
        }
        let familiar = self.cache.get_familiar(key, asker.network, self.clock.now());
        match &familiar {
            Some(Familiar::Answer(_)) => drop(self.metrics.cache_hits.inc()),
            Some(Familiar::Expired) => {}
            None => self.throttle.probed(asker, key.short()),
        }
        familiar
    }

    fn known(&self, known: Known) -> Result<Arc<Accepted>, Verdict> {
        match known {
            Known::Accepted(answer) => {
                self.metrics.cache_hits.inc();
                Ok(answer)
            }
            Known::Rejected => {
                self.metrics.cache_rejected_hits.inc();
                Err(Verdict::Challenge(Refusal::Wrong))
            }
        }
    }

    /// Forgets the answers about one user, or all of them, those under way included.
    pub fn flush(&self, user: Option<&[u8]>) {
        self.flights.flush();
        self.cache.flush(user);
        // Last: what was noted in the meantime is worthless too.
        self.flushes.fetch_add(1, Ordering::SeqCst);
    }

    /// Brings the gauges up to date, for somebody who is about to read them.
    pub fn measure(&self) {
        self.cache.measure(&self.metrics);
        self.metrics.throttle_entries.set(i64::try_from(self.throttle.len()).unwrap_or(i64::MAX));
    }
}

/// What is known of a request without waiting.
pub enum Opened {
    /// All there is to know.
    Settled(Verdict),
    /// The cache has no answer: a password has to be checked.
    Checking(Box<Check>),
}

enum Found {
    /// In the cache.
    Answer {
        entrance: usize,
        asker: Asker,
        key: CacheKey,
        answer: Arc<Accepted>,
    },
    /// In the cache, and given only because this network has had it before.
    Familiar(Arc<Accepted>),
    Check(Box<Check>),
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
