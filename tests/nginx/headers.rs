//! Headers that reach doorward and the registry.

use super::ProtectedRegistry;
use crate::support::client::{Request, basic, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Nginx, Template, alice, assert_request_id};
use crate::support::registry::Registry;
use crate::support::upstream::Tap;
use crate::support::users;

/// Starts nginx with a tap before doorward and one before the registry.
fn tapped() -> (ProtectedRegistry, Tap, Tap) {
    let (registry, doorward) = (Registry::start(), Doorward::start(&users::two(), &[]));
    let (to_doorward, to_registry) = (Tap::start(tcp(&doorward.address)), Tap::start(registry.address));
    let nginx = Nginx::start(Template::Registry, to_doorward.address, to_registry.address);
    (ProtectedRegistry { nginx, doorward, _registry: registry }, to_doorward, to_registry)
}

/// Returns the headers of the one request in `text`, with names in lower case.
fn headers(text: &str) -> Vec<(String, String)> {
    let head = text.split_once("\r\n\r\n").expect("a head").0;
    let pair =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    head.lines().skip(1).map(|line| pair(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

fn value<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let mut values = headers.iter().filter(|(n, _)| n == name).map(|(_, value)| &value[..]);
    let value = values.next();
    assert_eq!(values.next(), None, "{name} is there twice: {headers:?}");
    value
}

#[test]
fn doorward_gets_the_original_request_and_no_client_set_proxy_headers() {
    let (protected, to_doorward, _tap) = tapped();
    let request = alice(Request::new("PUT", "/v2/a/manifests/b?x=%2F"))
        .host("Registry.test:8443")
        .header("X-Original-URI", "/public")
        .header("X-Original-Method", "GET")
        .header("X-Original-Host", "evil.test")
        .header("X-Real-IP", "192.0.2.66")
        .header("X-Forwarded-For", "192.0.2.66")
        .header("X-Forwarded-Proto", "gopher")
        .header("X-Forwarded-Uri", "/public")
        .header("X-Forwarded-Prefix", "/public")
        .header("X-Request-ID", "forged")
        .header("X-Auth-User", "root")
        .header("X-Auth-Rewrite", "no")
        .header("X_Real_IP", "192.0.2.66")
        .header("X.Real.IP", "192.0.2.66")
        .header("Cookie", "session=1")
        .header("Content-Type", "text/plain");
    protected.ask(&request.body("x"));
    let text = to_doorward.received();
    assert!(text.starts_with("GET /auth HTTP/1.1\r\n"), "{text}");
    let headers = headers(&text);
    let credentials = basic("alice:wonderland");
    let expected = [
        ("authorization", &credentials[..]),
        ("x-original-uri", "/v2/a/manifests/b?x=%2F"),
        ("x-original-method", "PUT"),
        ("x-original-host", "registry.test"),
        ("x-original-content-type", "ct:text/plain"),
        ("x-auth-rewrite", "yes"),
        ("x-real-ip", "127.0.0.1"),
    ];
    for (name, wanted) in expected {
        assert_eq!(value(&headers, name), Some(wanted), "{name}");
    }
    assert_request_id(value(&headers, "x-request-id").unwrap());
    let others: Vec<&str> = headers
        .iter()
        .map(|(name, _)| &name[..])
        .filter(|name| {
            !expected.iter().any(|(known, _)| known == name) && !matches!(*name, "host" | "x-request-id")
        })
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn password_does_not_reach_the_registry_pitfall_p27() {
    let (protected, _tap, to_registry) = tapped();
    let request =
        alice(Request::get("/v2/_catalog")).header("Proxy-Authorization", basic("alice:wonderland"));
    assert_eq!(protected.ask(&request).status, 200);
    let received = to_registry.received().to_lowercase();
    assert!(received.starts_with("get /v2/_catalog http/1.1\r\n"), "{received}");
    assert!(!received.contains("authorization"), "{received}");
    let pair = basic("alice:wonderland").to_lowercase().replace("basic ", "");
    assert!(!received.contains(&pair), "{received}");
    assert!(!protected.nginx.log().contains(&basic("alice:wonderland")[6..]), "nor the log");
}

#[test]
fn registry_gets_no_identity_header_as_in_ghsa_7r4p_vjf4_gxv4() {
    let (protected, _tap, to_registry) = tapped();
    let forged = [
        "X-Auth-User",
        "x-aUTH-uSER",
        "X_Auth_User",
        "X.Auth.User",
        "Remote-User",
        "X-Forwarded-User",
        "X-Auth-Groups",
        "X-Auth-By",
    ];
    for name in forged {
        to_registry.forget();
        assert_eq!(
            protected.ask(&Request::get("/v2/").basic("bob", "builder").header(name, "root")).status,
            200
        );
        let received = to_registry.received();
        assert!(!received.contains("root"), "{name}: {received}");
        assert!(!received.to_lowercase().contains("x-auth-"), "{name}: {received}");
    }
}

#[test]
fn forwarding_headers_of_the_client_do_not_reach_the_registry_pitfall_p14() {
    let (protected, _tap, to_registry) = tapped();
    let names = [
        "Forwarded",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Original-URI",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "Proxy",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Real-IP",
    ];
    let request =
        names.iter().fold(alice(Request::get("/v2/")), |request, name| request.header(name, "evil.test"));
    assert_eq!(protected.ask(&request).status, 200);
    let received = to_registry.received();
    assert!(!received.contains("evil.test"), "{received}");
    let headers = headers(&received);
    assert_eq!(value(&headers, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(value(&headers, "x-forwarded-proto"), Some("http"));
    assert_eq!(value(&headers, "host"), Some("doorward.test"));
}

#[test]
fn absolute_request_line_and_host_header_are_read_alike_by_nginx_and_the_registry() {
    let (protected, to_doorward, to_registry) = tapped();
    let request = alice(Request::get("http://public.test/v2/_catalog")).host("secret.test");
    assert_eq!(protected.ask(&request).status, 200);
    let (judged, done) = (to_doorward.received(), to_registry.received());
    let judged = headers(&judged);
    let done = headers(&done);
    assert_eq!(value(&judged, "x-original-host"), value(&done, "host"), "what was judged is what is done");
}

#[test]
fn body_of_a_refused_upload_does_not_reach_the_registry() {
    let (protected, _tap, to_registry) = tapped();
    let body = vec![b'x'; 1 << 16];
    let refused = Request::new("PUT", "/v2/a/blobs/uploads/x").basic("alice", "x");
    assert_eq!(protected.ask(&refused.body(body)).status, 401);
    assert_eq!(to_registry.received(), "");
    assert_eq!(to_registry.connections(), 0);
}

#[test]
fn two_authorization_headers_are_refused() {
    let (protected, _tap, to_registry) = tapped();
    let right = basic("alice:wonderland");
    let request = Request::get("/v2/").header("Authorization", &right).header("Authorization", &right);
    let answer = protected.ask(&request);
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
    assert_eq!(to_registry.received(), "");
}
