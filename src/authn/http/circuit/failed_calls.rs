//! The calls without an answer since the service last gave one, and what they prove.
//!
//! One requester can bring about that its calls get no answer, and so can the owner of several networks and
//! accounts. So it takes several requesters in several network blocks to make an outage of it; and an answer of
//! before is given only if users saw the outage who had been accepted, which is hard for an attacker to be.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::requesters::Requester;
use crate::clock::Moment;

/// So many requesters, by so many user names, make an outage.
const REQUESTERS: usize = 3;

/// They must be in so many network blocks.
const BLOCKS: usize = 2;

/// The time without any answer that they must have seen: a service that answers a few logins a second has given one.
const SPAN: Duration = Duration::from_secs(1);

/// How long a call without an answer proves something: a user who is active is asked about again in
/// `trusted_for`, 5 minutes by default.
const PROVES_FOR: Duration = Duration::from_secs(300);

/// The calls that are kept; those of credentials that were accepted before are kept apart, so that guesses do not
/// push them out.
const STRANGERS_MAX: usize = 16;
const ACCEPTED_MAX: usize = 64;

/// Of the users accepted in the last day, one in so many must have seen an outage, from [`REQUESTERS`] on up to
/// [`USERS_MAX`], so that the owner of a few closed accounts cannot speak for everyone at night.
const ONE_IN: usize = 10;
const USERS_MAX: usize = 32;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The users that are counted for that; there is no need to tell more than [`ONE_IN`] times [`USERS_MAX`] apart.
const COUNTED_MAX: usize = 512;

/// See the top of this file.
#[derive(Debug, Default)]
pub struct FailedCalls {
    strangers: Calls,
    accepted: Calls,
    /// When each user was accepted last.
    users: HashMap<u64, Moment>,
    /// The network block that a user was accepted from, and whether there was another one.
    block: Option<u64>,
    several_blocks: bool,
}

/// The last ones, and when the first of all began.
#[derive(Debug, Default)]
struct Calls {
    last: VecDeque<FailedCall>,
    began: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct FailedCall {
    who: Requester,
    ended: Moment,
}

/// How many saw an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saw {
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
        let (calls, most) = if who.accepted_before {
            (&mut self.accepted, ACCEPTED_MAX)
        } else {
            (&mut self.strangers, STRANGERS_MAX)
        };
        if calls.last.back().is_none_or(|last| now.since(last.ended) >= PROVES_FOR) {
            calls.began = None;
        }
        calls.began = Some(calls.began.map_or(began, |first| first.min(began)));
        calls.last.retain(|call| call.who != who);
        if calls.last.len() >= most {
            calls.last.pop_front();
        }
        calls.last.push_back(FailedCall { who, ended: now });
    }

    /// The service gave somebody an answer.
    pub fn clear(&mut self) {
        (self.strangers, self.accepted) = (Calls::default(), Calls::default());
    }

    /// It accepted `who`.
    pub fn accepted(&mut self, who: &Requester, now: Moment) {
        let block = *self.block.get_or_insert(who.id.block);
        self.several_blocks |= block != who.id.block;
        if self.users.len() >= COUNTED_MAX && !self.users.contains_key(&who.user) {
            self.users.retain(|_, at| now.since(*at) < DAY);
        }
        if self.users.len() < COUNTED_MAX || self.users.contains_key(&who.user) {
            self.users.insert(who.user, now);
        }
    }

    /// Who saw an outage, if it is one for all: several requesters in several blocks, or several users that had
    /// been accepted, wherever they are.
    pub fn outage(&self, now: Moment) -> Option<Saw> {
        let all = saw(self.strangers.last.iter().chain(&self.accepted.last), now);
        let accepted = saw(self.accepted.last.iter(), now);
        let many = all.requesters >= REQUESTERS && all.users >= REQUESTERS && all.blocks >= BLOCKS;
        let spans = |calls: &Calls| calls.began.is_some_and(|began| now.since(began) >= SPAN);
        let is_proved = accepted.users >= REQUESTERS && spans(&self.accepted);
        let is_outage = is_proved || many && (spans(&self.strangers) || spans(&self.accepted));
        is_outage.then_some(Saw { is_proved, ..all })
    }

    /// Whether enough users saw an outage, other than `user`, who had all been accepted. Where users were accepted
    /// from several blocks, it takes several; where all clients seem to be in one, that is all there can be.
    pub fn seen_by_others(&self, user: u64, now: Moment) -> bool {
        let others = saw(self.accepted.last.iter().filter(|call| call.who.user != user), now);
        let users = self.users.values().filter(|at| now.since(**at) < DAY).count();
        let wanted = (users / ONE_IN).clamp(REQUESTERS, USERS_MAX);
        self.accepted.began.is_some_and(|began| now.since(began) >= SPAN)
            && others.users >= wanted
            && (others.blocks >= BLOCKS || !self.several_blocks)
    }
}

/// Counts those whose calls prove something still.
fn saw<'c>(calls: impl Iterator<Item = &'c FailedCall>, now: Moment) -> Saw {
    let (mut requesters, mut users, mut blocks) = (HashSet::new(), HashSet::new(), HashSet::new());
    for call in calls.filter(|call| now.since(call.ended) < PROVES_FOR) {
        requesters.insert(call.who.tag());
        users.insert(call.who.user);
        blocks.insert(call.who.id.block);
    }
    Saw { requesters: requesters.len(), users: users.len(), blocks: blocks.len(), is_proved: false }
}

#[cfg(test)]
#[path = "failed_calls_tests.rs"]
mod tests;
