//! The gate's rules, with a clock that the test moves and a hash pool that the test works.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::task::JoinHandle;

use super::*;
use crate::authn::hash_pool::HashPool;
use crate::authn::htpasswd::Htpasswd;
use crate::authn::htpasswd::file::{HtpasswdParseOptions, parse};
use crate::authn::queue;
use crate::metrics::HashCheckLabel;
use crate::request::header::RequestHeader;
use crate::request::subrequest::ClientAddress;

/// alice: "password", bob: "password"; bcrypt at its lowest cost.
const USERS: &str = "alice:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK
bob:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK
";

pub(super) const HOME: &str = "192.0.2.1";
pub(super) const AWAY: &str = "198.51.100.1";

pub(super) struct TestPipeline {
    pub(super) pipeline: Arc<Pipeline>,
    pool: Arc<HashPool>,
    htpasswd: Arc<Htpasswd>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    /// The one worker's, so that every rule is tried with it.
    worker_cache: Arc<Mutex<WorkerCache>>,
}

fn parse_users(text: &str) -> crate::authn::htpasswd::file::UserIndex {
    parse(
        text.as_bytes().to_vec(),
        &HtpasswdParseOptions { fingerprint_key: [7; 32], ..HtpasswdParseOptions::default() },
    )
    .users
}

pub(super) fn test_pipeline() -> TestPipeline {
    test_pipeline_with(None)
}

fn test_pipeline_with(keys: Option<Arc<crate::authn::api_key::ApiKeys>>) -> TestPipeline {
    let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::default()));
    let htpasswd = Arc::new(Htpasswd::new(parse_users(USERS)));
    let limits = queue::job::QueueLimits { total: 6, network_share: 4, user_share: 2 };
    let pool = Arc::new(HashPool::new(limits, clock.clone(), Arc::clone(&metrics)));
    let minute = Duration::from_secs(60);
    let gate = Arc::new(Pipeline::new(PipelineDependencies {
        authenticators: AuthenticatorChain::htpasswd_only(Arc::clone(&htpasswd), Arc::clone(&pool))
            .with_api_keys(keys),
        policy: Arc::default(),
        upstreams: None,
        token_issuer: None,
        cache: cache::CacheLimits {
            entries_max: 100,
            idle_timeout: 10 * minute,
            rejection_ttl: Duration::from_secs(10),
        },
        throttle: throttle::ThrottleLimits {
            user_failures: 3,
            network_failures: 5,
            block_user_failures: 6,
            block_failures: 10,
            cached_answer_attempts: 4,
            window: 3 * minute,
            entries_max: 64,
        },
        prefixes: NetworkPrefixes { ipv4: 32, ipv6: 64 },
        check_timeout: Duration::from_secs(5),
        process_key: [9; 32],
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
    }));
    TestPipeline { pipeline: gate, pool, htpasswd, metrics, clock, worker_cache: Arc::default() }
}

impl TestPipeline {
    /// Asks, and leaves the check, if there is one, in the queue.
    pub(super) async fn ask(&self, user: &str, password: &str, from: &str) -> JoinHandle<String> {
        let gate = Arc::clone(&self.pipeline);
        let header = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let (from, memo) = (from.to_owned(), Arc::clone(&self.worker_cache));
        let asked = tokio::spawn(async move {
            let subrequest = Subrequest {
                authorization: RequestHeader::Once(header.as_bytes()),
                client: ClientAddress::Text(from.as_bytes()),
                ..Subrequest::default()
            };
            let opened = gate.evaluate(&subrequest, &mut memo.lock().unwrap());
            let verdict = match opened {
                Evaluation::Decided(verdict) => verdict,
                Evaluation::CheckNeeded(check) => check.evaluate(&subrequest).await,
            };
            format!("{} {}", verdict.name(), verdict.reason_name()).trim().to_owned()
        });
        tokio::task::yield_now().await;
        asked
    }

    /// Puts another file in force.
    pub(super) fn set_users(&self, text: &str) {
        self.htpasswd.replace(parse_users(text));
    }

    /// The same, with every format allowed.
    pub(super) fn set_users_of_any_format(&self, text: &str) -> Arc<crate::authn::htpasswd::file::UserIndex> {
        let allowed = crate::authn::hash::AllowedFormats { plain: true };
        let rules = HtpasswdParseOptions { fingerprint_key: [7; 32], allowed_formats: allowed };
        self.htpasswd.replace(parse(text.as_bytes().to_vec(), &rules).users);
        self.htpasswd.users()
    }

