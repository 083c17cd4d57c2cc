//! Paths that nginx and a backend can read differently are refused.

use super::site_and_registry;
use crate::ecr::nginx as ecr;
use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, alice, assert_json};
use crate::support::upstream::{Upstream, empty};
use crate::support::users;

/// nginx with a registry and a site, each with locations of its own.
struct Servers {
    nginx: Nginx,
    auth_service: Upstream,
    backend: Upstream,
}

fn start() -> Servers {
    let (auth_service, backend) = (Upstream::start(&empty("200 OK")), Upstream::start(&empty("200 OK")));
    let nginx = site_and_registry(auth_service.address, backend.address);
    Servers { nginx, auth_service, backend }
}

#[test]
fn ambiguous_registry_path_gets_400_in_json_without_an_auth_request_field_r1() {
    let servers = start();
    for path in [
        "/api/%2e%2e/v2/",
        "/v2/own/../../api",
        "//v2/own/",
        "/v2/own/%2e%2e%2fx",
        "/v2/own/;/x",
        "/v2/a%2Fb",
        "/v2/%61",
        "/v2/a%25",
        "/v2/\u{e9}",
        "/v2/a#b",
        "/v2/?a#b",
        "/v2/a\\b",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            assert_json(
                &servers.nginx.ask(&Request::new(method, path).host("registry.test").body("")),
                400,
                "UNSUPPORTED",
            );
        }
    }
    assert_eq!(servers.auth_service.received() + &servers.backend.received(), "");
    // The connection is kept. An unambiguous path is forwarded over it.
    let mut client = servers.nginx.client();
    assert_eq!(client.ask(&Request::get("/v2/..").host("registry.test")).status, 400);
    for path in ["/v2/own/x", "/v2/a:b%3a~+=@!$&'()*,c", "/v2/?x=\\y|{z}//../%", "/v2/.a/a..b"] {
        assert_eq!(client.ask(&Request::get(path).host("registry.test")).status, 200, "{path}");
        assert!(servers.backend.received().contains(&format!("GET {path} HTTP/1.1\r\n")), "{path}");
    }
}

#[test]
fn doorward_refuses_the_ambiguous_paths_of_a_registry_without_own_locations_field_r1() {
    let backend = Upstream::start(&empty("200 OK"));
    let doorward = Doorward::start(&users::two(), &[]);
    let image = Image::new().set("KIND", "registry").set("PLAIN_HTTP", "on");
    let nginx = Nginx::of(
        image.set("AUTH", tcp(&doorward.address).to_string()).set("UPSTREAM", backend.address.to_string()),
    );
    for (path, status) in [
        ("/api/%2e%2e/v2/", 400),
        ("//v2/a", 400),
        ("/v2/a/%2e%2e%2fx", 400),
        ("/v2/a/;/x", 400),
        ("/v2/%2561", 400),
        ("/v2/\u{e9}", 400),
        ("/v2/a#b/../c", 400),
        ("/v2/a\\b", 400),
        ("/v2/a/...", 400),
        ("/v2/a/../../api", 404),
        ("/v2/..", 404),
        ("/%76%32/", 400),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let request = || Request::new(method, path).body("");
            let answer = nginx.ask(&alice(request()));
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            let anonymous = nginx.ask(&request()).status;
            assert_eq!(anonymous, if status == 404 { 404 } else { 401 }, "{method} {path}");
        }
    }
    assert_eq!(backend.received(), "");
    for path in ["/v2/a/x", "/v2/a:b%3a~+=@!$&'()*,c", "/v2/?x=\\y|{z}//../%", "/v2/.a/a..b", "/v2/a%2Fb"] {
        assert_eq!(nginx.ask(&alice(Request::get(path))).status, 200, "{path}");
        assert!(backend.received().contains(&format!("GET {path} HTTP/1.1\r\n")), "{path}");
    }
}

