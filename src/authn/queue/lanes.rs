//! What a queue holds: the questions that wait, whose they are, and those that are being answered.
//!
//! Turns go by block, within a block by network, and within a network by user. Blocks without recent
//! failures come first; the others have every fourth turn at the least, and at the most all takers but one. Within a
//! network, users without recent failures come first.

use std::collections::{HashMap, VecDeque};

use super::job::{Asker, Job, Shed};
use super::standing::{Failures, Standing};
use super::turns::{CLEAR, ClearFirst, FAILED, Line, Turns};
use crate::clock::Moment;

/// One turn in so many is one of the worst standing that waits, so that nobody waits for ever.
const TURN_OF_THE_LAST: u32 = 4;

/// So many failures of a network, beyond its successes, leave it all places: mistyped passwords and old
/// configurations of a large office.
const BORNE_OF_NETWORK: f64 = 10.0;

/// The same for a block.
const BORNE_OF_BLOCK: f64 = 40.0;

/// How many places somebody of many failures is left.
const PLACES_LEAST: usize = 4;

/// The questions of one block.
type OfBlock<W> = Turns<OfNetwork<W>>;

/// The questions of one network.
type OfNetwork<W> = ClearFirst<Turns<VecDeque<Job<W>>>>;

/// The room that there is for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A place that nobody has.
    Free,
    /// That of a question that has to go for it, of whoever has more of them or stands worse.
    Yielded,
    /// That of a user of the same network who failed of late.
    YieldedInNetwork,
}

/// How many questions there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// That wait, in all.
    pub(super) all: usize,
    /// Outstanding of one block in good standing.
    pub(super) block: usize,
    /// Outstanding of one network in good standing.
    pub(super) network: usize,
    /// Outstanding of one user from one network.
    pub(super) user: usize,
    /// Of blocks with recent failures that are being answered at one time.
    pub(super) at_work_of_failing: usize,
}

/// See the top of this file.
pub(super) struct Lanes<W> {
    /// By the standing of their blocks.
    waiting: [Turns<OfBlock<W>>; Standing::COUNT],
    /// Questions outstanding, waiting or being answered.
    blocks: Counts,
    networks: Counts,
    users: Counts,
    /// Being answered, of blocks with recent failures.
    failing_at_work: Vec<Asker>,
    failures_of_blocks: Failures,
    failures_of_networks: Failures,
    failures_of_users: Failures,
    turns: u32,
    pub(super) closed: bool,
}

impl<W> Default for Lanes<W> {
    fn default() -> Self {
        Self {
            waiting: [Turns::default(), Turns::default(), Turns::default()],
            blocks: Counts::default(),
            networks: Counts::default(),
            users: Counts::default(),
            failing_at_work: Vec::new(),
            failures_of_blocks: Failures::default(),
            failures_of_networks: Failures::default(),
            failures_of_users: Failures::default(),
            turns: 0,
            closed: false,
        }
    }
}

/// How many there are of each.
#[derive(Debug, Default)]
struct Counts(HashMap<u64, usize>);

impl Counts {
    fn of(&self, tag: u64) -> usize {
        self.0.get(&tag).copied().unwrap_or_default()
    }

    fn add(&mut self, tag: u64) {
        *self.0.entry(tag).or_default() += 1;
    }

    fn take(&mut self, tag: u64) {
        if let Some(count) = self.0.get_mut(&tag) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&tag);
            }
        }
    }
}

/// What is left of `places` to somebody with `failures`, of which so many are borne. It shrinks with their
/// square: of a guesser who has filled his places, few are hashed before the rest is taken from him.
fn share(places: usize, failures: f64, borne: f64) -> usize {
    if failures <= borne {
        return places;
    }
    let share = places as f64 * (borne / failures).powi(2);
    (share as usize).max(PLACES_LEAST).min(places)
}

impl<W> Lanes<W> {
    /// Questions that wait.
    pub(super) fn queued(&self) -> usize {
        self.waiting.iter().map(Turns::waiting).sum()
    }

