//! Methods and paths at the auth listener.

use std::time::{Duration, Instant};

use super::{UNTRUSTED, is_closed};
use crate::support::client::{Address, Client, OF_DOORWARD, Request, basic, tcp, unix};
use crate::support::doorward::{Doorward, doorward};
use crate::support::random::Random;
use crate::support::scale::scaled;
use crate::support::users;

const METHODS: [&str; 12] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "PURGE", "X"];

/// Paths that some listener serves, that one served before, and that a client of a proxy would ask for.
const PATHS: [&str; 22] = [
    "/auth",
    "/auth/nginx",
    "/auth/refused",
    "/token",
    "/jwks",
    "/livez",
    "/readyz",
    "/metrics",
    "/flush",
    "/api-keys",
    "/refused",
    "/",
    "*",
    "/v2/",
    "/v2/a/manifests/1",
    "/auth/traefik",
    "/auth/caddy",
    "/auth/envoy/livez",
    "/auth/ingress-nginx",
    "/healthz",
    "/status",
    "/api_keys",
];

/// What makes another spelling of a path.
const BEFORE: [&str; 8] = ["", "", "", "/", "/.", "/x/..", "/%2e", "http://other.test"];
const AFTER: [&str; 10] = ["", "", "", "/", "?x=1", "?user=alice", "/.", "%2f", ";x", "#x"];

fn one_of<'a>(random: &mut Random, list: &[&'a str]) -> &'a str {
    list[random.below(list.len() as u64) as usize]
}

fn spelled(random: &mut Random) -> String {
    let path = one_of(random, &PATHS);
    let path = match random.below(4) {
        0 => path.replacen('e', "%65", 1),
        1 => path.to_uppercase(),
        _ => path.to_owned(),
    };
    format!("{}{path}{}", one_of(random, &BEFORE), one_of(random, &AFTER))
}

#[test]
fn no_request_without_valid_credentials_gets_2xx_at_the_auth_listener_field_c5_envoy_23360() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.pem");
    let keys = keys.to_str().unwrap();
    assert_eq!(doorward(&["signing-key", "init", "--signing-keys", keys]).code, Some(0));
    let flags =
        ["--token-signing-keys", keys, "--token-service", "registry.test", "--cache-rejection-ttl", "1h"];
    // Guesses that are refused without a hash, or 20,000 of them take hours.
    let flags = [&flags[..], &["--throttle-user-failures", "3", "--throttle-network-failures", "3"]].concat();
    let doorward = Doorward::start(&users::alice(), &flags);
    let mut random = Random::new();
    let (mut client, mut statuses) = (None, std::collections::BTreeMap::<u16, usize>::new());
    let asked = scaled(2_000, 20_000);
    for number in 0..asked {
        let target = spelled(&mut random);
        let mut request = Request::new(one_of(&mut random, &METHODS), &target).from("192.0.2.1");
        match random.below(6) {
            0 => request = request.basic("alice", "guess"),
            1 => request = request.header("Authorization", "Bearer guess"),
            2 => request = request.header("Expect", "100-continue"),
            3 => request = request.body(b"grant_type=password&username=alice&password=guess".to_vec()),
            _ => {}
        }
        let mut connection = client.take().unwrap_or_else(|| doorward.client());
        match connection.try_ask(&request) {
            Ok(answer) => {
                *statuses.entry(answer.status).or_default() += 1;
                assert!(!(200..300).contains(&answer.status), "request {number}: {request:?}: {answer:?}");
                // After a body that was not read, the connection is closed.
                client = (answer.header("connection") != Some("close")).then_some(connection);
            }
            Err(_) => *statuses.entry(0).or_default() += 1,
        }
    }
    let good = doorward.ask(&Request::auth().basic("alice", "wonderland").from("192.0.2.9"));
    assert_eq!(good.status, 200, "and the same listener admits alice: {good:?}");
    println!("{asked} requests at the auth listener without good credentials: 2xx 0; statuses {statuses:?}");
}

