//! Many RS256 token requests at once.

#![expect(clippy::print_stdout, reason = "the tests print the figures that they measure")]

use std::fs;
use std::net::Ipv6Addr;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Answer, Client, OF_DOORWARD, Request};
use crate::support::doorward::{Doorward, doorward};
use crate::support::process::{program, run};
use crate::support::scale::{is_full, scaled};
use crate::support::users;

const SERVICE: &str = "registry.test";

/// How often nginx lets a client ask for a token in a second (doorward-token-maps.conf).
const PERMITTED: u32 = 20;

/// doorward that signs with an RSA key of 3,072 bits, as the README recommends.
fn start(count: usize) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut openssl = Command::new(program("openssl", "openssl"));
    openssl.args([
        "genpkey",
        "-quiet",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:3072",
        "-out",
        &at("rsa.pem"),
    ]);
    let made = run(openssl);
    assert_eq!(made.code, Some(0), "{made:?}");
    let arguments = [
        "signing-key",
        "init",
        "--signing-keys",
        &at("keys.pem"),
        "--service",
        SERVICE,
        "--algorithm",
        "RS256",
    ];
    let made = doorward(&[&arguments[..], &["--private-key", &at("rsa.pem")]].concat());
    assert_eq!(made.code, Some(0), "{made:?}");
    // One hash for all: they are logged in before.
    let line = users::line("", "right", users::QUICK);
    let file: String = (0..count).map(|user| format!("user{user}{line}")).collect();
    fs::write(at("htpasswd"), file).unwrap();
    let keys = at("keys.pem");
    Doorward::start_in(
        dir,
        &["--token-signing-keys", &keys, "--token-service", SERVICE, "--log-denials-per-second", "0"],
    )
}

fn request(user: Option<usize>, network: &str) -> Request {
    let query = format!("/token?service={SERVICE}&scope=repository:team/app:pull");
    let request = Request::get(&query).header("X-Original-Host", SERVICE).from(network);
    match user {
        Some(user) => request.basic(&format!("user{user}"), "right"),
        None => request,
    }
}

fn connect(doorward: &Doorward) -> Client {
    Client::connect(&doorward.public, OF_DOORWARD).unwrap()
}

fn is_token(answer: &Answer) -> bool {
    answer.status == 200 && answer.text().contains("\"token\":\"eyJ")
}

/// Has all users ask at one time: how many were told to come again, and how long each waited.
fn at_once(
    doorward: &Doorward,
    users: usize,
    network: impl Fn(usize) -> String + Sync,
) -> (usize, Vec<Duration>) {
    let barrier = Barrier::new(users);
    let (barrier, network) = (&barrier, &network);
    let mut refused = 0;
    let mut waits = Vec::new();
    thread::scope(|scope| {
        let asks = (0..users).map(|user| {
            let mut client = connect(doorward);
            scope.spawn(move || {
                barrier.wait();
                let begin = Instant::now();
                (client.ask(&request(Some(user), &network(user))), begin.elapsed())
            })
        });
        for ask in asks.collect::<Vec<_>>() {
            let (answer, wait) = ask.join().unwrap();
            assert!(is_token(&answer) || answer.status == 429, "{answer:?}");
            refused += usize::from(answer.status == 429);
            waits.push(wait);
        }
    });
    waits.sort();
    (refused, waits)
}

fn p99(waits: &[Duration]) -> Duration {
    waits[(waits.len() * 99).div_ceil(100) - 1]
}

/// Logs all of them in, so that no password is hashed later.
fn warm(doorward: &Doorward, users: usize, network: impl Fn(usize) -> String) {
    let mut client = connect(doorward);
    for user in 0..users {
        assert!(is_token(&client.ask(&request(Some(user), &network(user)))));
    }
}

#[test]
fn sixty_four_simultaneous_rs256_token_requests_are_all_signed_field_r2() {
    let users = 64;
    let doorward = start(users);
    let office = |_: usize| "192.0.2.10".to_owned();
    let apart = |user: usize| format!("198.51.{user}.7");
    warm(&doorward, users, apart);
    warm(&doorward, users, office);
    for round in 0..scaled(1, 20) {
        for (what, network) in
            [("one address", &office as &(dyn Fn(usize) -> String + Sync)), ("64 blocks", &apart)]
        {
            let (refused, waits) = at_once(&doorward, users, network);
            println!(
                "R2: {users} RS256 tokens at once from {what}, round {round}: 429s {refused}, p99 {:.0?}",
                p99(&waits)
            );
            assert_eq!(refused, 0, "{what}");
        }
    }
}

/// An address of the n-th /64, all of them in different /48s.
fn v6(network: usize) -> String {
    let bits = 0x2001_0db8_u128 << 96 | (network as u128) << 80 | 7;
    Ipv6Addr::from(bits).to_string()
}

#[test]
fn anonymous_token_requests_at_the_permitted_rate_block_no_identified_user_field_r2() {
    let (networks, users) = (scaled(20, 50), 60);
    let doorward = start(users);
    let home = |user: usize| format!("203.0.{user}.7");
    warm(&doorward, users, home);
    let stop = AtomicBool::new(false);
    let (asked, signed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut waits = Vec::new();
    let mut failed = 0;
    thread::scope(|scope| {
        for network in 0..networks {
            let (doorward, stop, asked, signed) = (&doorward, &stop, &asked, &signed);
            // Several at a time, so that the rate is kept although each waits.
            for part in 0..4 {
                scope.spawn(move || {
                    let mut client = connect(doorward);
                    let pace = Duration::from_secs(4) / PERMITTED;
                    let mut next = Instant::now() + pace * part / 4;
                    while !stop.load(Ordering::Relaxed) {
                        thread::sleep(next.saturating_duration_since(Instant::now()));
                        next += pace;
                        let answer = client.ask(&request(None, &v6(network)));
                        assert!(is_token(&answer) || answer.status == 429, "{answer:?}");
                        asked.fetch_add(1, Ordering::Relaxed);
                        signed.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
                    }
                });
            }
        }
        let stopped = Stop(&stop);
        crate::support::eventually("the flood has begun", || {
            (asked.load(Ordering::Relaxed) > networks).then_some(())
        });
        for _ in 0..scaled(1, 5) {
            for user in 0..users {
                let begin = Instant::now();
                let answer = connect(&doorward).ask(&request(Some(user), &home(user)));
                waits.push(begin.elapsed());
                failed += usize::from(!is_token(&answer));
            }
        }
        drop(stopped);
    });
    waits.sort();
    let (asked, signed) = (asked.into_inner(), signed.into_inner());
    println!(
        "R2: beside {networks} /64s with {asked} anonymous requests ({signed} signed): identified users without a token {failed} of {}, p99 {:.0?}",
        waits.len(),
        p99(&waits)
    );
    assert_eq!(failed, 0);
    assert!(signed > 0, "anonymous clients are not starved");
    if is_full() {
        assert!(p99(&waits) < Duration::from_secs(1), "{:?}", p99(&waits));
    }
}

/// Ends the flood, also if the test fails.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
