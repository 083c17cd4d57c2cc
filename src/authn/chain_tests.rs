//! Tests of the chain: the order of calls and the result. The htpasswd file is real, and a test answers for the services.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use zeroize::Zeroizing;

use super::*;
use crate::authn::htpasswd::file::{HtpasswdParseOptions, parse};
use crate::authn::queue::job::QueueLimits;
use crate::authn::queue::job::{Job, JobResult};
use crate::authn::remote::RemoteSource;
use crate::authn::{AuthnError, AuthnResult, Credentials, FailureCause, Outcome};
use crate::clock::Clock;

/// The user alice with the password "password" and the lowest cost of bcrypt, and an invalid line.
const USERS: &str = "alice:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK\nbroken:$2y$\n";

const LIMITS: QueueLimits = QueueLimits { total: 4, network_share: 4, user_share: 2 };

struct ChainFixture {
    chain: AuthenticatorChain,
    pool: Arc<HashPool>,
    services: Vec<Arc<RemoteSource>>,
}

/// Creates a chain: `f` is the htpasswd file, and other letters are services. `fallback_for` has pairs of positions, the
/// fallback first.
fn chain_fixture(chain: &str, fallback_for: &[(usize, usize)]) -> ChainFixture {
    let users = parse(
        USERS.as_bytes().to_vec(),
        &HtpasswdParseOptions { fingerprint_key: [7; 32], ..HtpasswdParseOptions::default() },
    )
    .users;
    let users = Arc::new(Htpasswd::new(users));
    let pool = Arc::new(HashPool::new(LIMITS, Clock::manual(), Arc::default()));
    let mut services = Vec::new();
    let authenticator = |(position, name): (usize, char)| {
        let kind = if name == 'f' {
            AuthenticatorKind::Htpasswd(Arc::clone(&users), Arc::clone(&pool))
        } else {
            services.push(Arc::new(crate::authn::remote::tests::manual_source(&name.to_string(), LIMITS)));
            AuthenticatorKind::Remote(Arc::clone(services.last().unwrap()))
        };
        let fallback_for =
            fallback_for.iter().filter(|(fallback, _)| *fallback == position).map(|(_, failed)| *failed);
        let fallback_for = fallback_for.fold(AuthenticatorSet::default(), AuthenticatorSet::with);
        Authenticator { name: name.to_string().into(), kind, fallback_for }
    };
    let authenticators = chain.chars().enumerate().map(authenticator).collect();
    ChainFixture { chain: AuthenticatorChain::new(authenticators, None), pool, services }
}

fn credentials(user: &str) -> Arc<Credentials> {
    let framed = format!("{}{user}:password", "\0".repeat(Credentials::CACHE_KEY_HEADER_LENGTH)).into_bytes();
    Arc::new(Credentials::new(Zeroizing::new(framed)).unwrap())
}

impl ChainFixture {
    /// Runs the chain for `user`. Each service that is called gives the next one of `answers`. Returns the names of the
    /// authenticators that were called, and the result as text.
    fn start_request(&self, user: &str, answers: &[&str]) -> (String, String) {
        let results = Arc::new(Mutex::new(None));
        let sender = Arc::clone(&results);
        let run = ChainRun {
            chain: self.chain.clone(),
            credentials: credentials(user),
            previous_identity: None,
            record: self.chain.look_up(user.as_bytes()),
            requester: RequesterId { block_tag: 1, network_tag: 1, network_user_tag: 1 },
            deadline_millis: Arc::new(AtomicU64::new(1000)),
            on_complete: Box::new(move |result| *sender.lock().unwrap() = Some(result)),
        };
        run.start().ok().unwrap().notify_dropped();
        let (mut called, mut answers) = (String::new(), answers.iter());
        while results.lock().unwrap().is_none() {
            if self.pool.run_next() {
                called.push('f');
                continue;
            }
            let (service, job) =
                self.services.iter().find_map(|s| Some((s, s.try_next()?))).expect("a service is called");
            called.push_str(service.name());
            (job.on_complete)(JobResult::Completed(answer(answers.next().expect("one more answer"), user)));
        }
        let ChainResult { result: end, lifetime, unknown_to } = results.lock().unwrap().take().unwrap();
        let end = match end {
            JobResult::Completed(Ok(Outcome::Accepted(identity))) => {
                format!("accepted by {}", identity.authenticator)
            }
            JobResult::Completed(Ok(Outcome::Rejected)) => "rejected".into(),
            JobResult::Completed(Ok(Outcome::UnknownUser)) => "unknown".into(),
            JobResult::Completed(Err(error)) => format!("{error}"),
            JobResult::Dropped => "dropped".into(),
        };
        assert!(unknown_to.iter().all(|name| called.contains(&**name)));
        let ttl = lifetime.cache_ttl.map_or(String::new(), |ttl| format!(" for {}", ttl.as_secs()));
        (called, format!("{end}{ttl}"))
    }
}

