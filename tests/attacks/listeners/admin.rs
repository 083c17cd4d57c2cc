//! Attacks on the admin listener.

use std::fs;
use std::net::Ipv4Addr;

use super::raise_descriptors;
use crate::support::client::{Address, Answer, Client, OF_DOORWARD, Request, basic, tcp};
use crate::support::doorward::Doorward;
use crate::support::scale::scaled;
use crate::support::{eventually, users};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// doorward with an admin listener on TCP that has a token.
fn with_token(flags: &[&str]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("htpasswd"), users::alice()).unwrap();
    fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let token = dir.path().join("token").to_str().unwrap().to_owned();
    let own = ["--admin-listen", "127.0.0.1:0", "--admin-token-file", &token];
    Doorward::start_in(dir, &[&own[..], flags].concat())
}

fn bearer(request: Request, token: &str) -> Request {
    request.header("Authorization", format!("Bearer {token}"))
}

fn flush() -> Request {
    Request::new("POST", "/flush").host("localhost")
}

/// Whether alice's answer is still in the cache.
fn is_cached(doorward: &Doorward) -> bool {
    let before = doorward.hashes();
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    doorward.hashes() == before
}

#[test]
fn web_page_can_neither_flush_nor_read_the_admin_listener_field_hardening() {
    let doorward = with_token(&[]);
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    let host = tcp(&doorward.admin).to_string();
    // What a browser sends for a form, a script or an image of another page: it may even have the token.
    let pages: [&[(&str, &str)]; 7] = [
        &[("Origin", "http://evil.test"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
        &[("Origin", "null"), ("Content-Type", "text/plain")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "http://localhost:3000")],
        &[("Origin", "https://localhost:8001")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", "http://localhost.evil.test")],
    ];
    let count = scaled(1, 200);
    for _ in 0..count {
        for (method, path) in
            [("POST", "/flush"), ("POST", "/flush?user=alice"), ("GET", "/api-keys"), ("GET", "/metrics")]
        {
            for page in pages {
                let request = Request::new(method, path).host(&host);
                let request = page.iter().fold(request, |request, (name, value)| request.header(name, value));
                for request in [request.clone(), bearer(request, TOKEN)] {
                    let answer = doorward.admin(&request);
                    assert_eq!(answer.status, 403, "{request:?}: {answer:?}");
                    assert!(!answer.text().contains("doorward_") && answer.text().contains("another site"));
                }
            }
            // A name that was bound anew to this address.
            for host in ["evil.test", "localhost.evil.test:8001", "127.0.0.1.evil.test"] {
                let answer = doorward.admin(&bearer(Request::new(method, path).host(host), TOKEN));
                assert_eq!(answer.status, 403, "{host}: {answer:?}");
            }
        }
    }
    assert!(is_cached(&doorward), "nothing was flushed");
    println!("{} cross-site and rebound requests to the admin listener: served 0", count * 4 * (7 * 2 + 3));
    // An administrator's own request is served.
    assert_eq!(doorward.admin(&bearer(flush(), TOKEN)).status, 204);
    assert!(!is_cached(&doorward));
}

#[test]
fn host_listed_in_admin_hosts_is_served_and_others_are_refused() {
    let doorward = with_token(&["--admin-allowed-hosts", "doorward.internal,other.internal"]);
    let metrics = |host: &str| doorward.admin(&Request::get("/metrics").host(host)).status;
    assert_eq!(
        (metrics("doorward.internal:8001"), metrics("OTHER.internal"), metrics("evil.test")),
        (200, 200, 403)
    );
    let probe = |host: &str| doorward.admin(&Request::get("/readyz").host(host)).status;
    assert_eq!((probe("10.1.2.3:8001"), probe("[::1]:8001"), probe("evil.test")), (200, 200, 403));
}

fn assert_challenged(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"doorward admin\""));
    assert!(!answer.text().contains(TOKEN));
}

