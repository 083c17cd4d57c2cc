//! The headers of token requests and responses that nginx forwards.

use super::setup::TokenSetup;
use super::{FakeServices, TOKEN, token_reply};
use crate::support::api::{Call, Reply};
use crate::support::client::{Answer, Request, basic};
use crate::support::nginx::assert_request_id;

const MODES: [&str; 2] = ["mixed", "registry"];

const FORM: &str = "application/x-www-form-urlencoded";

/// Adds all headers with which a client could make false claims.
fn hostile(request: Request) -> Request {
    let claims = [
        ("Cookie", "a=b"),
        ("Range", "bytes=0-1"),
        ("If-None-Match", "\"x\""),
        ("Accept-Encoding", "gzip"),
        ("Forwarded", "for=192.0.2.1;host=evil.test;proto=https"),
        ("X-Real-IP", "192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "https"),
        ("X-Original-Host", "evil.test"),
        ("X-Original-URI", "/v2/"),
        ("X-Original-Method", "GET"),
        ("X-Request-ID", "mine"),
        ("X-Auth-User", "root"),
        ("X-Auth-Proxy-Secret", "guessed"),
        ("X-Upstream-Authorization", "Basic eDp5"),
        ("Proxy-Authorization", "Basic eDp5"),
    ];
    claims.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Returns the only request for `/token` that doorward received.
fn token_request(services: &FakeServices) -> Call {
    let calls: Vec<Call> = services.doorward.calls().into_iter().filter(|c| c.path() == "/token").collect();
    let [call] = &calls[..] else { panic!("not one call: {calls:?}") };
    call.clone()
}

#[test]
fn doorward_gets_only_listed_headers_of_a_token_request() {
    for mode in MODES {
        let services = FakeServices::start(mode, |_| token_reply());
        let query = "service=registry.test&scope=repository%3Ahost%3A5000%2Fa%3Apull,push&scope=&account=a+b";
        let request = hostile(Request::get(&format!("/token?{query}"))).host("Registry.test:8443");
        assert_eq!(services.nginx.ask(&request.basic("alice", "wonderland")).status, 200);
        let call = token_request(&services);
        assert_eq!((&call.method[..], &call.target[..]), ("GET", &format!("/token?{query}")[..]));
        let wanted =
            ["authorization", "host", "x-forwarded-proto", "x-original-host", "x-real-ip", "x-request-id"];
        assert_eq!(call.names(), wanted, "{mode}");
        assert_eq!(call.basic(), Some(("alice".to_owned(), "wonderland".to_owned())));
        assert_eq!(call.header("host"), "doorward");
        assert_eq!(call.header("x-original-host"), "registry.test");
        assert_eq!(call.header("x-real-ip"), "127.0.0.1");
        assert_eq!(call.header("x-forwarded-proto"), "http");
        assert_request_id(call.header("x-request-id"));
        assert_eq!(services.registry.count(), 0);
    }
}

#[test]
fn form_request_is_forwarded_unchanged_with_its_content_type() {
    for mode in MODES {
        let services = FakeServices::start(mode, |_| token_reply());
        let form = "grant_type=password&service=r&username=alice&password=w%26nderland&scope=";
        let request = hostile(Request::new("POST", "/token")).header("Content-Type", FORM);
        assert_eq!(services.nginx.ask(&request.clone().chunked(form.as_bytes())).status, 200);
        let call = token_request(&services);
        assert_eq!((&call.method[..], &call.target[..]), ("POST", "/token"));
        assert_eq!(call.body, form.as_bytes(), "{call:?}");
        let wanted = [
            "content-length",
            "content-type",
            "host",
            "x-forwarded-proto",
            "x-original-host",
            "x-real-ip",
            "x-request-id",
        ];
        assert_eq!(call.names(), wanted, "{mode}");
        assert_eq!(call.header("content-type"), FORM);
        assert_eq!(services.nginx.ask(&request.body(form)).status, 200);
    }
}

#[test]
fn token_path_has_one_spelling_and_others_are_refused() {
    for mode in MODES {
        let services = FakeServices::start(mode, |_| token_reply());
        for path in ["//token", "/x/../token", "/%74oken", "/./token", "/v2/../token", "/token;x"] {
            assert_eq!(services.nginx.ask(&Request::get(path)).status, 400, "{path}");
        }
        assert_eq!(services.doorward.count(), 0, "{mode}");
        assert_eq!(services.nginx.ask(&Request::get("/token")).status, 200);
        let count = services.doorward.count();
        for path in ["/token/", "/token/x", "/tokens", "/Token", "/jwks", "/auth", "/refused"] {
            assert_eq!(services.nginx.ask(&Request::get(path)).status, 404, "{path}");
        }
        assert_eq!(services.nginx.ask(&Request::get("/token%2F")).status, 400);
        assert_eq!(services.doorward.count(), count);
    }
}

#[test]
fn control_bytes_in_token_request_headers_are_refused() {
    let setup = TokenSetup::start("registry");
    for (name, value) in [("Authorization", "Basic \u{1}"), ("Content-Type", "text/\u{7f}")] {
        assert_eq!(setup.nginx.ask(&Request::get("/token").header(name, value)).status, 400, "{name}");
    }
}

/// Returns all headers of a response except the date.
fn headers(answer: &Answer) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| name != "date")
        .map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn token_response_reaches_the_client_unchanged() {
    let says = |call: &Call| {
        let status = call.target.rsplit('=').next().unwrap().parse().unwrap();
        let errors =
            format!("{{\"errors\":[{{\"code\":\"X\",\"message\":\"{status}\",\"detail\":null}}]}}\n");
        let answer = Reply::Say(status, vec![], errors.into_bytes())
            .with("Content-Type", "application/json")
            .with("Cache-Control", "no-store");
        match status {
            200 => token_reply(),
            401 => answer.with("WWW-Authenticate", "Basic realm=\"Registry\", charset=\"UTF-8\""),
            429 | 503 => answer.with("Retry-After", 17),
            _ => answer,
        }
        // Headers that are for nginx must not reach the client.
        .with("X-Auth-Reason", "secret")
        .with("X-Auth-User", "alice")
    };
    for mode in MODES {
        let services = FakeServices::start(mode, says);
        for status in [200, 400, 401, 404, 405, 413, 429, 500, 502, 503] {
            let answer = services.nginx.ask(&Request::get(&format!("/token?status={status}")));
            assert_eq!(answer.status, status, "{answer:?}");
            let body = if status == 200 {
                format!("{{\"token\":\"{TOKEN}\"}}")
            } else {
                format!("{{\"errors\":[{{\"code\":\"X\",\"message\":\"{status}\",\"detail\":null}}]}}\n")
            };
            assert_eq!(answer.text(), body);
            let mut wanted = vec![
                ("cache-control", "no-store".to_owned()),
                ("connection", "keep-alive".to_owned()),
                ("content-length", body.len().to_string()),
                ("content-type", "application/json".to_owned()),
                ("server", "nginx".to_owned()),
            ];
            match status {
                401 => wanted
                    .push(("www-authenticate", "Basic realm=\"Registry\", charset=\"UTF-8\"".to_owned())),
                429 | 503 => wanted.insert(4, ("retry-after", "17".to_owned())),
                _ => {}
            }
            let wanted: Vec<(String, String)> =
                wanted.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            assert_eq!(headers(&answer), wanted, "{mode} {status}");
        }
    }
}

#[test]
fn token_requests_share_one_connection_and_survive_its_close_pitfall_p9() {
    let mut services = FakeServices::start("registry", |_| token_reply());
    let form = || Request::new("POST", "/token").header("Content-Type", FORM).body("grant_type=password");
    let mut client = services.nginx.client();
    for _ in 0..3 {
        for _ in 0..10 {
            assert_eq!(client.ask(&form()).status, 200);
            assert_eq!(client.ask(&Request::get("/token").header("Authorization", basic("a:b"))).status, 200);
        }
        // As after a restart of doorward: the kept connection of nginx is dead.
        services.doorward.go();
        services.doorward.come();
        assert_eq!(client.ask(&form()).status, 200, "a form is asked again, too");
    }
}
