//! When the next fetch is due, by a clock and a chance that the test sets.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Instant {
    Instant { moment: Moment::from_millis(seconds * 1000), date: 1_700_000_000 + seconds }
}

/// The first second at which it is due.
fn due(schedule: &Schedule, from: u64, is_good: bool) -> u64 {
    (from..from + 100_000).find(|second| schedule.is_due(at(*second), is_good)).unwrap()
}

#[test]
fn the_first_fetch_is_due_at_once() {
    assert!(Schedule::default().is_due(at(0), false));
}

#[test]
fn a_token_is_renewed_before_half_its_life_and_not_by_all_at_the_same_time() {
    let renewed = |chance| {
        let mut schedule = Schedule::default();
        schedule.fetched(at(0), 12 * HOUR, None, chance);
        due(&schedule, 0, true)
    };
    assert_eq!(renewed(0.0), 12 * 3600 * 35 / 100);
    assert_eq!(renewed(1.0), 6 * 3600);
    assert!(renewed(0.3) < renewed(0.6));
}

#[test]
fn what_the_credentials_have_left_counts_where_it_is_less() {
    let mut schedule = Schedule::default();
    schedule.fetched(at(0), 12 * HOUR, Some(HOUR), 1.0);
    assert_eq!(due(&schedule, 0, true), 1800);
    schedule.fetched(at(0), 12 * HOUR, Some(Duration::ZERO), 1.0);
    assert_eq!(due(&schedule, 0, true), 30);
}

#[test]
fn failures_wait_longer_each_time_and_never_long_without_a_token() {
    let waits = |is_good| {
        let (mut schedule, mut now) = (Schedule::default(), 0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            schedule.failed(at(now), None, 1.0);
            let next = due(&schedule, now, is_good);
            waits.push(next - now);
            now = next;
        }
        waits
    };
    assert_eq!(waits(true), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!(waits(false), [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30]);
}

#[test]
fn who_is_asked_to_wait_waits_and_not_for_ever() {
    let waits = |asked, is_good| {
        let mut schedule = Schedule::default();
        schedule.failed(at(0), Some(Duration::from_secs(asked)), 0.0);
        due(&schedule, 0, is_good)
    };
    assert_eq!((waits(0, false), waits(20, false), waits(86_400, false)), (1, 20, 30));
    assert_eq!((waits(60, true), waits(86_400, true)), (60, 300));
}

#[test]
fn a_token_that_ends_while_a_long_wait_is_on_is_asked_for_soon() {
    let mut schedule = Schedule::default();
    for _ in 0..10 {
        schedule.failed(at(0), None, 1.0);
    }
    assert!(!schedule.is_due(at(40), true));
    assert!(schedule.is_due(at(40), false));
}

#[test]
fn a_jump_of_the_date_and_a_date_that_is_set_back_are_both_found() {
    let mut schedule = Schedule::default();
    schedule.fetched(at(0), 12 * HOUR, None, 1.0);
    let slept = Instant { moment: at(60).moment, date: at(0).date + 13 * 3600 };
    assert!(schedule.is_due(slept, true));
    let set_back = Instant { moment: at(7 * 3600).moment, date: at(0).date - 86_400 };
    assert!(schedule.is_due(set_back, true));
}

#[test]
fn tokens_with_a_short_life_and_a_date_that_is_nonsense_make_no_flood() {
    let mut schedule = Schedule::default();
    schedule.fetched(at(0), Duration::from_secs(16), None, 0.0);
    assert_eq!(due(&schedule, 1, false), 30);
    let never = |seconds: u64| Instant { moment: at(seconds).moment, date: u64::MAX };
    schedule.fetched(never(0), 12 * HOUR, None, 0.0);
    assert!(!schedule.is_due(never(29), true) && schedule.is_due(never(30), true));
}

#[test]
fn nothing_is_fetched_out_of_turn_while_aws_gives_nothing() {
    let mut schedule = Schedule::default();
    schedule.fetched(at(0), 12 * HOUR, None, 0.5);
    assert!(schedule.permits(at(60), true));
    schedule.failed(at(60), Some(Duration::from_secs(300)), 1.0);
    assert!(!schedule.permits(at(120), true) && schedule.permits(at(360), true));
}
