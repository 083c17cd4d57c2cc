//! The calls without an answer since the service last gave one, and what they prove.
//!
//! One requester can bring about that its calls get no answer, and so can the owner of several networks and
//! accounts. So it takes several requesters in several network blocks to make an outage of it; and an answer of
//! before is given only if users saw the outage who had been accepted, which is hard for an attacker to be.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::backoff::Requester;
use crate::clock::Moment;

/// So many requesters, by so many user names, make an outage.
const OUTAGE_REQUESTERS_MIN: usize = 3;

/// They must be in so many network blocks.
const OUTAGE_BLOCKS_MIN: usize = 2;

/// The time without any answer that they must have seen: a service that answers a few logins a second has given one.
const OUTAGE_DURATION_MIN: Duration = Duration::from_secs(1);

/// How long a call without an answer proves something: a user who is active is asked about again in
/// `cache_ttl`, 5 minutes by default.
const EVIDENCE_TTL: Duration = Duration::from_secs(300);

/// The calls that are kept; those of credentials that were accepted before are kept apart, so that guesses do not
/// push them out.
const UNVERIFIED_CALLS_MAX: usize = 16;
const ACCEPTED_CALLS_MAX: usize = 64;

/// Of the users accepted in the last day, one in so many must have seen an outage, from [`REQUESTERS`] on up to
/// [`USERS_MAX`], so that the owner of a few closed accounts cannot speak for everyone at night.
const OUTAGE_USERS_DIVISOR: usize = 10;
const OUTAGE_USERS_MAX: usize = 32;
const ACTIVE_USER_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The users that are counted for that; there is no need to tell more than [`ONE_IN`] times [`USERS_MAX`] apart.
const ACTIVE_USERS_MAX: usize = 512;

/// See the top of this file.
#[derive(Debug, Default)]
pub struct FailedCalls {
    unverified: FailedCallLog,
    accepted: FailedCallLog,
    /// When each user was accepted last.
    users_accepted_at: HashMap<u64, Moment>,
    /// The network block that a user was accepted from, and whether there was another one.
    accepted_block: Option<u64>,
    has_several_blocks: bool,
}

/// The last ones, and when the first of all began.
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

/// How many saw an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutageEvidence {
    /// Users from one network.
    pub requesters: usize,
    /// Users.
    pub users: usize,
    /// Network blocks.
    pub blocks: usize,
    /// Whether enough of the users had been accepted before.
    pub is_proved: bool,
}

impl FailedCalls {
    /// A call for `who` got no answer, and nobody else got one since it began.
    pub fn add(&mut self, who: Requester, began: Moment, now: Moment) {
        let (calls, most) = if who.has_been_accepted {
            (&mut self.accepted, ACCEPTED_CALLS_MAX)
        } else {
            (&mut self.unverified, UNVERIFIED_CALLS_MAX)
        };
        if calls.recent.back().is_none_or(|last| now.since(last.ended_at) >= EVIDENCE_TTL) {
            calls.first_began_at = None;
        }
        calls.first_began_at = Some(calls.first_began_at.map_or(began, |first| first.min(began)));
        calls.recent.retain(|call| call.requester != who);
        if calls.recent.len() >= most {
            calls.recent.pop_front();
        }
        calls.recent.push_back(FailedCall { requester: who, ended_at: now });
    }

    /// The service gave somebody an answer.
    pub fn clear(&mut self) {
        (self.unverified, self.accepted) = (FailedCallLog::default(), FailedCallLog::default());
    }

    /// It accepted `who`.
    pub fn record_accepted(&mut self, who: &Requester, now: Moment) {
        let block = *self.accepted_block.get_or_insert(who.id.block_tag);
        self.has_several_blocks |= block != who.id.block_tag;
        if self.users_accepted_at.len() >= ACTIVE_USERS_MAX
            && !self.users_accepted_at.contains_key(&who.user_tag)
        {
            self.users_accepted_at.retain(|_, at| now.since(*at) < ACTIVE_USER_WINDOW);
        }
        if self.users_accepted_at.len() < ACTIVE_USERS_MAX
            || self.users_accepted_at.contains_key(&who.user_tag)
        {
            self.users_accepted_at.insert(who.user_tag, now);
        }
    }

    /// Who saw an outage, if it is one for all: several requesters in several blocks, or several users that had
    /// been accepted, wherever they are.
    pub fn outage_evidence(&self, now: Moment) -> Option<OutageEvidence> {
        let all = count_evidence(self.unverified.recent.iter().chain(&self.accepted.recent), now);
        let accepted = count_evidence(self.accepted.recent.iter(), now);
        let many = all.requesters >= OUTAGE_REQUESTERS_MIN
            && all.users >= OUTAGE_REQUESTERS_MIN
            && all.blocks >= OUTAGE_BLOCKS_MIN;
        let spans = |calls: &FailedCallLog| {
            calls.first_began_at.is_some_and(|began| now.since(began) >= OUTAGE_DURATION_MIN)
        };
        let is_proved = accepted.users >= OUTAGE_REQUESTERS_MIN && spans(&self.accepted);
        let is_outage = is_proved || many && (spans(&self.unverified) || spans(&self.accepted));
        is_outage.then_some(OutageEvidence { is_proved, ..all })
    }

    /// Whether enough users saw an outage, other than `user`, who had all been accepted. Where users were accepted
    /// from several blocks, it takes several; where all clients seem to be in one, that is all there can be.
    pub fn is_seen_by_others(&self, user: u64, now: Moment) -> bool {
        let others =
            count_evidence(self.accepted.recent.iter().filter(|call| call.requester.user_tag != user), now);
        let users = self.users_accepted_at.values().filter(|at| now.since(**at) < ACTIVE_USER_WINDOW).count();
        let wanted = (users / OUTAGE_USERS_DIVISOR).clamp(OUTAGE_REQUESTERS_MIN, OUTAGE_USERS_MAX);
        self.accepted.first_began_at.is_some_and(|began| now.since(began) >= OUTAGE_DURATION_MIN)
            && others.users >= wanted
            && (others.blocks >= OUTAGE_BLOCKS_MIN || !self.has_several_blocks)
    }
}

/// Counts those whose calls prove something still.
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
