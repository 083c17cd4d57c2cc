//! From a request to who asks: by the worker's memo, by a key, by the cache; or the check that it takes, or
//! the verdict that there is instead.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pipeline;
use super::answers::rejection_reason;
use super::cache::{CachedAnswer, SeenFromNetwork};
use super::cache_key::{CacheKey, CacheKeys};
use super::challenge::Refusal;
use super::check::PendingCheck;
use super::credentials::{self};
use super::single_flight::CheckRequest;
use super::throttle::ThrottleKeys;
use super::verdict::{Limited, Verdict};
use super::worker_cache::{WorkerCache, RequestFingerprint, CacheVersion};
use crate::authn::api_key::Keys;
use crate::authn::api_key::secret::is_key;
use crate::authn::{Credentials, Identity, Records};
use crate::network::ClientNetwork;
use crate::request::header::RequestHeader;
use crate::request::subrequest::{ClientAddress, Subrequest};

/// Who asks.
pub(super) enum IdentifyStep {
    /// In the cache.
    Answer {
        entrance: usize,
        tags: ThrottleKeys,
        key: CacheKey,
        answer: Arc<CachedAnswer>,
    },
    /// By a key, which needs no cache.
    Key(Arc<Identity>),
    /// In the cache, and given only because this network has had it before.
    Familiar(Arc<CachedAnswer>),
    Check(Box<PendingCheck>),
}

