//! A bounded, fair queue of questions that take their time: for the hash pool, and for each HTTP
//! authenticator.
//!
//! Blocks of networks take turns, and when the queue is full, a block with many questions in it gives a
//! place to one with few. So somebody who guesses delays a log-in from elsewhere by no more than his
//! own turn. Only who commands as many blocks as the queue has places can keep newcomers out; those
//! whose answers are cached don't notice.

mod job;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

pub use self::job::{Asker, Displaced, End, Figures, Job, Limits, Shed};

/// The queue and its rules. Whoever takes from it is the caller's.
pub struct Queue<W> {
    lanes: Mutex<Lanes<W>>,
    /// For takers that are threads.
    ready: Condvar,
    /// For takers that are tasks.
    notify: Notify,
    /// Queued and at work, so that an idle queue costs a request one load.
    outstanding: AtomicUsize,
    limits: Limits,
    figures: Figures,
}

struct Lanes<W> {
    of: HashMap<u64, Lane<W>>,
    /// The blocks that have a question queued, the next one first.
    turns: VecDeque<u64>,
    queued: usize,
    closed: bool,
}

/// The questions of one block of networks.
struct Lane<W> {
    queued: VecDeque<Job<W>>,
    at_work: Vec<Asker>,
}

impl<W> Lane<W> {
    fn outstanding(&self) -> usize {
        self.queued.len() + self.at_work.len()
    }

    fn count(&self, wanted: impl Fn(&Asker) -> bool) -> usize {
        self.queued.iter().map(|job| &job.asker).chain(&self.at_work).filter(|asker| wanted(asker)).count()
    }
}

impl<W> Queue<W> {
    /// An empty queue.
    pub fn new(limits: Limits, figures: Figures) -> Self {
        let lanes = Lanes { of: HashMap::new(), turns: VecDeque::new(), queued: 0, closed: false };
        Self {
            lanes: Mutex::new(lanes),
            ready: Condvar::new(),
            notify: Notify::new(),
            outstanding: AtomicUsize::new(0),
            limits,
            figures,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<W>> {
        // No code panics while it holds the lock; were it so, the queue is still whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a question for `asker` would find no place now.
    pub fn is_full_for(&self, asker: Asker) -> bool {
        if self.outstanding.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.place(&self.lock(), asker).is_err()
    }

    /// Finds out whether there is a place: `Ok(Some(block))` if that block has to give one up.
    fn place(&self, lanes: &Lanes<W>, asker: Asker) -> Result<Option<u64>, Shed> {
        let own = lanes.of.get(&asker.block);
        let of_network = own.map_or(0, |lane| lane.count(|other| other.network == asker.network));
        let of_user = own.map_or(0, |lane| lane.count(|other| other.user == asker.user));
        let share_taken = of_network >= self.limits.network_share || of_user >= self.limits.user_share;
        if share_taken || lanes.closed {
            return Err(Shed);
        }
        if lanes.queued < self.limits.queue {
            return Ok(None);
        }
        let longest = lanes.of.iter().max_by_key(|(_, lane)| lane.queued.len());
        match longest {
            Some((block, lane)) if lane.queued.len() > own.map_or(0, Lane::outstanding) + 1 => {
                Ok(Some(*block))
            }
            _ => Err(Shed),
        }
    }

    /// Queues a question, or gives it back at once. Another's question that had to give up its place is
    /// handed out, for the caller to tell when he holds no lock that its end may want.
    pub fn submit(&self, job: Job<W>) -> Result<Displaced, Job<W>> {
        let mut lanes = self.lock();
        let displaced = match self.place(&lanes, job.asker) {
            Err(Shed) => return Err(job),
            Ok(None) => None,
            Ok(Some(block)) => lanes.of.get_mut(&block).and_then(|lane| lane.queued.pop_back()),
        };
        match &displaced {
            Some(_) => {
                lanes.queued -= 1;
                self.figures.dropped.inc();
            }
            None => {
                self.outstanding.fetch_add(1, Ordering::AcqRel);
                self.figures.waiting.inc();
            }
        }
        let block = job.asker.block;
        let lane =
            lanes.of.entry(block).or_insert_with(|| Lane { queued: VecDeque::new(), at_work: Vec::new() });
        let first = lane.queued.is_empty();
        lane.queued.push_back(job);
        lanes.queued += 1;
        if first {
            lanes.turns.push_back(block);
        }
        drop(lanes);
        self.ready.notify_one();
        self.notify.notify_one();
        Ok(Displaced::new(displaced.map(|job| job.end)))
    }

    /// The next question; waits for one. `None` once the queue is closed. For a thread.
    pub fn wait(&self) -> Option<Job<W>> {
        let mut lanes = self.lock();
        loop {
            if let Some(job) = self.take(&mut lanes) {
                return Some(job);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.ready.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, for a task.
    pub async fn next(&self) -> Option<Job<W>> {
        loop {
            {
                let mut lanes = self.lock();
                let job = self.take(&mut lanes);
                // Two questions that come while nobody waits leave one permit, and so does the close.
                if lanes.queued > 0 || lanes.closed {
                    self.notify.notify_one();
                }
                if job.is_some() || lanes.closed {
                    return job;
                }
            }
            // A question that came since the look has left a permit.
            self.notify.notified().await;
        }
    }

    /// The next question, if there is one.
    pub fn try_next(&self) -> Option<Job<W>> {
        self.take(&mut self.lock())
    }

    fn take(&self, lanes: &mut Lanes<W>) -> Option<Job<W>> {
        while let Some(block) = lanes.turns.pop_front() {
            let Some(lane) = lanes.of.get_mut(&block) else { continue };
            let Some(job) = lane.queued.pop_front() else { continue };
            lane.at_work.push(job.asker);
            if !lane.queued.is_empty() {
                lanes.turns.push_back(block);
            }
            lanes.queued -= 1;
            self.figures.waiting.dec();
            return Some(job);
        }
        None
    }

    /// Gives back the place of a question that was taken, and is answered.
    pub fn settle(&self, asker: Asker) {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.of.get_mut(&asker.block) {
            if let Some(at) = lane.at_work.iter().position(|at_work| *at_work == asker) {
                lane.at_work.swap_remove(at);
            }
            if lane.outstanding() == 0 {
                lanes.of.remove(&asker.block);
            }
        }
        drop(lanes);
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
    }

    /// Takes no more questions, drops those that wait, and lets the takers go when they have done what
    /// they are doing.
    pub fn close(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        lanes.turns.clear();
        let waiting: Vec<Job<W>> = lanes.of.values_mut().flat_map(|lane| lane.queued.drain(..)).collect();
        lanes.queued = 0;
        drop(lanes);
        self.ready.notify_all();
        self.notify.notify_one();
        for job in waiting {
            self.outstanding.fetch_sub(1, Ordering::AcqRel);
            self.figures.waiting.dec();
            (job.end)(End::Dropped);
        }
    }

    /// How many questions were dropped unasked, for takers that drop one.
    pub fn dropped(&self) -> &Counter {
        &self.figures.dropped
    }
}
