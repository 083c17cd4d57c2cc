//! A registry behind nginx.

use super::ProtectedRegistry;
use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Nginx, Template, alice, assert_challenge, assert_json};
use crate::support::registry::Registry;
use crate::support::upstream::Tap;
use crate::support::users;

/// The SHA-256 of the empty string and of `hello`.
const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Returns the path and query of the `Location` of an upload, without host and port.
fn path_of(location: &str) -> &str {
    let behind = location.split_once("://").map_or(location, |(_, rest)| rest);
    &behind[behind.find('/').expect("a path")..]
}

/// Starts an upload and returns its address.
fn begin(protected: &ProtectedRegistry, repository: &str) -> String {
    let answer =
        protected.ask(&alice(Request::new("POST", &format!("/v2/{repository}/blobs/uploads/")).body("")));
    assert_eq!(answer.status, 202, "{answer:?}");
    path_of(answer.header("location").unwrap()).to_owned()
}

/// Uploads `hello` in one PUT.
fn push_hello(protected: &ProtectedRegistry, repository: &str) {
    let location = begin(protected, repository);
    let put = Request::new("PUT", &format!("{location}&digest={HELLO}"));
    let answer = protected.ask(&alice(put).header("Content-Type", "application/octet-stream").body("hello"));
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn registry_is_hidden_without_the_right_password() {
    let protected = ProtectedRegistry::start();
    for target in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/one", "/v2/a/blobs/sha256:0"] {
        assert_challenge(&protected.ask(&Request::get(target)));
        assert_challenge(&protected.ask(&Request::get(target).basic("alice", "looking-glass")));
        assert_challenge(&protected.ask(&Request::get(target).basic("nobody", "wonderland")));
        assert_challenge(&protected.ask(&Request::get(target).header("Authorization", "Bearer x")));
        let known = protected.ask(&alice(Request::get(target)));
        assert!(matches!(known.status, 200 | 400 | 404), "{target}: {known:?}");
        assert_eq!(known.header("www-authenticate"), None);
    }
    for method in ["POST", "PUT", "PATCH", "FOO"] {
        assert_challenge(&protected.ask(&Request::new(method, "/v2/a/blobs/uploads/").body("x")));
    }
    for method in ["DELETE", "OPTIONS", "HEAD"] {
        assert_eq!(
            protected.ask(&Request::new(method, "/v2/a/blobs/uploads/").body("")).status,
            401,
            "{method}"
        );
    }
    assert_eq!(protected.ask(&alice(Request::get("/v2/"))).text(), "{}");
}

#[test]
fn path_normalized_by_nginx_is_protected_as_in_cve_2026_63177() {
    let protected = ProtectedRegistry::start();
    let paths = [
        "//v2/_catalog",
        "/v2//_catalog",
        "/x/../v2/_catalog",
        "/v2/./_catalog",
        "/v2/%2e%2e/v2/_catalog",
        "/%76%32/_catalog",
        "/v2/_catalog?x=/v1/",
        "/v2/_catalog%00",
        "/v2/..%2f_catalog",
        "/./v2/_catalog",
        "http://other.test/v2/_catalog",
        "/v1/../v2/_catalog",
        "/_doorward/../v2/_catalog",
    ];
    for path in paths {
        let answer = protected.ask(&Request::get(path));
        assert!(matches!(answer.status, 400 | 401 | 404), "{path}: {answer:?}");
        assert!(!answer.text().contains("repositories"), "{path}: {answer:?}");
    }
}

#[test]
fn two_mib_upload_passes_with_a_length_and_chunked_pitfalls_p1_and_p2() {
    let protected = ProtectedRegistry::start();
    let body = vec![0; 2 << 20];
    // The SHA-256 of 2 MiB of zeros.
    let digest = "sha256:5647f05ec18958947d32874eeb788fa396a05d0bab7c1b71f112ceb7e9b31eee";
    for repository in ["with/length", "in/chunks"] {
        let location = begin(&protected, repository);
        let put = alice(Request::new("PUT", &format!("{location}&digest={digest}")));
        let put = put.header("Content-Type", "application/octet-stream");
        let put = if repository == "in/chunks" { put.chunked(&body) } else { put.body(body.clone()) };
        let answer = protected.ask(&put);
        assert_eq!(answer.status, 201, "{repository}: {answer:?}\n{}", protected.nginx.log());
        let blob = protected.ask(&alice(Request::get(&format!("/v2/{repository}/blobs/{digest}"))));
        assert_eq!((blob.status, blob.body.len()), (200, body.len()), "{repository}");
        // A client without permission gets a challenge and no error about the size.
        let refused = Request::new("PUT", &format!("{location}&digest={digest}"));
        let refused =
            if repository == "in/chunks" { refused.chunked(&body) } else { refused.body(body.clone()) };
        let answer = protected.nginx.client().try_ask(&refused);
        // nginx may close the connection before it has read the whole body of a refused request.
        if let Ok(answer) = answer {
            assert_challenge(&answer);
        }
    }
    assert_eq!(protected.doorward.hashes(), 1.0);
}

