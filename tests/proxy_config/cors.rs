//! Web pages of other hosts: preflights, and the CORS headers of every response (field case D2, Joxit/docker-registry-ui#232).

use std::fs;

use super::started::Started;
use crate::support::api::{Api, Call, Reply};
use crate::support::client::{Answer, Request};

/// The origin that may use the service.
const PAGE: &str = "https://ui.example.com:8443";

/// A second one, on this machine.
const LOCAL: &str = "http://localhost:8080";

/// Origins that differ from [`PAGE`] and [`LOCAL`].
const FOREIGN: [&str; 21] = [
    "null",
    "*",
    "",
    "https://evil.example",
    "HTTPS://UI.EXAMPLE.COM:8443",
    "https://UI.example.com:8443",
    "http://ui.example.com:8443",
    "https://ui.example.com",
    "https://ui.example.com:443",
    "https://ui.example.com:8443/",
    "https://ui.example.com:8443/path",
    "https://ui.example.com:84430",
    "https://ui.example.com:8443.evil.example",
    "https://evil.example/https://ui.example.com:8443",
    "https://evil-ui.example.com:8443",
    "https://a@ui.example.com:8443",
    "https://uiXexample.com:8443",
    "https://ui.example.com:8443 https://evil.example",
    "https://evil.example, https://ui.example.com:8443",
    "//ui.example.com:8443",
    "http://localhost",
];

/// The CORS headers that a page can read, and the headers of a preflight.
const EXPOSED: &str = "Docker-Content-Digest, Docker-Distribution-Api-Version, Docker-Upload-UUID, ETag, Link, Location, OCI-Subject, Retry-After, WWW-Authenticate, X-Request-ID";
const REQUEST_HEADERS: &str = "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, Range, X-Requested-With";

/// More options of the command.
type Options = &'static [(&'static str, &'static str)];

/// nginx, and services that count requests. alice is admitted, bob is denied, carl is throttled.
struct Cors {
    nginx: Started,
    doorward: Api,
    upstream: Api,
    _dir: tempfile::TempDir,
}

fn judge(call: &Call) -> Reply {
    if call.path() == "/token" {
        let is_alice = call.basic().is_some_and(|(user, _)| user == "alice");
        return if is_alice { Reply::json("{\"token\":\"t\"}") } else { Reply::status(401) };
    }
    match call.basic().unwrap_or_default().0.as_str() {
        "alice" => Reply::status(200).with("X-Auth-User", "alice"),
        "bob" => Reply::status(403).with("X-Auth-Reason", "policy"),
        "carl" => Reply::status(403).with("X-Auth-Reason", "throttled").with("Retry-After", "7"),
        "dora" => Reply::status(503),
        _ => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"Registry\""),
    }
}

/// A response whose upstream has CORS headers of its own.
fn permissive() -> Reply {
    Reply::json("[]")
        .with("Access-Control-Allow-Origin", "*")
        .with("Access-Control-Allow-Credentials", "false")
        .with("Access-Control-Allow-Methods", "BREW")
        .with("Access-Control-Allow-Headers", "X-Evil")
        .with("Access-Control-Expose-Headers", "X-Evil")
        .with("Access-Control-Max-Age", "99999")
        .with("Access-Control-Allow-Private-Network", "true")
}

impl Cors {
    fn start(kind: &str, more: &[(&str, &str)]) -> Self {
        let doorward = Api::start(judge);
        let upstream = Api::start(|_| permissive());
        let dir = tempfile::tempdir().unwrap();
        let (auth, address) = (doorward.address.to_string(), upstream.address.to_string());
        let origins = format!("{PAGE},{LOCAL}");
        let mut options =
            vec![("kind", kind), ("auth", &auth), ("scheme", "https"), ("cors-origins", &origins)];
        let secret = dir.path().join("secret");
        fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
        let secret = secret.display().to_string();
        if kind == "ecr" {
            // No server listens there. The refusals and preflights do not need one.
            options.extend([("upstream", "registry.test"), ("proxy-secret-file", &secret)]);
            options.extend([("resolver", "127.0.0.1"), ("file-checks", "off")]);
        } else {
            options.push(("upstream", &address));
        }
        if more.iter().any(|(key, _)| *key == "tokens") {
            options.push(("public", &auth));
        }
        options.extend(more);
        Self { nginx: Started::start(&options), doorward, upstream, _dir: dir }
    }

