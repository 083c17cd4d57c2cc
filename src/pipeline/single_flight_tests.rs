//! What becomes of an answer while somebody flushes.

use zeroize::Zeroizing;

use super::*;
use crate::authn::Identity;
use crate::identity::Username;
use crate::pipeline::cache::CacheLimits;
use crate::pipeline::cache_key::CacheKeyMaker;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn rejection_removes_accepted_answer_even_if_check_was_flushed() {
    let framed = format!("{}alice:x", "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH)).into_bytes();
    let key = CacheKeyMaker::new([3; 32])
        .check_key_for_test(&mut Credentials::new(Zeroizing::new(framed)).unwrap());
    let asked = CacheEntryId { key, user: b"alice" };
    let trust = AnswerLifetime { cache_ttl: Some(Duration::ZERO), stale_ttl: Some(HOUR) };
    let accepted =
        Outcome::Accepted(Arc::new(Identity::new(Username::parse(b"alice").unwrap(), "api".into())));
    let now = Moment::default();
    for (answer, is_left) in [(&accepted, true), (&Outcome::Rejected, false), (&Outcome::UnknownUser, false)]
    {
        let limits = CacheLimits { entries_max: 9, idle_timeout: HOUR, rejection_ttl: HOUR };
        let cache = AnswerCache::new(limits);
        cache.store_outcome(&asked, &accepted, trust, now);
        let (_, end) = watch::channel(None);
        let flight = InFlightCheck {
            deadline_millis: Arc::default(),
            result: end,
            user: b"alice"[..].into(),
            is_flushed: AtomicBool::new(true),
        };
        store_answer(&cache, &asked, &flight, answer, trust, now);
        assert_eq!(cache.stale_answer(&key, now).is_some(), is_left, "{answer:?}");
        assert!(cache.get(&key, 1, now).is_none(), "a flushed flight leaves nothing: {answer:?}");
    }
}