fn answer(word: &str, user: &str) -> AuthnResult {
    match word {
        "yes" | "as alice" => {
            let user = if word == "yes" { user } else { "alice" };
            let user = crate::identity::Username::parse(user.as_bytes()).unwrap();
            Ok(Outcome::Accepted(Arc::new(crate::authn::Identity::new(user, "service".into()))))
        }
        "no" => Ok(Outcome::Rejected),
        "unknown" => Ok(Outcome::UnknownUser),
        _ => Err(AuthnError::BackendFailed {
            authenticator: word.into(),
            message: "is down".into(),
            cause: FailureCause::Undetermined,
        }),
    }
}

fn expected(called: &str, end: &str) -> (String, String) {
    (called.to_owned(), end.to_owned())
}

#[test]
fn listed_user_is_checked_by_htpasswd_and_unlisted_user_by_backend_without_hashing() {
    let fixture = chain_fixture("fa", &[]);
    assert_eq!(fixture.start_request("alice", &[]), expected("f", "accepted by f"));
    assert_eq!(fixture.start_request("broken", &[]), expected("f", "rejected"));
    assert_eq!(fixture.start_request("carol", &["yes"]), expected("a", "accepted by service for 60"));
    assert_eq!(fixture.start_request("carol", &["no"]), expected("a", "rejected for 60"));
    assert_eq!(fixture.start_request("carol", &["unknown"]), expected("a", "unknown for 60"));
    assert_eq!(fixture.start_request("carol", &["a"]), expected("a", "authenticator a: is down for 30"));
}

#[test]
fn rejection_ends_the_chain_and_unknown_user_continues_it() {
    let fixture = chain_fixture("abf", &[]);
    assert_eq!(fixture.start_request("alice", &["no"]), expected("a", "rejected for 60"));
    assert_eq!(
        fixture.start_request("alice", &["unknown", "yes"]),
        expected("ab", "accepted by service for 60")
    );
    assert_eq!(
        fixture.start_request("alice", &["unknown", "unknown"]),
        expected("abf", "accepted by f for 60")
    );
    // At the end of the chain, the dummy check is done.
    assert_eq!(fixture.start_request("carol", &["unknown", "unknown"]), expected("abf", "unknown for 60"));
}

#[test]
fn error_ends_the_chain_unless_a_fallback_is_configured() {
    let alone = chain_fixture("af", &[]);
    assert_eq!(alone.start_request("alice", &["a"]), expected("a", "authenticator a: is down for 30"));
    let with_fallback = chain_fixture("af", &[(1, 0)]);
    assert_eq!(with_fallback.start_request("alice", &["a"]), expected("af", "accepted by f for 30"));
    assert_eq!(with_fallback.start_request("broken", &["a"]), expected("af", "rejected for 30"));
    // A user that the fallback does not know was not rejected by the failed service.
    assert_eq!(
        with_fallback.start_request("carol", &["a"]),
        expected("af", "authenticator a: is down for 30")
    );
    assert_eq!(with_fallback.start_request("alice", &["no"]), expected("a", "rejected for 60"));
}

