//! Requesters whose calls got no answer. Each is held back by itself, and for longer each time if the service
//! answered others meanwhile. Nothing that one requester does holds back another: its network block only comes
//! after other blocks for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::authn::queue::RequesterId;
use crate::clock::Moment;

/// How long a requester is held back after one call without an answer.
const HOLD_BACK_MIN: Duration = Duration::from_secs(1);

/// How long the requester whose probe failed last lets others go first: beyond the time in which the next may begin.
const HOLD_BACK_AFTER_PROBE: Duration = Duration::from_millis(1500);

/// The longest that a requester is held back, and that a `Retry-After` is believed.
const HOLD_BACK_MAX: Duration = Duration::from_secs(60);

/// How long a call without an answer is remembered of its requester and of its network block.
const FAILURE_TTL: Duration = Duration::from_secs(120);

/// Requesters and network blocks that are remembered: about 400 KiB. A full table forgets the oldest, who is then
/// treated like anyone else.
const ENTRIES_MAX: usize = 4096;

/// Sets a requester apart that presents credentials which were accepted before, so that guesses at its name in its
/// network do not hold it back.
const ACCEPTED_TAG_MASK: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whom a call is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The tags of its network block, its network, and the user within the network.
    pub id: RequesterId,
    /// The tag of the user, wherever he is.
    pub user_tag: u64,
    /// Whether these very credentials were accepted before.
    pub has_been_accepted: bool,
}

impl Requester {
    /// The tag by which it is held back.
    pub fn backoff_tag(&self) -> u64 {
        if self.has_been_accepted {
            self.id.network_user_tag ^ ACCEPTED_TAG_MASK
        } else {
            self.id.network_user_tag
        }
    }
}

/// A call that is over.
#[derive(Clone, Copy, Debug)]
pub struct UnansweredCall {
    /// When it began.
    pub began_at: Moment,
    /// Now.
    pub ended_at: Moment,
    /// Whether it was to find out if the service is back.
    pub is_probe: bool,
    /// When the service last gave anybody an answer.
    pub answered_at: Option<Moment>,
}

/// See the top of this file.
#[derive(Debug, Default)]
pub struct RequesterBackoff {
    held_back: HashMap<u64, HeldBackRequester>,
    suspect_blocks: HashMap<u64, SuspectBlock>,
}

#[derive(Clone, Copy, Debug)]
struct HeldBackRequester {
    valid_until: Moment,
    /// When its last call without an answer ended.
    failed_at: Moment,
    /// How often others were answered while it was not.
    provoked_failures: u32,
    /// Whether the wait ends as soon as the service answers anybody: nothing says that it was the requester's doing.
    is_cause_undetermined: bool,
}

#[derive(Clone, Copy, Debug)]
struct SuspectBlock {
    failed_at: Moment,
    /// Whether others were answered meanwhile.
    is_provoked: bool,
}

impl RequesterBackoff {
    /// How long `who` is held back still. The service last gave anybody an answer when it was `answered`.
    pub fn remaining_wait(&self, who: &Requester, answered: Option<Moment>, now: Moment) -> Option<Duration> {
        let held = self.held_back.get(&who.backoff_tag()).filter(|held| held.valid_until > now)?;
        let is_over =
            held.is_cause_undetermined && answered.is_some_and(|answered| answered >= held.failed_at);
        (!is_over).then(|| held.valid_until.since(now))
    }

    /// Whether calls of `who`, or of its block, got no answer lately. Credentials that were accepted before are
    /// not judged by their block.
    pub fn is_suspect(&self, who: &Requester, now: Moment) -> bool {
        let of_block = || {
            self.suspect_blocks.get(&who.id.block_tag).is_some_and(|block| is_recent(block.failed_at, now))
        };
        self.held_back.get(&who.backoff_tag()).is_some_and(|held| is_recent(held.failed_at, now))
            || !who.has_been_accepted && of_block()
    }

    /// Holds `who` back for a call without an answer, for longer if the service `told` so, or if it answers others.
    /// Returns whether it does. After the first one that nobody is to blame for, it may try again at
    /// once.
    pub fn record_unanswered(
        &mut self,
        who: &Requester,
        call: UnansweredCall,
        told: Option<Duration>,
    ) -> bool {
        let now = call.ended_at;
        let known =
            self.held_back.get(&who.backoff_tag()).filter(|held| is_recent(held.failed_at, now)).copied();
        // Somebody was answered during this call, or between the last one without an answer and this one.
        let since = known.map_or(call.began_at, |held| held.failed_at.min(call.began_at));
        let provoked = call.answered_at.is_some_and(|answered| answered >= since);
        let times = known.map_or(0, |held| held.provoked_failures).saturating_add(u32::from(provoked));
        let least = if call.is_probe { HOLD_BACK_AFTER_PROBE } else { HOLD_BACK_MIN };
        let grown = least.saturating_mul(1 << times.saturating_sub(1).min(16)).min(HOLD_BACK_MAX);
        let wait = match told {
            Some(told) => told.clamp(HOLD_BACK_MIN, HOLD_BACK_MAX).max(grown),
            // The first one may be a connection that was cut, and the next try says more.
            None if known.is_none() && !provoked && !call.is_probe => Duration::ZERO,
            None => grown,
        };
        let unclear = times == 0 && told.is_none();
        let held = HeldBackRequester {
            valid_until: now.plus(wait),
            failed_at: now,
            provoked_failures: times,
            is_cause_undetermined: unclear,
        };
        insert_bounded(&mut self.held_back, who.backoff_tag(), held, |held| held.failed_at);
        let before = self
            .suspect_blocks
            .get(&who.id.block_tag)
            .is_some_and(|b| b.is_provoked && is_recent(b.failed_at, now));
        let block = SuspectBlock { failed_at: now, is_provoked: provoked || before };
        insert_bounded(&mut self.suspect_blocks, who.id.block_tag, block, |block| block.failed_at);
        provoked
    }

    /// The service answered `who`: it is not held back any more, but a next call without an answer counts as one
    /// more.
    pub fn record_answer(&mut self, who: &Requester, now: Moment) {
        if let Some(held) = self.held_back.get_mut(&who.backoff_tag()) {
            held.valid_until = now;
        }
    }

    /// An outage is over: nobody waits any longer, and what it did to requesters and their blocks is forgotten.
    pub fn clear_after_outage(&mut self, now: Moment) {
        self.held_back.retain(|_, held| held.provoked_failures > 0);
        self.held_back.values_mut().for_each(|held| held.valid_until = now);
        self.suspect_blocks.retain(|_, block| block.is_provoked);
    }
}

fn is_recent(failed: Moment, now: Moment) -> bool {
    now.since(failed) < FAILURE_TTL
}

/// Inserts into a table that is bounded: where it is full, what is `oldest` goes.
fn insert_bounded<K: Copy + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    key: K,
    value: V,
    age: impl Fn(&V) -> Moment,
) {
    if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
        let oldest = table.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| *key);
        oldest.and_then(|oldest| table.remove(&oldest));
    }
    table.insert(key, value);
}

#[cfg(test)]
#[path = "backoff_tests.rs"]
mod tests;
