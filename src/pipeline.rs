//! The gate: from a subrequest to a verdict.
//!
//! The steps, in the order in which a request meets them:
//! 1. [`credentials`]: what the client presented. Unreadable: challenge. A key
//!    ([`crate::authn::api_key`]) is checked here, and goes on at 6.
//! 2. [`Authenticators::look_up`]: one look at the local
//!    records that the answer depends on; [`key`] names the question after them.
//! 3. [`throttle`] and the share of the first queue: who has failed too often, or would find no
//!    place in the queue, gets an answer only if his own network has had this very answer before.
//!    Otherwise the cache would be a guessing machine: wrong guesses turned away for nothing, the
//!    right one answered at once.
//! 4. [`cache`]: an answer at hand ends it here.
//! 5. [`flight`] and [`crate::authn::chain`]: the check, one for all who ask the same.
//! 6. [`policy`]: what this identity may do. Judged on every request.
//! 7. [`onward`]: with which credentials the request goes on, where the settings give it some.
//!
//! A request that is the same as one before takes the short way of the worker's [`memo`] to the
//! answer in step 4; the throttle and the policy are asked all the same.
//!
//! Settings: `cache`, `hash` and `throttle`. Metrics: see [`crate::metrics`].
//!
//! **Invariants.** Only an accepted outcome leads to an identity, and only the policy makes a
//! [`Grant`](policy::Grant). No trouble is ever kept in the cache. Every question that was let
//! through to the cache and found no good answer counts as a failure, whatever became of it.

mod answers;
pub mod cache;
pub mod cache_key;
pub mod challenge;
pub mod check;
pub mod credentials;
mod identify;
pub mod single_flight;
pub mod throttle;
pub mod token;
mod token_signing;
pub mod upstream_credentials;
pub mod verdict;
pub mod worker_cache;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::cache::AnswerCache;
use self::cache_key::CacheKeyMaker;
use self::challenge::ChallengeReason;
use self::check::PendingCheck;
use self::identify::IdentifyStep;
use self::single_flight::InFlightChecks;
use self::throttle::Throttle;
use self::token_signing::SigningPool;
use self::verdict::Verdict;
use self::worker_cache::WorkerCache;
use crate::authn::Identity;
use crate::authn::api_key::file::ApiKeyIndex;
use crate::authn::chain::AuthenticatorChain;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::network::NetworkPrefixes;
use crate::policy::Policy;
use crate::policy::denial::Denied;
use crate::request::subrequest::Subrequest;
use crate::token::issuer::TokenIssuer;
use crate::upstream::Upstreams;

/// What the gate is made of, besides what it makes itself.
pub struct PipelineDependencies {
    /// Who is asked.
    pub authenticators: AuthenticatorChain,
    /// What each may do.
    pub policy: Arc<Policy>,
    /// With which credentials requests go on, where any are set.
    pub upstreams: Option<Arc<Upstreams>>,
    /// The registry's tokens, where any are given out.
    pub token_issuer: Option<Arc<TokenIssuer>>,
    /// How much of the answers is kept.
    pub cache: cache::CacheLimits,
    /// How many failures are borne.
    pub throttle: throttle::ThrottleLimits,
    /// What makes a client network.
    pub prefixes: NetworkPrefixes,
    /// How long a request waits for its check, by all authenticators together.
    pub check_timeout: Duration,
    /// 32 random bytes of this process.
    pub process_key: [u8; 32],
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

/// See the top of this file. Made once and shared by all workers.
pub struct Pipeline {
    authenticators: AuthenticatorChain,
    cache_key_maker: CacheKeyMaker,
    throttle: Arc<Throttle>,
    cache: Arc<AnswerCache>,
    in_flight_checks: InFlightChecks,
    policy: Arc<Policy>,
    upstreams: Option<Arc<Upstreams>>,
    token_issuer: Option<Arc<TokenIssuer>>,
    signing_pool: Arc<SigningPool>,
    prefixes: NetworkPrefixes,
    check_timeout: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// How often answers were flushed.
    flush_count: AtomicU64,
}

impl Pipeline {
    /// Puts the parts together.
    pub fn new(parts: PipelineDependencies) -> Self {
        let cache = Arc::new(AnswerCache::new(parts.cache));
        let throttle = Throttle::new(parts.throttle, parts.clock.clone(), Arc::clone(&parts.metrics));
        let throttle = Arc::new(throttle);
        Self {
            in_flight_checks: InFlightChecks::new(
                Arc::clone(&cache),
                Arc::clone(&throttle),
                parts.authenticators.clone(),
                parts.clock.clone(),
            ),
            authenticators: parts.authenticators,
            cache_key_maker: CacheKeyMaker::new(parts.process_key),
            throttle,
            cache,
            policy: parts.policy,
            upstreams: parts.upstreams,
            token_issuer: parts.token_issuer,
            signing_pool: Arc::new(SigningPool::new(parts.clock.clone(), &parts.metrics)),
            prefixes: parts.prefixes,
            check_timeout: parts.check_timeout,
            clock: parts.clock,
            metrics: parts.metrics,
            flush_count: AtomicU64::new(0),
        }
    }

