//! Identifies the client of a request without waiting: by the worker cache, an API key or the answer cache. Otherwise
//! it returns the check that is needed, or a verdict.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pipeline;
use super::answers::rejection_reason;
use super::cache::{CachedAnswer, SeenFromNetwork};
use super::cache_key::{CacheKey, CacheKeys};
use super::challenge::ChallengeReason;
use super::check::PendingCheck;
use super::credentials::{self, ParsedAuthorization};
use super::single_flight::CheckRequest;
use super::throttle::ThrottleKeys;
use super::verdict::{Limited, Verdict};
use super::worker_cache::{CacheVersion, RequestFingerprint, WorkerCache};
use crate::authn::api_key::ApiKeys;
use crate::authn::api_key::format::has_api_key_prefix;
use crate::authn::{Credentials, Identity, LocalRecord};
use crate::network::ClientNetwork;
use crate::request::header::RequestHeader;
use crate::request::subrequest::{ClientAddress, Subrequest};

/// The result of an identification that does not wait.
pub(super) enum IdentifyStep {
    /// The cache has an answer.
    Cached {
        first_authenticator: usize,
        throttle_keys: ThrottleKeys,
        answer_key: CacheKey,
        answer: Arc<CachedAnswer>,
    },
    /// A valid API key, which needs no cache.
    ApiKey(Arc<Identity>),
    /// The client is limited, and the cache has an answer that its network received before.
    SeenFromNetwork(Arc<CachedAnswer>),
    /// An authenticator must check the credentials.
    CheckNeeded(Box<PendingCheck>),
}