    /// Asks what is answered without a check.
    pub(super) async fn answer_at_once(&self, user: &str, password: &str, from: &str) -> String {
        self.ask(user, password, from).await.await.unwrap()
    }

    /// Does every check that waits.
    pub(super) fn run_queued_checks(&self) {
        while self.pool.run_next() {}
    }

    /// Asks, and does what there is to be done.
    pub(super) async fn answer(&self, user: &str, password: &str, from: &str) -> String {
        let asked = self.ask(user, password, from).await;
        self.run_queued_checks();
        asked.await.unwrap()
    }

    pub(super) fn check_count(&self) -> u64 {
        ["accepted", "refused"]
            .iter()
            .map(|r| self.metrics.hash_checks.get_or_create(&HashCheckLabel { result: r }).get())
            .sum()
    }
}

#[tokio::test]
async fn correct_password_is_allowed_and_wrong_password_is_challenged() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "wrong", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.answer("carol", "password", HOME).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn cached_answer_costs_no_hash_and_wrong_password_is_challenged() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "password", AWAY).await, "allow");
    assert_eq!(house.check_count(), 1);
    assert_eq!(house.answer("alice", "passwore", HOME).await, "challenge wrong_credentials");
    assert_eq!(house.answer("bob", "passwore", HOME).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn concurrent_equal_requests_cost_one_hash() {
    let house = test_pipeline();
    let mut asked = Vec::new();
    for n in 0..200 {
        asked.push(house.ask("alice", "password", if n % 2 == 0 { HOME } else { AWAY }).await);
    }
    house.run_queued_checks();
    for one in asked {
        assert_eq!(one.await.unwrap(), "allow");
    }
    assert_eq!(house.check_count(), 1);
}

#[tokio::test]
async fn disconnect_of_first_request_does_not_cancel_joined_requests() {
    let house = test_pipeline();
    let leader = house.ask("alice", "password", HOME).await;
    let follower = house.ask("alice", "password", AWAY).await;
    leader.abort();
    house.run_queued_checks();
    assert_eq!(follower.await.unwrap(), "allow");
    assert_eq!(house.check_count(), 1);
}

#[tokio::test]
async fn edited_htpasswd_line_invalidates_only_that_users_answer() {
    let house = test_pipeline();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    house.htpasswd.replace(parse_users(&USERS.replace("alice:", "# alice:")));
    assert_eq!(house.answer("alice", "password", HOME).await, "challenge wrong_credentials");
    let hashes = house.check_count();
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    assert_eq!(house.check_count(), hashes);
    house.htpasswd.replace(parse_users(USERS));
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test]
async fn answer_for_old_htpasswd_line_is_not_used_for_new_line() {
    let house = test_pipeline();
    let before = house.ask("alice", "password", HOME).await;
    house.htpasswd.replace(parse_users("alice:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    let after = house.ask("alice", "password", HOME).await;
    house.run_queued_checks();
    assert_eq!(before.await.unwrap(), "allow");
    assert_eq!(after.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(house.answer("alice", "password", HOME).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn idle_answer_is_evicted_after_idle_timeout() {
    let house = test_pipeline();
    house.answer("alice", "password", HOME).await;
    house.clock.advance(Duration::from_secs(599));
    house.answer("alice", "password", HOME).await;
    house.clock.advance(Duration::from_secs(599));
    house.answer("alice", "password", HOME).await;
    assert_eq!(house.check_count(), 1);
    house.clock.advance(Duration::from_secs(600));
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.check_count(), 2);
}

#[tokio::test]
async fn flush_invalidates_cached_and_in_flight_answers_of_one_user_or_all() {
    let house = test_pipeline();
    house.answer("alice", "password", HOME).await;
    house.answer("bob", "password", HOME).await;
    house.pipeline.flush(Some(b"alice"));
    house.answer("bob", "password", HOME).await;
    assert_eq!(house.check_count(), 2);
    house.answer("alice", "password", HOME).await;
    assert_eq!(house.check_count(), 3);
    house.pipeline.flush(None);
    let under_way = house.ask("alice", "password", HOME).await;
    house.pipeline.flush(Some(b"alice"));
    house.run_queued_checks();
    assert_eq!(under_way.await.unwrap(), "allow");
    house.answer("alice", "password", HOME).await;
    assert_eq!(house.check_count(), 5);
}

/// Whether the worker would take the short way for this request.
fn is_in_worker_cache(house: &TestPipeline, password: &str, from: &str) -> bool {
    let header = format!("Basic {}", BASE64_STANDARD.encode(format!("alice:{password}")));
    let subrequest = Subrequest {
        authorization: RequestHeader::Once(header.as_bytes()),
        client: ClientAddress::Text(from.as_bytes()),
        ..Subrequest::default()
    };
    let sight = house.pipeline.request_fingerprint(&subrequest).unwrap();
    house.pipeline.lookup_worker_cache(&sight, &house.worker_cache.lock().unwrap()).is_some()
}

#[tokio::test]
async fn worker_cache_hits_only_for_identical_requests() {
    let house = test_pipeline();
    house.answer("alice", "password", HOME).await;
    assert!(!is_in_worker_cache(&house, "password", HOME), "a check leaves no note");
    house.answer("alice", "password", HOME).await;
    assert!(is_in_worker_cache(&house, "password", HOME));
    assert!(!is_in_worker_cache(&house, "passwore", HOME));
    assert!(!is_in_worker_cache(&house, "password", AWAY));
}

#[tokio::test]
async fn worker_cache_entry_ends_with_reload_flush_idle_or_throttle() {
    let house = test_pipeline();
    let noted = async || {
        house.answer("alice", "password", HOME).await;
        house.answer("alice", "password", HOME).await;
        assert!(is_in_worker_cache(&house, "password", HOME));
    };
    noted().await;
    house.htpasswd.replace(parse_users(&USERS.replace("alice:", "# alice:")));
    assert!(!is_in_worker_cache(&house, "password", HOME));
    house.htpasswd.replace(parse_users(USERS));
    noted().await;
    house.pipeline.flush(Some(b"alice"));
    assert!(!is_in_worker_cache(&house, "password", HOME));
    noted().await;
    house.clock.advance(Duration::from_secs(600));
    assert!(!is_in_worker_cache(&house, "password", HOME));
    noted().await;
    for wrong in ["a", "b", "c"] {
        house.answer("alice", wrong, HOME).await;
    }
    assert!(!is_in_worker_cache(&house, "password", HOME), "the throttle is asked on the short way too");
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test]
async fn valid_api_key_is_never_throttled_and_invalid_ones_count_as_failures() {
    use crate::authn::api_key::format::generate_api_key;
    use crate::authn::api_key::{self, ApiKeys};
    let (secret, id, digest) = generate_api_key().unwrap();
    let line = format!(r#"{{"id":"{}","hash":"{digest}","owner":"alice","name":"ci"}}"#, id.as_str());
    let rules = api_key::ApiKeyRules { username: "token".into(), is_owner_line_required: true };
    let file = api_key::file::parse(line.as_bytes(), &"keys".into(), None).index;
    let house = test_pipeline_with(Some(Arc::new(ApiKeys::new(file, rules))));
    assert_eq!(house.answer("alice", &secret, HOME).await, "allow");
    assert_eq!(house.answer("bob", &secret, HOME).await, "challenge invalid_api_key");
    for _ in 0..3 {
        assert_eq!(
            house.answer("alice", &generate_api_key().unwrap().0, HOME).await,
            "challenge invalid_api_key"
        );
    }
    assert_eq!(house.answer("alice", &generate_api_key().unwrap().0, HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", "password", HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", &secret, HOME).await, "allow");
    assert_eq!(house.check_count(), 0);
    // Whoever is taken out of the file has no keys any more, at once.
    house.htpasswd.replace(parse_users(&USERS.replace("alice:", "# alice:")));
    assert_eq!(house.answer("alice", &secret, AWAY).await, "challenge invalid_api_key");
    house.htpasswd.replace(parse_users(&USERS.replace("alice:", "alice:!")));
    assert_eq!(house.answer("alice", &secret, AWAY).await, "challenge invalid_api_key");
    house.htpasswd.replace(parse_users(USERS));
    assert_eq!(house.answer("token", &secret, AWAY).await, "allow");
}
