//! The service that an http authenticator asks goes away under load, in three ways, and comes back.
//!
//! Beside each other, against the same service: a doorward that trusts an answer for an hour; one that
//! trusts it for two seconds, and after that gives the last one while the service can't be asked; and
//! one that trusts it for two seconds and no longer. Ends with an error if anybody was admitted or
//! refused who should not have been.

mod load;
mod verdict;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use self::load::{FLUSHED, FLUSHED_LATER, KNOWN, Load, REVOKED, Record, Times};
use crate::Fallible;
use crate::backend::{Backend, Mode};
use crate::client::{Connection, basic, question};
use crate::doorward::Doorward;

/// For so long everything is well, then the service is away, and then it is back.
const BEFORE: Duration = Duration::from_secs(3);
const AWAY: Duration = Duration::from_millis(9500);
const AFTER: Duration = Duration::from_secs(5);
/// Into the time when it is away, another user is flushed.
const FLUSH_AT: Duration = Duration::from_secs(6);
/// How long an answer is trusted where that is short.
pub(crate) const TRUSTED: Duration = Duration::from_secs(2);

/// What a doorward has been told to do while the service is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Trusting,
    Stale,
    Strict,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Trusting, Self::Stale, Self::Strict];

    fn name(self) -> &'static str {
        match self {
            Self::Trusting => "trusted_for 1h",
            Self::Stale => "trusted_for 2s, stale_if_unavailable 1h",
            Self::Strict => "trusted_for 2s",
        }
    }

    fn settings(self, port: u16) -> String {
        let (trusted, stale) = match self {
            Self::Trusting => ("1h", "0s"),
            Self::Stale => ("2s", "1h"),
            Self::Strict => ("2s", "0s"),
        };
        format!(
            "[cache]\nrejection_ttl = \"1s\"\n\n[[authenticator]]\ntype = \"http\"\nname = \"api\"\n\
             url = \"http://127.0.0.1:{port}/check\"\nheaders = {{ Authorization = \"Basic {{basic}}\" }}\n\
             connect_timeout = \"500ms\"\ntimeout = \"1s\"\ntrusted_for = \"{trusted}\"\n\
             stale_if_unavailable = \"{stale}\"\n"
        )
    }
}

/// Runs all three ways, and prints their tables.
pub(crate) fn run() -> Fallible<()> {
    println!(
        "Known users are {KNOWN}, asking all the time; new ones come with the right password; others guess."
    );
    println!("The service's time-out is 1 s. Times in ms.");
    let ways = [
        ("the service is killed: connections are closed, and refused", Mode::Away),
        ("the service hangs: it takes questions, and answers none", Mode::Hanging),
        ("the service answers 500", Mode::Failing),
    ];
    let mut faults = Vec::new();
    for (title, mode) in ways {
        println!("\n{title}");
        verdict::heading();
        for (kind, records, times) in one(mode)? {
            faults
                .extend(verdict::tell(kind, &records, &times).into_iter().map(|f| format!("{mode:?}: {f}")));
        }
    }
    faults.truncate(20);
    if faults.is_empty() {
        println!("\nnobody was admitted or refused who should not have been");
        return Ok(());
    }
    Err(format!("wrong:\n  {}", faults.join("\n  ")).into())
}

/// One user's log-in: the status.
fn log_in(doorward: &Doorward, user: &str) -> Fallible<u16> {
    let password = crate::backend::right(user);
    let request = question(&basic(user, &password), load::home(user));
    Ok(Connection::open(doorward.port)?.ask(&request)?.status)
}

/// Has each of these answered with 200 once, so that it is known.
fn meet(doorward: &Doorward) -> Fallible<()> {
    let known = (0..KNOWN).map(load::known);
    for user in known.chain([REVOKED, FLUSHED, FLUSHED_LATER].map(str::to_owned)) {
        match log_in(doorward, &user)? {
            200 => {}
            status => return Err(format!("{user} is answered with {status} before anything happened").into()),
        }
    }
    Ok(())
}

/// Has the service's refusal of a user arrive: by itself where answers are trusted for a short time.
fn reject(doorward: &Doorward, kind: Kind) -> Fallible<()> {
    if kind == Kind::Trusting {
        doorward.flush_user(REVOKED)?;
    }
    let end = Instant::now() + Duration::from_secs(10);
    while log_in(doorward, REVOKED)? != 401 {
        if Instant::now() > end {
            return Err("a user whose password was revoked is still admitted after 10 s".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What one doorward did, and when what happened.
type Told = (Kind, Vec<Record>, Times);

fn one(mode: Mode) -> Fallible<Vec<Told>> {
    let mut backend = Backend::start()?;
    let start = |kind: Kind| Ok((kind, Doorward::start_with(&kind.settings(backend.port()))?));
    let doorwards = Kind::ALL.into_iter().map(start).collect::<Fallible<Vec<_>>>()?;
    doorwards.iter().try_for_each(|(_, doorward)| meet(doorward))?;
    thread::scope(|scope| {
        let loads: Vec<Load<'_>> =
            doorwards.iter().map(|(_, doorward)| Load::start(scope, doorward.port)).collect();
        let played = play(&mut backend, &doorwards, mode);
        loads.iter().for_each(|load| load.stop.store(true, Ordering::Relaxed));
        let records = loads.into_iter().map(Load::records).collect::<Fallible<Vec<_>>>()?;
        let times = played?;
        Ok(doorwards.iter().zip(records).map(|((kind, _), records)| (*kind, records, times)).collect())
    })
}

/// What happens to the service, while the load goes on.
fn play(backend: &mut Backend, doorwards: &[(Kind, Doorward)], mode: Mode) -> Fallible<Times> {
    let began = Instant::now();
    backend.revoke(REVOKED);
    doorwards.iter().try_for_each(|(kind, doorward)| reject(doorward, *kind))?;
    thread::sleep(BEFORE.saturating_sub(began.elapsed()));
    let rejected = Instant::now();
    let leaving = Instant::now();
    backend.set(mode)?;
    let away = Instant::now();
    doorwards.iter().try_for_each(|(_, doorward)| doorward.flush_user(FLUSHED))?;
    let flushed = Instant::now();
    thread::sleep(FLUSH_AT);
    doorwards.iter().try_for_each(|(_, doorward)| doorward.flush_user(FLUSHED_LATER))?;
    let flushed_later = Instant::now();
    thread::sleep(AWAY.saturating_sub(away.elapsed()));
    let back = Instant::now();
    backend.set(Mode::Up)?;
    thread::sleep(AFTER);
    Ok(Times { rejected, leaving, away, flushed, flushed_later, back })
}
