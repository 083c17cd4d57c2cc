//! Requesters whose calls got no answer. Each is held back by itself, and for longer each time if the service
//! answered others meanwhile. Nothing that one requester does holds back another: its network block only comes
//! after other blocks for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::authn::queue::Asker;
use crate::clock::Moment;

/// How long a requester is held back after one call without an answer.
const HOLD_FIRST: Duration = Duration::from_secs(1);

/// How long the requester whose probe failed last lets others go first: beyond the time in which the next may begin.
const HOLD_PROBE: Duration = Duration::from_millis(1500);

/// The longest that a requester is held back, and that a `Retry-After` is believed.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// How long a call without an answer is remembered of its requester and of its network block.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Requesters and network blocks that are remembered: about 400 KiB. A full table forgets the oldest, who is then
/// treated like anyone else.
const ENTRIES_MAX: usize = 4096;

/// Sets a requester apart that presents credentials which were accepted before, so that guesses at its name in its
/// network do not hold it back.
const ACCEPTED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whom a call is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The tags of its network block, its network, and the user within the network.
    pub id: Asker,
    /// The tag of the user, wherever he is.
    pub user: u64,
    /// Whether these very credentials were accepted before.
    pub accepted_before: bool,
}

impl Requester {
    /// The tag by which it is held back.
    pub fn tag(&self) -> u64 {
        if self.accepted_before { self.id.user ^ ACCEPTED } else { self.id.user }
    }
}

/// A call that is over.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it began.
    pub began: Moment,
    /// Now.
    pub now: Moment,
    /// Whether it was to find out if the service is back.
    pub is_probe: bool,
    /// When the service last gave anybody an answer.
    pub answered: Option<Moment>,
}

/// See the top of this file.
#[derive(Debug, Default)]
pub struct Requesters {
    held: HashMap<u64, Held>,
    blocks: HashMap<u64, Block>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    valid_until: Moment,
    /// When its last call without an answer ended.
    failed: Moment,
    /// How often others were answered while it was not.
    times: u32,
    /// Whether the wait ends as soon as the service answers anybody: nothing says that it was the requester's doing.
    unclear: bool,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    failed: Moment,
    /// Whether others were answered meanwhile.
    provoked: bool,
}

impl Requesters {
    /// How long `who` is held back still. The service last gave anybody an answer when it was `answered`.
    pub fn wait(&self, who: &Requester, answered: Option<Moment>, now: Moment) -> Option<Duration> {
        let held = self.held.get(&who.tag()).filter(|held| held.valid_until > now)?;
        let is_over = held.unclear && answered.is_some_and(|answered| answered >= held.failed);
        (!is_over).then(|| held.valid_until.since(now))
    }

    /// Whether calls of `who`, or of its block, got no answer lately. Credentials that were accepted before are
    /// not judged by their block.
    pub fn is_suspect(&self, who: &Requester, now: Moment) -> bool {
        let of_block = || self.blocks.get(&who.id.block).is_some_and(|block| is_recent(block.failed, now));
        self.held.get(&who.tag()).is_some_and(|held| is_recent(held.failed, now))
            || !who.accepted_before && of_block()
    }

    /// Holds `who` back for a call without an answer, for longer if the service `told` so, or if it answers others.
    /// Returns whether it does. After the first one that nobody is to blame for, it may try again at
    /// once.
    pub fn unanswered(&mut self, who: &Requester, call: Call, told: Option<Duration>) -> bool {
        let now = call.now;
        let known = self.held.get(&who.tag()).filter(|held| is_recent(held.failed, now)).copied();
        // Somebody was answered during this call, or between the last one without an answer and this one.
        let since = known.map_or(call.began, |held| held.failed.min(call.began));
        let provoked = call.answered.is_some_and(|answered| answered >= since);
        let times = known.map_or(0, |held| held.times).saturating_add(u32::from(provoked));
        let least = if call.is_probe { HOLD_PROBE } else { HOLD_FIRST };
        let grown = least.saturating_mul(1 << times.saturating_sub(1).min(16)).min(HOLD_MAX);
        let wait = match told {
            Some(told) => told.clamp(HOLD_FIRST, HOLD_MAX).max(grown),
            // The first one may be a connection that was cut, and the next try says more.
            None if known.is_none() && !provoked && !call.is_probe => Duration::ZERO,
            None => grown,
        };
        let unclear = times == 0 && told.is_none();
        let held = Held { valid_until: now.plus(wait), failed: now, times, unclear };
        insert(&mut self.held, who.tag(), held, |held| held.failed);
        let before = self.blocks.get(&who.id.block).is_some_and(|b| b.provoked && is_recent(b.failed, now));
        let block = Block { failed: now, provoked: provoked || before };
        insert(&mut self.blocks, who.id.block, block, |block| block.failed);
        provoked
    }

    /// The service answered `who`: it is not held back any more, but a next call without an answer counts as one
    /// more.
    pub fn answered(&mut self, who: &Requester, now: Moment) {
        if let Some(held) = self.held.get_mut(&who.tag()) {
            held.valid_until = now;
        }
    }

    /// An outage is over: nobody waits any longer, and what it did to requesters and their blocks is forgotten.
    pub fn recovered(&mut self, now: Moment) {
        self.held.retain(|_, held| held.times > 0);
        self.held.values_mut().for_each(|held| held.valid_until = now);
        self.blocks.retain(|_, block| block.provoked);
    }
}

fn is_recent(failed: Moment, now: Moment) -> bool {
    now.since(failed) < REMEMBERED
}

/// Inserts into a table that is bounded: where it is full, what is `oldest` goes.
fn insert<K: Copy + Eq + Hash, V>(table: &mut HashMap<K, V>, key: K, value: V, age: impl Fn(&V) -> Moment) {
    if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
        let oldest = table.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| *key);
        oldest.and_then(|oldest| table.remove(&oldest));
    }
    table.insert(key, value);
}

#[cfg(test)]
#[path = "requesters_tests.rs"]
mod tests;