#[test]
fn only_fallback_for_all_failed_authenticators_is_called() {
    let fixture = chain_fixture("abf", &[(1, 0), (2, 1)]);
    assert_eq!(fixture.start_request("alice", &["a", "no"]), expected("ab", "rejected for 30"));
    assert_eq!(
        fixture.start_request("alice", &["a", "b"]),
        expected("ab", "authenticator a: is down for 30")
    );
    assert_eq!(fixture.start_request("alice", &["unknown", "b"]), expected("abf", "accepted by f for 30"));
    assert_eq!(
        fixture.start_request("alice", &["a", "unknown"]),
        expected("ab", "authenticator a: is down for 30")
    );
}

#[test]
fn fallback_that_does_not_include_skipped_authenticators_is_not_called() {
    let file_between = chain_fixture("afb", &[(2, 0)]);
    assert_eq!(file_between.start_request("alice", &["a"]), expected("a", "authenticator a: is down for 30"));
    assert_eq!(
        file_between.start_request("broken", &["a"]),
        expected("a", "authenticator a: is down for 30")
    );
    // The file does not decide about a user without a line.
    assert_eq!(
        file_between.start_request("carol", &["a", "yes"]),
        expected("ab", "accepted by service for 30")
    );
    let both = chain_fixture("afb", &[(2, 0), (2, 1)]);
    assert_eq!(both.start_request("alice", &["a", "yes"]), expected("ab", "accepted by service for 30"));
    let service_between = chain_fixture("abc", &[(2, 0)]);
    assert_eq!(
        service_between.start_request("carol", &["a"]),
        expected("a", "authenticator a: is down for 30")
    );
}

#[test]
fn backend_identity_with_name_owned_by_earlier_htpasswd_is_rejected() {
    assert_eq!(
        chain_fixture("fa", &[]).start_request("carol", &["as alice"]),
        expected("a", "rejected for 60")
    );
    assert_eq!(
        chain_fixture("af", &[]).start_request("carol", &["as alice"]),
        expected("a", "accepted by service for 60")
    );
    assert_eq!(
        chain_fixture("a", &[]).start_request("carol", &["as alice"]),
        expected("a", "accepted by service for 60")
    );
}

#[test]
fn full_queue_of_next_authenticator_drops_the_check() {
    let fixture = chain_fixture("af", &[]);
    let full = || {
        let asker = RequesterId { block_tag: 1, network_tag: 1, network_user_tag: 1 };
        let work: crate::authn::hash_pool::PasswordCheck = Box::new(|| Ok(Outcome::Rejected));
        Job {
            requester: asker,
            deadline_millis: Arc::new(AtomicU64::new(1000)),
            work,
            on_complete: Box::new(|_| {}),
        }
    };
    let results = Arc::new(Mutex::new(Vec::new()));
    let sender = Arc::clone(&results);
    let run = ChainRun {
        chain: fixture.chain.clone(),
        credentials: credentials("alice"),
        previous_identity: None,
        record: fixture.chain.look_up(b"alice"),
        requester: RequesterId { block_tag: 1, network_tag: 1, network_user_tag: 1 },
        deadline_millis: Arc::new(AtomicU64::new(1000)),
        on_complete: Box::new(move |ended| sender.lock().unwrap().push(ended.result)),
    };
    run.start().ok().unwrap().notify_dropped();
    for _ in 0..2 {
        fixture.pool.submit(full()).ok().unwrap().notify_dropped();
    }
    let job = fixture.services[0].try_next().unwrap();
    (job.on_complete)(JobResult::Completed(Ok(Outcome::UnknownUser)));
    assert_eq!(*results.lock().unwrap(), [JobResult::Dropped]);
}

#[test]
fn cache_key_covers_whole_password_if_a_backend_may_receive_it() {
    let long = |chain: &str, fallback_for: &[(usize, usize)]| {
        chain_fixture(chain, fallback_for).chain.look_up(b"alice").significant_password_length()
    };
    assert_eq!(long("af", &[]), usize::MAX);
    assert_eq!(long("fa", &[(1, 0)]), usize::MAX);
    // bcrypt uses 72 bytes.
    assert_eq!(long("fa", &[]), 72);
}
