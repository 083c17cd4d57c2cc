//! The times of fetches, with manual time and given random numbers.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> ClockReading {
    ClockReading { monotonic: Moment::from_millis(seconds * 1000), unix_seconds: 1_700_000_000 + seconds }
}

/// Returns the first second at which a fetch is due.
fn due(schedule: &FetchSchedule, from: u64, has_valid_token: bool) -> u64 {
    (from..from + 100_000).find(|second| schedule.is_due(at(*second), has_valid_token)).unwrap()
}

#[test]
fn first_fetch_is_due_at_once() {
    assert!(FetchSchedule::default().is_due(at(0), false));
}

#[test]
fn token_is_renewed_before_half_its_lifetime_with_jitter() {
    let renewed = |random| {
        let mut schedule = FetchSchedule::default();
        schedule.record_fetch(at(0), 12 * HOUR, None, random);
        due(&schedule, 0, true)
    };
    assert_eq!(renewed(0.0), 12 * 3600 * 35 / 100);
    assert_eq!(renewed(1.0), 6 * 3600);
    assert!(renewed(0.3) < renewed(0.6));
}

#[test]
fn shorter_credentials_lifetime_limits_the_renewal_interval() {
    let mut schedule = FetchSchedule::default();
    schedule.record_fetch(at(0), 12 * HOUR, Some(HOUR), 1.0);
    assert_eq!(due(&schedule, 0, true), 1800);
    schedule.record_fetch(at(0), 12 * HOUR, Some(Duration::ZERO), 1.0);
    assert_eq!(due(&schedule, 0, true), 30);
}

#[test]
fn retry_delay_doubles_and_has_a_lower_cap_without_a_token() {
    let waits = |has_valid_token| {
        let (mut schedule, mut now) = (FetchSchedule::default(), 0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            schedule.record_failure(at(now), None, 1.0);
            let next = due(&schedule, now, has_valid_token);
            waits.push(next - now);
            now = next;
        }
        waits
    };
    assert_eq!(waits(true), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!(waits(false), [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30]);
}

#[test]
fn retry_after_is_honored_up_to_a_maximum() {
    let waits = |requested, has_valid_token| {
        let mut schedule = FetchSchedule::default();
        schedule.record_failure(at(0), Some(Duration::from_secs(requested)), 0.0);
        due(&schedule, 0, has_valid_token)
    };
    assert_eq!((waits(0, false), waits(20, false), waits(86_400, false)), (1, 20, 30));
    assert_eq!((waits(60, true), waits(86_400, true)), (60, 300));
}

#[test]
fn expired_token_shortens_the_retry_delay() {
    let mut schedule = FetchSchedule::default();
    for _ in 0..10 {
        schedule.record_failure(at(0), None, 1.0);
    }
    assert!(!schedule.is_due(at(40), true));
    assert!(schedule.is_due(at(40), false));
}

#[test]
fn date_jump_in_either_direction_does_not_delay_renewal() {
    let mut schedule = FetchSchedule::default();
    schedule.record_fetch(at(0), 12 * HOUR, None, 1.0);
    let slept = ClockReading { monotonic: at(60).monotonic, unix_seconds: at(0).unix_seconds + 13 * 3600 };
    assert!(schedule.is_due(slept, true));
    let set_back =
        ClockReading { monotonic: at(7 * 3600).monotonic, unix_seconds: at(0).unix_seconds - 86_400 };
    assert!(schedule.is_due(set_back, true));
}

#[test]
fn short_lifetime_or_absurd_date_fetches_at_most_every_30_seconds() {
    let mut schedule = FetchSchedule::default();
    schedule.record_fetch(at(0), Duration::from_secs(16), None, 0.0);
    assert_eq!(due(&schedule, 1, false), 30);
    let never = |seconds: u64| ClockReading { monotonic: at(seconds).monotonic, unix_seconds: u64::MAX };
    schedule.record_fetch(never(0), 12 * HOUR, None, 0.0);
    assert!(!schedule.is_due(never(29), true) && schedule.is_due(never(30), true));
}

#[test]
fn early_fetch_is_not_allowed_during_the_retry_delay() {
    let mut schedule = FetchSchedule::default();
    schedule.record_fetch(at(0), 12 * HOUR, None, 0.5);
    assert!(schedule.is_fetch_allowed(at(60), true));
    schedule.record_failure(at(60), Some(Duration::from_secs(300)), 1.0);
    assert!(!schedule.is_fetch_allowed(at(120), true) && schedule.is_fetch_allowed(at(360), true));
}
