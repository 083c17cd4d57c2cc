//! Requests that nginx refuses itself: JSON before a registry, and no `Authorization` in a log (field cases D4 and D8).

use super::started::Started;
use crate::support::api::{Api, Reply};
use crate::support::client::{Answer, basic};
use crate::support::nginx::assert_json;

/// The length of a header that is above nginx's buffers of 8 KiB.
const LONG: usize = 9000;

/// The levels of the error log that print no request header, and those that print them.
const LEVELS: [(&str, bool); 6] =
    [("crit", false), ("error", false), ("warn", false), ("notice", false), ("info", true), ("debug", true)];

/// nginx before a registry that must not be reached.
struct Unreached {
    nginx: Started,
    doorward: Api,
    registry: Api,
}

impl Unreached {
    fn start(level: &str) -> Self {
        let doorward = Api::start(|_| Reply::status(401));
        let registry = Api::start(|_| Reply::status(200));
        let (auth, upstream) = (doorward.address.to_string(), registry.address.to_string());
        let options = [("kind", "registry"), ("auth", &auth), ("upstream", &upstream)];
        Self { nginx: Started::start_with(level, &options), doorward, registry }
    }

    fn ask(&self, text: &str) -> Answer {
        self.nginx.ask_raw(text.as_bytes())
    }
}

impl Drop for Unreached {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!((self.doorward.count(), self.registry.count()), (0, 0));
        }
    }
}

#[test]
fn request_that_nginx_refuses_itself_gets_json_before_a_registry_field_d4() {
    let servers = Unreached::start("warn");
    let long = "a".repeat(LONG);
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            // The length and the path are refused too, and must not replace this response.
            for (path, more) in
                [("/v2/", ""), ("/v2/", "Content-Length: 5\r\n"), ("/v2//x/../y", ""), ("/", "")]
            {
                let head = format!("{method} {path} {version}\r\nHost: a\r\n{more}");
                let answer = servers.nginx.ask_raw(format!("{head}X: {long}\r\n\r\n").as_bytes());
                assert_eq!(
                    (answer.status, answer.header("content-type")),
                    (400, Some("application/json")),
                    "{head}"
                );
            }
        }
        for text in [
            format!("GET /v2/{long} {version}\r\nHost: a\r\n\r\n"),
            format!("GET /v2/?{long} {version}\r\nHost: a\r\n\r\n"),
            format!("GET /v2/ {version}\r\nHost: a\r\nAuthorization: Basic {long}\r\n\r\n"),
            format!("GET /v2/ {version}\r\nHost: a\r\nCookie: {long}\r\n\r\n"),
            format!("G@T /v2/ {version}\r\nHost: a\r\n\r\n"),
            format!("GET /v2/\x01 {version}\r\nHost: a\r\n\r\n"),
            format!("GET /v2/ x {version}\r\nHost: a\r\n\r\n"),
            format!("GET /v2/%zz {version}\r\nHost: a\r\n\r\n"),
            format!("GET /../../v2/ {version}\r\nHost: a\r\n\r\n"),
            format!("CONNECT a:443 {version}\r\nHost: a\r\n\r\n"),
            format!("GET /v2/ {version}\r\nHost: a b\r\n\r\n"),
            format!("GET /v2/ {version}\r\nHost: a\r\nHost: b\r\n\r\n"),
            format!("PUT /v2/ {version}\r\nHost: a\r\nContent-Length: x\r\n\r\n"),
            format!("GET /v2/ {version}\r\nHost: a\r\nContent-Length: x\r\n\r\n"),
            format!("GET /v2/ {version}\r\nHost: a\r\nX: \0\r\n\r\n"),
        ] {
            assert_json(&servers.ask(&text), 400, "UNSUPPORTED");
        }
    }
    for text in [
        "GET /v2/ HTTP/1.1\r\n\r\n",
        "PUT /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "PUT /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "GET /v2/ HTTP/3.0\r\nHost: a\r\n\r\n",
        "GET /v2/ HTTQ/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_json(&servers.ask(text), 400, "UNSUPPORTED");
    }
}

#[test]
fn path_v2_without_its_slash_gets_json_404_field_d8() {
    let servers = Unreached::start("warn");
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let answer = servers.ask(&format!("GET /v2 {version}\r\nHost: a\r\n\r\n"));
        assert_json(&answer, 404, "UNSUPPORTED");
        assert_eq!(answer.header("location"), None);
        assert!(answer.text().contains("the registry is at /v2/, with a slash at its end"), "{answer:?}");
    }
}

#[test]
fn authorization_is_in_the_error_log_only_with_the_levels_that_the_readme_names_field_d4() {
    for (level, prints) in LEVELS {
        let servers = Unreached::start(level);
        let secret = basic("alice:not-for-a-log");
        let long = format!("{secret}{}", "A".repeat(LONG));
        let requests = [
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nAuthorization: {long}\r\n\r\n"),
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nAuthorization : {secret}\r\n\r\n"),
            format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nAuthorization: {secret}\0\r\n\r\n"),
            format!(
                "GET /v2/ HTTP/1.1\r\nHost: a\r\nAuthorization: {secret}\r\nAuthorization: {secret}\r\n\r\n"
            ),
        ];
        for text in &requests {
            assert_eq!(servers.ask(text).status, 400, "{text}");
        }
        let outside = format!("GET /v2/../x HTTP/1.1\r\nHost: a\r\nAuthorization: {secret}\r\n\r\n");
        assert_eq!(servers.ask(&outside).status, 404);
        let token = secret.trim_start_matches("Basic ").trim_end_matches('=');
        let is_printed = servers.nginx.error_log().contains(token);
        assert_eq!(is_printed, prints, "error_log … {level}: {}", servers.nginx.error_log());
        assert!(!servers.nginx.access_log(requests.len()).contains(token), "the access log with {level}");
    }
}
