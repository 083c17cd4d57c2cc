//! The calls without a response since the service last answered, and the outage that they prove.
//!
//! One requester can cause that its own calls get no response. The owner of several networks and accounts can cause it
//! for several requesters. So an outage is detected only if several requesters in several network blocks saw it. A stale
//! answer needs more: the users that saw the outage must have been accepted before, which is hard for an attacker.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::backoff::Requester;
use crate::clock::Moment;

/// The least number of requesters, and of users, that prove an outage.
const OUTAGE_REQUESTERS_MIN: usize = 3;

/// The least number of network blocks of these requesters.
const OUTAGE_BLOCKS_MIN: usize = 2;

/// The least time without any response. A service with a few logins per second responds to some in this time.
const OUTAGE_DURATION_MIN: Duration = Duration::from_secs(1);

/// The time for which a call without a response is evidence. An active user causes a call in every `cache_ttl`, which is
/// 5 minutes by default.
const EVIDENCE_TTL: Duration = Duration::from_secs(300);

/// The largest number of stored calls with credentials that were not accepted before.
const UNVERIFIED_CALLS_MAX: usize = 16;

/// The largest number of stored calls with credentials that were accepted before. They are stored apart, so that guesses
/// do not evict them.
const ACCEPTED_CALLS_MAX: usize = 64;

/// The fraction of the active users that must have seen an outage for a stale answer: one in ten, from
/// [`OUTAGE_REQUESTERS_MIN`] to [`OUTAGE_USERS_MAX`]. So the owner of a few closed accounts cannot fake an outage at
/// night.
const OUTAGE_USERS_DIVISOR: usize = 10;

/// The largest number of users that must have seen an outage.
const OUTAGE_USERS_MAX: usize = 32;

/// A user is active if it was accepted in this time.
const ACTIVE_USER_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The largest number of active users that are counted. More than [`OUTAGE_USERS_DIVISOR`] times [`OUTAGE_USERS_MAX`]
/// make no difference.
const ACTIVE_USERS_MAX: usize = 512;

/// The calls without a response, and the active users.
#[derive(Debug, Default)]
pub struct FailedCalls {
    unverified: FailedCallLog,
    accepted: FailedCallLog,
    /// The time at which each user was accepted last.
    users_accepted_at: HashMap<u64, Moment>,
    /// The network block of the first accepted user.
    accepted_block: Option<u64>,
    /// Whether a user was accepted from another block.
    has_several_blocks: bool,
}

/// The latest calls, and when the first of all calls started.
#[derive(Debug, Default)]
struct FailedCallLog {
    recent: VecDeque<FailedCall>,
    first_began_at: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct FailedCall {
    requester: Requester,
    ended_at: Moment,
}

/// The number of requesters that saw an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutageEvidence {
    /// The number of pairs of user and network.
    pub requesters: usize,
    /// The number of users.
    pub users: usize,
    /// The number of network blocks.
    pub blocks: usize,
    /// Whether enough of the users were accepted before.
    pub is_proved: bool,
}

impl FailedCalls {
    /// Adds a call without a response. The caller must have checked that the service answered no requester since the call
    /// started.
    pub fn add(&mut self, requester: Requester, began_at: Moment, now: Moment) {
        let (calls, calls_max) = if requester.has_been_accepted {
            (&mut self.accepted, ACCEPTED_CALLS_MAX)
        } else {
            (&mut self.unverified, UNVERIFIED_CALLS_MAX)
        };
        if calls.recent.back().is_none_or(|last| now.since(last.ended_at) >= EVIDENCE_TTL) {
            calls.first_began_at = None;
        }
        calls.first_began_at = Some(calls.first_began_at.map_or(began_at, |first| first.min(began_at)));
        calls.recent.retain(|call| call.requester != requester);
        if calls.recent.len() >= calls_max {
            calls.recent.pop_front();
        }
        calls.recent.push_back(FailedCall { requester, ended_at: now });
    }

