//! Guesses from many networks and blocks.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{address, from};
use crate::support::backend::{Backend, Reply};
use crate::support::doorward::Doorward;
use crate::support::scale::scaled;
use crate::support::users;

/// The number of connections that guess.
const CONNECTIONS: usize = 8;

/// The block for documentation (RFC 5737) from which the other users log in. Each address is a network of its own.
const ELSEWHERE: &str = "203.0.113";

/// The result of a flood.
struct Flood {
    guesses: usize,
    /// The number of guesses that got 401, which means that they reached an authenticator.
    reached: usize,
    /// The durations of the first logins of other users, retries included.
    log_ins: Vec<Duration>,
    turned_away: usize,
}

/// Guesses for `span` from the networks that `network` returns, while other users log in for the first time.
fn flood(doorward: &Doorward, span: Duration, network: impl Fn(usize) -> String + Sync) -> Flood {
    let (next, reached, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let (mut log_ins, mut turned_away) = (Vec::new(), 0);
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = doorward.client();
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let guess = from(&network(number), "alice", &format!("guess {number}"));
                    if client.ask(&guess).status == 401 {
                        reached.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let begin = Instant::now();
        while begin.elapsed() < span && log_ins.len() < 200 {
            let number = log_ins.len() + 1;
            let asked = Instant::now();
            loop {
                let answer =
                    doorward.ask(&from(&format!("{ELSEWHERE}.{number}"), &format!("user{number}"), "right"));
                if answer.status == 200 {
                    break;
                }
                turned_away += 1;
                assert_eq!(answer.header("x-auth-reason"), Some("busy"), "{answer:?}");
                let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                thread::sleep(Duration::from_secs(wait));
            }
            log_ins.push(asked.elapsed());
            // The remaining time is spread evenly over the logins.
            thread::sleep(span / 200);
        }
        thread::sleep(span.saturating_sub(begin.elapsed()));
        stop.store(true, Ordering::Relaxed);
    });
    log_ins.sort();
    Flood { guesses: next.into_inner(), reached: reached.into_inner(), log_ins, turned_away }
}

impl Flood {
    fn print(&self, what: &str, span: Duration) {
        let at = |share: usize| self.log_ins[(self.log_ins.len() - 1) * share / 100];
        println!(
            "S3: {what}: {} guesses in {span:?}, {} of them checked; {} first log-ins from elsewhere: median {:.1?}, worst {:.1?}, told to come again {}",
            self.guesses,
            self.reached,
            self.log_ins.len(),
            at(50),
            at(100),
            self.turned_away,
        );
    }
}

fn span() -> Duration {
    Duration::from_secs(scaled(2, 60) as u64)
}

/// Returns a network for nine guesses from each /64 of one /48.
fn of_one_block(number: usize) -> String {
    format!("2001:db8:1:{:x}::1", number / 9 % 0x1_0000)
}

/// Returns a network for nine guesses from each address of 4,096 blocks, one block after the other.
fn of_many_blocks(number: usize) -> String {
    address(number % 4096 * 256 + number / 4096 / 9 % 256)
}

/// Returns the number of guesses that the user limit of 40 in ten minutes permits in this time.
fn limit(span: Duration) -> usize {
    40 + (span.as_secs_f64() * 40.0 / 600.0).ceil() as usize + 1
}

/// Starts doorward with a service that has the account of alice and those of the other users.
fn with_service() -> (Backend, Doorward) {
    let backend = Backend::start(|heard| Reply::status(if heard.who().1 == "right" { 200 } else { 401 }));
    let dir = tempfile::tempdir().unwrap();
    let settings = format!(
        "[[authenticator]]\ntype = \"http\"\nname = \"api\"\nurl = \"http://{}/\"\nheaders = {{ Authorization = \"Basic {{basic}}\" }}\n",
        backend.address
    );
    let path = dir.path().join("doorward.toml");
    fs::write(&path, format!("proxy_read_timeout = \"5m\"\n{settings}")).unwrap();
    let doorward =
        Doorward::start_in(dir, &["--config", path.to_str().unwrap(), "--log-denials-per-second", "0"]);
    (backend, doorward)
}

fn with_file(cost: u32) -> Doorward {
    let line = users::line("alice", "wonderland", cost);
    let right = users::line("", "right", cost);
    let others: String = (1..=200).map(|number| format!("user{number}{right}")).collect();
    Doorward::start(&(line + &others), &["--log-denials-per-second", "0"])
}

