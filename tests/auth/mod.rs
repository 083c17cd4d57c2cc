//! The verdict of `/auth`: allow, challenge, forbid, and what each response contains.

mod cached_answers;
mod flush;
mod http_framing;
mod indistinguishable_refusals;
mod malformed_requests;
mod trusted_peers;

use crate::support::client::{Answer, Request, basic};
use crate::support::doorward::Doorward;
use crate::support::users;

/// Checks the properties of every response of `/auth`.
fn assert_well_formed(answer: &Answer) {
    assert_eq!(answer.header("content-length"), Some("0"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("content-type"), None, "{answer:?}");
    assert_eq!(answer.body, b"", "{answer:?}");
}

/// Checks that the request is allowed as `user`.
fn assert_allow(answer: &Answer, user: &[u8]) {
    assert_well_formed(answer);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.raw("x-auth-user"), Some(user), "{answer:?}");
    assert_eq!(answer.header("x-auth-groups"), Some(""), "{answer:?}");
    assert_eq!(answer.header("x-auth-by"), Some("htpasswd"), "{answer:?}");
    assert_eq!(answer.header("x-auth-stale"), Some(""), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), None, "{answer:?}");
}

/// Checks that the response names no user.
fn assert_no_user(answer: &Answer) {
    for name in ["x-auth-user", "x-auth-groups", "x-auth-by", "x-auth-stale"] {
        assert_eq!(answer.header(name), None, "{answer:?}");
    }
}

/// Checks for a 401 with exactly one challenge (pitfall P13).
fn assert_challenge(answer: &Answer) {
    assert_well_formed(answer);
    assert_no_user(answer);
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"Registry\", charset=\"UTF-8\""), "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), None, "the client can't tell which: {answer:?}");
}

/// Checks for a 403 with a reason for nginx.
fn assert_forbid(answer: &Answer, reason: &str) {
    assert_well_formed(answer);
    assert_no_user(answer);
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some(reason), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
}

#[test]
fn right_password_is_allowed_and_any_other_is_challenged() {
    let doorward = Doorward::start(&users::two(), &[]);
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
    assert_allow(&doorward.ask(&Request::auth().basic("bob", "builder")), b"bob");
    assert_challenge(&doorward.ask(&Request::auth().basic("alice", "builder")));
    assert_challenge(&doorward.ask(&Request::auth().basic("alice", "wonderlan")));
    assert_challenge(&doorward.ask(&Request::auth().basic("alice", "wonderlandd")));
    assert_challenge(&doorward.ask(&Request::auth().basic("alice", "Wonderland")));
    // Later requests get the same responses from the cache.
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
    assert_challenge(&doorward.ask(&Request::auth().basic("alice", "builder")));
}

#[test]
fn request_without_credentials_is_challenged_for_every_path_pitfall_p12() {
    let doorward = Doorward::start(&users::alice(), &[]);
    assert_challenge(&doorward.ask(&Request::auth()));
    for uri in ["/v2/", "/v2/_catalog", "/", "", "//", "/%zz", "*"] {
        assert_challenge(&doorward.ask(&Request::auth().header("X-Original-URI", uri)));
    }
    // docker sends a request without credentials before each command, which is not counted as a failure.
    assert_eq!(doorward.metric("doorward_throttle_failures_total"), 0.0);
}

#[test]
fn auth_answers_every_method_alike() {
    let doorward = Doorward::start(&users::alice(), &[]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"] {
        let request = Request::new(method, "/auth");
        assert_allow(&doorward.ask(&request.clone().basic("alice", "wonderland")), b"alice");
        assert_challenge(&doorward.ask(&request.clone().basic("alice", "looking-glass")));
        assert_challenge(&doorward.ask(&request));
    }
}

#[test]
fn query_of_the_auth_request_is_ignored() {
    let doorward = Doorward::start(&users::alice(), &[]);
    assert_allow(&doorward.ask(&Request::get("/auth?x=1").basic("alice", "wonderland")), b"alice");
    assert_challenge(&doorward.ask(&Request::get("/auth?user=alice&status=200")));
}

