//! nginx in front of a registry that verifies tokens itself.

use super::{FakeServices, TOKEN, image, token_reply};
use crate::support::api::{Api, Reply};
use crate::support::client::{Request, basic};
use crate::support::nginx::{Nginx, assert_json};

#[test]
fn registry_gets_tokens_and_no_password_or_api_key_pitfall_p27() {
    let services = FakeServices::start("registry", |_| token_reply());
    let passed = |value: &str| {
        let before = services.registry.count();
        let answer = services.nginx.ask(&Request::get("/v2/").header("Authorization", value));
        let calls = services.registry.calls();
        assert_eq!((answer.status, calls.len()), (200, before + 1), "{value}: {answer:?}");
        calls[before].header("authorization").to_owned()
    };
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {TOKEN}");
        assert_eq!(passed(&value), value, "as the client sent it");
    }
    for value in [
        basic("alice:wonderland"),
        basic(format!("alice:{TOKEN}")),
        format!("Basic {TOKEN}"),
        "Bearer dwk_abcdefgh_secret".to_owned(),
        "Bearer".to_owned(),
        format!("Bearer  {TOKEN}"),
        format!("Bearer {TOKEN} x"),
        format!("Bearer {TOKEN}.x"),
        format!("Bearer {TOKEN}, {}", basic("alice:wonderland")),
        format!("Digest {TOKEN}"),
        TOKEN.to_owned(),
    ] {
        assert_eq!(passed(&value), "", "{value}");
    }
    assert_eq!(services.doorward.count(), 0, "it is the registry who judges");
}

#[test]
fn verifying_registry_gets_the_client_address_and_no_forged_headers() {
    let services = FakeServices::start("registry", |_| token_reply());
    let request = Request::new("POST", "/v2/a%3Ab/blobs/uploads/?from=c%2Fd&mount=x")
        .host("registry.test:8443")
        .header("X-Auth-User", "root")
        .header("X-Auth-Groups", "admins")
        .header("X-Upstream-Authorization", "Basic eDp5")
        .header("Forwarded", "host=evil.test")
        .header("X-Forwarded-Host", "evil.test")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Range", "bytes=0-1")
        .header("Authorization", format!("Bearer {TOKEN}"));
    assert_eq!(services.nginx.ask(&request.body("from=e")).status, 200);
    let call = &services.registry.calls()[0];
    assert_eq!(call.target, "/v2/a%3Ab/blobs/uploads/?from=c%2Fd&mount=x", "as the client sent it");
    for (name, value) in [
        ("host", "registry.test:8443"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-real-ip", ""),
        ("content-type", "application/octet-stream"),
        ("range", "bytes=0-1"),
        ("x-auth-user", ""),
        ("x-auth-groups", ""),
        ("x-upstream-authorization", ""),
        ("forwarded", ""),
        ("x-forwarded-host", ""),
    ] {
        assert_eq!(call.header(name), value, "{name}");
    }
    assert_eq!(call.body, b"from=e");
}

/// Starts a registry that refuses requests in the format of distribution.
fn refuses() -> Api {
    Api::start(|call| {
        let realm = "Bearer realm=\"https://registry.example.com/token\",service=\"registry.example.com\"";
        let challenge = match (call.path(), call.header("authorization")) {
            ("/v2/", _) => realm.to_owned(),
            (_, "") => format!("{realm},scope=\"repository:a/b:pull,push\""),
            _ => format!("{realm},scope=\"repository:a/b:pull\",error=\"insufficient_scope\""),
        };
        let text = "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\",\"detail\":null}]}\n";
        Reply::Say(401, vec![], text.into())
            .with("Content-Type", "application/json; charset=utf-8")
            .with("Docker-Distribution-Api-Version", "registry/2.0")
            .with("Www-Authenticate", challenge)
            .with("X-Content-Type-Options", "nosniff")
    })
}

#[test]
fn registry_challenge_reaches_the_client_unchanged() {
    let doorward = Api::start(|_| token_reply());
    let registry = refuses();
    let nginx = Nginx::of(image("registry", (doorward.address, doorward.address), registry.address));
    let realm = "Bearer realm=\"https://registry.example.com/token\",service=\"registry.example.com\"";
    for host in ["registry.example.com", "evil.test", "127.0.0.1:5000"] {
        let ask = |request: Request| {
            let request = request.host(host).header("X-Forwarded-Host", "evil.test");
            let answer = nginx.ask(&request.header("Forwarded", "host=evil.test"));
            assert_eq!(answer.status, 401, "{answer:?}");
            assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
            assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
            answer
        };
        let told = |answer: &crate::support::client::Answer| {
            answer.header("www-authenticate").unwrap_or_default().to_owned()
        };
        assert_eq!(told(&ask(Request::get("/v2/"))), realm);
        // A client that sends a password gets the address of the token service.
        assert_eq!(told(&ask(Request::get("/v2/").basic("alice", "wonderland"))), realm);
        let push = ask(Request::new("POST", "/v2/a/b/blobs/uploads/").body(""));
        assert_eq!(told(&push), format!("{realm},scope=\"repository:a/b:pull,push\""));
        assert_eq!(push.header("x-content-type-options"), Some("nosniff"));
        let pull = Request::get("/v2/a/b/manifests/c").header("Authorization", format!("Bearer {TOKEN}"));
        let wanted = format!("{realm},scope=\"repository:a/b:pull\",error=\"insufficient_scope\"");
        assert_eq!(told(&ask(pull)), wanted);
        assert_eq!(told(&ask(Request::new("HEAD", "/v2/"))), realm);
    }
    let calls = registry.calls();
    assert!(calls.iter().all(|call| !call.header("authorization").contains("Basic")), "{calls:?}");
}

#[test]
fn mixed_mode_sends_no_token_to_the_registry_and_hides_its_challenge() {
    let doorward = Api::start(|_| Reply::status(200));
    let registry = refuses();
    let nginx = Nginx::of(image("mixed", (doorward.address, doorward.address), registry.address));
    let answer = nginx.ask(&Request::get("/v2/").header("Authorization", format!("Bearer {TOKEN}")));
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, None), "{answer:?}");
    let told = doorward.calls().remove(0);
    assert_eq!(told.header("authorization"), format!("Bearer {TOKEN}"), "doorward is who verifies");
    assert_eq!(registry.calls()[0].header("authorization"), "", "and the registry gets none");
}

#[test]
fn unreachable_registry_gets_502_and_a_non_registry_path_404() {
    let mut services = FakeServices::start("registry", |_| token_reply());
    services.registry.go();
    let answer = services.nginx.ask(&Request::get("/v2/a/manifests/b"));
    assert_json(&answer, 502, "UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), Some("5"));
    for path in ["/", "/v1/_ping", "/v2x", "/V2/"] {
        assert_json(&services.nginx.ask(&Request::get(path)), 404, "UNSUPPORTED");
    }
}
