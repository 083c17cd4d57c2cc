//! doorward fails, is throttling, or is down: the client gets 429, 502 or 503.

use rustix::process::Signal;

use super::ProtectedRegistry;
use crate::support::client::{Request, tcp, unix};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, Template, alice, assert_challenge, assert_json};
use crate::support::registry::Registry;
use crate::support::upstream::{Upstream, empty};
use crate::support::{eventually, free_port, users};

/// Starts nginx with an auth service that always sends this response.
fn behind(auth: &str) -> (Nginx, Upstream, Upstream) {
    let auth = Upstream::start(auth);
    let backend = Upstream::start("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecret\n");
    let nginx = Nginx::start(Template::Registry, auth.address, backend.address);
    (nginx, auth, backend)
}

#[test]
fn unreachable_doorward_gets_503_in_json_pitfalls_p4_and_p6() {
    let port = free_port();
    let (registry, listen) = (Registry::start(), format!("127.0.0.1:{port}"));
    let mut doorward = Doorward::start(&users::two(), &["--listen", &listen]);
    let nginx = Nginx::start(Template::Registry, &listen, registry.address);
    let mut kept = nginx.client();
    assert_eq!(kept.ask(&alice(Request::get("/v2/"))).status, 200);
    for how in [Signal::TERM, Signal::KILL] {
        doorward.signal(how);
        doorward.wait();
        for request in [
            alice(Request::get("/v2/")),
            Request::get("/v2/"),
            alice(Request::new("PUT", "/v2/a/manifests/b")).body("x"),
        ] {
            let answer = nginx.ask(&request);
            assert_json(&answer, 503, "UNAVAILABLE");
            assert_eq!(answer.header("retry-after"), Some("5"), "{answer:?}");
            assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
        }
        doorward.start_again();
        // doorward starts again at the same address, and nginx reaches it (pitfall P43).
        eventually("alice is admitted again", || {
            let answer = nginx.ask(&alice(Request::get("/v2/")));
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
            (answer.status == 200).then_some(())
        });
        assert_challenge(&nginx.ask(&Request::get("/v2/")));
        assert_challenge(&nginx.ask(&Request::get("/v2/").basic("alice", "x")));
    }
}

#[test]
fn restarted_doorward_on_a_unix_socket_is_found_pitfall_p43() {
    let dir = tempfile::tempdir().unwrap();
    let socket = unix(&dir.path().join("doorward.sock"));
    let registry = Registry::start();
    let mut doorward = Doorward::start(&users::two(), &["--listen", &socket]);
    let nginx = Nginx::start(Template::Registry, &socket, registry.address);
    for how in [Signal::TERM, Signal::KILL] {
        assert_eq!(nginx.ask(&alice(Request::get("/v2/"))).status, 200);
        assert_challenge(&nginx.ask(&Request::get("/v2/")));
        doorward.signal(how);
        doorward.wait();
        assert_json(&nginx.ask(&alice(Request::get("/v2/"))), 503, "UNAVAILABLE");
        doorward.start_again();
        eventually("alice is admitted again", || {
            (nginx.ask(&alice(Request::get("/v2/"))).status == 200).then_some(())
        });
    }
}

#[test]
fn frozen_doorward_gets_503_and_recovers() {
    let protected = ProtectedRegistry::start();
    assert_eq!(protected.ask(&alice(Request::get("/v2/"))).status, 200);
    protected.doorward.freeze();
    let answer = protected.ask(&alice(Request::get("/v2/")));
    protected.doorward.signal(Signal::CONT);
    assert_json(&answer, 503, "UNAVAILABLE");
    eventually("alice is admitted again", || {
        (protected.ask(&alice(Request::get("/v2/"))).status == 200).then_some(())
    });
}

