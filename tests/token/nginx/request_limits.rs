//! Rate, size and method limits of nginx for token requests.

use super::{FakeServices, token_reply};
use crate::support::api::Reply;
use crate::support::client::{Answer, Request};
use crate::support::eventually;

/// The number of token requests that a client can send at once: one, and the burst.
const AT_ONCE: usize = 201;

/// Checks a JSON refusal that nginx itself sends.
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert!(answer.header("x-request-id").is_some(), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
    let waits = matches!(status, 429 | 503).then_some("5");
    assert_eq!(answer.header("retry-after"), waits, "{answer:?}");
    let text = answer.text();
    assert!(text.starts_with(&format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"")), "{text}");
    assert!(text.ends_with("\",\"detail\":null}]}\n"), "{text}");
}

/// Returns how many of `count` requests succeed before the first refusal.
fn answered(count: usize, mut ask: impl FnMut() -> Answer) -> usize {
    for number in 0..count {
        let answer = ask();
        if answer.status != 200 {
            assert_refused(&answer, 429, "TOOMANYREQUESTS");
            return number;
        }
    }
    count
}

#[test]
fn client_above_the_token_rate_gets_429_and_others_do_not_pitfall_p25() {
    let services = FakeServices::start("registry", |_| token_reply());
    let ask = || services.nginx.ask(&Request::get("/token"));
    let count = answered(10 * AT_ONCE, ask);
    // The rate allows some more requests during the test.
    assert!((AT_ONCE..5 * AT_ONCE).contains(&count), "{count}");
    assert_eq!(services.doorward.count(), count, "doorward never heard of the others");
    let other = |address| services.nginx.ask_from(address, &Request::get("/token")).status;
    assert_eq!(other([127, 0, 0, 2]), 200);
    // Requests for other paths are not limited.
    for _ in 0..3 * AT_ONCE {
        assert_eq!(services.nginx.ask(&Request::get("/v2/")).status, 200);
    }
    eventually("it may ask again", || (ask().status == 200).then_some(()));
}

#[test]
fn ipv6_clients_are_rate_limited_by_64_bit_prefix() {
    let services =
        FakeServices::start_with("mixed", |_| token_reply(), |image| image.set("REAL_IP_FROM", "127.0.0.1"));
    let mut number = 0;
    let mut from = |network: &str| {
        number += 1;
        let address = format!("{network}:{:x}:{number:x}", number % 7);
        services.nginx.ask(&Request::get("/token").header("X-Forwarded-For", address))
    };
    let count = answered(10 * AT_ONCE, || from("2001:db8:0:1:a:b"));
    assert!((AT_ONCE..5 * AT_ONCE).contains(&count), "{count}");
    assert_eq!(from("2001:db8:0:2:a:b").status, 200);
    assert_eq!(from("2001:db8:1:1:a:b").status, 200);
    let told = services.doorward.calls().pop().unwrap();
    assert!(told.header("x-real-ip").starts_with("2001:db8:1:1:a:b:"), "{told:?}");
}

#[test]
fn form_above_16_kib_is_refused() {
    let services = FakeServices::start("registry", |_| token_reply());
    let post = |length: usize, chunked: bool| {
        let request =
            Request::new("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
        let body = vec![b'a'; length];
        services.nginx.ask(&if chunked { request.chunked(&body) } else { request.body(body) })
    };
    for chunked in [false, true] {
        assert_eq!(post(16 << 10, chunked).status, 200);
        assert_eq!(services.doorward.calls().pop().unwrap().body.len(), 16 << 10);
        assert_refused(&post((16 << 10) + 1, chunked), 413, "SIZE_INVALID");
        assert_refused(&post(1 << 20, chunked), 413, "SIZE_INVALID");
    }
    assert_eq!(services.doorward.count(), 2);
}

#[test]
fn token_request_accepts_only_get_and_post() {
    for mode in ["mixed", "registry"] {
        let services = FakeServices::start(mode, |_| token_reply());
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "FOO"] {
            let body = if matches!(method, "DELETE" | "OPTIONS") { "" } else { "x" };
            let answer = services.nginx.ask(&Request::new(method, "/token").body(body));
            assert_refused(&answer, 405, "UNSUPPORTED");
            assert_eq!(answer.header("allow"), Some("GET, POST"));
        }
        assert_eq!(services.nginx.ask(&Request::new("HEAD", "/token")).status, 405);
        assert_eq!(services.nginx.ask(&Request::new("TRACE", "/token")).status, 405);
        assert_eq!(services.doorward.count(), 0);
    }
}

#[test]
fn token_request_while_doorward_is_down_gets_503_in_json_and_recovers_pitfall_p4() {
    for mode in ["mixed", "registry"] {
        let mut services = FakeServices::start(mode, |call| match &call.target[..] {
            "/token?break" => Reply::Break,
            "/token?half" => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
            _ => token_reply(),
        });
        for query in ["break", "half"] {
            let answer = services.nginx.ask(&Request::get(&format!("/token?{query}")));
            assert_refused(&answer, 503, "UNAVAILABLE");
        }
        services.doorward.go();
        for request in [Request::get("/token").basic("a", "b"), Request::new("POST", "/token").body("a=b")] {
            assert_refused(&services.nginx.ask(&request), 503, "UNAVAILABLE");
        }
        services.doorward.come();
        eventually("it is there again", || {
            (services.nginx.ask(&Request::get("/token")).status == 200).then_some(())
        });
    }
}