impl Pipeline {
    /// Returns the fingerprint by which the worker cache recognizes a request. `None` if the request does not have
    /// exactly one `Authorization` header and an address of the client.
    pub(super) fn request_fingerprint<'r>(&self, request: &Subrequest<'r>) -> Option<RequestFingerprint<'r>> {
        let (RequestHeader::Once(header), ClientAddress::Text(client)) =
            (request.authorization, request.client)
        else {
            return None;
        };
        let flush_count = self.flush_count.load(Ordering::SeqCst);
        let version = CacheVersion { generation: self.authenticators.generation(), flush_count };
        Some(RequestFingerprint {
            header_hash: self.cache_key_maker.hash_header(header),
            client_address: client,
            version,
        })
    }

    /// Returns the identity of the cached answer to an identical request, if the client is not limited.
    pub(super) fn lookup_worker_cache(
        &self,
        fingerprint: &RequestFingerprint<'_>,
        worker_cache: &WorkerCache,
    ) -> Option<Arc<Identity>> {
        let entry = worker_cache.lookup(fingerprint)?;
        let is_limited = self.check_limits(entry.first_authenticator, &entry.throttle_keys, None).is_some();
        if is_limited || !self.cache.is_live(&entry.answer_key, &entry.answer, self.clock.now()) {
            return None;
        }
        self.metrics.cache_hits.inc();
        Some(entry.answer.identity())
    }

    /// Identifies the client of a request, or starts an attempt that an authenticator must check.
    ///
    /// # Errors
    /// The verdict if the client is not identified and no check is needed.
    pub(super) fn identify(
        self: &Arc<Self>,
        request: &Subrequest<'_>,
        authorization: &ParsedAuthorization<'_>,
    ) -> Result<IdentifyStep, Verdict> {
        let client = request.client_address()?;
        let api_keys = self.authenticators.api_keys();
        let mut credentials = authorization.credentials(api_keys.is_some()).map_err(Verdict::Challenge)?;
        request.set_user(credentials.user());
        credentials::check_password(credentials.password())
            .map_err(|error| Verdict::Challenge(ChallengeReason::MalformedCredentials(error)))?;
        if let Some(api_keys) = api_keys.filter(|_| has_api_key_prefix(credentials.password())) {
            return self.identify_by_api_key(api_keys, credentials, client).map(IdentifyStep::ApiKey);
        }
        let records = self.authenticators.look_up(credentials.user());
        let cache_keys = self.cache_key_maker.derive_keys_for(&mut credentials, &records);
        let attempt_id = cache_keys.check_key.attempt_id();
        let throttle_keys = self.throttle_keys(client, credentials.user());

        let Some(first_authenticator) = self.authenticators.first_authenticator(&records) else {
            return Err(self.reject_without_authenticator(&throttle_keys, attempt_id));
        };
        if let Some(limited) = self.check_limits(first_authenticator, &throttle_keys, Some(attempt_id)) {
            match self.lookup_seen_answer(&cache_keys, &throttle_keys) {
                Some(SeenFromNetwork::Answer(answer)) => return Ok(IdentifyStep::SeenFromNetwork(answer)),
                // This network received the answer before it expired, so another check of it is not a guess.
                Some(SeenFromNetwork::Expired) => {}
                None => return Err(self.reject_limited(limited, &records)),
            }
        }
        if let Some(known) = self.in_flight_checks.lookup_answer(&cache_keys, &throttle_keys) {
            let answer = self.resolve_known_answer(known, || rejection_reason(&credentials, &records))?;
            // An earlier attempt may have counted as a failure because an authenticator was unavailable.
            self.throttle.undo_failure(&throttle_keys, attempt_id);
            return Ok(IdentifyStep::Cached {
                first_authenticator,
                throttle_keys,
                answer_key: cache_keys.answer_key,
                answer,
            });
        }
        self.metrics.cache_misses.inc();
        let attempt = self.throttle.start_attempt(throttle_keys, attempt_id);
        let check_request = CheckRequest { cache_keys, credentials: Arc::new(credentials), records };
        Ok(IdentifyStep::CheckNeeded(Box::new(PendingCheck::new(
            Arc::clone(self),
            attempt,
            throttle_keys,
            check_request,
        ))))
    }

    /// Rejects credentials that are not an API key if API keys are the only source of users. Counts a failure.
    fn reject_without_authenticator(&self, throttle_keys: &ThrottleKeys, attempt_id: u64) -> Verdict {
        if let Some(wait) = self.throttle.retry_after(throttle_keys, None) {
            return Verdict::Limited(Limited::Throttled(wait));
        }
        drop(self.throttle.start_attempt(*throttle_keys, attempt_id));
        Verdict::Challenge(ChallengeReason::WrongCredentials)
    }

    /// Checks an API key. No throttle applies to a valid one, because it cannot be guessed. Invalid ones count as
    /// failures.
    fn identify_by_api_key(
        &self,
        api_keys: &ApiKeys,
        mut credentials: Credentials,
        client: Option<IpAddr>,
    ) -> Result<Arc<Identity>, Verdict> {
        let may_log_in = |owner: &[u8]| self.authenticators.look_up(owner).has_valid_line();
        let user = Some(credentials.user()).filter(|user| !user.is_empty());
        let now = self.clock.unix_seconds();
        let error = match api_keys.authenticate(user, credentials.password(), now, may_log_in) {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        if error.has_valid_secret() {
            // The client did not guess. If all API keys of a fleet expire on one day, its network must not be
            // throttled.
            return Err(Verdict::Challenge(ChallengeReason::InvalidApiKey(error)));
        }
        let throttle_keys = self.throttle_keys(client, credentials.user());
        if let Some(wait) = self.throttle.retry_after(&throttle_keys, None) {
            return Err(Verdict::Limited(Limited::Throttled(wait)));
        }
        let cache_keys = self.cache_key_maker.derive_keys_for(&mut credentials, &LocalRecord::default());
        // Dropping the guard counts the failure.
        drop(self.throttle.start_attempt(throttle_keys, cache_keys.check_key.attempt_id()));
        Err(Verdict::Challenge(ChallengeReason::InvalidApiKey(error)))
    }

    /// Returns the keys by which the throttle counts `user` at the address `client`.
    pub(super) fn throttle_keys(&self, client: Option<IpAddr>, user: &[u8]) -> ThrottleKeys {
        self.throttle.keys_for(ClientNetwork::from_address(client, self.prefixes), user)
    }

    /// Returns why a client is limited: the throttle, or a full queue of the first authenticator. A limited client
    /// must not use the cache.
    fn check_limits(
        &self,
        first_authenticator: usize,
        throttle_keys: &ThrottleKeys,
        attempt_id: Option<u64>,
    ) -> Option<Limited> {
        if let Some(wait) = self.throttle.retry_after(throttle_keys, attempt_id) {
            return Some(Limited::Throttled(wait));
        }
        let is_full =
            self.authenticators.is_queue_full_for(first_authenticator, throttle_keys.requester_id());
        is_full.then(|| Limited::Busy(self.authenticators.retry_after(first_authenticator)))
    }

    fn reject_limited(&self, limited: Limited, records: &LocalRecord) -> Verdict {
        if matches!(limited, Limited::Busy(_)) {
            self.count_queue_full(records);
        }
        Verdict::Limited(limited)
    }

    /// Looks up an answer for a limited client: only one that its network received before.
    fn lookup_seen_answer(
        &self,
        cache_keys: &CacheKeys,
        throttle_keys: &ThrottleKeys,
    ) -> Option<SeenFromNetwork> {
        if !self.throttle.has_cached_answer_attempts_left(throttle_keys) {
            return None;
        }
        let network_tag = throttle_keys.requester_id().network_tag;
        let seen = self.cache.get_if_seen_from(&cache_keys.answer_key, network_tag, self.clock.now());
        match &seen {
            Some(SeenFromNetwork::Answer(_)) => drop(self.metrics.cache_hits.inc()),
            Some(SeenFromNetwork::Expired) => {}
            None => {
                let attempt_id = cache_keys.check_key.attempt_id();
                self.throttle.count_cached_answer_attempt(throttle_keys, attempt_id);
            }
        }
        seen
    }
}

#[cfg(test)]
#[path = "identify_tests.rs"]
mod tests;
