//! Two simulated days with outages of AWS.
//!
//! AWS is down from hour 5 to hour 9 and from hour 20 to hour 40. The token is refreshed every second and requested every
//! minute. Each answer is compared with the tokens that AWS issued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::TokenRefresher;
use crate::clock::Clock;
use crate::config::layers::ConfigLayers;
use crate::metrics::Metrics;
use crate::pipeline::Evaluation;
use crate::pipeline::verdict::Verdict;
use crate::pipeline::worker_cache::WorkerCache;
use crate::request::header::RequestHeader;
use crate::request::subrequest::{ClientAddress, Subrequest};
use crate::server::components::Components;
use crate::upstream::ecr::FetchToken;
use crate::upstream::ecr::aws::FetchedToken;
use crate::upstream::ecr::aws::error::EcrError;

/// alice, with the password "password"; bcrypt with the lowest cost.
const USERS: &str = "alice:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK\n";

/// The `Authorization` header of alice.
const ALICE: &[u8] = b"Basic YWxpY2U6cGFzc3dvcmQ=";

const PROXY_SECRET: &str = "0123456789abcdef0123456789abcdef";

const HOUR: u64 = 3600;

/// The lifetime of a token of ECR, in seconds.
const LIFE: u64 = 12 * HOUR;

/// A fake AWS: the issued tokens with their expiry, and the times of all calls.
#[derive(Clone)]
struct Aws {
    clock: Clock,
    start: u64,
    given: Arc<Mutex<HashMap<String, u64>>>,
    calls: Arc<Mutex<Vec<u64>>>,
}

impl Aws {
    fn second(&self) -> u64 {
        self.clock.unix_seconds() - self.start
    }
}

fn is_gone(second: u64) -> bool {
    (5 * HOUR..9 * HOUR).contains(&second) || (20 * HOUR..40 * HOUR).contains(&second)
}

impl FetchToken for Aws {
    async fn fetch_token(&self) -> Result<FetchedToken, EcrError> {
        let second = self.second();
        self.calls.lock().unwrap().push(second);
        if is_gone(second) {
            return Err(EcrError::FetchPanicked);
        }
        let mut given = self.given.lock().unwrap();
        let token = format!("token-{}", given.len());
        given.insert(token.clone(), second + LIFE);
        Ok(FetchedToken {
            token: token.into(),
            lifetime: Duration::from_secs(LIFE),
            credentials_lifetime: None,
        })
    }
}

/// Returns the token with which a request was allowed, or the reason of the refusal.
async fn ask(house: &Components, header: &[u8], memo: &mut WorkerCache) -> Result<String, &'static str> {
    let request = Subrequest {
        authorization: RequestHeader::Once(header),
        client: ClientAddress::Text(b"192.0.2.1"),
        has_proxy_secret: true,
        ..Subrequest::default()
    };
    let verdict = match house.app_state.pipeline.evaluate(&request, memo) {
        Evaluation::Decided(verdict) => verdict,
        Evaluation::CheckNeeded(check) => check.evaluate(&request).await,
    };
    match &verdict {
        Verdict::Allow(grant) => {
            let value =
                String::from_utf8(grant.upstream_authorization().unwrap().as_bytes().to_vec()).unwrap();
            Ok(value.strip_prefix("Basic ").unwrap().to_owned())
        }
        refusal => Err(refusal.reason_name()),
    }
}

fn house(clock: &Clock) -> (Components, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (settings, htpasswd) = (dir.path().join("doorward.toml"), dir.path().join("htpasswd"));
    std::fs::write(&htpasswd, USERS).unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, PROXY_SECRET).unwrap();
    let text = format!(
        "htpasswd.file = \"{}\"\nproxy_secret_file = \"{}\"\n[[upstream]]\ntype = \"ecr\"\n",
        htpasswd.display(),
        secret.display()
    );
    std::fs::write(&settings, text).unwrap();
    let settings = ConfigLayers::default().with_file(settings.to_str().unwrap()).into_config().unwrap();
    (Components::build(&settings, clock.clone(), Arc::new(Metrics::with_initial_series())).unwrap(), dir)
}

/// A period in which every request had the same result.
#[derive(Debug, PartialEq, Eq)]
struct Interval {
    end: Result<String, &'static str>,
    from: u64,
    to: u64,
    requests: usize,
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the table is there to be quoted")]
async fn two_simulated_days_give_no_expired_token_and_every_valid_one() {
    let clock = Clock::manual();
    let (house, _dir) = house(&clock);
    let pool = Arc::clone(&house.hash_pool);
    let hasher = std::thread::spawn(move || pool.run());
    let start = clock.unix_seconds();
    let aws = Aws { clock: clock.clone(), start, given: Arc::default(), calls: Arc::default() };
    // Every refresh is at the latest time, so that the result shows the longest possible outage.
    let mut refresher = TokenRefresher::new(Arc::clone(&house.ecr_token_stores[0].1), aws.clone(), || 1.0);
    let (mut memo, mut stretches) = (WorkerCache::default(), Vec::<Interval>::new());
    for second in 0..48 * HOUR {
        refresher.fetch_if_due().await;
        if second % 60 == 0 {
            let end = ask(&house, ALICE, &mut memo).await;
            if let Ok(token) = &end {
                let until = aws.given.lock().unwrap()[token];
                assert!(second < until, "{token} left at {second}, and expired at {until}");
            }
            match stretches.last_mut() {
                Some(last) if last.end == end => (last.to, last.requests) = (second, last.requests + 1),
                _ => stretches.push(Interval { end, from: second, to: second, requests: 1 }),
            }
        }
        clock.advance(Duration::from_secs(1));
    }
    house.hash_pool.close();
    hasher.join().unwrap();

    let calls = aws.calls.lock().unwrap();
    let failed = calls.iter().filter(|second| is_gone(**second)).count();
    let hours = |second: u64| format!("{}:{:02}", second / HOUR, second % HOUR / 60);
    for Interval { end, from, to, requests } in &stretches {
        println!("{} to {}: {requests} requests, {end:?}", hours(*from), hours(*to));
    }
    println!("calls of AWS: {}, {failed} of them in vain", calls.len());

    let unavailable: Vec<&Interval> = stretches.iter().filter(|stretch| stretch.end.is_err()).collect();
    let [lost] = unavailable[..] else { panic!("{stretches:#?}") };
    assert_eq!(lost.end, Err("upstream_credentials"));
    // The outage starts with the first request after the last token expired, and ends when AWS is back.
    let last = *calls.iter().rfind(|second| **second < 20 * HOUR).unwrap();
    assert!((last + LIFE - 10..last + LIFE + 60).contains(&lost.from), "{stretches:#?}");
    assert!(lost.to < 40 * HOUR + 60, "{stretches:#?}");
    let asked: usize = stretches.iter().map(|stretch| stretch.requests).sum();
    assert_eq!(asked, 48 * 60);
    assert!(failed < 20 * 120 + 4 * 13, "AWS is not flooded: {failed}");
}
