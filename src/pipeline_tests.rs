//! The gate's rules, with a clock that the test moves and a hash pool that the test works.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::task::JoinHandle;

use super::*;
use crate::authn::hash_pool::HashPool;
use crate::authn::htpasswd::Htpasswd;
use crate::authn::htpasswd::file::{Rules, parse};
use crate::authn::queue;
use crate::metrics::ResultLabel;
use crate::request::header::Header;
use crate::request::subrequest::ClientAddress;

/// alice: "password", bob: "password"; bcrypt at its lowest cost.
const USERS: &str = "alice:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK
bob:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK
";

pub(super) const HOME: &str = "192.0.2.1";
pub(super) const AWAY: &str = "198.51.100.1";

pub(super) struct House {
    pub(super) gate: Arc<Gate>,
    pool: Arc<HashPool>,
    htpasswd: Arc<Htpasswd>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    /// The one worker's, so that every rule is tried with it.
    memo: Arc<Mutex<Memo>>,
}

fn users(text: &str) -> crate::authn::htpasswd::file::UserFile {
    parse(text.as_bytes().to_vec(), &Rules { key: [7; 32], ..Rules::default() }).users
}

pub(super) fn house() -> House {
    house_with(None)
}

fn house_with(keys: Option<Arc<crate::authn::api_key::Keys>>) -> House {
    let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::default()));
    let htpasswd = Arc::new(Htpasswd::new(users(USERS)));
    let limits = queue::Limits { queue: 6, network_share: 4, user_share: 2 };
    let pool = Arc::new(HashPool::new(limits, clock.clone(), Arc::clone(&metrics)));
    let minute = Duration::from_secs(60);
    let gate = Arc::new(Gate::new(Parts {
        authenticators: Authenticators::htpasswd(Arc::clone(&htpasswd), Arc::clone(&pool)).with_keys(keys),
        policy: Arc::default(),
        upstreams: None,
        tokens: None,
        cache: cache::Limits {
            accepted_max: 100,
            accepted_idle: 10 * minute,
            rejected_for: Duration::from_secs(10),
        },
        throttle: throttle::Limits {
            user_failures: 3,
            network_failures: 5,
            block_user_failures: 6,
            block_failures: 10,
            familiar_failures: 4,
            window: 3 * minute,
            entries: 64,
        },
        prefixes: Prefixes { ipv4: 32, ipv6: 64 },
        wait: Duration::from_secs(5),
        random: [9; 32],
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
    }));
    House { gate, pool, htpasswd, metrics, clock, memo: Arc::default() }
}

impl House {
    /// Asks, and leaves the check, if there is one, in the queue.
    pub(super) async fn ask(&self, user: &str, password: &str, from: &str) -> JoinHandle<String> {
        let gate = Arc::clone(&self.gate);
        let header = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let (from, memo) = (from.to_owned(), Arc::clone(&self.memo));
        let asked = tokio::spawn(async move {
            let subrequest = Subrequest {
                authorization: Header::Once(header.as_bytes()),
                client: ClientAddress::Text(from.as_bytes()),
                ..Subrequest::default()
            };
            let opened = gate.open(&subrequest, &mut memo.lock().unwrap());
            let verdict = match opened {
                Opened::Settled(verdict) => verdict,
                Opened::Checking(check) => check.verdict(&subrequest).await,
            };
            format!("{} {}", verdict.name(), verdict.reason()).trim().to_owned()
        });
        tokio::task::yield_now().await;
        asked
    }

    /// Puts another file in force.
    pub(super) fn set_users(&self, text: &str) {
        self.htpasswd.replace(users(text));
    }

    /// The same, with every format allowed.
    pub(super) fn allow_all(&self, text: &str) -> Arc<crate::authn::htpasswd::file::UserFile> {
        let allowed = crate::authn::hash::Allowed { plain: true };
        let rules = Rules { key: [7; 32], allowed };
        self.htpasswd.replace(parse(text.as_bytes().to_vec(), &rules).users);
        self.htpasswd.users()
    }

