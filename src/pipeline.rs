//! The request pipeline: evaluates a subrequest and returns a [`Verdict`].
//!
//! The steps of a request, in this order:
//! 1. **Peer and proxy headers** (`http`). Connections of untrusted peers are closed unread. A missing proxy secret
//!    or an invalid header: forbid.
//! 2. **Registry token** ([`token`]). A bearer token is verified. Valid: the policy is next. Invalid: challenge.
//! 3. **Worker cache** ([`worker_cache`]). It contains the answers to identical requests. If one is found and the
//!    throttle permits it: the policy is next.
//! 4. **Credentials** ([`credentials`]). No credentials: the policy is next, for an anonymous request. Malformed: challenge.
//! 5. **API key** ([`crate::authn::api_key`]). A password with the prefix of API keys is checked here. Valid: the
//!    policy is next. Invalid: challenge.
//! 6. **Throttle and queue share** ([`throttle`], [`crate::authn::queue`]). After too many failures, or if the
//!    queue is full: limited. Only an answer that the same network has received before is still given. These limits
//!    come before the cache. Otherwise wrong guesses would be limited and the correct password answered at once.
//! 7. **Cache** ([`cache`]). The key ([`cache_key`]) covers the local records, which are looked up once, before
//!    the throttle. An accepted answer: the policy is next. A known rejection: challenge.
//! 8. **Single flight and chain** ([`single_flight`], [`check`], [`crate::authn::chain`]). Equal requests share one
//!    check. Rejected: challenge. No place in the queue: limited. No answer: unavailable.
//! 9. **Policy** ([`crate::policy`]). It is evaluated on every request. Not permitted: forbid, or a challenge if the
//!    request is anonymous.
//! 10. **Upstream credentials** ([`upstream_credentials`]). They are selected for every request. None available:
//!     unavailable.
//!
//! `/token` checks the proxy headers without the proxy secret, and runs the steps from the credentials to the chain. It
//! then evaluates scopes instead of a request.
//!
//! **Invariants.** Only an accepted outcome leads to an identity. Only the policy creates an
//! [`AllowedRequest`](crate::policy::AllowedRequest). Errors are never cached. Every attempt that passes the limits
//! counts as a failure for the throttle, unless it ends with an accepted answer.

mod answers;
pub(crate) mod cache;
pub(crate) mod cache_key;
pub(crate) mod challenge;
pub(crate) mod check;
pub(crate) mod credentials;
mod identify;
pub(crate) mod single_flight;
pub(crate) mod throttle;
pub(crate) mod token;
mod token_signing;
pub(crate) mod upstream_credentials;
pub(crate) mod verdict;
pub(crate) mod worker_cache;

use std::cell::LazyCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::cache::AnswerCache;
use self::cache_key::CacheKeyMaker;
use self::challenge::ChallengeReason;
use self::check::PendingCheck;
use self::credentials::ParsedAuthorization;
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

/// The components and limits that a [`Pipeline`] is created from.
pub(crate) struct PipelineDependencies {
    /// The sources of users.
    pub(crate) authenticators: AuthenticatorChain,
    /// The policy in force.
    pub(crate) policy: Arc<Policy>,
    /// The upstream credentials; `None` if no `[[upstream]]` is configured.
    pub(crate) upstreams: Option<Arc<Upstreams>>,
    /// The issuer of registry tokens; `None` if no signing keys are configured.
    pub(crate) token_issuer: Option<Arc<TokenIssuer>>,
    /// The limits of the answer cache.
    pub(crate) cache: cache::CacheLimits,
    /// The limits of the throttle.
    pub(crate) throttle: throttle::ThrottleLimits,
    /// The prefix lengths that make an address a client network.
    pub(crate) prefixes: NetworkPrefixes,
    /// The time that a request waits for its check, all authenticators together.
    pub(crate) check_timeout: Duration,
    /// 32 random bytes, generated at the start of the process.
    pub(crate) process_key: [u8; 32],
    /// The clock of every deadline in the pipeline.
    pub(crate) clock: Clock,
    /// The metrics that the pipeline updates.
    pub(crate) metrics: Arc<Metrics>,
}

/// The request pipeline. One value is shared by all workers.
pub(crate) struct Pipeline {
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
    /// Number of flushes since the start. A worker cache entry from before the last flush is not used.
    flush_count: AtomicU64,
}

impl Pipeline {
    /// Creates the pipeline with empty caches.
    pub(crate) fn new(dependencies: PipelineDependencies) -> Self {
        let PipelineDependencies {
            authenticators,
            policy,
            upstreams,
            token_issuer,
            cache,
            throttle,
            prefixes,
            check_timeout,
            process_key,
            clock,
            metrics,
        } = dependencies;
        let cache = Arc::new(AnswerCache::new(cache));
        let throttle = Arc::new(Throttle::new(throttle, clock.clone(), Arc::clone(&metrics)));
        Self {
            in_flight_checks: InFlightChecks::new(
                Arc::clone(&cache),
                Arc::clone(&throttle),
                authenticators.clone(),
                clock.clone(),
            ),
            authenticators,
            cache_key_maker: CacheKeyMaker::new(process_key),
            throttle,
            cache,
            policy,
            upstreams,
            token_issuer,
            signing_pool: Arc::new(SigningPool::new(clock.clone(), &metrics)),
            prefixes,
            check_timeout,
            clock,
            metrics,
            flush_count: AtomicU64::new(0),
        }
    }