    fn preflight(&self, path: &str, origin: &str) -> Answer {
        let request = Request::new("OPTIONS", path).header("Origin", origin);
        self.nginx.ask(&request.header("Access-Control-Request-Method", "GET"))
    }

    /// Returns the numbers of requests that doorward and the upstream have received.
    fn reached(&self) -> (usize, usize) {
        (self.doorward.count(), self.upstream.count())
    }
}

/// Returns the names and values of all CORS headers of a response.
fn cors_headers(answer: &Answer) -> Vec<(&str, &str)> {
    let all = answer.headers.iter().filter(|(name, _)| name.starts_with("access-control-"));
    all.map(|(name, value)| (&name[..], std::str::from_utf8(value).unwrap())).collect()
}

/// Checks the headers of a response to a page of this origin.
fn assert_readable(answer: &Answer, origin: &str) {
    let expected = [
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", EXPOSED),
    ];
    assert_eq!(cors_headers(answer), expected, "{answer:?}");
    assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
}

/// Checks a response to any other client.
fn assert_unreadable(answer: &Answer) {
    assert_eq!(cors_headers(answer), [], "{answer:?}");
    assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
}

/// Returns the servers of each kind, with a protected path and the methods that a page can use.
fn every_kind() -> Vec<(Cors, &'static str, &'static str)> {
    let (all, read) = ("GET, HEAD, POST, PUT, PATCH, DELETE", "GET, HEAD");
    vec![
        (Cors::start("registry", &[]), "/v2/team/app/tags/list", all),
        (Cors::start("registry", &[("push", "off")]), "/v2/_catalog?n=1", read),
        (Cors::start("registry", &[("tokens", "mixed")]), "/token?service=x", all),
        (Cors::start("registry", &[("tokens", "registry")]), "/token", all),
        (Cors::start("ecr", &[]), "/v2/", read),
        (Cors::start("site", &[]), "/any/path;x/", all),
        (Cors::start("site", &[("public-paths", "/public/")]), "/public/file", all),
    ]
}

#[test]
fn preflight_of_a_listed_origin_is_answered_by_nginx_alone_field_d2() {
    for (servers, path, methods) in every_kind() {
        for origin in [PAGE, LOCAL] {
            let answer = servers.preflight(path, origin);
            assert_eq!((answer.status, &answer.body[..]), (204, &b""[..]), "{path}: {answer:?}");
            let expected = [
                ("access-control-allow-origin", origin),
                ("access-control-allow-credentials", "true"),
                ("access-control-expose-headers", EXPOSED),
                ("access-control-allow-methods", methods),
                ("access-control-allow-headers", REQUEST_HEADERS),
                ("access-control-max-age", "600"),
            ];
            assert_eq!(cors_headers(&answer), expected, "{path}");
            assert_eq!(
                (answer.header("vary"), answer.header("cache-control")),
                (Some("Origin"), Some("no-store"))
            );
        }
        assert_eq!(servers.reached(), (0, 0), "{path}");
    }
}

#[test]
fn preflight_of_any_other_origin_has_no_cors_header_field_d2() {
    for (servers, path, _) in every_kind() {
        for origin in FOREIGN {
            assert_unreadable(&servers.preflight(path, origin));
        }
        let two =
            Request::new("OPTIONS", path).header("Origin", "https://evil.example").header("Origin", PAGE);
        assert_unreadable(&servers.nginx.ask(&two.header("Access-Control-Request-Method", "GET")));
        assert_unreadable(&servers.nginx.ask(&Request::new("OPTIONS", path)));
    }
}

#[test]
fn options_request_that_is_no_preflight_is_checked_by_doorward() {
    for (kind, path) in [("registry", "/v2/"), ("site", "/")] {
        let servers = Cors::start(kind, &[]);
        let request = || Request::new("OPTIONS", path);
        let answer = servers.nginx.ask(&request().header("Origin", PAGE));
        assert_eq!(answer.status, 401);
        assert_readable(&answer, PAGE);
        for method in ["", "G T", "GET, PUT", "GET:h", "x:https://ui.example.com:8443:GET", "1"] {
            for origin in [PAGE, "https://evil.example", "null"] {
                let request =
                    request().header("Origin", origin).header("Access-Control-Request-Method", method);
                let answer = servers.nginx.ask(&request);
                assert_eq!(answer.status, 401, "{kind} {origin} {method}");
            }
        }
        assert_eq!(servers.reached(), (19, 0));
        // A preflight is an OPTIONS request.
        let get = Request::get(path).header("Origin", PAGE).header("Access-Control-Request-Method", "GET");
        assert_eq!(servers.nginx.ask(&get).status, 401);
    }
}