#[test]
fn path_is_served_only_by_its_own_listener() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.pem");
    let keys = keys.to_str().unwrap();
    assert_eq!(doorward(&["signing-key", "init", "--signing-keys", keys]).code, Some(0));
    let flags = ["--token-signing-keys", keys, "--token-service", "registry.test"];
    let doorward = Doorward::start(&users::alice(), &flags);
    let status = |address: &Address, path: &str| {
        let request =
            Request::get(path).basic("alice", "wonderland").header("X-Original-Host", "registry.test");
        crate::support::client::ask(address, OF_DOORWARD, &request).status
    };
    for (path, auth, public, admin) in [
        ("/auth", 200, 404, 404),
        ("/auth/nginx", 200, 404, 404),
        ("/auth/refused", 503, 404, 404),
        ("/token", 404, 200, 404),
        ("/jwks", 404, 200, 404),
        ("/livez", 404, 404, 200),
        ("/readyz", 404, 404, 200),
        ("/metrics", 404, 404, 200),
        ("/flush", 404, 404, 405),
    ] {
        assert_eq!(status(&doorward.address, path), auth, "{path} at the auth listener");
        assert_eq!(status(&doorward.public, path), public, "{path} at the public listener");
        assert_eq!(status(&doorward.admin, path), admin, "{path} at the admin listener");
    }
}

#[test]
fn connection_of_an_untrusted_peer_at_the_token_listener_is_closed() {
    let doorward = Doorward::start(&users::alice(), &["--public-trusted-peers", "127.0.0.1"]);
    let jwks = Request::get("/jwks");
    assert!(is_closed(UNTRUSTED, tcp(&doorward.public), &jwks));
    assert_eq!(doorward.ask(&jwks).status, 404, "a trusted peer is answered");
    assert_eq!(doorward.metric("doorward_connections_rejected_total{listener=\"public\""), 1.0);
}

/// What comes before the status line of the answer, and the status.
fn raw(address: &Address, request: &str) -> String {
    let mut client = Client::connect(address, OF_DOORWARD).unwrap();
    client.send(request.as_bytes()).unwrap();
    let line = client.first_line().unwrap();
    String::from_utf8(line).unwrap()
}

#[test]
fn expect_header_gets_a_verdict_and_no_interim_response_field_c11() {
    let dir = tempfile::tempdir().unwrap();
    let socket = unix(&dir.path().join("auth.sock"));
    let doorward = Doorward::start(&users::alice(), &["--listen", "127.0.0.1:0", "--listen", &socket]);
    let right = format!("Authorization: {}\r\n", basic("alice:wonderland"));
    for address in [doorward.address.clone(), Address::parse(&socket)] {
        for (credentials, status) in [("", "401"), (&right[..], "200")] {
            for expect in
                ["100-continue", "100-Continue", "x, 100-continue", "100-continue\r\nExpect: 100-continue"]
            {
                for body in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""] {
                    let request = format!(
                        "POST /auth HTTP/1.1\r\nHost: x\r\nExpect: {expect}\r\n{body}{credentials}\r\n"
                    );
                    let line = raw(&address, &request);
                    assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {line}");
                }
            }
        }
        let line = raw(&address, "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
        assert!(line.starts_with("HTTP/1.1 404 "), "{line}");
    }
}

#[test]
fn pipelined_response_does_not_wait_for_an_acknowledgement_field_m4() {
    // A hash of a millisecond, so that what is left is the wait.
    let doorward = Doorward::start(&users::line("ann", "a1", users::QUICK), &[]);
    let mut client = doorward.client();
    let mut gaps: Vec<Duration> = (0..15)
        .map(|number| {
            // The first response is sent at once; the second, which waits for a hash, behind it.
            let slow =
                Request::auth().basic("ann", &format!("guess {number}")).from(&format!("192.0.2.{number}"));
            client.send(&[Request::auth().bytes(), slow.bytes()].concat()).unwrap();
            assert_eq!(client.receive(false).unwrap().status, 401);
            let first = Instant::now();
            assert_eq!(client.receive(false).unwrap().status, 401);
            first.elapsed()
        })
        .collect();
    gaps.sort();
    // Not the median: on a busy machine the hash itself may wait. Without TCP_NODELAY nearly all take 40 ms.
    println!("between two pipelined responses, of which the second waits for a hash of 1 ms: {gaps:?}");
    assert!(gaps[2] < Duration::from_millis(25), "{gaps:?}");
}

#[test]
fn unknown_dialect_is_refused_and_the_nginx_dialect_has_two_paths() {
    let output = doorward(&["check", "--dialects", "nginx,traefik"]);
    assert!(output.stderr.contains("unknown dialect; known dialects: nginx"), "{output:?}");
    let doorward = Doorward::start(&users::alice(), &["--dialects", "nginx"]);
    for path in ["/auth", "/auth/nginx", "/auth?x=1", "/auth/nginx?x=1"] {
        assert_eq!(doorward.ask(&Request::get(path).basic("alice", "wonderland")).status, 200, "{path}");
        assert_eq!(doorward.ask(&Request::get(path).basic("alice", "guess")).status, 401, "{path}");
    }
}
