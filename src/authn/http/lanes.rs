//! The questions that wait for a service, in two queues: those of requesters whose calls got no answer lately come
//! last, and take at most half of the connections. So calls that an attacker has hang do not starve others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::Inquiry;
use super::circuit::Circuit;
use super::circuit::requesters::Requester;
use crate::authn::queue::{Displaced, End, Figures, Job, Limits, Queue};

/// How often a slow call looks whether others wait for its connection.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A call is slow if it takes so many times as long as calls that end well.
const SLOW: u32 = 4;

/// A question in a queue.
pub struct Waiting {
    /// What is asked.
    pub inquiry: Inquiry,
    /// Whom for.
    pub who: Requester,
    /// While it waits in the first queue.
    counted: Option<Counted>,
}

/// Which queue a question was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Of most requesters.
    First,
    /// Of those whose calls got no answer lately.
    Suspect,
}

/// Counts one as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is told of a question that finds no place.
pub type Refused = Box<dyn FnOnce(End) + Send>;

/// See the top of this file.
pub struct Lanes {
    first: Queue<Waiting>,
    suspect: Queue<Waiting>,
    /// Questions in the first queue, and calls that take long.
    waiting: Arc<AtomicUsize>,
    slow: Arc<AtomicUsize>,
    connections: usize,
}

impl Lanes {
    /// With empty queues.
    pub fn new(limits: Limits, figures: &Figures, connections: usize) -> Self {
        Self {
            first: Queue::new(limits, figures.clone()),
            suspect: Queue::new(limits, figures.clone()),
            waiting: Arc::default(),
            slow: Arc::default(),
            connections,
        }
    }

    fn of(&self, lane: Lane) -> &Queue<Waiting> {
        match lane {
            Lane::First => &self.first,
            Lane::Suspect => &self.suspect,
        }
    }

    /// The most connections that suspect requesters, and slow calls while others wait, may take: half of them, and
    /// the only one.
    pub fn part(&self) -> usize {
        (self.connections / 2).max(1)
    }

    /// Whether a question of `who`'s would find no place now.
    pub fn is_full_for(&self, who: &Requester, circuit: &Circuit) -> bool {
        self.first.is_full_for(who.id) || self.suspect.is_full_for(who.id) && circuit.is_suspect(who)
    }

    /// Queues a question, or gives back who is told of its end; see [`Queue::submit`].
    pub fn submit(&self, job: Job<(Inquiry, Requester)>, circuit: &Circuit) -> Result<Displaced, Refused> {
        let Job { asker, deadline, work: (inquiry, who), end } = job;
        let lane = if circuit.is_suspect(&who) { Lane::Suspect } else { Lane::First };
        let counted = (lane == Lane::First).then(|| Counted::new(&self.waiting));
        let work = Waiting { inquiry, who, counted };
        self.of(lane).submit(Job { asker, deadline, work, end }).map_err(|job| job.end)
    }

    /// The next question, and the queue that it was in; waits for one. `None` once they are closed. Only some
    /// callers, as many as [`Lanes::part`], take questions of suspect requesters.
    pub async fn next(&self, takes_suspect: bool, circuit: &Circuit) -> Option<(Job<Waiting>, Lane)> {
        loop {
            let (mut job, lane) = if takes_suspect {
                tokio::select! {
                    biased;
                    job = self.first.next() => (job?, Lane::First),
                    job = self.suspect.next() => (job?, Lane::Suspect),
                }
            } else {
                (self.first.next().await?, Lane::First)
            };
            job.work.counted = None;
            // Its requester, or its block, may have become suspect while it waited.
            if lane == Lane::Suspect || !circuit.is_suspect(&job.work.who) {
                return Some((job, lane));
            }
            self.first.settle(job.asker);
            match self.suspect.submit(job) {
                Ok(displaced) => displaced.tell(),
                Err(job) => (job.end)(End::Dropped),
            }
        }
    }

    /// Gives back the place of a question that was taken; see [`Queue::settle`].
    pub fn settle(&self, job: &Requester, lane: Lane) {
        self.of(lane).settle(job.id);
    }

    /// Takes no more questions; see [`Queue::close`].
    pub fn close(&self) {
        self.first.close();
        self.suspect.close();
    }

    /// Returns when a call that began now has to end for others: it is slow, more than a part of the connections
    /// are taken by such calls, and questions wait. `typical` is what a call takes that ends well. Without this, an
    /// attacker with a fresh network block for each call could have every connection hang.
    pub async fn give_way(&self, typical: Duration) {
        sleep_until(Instant::now() + typical * SLOW).await;
        let _slow = Counted::new(&self.slow);
        while self.waiting.load(Ordering::Acquire) == 0 || self.slow.load(Ordering::Acquire) <= self.part() {
            sleep(LOOK_EVERY).await;
        }
    }

    /// The next question, if there is one; its place is given back.
    #[cfg(test)]
    pub fn try_next(&self) -> Option<Job<Waiting>> {
        self.first.try_next().inspect(|job| self.first.settle(job.asker))
    }
}