#[test]
fn unknown_path_gets_404_without_details() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let paths = [
        "/",
        "/auth/",
        "/AUTH",
        "/Auth",
        "/auth/x",
        "/authx",
        "/v2/",
        "/metrics",
        "/flush",
        "/auth;x",
        "/livez",
        "/readyz",
        "/jwks",
        "/refused",
        "/api-keys",
        "/%61uth",
        "/auth/nginx/",
        "/auth/Nginx",
        "/auth/traefik",
        "//auth",
        "/./auth",
        "/x/../auth",
        "/auth/refused/",
        "/auth%2Frefused",
        "/auth/%72efused",
    ];
    for path in paths {
        for request in [Request::get(path).basic("alice", "wonderland"), Request::get(path)] {
            let answer = doorward.ask(&request);
            assert_eq!(answer.status, 404, "{path}: {answer:?}");
            assert_no_user(&answer);
            assert_eq!(answer.header("content-length"), Some("0"), "{path}");
        }
    }
    let flush = doorward.ask(&Request::new("POST", "/flush"));
    assert_eq!(flush.status, 404, "only the private listener flushes");
}

#[test]
fn request_id_is_echoed_up_to_its_length_limit() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let id = "0123456789abcdef0123456789abcdef";
    let allowed = Request::auth().basic("alice", "wonderland").header("X-Request-ID", id);
    assert_eq!(doorward.ask(&allowed).header("x-request-id"), Some(id));
    let refused = Request::auth().header("X-Request-ID", id);
    assert_eq!(doorward.ask(&refused).header("x-request-id"), Some(id));
    assert_eq!(doorward.ask(&Request::auth()).header("x-request-id"), None);
    let endless = Request::auth().header("X-Request-ID", "x".repeat(5000));
    assert_eq!(doorward.ask(&endless).header("x-request-id"), None);
}

#[test]
fn health_probes_are_public_and_not_served_as_auth() {
    let flags = ["--admin-listen", "127.0.0.1:0", "--admin-trusted-peers", "192.0.2.1"];
    let doorward = Doorward::start(&users::alice(), &flags);
    let alive = doorward.admin(&Request::get("/livez").host("localhost"));
    assert_eq!((alive.status, &alive.text()[..]), (200, "alive\n"));
    let ready = doorward.ready();
    assert_eq!((ready.status, &ready.text()[..]), (200, "ready\n"));
    assert_no_user(&alive);
    assert_no_user(&ready);
}

#[test]
fn user_agent_of_a_health_checker_grants_nothing_as_in_ghsa_5hvv_m4w4_gf6v() {
    let doorward = Doorward::start(&users::alice(), &[]);
    for agent in ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0"] {
        assert_challenge(&doorward.ask(&Request::auth().header("User-Agent", agent)));
    }
}

#[test]
fn configured_realm_is_sent_in_the_challenge() {
    let doorward = Doorward::start(&users::alice(), &["--realm", "Zoë's images"]);
    let answer = doorward.ask(&Request::auth());
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Zoë's images\", charset=\"UTF-8\""));
}

#[test]
fn refusal_is_logged_with_its_reason_and_without_the_password() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let request = Request::auth().from("192.0.2.7").header("X-Original-URI", "/v2/?token=geheim");
    let sent = basic("alice:looking-glass");
    assert_challenge(&doorward.ask(&request.clone().header("Authorization", &sent)));
    assert_allow(&doorward.ask(&request.basic("alice", "wonderland")), b"alice");
    // Another thread writes the log.
    let log = crate::support::eventually("a line for the refusal", || {
        let log = doorward.log();
        log.contains("request denied").then_some(log)
    });
    let line = log.lines().find(|line| line.contains("request denied")).expect("a line for the refusal");
    for part in
        ["verdict=\"challenge\"", "reason=\"wrong_credentials\"", "user=\"alice\"", "client=\"192.0.2.7\""]
    {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    for secret in ["looking-glass", "wonderland", "geheim", sent.trim_start_matches("Basic ")] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(!log.contains("request allowed"), "what is allowed is logged only where that is asked for");
}

#[test]
fn flood_of_refusals_is_rate_limited_in_the_log() {
    let doorward = Doorward::start(&users::alice(), &["--log-denials-per-second", "1"]);
    let mut client = doorward.client();
    for number in 0..300 {
        client.ask(&Request::auth().header("Authorization", format!("Basic !{number}")));
    }
    let lines = doorward.log().lines().filter(|line| line.contains("request denied")).count();
    let suppressed = doorward.metric("doorward_log_lines_suppressed_total");
    assert!(lines < 200, "{lines} lines");
    assert_eq!(lines + suppressed as usize, 300);
}
