//! Tests of the answer of a check that is flushed while it is in flight.

use zeroize::Zeroizing;

use super::*;
use crate::authn::Identity;
use crate::identity::Username;
use crate::pipeline::cache::CacheLimits;
use crate::pipeline::cache_key::CacheKeyMaker;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn rejection_removes_accepted_answer_even_if_check_was_flushed() {
    let buffer = format!("{}alice:x", "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH)).into_bytes();
    let key = CacheKeyMaker::new([3; 32])
        .check_key_for_test(&mut Credentials::new(Zeroizing::new(buffer)).unwrap());
    let entry_id = CacheEntryId { key, user: b"alice" };
    let lifetime = AnswerLifetime { cache_ttl: Some(Duration::ZERO), stale_ttl: Some(HOUR) };
    let accepted =
        Outcome::Accepted(Arc::new(Identity::new(Username::parse(b"alice").unwrap(), "api".into())));
    let now = Moment::default();
    for (outcome, is_kept) in [(&accepted, true), (&Outcome::Rejected, false), (&Outcome::UnknownUser, false)]
    {
        let limits = CacheLimits { entries_max: 9, idle_timeout: HOUR, rejection_ttl: HOUR };
        let cache = AnswerCache::new(limits);
        cache.store_outcome(&entry_id, &accepted, lifetime, now);
        let (_, result) = watch::channel(None);
        let check = InFlightCheck {
            deadline_millis: Arc::default(),
            result,
            user: b"alice"[..].into(),
            is_flushed: AtomicBool::new(true),
        };
        store_answer(&cache, &entry_id, &check, outcome, lifetime, now);
        assert_eq!(cache.stale_answer(&key, now).is_some(), is_kept, "{outcome:?}");
        assert!(cache.get(&key, 1, now).is_none(), "a flushed check stores no answer: {outcome:?}");
    }
}
