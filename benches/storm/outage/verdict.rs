//! What was met, as a table, and what of it must not have been.

use std::time::{Duration, Instant};

use super::load::{Record, Times, Who};
use super::{Kind, TRUSTED};
use crate::{ms, quantile};

/// Everybody has to be served again so soon after the service is back: it is looked for once a second,
/// and the last look may hang until the time-out.
const NORMAL_MAX: Duration = Duration::from_millis(3500);

/// So long it may take until enough known users have seen that a service accepts connections and does not answer.
const SEEN_AFTER: Duration = Duration::from_secs(5);

/// For what a clock and a thread that had to wait may be off.
const SLACK: Duration = Duration::from_millis(250);

/// What the columns are.
pub(super) fn heading() {
    println!(
        "  {:7} {:>26}   {:>26}   {:>7} {:>7} {:>7} {:>7}",
        "", "before: p50, p99, max", "away: p50, p99, max", "200", "stale", "401", "503"
    );
}

fn figures(records: &[&Record]) -> String {
    let mut times: Vec<Duration> = records.iter().map(|r| r.done - r.sent).collect();
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|q| ms(quantile(&mut times, q)));
    format!("{p50:8.2} {p99:8.2} {most:8.1}")
}

/// Prints what one doorward did; what of it was wrong.
pub(super) fn tell(kind: Kind, records: &[Record], times: &Times) -> Vec<String> {
    println!("  {}", kind.name());
    for (who, name) in [(Who::Known, "known"), (Who::New, "new"), (Who::Guessing, "guesses")] {
        let of = |within: &dyn Fn(&Record) -> bool| {
            records.iter().filter(|r| r.who == who && within(r)).collect::<Vec<_>>()
        };
        let before = of(&|r| r.done < times.leaving);
        let away = of(&|r| r.sent >= times.away && r.done < times.back);
        let count = |which: &dyn Fn(&&&Record) -> bool| away.iter().filter(which).count();
        println!(
            "  {name:7} {}   {}   {:7} {:7} {:7} {:7}",
            figures(&before),
            figures(&away),
            count(&|r| r.status == 200 && !r.stale),
            count(&|r| r.status == 200 && r.stale),
            count(&|r| r.status == 401),
            count(&|r| r.status == 503),
        );
    }
    let normal = normal(records, times);
    println!("          back to normal {:.0} ms after the service", ms(normal));
    let mut faults = faults(kind, records, times);
    if normal > NORMAL_MAX {
        faults.push(format!("normal only after {normal:?}"));
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", kind.name())).collect()
}

/// When the last right credentials were refused, seen from when the service was back.
fn normal(records: &[Record], times: &Times) -> Duration {
    let served = [Who::Known, Who::New, Who::Flushed, Who::FlushedLater];
    let refused = records.iter().filter(|r| served.contains(&r.who) && r.status != 200);
    let last = refused.map(|r| r.done).filter(|done| *done > times.back).max();
    last.map_or(Duration::ZERO, |last| last - times.back)
}

fn faults(kind: Kind, records: &[Record], times: &Times) -> Vec<String> {
    let mut faults: Vec<String> = records.iter().filter_map(|r| fault(kind, r, times)).collect();
    let met = |which: &dyn Fn(&&Record) -> bool| records.iter().filter(which).count();
    let mut at_least_one = |what: &str, count: usize| {
        if count == 0 {
            faults.push(format!("there was no {what}, so that nothing was shown"));
        }
    };
    let away = |r: &Record| r.sent >= times.away && r.done < times.back;
    at_least_one("right answer before", met(&|r| r.who == Who::Known && r.done < times.leaving));
    at_least_one("refusal of a new user", met(&|r| r.who == Who::New && away(r) && r.status == 503));
    at_least_one("new user after it", met(&|r| r.who == Who::New && r.sent > times.back && r.status == 200));
    at_least_one("guess", met(&|r| r.who == Who::Guessing && away(r)));
    if kind == Kind::Stale {
        at_least_one("stale answer", met(&|r| r.who == Who::Known && r.stale));
        at_least_one("stale answer ahead of a flush", met(&|r| r.who == Who::FlushedLater && r.stale));
    }
    faults
}

/// Whether it came when the outage could not be known yet.
fn is_seen_later(r: &Record, times: &Times) -> bool {
    r.sent >= times.leaving && r.sent < times.away + SEEN_AFTER
}

/// What is wrong with one answer.
fn fault(kind: Kind, r: &Record, times: &Times) -> Option<String> {
    let away = r.sent >= times.away && r.done < times.back;
    let admitted = (200..300).contains(&r.status);
    let after = |since: Instant| r.sent >= since && r.done < times.back;
    let told = |what: &str| {
        let since = r.sent.saturating_duration_since(times.away);
        Some(format!("{:?} {since:?} into it: {} (stale: {}): {what}", r.who, r.status, r.stale))
    };
    if !matches!(r.status, 200 | 401 | 403 | 503) {
        return told("no such answer");
    }
    if r.stale && (kind != Kind::Stale || r.done < times.leaving || r.sent > times.back + super::AFTER / 2) {
        return told("stale, although the service could be asked or nobody said so");
    }
    match r.who {
        Who::Guessing if admitted => told("a guess was admitted"),
        Who::New if admitted && away => told("nobody can have said yes"),
        Who::New if !admitted && r.done < times.leaving => told("refused before anything happened"),
        Who::Revoked if admitted && r.sent >= times.rejected => told("admitted after a rejection"),
        Who::Flushed if admitted && after(times.flushed) => told("admitted after a flush"),
        Who::FlushedLater if admitted && after(times.flushed_later) => told("admitted after a flush"),
        Who::Known | Who::FlushedLater
            if admitted && kind == Kind::Strict && after(times.away + TRUSTED + SLACK) =>
        {
            told("trusted for longer than was said")
        }
        Who::Known | Who::FlushedLater if !admitted && kind == Kind::Stale && is_seen_later(r, times) => None,
        Who::Known if !admitted && kind != Kind::Strict => told("a known user was refused"),
        Who::Known if !admitted && r.done < times.leaving => told("refused before anything happened"),
        Who::FlushedLater if !admitted && kind != Kind::Strict && r.done < times.flushed_later - SLACK => {
            told("a known user was refused")
        }
        _ => None,
    }
}
