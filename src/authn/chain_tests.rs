//! Who is asked, and what comes of it; the file's users are real, and the services play their part.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use zeroize::Zeroizing;

use super::*;
use crate::authn::htpasswd::file::{Rules, parse};
use crate::authn::queue::Limits;
use crate::authn::queue::{End, Job};
use crate::authn::{Answer, Cause, Credentials, Outcome, Trouble};
use crate::clock::Clock;

/// alice: "password", with bcrypt at its lowest cost; and a line that is damaged.
const USERS: &str = "alice:$2y$04$HPgrjTu37HOLaRlc7Nzl1eUT8/mTCLwN1J8KXppbtmziF2XI1TmBK\nbroken:$2y$\n";

const LIMITS: Limits = Limits { queue: 4, network_share: 4, user_share: 2 };

struct House {
    chain: Authenticators,
    pool: Arc<HashPool>,
    services: Vec<Arc<Service>>,
}

/// A chain of `f` for the file and `a`, `b` for services; `covers` are pairs of places.
fn house(chain: &str, covers: &[(usize, usize)]) -> House {
    let users = parse(USERS.as_bytes().to_vec(), &Rules { key: [7; 32], ..Rules::default() }).users;
    let users = Arc::new(Htpasswd::new(users));
    let pool = Arc::new(HashPool::new(LIMITS, Clock::manual(), Arc::default()));
    let mut services = Vec::new();
    let authenticator = |(place, name): (usize, char)| {
        let kind = if name == 'f' {
            Kind::Htpasswd(Arc::clone(&users), Arc::clone(&pool))
        } else {
            services.push(Arc::new(crate::authn::http::tests::mute(&name.to_string(), LIMITS)));
            Kind::Http(Arc::clone(services.last().unwrap()))
        };
        let covers = covers.iter().filter(|(who, _)| *who == place).map(|(_, whom)| *whom);
        let covers = covers.fold(Covers::default(), Covers::with);
        Authenticator { name: name.to_string().into(), kind, covers }
    };
    let authenticators = chain.chars().enumerate().map(authenticator).collect();
    House { chain: Authenticators::new(authenticators, None), pool, services }
}

fn credentials(user: &str) -> Arc<Credentials> {
    let framed = format!("{}{user}:password", "\0".repeat(Credentials::FRAME)).into_bytes();
    Arc::new(Credentials::new(Zeroizing::new(framed)).unwrap())
}

impl House {
    /// Asks about `user`; each service that is asked says the next of `answers`. Who was asked, and the
    /// end, in words.
    fn start_request(&self, user: &str, answers: &[&str]) -> (String, String) {
        let told = Arc::new(Mutex::new(None));
        let tell = Arc::clone(&told);
        let course = Course {
            chain: self.chain.clone(),
            credentials: credentials(user),
            accepted_as: None,
            records: self.chain.look_up(user.as_bytes()),
            asker: Asker { block: 1, network: 1, user: 1 },
            deadline: Arc::new(AtomicU64::new(1000)),
            told: Box::new(move |ended| *tell.lock().unwrap() = Some(ended)),
        };
        course.start().ok().unwrap().tell();
        let (mut asked, mut answers) = (String::new(), answers.iter());
        while told.lock().unwrap().is_none() {
            if self.pool.run_next() {
                asked.push('f');
                continue;
            }
            let (service, job) =
                self.services.iter().find_map(|s| Some((s, s.try_next()?))).expect("somebody is asked");
            asked.push_str(service.name());
            (job.end)(End::Done(answer(answers.next().expect("one more answer"), user)));
        }
        let Ended { end, trust, unknown_to } = told.lock().unwrap().take().unwrap();
        let end = match end {
            End::Done(Ok(Outcome::Accepted(who))) => format!("accepted by {}", who.by),
            End::Done(Ok(outcome)) => format!("{outcome:?}").to_lowercase(),
            End::Done(Err(trouble)) => format!("{trouble}"),
            End::Dropped => "dropped".into(),
        };
        assert!(unknown_to.iter().all(|name| asked.contains(&**name)));
        let fresh = trust.fresh.map_or(String::new(), |fresh| format!(" for {}", fresh.as_secs()));
        (asked, format!("{end}{fresh}"))
    }
}

fn answer(word: &str, user: &str) -> Answer {
    match word {
        "yes" | "as alice" => {
            let user = if word == "yes" { user } else { "alice" };
            let user = crate::identity::Username::parse(user.as_bytes()).unwrap();
            Ok(Outcome::Accepted(Arc::new(crate::authn::Identity::plain(user, "service".into()))))
        }
        "no" => Ok(Outcome::Rejected),
        "unknown" => Ok(Outcome::Unknown),
        _ => Err(Trouble::Http { authenticator: word.into(), what: "is down".into(), cause: Cause::Unclear }),
    }
}

fn says(asked: &str, end: &str) -> (String, String) {
    (asked.to_owned(), end.to_owned())
}