#[test]
fn ranged_and_conditional_requests_reach_the_registry_and_not_doorward_pitfall_p3() {
    let (registry, doorward) = (Registry::start(), Doorward::start(&users::two(), &[]));
    let tap = Tap::start(tcp(&doorward.address));
    let nginx = Nginx::start(Template::Registry, tap.address, registry.address);
    let protected = ProtectedRegistry { nginx, doorward, _registry: registry };
    push_hello(&protected, "a");
    let blob = || alice(Request::get(&format!("/v2/a/blobs/{HELLO}")));
    tap.forget();
    let part = protected.ask(&blob().header("Range", "bytes=1-2"));
    assert_eq!((part.status, &part.text()[..]), (206, "el"), "{part:?}");
    // A HEAD request, because the 416 response of the registry announces a body that it does not send.
    let head = alice(Request::new("HEAD", &format!("/v2/a/blobs/{HELLO}")));
    let beyond = protected.ask(&head.header("Range", "bytes=100-200"));
    assert_eq!(beyond.status, 416, "{beyond:?}");
    let same = protected.ask(&blob().header("If-None-Match", format!("\"{HELLO}\"")));
    assert_eq!(same.status, 304, "{same:?}");
    let since = protected.ask(
        &blob()
            .header("If-Modified-Since", "Sat, 01 Jan 2050 00:00:00 GMT")
            .header("Accept-Encoding", "gzip"),
    );
    assert!(matches!(since.status, 200 | 304), "{since:?}");
    let asked = tap.received().to_lowercase();
    assert_eq!(asked.matches("get /auth http/1.1").count(), 4, "{asked}");
    for name in [
        "range",
        "if-none-match",
        "if-modified-since",
        "accept-encoding",
        "content-length",
        "transfer-encoding",
    ] {
        assert!(!asked.contains(&format!("\r\n{name}:")), "{name} reached doorward: {asked}");
    }
}

#[test]
fn many_requests_share_one_connection_to_doorward_pitfall_p9() {
    let (registry, doorward) = (Registry::start(), Doorward::start(&users::two(), &[]));
    let tap = Tap::start(tcp(&doorward.address));
    let nginx = Nginx::start(Template::Registry, tap.address, registry.address);
    let mut client = nginx.client();
    for _ in 0..50 {
        assert_eq!(client.ask(&alice(Request::get("/v2/"))).status, 200);
        assert_eq!(client.ask(&Request::get("/v2/")).status, 401);
        // A new connection works too.
        assert_eq!(nginx.ask(&alice(Request::get("/v2/"))).status, 200);
        assert_eq!(nginx.ask(&Request::get("/v2/").basic("alice", "x")).status, 401);
    }
    assert_eq!(tap.connections(), 1, "one worker of nginx's, one connection");
}

#[test]
fn login_of_one_client_admits_no_other_pitfall_p5() {
    let protected = ProtectedRegistry::start();
    let mut client = protected.nginx.client();
    for target in ["/v2/", "/v2/_catalog"] {
        assert_eq!(client.ask(&alice(Request::get(target))).status, 200);
        // Over the same connection, and over new ones.
        assert_challenge(&client.ask(&Request::get(target)));
        assert_challenge(&protected.ask(&Request::get(target)));
        assert_challenge(&protected.ask(&Request::get(target).basic("alice", "x")));
        assert_challenge(&protected.ask(&Request::get(target).basic("bob", "wonderland")));
        assert_eq!(client.ask(&Request::get(target).basic("bob", "builder")).status, 200);
    }
}

#[test]
fn upload_location_has_the_host_of_the_request_pitfall_p14() {
    let protected = ProtectedRegistry::start();
    for host in ["registry.test:8443", "registry.test", "127.0.0.1:5000", "[::1]:5000"] {
        let post = alice(Request::new("POST", "/v2/a/blobs/uploads/").body("")).host(host);
        let hostile = post
            .header("Forwarded", "host=evil.test;proto=https")
            .header("X-Forwarded-Host", "evil.test")
            .header("X-Forwarded-Proto", "gopher")
            .header("X-Forwarded-Port", "666")
            .header("X-Forwarded-For", "203.0.113.9");
        let answer = protected.ask(&hostile);
        assert_eq!(answer.status, 202, "{answer:?}");
        let location = answer.header("location").unwrap();
        assert!(location.starts_with(&format!("http://{host}/v2/a/blobs/uploads/")), "{host}: {location}");
    }
}