    /// Asks what is answered without a check.
    pub(super) async fn answer_at_once(&self, user: &str, password: &str, from: &str) -> String {
        self.ask(user, password, from).await.await.unwrap()
    }

    /// Does every check that waits.
    pub(super) fn hash(&self) {
        while self.pool.run_next() {}
    }

    /// Asks, and does what there is to be done.
    pub(super) async fn answer(&self, user: &str, password: &str, from: &str) -> String {
        let asked = self.ask(user, password, from).await;
        self.hash();
        asked.await.unwrap()
    }

    pub(super) fn hashes(&self) -> u64 {
        ["accepted", "refused"]
            .iter()
            .map(|r| self.metrics.hashes.get_or_create(&ResultLabel { result: r }).get())
            .sum()
    }
}

#[tokio::test]
async fn the_right_password_is_allowed_and_a_wrong_one_challenged() {
    let house = house();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "wrong", HOME).await, "challenge wrong");
    assert_eq!(house.answer("carol", "password", HOME).await, "challenge wrong");
}

#[tokio::test]
async fn a_cached_answer_costs_no_hash_and_a_wrong_password_is_never_one() {
    let house = house();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("alice", "password", AWAY).await, "allow");
    assert_eq!(house.hashes(), 1);
    assert_eq!(house.answer("alice", "passwore", HOME).await, "challenge wrong");
    assert_eq!(house.answer("bob", "passwore", HOME).await, "challenge wrong");
}

#[tokio::test]
async fn any_number_of_equal_questions_cost_one_hash() {
    let house = house();
    let mut asked = Vec::new();
    for n in 0..200 {
        asked.push(house.ask("alice", "password", if n % 2 == 0 { HOME } else { AWAY }).await);
    }
    house.hash();
    for one in asked {
        assert_eq!(one.await.unwrap(), "allow");
    }
    assert_eq!(house.hashes(), 1);
}

#[tokio::test]
async fn a_leader_who_hangs_up_takes_nobody_with_him() {
    let house = house();
    let leader = house.ask("alice", "password", HOME).await;
    let follower = house.ask("alice", "password", AWAY).await;
    leader.abort();
    house.hash();
    assert_eq!(follower.await.unwrap(), "allow");
    assert_eq!(house.hashes(), 1);
}