    /// Decides on one request as far as that can be done without waiting. `memo` is the worker's.
    pub fn evaluate(self: &Arc<Self>, request: &Subrequest<'_>, memo: &mut WorkerCache) -> Evaluation {
        if let Some(verdict) = self.evaluate_token(request) {
            return Evaluation::Decided(verdict);
        }
        let sight = self.request_fingerprint(request);
        if let Some(identity) = sight.as_ref().and_then(|sight| self.lookup_worker_cache(sight, memo)) {
            return Evaluation::Decided(self.authorize(identity, request));
        }
        match self.identify(request) {
            Ok(IdentifyStep::Cached {
                first_authenticator: entrance,
                throttle_keys: tags,
                answer_key: key,
                answer,
            }) => {
                let identity = answer.identity();
                if let Some(sight) = sight {
                    memo.insert(&sight, entrance, tags, key, answer);
                }
                Evaluation::Decided(self.authorize(identity, request))
            }
            Ok(IdentifyStep::Key(identity)) => Evaluation::Decided(self.authorize(identity, request)),
            Ok(IdentifyStep::SeenFromNetwork(answer)) => {
                Evaluation::Decided(self.authorize(answer.identity(), request))
            }
            Ok(IdentifyStep::CheckNeeded(check)) => Evaluation::CheckNeeded(check),
            Err(Verdict::Challenge(ChallengeReason::NoCredentials)) => {
                Evaluation::Decided(self.authorize_anonymous(request))
            }
            Err(refusal) => Evaluation::Decided(refusal),
        }
    }

    /// What this identity may do.
    pub fn authorize(&self, identity: Arc<Identity>, request: &Subrequest<'_>) -> Verdict {
        match self.policy.authorize(Some(identity), request) {
            Ok(grant) => self.attach_upstream_credentials(grant, request),
            Err(denied) => Verdict::Forbid(denied),
        }
    }

    /// Who has shown no credentials may do what the policy grants to anyone. For all else he is
    /// challenged; wrong credentials never come here.
    fn authorize_anonymous(&self, request: &Subrequest<'_>) -> Verdict {
        match self.policy.authorize(None, request) {
            Ok(grant) => self.attach_upstream_credentials(grant, request),
            Err(Denied::InvalidProxyHeaders(what)) => Verdict::Forbid(Denied::InvalidProxyHeaders(what)),
            // It is granted to anyone, so credentials would change nothing.
            Err(denied @ Denied::ByPolicy(_)) if denied.error_code().is_some() => Verdict::Forbid(denied),
            Err(Denied::ByPolicy(_) | Denied::UntrustedPeer | Denied::ProxySecretMissing) => {
                Verdict::Challenge(ChallengeReason::NoCredentials)
            }
        }
    }

    /// Has the answers about one user, or all of them, those under way included, asked for anew. Rejections
    /// are forgotten for all users, since the throttle does not know whose they are.
    pub fn flush(&self, user: Option<&[u8]>) {
        self.in_flight_checks.mark_all_flushed();
        self.cache.flush(user);
        self.throttle.clear_rejections();
        // Last: what was noted in the meantime is worthless too.
        self.flush_count.fetch_add(1, Ordering::SeqCst);
    }

    /// The keys in force, where there are any.
    pub fn api_keys(&self) -> Option<Arc<ApiKeyIndex>> {
        self.authenticators.api_keys().map(|keys| keys.index())
    }

    /// Changes the limits that can change at run time: all but the sizes of the tables and of the cache.
    pub fn set_limits(&self, cache: &cache::CacheLimits, throttle: &throttle::ThrottleLimits) {
        self.cache.set_timeouts(cache);
        self.throttle.set_limits(throttle);
    }

    /// Brings the gauges up to date, for somebody who is about to read them.
    pub fn update_gauges(&self) {
        self.cache.update_gauges(&self.metrics);
        if let Some(upstreams) = &self.upstreams {
            upstreams.update_metrics();
        }
        if let Some(keys) = self.authenticators.api_keys() {
            keys.update_metrics(&self.metrics);
        }
        self.metrics.throttle_entries.set(i64::try_from(self.throttle.len()).unwrap_or(i64::MAX));
    }
}

/// What is known of a request without waiting.
pub enum Evaluation {
    /// All there is to know.
    Decided(Verdict),
    /// The cache has no answer: a password has to be checked.
    CheckNeeded(Box<PendingCheck>),
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
