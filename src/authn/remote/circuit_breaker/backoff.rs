//! Holds back requesters whose calls got no response. Each requester is held back alone, and longer each time if the
//! service answered others meanwhile. No requester can cause that another one is held back: its network block is only
//! served after other blocks for some time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::authn::queue::job::RequesterId;
use crate::clock::Moment;

/// The time that a requester is held back after one call without a response.
const HOLD_BACK_MIN: Duration = Duration::from_secs(1);

/// The time that a requester is held back after its probe failed. It is longer than the probe interval, so that others
/// get the next probe.
const HOLD_BACK_AFTER_PROBE: Duration = Duration::from_millis(1500);

/// The longest time that a requester is held back, and the longest `Retry-After` that is obeyed.
const HOLD_BACK_MAX: Duration = Duration::from_secs(60);

/// The time for which a call without a response is stored.
const FAILURE_TTL: Duration = Duration::from_secs(120);

/// The largest number of requesters, and of network blocks, in the tables: about 400 KiB. A full table evicts the
/// oldest entry, which is then treated like any other requester.
const ENTRIES_MAX: usize = 4096;

/// Changes the tag of a requester whose credentials were accepted before, so that guesses under its name in its network
/// do not hold it back.
const ACCEPTED_TAG_MASK: u64 = 0x9e37_79b9_7f4a_7c15;

/// The requester of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The tags of the network block, the network, and the user in the network.
    pub id: RequesterId,
    /// The tag of the user in any network.
    pub user_tag: u64,
    /// Whether these credentials were accepted before.
    pub has_been_accepted: bool,
}

impl Requester {
    /// Returns the tag under which the requester is held back.
    pub fn backoff_tag(&self) -> u64 {
        if self.has_been_accepted {
            self.id.network_user_tag ^ ACCEPTED_TAG_MASK
        } else {
            self.id.network_user_tag
        }
    }
}

/// A call that ended without a response.
#[derive(Clone, Copy, Debug)]
pub struct UnansweredCall {
    /// The start of the call.
    pub began_at: Moment,
    /// The end of the call, which is the current time.
    pub ended_at: Moment,
    /// Whether the call was a probe.
    pub is_probe: bool,
    /// The time of the last answer to any requester.
    pub answered_at: Option<Moment>,
}

/// The requesters that are held back, and the network blocks that are served last.
#[derive(Debug, Default)]
pub struct RequesterBackoff {
    held_back: HashMap<u64, HeldBackRequester>,
    suspect_blocks: HashMap<u64, SuspectBlock>,
}

#[derive(Clone, Copy, Debug)]
struct HeldBackRequester {
    valid_until: Moment,
    /// The end of the last call without a response.
    failed_at: Moment,
    /// The number of calls without a response while others were answered.
    provoked_failures: u32,
    /// Whether the wait ends as soon as the service answers any requester: nothing indicates that the requester caused
    /// the failure.
    is_cause_undetermined: bool,
}

#[derive(Clone, Copy, Debug)]
struct SuspectBlock {
    failed_at: Moment,
    /// Whether others were answered meanwhile.
    is_provoked: bool,
}

impl RequesterBackoff {
    /// Returns how long the requester is still held back. `answered_at` is when the service last answered any
    /// requester.
    pub fn remaining_wait(
        &self,
        requester: &Requester,
        answered_at: Option<Moment>,
        now: Moment,
    ) -> Option<Duration> {
        let held = self.held_back.get(&requester.backoff_tag()).filter(|held| held.valid_until > now)?;
        let is_over =
            held.is_cause_undetermined && answered_at.is_some_and(|answered| answered >= held.failed_at);
        (!is_over).then(|| held.valid_until.since(now))
    }