    /// How a block stands: while it has questions waiting, as it did when they were put where they are.
    fn standing(&self, block: u64, now: Moment) -> Standing {
        let placed = Standing::ALL.into_iter().find(|one| self.lane(*one).waiting_of(block) > 0);
        placed.unwrap_or_else(|| self.failures_of_blocks.standing(block, now))
    }

    fn lane(&self, standing: Standing) -> &Turns<OfBlock<W>> {
        let [good, doubtful, failing] = &self.waiting;
        match standing {
            Standing::Good => good,
            Standing::Doubtful => doubtful,
            Standing::Failing => failing,
        }
    }

    fn lane_mut(&mut self, standing: Standing) -> &mut Turns<OfBlock<W>> {
        let [good, doubtful, failing] = &mut self.waiting;
        match standing {
            Standing::Good => good,
            Standing::Doubtful => doubtful,
            Standing::Failing => failing,
        }
    }

    /// The owners of a question of `asker`, the outermost first.
    fn owners(&self, asker: Asker, now: Moment) -> [u64; 4] {
        let user = match self.failures_of_users.standing(asker.user, now) {
            Standing::Good => CLEAR,
            Standing::Doubtful | Standing::Failing => FAILED,
        };
        [asker.block, asker.network, user, asker.user]
    }

    /// Whether the share of `asker`'s network or block is taken.
    fn is_share_taken(&self, asker: Asker, places: &Places, now: Moment) -> bool {
        let of_network = self.failures_of_networks.count(asker.network, now);
        let of_block = self.failures_of_blocks.count(asker.block, now);
        self.networks.of(asker.network) >= share(places.network, of_network, BORNE_OF_NETWORK)
            || self.blocks.of(asker.block) >= share(places.block, of_block, BORNE_OF_BLOCK)
    }

    /// The room that there is for a question of `asker`.
    pub(super) fn room(&self, asker: Asker, places: &Places, now: Moment) -> Result<Room, Shed> {
        if self.closed || self.users.of(asker.user) >= places.user {
            return Err(Shed);
        }
        let (standing, owners) = (self.standing(asker.block, now), self.owners(asker, now));
        if self.is_share_taken(asker, places, now) {
            let [_, _, user, _] = owners;
            let of_network =
                self.lane(standing).line(asker.block).and_then(|block| block.line(asker.network));
            let yields = user == CLEAR && of_network.is_some_and(OfNetwork::has_failed);
            return if yields { Ok(Room::YieldedInNetwork) } else { Err(Shed) };
        }
        let from = |standing| self.lane(standing).waiting();
        // Half of the places for all that have failed of late, and half of these for those with many failures.
        let taken = match standing {
            Standing::Good => false,
            Standing::Doubtful => {
                from(Standing::Doubtful) + from(Standing::Failing) >= places.all.div_ceil(2)
            }
            Standing::Failing => from(Standing::Failing) >= places.all.div_ceil(4),
        };
        if !taken && self.queued() < places.all {
            return Ok(Room::Free);
        }
        let worse = Standing::ALL.into_iter().filter(|other| *other > standing);
        let yields = self.lane(standing).yields(&owners) || worse.map(from).sum::<usize>() > 0;
        if yields { Ok(Room::Yielded) } else { Err(Shed) }
    }

    /// Takes a question in, for which there is room, and gives the one back that has to go for it.
    pub(super) fn enter(&mut self, job: Job<W>, room: Room, now: Moment) -> Option<Job<W>> {
        let (asker, standing) = (job.asker, self.standing(job.asker.block, now));
        let owners = self.owners(asker, now);
        let displaced = match room {
            Room::Free => None,
            Room::Yielded => self.displace(&owners, standing),
            Room::YieldedInNetwork => {
                let of_network =
                    |block: &mut OfBlock<W>| block.take_from(asker.network, OfNetwork::pop_failed);
                self.lane_mut(standing).take_from(asker.block, of_network)
            }
        };
        displaced.iter().for_each(|job| self.release(job.asker));
        self.blocks.add(asker.block);
        self.networks.add(asker.network);
        self.users.add(asker.user);
        self.lane_mut(standing).push(&owners, job);
        displaced
    }