#[test]
fn mount_in_a_form_body_is_not_performed_pitfall_p15() {
    let protected = ProtectedRegistry::start();
    push_hello(&protected, "secret/app");
    let form = format!("mount={HELLO}&from=secret/app");
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = part("mount", HELLO) + &part("from", "secret/app") + "--b--\r\n";
    let cases = [
        ("application/x-www-form-urlencoded", &form),
        ("application/x-www-form-urlencoded; charset=utf-8", &form),
        ("APPLICATION/X-WWW-FORM-URLENCODED", &form),
        (" application/x-www-form-urlencoded", &form),
        ("application/x-www-form-urlencoded;", &form),
        ("\u{a0}application/x-www-form-urlencoded", &form),
        ("multipart/form-data; boundary=b", &multipart),
        ("Multipart/Form-Data; boundary=b", &multipart),
        ("multipart/mixed; boundary=b", &multipart),
    ];
    for (content_type, body) in cases {
        for query in ["", "?from=public/app"] {
            let post = alice(Request::new("POST", &format!("/v2/att/body/blobs/uploads/{query}")));
            let answer = protected.ask(&post.header("Content-Type", content_type).body(body.as_bytes()));
            assert_ne!(answer.status, 201, "mounted by {content_type}: {answer:?}");
            let blob = protected.ask(&alice(Request::get(&format!("/v2/att/body/blobs/{HELLO}"))));
            assert_eq!(blob.status, 404, "readable through {content_type}: {blob:?}");
        }
    }
    // The mount itself is possible: it succeeds with a query, which doorward can evaluate.
    let post =
        alice(Request::new("POST", &format!("/v2/att/body/blobs/uploads/?mount={HELLO}&from=secret/app")));
    assert_eq!(protected.ask(&post.body("")).status, 201);
}

#[test]
fn auth_subrequest_location_is_not_reachable_from_outside_pitfall_p50() {
    let protected = ProtectedRegistry::start();
    for path in
        ["/_doorward", "//_doorward", "/v2/../_doorward", "/_doorward?x", "/%5fdoorward", "/_doorward/"]
    {
        for request in [Request::get(path), alice(Request::get(path)), Request::new("POST", path).body("x")] {
            let answer = protected.ask(&request.header("X-Real-IP", "192.0.2.1"));
            assert_json(&answer, 404, "UNSUPPORTED");
        }
    }
    assert_eq!(protected.doorward.hashes(), 0.0, "none of them was a question");
    for path in ["/auth", "/metrics", "/flush", "/livez", "/readyz"] {
        assert_json(&protected.ask(&alice(Request::get(path))), 404, "UNSUPPORTED");
    }
}

#[test]
fn registry_v1_and_other_paths_get_404() {
    let protected = ProtectedRegistry::start();
    for path in ["/v1/_ping", "/v1/users/", "/", "/index.html", "/v2x", "/V2/", "/favicon.ico"] {
        assert_json(&protected.ask(&alice(Request::get(path))), 404, "UNSUPPORTED");
        assert_json(&protected.ask(&Request::get(path)), 404, "UNSUPPORTED");
    }
    // nginx itself refuses this request.
    assert_json(&protected.ask(&alice(Request::new("TRACE", "/v2/"))), 405, "UNSUPPORTED");
    // The registry itself reports a missing blob.
    let answer = protected.ask(&alice(Request::get(&format!("/v2/a/blobs/{EMPTY}"))));
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("BLOB_UNKNOWN"), "{answer:?}");
}

#[test]
fn head_has_the_status_of_get_and_no_body_pitfall_p49() {
    let protected = ProtectedRegistry::start();
    push_hello(&protected, "a");
    let blob = format!("/v2/a/blobs/{HELLO}");
    let mut client = protected.nginx.client();
    for (request, status) in [
        (Request::new("HEAD", &blob), 401),
        (Request::new("HEAD", &blob).basic("alice", "x"), 401),
        (alice(Request::new("HEAD", &blob)), 200),
        (alice(Request::new("HEAD", "/v2/a/manifests/none")), 404),
        (alice(Request::new("HEAD", "/v1/")), 404),
        (alice(Request::new("HEAD", "/v2/")), 200),
    ] {
        let answer = client.ask(&request);
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{answer:?}");
    }
}

#[test]
fn client_that_expects_100_continue_is_answered_before_its_body() {
    let protected = ProtectedRegistry::start();
    let mut client = protected.nginx.client();
    client
        .send(b"PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert_challenge(&client.receive(false).unwrap());
}
