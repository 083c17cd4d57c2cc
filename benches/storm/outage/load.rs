//! Who asks while the service is away: those who are known, new ones, those who guess, and those who
//! were rejected or flushed.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::backend::right;
use crate::client::{Connection, basic, client, question};

/// How many users are known.
pub(crate) const KNOWN: usize = 50;
/// The service took his password once, and then no more.
pub(crate) const REVOKED: &str = "revoked";
/// His answers are forgotten as soon as the service is away.
pub(crate) const FLUSHED: &str = "flushed";
/// The same, a while later.
pub(crate) const FLUSHED_LATER: &str = "flushed-later";

/// Between two requests of one connection: a load, and not a full machine.
const PACE: Duration = Duration::from_millis(3);

/// The n-th known user.
pub(crate) fn known(n: usize) -> String {
    format!("known-{n}")
}

/// Where a user sits: each in a network of his own.
pub(crate) fn home(user: &str) -> Ipv4Addr {
    client(1000 + user.bytes().fold(7_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 60_000))
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Known,
    New,
    Guessing,
    Revoked,
    Flushed,
    FlushedLater,
}

/// Somebody, with a user name and a password, and the network he is in.
type Asking = (Who, String, String, Ipv4Addr);

/// One request and its answer; status 0 is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) who: Who,
    pub(crate) sent: Instant,
    pub(crate) done: Instant,
    pub(crate) status: u16,
    pub(crate) stale: bool,
}

/// When what was certain: each is taken once it had happened, but for `leaving` and `back`, which are
/// taken before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) rejected: Instant,
    pub(crate) leaving: Instant,
    pub(crate) away: Instant,
    pub(crate) flushed: Instant,
    pub(crate) flushed_later: Instant,
    pub(crate) back: Instant,
}

/// All who ask one doorward.
pub(crate) struct Load<'s> {
    pub(crate) stop: Arc<AtomicBool>,
    threads: Vec<ScopedJoinHandle<'s, Fallible<Vec<Record>>>>,
}

impl<'s> Load<'s> {
    /// Starts them; each has one connection.
    pub(crate) fn start(scope: &'s Scope<'s, '_>, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let next: [fn(usize) -> Asking; 5] = [
            |n| right_one(Who::Known, known(n % KNOWN)),
            |n| right_one(Who::Known, known((n * 7 + 3) % KNOWN)),
            |n| right_one(Who::New, format!("new-{n}")),
            |n| (Who::Guessing, known(n % KNOWN), format!("wrong-{n}"), client(1_000_000 + n)),
            |n| match n % 3 {
                0 => right_one(Who::Revoked, REVOKED.to_owned()),
                1 => right_one(Who::Flushed, FLUSHED.to_owned()),
                _ => right_one(Who::FlushedLater, FLUSHED_LATER.to_owned()),
            },
        ];
        let one = |next: fn(usize) -> Asking| {
            let stop = Arc::clone(&stop);
            scope.spawn(move || ask(port, next, &stop))
        };
        let threads = next.map(one).into_iter().collect();
        Self { stop, threads }
    }

    /// All that they met, once they were told to stop.
    pub(crate) fn records(self) -> Fallible<Vec<Record>> {
        let mut all = Vec::new();
        for thread in self.threads {
            all.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(all)
    }
}

fn right_one(who: Who, user: String) -> Asking {
    let (password, home) = (right(&user), home(&user));
    (who, user, password, home)
}

fn ask(port: u16, next: fn(usize) -> Asking, stop: &AtomicBool) -> Fallible<Vec<Record>> {
    let (mut connection, mut records) = (Connection::open(port)?, Vec::new());
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (who, user, password, from) = next(n);
        let request = question(&basic(&user, &password), from);
        let sent = Instant::now();
        let answer = connection.ask(&request);
        let done = Instant::now();
        let (status, stale) =
            answer.as_ref().map_or((0, false), |a| (a.status, a.header("x-auth-stale") == "true"));
        records.push(Record { who, sent, done, status, stale });
        if answer.is_err() {
            connection = Connection::open(port)?;
        }
        thread::sleep(PACE);
    }
    Ok(records)
}
