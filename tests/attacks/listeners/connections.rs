//! Floods of connections, and file descriptors.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{UNTRUSTED, is_closed, raise_descriptors};
use crate::support::client::{Client, OF_DOORWARD, Request, tcp};
use crate::support::doorward::{Doorward, doorward_limited};
use crate::support::scale::scaled;
use crate::support::{eventually, users};

/// What trusted answers took, sorted.
fn timed(doorward: &Doorward, count: usize) -> Vec<Duration> {
    let mut client = doorward.client();
    let request = Request::auth().basic("alice", "wonderland");
    let mut times: Vec<Duration> = (0..count)
        .map(|number| {
            // Every second one over a connection of its own, which must be accepted behind the others.
            let begin = Instant::now();
            let answer = if number % 2 == 0 { client.ask(&request) } else { doorward.ask(&request) };
            assert_eq!(answer.status, 200, "{answer:?}");
            begin.elapsed()
        })
        .collect();
    times.sort();
    times
}

/// The sockets that the process holds.
fn sockets(doorward: &Doorward) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", doorward.pid())).unwrap();
    let links = folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn idle_connections_of_untrusted_peers_are_closed_and_delay_no_trusted_peer_field_hardening() {
    raise_descriptors();
    // Fewer places than connections: were they kept, nobody else would be answered.
    let flags = ["--trusted-peers", "127.0.0.1", "--limits-max-connections", "32"];
    let doorward = Doorward::start(&users::alice(), &flags);
    let address = tcp(&doorward.address);
    timed(&doorward, 10);
    let idle_before = sockets(&doorward);
    let count = scaled(150, 3_700);
    let begin = Instant::now();
    let held: Vec<Client> =
        (0..count).filter_map(|_| Client::connect_from(UNTRUSTED, address, OF_DOORWARD).ok()).collect();
    let opened = begin.elapsed();
    let times = timed(&doorward, 200);
    eventually("nothing is held for untrusted peers", || {
        (sockets(&doorward) <= idle_before + 2).then_some(())
    });
    let closed = held.into_iter().map(|mut client| client.is_at_end()).filter(|closed| *closed).count();
    assert_eq!(closed, count, "every one is closed");
    println!(
        "{count} idle connections of an untrusted peer, opened in {opened:?}: held 0, closed {closed}; \
         trusted answers meanwhile: median {:?}, worst {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(times[times.len() - 1] < Duration::from_secs(1), "{times:?}");
    assert_eq!(doorward.metric("doorward_connections_rejected_total{listener=\"auth\""), count as f64);
    let log = doorward.log();
    let lines = log.matches("connection of an untrusted peer closed").count();
    assert!((1..=2 + begin.elapsed().as_secs() as usize / 10).contains(&lines), "{lines} lines: {log}");
}

#[test]
fn connections_of_untrusted_peers_that_send_requests_are_closed() {
    let doorward = Doorward::start(&users::alice(), &["--trusted-peers", "127.0.0.1"]);
    let address = tcp(&doorward.address);
    for request in [
        Request::auth().basic("alice", "wonderland"),
        Request::auth().basic("alice", "wonderland").header("X-Real-IP", "127.0.0.1"),
        Request::new("POST", "/auth").body(vec![b'x'; 1 << 20]),
        Request::get("/auth/refused"),
    ] {
        assert!(is_closed(UNTRUSTED, address, &request));
    }
    assert_eq!(doorward.hashes(), 0.0);
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
}

/// `doorward serve` with these flags and this hard limit of descriptors, which it must not survive: its complaint.
fn too_few(flags: &[&str], limit: u64) -> String {
    let dir = tempfile::tempdir().unwrap();
    let htpasswd = dir.path().join("htpasswd");
    std::fs::write(&htpasswd, users::alice()).unwrap();
    let own = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--htpasswd"];
    let output = doorward_limited(&[&own[..], &[htpasswd.to_str().unwrap()], flags].concat(), limit);
    assert_eq!(output.code, Some(1), "{output:?}");
    let line = output.stderr.lines().find(|line| line.contains("file descriptors"));
    line.unwrap_or_else(|| panic!("{output:?}")).to_owned()
}

/// The number behind `before` in a complaint.
fn number(line: &str, before: &str) -> u64 {
    let rest = line.split(before).nth(1).unwrap_or_else(|| panic!("no {before} in {line}"));
    rest.split([' ', '.', ':', ',']).next().unwrap().parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn too_few_descriptors_are_reported_at_start_with_both_numbers_and_the_remedy() {
    let line = too_few(&["--limits-max-connections", "128"], 300);
    let needed = number(&line, "Raise it to ");
    assert_eq!((number(&line, "limits.max_connections = "), number(&line, "the limit is ")), (128, 300));
    assert!(line.contains("LimitNOFILE") && needed > 128 + 64, "{line}");
    let fewer = number(&line, "set limits.max_connections to ").to_string();
    // Either remedy does.
    let start = |flags: &[&str], limit| drop(Doorward::start_limited(&users::alice(), flags, limit));
    let public = "--public-listen";
    // The connections of the public listener, which the tests' own flags add, and of a service are counted too.
    let line = too_few(&["--limits-max-connections", "128", public, "127.0.0.1:0"], needed);
    start(&["--limits-max-connections", "128"], number(&line, "Raise it to "));
    let at_most = too_few(&["--limits-max-connections", "128", public, "127.0.0.1:0"], 800);
    start(
        &["--limits-max-connections", &number(&at_most, "set limits.max_connections to ").to_string()],
        800,
    );
    too_few(&["--limits-max-connections", "128"], needed - 1);
    assert_ne!(fewer, "0", "{line}");
}

#[test]
fn removed_user_is_refused_within_2_s_while_every_connection_is_held_field_hardening() {
    raise_descriptors();
    let wanted = scaled(64, 4_096);
    let connections = wanted.to_string();
    let flags = ["--trusted-peers", "127.0.0.1", "--limits-max-connections", &connections];
    // Not one descriptor more than doorward asks for.
    let line = too_few(&[&flags[..], &["--public-listen", "127.0.0.1:0"]].concat(), 200);
    let limit = number(&line, "Raise it to ");
    let doorward = Doorward::start_limited(&users::two(), &flags, limit);
    let address = tcp(&doorward.address);
    let mut client = doorward.client();
    let of_bob = Request::auth().basic("bob", "builder").from("192.0.2.1");
    assert_eq!(client.ask(&of_bob).status, 200);
    // Trusted ones hold every place, those that find none wait to be accepted, and untrusted ones come all the time.
    let mut held = Vec::new();
    for number in 0..wanted + scaled(40, 200) {
        held.extend(Client::connect_from(Ipv4Addr::LOCALHOST, address, OF_DOORWARD).ok());
        if number % 8 == 0 {
            held.extend(Client::connect_from(UNTRUSTED, address, OF_DOORWARD).ok());
        }
    }
    eventually("every place is taken", || (sockets(&doorward) >= wanted).then_some(()));
    let open = std::fs::read_dir(format!("/proc/{}/fd", doorward.pid())).unwrap().count();
    std::fs::write(doorward.htpasswd(), users::alice()).unwrap();
    let removed = Instant::now();
    eventually("bob is refused", || (client.ask(&of_bob).status == 401).then_some(()));
    let after = removed.elapsed();
    println!(
        "{} connections held, {open} of {limit} descriptors open: a removed user is refused after {after:?}",
        held.len()
    );
    assert!(after < Duration::from_secs(2), "{after:?}");
    assert!((open as u64) < limit);
}
