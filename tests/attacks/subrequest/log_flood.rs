//! A flood of refusals hides no other refusal in the log.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{line, start};
use crate::support::client::Request;
use crate::support::doorward::Doorward;
use crate::support::scale::scaled;

/// Where the flood comes from, and what it tries: the number of the thread and of the request.
type Flood = fn(usize, usize) -> Request;

fn guess(user: &str, password: &str, from: &str) -> Request {
    Request::auth().basic(user, password).from(from)
}

/// Asks for 40 guesses from 40 addresses while three threads flood: how many requests the flood had.
fn flooded(doorward: &Doorward, flood: Flood, span: Duration) -> usize {
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..3 {
            let (stop, count) = (&stop, &count);
            scope.spawn(move || {
                let mut client = doorward.client();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    client.ask(&flood(thread, number));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // The flood has long filled its budget when the first guess comes.
        crate::support::eventually("the flood", || (count.load(Ordering::Relaxed) > 300).then_some(()));
        let began = Instant::now();
        let mut client = doorward.client();
        for number in 0..40_u32 {
            // Spread evenly over the time.
            let due = span * number / 40;
            crate::support::eventually("it is time", || (began.elapsed() >= due).then_some(()));
            client.ask(&guess("alice", &format!("guess-{number}"), &format!("198.51.{number}.7")));
        }
        stop.store(true, Ordering::Relaxed);
    });
    count.into_inner()
}

fn logged(doorward: &Doorward) -> usize {
    let log = doorward.log();
    let is_there = |number: &usize| {
        let network = format!("network=\"198.51.{number}.7/32\"");
        log.lines().any(|line| line.contains("request denied") && line.contains(&network))
    };
    (0..40).filter(is_there).count()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are there to be quoted")]
fn forty_guesses_are_logged_beside_a_flood_of_each_kind_field_r3() {
    let floods: [(&str, Flood); 4] = [
        ("one wrong password", |_, _| guess("alice", "wrong", "192.0.2.1")),
        ("new passwords from one network", |t, n| guess("alice", &format!("{t}-{n}"), "192.0.2.1")),
        ("new paths from one network", |t, n| {
            guess("alice", "wrong", "192.0.2.1").header("X-Original-URI", format!("/{t}/{n}"))
        }),
        ("all networks of a /24", |t, n| {
            guess("alice", &format!("{t}-{n}"), &format!("192.0.2.{}", n % 256))
        }),
    ];
    let span = Duration::from_secs(scaled(4, 30) as u64);
    for (name, flood) in floods {
        let doorward = start(false, &[]);
        let requests = flooded(&doorward, flood, span);
        crate::support::eventually("the last guess is logged", || {
            doorward.log().contains("198.51.39.7").then_some(())
        });
        let logged = logged(&doorward);
        let lines = doorward.log().lines().count();
        println!("beside {requests} requests, {name}: {logged} of 40 guesses logged, {lines} lines in all");
        assert_eq!(logged, 40, "{name}");
        assert!(lines < 100 + 40 + 12 * (span.as_secs() as usize + 10), "{name}: {lines} lines");
    }
}

#[test]
fn flood_is_logged_as_one_line_and_a_count_with_the_client_address_field_r3() {
    let doorward = start(false, &[]);
    let mut client = doorward.client();
    for _ in 0..500 {
        client.ask(&guess("alice", "wrong", "192.0.2.1"));
    }
    let lines = || {
        let log = doorward.log();
        log.lines().filter(|line| line.contains("request denied") && line.contains("192.0.2.1")).count()
    };
    line(
        &doorward,
        &["reason=\"wrong_credentials\"", "client=\"192.0.2.1\"", "user=\"alice\"", "suppressed=0"],
    );
    let told = line(
        &doorward,
        &["denied requests not logged", "network=192.0.2.1/32", "repeated=499", "over_budget=0"],
    );
    for part in
        ["last_client=\"192.0.2.1\"", "last_user=\"alice\"", "last_reason=\"wrong_credentials\"", "WARN"]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert_eq!(lines(), 1);
    assert_eq!(doorward.metric("doorward_log_lines_suppressed_total"), 499.0);
    // Another guess is another line, at once.
    client.ask(&guess("alice", "other", "192.0.2.1"));
    crate::support::eventually("it is logged", || (lines() == 2).then_some(()));
}

#[test]
fn every_refusal_is_logged_once_as_a_line_or_in_a_count() {
    let doorward = start(false, &["--log-denials-per-second", "2"]);
    let mut client = doorward.client();
    for number in 0..200 {
        client.ask(&guess("alice", &format!("{}", number % 50), &format!("192.0.2.{}", number % 5)));
    }
    let field = |line: &str, name: &str| -> usize {
        let from = line.split_once(&format!(" {name}=")).map_or("", |(_, rest)| rest);
        from.split_whitespace().next().unwrap_or_default().parse().unwrap_or_default()
    };
    crate::support::eventually("all are told", || {
        let log = doorward.log();
        let told: usize = log
            .lines()
            .map(|line| match line {
                _ if line.contains("not logged") => field(line, "repeated") + field(line, "over_budget"),
                _ if line.contains("request denied") => 1 + field(line, "suppressed"),
                _ => 0,
            })
            .sum();
        (told == 200).then_some(())
    });
}