    /// Removes all calls after the service answered a requester.
    pub fn clear(&mut self) {
        (self.unverified, self.accepted) = (FailedCallLog::default(), FailedCallLog::default());
    }

    /// Records that the service accepted a requester.
    pub fn record_accepted(&mut self, requester: &Requester, now: Moment) {
        let block = *self.accepted_block.get_or_insert(requester.id.block_tag);
        self.has_several_blocks |= block != requester.id.block_tag;
        if self.users_accepted_at.len() >= ACTIVE_USERS_MAX
            && !self.users_accepted_at.contains_key(&requester.user_tag)
        {
            self.users_accepted_at.retain(|_, at| now.since(*at) < ACTIVE_USER_WINDOW);
        }
        if self.users_accepted_at.len() < ACTIVE_USERS_MAX
            || self.users_accepted_at.contains_key(&requester.user_tag)
        {
            self.users_accepted_at.insert(requester.user_tag, now);
        }
    }

    /// Returns the evidence of an outage, if there is enough: several requesters in several blocks, or several users
    /// that were accepted before in any block.
    pub fn outage_evidence(&self, now: Moment) -> Option<OutageEvidence> {
        let all = count_evidence(self.unverified.recent.iter().chain(&self.accepted.recent), now);
        let accepted = count_evidence(self.accepted.recent.iter(), now);
        let are_many = all.requesters >= OUTAGE_REQUESTERS_MIN
            && all.users >= OUTAGE_REQUESTERS_MIN
            && all.blocks >= OUTAGE_BLOCKS_MIN;
        let is_long = |calls: &FailedCallLog| {
            calls.first_began_at.is_some_and(|began| now.since(began) >= OUTAGE_DURATION_MIN)
        };
        let is_proved = accepted.users >= OUTAGE_REQUESTERS_MIN && is_long(&self.accepted);
        let is_outage = is_proved || are_many && (is_long(&self.unverified) || is_long(&self.accepted));
        is_outage.then_some(OutageEvidence { is_proved, ..all })
    }

    /// Returns whether enough users other than `user_tag` saw an outage. Only users that were accepted before count. If
    /// users were accepted from several blocks, the outage must have been seen in several blocks. If all clients seem to
    /// be in one block, one block is enough.
    pub fn is_seen_by_others(&self, user_tag: u64, now: Moment) -> bool {
        let calls = self.accepted.recent.iter().filter(|call| call.requester.user_tag != user_tag);
        let others = count_evidence(calls, now);
        let active_users =
            self.users_accepted_at.values().filter(|at| now.since(**at) < ACTIVE_USER_WINDOW).count();
        let users_min = (active_users / OUTAGE_USERS_DIVISOR).clamp(OUTAGE_REQUESTERS_MIN, OUTAGE_USERS_MAX);
        self.accepted.first_began_at.is_some_and(|began| now.since(began) >= OUTAGE_DURATION_MIN)
            && others.users >= users_min
            && (others.blocks >= OUTAGE_BLOCKS_MIN || !self.has_several_blocks)
    }
}

/// Counts the requesters of the calls that are still evidence.
fn count_evidence<'c>(calls: impl Iterator<Item = &'c FailedCall>, now: Moment) -> OutageEvidence {
    let (mut requesters, mut users, mut blocks) = (HashSet::new(), HashSet::new(), HashSet::new());
    for call in calls.filter(|call| now.since(call.ended_at) < EVIDENCE_TTL) {
        requesters.insert(call.requester.backoff_tag());
        users.insert(call.requester.user_tag);
        blocks.insert(call.requester.id.block_tag);
    }
    OutageEvidence {
        requesters: requesters.len(),
        users: users.len(),
        blocks: blocks.len(),
        is_proved: false,
    }
}

#[cfg(test)]
#[path = "failed_calls_tests.rs"]
mod tests;
