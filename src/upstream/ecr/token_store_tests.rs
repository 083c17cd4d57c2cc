//! The state of a token store during the lifetime of its token.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn token_store() -> (TokenStore, Clock) {
    let clock = Clock::manual();
    (TokenStore::new("vendor".into(), clock.clone(), Arc::default()), clock)
}

fn token(text: &str) -> SecretHeaderValue {
    SecretHeaderValue::with_scheme("Basic", text.as_bytes()).unwrap()
}

fn header_value(token_store: &TokenStore) -> Result<String, String> {
    token_store.authorization().map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap())
}

#[test]
fn token_is_served_until_just_before_its_expiry() {
    let (token_store, clock) = token_store();
    assert!(header_value(&token_store).unwrap_err().contains("no token was fetched yet"));
    token_store.replace_token(token("one"), 12 * HOUR, clock.now());
    token_store.record_failure("no connection");
    clock.advance(12 * HOUR - EXPIRY_MARGIN - Duration::from_secs(1));
    assert_eq!(header_value(&token_store), Ok("Basic one".into()));
    clock.advance(Duration::from_secs(1));
    let why = header_value(&token_store).unwrap_err();
    assert!(why.contains("expired") && why.contains("no connection"), "{why}");
    token_store.replace_token(token("two"), 12 * HOUR, clock.now());
    assert_eq!(header_value(&token_store), Ok("Basic two".into()));
}

#[test]
fn token_state_reports_token_age_and_last_error() {
    let (token_store, clock) = token_store();
    token_store.record_failure("AWS says no");
    assert!(matches!(token_store.state(), TokenState::NoTokenYet(why) if why.contains("AWS says no")));
    token_store.replace_token(token("one"), 12 * HOUR, clock.now());
    clock.advance(2 * HOUR);
    assert_eq!(
        token_store.state(),
        TokenState::Healthy("upstream vendor: the token is 2h old, and valid for 9h 59m".into())
    );
    token_store.record_failure("AWS says no");
    assert!(
        matches!(token_store.state(), TokenState::Degraded(why) if why.contains("valid for 9h") && why.contains("AWS says no"))
    );
    clock.advance(10 * HOUR);
    assert!(matches!(token_store.state(), TokenState::Degraded(why) if why.contains("has expired")));
}

#[tokio::test]
async fn refused_token_is_refetched_at_most_once_a_minute() {
    let (token_store, clock) = token_store();
    let is_requested = || tokio::time::timeout(Duration::ZERO, token_store.wait_for_fetch_request());
    assert!(is_requested().await.is_err());
    token_store.report_refusal(1);
    token_store.report_refusal(1);
    token_store.report_refusal(2);
    assert!(is_requested().await.is_ok());
    assert!(is_requested().await.is_err());
    clock.advance(REFUSAL_FETCH_INTERVAL);
    token_store.report_refusal(2);
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
fn failed_fetch_after_a_refusal_keeps_the_token_healthy() {
    let (token_store, clock) = token_store();
    token_store.replace_token(token("one"), 12 * HOUR, clock.now());
    token_store.record_failure_after_refusal("AWS says no");
    assert!(matches!(token_store.state(), TokenState::Healthy(_)));
    assert_eq!(header_value(&token_store), Ok("Basic one".into()));
}

#[test]
fn token_store_debug_shows_no_token() {
    let (token_store, _) = token_store();
    token_store.replace_token(token("s3cret"), HOUR, Moment::default());
    assert!(
        !format!("{token_store:?} {:?} {:?}", token_store.state(), header_value(&token_store).is_ok())
            .contains("s3cret")
    );
}
