//! Clients that provoke failures of a service block no other client.
//!
//! A requester can make the service fail for its own calls: by a tarpit for wrong passwords, by a `503` with
//! `Retry-After`, or by a connection that the service resets. Other requesters must not be affected. An
//! account that was closed at the service must not be admitted by its last answer.

mod real_outage;
mod service;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::service::{OutageSetup, ProvokedFailure, RIGHT, network_of, own_network, print_results};
use crate::support::client::Request;
use crate::support::scale::{is_full, scaled};

/// Number of accounts that the service closes after doorward has cached an answer for them.
const CLOSED: usize = 4;

/// Percentage of the first logins from other networks that must succeed.
const SUCCEED_PERCENT: usize = 99;

/// Results of one attack.
#[derive(Debug, Default)]
struct AttackResult {
    logins: usize,
    succeeded: usize,
    failed: Vec<(u16, String)>,
    closed_requests: usize,
    closed_admitted: usize,
    attackers: Vec<(u16, usize)>,
    slowest: Duration,
}

/// Runs `pairs` attackers from `networks` networks, including the owners of closed accounts. At the same
/// time, other users log in for the first time from other networks.
fn attack(failure: ProvokedFailure, pairs: usize, networks: usize) -> AttackResult {
    let setup = OutageSetup::start(failure);
    (0..CLOSED)
        .for_each(|n| assert_eq!(setup.log_in(&format!("closed{n}"), RIGHT, &network_of(n, networks)), 200));
    setup.close_accounts();
    // The TTL of the cached answers has passed.
    thread::sleep(Duration::from_millis(1100));
    let span = Duration::from_secs(if is_full() { 60 } else { 9 });
    let logins = scaled(30, 200);
    let (stop, statuses) = (AtomicBool::new(false), Mutex::new(std::collections::BTreeMap::new()));
    let (asked, admitted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let seen = Mutex::new(AttackResult::default());
    thread::scope(|scope| {
        for n in 0..pairs {
            let (setup, stop, statuses) = (&setup, &stop, &statuses);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let status = setup.log_in(&format!("attacker{n}"), "wrong", &network_of(n, networks));
                    *statuses.lock().unwrap().entry(status).or_insert(0) += 1;
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        for n in 0..CLOSED {
            let (setup, stop, asked, admitted) = (&setup, &stop, &asked, &admitted);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let status = setup.log_in(&format!("closed{n}"), RIGHT, &network_of(n, networks));
                    asked.fetch_add(1, Ordering::Relaxed);
                    admitted.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let began = Instant::now();
        let mut legitimate = Vec::new();
        for n in 0..logins {
            let due = span.mul_f64(n as f64 / logins as f64);
            thread::sleep(due.saturating_sub(began.elapsed()));
            let (setup, seen) = (&setup, &seen);
            legitimate.push(scope.spawn(move || {
                let sent = Instant::now();
                let request = Request::auth().basic(&format!("user{n}"), RIGHT).from(&own_network(n));
                let answer = setup.doorward.ask(&request);
                let mut seen = seen.lock().unwrap();
                seen.logins += 1;
                seen.slowest = seen.slowest.max(sent.elapsed());
                match answer.status {
                    200 => seen.succeeded += 1,
                    status => {
                        let reason = answer.header("x-auth-reason").unwrap_or_default().to_owned();
                        seen.failed.push((status, format!("{reason} at {:?}", sent - began)));
                    }
                }
            }));
        }
        legitimate.into_iter().for_each(|login| login.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    let mut seen = seen.into_inner().unwrap();
    seen.closed_requests = asked.into_inner();
    seen.closed_admitted = admitted.into_inner();
    seen.attackers = statuses.into_inner().unwrap().into_iter().collect();
    seen
}

/// Runs an attack, prints the results, and checks that no other user was affected.
fn assert_harmless(failure: ProvokedFailure, pairs: usize, networks: usize) {
    let seen = attack(failure, pairs, networks);
    print_results(&format!(
        "{failure:?}: {pairs} attackers' pairs from {networks} networks: {} of {} first logins succeeded, the slowest in {:?}; closed accounts admitted {} of {} times; attackers were answered {:?}; failed: {:?}",
        seen.succeeded,
        seen.logins,
        seen.slowest,
        seen.closed_admitted,
        seen.closed_requests,
        seen.attackers,
        seen.failed
    ));
    assert!(seen.closed_requests > 0);
    assert_eq!(seen.closed_admitted, 0, "a closed account was admitted");
    assert!(seen.succeeded * 100 >= seen.logins * SUCCEED_PERCENT, "others were kept out: {:?}", seen.failed);
}

/// Returns the attacks to run: the number of pairs and the number of networks.
fn crowds() -> &'static [(usize, usize)] {
    if is_full() { &[(1, 1), (6, 1), (60, 1), (6, 8), (60, 8)] } else { &[(60, 8)] }
}

#[test]
fn tarpit_for_wrong_passwords_blocks_no_other_user_field_s1() {
    crowds().iter().for_each(|(pairs, networks)| assert_harmless(ProvokedFailure::Tarpit, *pairs, *networks));
}

#[test]
fn service_503_with_retry_after_for_some_users_blocks_no_other_user_field_s1() {
    crowds()
        .iter()
        .for_each(|(pairs, networks)| assert_harmless(ProvokedFailure::RetryAfter, *pairs, *networks));
}

#[test]
fn connections_reset_for_some_users_block_no_other_user_field_s1() {
    crowds().iter().for_each(|(pairs, networks)| assert_harmless(ProvokedFailure::Reset, *pairs, *networks));
}

#[test]
fn owner_of_closed_accounts_is_refused_while_no_other_user_logs_in_field_s1() {
    // Only the owner of the closed accounts calls the service, so only these calls show a failure. Two
    // accounts are used from eight networks, and six accounts from one network.
    let presentations = [
        ProvokedFailure::Tarpit,
        ProvokedFailure::RetryAfter,
        ProvokedFailure::Reset,
        ProvokedFailure::Text,
        ProvokedFailure::Error,
    ];
    thread::scope(|scope| {
        for failure in presentations {
            scope.spawn(move || alone(failure, 2, 8));
        }
        scope.spawn(move || alone(ProvokedFailure::Tarpit, 6, 1));
    });
}

fn alone(failure: ProvokedFailure, accounts: usize, networks: usize) {
    let setup = OutageSetup::start(failure);
    (0..20).for_each(|n| assert_eq!(setup.log_in(&format!("user{n}"), RIGHT, &own_network(n)), 200));
    for n in 0..accounts {
        assert_eq!(setup.log_in(&format!("closed{n}"), RIGHT, &network_of(n, networks)), 200);
    }
    setup.close_accounts();
    thread::sleep(Duration::from_millis(1100));
    let span = Duration::from_secs(if is_full() { 30 } else { 7 });
    let began = Instant::now();
    let (asked, admitted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (setup, asked, admitted) = (&setup, &asked, &admitted);
        let ask = |user: String, password: &'static str, network: String| {
            scope.spawn(move || {
                while began.elapsed() < span {
                    let status = setup.log_in(&user, password, &network);
                    asked.fetch_add(1, Ordering::Relaxed);
                    admitted.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                }
            });
        };
        (0..scaled(12, 60)).for_each(|n| ask(format!("attacker{n}"), "wrong", network_of(n, networks)));
        (0..accounts).for_each(|n| ask(format!("closed{n}"), RIGHT, network_of(n, networks)));
    });
    let (asked, admitted) = (asked.into_inner(), admitted.into_inner());
    print_results(&format!(
        "{failure:?}, nobody else asks: {accounts} closed accounts in {networks} networks: 200 for {admitted} of {asked} requests"
    ));
    assert_eq!(admitted, 0, "{failure:?}");
    // The first request from another network is sent to the service at once.
    assert_eq!(setup.log_in("first", RIGHT, &own_network(500)), 200, "{failure:?}");
}

#[test]
fn tarpit_with_a_new_network_block_for_each_guess_blocks_no_other_user_field_s1() {
    // No block has a history, so only the duration of its calls distinguishes it.
    let setup = OutageSetup::start(ProvokedFailure::Tarpit);
    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let logins = scaled(30, 200);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..scaled(32, 60) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    setup.log_in(&format!("attacker{n}"), "wrong", &format!("2001:db8:{n:x}::1"));
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let logged_in: Vec<_> = (0..logins)
            .map(|n| {
                thread::sleep(Duration::from_millis(300));
                let (setup, failed) = (&setup, &failed);
                scope.spawn(move || {
                    let status = setup.log_in(&format!("user{n}"), RIGHT, &own_network(n));
                    if status != 200 {
                        failed.lock().unwrap().push((n, status));
                    }
                })
            })
            .collect();
        logged_in.into_iter().for_each(|login| login.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    let (failed, guesses) = (failed.into_inner().unwrap(), next.into_inner());
    print_results(&format!(
        "Tarpit, {guesses} guesses in as many blocks: {} of {logins} first logins failed: {failed:?}",
        failed.len()
    ));
    // There are as many new blocks as can get a turn within the waiting time, so some requests fail.
    assert!(failed.len() * 10 <= logins, "{failed:?}");
}

#[test]
fn attacker_with_an_account_of_its_own_blocks_no_other_user_field_s1() {
    let setup = OutageSetup::start(ProvokedFailure::Tarpit);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..40 {
            let (setup, stop) = (&setup, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for password in ["wrong", RIGHT] {
                        setup.log_in(&format!("attacker{n}"), password, &network_of(n, 8));
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let statuses: Vec<u16> = (0..scaled(30, 200))
            .map(|n| {
                thread::sleep(Duration::from_millis(250));
                setup.log_in(&format!("user{n}"), RIGHT, &own_network(n))
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    });
}