#[test]
fn only_a_2xx_auth_response_admits_pitfall_p4() {
    let (nginx, auth, backend) = behind(&empty("200 OK"));
    assert_eq!(nginx.ask(&Request::get("/v2/")).text(), "secret\n", "the other side of it");
    let passed = backend.received();
    for code in [
        300, 301, 302, 304, 307, 400, 402, 404, 405, 407, 409, 413, 416, 418, 429, 431, 500, 501, 502, 503,
        504, 599,
    ] {
        auth.say(&empty(&format!("{code} Answer")));
        let answer = nginx.ask(&Request::get("/v2/"));
        assert_json(&answer, 503, "UNAVAILABLE");
    }
    auth.say("HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(nginx.ask(&Request::get("/v2/")).header("location"), None);
    auth.say(&empty("401 No"));
    assert_json(&nginx.ask(&Request::get("/v2/")), 401, "UNAUTHORIZED");
    auth.say(&empty("403 No"));
    assert_json(&nginx.ask(&Request::get("/v2/")), 403, "DENIED");
    assert_eq!(backend.received(), passed, "nothing reached what is protected");
}

#[test]
fn control_byte_in_a_header_gets_400_and_reaches_no_upstream() {
    for kind in ["registry", "site"] {
        let backend = Upstream::start(&empty("200 OK"));
        let doorward = Doorward::start(&users::two(), &[]);
        let image = Image::new().set("KIND", kind).set("PLAIN_HTTP", "on");
        let image = image.set("AUTH", tcp(&doorward.address).to_string());
        let nginx = Nginx::of(image.set("UPSTREAM", backend.address.to_string()));
        for request in [
            Request::get("/v2/").header("Authorization", "Basic \u{1}"),
            alice(Request::get("/v2/")).header("Content-Type", "text/\u{7f}"),
        ] {
            let answer = nginx.ask(&request);
            assert_eq!((answer.status, answer.header("retry-after")), (400, None), "{kind}: {answer:?}");
        }
        assert_eq!(backend.received(), "");
        // A tab is not a control byte in a header.
        let tab = alice(Request::get("/v2/")).header("Content-Type", "text/plain;\tcharset=utf-8");
        assert_eq!(nginx.ask(&tab).status, 200, "{kind}");
    }
}

#[test]
fn non_http_auth_response_is_refused() {
    let (nginx, auth, backend) = behind("");
    for rubbish in
        ["no HTTP at all\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "<html>200 OK</html>\r\n\r\n", "200 OK\r\n\r\n"]
    {
        auth.say(rubbish);
        let answer = nginx.ask(&alice(Request::get("/v2/")));
        assert_json(&answer, 503, "UNAVAILABLE");
    }
    assert_eq!(backend.received(), "");
}

#[test]
fn long_header_of_doorward_is_passed_on_pitfall_p10() {
    let long = "x".repeat(12_000);
    let (nginx, _auth, _backend) =
        behind(&format!("HTTP/1.1 200 OK\r\nX-Upstream-Authorization: {long}\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(nginx.ask(&Request::get("/v2/")).text(), "secret\n");
}

#[test]
fn inherited_error_pages_turn_no_refusal_into_success_as_in_cve_2026_24513_pitfall_p6() {
    let registry = Registry::start();
    let doorward = Doorward::start(&users::two(), &[]);
    // Directives that an http{} block can contain for another site.
    let lines = "    proxy_intercept_errors on;\n    error_page 401 403 404 500 502 503 504 =200 /oops;\n    satisfy any;\n";
    let nginx = Nginx::start_with(Template::Registry, tcp(&doorward.address), registry.address, lines);
    assert_eq!(nginx.ask(&alice(Request::get("/v2/"))).status, 200);
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
    assert_challenge(&nginx.ask(&Request::get("/v2/").basic("alice", "x")));
    drop(doorward);
    assert_json(&nginx.ask(&alice(Request::get("/v2/"))), 503, "UNAVAILABLE");
}

#[test]
fn inherited_proxy_cache_is_not_used_as_in_nginx_ldap_auth_103_pitfall_p5() {
    let registry = Registry::start();
    let doorward = Doorward::start(&users::two(), &[]);
    let dir = tempfile::tempdir().unwrap();
    let lines = format!(
        "    proxy_cache_path \"{}\" keys_zone=z:1m;\n    proxy_cache z;\n    proxy_cache_valid any 1h;\n    proxy_ignore_headers Cache-Control;\n",
        dir.path().display()
    );
    let nginx = Nginx::start_with(Template::Registry, tcp(&doorward.address), registry.address, &lines);
    assert_eq!(nginx.ask(&alice(Request::get("/v2/_catalog"))).status, 200);
    assert_challenge(&nginx.ask(&Request::get("/v2/_catalog")));
    assert_challenge(&nginx.ask(&Request::get("/v2/_catalog").basic("bob", "x")));
}

#[test]
fn throttled_client_gets_429_with_retry_after_from_nginx_pitfall_p4() {
    let protected = ProtectedRegistry::start_with(&users::two(), &["--throttle-user-failures", "2"]);
    let guess = |source, password: &str| {
        protected.nginx.ask_from(source, &Request::get("/v2/").basic("alice", password))
    };
    let (attacker, home) = ([127, 0, 66, 1], [127, 0, 0, 10]);
    assert_eq!(guess(home, "wonderland").status, 200);
    assert_challenge(&guess(attacker, "a"));
    assert_challenge(&guess(attacker, "b"));
    let wrong = guess(attacker, "c");
    assert_json(&wrong, 429, "TOOMANYREQUESTS");
    let wait: u64 = wrong.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=300).contains(&wait), "{wait}");
    assert_eq!(wrong.header("www-authenticate"), None);
    // The right password gets the same response. The user can still log in from another network.
    assert_eq!(guess(attacker, "wonderland").face(), wrong.face());
    assert_eq!(guess(home, "wonderland").status, 200);
    assert_challenge(&guess(home, "a"));
}

#[test]
fn unreachable_registry_gets_502_in_json() {
    let doorward = Doorward::start(&users::two(), &[]);
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let nginx = Nginx::start(Template::Registry, tcp(&doorward.address), nowhere);
    assert_json(&nginx.ask(&alice(Request::get("/v2/"))), 502, "UNAVAILABLE");
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
}