#[test]
fn site_refuses_dot_segments_in_every_spelling_and_nothing_else_field_r1() {
    let servers = start();
    let ask = |path: &str| servers.nginx.ask(&Request::get(path).host("site.test"));
    for path in [
        "/a/../b",
        "/a/..",
        "/./a",
        "/a/.",
        "/x/%2e%2e/a",
        "/a/.%2E/b",
        "/a%2f..%2fb",
        "/a/..;/b",
        "/a/..%3bx/b",
        "/a;/../b",
        "/a\\..\\b",
        "/a%5c..%5cb",
        "/a/..?b",
        "/a#b",
        "/a?b#c",
    ] {
        let answer = ask(path);
        let text =
            "the path has more than one reading: write it without dot segments and needless escapes.\n";
        assert_eq!((answer.status, &answer.text()[..]), (400, text), "{path}");
    }
    assert_eq!(servers.auth_service.received() + &servers.backend.received(), "");
    let json =
        servers.nginx.ask(&Request::get("/a/..").host("site.test").header("Accept", "application/json"));
    assert!(json.text().starts_with("{\"status\":400,\"message\":\"the path has"), "{json:?}");
    let html = servers.nginx.ask(&Request::get("/a/..").host("site.test").header("Accept", "text/html"));
    assert_eq!((html.status, html.header("content-type")), (400, Some("text/html")));
    for path in [
        "/",
        "/a%2Fb",
        "/a;b=c",
        "/a..b/..c/c..",
        "/...",
        "/%252e%252e/",
        "//a//b",
        "/a?b=../..&c=/./",
        "/\u{e9}%C3%A9",
        "/a%3f..",
        "/%61%5C%25",
    ] {
        assert_eq!(ask(path).status, 200, "{path}");
        assert!(servers.backend.received().contains(&format!("GET {path} HTTP/1.1\r\n")), "{path}");
    }
}

#[test]
fn open_location_has_one_spelling_and_gets_no_identity_field_r1() {
    let servers = start();
    servers.auth_service.say(&empty("401 No"));
    let ask = |path: &str| {
        let request = Request::get(path).host("site.test");
        servers.nginx.ask(&request.header("X-Auth-User", "root").basic("alice", "wonderland")).status
    };
    for path in [
        "//public/admin",
        "/public//admin",
        "/%70ublic/x",
        "/public/..;/admin",
        "/public/a;b",
        "/public/%252e%252e/admin",
        "/public/a%2fb",
        "/public%2fa",
        "/public/a\\b",
        "/public/%5cb",
        "/public/%c0%ae%c0%ae/admin",
        "/public/%e0%80%ae/",
        "/public/%f0%80%80%ae",
        "/public/%ff",
        "/public/\u{e9}",
        "/public/%3f",
        "/public/%23",
        "/public/%0a",
        "/public/...",
    ] {
        assert_eq!(ask(path), 400, "{path}");
    }
    assert_eq!(servers.backend.received(), "");
    for path in [
        "/public/",
        "/public/a.css?v=1/../",
        "/public/%C3%A9%20x%E2%82%AC",
        "/public/a/%f0%9f%98%80.png",
        "/public/%5ba%5d",
    ] {
        assert_eq!(ask(path), 200, "{path}");
    }
    let received = servers.backend.received();
    assert!(!received.contains("root") && !received.contains("Authorization"), "{received}");
    assert_eq!(ask("/publicx"), 401, "beside it everything is guarded");
}

#[test]
fn ambiguous_path_never_reaches_an_upstream_registry_field_r1() {
    let setup = ecr::EcrSetup::plain();
    let before = setup.ecr.requests();
    for path in ["/api/admin/%2e%2e/%2e%2e/v2/", "/x/../v2/", "//v2/", "/v2/%2fx", "/v2/../api"] {
        assert_json(&setup.get(path), 400, "UNSUPPORTED");
    }
    assert_eq!(setup.ecr.requests(), before);
    assert_eq!(
        setup.doorward.calls().iter().filter(|call| call.header("x-original-uri") != "/v2/").count(),
        0
    );
    assert_eq!(setup.get("/v2/x").status, 200);
}
