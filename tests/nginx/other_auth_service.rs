//! Another service in place of doorward.

use crate::support::client::{Request, basic};
use crate::support::free_port;
use crate::support::nginx::{Image, Nginx, alice, assert_json};
use crate::support::upstream::{Upstream, empty};

/// Starts nginx with an auth service at `/check/me?for=docker`. The backend returns `secret`.
fn before(kind: &str, answer: &str) -> (Nginx, Upstream, Upstream) {
    let auth = Upstream::start(answer);
    let backend = Upstream::start("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecret\n");
    let image = Image::new()
        .set("KIND", kind)
        .set("AUTH", format!("http://{}/check/me?for=docker", auth.address))
        .set("UPSTREAM", backend.address.to_string())
        .set("PLAIN_HTTP", "on");
    (Nginx::of(image), auth, backend)
}

#[test]
fn refusal_without_a_challenge_gets_a_challenge() {
    for (kind, target) in [("registry", "/v2/"), ("site", "/")] {
        let (nginx, auth, backend) = before(kind, &empty("401 Unauthorized"));
        for request in [Request::get(target), alice(Request::get(target)), Request::new("HEAD", target)] {
            let answer = nginx.ask(&request);
            assert_eq!(answer.status, 401, "{answer:?}");
            // The response contains the header only once.
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Basic realm=\"Registry\", charset=\"UTF-8\""));
        }
        for challenge in ["Basic realm=\"Theirs\"", "Bearer realm=\"https://auth.example.com/token\""] {
            let answer =
                format!("HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n");
            auth.say(&answer);
            assert_eq!(nginx.ask(&Request::get(target)).header("www-authenticate"), Some(challenge));
        }
        auth.say(&empty("200 OK"));
        let answer = nginx.ask(&alice(Request::get(target)));
        assert_eq!((&answer.text()[..], answer.header("www-authenticate")), ("secret\n", None));
        assert_eq!(backend.received().matches(" HTTP/1.1\r\n").count(), 1, "only what was permitted");
    }
}

#[test]
fn any_2xx_admits_and_identity_headers_of_the_client_are_dropped() {
    let (nginx, auth, backend) = before("site", "");
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n".to_owned(),
        empty("202 Accepted"),
        empty("206 Partial Content"),
    ] {
        auth.say(&answer);
        let request = alice(Request::get("/page")).header("X-Auth-User", "root").header("X-Auth-By", "me");
        assert_eq!(nginx.ask(&request).text(), "secret\n", "{answer}");
    }
    let received = backend.received();
    assert_eq!(received.matches("GET /page HTTP/1.1\r\n").count(), 5, "{received}");
    assert!(!received.contains("X-Auth") && !received.contains("root"), "{received}");
    assert!(!received.contains("Authorization"), "{received}");
    let named = "HTTP/1.1 200 OK\r\nX-Auth-User: carol\r\nContent-Length: 0\r\n\r\n";
    auth.say(named);
    assert_eq!(nginx.ask(&Request::get("/").header("X-Auth-User", "root")).status, 200);
    assert!(backend.received().contains("\r\nX-Auth-User: carol\r\n"), "{}", backend.received());
}

#[test]
fn another_auth_service_gets_the_same_headers_at_its_own_path_and_host() {
    let (nginx, auth, _backend) = before("site", &empty("200 OK"));
    let request =
        alice(Request::new("PUT", "/a%2Fb?c=d")).host("app.test:8443").header("X-Original-URI", "/");
    nginx.ask(&request.body("x"));
    let received = auth.received();
    assert!(received.starts_with("GET /check/me?for=docker HTTP/1.1\r\n"), "{received}");
    for line in [
        format!("Host: {}", auth.address),
        format!("Authorization: {}", basic("alice:wonderland")),
        "X-Original-URI: /a%2Fb?c=d".to_owned(),
        "X-Original-Method: PUT".to_owned(),
        "X-Original-Host: app.test".to_owned(),
        "X-Real-IP: 127.0.0.1".to_owned(),
    ] {
        assert_eq!(received.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {received}");
    }
}

#[test]
fn other_status_of_another_auth_service_is_refused() {
    let (nginx, auth, backend) = before("registry", "");
    for status in
        ["302 Found", "404 Not Found", "400 Bad Request", "429 Too Many Requests", "500 Oops", "503 No"]
    {
        auth.say(&empty(status));
        assert_json(&nginx.ask(&alice(Request::get("/v2/"))), 503, "UNAVAILABLE");
    }
    auth.say(&empty("403 Forbidden"));
    assert_json(&nginx.ask(&alice(Request::get("/v2/"))), 403, "DENIED");
    let nobody = Image::new().set("KIND", "registry").set("PLAIN_HTTP", "on");
    let nobody = nobody.set("AUTH", format!("http://127.0.0.1:{}/check", free_port()));
    let nginx = Nginx::of(nobody.set("UPSTREAM", backend.address.to_string()));
    assert_json(&nginx.ask(&alice(Request::get("/v2/"))), 503, "UNAVAILABLE");
    assert_eq!(backend.received(), "");
}