    /// Returns whether calls of the requester, or of its network block, got no response a short time ago. The block is
    /// ignored if the credentials were accepted before.
    pub fn is_suspect(&self, requester: &Requester, now: Moment) -> bool {
        let is_block_suspect = || {
            let block = self.suspect_blocks.get(&requester.id.block_tag);
            block.is_some_and(|block| is_recent(block.failed_at, now))
        };
        self.held_back.get(&requester.backoff_tag()).is_some_and(|held| is_recent(held.failed_at, now))
            || !requester.has_been_accepted && is_block_suspect()
    }

    /// Holds the requester back for a call without a response. The time is longer if the service sent `retry_after`, or
    /// answered others meanwhile. It is zero for the first failure without an indication of the cause.
    ///
    /// Returns whether others were answered meanwhile.
    pub fn record_unanswered(
        &mut self,
        requester: &Requester,
        call: UnansweredCall,
        retry_after: Option<Duration>,
    ) -> bool {
        let now = call.ended_at;
        let tag = requester.backoff_tag();
        let known = self.held_back.get(&tag).filter(|held| is_recent(held.failed_at, now)).copied();
        // Others were answered during this call, or between the previous call without a response and this one.
        let since = known.map_or(call.began_at, |held| held.failed_at.min(call.began_at));
        let is_provoked = call.answered_at.is_some_and(|answered| answered >= since);
        let provoked_failures =
            known.map_or(0, |held| held.provoked_failures).saturating_add(u32::from(is_provoked));
        let least = if call.is_probe { HOLD_BACK_AFTER_PROBE } else { HOLD_BACK_MIN };
        let grown = least.saturating_mul(1 << provoked_failures.saturating_sub(1).min(16)).min(HOLD_BACK_MAX);
        let wait = match retry_after {
            Some(wait) => wait.clamp(HOLD_BACK_MIN, HOLD_BACK_MAX).max(grown),
            // The first failure can be a connection that was cut. The next call gives more information.
            None if known.is_none() && !is_provoked && !call.is_probe => Duration::ZERO,
            None => grown,
        };
        let held = HeldBackRequester {
            valid_until: now.plus(wait),
            failed_at: now,
            provoked_failures,
            is_cause_undetermined: provoked_failures == 0 && retry_after.is_none(),
        };
        insert_bounded(&mut self.held_back, tag, held, |held| held.failed_at);
        let block_tag = requester.id.block_tag;
        let was_provoked = self
            .suspect_blocks
            .get(&block_tag)
            .is_some_and(|block| block.is_provoked && is_recent(block.failed_at, now));
        let block = SuspectBlock { failed_at: now, is_provoked: is_provoked || was_provoked };
        insert_bounded(&mut self.suspect_blocks, block_tag, block, |block| block.failed_at);
        is_provoked
    }

    /// Ends the wait of a requester that the service answered. The failures stay counted.
    pub fn record_answer(&mut self, requester: &Requester, now: Moment) {
        if let Some(held) = self.held_back.get_mut(&requester.backoff_tag()) {
            held.valid_until = now;
        }
    }

    /// Ends all waits after an outage, and removes the requesters and blocks that failed because of the outage alone.
    pub fn clear_after_outage(&mut self, now: Moment) {
        self.held_back.retain(|_, held| held.provoked_failures > 0);
        self.held_back.values_mut().for_each(|held| held.valid_until = now);
        self.suspect_blocks.retain(|_, block| block.is_provoked);
    }
}

fn is_recent(failed_at: Moment, now: Moment) -> bool {
    now.since(failed_at) < FAILURE_TTL
}

/// Inserts an entry. If the table is full, the entry with the lowest `time` is removed.
fn insert_bounded<K: Copy + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    key: K,
    value: V,
    time: impl Fn(&V) -> Moment,
) {
    if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
        let oldest = table.iter().min_by_key(|(_, value)| time(value)).map(|(key, _)| *key);
        oldest.and_then(|oldest| table.remove(&oldest));
    }
    table.insert(key, value);
}

#[cfg(test)]
#[path = "backoff_tests.rs"]
mod tests;
