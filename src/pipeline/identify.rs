//! From a request to who asks: by the worker's memo, by a key, by the cache; or the check that it takes, or
//! the verdict that there is instead.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pipeline;
use super::answers::rejection_reason;
use super::cache::{CachedAnswer, SeenFromNetwork};
use super::cache_key::{CacheKey, CacheKeys};
use super::challenge::ChallengeReason;
use super::check::PendingCheck;
use super::credentials::{self};
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

/// Who asks.
pub(super) enum IdentifyStep {
    /// In the cache.
    Cached {
        first_authenticator: usize,
        throttle_keys: ThrottleKeys,
        answer_key: CacheKey,
        answer: Arc<CachedAnswer>,
    },
    /// By a key, which needs no cache.
    Key(Arc<Identity>),
    /// In the cache, and given only because this network has had it before.
    SeenFromNetwork(Arc<CachedAnswer>),
    CheckNeeded(Box<PendingCheck>),
}

impl Pipeline {
    /// How a request is known again, if it has what it takes.
    pub(super) fn request_fingerprint<'r>(&self, request: &Subrequest<'r>) -> Option<RequestFingerprint<'r>> {
        let (RequestHeader::Once(header), ClientAddress::Text(client)) =
            (request.authorization, request.client)
        else {
            return None;
        };
        let flushes = self.flush_count.load(Ordering::SeqCst);
        let state =
            CacheVersion { records_version: self.authenticators.record_generation(), flush_count: flushes };
        Some(RequestFingerprint {
            header_hash: self.cache_key_maker.hash_header(header),
            client_address: client,
            version: state,
        })
    }

    /// The short way: the answer that an identical request was given.
    pub(super) fn lookup_worker_cache(
        &self,
        sight: &RequestFingerprint<'_>,
        memo: &WorkerCache,
    ) -> Option<Arc<Identity>> {
        let note = memo.lookup(sight)?;
        let open = self.check_limits(note.first_authenticator, &note.throttle_keys, None).is_none();
        if !open || !self.cache.is_live(&note.answer_key, &note.answer, self.clock.now()) {
            return None;
        }
        self.metrics.cache_hits.inc();
        Some(note.answer.identity())
    }

    /// Finds out who asks, or the check that it takes, or the verdict that there is instead.
    pub(super) fn identify(self: &Arc<Self>, request: &Subrequest<'_>) -> Result<IdentifyStep, Verdict> {
        let client = request.client_address()?;
        let keys = self.authenticators.api_keys();
        let mut credentials = credentials::parse_credentials(request.authorization, keys.is_some())
            .map_err(Verdict::Challenge)?;
        request.set_user(credentials.user());
        credentials::check_password(credentials.password())
            .map_err(|why| Verdict::Challenge(ChallengeReason::MalformedCredentials(why)))?;
        if let Some(keys) = keys.filter(|_| has_api_key_prefix(credentials.password())) {
            return self.identify_by_api_key(keys, credentials, client).map(IdentifyStep::Key);
        }
        let records = self.authenticators.look_up(credentials.user());
        let names = self.cache_key_maker.derive_keys_for(&mut credentials, &records);
        let tags =
            self.throttle.keys_for(ClientNetwork::from_address(client, self.prefixes), credentials.user());

        let Some(entrance) = self.authenticators.first_authenticator(&records) else {
            return Err(self.reject_without_authenticator(&tags, &names));
        };
        if let Some(limited) = self.check_limits(entrance, &tags, Some(names.check_key.attempt_id())) {
            match self.lookup_seen_answer(&names, &tags) {
                Some(SeenFromNetwork::Answer(answer)) => return Ok(IdentifyStep::SeenFromNetwork(answer)),
                // He proved it from there a while ago; to ask for it anew is no guess.
                Some(SeenFromNetwork::Expired) => {}
                None => return Err(self.reject_limited(limited, &records)),
            }
        }
        if let Some(known) = self.in_flight_checks.lookup_answer(&names, &tags) {
            let answer = self.resolve_known_answer(known, || rejection_reason(&credentials, &records))?;
            // It may have been asked before, and counted, when nobody could say.
            self.throttle.undo_failure(&tags, names.check_key.attempt_id());
            return Ok(IdentifyStep::Cached {
                first_authenticator: entrance,
                throttle_keys: tags,
                answer_key: names.answer_key,
                answer,
            });
        }
        self.metrics.cache_misses.inc();
        let ticket = self.throttle.start_attempt(tags, names.check_key.attempt_id());
        let question = CheckRequest { cache_keys: names, credentials: Arc::new(credentials), records };
        Ok(IdentifyStep::CheckNeeded(Box::new(PendingCheck::new(Arc::clone(self), ticket, tags, question))))
    }

    /// Where there are keys alone, anything else is wrong.
    fn reject_without_authenticator(&self, tags: &ThrottleKeys, names: &CacheKeys) -> Verdict {
        if let Some(wait) = self.throttle.retry_after(tags, None) {
            return Verdict::Limited(Limited::Throttled(wait));
        }
        drop(self.throttle.start_attempt(*tags, names.check_key.attempt_id()));
        Verdict::Challenge(ChallengeReason::WrongCredentials)
    }

    /// A key is checked at once. It can't be guessed, so a good one is never turned away; the throttle
    /// sees to it that whoever keeps on with bad ones comes again later.
    fn identify_by_api_key(
        &self,
        keys: &ApiKeys,
        mut credentials: Credentials,
        client: Option<IpAddr>,
    ) -> Result<Arc<Identity>, Verdict> {
        let may_log_in = |owner: &[u8]| self.authenticators.look_up(owner).has_valid_line();
        let user = Some(credentials.user()).filter(|user| !user.is_empty());
        let fault =
            match keys.authenticate(user, credentials.password(), self.clock.unix_seconds(), may_log_in) {
                Ok(identity) => return Ok(identity),
                Err(fault) => fault,
            };
        if fault.has_valid_secret() {
            // It was no guess: a fleet whose keys end on one day must not shut its network.
            return Err(Verdict::Challenge(ChallengeReason::InvalidApiKey(fault)));
        }
        let tags =
            self.throttle.keys_for(ClientNetwork::from_address(client, self.prefixes), credentials.user());
        if let Some(wait) = self.throttle.retry_after(&tags, None) {
            return Err(Verdict::Limited(Limited::Throttled(wait)));
        }
        let names = self.cache_key_maker.derive_keys_for(&mut credentials, &LocalRecord::default());
        // Counted as it goes.
        drop(self.throttle.start_attempt(tags, names.check_key.attempt_id()));
        Err(Verdict::Challenge(ChallengeReason::InvalidApiKey(fault)))
    }

    /// Whether a client is kept from the cache and the queue that it would come to, and for how long.
    fn check_limits(&self, entrance: usize, tags: &ThrottleKeys, question: Option<u64>) -> Option<Limited> {
        if let Some(wait) = self.throttle.retry_after(tags, question) {
            return Some(Limited::Throttled(wait));
        }
        let full = self.authenticators.is_queue_full_for(entrance, tags.requester_id());
        full.then(|| Limited::Busy(self.authenticators.retry_after(entrance)))
    }

    fn reject_limited(&self, limited: Limited, records: &LocalRecord) -> Verdict {
        if matches!(limited, Limited::Busy(_)) {
            self.count_queue_full(records);
        }
        Verdict::Limited(limited)
    }

    /// What is left to who is limited: an answer that his own network has had before.
    fn lookup_seen_answer(&self, names: &CacheKeys, tags: &ThrottleKeys) -> Option<SeenFromNetwork> {
        if !self.throttle.has_cached_answer_attempts_left(tags) {
            return None;
        }
        let familiar =
            self.cache.get_if_seen_from(&names.answer_key, tags.requester_id().network_tag, self.clock.now());
        match &familiar {
            Some(SeenFromNetwork::Answer(_)) => drop(self.metrics.cache_hits.inc()),
            Some(SeenFromNetwork::Expired) => {}
            None => self.throttle.count_cached_answer_attempt(tags, names.check_key.attempt_id()),
        }
        familiar
    }
}

#[cfg(test)]
#[path = "identify_tests.rs"]
mod tests;