#[tokio::test]
async fn an_edited_line_ends_that_users_answers_and_nobody_elses() {
    let house = house();
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    house.htpasswd.replace(users(&USERS.replace("alice:", "# alice:")));
    assert_eq!(house.answer("alice", "password", HOME).await, "challenge wrong");
    let hashes = house.hashes();
    assert_eq!(house.answer("bob", "password", HOME).await, "allow");
    assert_eq!(house.hashes(), hashes);
    house.htpasswd.replace(users(USERS));
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test]
async fn an_answer_that_was_under_way_when_the_line_changed_is_not_given_for_the_new_line() {
    let house = house();
    let before = house.ask("alice", "password", HOME).await;
    house.htpasswd.replace(users("alice:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    let after = house.ask("alice", "password", HOME).await;
    house.hash();
    assert_eq!(before.await.unwrap(), "allow");
    assert_eq!(after.await.unwrap(), "challenge wrong");
    assert_eq!(house.answer("alice", "password", HOME).await, "challenge wrong");
}

#[tokio::test]
async fn an_idle_answer_is_forgotten() {
    let house = house();
    house.answer("alice", "password", HOME).await;
    house.clock.advance(Duration::from_secs(599));
    house.answer("alice", "password", HOME).await;
    house.clock.advance(Duration::from_secs(599));
    house.answer("alice", "password", HOME).await;
    assert_eq!(house.hashes(), 1);
    house.clock.advance(Duration::from_secs(600));
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
    assert_eq!(house.hashes(), 2);
}

#[tokio::test]
async fn a_flush_forgets_one_user_or_all_and_those_under_way() {
    let house = house();
    house.answer("alice", "password", HOME).await;
    house.answer("bob", "password", HOME).await;
    house.gate.flush(Some(b"alice"));
    house.answer("bob", "password", HOME).await;
    assert_eq!(house.hashes(), 2);
    house.answer("alice", "password", HOME).await;
    assert_eq!(house.hashes(), 3);
    house.gate.flush(None);
    let under_way = house.ask("alice", "password", HOME).await;
    house.gate.flush(Some(b"alice"));
    house.hash();
    assert_eq!(under_way.await.unwrap(), "allow");
    house.answer("alice", "password", HOME).await;
    assert_eq!(house.hashes(), 5);
}

/// Whether the worker would take the short way for this request.
fn is_noted(house: &House, password: &str, from: &str) -> bool {
    let header = format!("Basic {}", BASE64_STANDARD.encode(format!("alice:{password}")));
    let subrequest = Subrequest {
        authorization: Header::Once(header.as_bytes()),
        client: ClientAddress::Text(from.as_bytes()),
        ..Subrequest::default()
    };
    let sight = house.gate.sight(&subrequest).unwrap();
    house.gate.recall(&sight, &house.memo.lock().unwrap()).is_some()
}

#[tokio::test]
async fn the_short_way_is_for_the_same_request_alone() {
    let house = house();
    house.answer("alice", "password", HOME).await;
    assert!(!is_noted(&house, "password", HOME), "a check leaves no note");
    house.answer("alice", "password", HOME).await;
    assert!(is_noted(&house, "password", HOME));
    assert!(!is_noted(&house, "passwore", HOME));
    assert!(!is_noted(&house, "password", AWAY));
}

#[tokio::test]
async fn the_short_way_ends_with_what_it_was_derived_from() {
    let house = house();
    let noted = async || {
        house.answer("alice", "password", HOME).await;
        house.answer("alice", "password", HOME).await;
        assert!(is_noted(&house, "password", HOME));
    };
    noted().await;
    house.htpasswd.replace(users(&USERS.replace("alice:", "# alice:")));
    assert!(!is_noted(&house, "password", HOME));
    house.htpasswd.replace(users(USERS));
    noted().await;
    house.gate.flush(Some(b"alice"));
    assert!(!is_noted(&house, "password", HOME));
    noted().await;
    house.clock.advance(Duration::from_secs(600));
    assert!(!is_noted(&house, "password", HOME));
    noted().await;
    for wrong in ["a", "b", "c"] {
        house.answer("alice", wrong, HOME).await;
    }
    assert!(!is_noted(&house, "password", HOME), "the throttle is asked on the short way too");
    assert_eq!(house.answer("alice", "password", HOME).await, "allow");
}

#[tokio::test]
async fn a_good_key_is_never_turned_away_and_bad_ones_are_counted() {
    use crate::authn::api_key::{self, Keys, secret::generate};
    let (secret, id, digest) = generate().unwrap();
    let line = format!(r#"{{"id":"{}","hash":"{digest}","owner":"alice","name":"ci"}}"#, id.as_str());
    let rules = api_key::Rules { username: "token".into(), owners_in_htpasswd: true };
    let file = api_key::file::parse(line.as_bytes(), &"keys".into(), None).file;
    let house = house_with(Some(Arc::new(Keys::new(file, rules))));
    assert_eq!(house.answer("alice", &secret, HOME).await, "allow");
    assert_eq!(house.answer("bob", &secret, HOME).await, "challenge key");
    for _ in 0..3 {
        assert_eq!(house.answer("alice", &generate().unwrap().0, HOME).await, "challenge key");
    }
    assert_eq!(house.answer("alice", &generate().unwrap().0, HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", "password", HOME).await, "limited throttled");
    assert_eq!(house.answer("alice", &secret, HOME).await, "allow");
    assert_eq!(house.hashes(), 0);
    // Whoever is taken out of the file has no keys any more, at once.
    house.htpasswd.replace(users(&USERS.replace("alice:", "# alice:")));
    assert_eq!(house.answer("alice", &secret, AWAY).await, "challenge key");
    house.htpasswd.replace(users(&USERS.replace("alice:", "alice:!")));
    assert_eq!(house.answer("alice", &secret, AWAY).await, "challenge key");
    house.htpasswd.replace(users(USERS));
    assert_eq!(house.answer("token", &secret, AWAY).await, "allow");
}
