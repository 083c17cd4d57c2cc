//! A real outage: users with a cached answer stay admitted, and the recovery takes at most two seconds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::service::{OutageSetup, ProvokedFailure, RIGHT, network_of, own_network, print_results};
use crate::support::client::Request;
use crate::support::scale::scaled;

/// Number of users that were accepted before the outage.
const KNOWN: usize = 12;

/// Duration of the outage, and the longest time until doorward must detect it.
const DOWN: Duration = Duration::from_secs(14);
const KNOWN_AFTER: Duration = Duration::from_secs(9);

/// The longest time from recovery until every user is served again.
const RECOVERY: Duration = Duration::from_secs(2);

/// Failure of the service for all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// No program listens.
    Away,
    /// The service reads requests and answers none.
    Hangs,
    /// The service answers 503 with a `Retry-After` of a minute.
    RetryAfter,
    /// The service closes every connection.
    Resets,
}

/// One response.
struct TimedAnswer {
    is_known: bool,
    status: u16,
    is_stale: bool,
    sent: Instant,
    took: Duration,
}

/// Client addresses of the users.
#[derive(Clone, Copy, Debug)]
enum ClientAddresses {
    /// Each user is in another network block.
    Apart,
    /// All users are behind one address, and the attackers are elsewhere.
    OneAddress,
    /// No client address is available, neither of the users nor of the attackers.
    NoAddress,
}

impl ClientAddresses {
    fn request(self, number: usize, user: &str, password: &str) -> Request {
        let request = Request::auth().basic(user, password);
        match self {
            Self::Apart => request.from(&own_network(number)),
            Self::OneAddress => request.from("192.0.2.1"),
            Self::NoAddress => request,
        }
    }

    fn attack(self, number: usize) -> Request {
        let request = Request::auth().basic(&format!("attacker{number}"), "wrong");
        match self {
            Self::Apart | Self::OneAddress => request.from(&network_of(number, 8)),
            Self::NoAddress => request,
        }
    }
}

fn begin(setup: &mut OutageSetup, outage: Outage) {
    match outage {
        Outage::Away => setup.service.go(),
        Outage::Hangs => setup.fail(ProvokedFailure::Hang),
        Outage::RetryAfter => setup.fail(ProvokedFailure::RetryAfter),
        Outage::Resets => setup.fail(ProvokedFailure::Reset),
    }
}

fn end(setup: &mut OutageSetup, outage: Outage) {
    match outage {
        Outage::Away => setup.service.come(),
        Outage::Hangs | Outage::RetryAfter | Outage::Resets => setup.recover(),
    }
}

fn outage(outage: Outage, addresses: ClientAddresses, attackers: usize) {
    let mut setup = OutageSetup::start(ProvokedFailure::Tarpit);
    for n in 0..KNOWN {
        assert_eq!(setup.doorward.ask(&addresses.request(n, &format!("known{n}"), RIGHT)).status, 200);
    }
    thread::sleep(Duration::from_millis(1100));
    begin(&mut setup, outage);
    let (began, stop, answers) = (Instant::now(), AtomicBool::new(false), Mutex::new(Vec::new()));
    let address = setup.doorward.address.clone();
    let ask = |request: &Request, is_known: bool| {
        let sent = Instant::now();
        let answer = crate::support::client::ask(&address, crate::support::client::OF_DOORWARD, request);
        let is_stale = answer.header("x-auth-stale") == Some("true");
        let took = sent.elapsed();
        answers.lock().unwrap().push(TimedAnswer { is_known, status: answer.status, is_stale, sent, took });
    };
    let mut back = began;
    thread::scope(|scope| {
        for n in 0..attackers {
            let (stop, address) = (&stop, &address);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let request = addresses.attack(n);
                    crate::support::client::ask(address, crate::support::client::OF_DOORWARD, &request);
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        for n in 0..KNOWN {
            let (stop, ask) = (&stop, &ask);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    ask(&addresses.request(n, &format!("known{n}"), RIGHT), true);
                    thread::sleep(Duration::from_millis(200));
                }
            });
        }
        let mut logins = Vec::new();
        for n in 0_usize.. {
            // From time to time, another user logs in for the first time.
            let ask = &ask;
            logins.push(
                scope.spawn(move || ask(&addresses.request(100 + n, &format!("new{n}"), RIGHT), false)),
            );
            thread::sleep(Duration::from_millis(250));
            if back == began && began.elapsed() > DOWN {
                back = Instant::now();
                end(&mut setup, outage);
            }
            if back != began && back.elapsed() > 2 * RECOVERY {
                break;
            }
        }
        logins.into_iter().for_each(|login| login.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    judge(outage, addresses, &answers.into_inner().unwrap(), began, back);
}

fn judge(outage: Outage, addresses: ClientAddresses, answers: &[TimedAnswer], began: Instant, back: Instant) {
    let of = |is_known: bool, within: &dyn Fn(&TimedAnswer) -> bool| -> Vec<&TimedAnswer> {
        answers.iter().filter(|answer| answer.is_known == is_known && within(answer)).collect()
    };
    let refused =
        answers.iter().filter(|answer| answer.sent > began && answer.is_known && answer.status != 200);
    let known_after =
        refused.filter(|answer| answer.sent + answer.took < back).map(|answer| answer.sent - began).max();
    let recovered = answers.iter().filter(|answer| answer.sent > back && answer.status != 200);
    let recovered = recovered.map(|answer| answer.sent - back).max().unwrap_or_default();
    let late = |answer: &TimedAnswer| answer.sent > began + KNOWN_AFTER && answer.sent + answer.took < back;
    let (known, new) = (of(true, &late), of(false, &late));
    print_results(&format!(
        "{outage:?}, {addresses:?}: last refusal of a known user {:?} into it; later {} known and {} new answers; back to normal after {recovered:?}",
        known_after.unwrap_or_default(),
        known.len(),
        new.len()
    ));
    assert!(!known.is_empty() && !new.is_empty());
    let probing = known.iter().filter(|answer| answer.took > Duration::from_secs(1)).count();
    assert!(known.iter().all(|answer| answer.status == 200 && answer.is_stale), "{outage:?}, {addresses:?}");
    assert!(
        new.iter().all(|answer| answer.status == 503 || answer.status == 403),
        "{outage:?}, {addresses:?}"
    );
    assert!(probing * 2 < known.len(), "most are answered at once: {probing} of {}", known.len());
    assert!(recovered <= RECOVERY, "{outage:?}, {addresses:?}: {recovered:?}");
}

#[test]
fn service_outage_ends_within_two_seconds_of_recovery_and_known_users_stay_admitted() {
    let attackers = scaled(12, 60);
    thread::scope(|scope| {
        for how in [Outage::Away, Outage::Hangs, Outage::RetryAfter, Outage::Resets] {
            scope.spawn(move || outage(how, ClientAddresses::Apart, attackers));
        }
    });
}

#[test]
fn clients_with_one_or_no_address_stay_admitted_during_an_outage() {
    thread::scope(|scope| {
        for (how, addresses) in [
            (Outage::Hangs, ClientAddresses::OneAddress),
            (Outage::Resets, ClientAddresses::OneAddress),
            (Outage::Away, ClientAddresses::NoAddress),
            (Outage::Hangs, ClientAddresses::NoAddress),
        ] {
            scope.spawn(move || outage(how, addresses, scaled(4, 12)));
        }
    });
}