#[test]
fn admin_command_over_tcp_without_the_right_token_is_challenged() {
    let doorward = with_token(&[]);
    let order = |authorization: &str| doorward.admin(&flush().header("Authorization", authorization));
    for right in [
        format!("Bearer {TOKEN}"),
        format!("bearer {TOKEN}"),
        basic(format!("any:{TOKEN}")),
        basic(format!(":{TOKEN}")),
    ] {
        assert_eq!(order(&right).status, 204, "{right}");
    }
    assert_challenged(&doorward.admin(&flush()));
    for wrong in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {}", &TOKEN[1..]),
        format!("Bearer {TOKEN}0"),
        format!("Bearer {}", TOKEN.to_uppercase()),
        format!("Digest {TOKEN}"),
        TOKEN.to_owned(),
        basic(TOKEN),
        basic(format!("{TOKEN}:")),
        basic("alice:wonderland"),
    ] {
        assert_challenged(&order(&wrong));
    }
    let twice = bearer(bearer(flush(), TOKEN), TOKEN);
    assert_challenged(&doorward.admin(&twice));
    let keys = Request::get("/api-keys").host("localhost");
    assert_challenged(&doorward.admin(&keys));
    assert_eq!(doorward.admin(&bearer(keys, TOKEN)).status, 404, "there is no file of keys");
    // What changes nothing and names nobody requires none.
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(doorward.admin(&Request::get(path).host("localhost")).status, 200, "{path}");
    }
    let log = eventually("it is logged", || {
        Some(doorward.log()).filter(|log| log.contains("admin request denied"))
    });
    assert!(!log.contains(TOKEN) && !log.contains("wonderland"), "{log}");
}

#[test]
fn changed_admin_token_takes_effect_and_an_invalid_file_keeps_the_last_one() {
    let doorward = with_token(&[]);
    let path = doorward.folder().join("token");
    let status = |token: &str| doorward.admin(&bearer(flush(), token)).status;
    let next = "another-token-of-an-administrator";
    fs::write(&path, format!("{next}\n")).unwrap();
    eventually("the new one counts", || (status(next) == 204).then_some(()));
    assert_eq!(status(TOKEN), 401);
    fs::write(&path, "short").unwrap();
    let degraded = || doorward.ready().text().contains("admin.token_file").then_some(());
    eventually("it is told that the file can't be used", degraded);
    // It is served, and told that not all that is on disk is in force.
    assert_eq!((status(next), status("short"), status("")), (503, 401, 401));
}

#[test]
fn admin_command_over_tcp_without_a_token_file_is_refused_with_the_remedy() {
    let doorward = Doorward::start(&users::alice(), &["--admin-listen", "127.0.0.1:0"]);
    for request in
        [flush(), bearer(flush(), ""), bearer(flush(), TOKEN), Request::get("/api-keys").host("localhost")]
    {
        let answer = doorward.admin(&request);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(
            answer.text().contains("admin.token_file") && answer.text().contains("unix socket"),
            "{answer:?}"
        );
    }
    let by_socket = Doorward::start(&users::alice(), &[]);
    assert!(matches!(by_socket.admin, Address::Unix(_)));
    assert_eq!(by_socket.admin(&Request::new("POST", "/flush")).status, 204, "a socket's mode guards it");
}

#[test]
fn connections_held_at_the_admin_listener_block_no_probe_command_or_auth_request() {
    raise_descriptors();
    let doorward = with_token(&["--admin-trusted-peers", "127.0.0.1", "--limits-header-timeout", "60s"]);
    let address = tcp(&doorward.admin);
    let from = |last: u8| Client::connect_from(Ipv4Addr::new(127, 0, 0, last), address, OF_DOORWARD);
    // One address takes what it can get, and so do some others.
    let mut held: Vec<Client> = (0..scaled(100, 1_000)).filter_map(|_| from(99).ok()).collect();
    held.extend((100..110).flat_map(|last| (0..20).filter_map(move |_| from(last).ok())));
    let ready = Request::get("/readyz").host("localhost");
    let mut probe = eventually("another address's probe finds a place", || {
        let mut client = from(50).ok()?;
        client.try_ask(&ready).ok()
    });
    assert_eq!((probe.status, &probe.text()[..]), (200, "ready\n"));
    probe.body.clear();
    assert_eq!(doorward.admin(&Request::get("/metrics").host("localhost")).status, 200);
    assert_eq!(doorward.admin(&bearer(flush(), TOKEN)).status, 204);
    assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200);
    let refused = doorward.metric("doorward_connections_rejected_total{listener=\"admin\"");
    println!("{} connections of untrusted peers at the admin listener: {refused} closed at once", held.len());
    assert!(refused > held.len() as f64 / 2.0);
    let answer = Client::connect_from(Ipv4Addr::new(127, 0, 0, 51), address, OF_DOORWARD)
        .unwrap()
        .ask(&Request::get("/metrics").host("localhost"));
    assert_eq!((answer.status, answer.header("connection")), (403, Some("close")));
}