#[test]
fn who_has_a_line_is_the_files_and_others_are_the_services_without_a_hash() {
    let house = house("fa", &[]);
    assert_eq!(house.start_request("alice", &[]), says("f", "accepted by f"));
    assert_eq!(house.start_request("broken", &[]), says("f", "rejected"));
    assert_eq!(house.start_request("carol", &["yes"]), says("a", "accepted by service for 60"));
    assert_eq!(house.start_request("carol", &["no"]), says("a", "rejected for 60"));
    assert_eq!(house.start_request("carol", &["unknown"]), says("a", "unknown for 60"));
    assert_eq!(house.start_request("carol", &["a"]), says("a", "authenticator a: is down for 30"));
}

#[test]
fn a_no_ends_it_and_an_unknown_does_not() {
    let house = house("abf", &[]);
    assert_eq!(house.start_request("alice", &["no"]), says("a", "rejected for 60"));
    assert_eq!(house.start_request("alice", &["unknown", "yes"]), says("ab", "accepted by service for 60"));
    assert_eq!(house.start_request("alice", &["unknown", "unknown"]), says("abf", "accepted by f for 60"));
    // At the end of the chain nobody is left to ask, and the dummy's work is done.
    assert_eq!(house.start_request("carol", &["unknown", "unknown"]), says("abf", "unknown for 60"));
}

#[test]
fn trouble_ends_it_unless_somebody_covers() {
    let alone = house("af", &[]);
    assert_eq!(alone.start_request("alice", &["a"]), says("a", "authenticator a: is down for 30"));
    let covered = house("af", &[(1, 0)]);
    assert_eq!(covered.start_request("alice", &["a"]), says("af", "accepted by f for 30"));
    assert_eq!(covered.start_request("broken", &["a"]), says("af", "rejected for 30"));
    // Who is unknown to who covers was not told no by anybody.
    assert_eq!(covered.start_request("carol", &["a"]), says("af", "authenticator a: is down for 30"));
    assert_eq!(covered.start_request("alice", &["no"]), says("a", "rejected for 60"));
}

#[test]
fn only_who_covers_for_all_that_are_in_trouble_is_asked() {
    let house = house("abf", &[(1, 0), (2, 1)]);
    assert_eq!(house.start_request("alice", &["a", "no"]), says("ab", "rejected for 30"));
    assert_eq!(house.start_request("alice", &["a", "b"]), says("ab", "authenticator a: is down for 30"));
    assert_eq!(house.start_request("alice", &["unknown", "b"]), says("abf", "accepted by f for 30"));
    assert_eq!(house.start_request("alice", &["a", "unknown"]), says("ab", "authenticator a: is down for 30"));
}

#[test]
fn who_covers_for_one_covers_for_all_in_between_or_is_not_asked() {
    let file_between = house("afb", &[(2, 0)]);
    assert_eq!(file_between.start_request("alice", &["a"]), says("a", "authenticator a: is down for 30"));
    assert_eq!(file_between.start_request("broken", &["a"]), says("a", "authenticator a: is down for 30"));
    // Who has no line is none of the file's.
    assert_eq!(file_between.start_request("carol", &["a", "yes"]), says("ab", "accepted by service for 30"));
    let both = house("afb", &[(2, 0), (2, 1)]);
    assert_eq!(both.start_request("alice", &["a", "yes"]), says("ab", "accepted by service for 30"));
    let service_between = house("abc", &[(2, 0)]);
    assert_eq!(service_between.start_request("carol", &["a"]), says("a", "authenticator a: is down for 30"));
}

#[test]
fn a_service_does_not_vouch_for_a_name_that_the_file_before_it_decides_about() {
    assert_eq!(house("fa", &[]).start_request("carol", &["as alice"]), says("a", "rejected for 60"));
    assert_eq!(house("af", &[]).start_request("carol", &["as alice"]), says("a", "accepted by service for 60"));
    assert_eq!(house("a", &[]).start_request("carol", &["as alice"]), says("a", "accepted by service for 60"));
}

#[test]
fn a_place_that_is_taken_on_the_way_drops_the_question() {
    let house = house("af", &[]);
    let full = || {
        let asker = Asker { block: 1, network: 1, user: 1 };
        let work: crate::authn::hash_pool::PasswordCheck = Box::new(|| Ok(Outcome::Rejected));
        Job { asker, deadline: Arc::new(AtomicU64::new(1000)), work, end: Box::new(|_| {}) }
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let course = Course {
        chain: house.chain.clone(),
        credentials: credentials("alice"),
        accepted_as: None,
        records: house.chain.look_up(b"alice"),
        asker: Asker { block: 1, network: 1, user: 1 },
        deadline: Arc::new(AtomicU64::new(1000)),
        told: Box::new(move |ended| tell.lock().unwrap().push(ended.end)),
    };
    course.start().ok().unwrap().tell();
    for _ in 0..2 {
        house.pool.submit(full()).ok().unwrap().tell();
    }
    let job = house.services[0].try_next().unwrap();
    (job.end)(End::Done(Ok(Outcome::Unknown)));
    assert_eq!(*told.lock().unwrap(), [End::Dropped]);
}

#[test]
fn the_key_holds_the_whole_password_where_a_service_may_see_it() {
    let long =
        |chain: &str, covers: &[(usize, usize)]| house(chain, covers).chain.look_up(b"alice").password_max();
    assert_eq!(long("af", &[]), usize::MAX);
    assert_eq!(long("fa", &[(1, 0)]), usize::MAX);
    // bcrypt looks at 72 bytes.
    assert_eq!(long("fa", &[]), 72);
}