#[test]
fn page_can_read_every_refusal_and_other_pages_none_field_d2() {
    let cases: [(&str, &str, Options); 5] = [
        ("registry", "/v2/team/app/tags/list", &[]),
        ("registry", "/v2/team/app/tags/list", &[("tokens", "mixed")]),
        ("registry", "/v2/team/app/tags/list", &[("push", "off")]),
        ("ecr", "/v2/team/app/tags/list", &[]),
        ("site", "/a", &[]),
    ];
    for (kind, path, more) in cases {
        let servers = Cors::start(kind, more);
        // The upstream of the kind ecr does not respond.
        let (admitted, read_only) = if kind == "ecr" { (502, 405) } else { (200, 200) };
        for (user, status) in [("alice", admitted), ("", 401), ("bob", 403), ("carl", 429), ("dora", 503)] {
            let request = |origin: &str| Request::get(path).basic(user, "p").header("Origin", origin);
            let answer = servers.nginx.ask(&request(PAGE));
            assert_eq!(answer.status, status, "{kind} {more:?} {user}: {answer:?}");
            assert_readable(&answer, PAGE);
            if status == 429 {
                assert_eq!(answer.header("retry-after"), Some("7"));
            }
            let foreign = servers.nginx.ask(&request("https://evil.example"));
            assert_eq!(foreign.status, status);
            assert_unreadable(&foreign);
            assert_unreadable(&servers.nginx.ask(&Request::get(path).basic(user, "p")));
        }
        let put = Request::new("PUT", path).basic("alice", "p").header("Origin", PAGE).body("x");
        let answer = servers.nginx.ask(&put);
        let is_refused = kind == "ecr" || more.contains(&("push", "off"));
        assert_eq!(answer.status, if is_refused { 405 } else { read_only }, "{kind} {more:?}");
        assert_readable(&answer, PAGE);
        // Refused by nginx: a path outside /v2/, a request above the buffers.
        let outside = Request::get("/v2/../x").header("Origin", PAGE);
        let long = Request::get(path).header("Origin", PAGE).header("X", "a".repeat(9000));
        for (request, statuses) in [(outside, 400..=404), (long, 400..=400)] {
            let answer = servers.nginx.ask(&request);
            assert!(statuses.contains(&answer.status), "{kind}: {answer:?}");
            assert_readable(&answer, PAGE);
        }
    }
}

#[test]
fn page_gets_a_token_and_reads_the_refusal_field_d2() {
    for mode in ["mixed", "registry"] {
        let servers = Cors::start("registry", &[("tokens", mode)]);
        let ask = |method: &str, user: &str, origin: &str| {
            let request = Request::new(method, "/token?service=x").basic(user, "p").header("Origin", origin);
            servers.nginx.ask(&request)
        };
        for (method, user, status) in [("GET", "alice", 200), ("GET", "eve", 401), ("DELETE", "alice", 405)] {
            let answer = ask(method, user, PAGE);
            assert_eq!(answer.status, status, "{mode}");
            assert_readable(&answer, PAGE);
            assert_unreadable(&ask(method, user, "https://evil.example"));
        }
        let form = "a".repeat(20_000);
        let large = Request::new("POST", "/token").header("Origin", PAGE).body(form);
        let answer = servers.nginx.ask(&large);
        assert_eq!(answer.status, 413);
        assert_readable(&answer, PAGE);
    }
}

#[test]
fn without_the_option_no_response_has_a_cors_header_of_nginx() {
    let doorward = Api::start(judge);
    let upstream = Api::start(|_| Reply::json("[]"));
    let (auth, address) = (doorward.address.to_string(), upstream.address.to_string());
    for kind in ["registry", "site"] {
        let nginx = Started::start(&[("kind", kind), ("auth", &auth), ("upstream", &address)]);
        for method in ["OPTIONS", "GET"] {
            let request = Request::new(method, "/v2/").header("Origin", PAGE);
            let answer = nginx.ask(&request.header("Access-Control-Request-Method", "GET"));
            assert_eq!(
                (answer.status, cors_headers(&answer), answer.header("vary")),
                (401, Vec::new(), None)
            );
        }
    }
}