    fn displace(&mut self, owners: &[u64], standing: Standing) -> Option<Job<W>> {
        let worst = Standing::ALL.into_iter().rev().filter(|other| *other > standing);
        let worst = worst.filter(|other| self.lane(*other).waiting() > 0).max();
        match worst {
            Some(worst) => self.lane_mut(worst).pop_latest(),
            None => self.lane_mut(standing).pop_yielding(owners),
        }
    }

    fn release(&mut self, asker: Asker) {
        self.blocks.take(asker.block);
        self.networks.take(asker.network);
        self.users.take(asker.user);
    }

    /// Takes the question whose turn it is out, to be answered.
    pub(super) fn take(&mut self, places: &Places) -> Option<Job<W>> {
        let may_fail = self.failing_at_work.len() < places.at_work_of_failing;
        let mut order = Standing::ALL;
        if self.turns % TURN_OF_THE_LAST == TURN_OF_THE_LAST - 1 {
            order.reverse();
        }
        for standing in order.into_iter().filter(|standing| may_fail || *standing == Standing::Good) {
            let Some(job) = self.lane_mut(standing).pop() else { continue };
            if standing != Standing::Good {
                self.failing_at_work.push(job.asker);
            }
            self.turns = self.turns.wrapping_add(1);
            return Some(job);
        }
        None
    }

    /// Gives the place of a question back that was taken. `failed` says what came of it, where that counts;
    /// what its network has waiting beyond the share that is left to it then is handed out.
    pub(super) fn settle(
        &mut self,
        asker: Asker,
        failed: Option<bool>,
        places: &Places,
        now: Moment,
    ) -> Vec<Job<W>> {
        self.release(asker);
        if let Some(at) = self.failing_at_work.iter().position(|other| *other == asker) {
            self.failing_at_work.swap_remove(at);
        }
        let Some(failed) = failed else { return Vec::new() };
        self.failures_of_users.add(asker.user, failed, now);
        self.failures_of_networks.add(asker.network, failed, now);
        self.failures_of_blocks.add(asker.block, failed, now);
        self.move_block(asker.block, now);
        let mut beyond = Vec::new();
        while failed && self.is_beyond(asker, places, now) {
            let standing = self.standing(asker.block, now);
            let latest = |line: &mut OfBlock<W>| line.pop_latest_of(asker.network);
            let Some(job) = self.lane_mut(standing).take_from(asker.block, latest) else { break };
            self.release(job.asker);
            beyond.push(job);
        }
        beyond
    }

    fn is_beyond(&self, asker: Asker, places: &Places, now: Moment) -> bool {
        let of_network = self.failures_of_networks.count(asker.network, now);
        let of_block = self.failures_of_blocks.count(asker.block, now);
        self.networks.of(asker.network) > share(places.network, of_network, BORNE_OF_NETWORK)
            || self.blocks.of(asker.block) > share(places.block, of_block, BORNE_OF_BLOCK)
    }

    /// Has the questions of a block wait where it stands now.
    fn move_block(&mut self, block: u64, now: Moment) {
        let (was, is) = (self.standing(block, now), self.failures_of_blocks.standing(block, now));
        if was != is
            && let Some(line) = self.lane_mut(was).remove(block)
        {
            self.lane_mut(is).insert(block, line);
        }
    }

    /// Takes everything out that waits, for good.
    pub(super) fn close(&mut self) -> Vec<Job<W>> {
        self.closed = true;
        let mut all = Vec::new();
        for lane in &mut self.waiting {
            all.extend(std::iter::from_fn(|| lane.pop()));
        }
        all.iter().for_each(|job| self.release(job.asker));
        all
    }
}
