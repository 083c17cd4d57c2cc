//! Request bodies: methods, limits, buffering.

use std::io::Write;
use std::process::{Command, Stdio};

use super::site_and_registry;
use crate::ecr::nginx as ecr;
use crate::support::client::{Client, OF_NGINX, Request};
use crate::support::nginx::{Image, Nginx, alice, assert_json};
use crate::support::process::program;
use crate::support::upstream::{Upstream, empty};

/// nginx between an auth service that admits every request and a backend that accepts every request.
struct OpenSite {
    nginx: Nginx,
    auth_service: Upstream,
    backend: Upstream,
}

impl OpenSite {
    fn start(set: impl Fn(Image) -> Image) -> Self {
        let (auth_service, backend) = (Upstream::start(&empty("200 OK")), Upstream::start(&empty("200 OK")));
        let image = Image::new()
            .set("AUTH", auth_service.address.to_string())
            .set("UPSTREAM", backend.address.to_string())
            .set("PLAIN_HTTP", "on");
        Self { nginx: Nginx::of(set(image)), auth_service, backend }
    }

    /// Returns the status of a request whose body is announced but never sent.
    fn announce(&self, method: &str, headers: &str) -> u16 {
        let mut client = self.nginx.client();
        client.send(format!("{method} /v2/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).unwrap();
        client.receive(method == "HEAD").unwrap().status
    }

    fn heard_nothing(&self) -> bool {
        self.auth_service.received().is_empty() && self.backend.received().is_empty()
    }
}

const NO_BODY: [&str; 4] = ["GET", "HEAD", "DELETE", "OPTIONS"];

#[test]
fn body_with_a_bodiless_method_is_refused_unread_field_s4() {
    for kind in ["site", "registry"] {
        // A registry without locations of the administrator gets such a body unbuffered.
        let open = OpenSite::start(|image| {
            let image = image.set("KIND", kind).file("etc/nginx/own.inc", "location /own/ { return 404; }");
            let include = image.path("etc/nginx/own.inc").display().to_string();
            image.set("INCLUDE", include)
        });
        for method in NO_BODY {
            for headers in [
                "Content-Length: 500000000000\r\n",
                "Content-Length: 1\r\n",
                "Content-Length: 01\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding: CHUNKED\r\n",
                "Transfer-Encoding: chunked\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
                "Content-Length: 500000000000\r\nExpect: 100-continue\r\n",
            ] {
                assert_eq!(open.announce(method, headers), 400, "{kind} {method} {headers}");
            }
        }
        assert!(open.heard_nothing(), "{kind}: neither doorward nor the backend is asked");
        for method in NO_BODY {
            for headers in ["", "Content-Length: 0\r\n"] {
                assert_eq!(open.announce(method, headers), 200, "{kind} {method} {headers}");
            }
        }
    }
}

#[test]
fn body_with_any_method_is_passed_to_a_site_if_configured() {
    let open = OpenSite::start(|image| image.set("BODY_WITH_ANY_METHOD", "on"));
    for method in ["GET", "DELETE", "POST"] {
        let request = Request::new(method, "/_search").body(format!("of {method}"));
        assert_eq!(open.nginx.ask(&request).status, 200, "{method}");
        assert!(open.backend.received().ends_with(&format!("of {method}")), "{}", open.backend.received());
    }
}

#[test]
fn site_body_above_100_mib_gets_413_in_the_accepted_format() {
    let open = OpenSite::start(|image| image);
    let length = |length: usize| format!("Content-Length: {length}\r\n");
    for method in ["POST", "PUT", "PATCH", "PROPFIND", "FOO"] {
        assert_eq!(open.announce(method, &length((100 << 20) + 1)), 413, "{method}");
        assert_eq!(open.announce(method, &length(500_000_000_000)), 413, "{method}");
    }
    assert!(open.heard_nothing());
    for (accept, content_type, text) in [
        ("*/*", "text/plain", "The request is too large.\n"),
        (
            "application/json",
            "application/json",
            "{\"status\":413,\"message\":\"The request is too large.\"}\n",
        ),
        ("text/html", "text/html", "<h1>Too large</h1>"),
    ] {
        let mut client = open.nginx.client();
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n{}\r\n", length(1 << 40));
        client.send(head.as_bytes()).unwrap();
        let answer = client.receive(false).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (413, Some(content_type)));
        assert!(answer.text().contains(text), "{answer:?}");
    }
    assert_eq!(open.nginx.ask(&Request::new("POST", "/").body(vec![b'x'; 2 << 20])).status, 200);
}

#[test]
fn configured_body_limit_applies_to_bodies_without_a_length() {
    let open = OpenSite::start(|image| image.set("MAX_BODY_SIZE", "64k"));
    let post = || Request::new("POST", "/");
    assert_eq!(open.nginx.ask(&post().body(vec![b'x'; 64 << 10])).status, 200);
    assert_eq!(open.nginx.ask(&post().chunked(&vec![b'x'; 64 << 10])).status, 200);
    assert_eq!(open.nginx.ask(&post().body(vec![b'x'; (64 << 10) + 1])).status, 413);
    assert_eq!(open.nginx.ask(&post().chunked(&vec![b'x'; 80 << 10])).status, 413);
    let any = OpenSite::start(|image| image.set("MAX_BODY_SIZE", "0"));
    let mut client = any.nginx.client();
    // A body larger than the default limit is announced, and nginx waits for it.
    client
        .send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    let mut first = client.patient(std::time::Duration::from_millis(300)).unwrap();
    assert!(first.receive(false).is_err(), "100 Continue, and no refusal");
}

#[test]
fn own_location_has_the_body_limit_and_a_registry_has_none() {
    let backend = Upstream::start(&empty("200 OK"));
    let nginx = site_and_registry(backend.address, backend.address);
    let at = nginx.address;
    let announce = |path: &str, host: &str, length: usize| {
        let mut client = Client::connect(&crate::support::client::Address::Tcp(at), OF_NGINX).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        client.send(head.as_bytes()).unwrap();
        client.receive(false).unwrap().status
    };
    for path in ["/", "/own/", "/public/"] {
        assert_eq!(announce(path, "site.test", 200 << 20), 413, "{path}");
    }
    assert_eq!(announce("/v2/", "registry.test", 200 << 20), 200, "passed on as it comes");
    assert_eq!(nginx.ask(&Request::new("GET", "/public/").host("site.test").body("x")).status, 400);
}

#[test]
fn http_2_body_without_a_length_is_limited_for_every_method() {
    let open = OpenSite::start(|image| {
        image.pair("DNS:site.test").set("PLAIN_HTTP", "off").set("MAX_BODY_SIZE", "64k")
    });
    let mut command = Command::new(program("curl", "curl"));
    command.env_clear().args([
        "-q",
        "-ksS",
        "--http2",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{http_version}",
    ]);
    // The body comes from a pipe, so that curl sends no length.
    let url = format!("https://{}/", open.nginx.address);
    command.args(["-X", "GET", "-H", "Expect:", "-T", "-", &url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut curl = command.spawn().expect("curl");
    // The response can arrive before the whole body was written.
    let _ = curl.stdin.take().expect("a pipe").write_all(&vec![b'x'; 8 << 20]);
    let output = curl.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "413 2", "{output:?}");
    assert_eq!(open.backend.received(), "");
}

#[test]
fn body_of_a_get_does_not_reach_ecr() {
    let setup = ecr::EcrSetup::plain();
    let before = setup.ecr.requests();
    for request in [
        alice(Request::get("/v2/a/blobs/x")).body("hello"),
        alice(Request::get("/v2/a/blobs/x")).chunked(b"hello"),
        alice(Request::new("HEAD", "/v2/a/blobs/x")).body("hello"),
    ] {
        let answer = setup.ask(&request);
        assert_eq!(answer.status, 400, "{answer:?}");
        if request.method == "GET" {
            assert_json(&answer, 400, "UNSUPPORTED");
        }
    }
    assert_eq!(setup.ecr.requests(), before);
    assert_eq!(setup.ask(&alice(Request::get("/v2/a/blobs/x")).body("")).status, 200);
    assert!(setup.ecr.heard().iter().all(|heard| heard.body.is_empty()));
}