    /// Evaluates a request as far as possible without waiting: every step after the proxy headers, except a check by
    /// the authenticators. `worker_cache` belongs to the calling worker.
    pub(crate) fn evaluate(
        self: &Arc<Self>,
        request: &Subrequest<'_>,
        worker_cache: &mut WorkerCache,
    ) -> Evaluation {
        // An identical request is recognized without parsing the header, unless it could contain a token.
        let authorization = LazyCell::new(|| ParsedAuthorization::parse(request.authorization));
        if let Some(issuer) = &self.token_issuer
            && let Some(verdict) = self.evaluate_token(issuer, request, &authorization)
        {
            return Evaluation::Decided(verdict);
        }
        let fingerprint = self.request_fingerprint(request);
        let cached =
            fingerprint.as_ref().and_then(|fingerprint| self.lookup_worker_cache(fingerprint, worker_cache));
        if let Some(identity) = cached {
            return Evaluation::Decided(self.authorize(identity, request));
        }
        match self.identify(request, &authorization) {
            Ok(IdentifyStep::Cached { first_authenticator, throttle_keys, answer_key, answer }) => {
                let identity = answer.identity();
                if let Some(fingerprint) = fingerprint {
                    worker_cache.insert(&fingerprint, first_authenticator, throttle_keys, answer_key, answer);
                }
                Evaluation::Decided(self.authorize(identity, request))
            }
            Ok(IdentifyStep::ApiKey(identity)) => Evaluation::Decided(self.authorize(identity, request)),
            Ok(IdentifyStep::SeenFromNetwork(answer)) => {
                Evaluation::Decided(self.authorize(answer.identity(), request))
            }
            Ok(IdentifyStep::CheckNeeded(check)) => Evaluation::CheckNeeded(check),
            Err(Verdict::Challenge(ChallengeReason::NoCredentials)) => {
                Evaluation::Decided(self.authorize_anonymous(request))
            }
            Err(verdict) => Evaluation::Decided(verdict),
        }
    }

    /// Evaluates the policy for an identity, and attaches the upstream credentials if the request is permitted.
    pub(crate) fn authorize(&self, identity: Arc<Identity>, request: &Subrequest<'_>) -> Verdict {
        match self.policy.authorize(Some(identity), request) {
            Ok(allowed) => self.attach_upstream_credentials(allowed, request),
            Err(denied) => Verdict::Forbid(denied),
        }
    }

    /// Evaluates a request without credentials. It is allowed what the policy grants to `anyone`, and otherwise
    /// challenged. Requests with wrong credentials never get here.
    fn authorize_anonymous(&self, request: &Subrequest<'_>) -> Verdict {
        match self.policy.authorize(None, request) {
            Ok(allowed) => self.attach_upstream_credentials(allowed, request),
            Err(Denied::InvalidProxyHeaders(error)) => Verdict::Forbid(Denied::InvalidProxyHeaders(error)),
            // A malformed reference in a request that is granted to anyone: credentials would change nothing.
            Err(denied @ Denied::ByPolicy(_)) if denied.error_code().is_some() => Verdict::Forbid(denied),
            Err(Denied::ByPolicy(_) | Denied::ProxySecretMissing) => {
                Verdict::Challenge(ChallengeReason::NoCredentials)
            }
        }
    }

    /// Invalidates the answers for one user, or all answers, including those of checks in flight. Rejections are
    /// cleared for all users, because the throttle does not store their names.
    pub(crate) fn flush(&self, user: Option<&[u8]>) {
        self.in_flight_checks.mark_all_flushed();
        self.cache.flush(user);
        self.throttle.clear_rejections();
        // Last, so that worker cache entries that were inserted meanwhile are invalid too.
        self.flush_count.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns the API keys in force; `None` if no API key file is configured.
    pub(crate) fn api_keys(&self) -> Option<Arc<ApiKeyIndex>> {
        self.authenticators.api_keys().map(|api_keys| api_keys.index())
    }

    /// Sets the limits that can change at run time: all except the sizes of the tables and of the cache.
    pub(crate) fn set_limits(&self, cache: &cache::CacheLimits, throttle: &throttle::ThrottleLimits) {
        self.cache.set_timeouts(cache);
        self.throttle.set_limits(throttle);
    }

    /// Updates the gauges. It is called before `/metrics` is encoded.
    pub(crate) fn update_gauges(&self) {
        self.cache.update_gauges(&self.metrics);
        if let Some(upstreams) = &self.upstreams {
            upstreams.update_metrics();
        }
        if let Some(api_keys) = self.authenticators.api_keys() {
            api_keys.update_metrics(&self.metrics);
        }
        self.metrics.throttle_entries.set(i64::try_from(self.throttle.len()).unwrap_or(i64::MAX));
    }
}

/// The result of an evaluation that does not wait.
pub(crate) enum Evaluation {
    /// The verdict.
    Decided(Verdict),
    /// The credentials must be checked by an authenticator first.
    CheckNeeded(Box<PendingCheck>),
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
