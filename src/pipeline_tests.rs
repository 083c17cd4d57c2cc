//! Tests of the pipeline, with a manual clock and a hash pool that the test runs itself.

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

/// Users alice and bob, both with the password "password"; bcrypt with the lowest cost.
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
    /// The cache of one worker, so that every test runs with it.
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

fn test_pipeline_with(api_keys: Option<Arc<crate::authn::api_key::ApiKeys>>) -> TestPipeline {
    let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::default()));
    let htpasswd = Arc::new(Htpasswd::new(parse_users(USERS)));
    let limits = queue::job::QueueLimits { total: 6, network_share: 4, user_share: 2 };
    let pool = Arc::new(HashPool::new(limits, clock.clone(), Arc::clone(&metrics)));
    let minute = Duration::from_secs(60);
    let pipeline = Arc::new(Pipeline::new(PipelineDependencies {
        authenticators: AuthenticatorChain::htpasswd_only(Arc::clone(&htpasswd), Arc::clone(&pool))
            .with_api_keys(api_keys),
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
    TestPipeline { pipeline, pool, htpasswd, metrics, clock, worker_cache: Arc::default() }
}

impl TestPipeline {
    /// Sends a request. A check that it needs stays in the queue.
    pub(super) async fn send(&self, user: &str, password: &str, from: &str) -> JoinHandle<String> {
        let pipeline = Arc::clone(&self.pipeline);
        let header = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let (from, worker_cache) = (from.to_owned(), Arc::clone(&self.worker_cache));
        let response = tokio::spawn(async move {
            let subrequest = Subrequest {
                authorization: RequestHeader::Once(header.as_bytes()),
                client: ClientAddress::Text(from.as_bytes()),
                ..Subrequest::default()
            };
            let evaluation = pipeline.evaluate(&subrequest, &mut worker_cache.lock().unwrap());
            let verdict = match evaluation {
                Evaluation::Decided(verdict) => verdict,
                Evaluation::CheckNeeded(check) => check.evaluate(&subrequest).await,
            };
            format!("{} {}", verdict.name(), verdict.reason_name()).trim().to_owned()
        });
        tokio::task::yield_now().await;
        response
    }

    /// Replaces the htpasswd file.
    pub(super) fn set_users(&self, text: &str) {
        self.htpasswd.replace(parse_users(text));
    }

    /// Replaces the htpasswd file, with every hash format allowed.
    pub(super) fn set_users_of_any_format(&self, text: &str) -> Arc<crate::authn::htpasswd::file::UserIndex> {
        let allowed_formats = crate::authn::hash::AllowedFormats { plain: true };
        let options = HtpasswdParseOptions { fingerprint_key: [7; 32], allowed_formats };
        self.htpasswd.replace(parse(text.as_bytes().to_vec(), &options).users);
        self.htpasswd.users()
    }

    /// Sends a request that needs no check, and returns its verdict.
    pub(super) async fn answer_at_once(&self, user: &str, password: &str, from: &str) -> String {
        self.send(user, password, from).await.await.unwrap()
    }

    /// Runs every check in the queue.
    pub(super) fn run_queued_checks(&self) {
        while self.pool.run_next() {}
    }

    /// Sends a request, runs the queued checks, and returns the verdict.
    pub(super) async fn answer(&self, user: &str, password: &str, from: &str) -> String {
        let response = self.send(user, password, from).await;
        self.run_queued_checks();
        response.await.unwrap()
    }

    pub(super) fn check_count(&self) -> u64 {
        ["accepted", "rejected"]
            .into_iter()
            .map(|result| self.metrics.hash_checks.get_or_create(&HashCheckLabel { result }).get())
            .sum()
    }
}

#[tokio::test]
async fn correct_password_is_allowed_and_wrong_password_is_challenged() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.answer("alice", "wrong", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("carol", "password", HOME).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn cached_answer_costs_no_hash_and_wrong_password_is_challenged() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.answer("alice", "password", AWAY).await, "allow");
    assert_eq!(setup.check_count(), 1);
    assert_eq!(setup.answer("alice", "passwore", HOME).await, "challenge wrong_credentials");
    assert_eq!(setup.answer("bob", "passwore", HOME).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn concurrent_equal_requests_cost_one_hash() {
    let setup = test_pipeline();
    let mut responses = Vec::new();
    for n in 0..200 {
        responses.push(setup.send("alice", "password", if n % 2 == 0 { HOME } else { AWAY }).await);
    }
    setup.run_queued_checks();
    for response in responses {
        assert_eq!(response.await.unwrap(), "allow");
    }
    assert_eq!(setup.check_count(), 1);
}

#[tokio::test]
async fn disconnect_of_first_request_does_not_cancel_joined_requests() {
    let setup = test_pipeline();
    let first = setup.send("alice", "password", HOME).await;
    let joined = setup.send("alice", "password", AWAY).await;
    first.abort();
    setup.run_queued_checks();
    assert_eq!(joined.await.unwrap(), "allow");
    assert_eq!(setup.check_count(), 1);
}

#[tokio::test]
async fn edited_htpasswd_line_invalidates_only_that_users_answer() {
    let setup = test_pipeline();
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.answer("bob", "password", HOME).await, "allow");
    setup.htpasswd.replace(parse_users(&USERS.replace("alice:", "# alice:")));
    assert_eq!(setup.answer("alice", "password", HOME).await, "challenge wrong_credentials");
    let check_count = setup.check_count();
    assert_eq!(setup.answer("bob", "password", HOME).await, "allow");
    assert_eq!(setup.check_count(), check_count);
    setup.htpasswd.replace(parse_users(USERS));
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test]
async fn answer_for_old_htpasswd_line_is_not_used_for_new_line() {
    let setup = test_pipeline();
    let before = setup.send("alice", "password", HOME).await;
    setup.htpasswd.replace(parse_users("alice:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    let after = setup.send("alice", "password", HOME).await;
    setup.run_queued_checks();
    assert_eq!(before.await.unwrap(), "allow");
    assert_eq!(after.await.unwrap(), "challenge wrong_credentials");
    assert_eq!(setup.answer("alice", "password", HOME).await, "challenge wrong_credentials");
}

#[tokio::test]
async fn idle_answer_is_evicted_after_idle_timeout() {
    let setup = test_pipeline();
    setup.answer("alice", "password", HOME).await;
    setup.clock.advance(Duration::from_secs(599));
    setup.answer("alice", "password", HOME).await;
    setup.clock.advance(Duration::from_secs(599));
    setup.answer("alice", "password", HOME).await;
    assert_eq!(setup.check_count(), 1);
    setup.clock.advance(Duration::from_secs(600));
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
    assert_eq!(setup.check_count(), 2);
}

#[tokio::test]
async fn flush_invalidates_cached_and_in_flight_answers_of_one_user_or_all() {
    let setup = test_pipeline();
    setup.answer("alice", "password", HOME).await;
    setup.answer("bob", "password", HOME).await;
    setup.pipeline.flush(Some(b"alice"));
    setup.answer("bob", "password", HOME).await;
    assert_eq!(setup.check_count(), 2);
    setup.answer("alice", "password", HOME).await;
    assert_eq!(setup.check_count(), 3);
    setup.pipeline.flush(None);
    let in_flight = setup.send("alice", "password", HOME).await;
    setup.pipeline.flush(Some(b"alice"));
    setup.run_queued_checks();
    assert_eq!(in_flight.await.unwrap(), "allow");
    setup.answer("alice", "password", HOME).await;
    assert_eq!(setup.check_count(), 5);
}

/// Returns true if the worker cache has an entry for this request.
fn is_in_worker_cache(setup: &TestPipeline, password: &str, from: &str) -> bool {
    let header = format!("Basic {}", BASE64_STANDARD.encode(format!("alice:{password}")));
    let subrequest = Subrequest {
        authorization: RequestHeader::Once(header.as_bytes()),
        client: ClientAddress::Text(from.as_bytes()),
        ..Subrequest::default()
    };
    let fingerprint = setup.pipeline.request_fingerprint(&subrequest).unwrap();
    setup.pipeline.lookup_worker_cache(&fingerprint, &setup.worker_cache.lock().unwrap()).is_some()
}

#[tokio::test]
async fn worker_cache_hits_only_for_identical_requests() {
    let setup = test_pipeline();
    setup.answer("alice", "password", HOME).await;
    assert!(!is_in_worker_cache(&setup, "password", HOME), "a check inserts no entry");
    setup.answer("alice", "password", HOME).await;
    assert!(is_in_worker_cache(&setup, "password", HOME));
    assert!(!is_in_worker_cache(&setup, "passwore", HOME));
    assert!(!is_in_worker_cache(&setup, "password", AWAY));
}

#[tokio::test]
async fn worker_cache_entry_ends_with_reload_flush_idle_or_throttle() {
    let setup = test_pipeline();
    let insert_entry = async || {
        setup.answer("alice", "password", HOME).await;
        setup.answer("alice", "password", HOME).await;
        assert!(is_in_worker_cache(&setup, "password", HOME));
    };
    insert_entry().await;
    setup.htpasswd.replace(parse_users(&USERS.replace("alice:", "# alice:")));
    assert!(!is_in_worker_cache(&setup, "password", HOME));
    setup.htpasswd.replace(parse_users(USERS));
    insert_entry().await;
    setup.pipeline.flush(Some(b"alice"));
    assert!(!is_in_worker_cache(&setup, "password", HOME));
    insert_entry().await;
    setup.clock.advance(Duration::from_secs(600));
    assert!(!is_in_worker_cache(&setup, "password", HOME));
    insert_entry().await;
    for wrong in ["a", "b", "c"] {
        setup.answer("alice", wrong, HOME).await;
    }
    assert!(!is_in_worker_cache(&setup, "password", HOME), "the throttle applies to worker cache hits too");
    assert_eq!(setup.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test]
async fn valid_api_key_is_never_throttled_and_invalid_ones_count_as_failures() {
    use crate::authn::api_key::format::generate_api_key;
    use crate::authn::api_key::{self, ApiKeys};
    let (secret, id, digest) = generate_api_key().unwrap();
    let line = format!(r#"{{"id":"{}","hash":"{digest}","owner":"alice","name":"ci"}}"#, id.as_str());
    let rules = api_key::ApiKeyRules { username: "token".into(), is_owner_line_required: true };
    let index = api_key::file::parse(line.as_bytes(), &"api_keys".into(), None).index;
    let setup = test_pipeline_with(Some(Arc::new(ApiKeys::new(index, rules))));
    assert_eq!(setup.answer("alice", &secret, HOME).await, "allow");
    assert_eq!(setup.answer("bob", &secret, HOME).await, "challenge invalid_api_key");
    for _ in 0..3 {
        assert_eq!(
            setup.answer("alice", &generate_api_key().unwrap().0, HOME).await,
            "challenge invalid_api_key"
        );
    }
    assert_eq!(setup.answer("alice", &generate_api_key().unwrap().0, HOME).await, "limited throttled");
    assert_eq!(setup.answer("alice", "password", HOME).await, "limited throttled");
    assert_eq!(setup.answer("alice", &secret, HOME).await, "allow");
    assert_eq!(setup.check_count(), 0);
    // The API keys of a user who is removed from the htpasswd file are invalid at once.
    setup.htpasswd.replace(parse_users(&USERS.replace("alice:", "# alice:")));
    assert_eq!(setup.answer("alice", &secret, AWAY).await, "challenge invalid_api_key");
    setup.htpasswd.replace(parse_users(&USERS.replace("alice:", "alice:!")));
    assert_eq!(setup.answer("alice", &secret, AWAY).await, "challenge invalid_api_key");
    setup.htpasswd.replace(parse_users(USERS));
    assert_eq!(setup.answer("token", &secret, AWAY).await, "allow");
}