#[test]
fn guesses_from_all_networks_of_a_block_stop_at_the_block_limit_while_others_log_in_field_s3() {
    let (backend, doorward) = with_service();
    let flood = flood(&doorward, span(), of_one_block);
    flood.print("one /48, an HTTP service", span());
    assert!(flood.reached <= limit(span()), "{} guesses were checked", flood.reached);
    assert_eq!(backend.requests(), flood.reached + flood.log_ins.len());
    // A guess that is rejected because the queue is full is not checked, but it counts as an attempt.
    assert!(flood.reached >= 30, "the limit is no lower than it should be: {}", flood.reached);
    let file = with_file(scaled(users::QUICK as usize, users::USUAL as usize) as u32);
    let flood = super::network_blocks::flood(&file, span(), of_one_block);
    flood.print("one /48, the htpasswd file", span());
    assert!(flood.reached <= limit(span()), "{} guesses were checked", flood.reached);
}

#[test]
fn guesses_from_4096_blocks_do_not_block_logins_of_others_field_s3_s5() {
    let (_backend, doorward) = with_service();
    let flood = flood(&doorward, span(), of_many_blocks);
    flood.print("4,096 /24, an HTTP service", span());
    assert!(flood.reached <= 4096 * limit(span()));
    assert!(!flood.log_ins.is_empty());
    let file = with_file(scaled(users::QUICK as usize, users::USUAL as usize) as u32);
    let flood = super::network_blocks::flood(&file, span(), of_many_blocks);
    flood.print("4,096 /24, the htpasswd file", span());
    assert!(!flood.log_ins.is_empty());
}

#[test]
fn guesses_from_each_block_of_an_ipv6_allocation_are_limited_variant_of_field_s3() {
    let (backend, doorward) = with_service();
    // Low limits, which are reached quickly: 100 for an allocation, 1 for each block.
    drop(doorward);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("doorward.toml");
    let settings = format!(
        "proxy_read_timeout = \"5m\"\n[throttle]\nuser_failures = 1\nblock_user_failures = 1\n[[authenticator]]\ntype = \"http\"\nname = \"api\"\nurl = \"http://{}/\"\nheaders = {{ Authorization = \"Basic {{basic}}\" }}\n",
        backend.address
    );
    fs::write(&path, settings).unwrap();
    let doorward = Doorward::start_in(dir, &["--config", path.to_str().unwrap()]);
    let mut client = doorward.client();
    let mut ask =
        |block: usize| client.ask(&from(&format!("2001:db8:{block:x}::1"), "alice", &block.to_string()));
    let reached = (0..300).filter(|block| ask(*block).status == 401).count();
    assert!((100..=101).contains(&reached), "{reached}");
    assert_eq!(client.ask(&from("2001:db9::1", "alice", "right")).status, 200, "another allocation");
}

#[test]
fn wrong_pairs_from_44_blocks_block_no_login_and_cost_one_hash_each_field_s5() {
    // 44 addresses in 44 blocks, each with six users and eight passwords, repeatedly.
    let cost = scaled(users::QUICK as usize, 14) as u32;
    let doorward = with_file(cost);
    let pairs = |number: usize| {
        let (pair, user) = (number / 44 % 48, number / 44 % 6);
        from(&address(number % 44 * 256), &format!("user{user}"), &format!("wrong {}", pair / 6))
    };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut log_ins = Vec::new();
    let mut busy = 0;
    thread::scope(|scope| {
        for _ in 0..44 {
            scope.spawn(|| {
                let mut client = doorward.client();
                while !stop.load(Ordering::Relaxed) {
                    client.ask(&pairs(next.fetch_add(1, Ordering::Relaxed)));
                }
            });
        }
        thread::sleep(Duration::from_secs(scaled(1, 10) as u64));
        for number in 101..=106 {
            let asked = Instant::now();
            let answer =
                doorward.ask(&from(&format!("198.51.{number}.1"), &format!("user{number}"), "right"));
            log_ins.push(asked.elapsed());
            busy += usize::from(answer.status != 200);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let rejected = doorward.metric("doorward_hash_checks_total{result=\"rejected\"");
    println!(
        "S5: bcrypt {cost}, 44 blocks, {} wrong pairs asked, {rejected} hashed; first log-ins from elsewhere: {log_ins:.1?}, turned away {busy} of 6",
        next.into_inner()
    );
    assert_eq!(busy, 0);
    assert!(rejected <= 44.0 * 48.0, "{rejected} hashes");
}
