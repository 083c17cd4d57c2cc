//! What a lease gives out over the life of its token.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn lease() -> (Lease, Clock) {
    let clock = Clock::manual();
    (Lease::new("vendor".into(), clock.clone(), Arc::default()), clock)
}

fn token(text: &str) -> Authorization {
    Authorization::with_scheme("Basic", text.as_bytes()).unwrap()
}

fn given(lease: &Lease) -> Result<String, String> {
    lease.authorization().map(|one| String::from_utf8(one.value().to_vec()).unwrap())
}

#[test]
fn a_token_is_given_until_just_before_its_end_and_then_never() {
    let (lease, clock) = lease();
    assert!(given(&lease).unwrap_err().contains("no token yet"));
    lease.renew(token("one"), 12 * HOUR, clock.now());
    lease.fail("no connection");
    clock.advance(12 * HOUR - EXPIRY_MARGIN - Duration::from_secs(1));
    assert_eq!(given(&lease), Ok("Basic one".into()));
    clock.advance(Duration::from_secs(1));
    let why = given(&lease).unwrap_err();
    assert!(why.contains("expired") && why.contains("no connection"), "{why}");
    lease.renew(token("two"), 12 * HOUR, clock.now());
    assert_eq!(given(&lease), Ok("Basic two".into()));
}

#[test]
fn readiness_says_how_old_the_token_is_and_what_is_wrong() {
    let (lease, clock) = lease();
    lease.fail("AWS says no");
    assert!(matches!(lease.standing(), Standing::Never(why) if why.contains("AWS says no")));
    lease.renew(token("one"), 12 * HOUR, clock.now());
    clock.advance(2 * HOUR);
    assert_eq!(
        lease.standing(),
        Standing::Well("upstream vendor: its token is 2h old, and good for 9h 59m".into())
    );
    lease.fail("AWS says no");
    assert!(
        matches!(lease.standing(), Standing::Degraded(why) if why.contains("good for 9h") && why.contains("AWS says no"))
    );
    clock.advance(10 * HOUR);
    assert!(matches!(lease.standing(), Standing::Degraded(why) if why.contains("has expired")));
}

#[tokio::test]
async fn a_refused_token_is_wanted_anew_once_a_minute_at_the_most() {
    let (lease, clock) = lease();
    let wanted = || tokio::time::timeout(Duration::ZERO, lease.wanted());
    assert!(wanted().await.is_err());
    lease.refused(1);
    lease.refused(1);
    lease.refused(2);
    assert!(wanted().await.is_ok());
    assert!(wanted().await.is_err());
    clock.advance(REFUSED_EVERY);
    lease.refused(2);
    assert!(wanted().await.is_ok());
}

#[test]
fn one_client_that_is_refused_all_day_has_a_few_tokens_fetched_and_hides_no_other_refusal() {
    let (mut refused, mut fetched) = (Refused::default(), Vec::new());
    for second in 0..24 * 3600 {
        if refused.fetches(1, Moment::from_millis(second * 1000)) {
            fetched.push(second / 60);
        }
    }
    assert_eq!(fetched, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023]);
    assert!(refused.fetches(2, Moment::from_millis(24 * 3_600_000)));
    // Another matter, much later.
    let later = Moment::from_millis(60 * 3_600_000);
    assert!(refused.fetches(1, later) && !refused.fetches(1, later));
    assert!(refused.fetches(1, later.plus(REFUSED_EVERY)));
}

#[test]
fn the_blocks_whose_refusals_are_remembered_are_bounded() {
    let mut refused = Refused::default();
    let fetched =
        (0..1000).filter(|n| refused.fetches(u128::from(*n), Moment::from_millis(n * 60_000))).count();
    assert_eq!((fetched, refused.blocks.len()), (1000, REFUSED_BLOCKS));
}

#[test]
fn a_fetch_that_fails_after_a_refusal_is_no_fault_of_the_token_in_force() {
    let (lease, clock) = lease();
    lease.renew(token("one"), 12 * HOUR, clock.now());
    lease.fail_refused("AWS says no");
    assert!(matches!(lease.standing(), Standing::Well(_)));
    assert_eq!(given(&lease), Ok("Basic one".into()));
}

#[test]
fn a_lease_shows_no_token() {
    let (lease, _) = lease();
    lease.renew(token("s3cret"), HOUR, Moment::default());
    assert!(!format!("{lease:?} {:?} {:?}", lease.standing(), given(&lease).is_ok()).contains("s3cret"));
}
