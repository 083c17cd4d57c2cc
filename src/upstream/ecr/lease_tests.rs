//! The state of a lease during the lifetime of its token.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn lease() -> (Lease, Clock) {
    let clock = Clock::manual();
    (Lease::new("vendor".into(), clock.clone(), Arc::default()), clock)
}

fn token(text: &str) -> SecretHeaderValue {
    SecretHeaderValue::with_scheme("Basic", text.as_bytes()).unwrap()
}

fn header_value(lease: &Lease) -> Result<String, String> {
    lease.authorization().map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap())
}

#[test]
fn token_is_served_until_just_before_its_expiry() {
    let (lease, clock) = lease();
    assert!(header_value(&lease).unwrap_err().contains("no token was fetched yet"));
    lease.store_token(token("one"), 12 * HOUR, clock.now());
    lease.record_failure("no connection");
    clock.advance(12 * HOUR - EXPIRY_MARGIN - Duration::from_secs(1));
    assert_eq!(header_value(&lease), Ok("Basic one".into()));
    clock.advance(Duration::from_secs(1));
    let why = header_value(&lease).unwrap_err();
    assert!(why.contains("expired") && why.contains("no connection"), "{why}");
    lease.store_token(token("two"), 12 * HOUR, clock.now());
    assert_eq!(header_value(&lease), Ok("Basic two".into()));
}

#[test]
fn lease_state_reports_token_age_and_last_error() {
    let (lease, clock) = lease();
    lease.record_failure("AWS says no");
    assert!(matches!(lease.state(), LeaseState::NoTokenYet(why) if why.contains("AWS says no")));
    lease.store_token(token("one"), 12 * HOUR, clock.now());
    clock.advance(2 * HOUR);
    assert_eq!(
        lease.state(),
        LeaseState::Healthy("upstream vendor: the token is 2h old, and valid for 9h 59m".into())
    );
    lease.record_failure("AWS says no");
    assert!(
        matches!(lease.state(), LeaseState::Degraded(why) if why.contains("valid for 9h") && why.contains("AWS says no"))
    );
    clock.advance(10 * HOUR);
    assert!(matches!(lease.state(), LeaseState::Degraded(why) if why.contains("has expired")));
}

#[tokio::test]
async fn refused_token_is_refetched_at_most_once_a_minute() {
    let (lease, clock) = lease();
    let is_requested = || tokio::time::timeout(Duration::ZERO, lease.wait_for_fetch_request());
    assert!(is_requested().await.is_err());
    lease.report_refusal(1);
    lease.report_refusal(1);
    lease.report_refusal(2);
    assert!(is_requested().await.is_ok());
    assert!(is_requested().await.is_err());
    clock.advance(REFUSAL_FETCH_INTERVAL);
    lease.report_refusal(2);
    assert!(is_requested().await.is_ok());
}

#[test]
fn refusals_of_one_block_back_off_and_do_not_delay_other_blocks() {
    let (mut backoff, mut fetched) = (RefusalBackoff::default(), Vec::new());
    for second in 0..24 * 3600 {
        if backoff.should_fetch(1, Moment::from_millis(second * 1000)) {
            fetched.push(second / 60);
        }
    }
    assert_eq!(fetched, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023]);
    assert!(backoff.should_fetch(2, Moment::from_millis(24 * 3_600_000)));
    // Much later, the delay starts again.
    let later = Moment::from_millis(60 * 3_600_000);
    assert!(backoff.should_fetch(1, later) && !backoff.should_fetch(1, later));
    assert!(backoff.should_fetch(1, later.plus(REFUSAL_FETCH_INTERVAL)));
}

#[test]
fn remembered_refusal_blocks_are_bounded() {
    let mut backoff = RefusalBackoff::default();
    let fetched =
        (0..1000).filter(|n| backoff.should_fetch(u128::from(*n), Moment::from_millis(n * 60_000))).count();
    assert_eq!((fetched, backoff.blocks.len()), (1000, REFUSAL_BLOCKS_MAX));
}

#[test]
fn failed_fetch_after_a_refusal_keeps_the_lease_healthy() {
    let (lease, clock) = lease();
    lease.store_token(token("one"), 12 * HOUR, clock.now());
    lease.record_failure_after_refusal("AWS says no");
    assert!(matches!(lease.state(), LeaseState::Healthy(_)));
    assert_eq!(header_value(&lease), Ok("Basic one".into()));
}

#[test]
fn lease_debug_shows_no_token() {
    let (lease, _) = lease();
    lease.store_token(token("s3cret"), HOUR, Moment::default());
    assert!(!format!("{lease:?} {:?} {:?}", lease.state(), header_value(&lease).is_ok()).contains("s3cret"));
}
