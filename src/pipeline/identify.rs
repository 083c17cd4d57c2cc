//! From a request to who asks: by the worker's memo, by a key, by the cache; or the check that it takes, or
//! the verdict that there is instead.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Gate;
use super::answers::rejection;
use super::cache::{Accepted, Familiar};
use super::cache_key::{CacheKey, Names};
use super::challenge::Refusal;
use super::check::Check;
use super::credentials::{self};
use super::single_flight::Question;
use super::throttle::Tags;
use super::verdict::{Limited, Verdict};
use super::worker_cache::{Memo, Sight, State};
use crate::authn::api_key::Keys;
use crate::authn::api_key::secret::is_key;
use crate::authn::{Credentials, Identity, Records};
use crate::network::ClientNetwork;
use crate::request::header::Header;
use crate::request::subrequest::{ClientAddress, Subrequest};

/// Who asks.
pub(super) enum Found {
    /// In the cache.
    Answer {
        entrance: usize,
        tags: Tags,
        key: CacheKey,
        answer: Arc<Accepted>,
    },
    /// By a key, which needs no cache.
    Key(Arc<Identity>),
    /// In the cache, and given only because this network has had it before.
    Familiar(Arc<Accepted>),
    Check(Box<Check>),
}

impl Gate {
    /// How a request is known again, if it has what it takes.
    pub(super) fn sight<'r>(&self, request: &Subrequest<'r>) -> Option<Sight<'r>> {
        let (Header::Once(header), ClientAddress::Text(client)) = (request.authorization, request.client)
        else {
            return None;
        };
        let flushes = self.flushes.load(Ordering::SeqCst);
        let state = State { records: self.authenticators.replaced(), flushes };
        Some(Sight { header: self.keys.header(header), client, state })
    }

    /// The short way: the answer that an identical request was given.
    pub(super) fn recall(&self, sight: &Sight<'_>, memo: &Memo) -> Option<Arc<Identity>> {
        let note = memo.find(sight)?;
        let open = self.limit(note.entrance, &note.tags, None).is_none();
        if !open || !self.cache.is_live(&note.key, &note.answer, self.clock.now()) {
            return None;
        }
        self.metrics.cache_hits.inc();
        Some(note.answer.identity())
    }

    /// Finds out who asks, or the check that it takes, or the verdict that there is instead.
    pub(super) fn identify(self: &Arc<Self>, request: &Subrequest<'_>) -> Result<Found, Verdict> {
        let client = request.client()?;
        let keys = self.authenticators.keys();
        let mut credentials =
            credentials::read(request.authorization, keys.is_some()).map_err(Verdict::Challenge)?;
        request.set_user(credentials.user());
        credentials::check_password(credentials.password())
            .map_err(|why| Verdict::Challenge(Refusal::Malformed(why)))?;
        if let Some(keys) = keys.filter(|_| is_key(credentials.password())) {
            return self.identify_by_key(keys, credentials, client).map(Found::Key);
        }
        let records = self.authenticators.look_up(credentials.user());
        let names = self.keys.names(&mut credentials, &records);
        let tags = self.throttle.tags(ClientNetwork::of(client, self.prefixes), credentials.user());

        let Some(entrance) = self.authenticators.entrance(&records) else {
            return Err(self.nobody_to_ask(&tags, &names));
        };
        if let Some(limited) = self.limit(entrance, &tags, Some(names.question.short())) {
            match self.familiar(&names, &tags) {
                Some(Familiar::Answer(answer)) => return Ok(Found::Familiar(answer)),
                // He proved it from there a while ago; to ask for it anew is no guess.
                Some(Familiar::Expired) => {}
                None => return Err(self.turn_away(limited, &records)),
            }
        }
        if let Some(known) = self.flights.known(&names, &tags) {
            let answer = self.known(known, || rejection(&credentials, &records))?;
            // It may have been asked before, and counted, when nobody could say.
            self.throttle.forgive(&tags, names.question.short());
            return Ok(Found::Answer { entrance, tags, key: names.answer, answer });
        }
        self.metrics.cache_misses.inc();
        let ticket = self.throttle.admit(tags, names.question.short());
        let question = Question { names, credentials: Arc::new(credentials), records };
        Ok(Found::Check(Box::new(Check::new(Arc::clone(self), ticket, tags, question))))
    }

    /// Where there are keys alone, anything else is wrong.
    fn nobody_to_ask(&self, tags: &Tags, names: &Names) -> Verdict {
        if let Some(wait) = self.throttle.wait(tags, None) {
            return Verdict::Limited(Limited::Throttled(wait));
        }
        drop(self.throttle.admit(*tags, names.question.short()));
        Verdict::Challenge(Refusal::Wrong)
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
        let fault = match keys.check(user, credentials.password(), self.clock.unix(), may_log_in) {
            Ok(identity) => return Ok(identity),
            Err(fault) => fault,
        };
        if fault.is_proved() {
            // It was no guess: a fleet whose keys end on one day must not shut its network.
            return Err(Verdict::Challenge(Refusal::Key(fault)));
        }
        let tags = self.throttle.tags(ClientNetwork::of(client, self.prefixes), credentials.user());
        if let Some(wait) = self.throttle.wait(&tags, None) {
            return Err(Verdict::Limited(Limited::Throttled(wait)));
        }
        let names = self.keys.names(&mut credentials, &Records::default());
        // Counted as it goes.
        drop(self.throttle.admit(tags, names.question.short()));
        Err(Verdict::Challenge(Refusal::Key(fault)))
    }

    /// Whether a client is kept from the cache and the queue that it would come to, and for how long.
    fn limit(&self, entrance: usize, tags: &Tags, question: Option<u64>) -> Option<Limited> {
        if let Some(wait) = self.throttle.wait(tags, question) {
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
    fn familiar(&self, names: &Names, tags: &Tags) -> Option<Familiar> {
        if !self.throttle.may_probe(tags) {
            return None;
        }
        let familiar = self.cache.get_familiar(&names.answer, tags.asker().network, self.clock.now());
        match &familiar {
            Some(Familiar::Answer(_)) => drop(self.metrics.cache_hits.inc()),
            Some(Familiar::Expired) => {}
            None => self.throttle.probed(tags, names.question.short()),
        }
        familiar
    }
}

#[cfg(test)]
#[path = "identify_tests.rs"]
mod tests;