impl Pipeline {
    /// How a request is known again, if it has what it takes.
    pub(super) fn sight<'r>(&self, request: &Subrequest<'r>) -> Option<RequestFingerprint<'r>> {
        let (RequestHeader::Once(header), ClientAddress::Text(client)) = (request.authorization, request.client)
        else {
            return None;
        };
        let flushes = self.flushes.load(Ordering::SeqCst);
        let state = CacheVersion { records: self.authenticators.replaced(), flushes };
        Some(RequestFingerprint { header: self.keys.header(header), client, state })
    }

    /// The short way: the answer that an identical request was given.
    pub(super) fn recall(&self, sight: &RequestFingerprint<'_>, memo: &WorkerCache) -> Option<Arc<Identity>> {
        let note = memo.find(sight)?;
        let open = self.limit(note.entrance, &note.tags, None).is_none();
        if !open || !self.cache.is_live(&note.key, &note.answer, self.clock.now()) {
            return None;
        }
        self.metrics.cache_hits.inc();
        Some(note.answer.identity())
    }

    /// Finds out who asks, or the check that it takes, or the verdict that there is instead.
    pub(super) fn identify(self: &Arc<Self>, request: &Subrequest<'_>) -> Result<IdentifyStep, Verdict> {
        let client = request.client_address()?;
        let keys = self.authenticators.keys();
        let mut credentials =
            credentials::parse_credentials(request.authorization, keys.is_some()).map_err(Verdict::Challenge)?;
        request.set_user(credentials.user());
        credentials::check_password(credentials.password())
            .map_err(|why| Verdict::Challenge(Refusal::MalformedCredentials(why)))?;
        if let Some(keys) = keys.filter(|_| is_key(credentials.password())) {
            return self.identify_by_key(keys, credentials, client).map(IdentifyStep::Key);
        }
        let records = self.authenticators.look_up(credentials.user());
        let names = self.keys.derive_keys_for(&mut credentials, &records);
        let tags = self.throttle.keys_for(ClientNetwork::from_address(client, self.prefixes), credentials.user());

        let Some(entrance) = self.authenticators.entrance(&records) else {
            return Err(self.nobody_to_ask(&tags, &names));
        };
        if let Some(limited) = self.limit(entrance, &tags, Some(names.question.attempt_id())) {
            match self.familiar(&names, &tags) {
                Some(SeenFromNetwork::Answer(answer)) => return Ok(IdentifyStep::Familiar(answer)),
                // He proved it from there a while ago; to ask for it anew is no guess.
                Some(SeenFromNetwork::Expired) => {}
                None => return Err(self.turn_away(limited, &records)),
            }
        }
        if let Some(known) = self.flights.known(&names, &tags) {
            let answer = self.known(known, || rejection_reason(&credentials, &records))?;
            // It may have been asked before, and counted, when nobody could say.
            self.throttle.undo_failure(&tags, names.question.attempt_id());
            return Ok(IdentifyStep::Answer { entrance, tags, key: names.answer, answer });
        }
        self.metrics.cache_misses.inc();
        let ticket = self.throttle.start_attempt(tags, names.question.attempt_id());
        let question = CheckRequest { names, credentials: Arc::new(credentials), records };
        Ok(IdentifyStep::Check(Box::new(PendingCheck::new(Arc::clone(self), ticket, tags, question))))
    }

    /// Where there are keys alone, anything else is wrong.
    fn nobody_to_ask(&self, tags: &ThrottleKeys, names: &CacheKeys) -> Verdict {
        if let Some(wait) = self.throttle.retry_after(tags, None) {
            return Verdict::Limited(Limited::Throttled(wait));
        }
        drop(self.throttle.start_attempt(*tags, names.question.attempt_id()));
        Verdict::Challenge(Refusal::WrongCredentials)
    }

    /// A key is checked at once. It can't be guessed, so a good one is never turned away; the throttle
    /// sees to it that whoever keeps on with bad ones comes again later.
    fn identify_by_key(
        &self,
        keys: &Keys,
        mut credentials: Credentials,
        client: Option<IpAddr>,
    ) -> Result<Arc<Identity>, Verdict> {
        let may_log_in = |owner: &[u8]| self.authenticators.look_up(owner).has_usable_line();
        let user = Some(credentials.user()).filter(|user| !user.is_empty());
        let fault = match keys.check(user, credentials.password(), self.clock.unix_seconds(), may_log_in) {
            Ok(identity) => return Ok(identity),
            Err(fault) => fault,
        };
        if fault.is_proved() {
            // It was no guess: a fleet whose keys end on one day must not shut its network.
            return Err(Verdict::Challenge(Refusal::InvalidApiKey(fault)));
        }
        let tags = self.throttle.keys_for(ClientNetwork::from_address(client, self.prefixes), credentials.user());
        if let Some(wait) = self.throttle.retry_after(&tags, None) {
            return Err(Verdict::Limited(Limited::Throttled(wait)));
        }
        let names = self.keys.derive_keys_for(&mut credentials, &Records::default());
        // Counted as it goes.
        drop(self.throttle.start_attempt(tags, names.question.attempt_id()));
        Err(Verdict::Challenge(Refusal::InvalidApiKey(fault)))
    }

    /// Whether a client is kept from the cache and the queue that it would come to, and for how long.
    fn limit(&self, entrance: usize, tags: &ThrottleKeys, question: Option<u64>) -> Option<Limited> {
        if let Some(wait) = self.throttle.retry_after(tags, question) {
            return Some(Limited::Throttled(wait));
        }
        let full = self.authenticators.is_full_for(entrance, tags.asker());
        full.then(|| Limited::Busy(self.authenticators.retry_after(entrance)))
    }

    fn turn_away(&self, limited: Limited, records: &Records) -> Verdict {
        if matches!(limited, Limited::Busy(_)) {
            self.shed(records);
        }
        Verdict::Limited(limited)
    }

    /// What is left to who is limited: an answer that his own network has had before.
    fn familiar(&self, names: &CacheKeys, tags: &ThrottleKeys) -> Option<SeenFromNetwork> {
        if !self.throttle.has_cached_answer_attempts_left(tags) {
            return None;
        }
        let familiar = self.cache.get_if_seen_from(&names.answer, tags.asker().network, self.clock.now());
        match &familiar {
            Some(SeenFromNetwork::Answer(_)) => drop(self.metrics.cache_hits.inc()),
            Some(SeenFromNetwork::Expired) => {}
            None => self.throttle.count_cached_answer_attempt(tags, names.question.attempt_id()),
        }
        familiar
    }
}

#[cfg(test)]
#[path = "identify_tests.rs"]
mod tests;
