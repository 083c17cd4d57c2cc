//! The throttle: how many different wrong answers a client network may collect.
//!
//! Failures are counted twice, by (user, client network) and by client network. Each count leaks
//! away evenly over the window, so who is throttled gets one more try each time that one failure
//! has leaked. The same wrong password again is no new failure: a CI job with a stale password
//! must not lock its team out. A success clears nothing, or an attacker with an account of his own
//! could start anew whenever he liked.
//!
//! Who is throttled may still ask for answers that his own network has had before. So that a guest
//! there can't try a million passwords against them, what he tries is counted too, generously; past
//! that count the user gets no answer from that network, until some of it has leaked.
//!
//! A question that could not be asked counts for its user, but not for the network: whom a service's
//! outage keeps out are all at once many, and the network would be shut for everybody else in it. There too
//! a generous count keeps anybody from trying passwords against the cache meanwhile.
//!
//! Nothing here is shared between networks, so nobody can lock out people elsewhere. The tables
//! have a fixed number of places; where one is needed, the record with the fewest failures goes.

pub mod table;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use self::table::{Rate, Table};
use crate::authn::queue::Asker;
use crate::clock::{Clock, Moment};
use crate::metrics::Metrics;
use crate::network::ClientNetwork;

/// Tells the same question from itself where it could not be asked.
const UNASKED: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many failures are borne.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Different failures of one user from one client network within the window.
    pub user_failures: u32,
    /// Different failures from one client network within the window, whoever the user.
    pub network_failures: u32,
    /// Different wrong passwords of one user that a throttled client network may try against the
    /// answers it has had before.
    pub familiar_failures: u32,
    /// The time in which a full count leaks away.
    pub window: Duration,
    /// Records in each of the three tables.
    pub entries: usize,
}

/// Counts failures and says who has had too many.
pub struct Throttle {
    users: Table,
    networks: Table,
    /// What was tried while throttled, by user and network.
    probes: Table,
    hasher: RandomState,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Throttle {
    /// With empty tables.
    pub fn new(limits: Limits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            users: Table::new(limits.entries, Rate::new(limits.user_failures, limits.window)),
            networks: Table::new(limits.entries, Rate::new(limits.network_failures, limits.window)),
            probes: Table::new(limits.entries, Rate::new(limits.familiar_failures, limits.window)),
            hasher: RandomState::new(),
            clock,
            metrics,
        }
    }

    /// The tags under which `user` from `network` is counted, here and in the hash queue: equal for
    /// equal ones, and beyond a client's power to collide.
    pub fn asker(&self, network: ClientNetwork, user: &[u8]) -> Asker {
        let block = self.hasher.hash_one(network.block());
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u128(network.number());
        let network = hasher.finish();
        // The network's number has a fixed length, so the user name needs no frame.
        hasher.write(user);
        Asker { block, network, user: hasher.finish() }
    }

    /// How long `asker` has to wait until he may try again; `None` if he may now.
    pub fn wait(&self, asker: Asker) -> Option<Duration> {
        if self.users.is_empty() {
            return None;
        }
        let now = self.clock.now();
        let network = self.networks.wait(asker.network, now).max(self.probes.wait(asker.network, now));
        self.users.wait(asker.user, now).max(network)
    }

    /// Lets `asker` look for the answer named `question` (`CacheKey::short`). Whatever becomes of
    /// it counts as a failure, unless the ticket is told of a success: a question that was shed or
    /// given up has told the asker as much as a refusal, namely that no good answer was at hand.
    pub fn admit(self: &Arc<Self>, asker: Asker, question: u64) -> Ticket {
        Ticket { throttle: Arc::clone(self), asker, question, end: TicketEnd::Failed }
    }

    /// Whether `asker`, who is throttled or finds no place, may ask for an answer that his network
    /// has had before. Each try that is none is counted by [`Throttle::probed`]: his own network's
    /// answers can be guessed at too, if by nobody else, and no hash slows him down.
    pub fn may_probe(&self, asker: Asker) -> bool {
        self.probes.is_empty() || self.probes.wait(asker.user, self.clock.now()).is_none()
    }

    /// Counts a question that was no answer which the network has had before.
    pub fn probed(&self, asker: Asker, question: u64) {
        self.probes.count(asker.user, Some(question), self.clock.now());
    }

    /// Takes the failure of a question back that turned out to be right: its check had been dropped,
    /// or its asker had hung up.
    fn forgive(&self, asker: Asker, question: u64) {
        let now = self.clock.now();
        if self.users.is_empty() {
            return;
        }
        if self.users.forgive(asker.user, Some(question), now) {
            self.networks.forgive(asker.network, None, now);
        }
        self.users.forgive(asker.user, Some(question ^ UNASKED), now);
    }

    fn unasked(&self, asker: Asker, question: u64, now: Moment) {
        if self.users.count(asker.user, Some(question ^ UNASKED), now) {
            self.probes.count(asker.network, Some(question), now);
            self.metrics.throttle_failures.inc();
        }
    }

    /// Each time counts, since each has cost the authenticator a call that got no answer.
    fn unanswered(&self, asker: Asker, now: Moment) {
        self.users.count(asker.user, None, now);
        self.networks.count(asker.network, None, now);
        self.metrics.throttle_failures.inc();
    }

    fn fail(&self, asker: Asker, question: u64, now: Moment) {
        if self.users.count(asker.user, Some(question), now) {
            self.networks.count(asker.network, None, now);
            self.metrics.throttle_failures.inc();
        }
    }

    /// Records in all tables.
    pub fn len(&self) -> usize {
        self.users.len() + self.networks.len() + self.probes.len()
    }

    /// Whether nobody has failed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One admitted question. Dropping it counts a failure; [`Ticket::succeed`] does not.
#[must_use = "dropping a ticket counts a failure"]
pub struct Ticket {
    throttle: Arc<Throttle>,
    asker: Asker,
    question: u64,
    end: TicketEnd,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TicketEnd {
    /// Nothing good, as far as is known.
    Failed,
    /// A good answer.
    Succeeded,
    /// Nobody could be asked.
    Unasked,
    /// An authenticator gave it no answer, and answered others meanwhile.
    Unanswered,
}

impl Ticket {
    /// The answer was good.
    pub fn succeed(mut self) {
        self.end = TicketEnd::Succeeded;
        self.throttle.forgive(self.asker, self.question);
    }

    /// Nobody could be asked.
    pub fn unasked(mut self) {
        self.end = TicketEnd::Unasked;
    }

    /// An authenticator gave it no answer, and answered others meanwhile.
    pub fn unanswered(mut self) {
        self.end = TicketEnd::Unanswered;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let now = self.throttle.clock.now();
        match self.end {
            TicketEnd::Succeeded => {}
            TicketEnd::Failed => self.throttle.fail(self.asker, self.question, now),
            TicketEnd::Unasked => self.throttle.unasked(self.asker, self.question, now),
            TicketEnd::Unanswered => self.throttle.unanswered(self.asker, now),
        }
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
