//! Redirects to the storage, which are passed on or followed.

use std::net::SocketAddr;

use super::{Authority, Backend, EcrSetup, NAME, Reply, STORAGE, TOKEN, alice, server_named};
use crate::support::backend::server;
use crate::support::client::{Request, basic};
use crate::support::nginx::assert_json;

/// A registry that redirects to its storage.
pub(crate) struct RegistryWithStorage {
    pub(crate) setup: EcrSetup,
    pub(crate) storage: Backend,
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl RegistryWithStorage {
    /// Starts nginx with redirects followed. The certificate of the storage is for `name` and valid until `year`.
    pub(crate) fn start(name: &str, year: i32) -> Self {
        let authority = Authority::new("Test Authority");
        let pair = authority.pair(name, year);
        let tls = if name == STORAGE { server_named(&pair, name) } else { server(&pair) };
        let storage =
            Backend::start_at(any(), Some(tls), |_| Reply::with("200 OK", "ETag: \"e\"\r\n", "layer"));
        let ecr = server_named(&authority.pair(NAME, 2099), NAME);
        let allowed = format!("{STORAGE}:{},*.store.test,*.ports.test:444", storage.address.port());
        let follow = |image: crate::support::nginx::Image| {
            image.set("PUSH", "on").set("REDIRECTS", "follow").set("REDIRECT_HOSTS", &allowed)
        };
        let setup = EcrSetup::over(authority, Some(ecr), follow);
        setup.found();
        Self { setup, storage }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{STORAGE}:{}{path}", self.storage.address.port())
    }

    pub(crate) fn redirect(&self, to: &str) {
        let headers = format!("Location: {to}\r\nContent-Type: text/plain\r\n");
        self.setup.ecr.say(Reply::with("307 Temporary Redirect", &headers, "elsewhere"));
    }
}

const SIGNED: &str = "/a%2Fb/c?X-Amz-Signature=0%2B&x=y";

#[test]
fn redirect_is_passed_on_unchanged_by_default_pitfall_p40() {
    let setup = EcrSetup::plain();
    let storage = Backend::start(|_| Reply::json("{}"));
    let to = format!("https://127.0.0.1:{}{SIGNED}", storage.address.port());
    setup.ecr.say(Reply::with(
        "307 Temporary Redirect",
        &format!("Location: {to}\r\nETag: \"e\"\r\n"),
        "body",
    ));
    let answer = setup.get("/v2/a/blobs/x");
    assert_eq!((answer.status, answer.header("location"), &answer.text()[..]), (307, Some(&to[..]), "body"));
    assert_eq!(answer.header("etag"), Some("\"e\""));
    assert!(!format!("{answer:?}").contains(TOKEN));
    assert_eq!(storage.connections(), 0);
}

#[test]
fn redirect_to_storage_is_followed_without_credentials() {
    let servers = RegistryWithStorage::start(STORAGE, 2099);
    servers.redirect(&servers.url(SIGNED));
    let RegistryWithStorage { setup, storage } = &servers;
    let request = alice(Request::get("/v2/a/blobs/x"))
        .header("X-Upstream-Authorization", "Basic ZXZpbA==")
        .header("X-Amz-Security-Token", "evil")
        .header("Cookie", "a=b");
    let answer = setup.ask(&request);
    assert_eq!((answer.status, &answer.text()[..]), (200, "layer"), "{answer:?} {}", setup.nginx.log());
    assert_eq!((answer.header("location"), answer.header("etag")), (None, Some("\"e\"")));
    let heard = storage.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!((&heard[0].method[..], &heard[0].target[..]), ("GET", SIGNED));
    let host = format!("{STORAGE}:{}", storage.address.port());
    assert_eq!(heard[0].header("host"), Some(host.as_bytes()));
    let text = format!(
        "{:?}",
        heard[0].headers.iter().map(|(n, v)| (n, String::from_utf8_lossy(v))).collect::<Vec<_>>()
    );
    for never in ["authorization", TOKEN, &basic("alice:wonderland")[6..], "evil", "cookie", "x-auth"] {
        assert!(!text.contains(never), "{never}: {text}");
    }
    // A range request.
    storage.say(Reply::with("206 Partial Content", "Content-Range: bytes 1-2/5\r\n", "ay").close());
    let part = setup.ask(&alice(Request::get("/v2/a/blobs/x")).header("Range", "bytes=1-2"));
    assert_eq!(
        (part.status, &part.text()[..], part.header("content-range")),
        (206, "ay", Some("bytes 1-2/5"))
    );
    assert_eq!(storage.heard()[1].header("range"), Some(&b"bytes=1-2"[..]));
    storage.say(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    let head = setup.ask(&alice(Request::new("HEAD", "/v2/a/blobs/x")));
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!(storage.heard()[2].method, "HEAD");
}

#[test]
fn redirect_to_another_host_is_passed_to_the_client() {
    let servers = RegistryWithStorage::start(STORAGE, 2099);
    let port = servers.storage.address.port();
    let allowed = format!("{STORAGE}:{port}");
    let hostile = [
        format!("http://{allowed}/a"),
        format!("https://127.0.0.1:{port}/a"),
        format!("https://localhost:{port}/a"),
        format!("https://[::1]:{port}/a"),
        format!("https://{STORAGE}/a"),
        format!("https://{STORAGE}:1{port}/a"),
        format!("https://evil.test:{port}@{allowed}/a"),
        format!("https://{allowed}@evil.test:{port}/a"),
        format!("https://evil.test:{port}/{allowed}/a"),
        format!("https://evil.test:{port}#{allowed}/a"),
        format!("https://evil.test:{port}?{allowed}/a"),
        format!("https://evil.test:{port}\\{allowed}/a"),
        format!("https://{allowed}\\@evil.test/a"),
        format!("https://x{allowed}/a"),
        format!("https://{STORAGE}.evil.test:{port}/a"),
        format!("https://{STORAGE}.:{port}/a"),
        "https://store.test/a".to_owned(),
        "https://.store.test/a".to_owned(),
        "https://xstore.test/a".to_owned(),
        "https://a.store.test:8443/a".to_owned(),
        "https://a.ports.test/a".to_owned(),
        "https://bucket.s3.amazonaws.com/a".to_owned(),
        format!("{allowed}/a"),
        format!("ftp://{allowed}/a"),
        format!("https://{allowed}"),
        "/v2/own".to_owned(),
        "https:///a".to_owned(),
        "https://:443/a".to_owned(),
    ];
    for to in &hostile {
        servers.redirect(to);
        let answer = servers.setup.get("/v2/a/blobs/x");
        assert_eq!((answer.status, answer.header("location")), (307, Some(&to[..])), "{to}: {answer:?}");
    }
    servers.setup.ecr.say(Reply::with("307 Temporary Redirect", "", ""));
    assert_eq!(servers.setup.get("/v2/a/blobs/x").status, 307, "one that leads nowhere");
    // A redirect to the registry's own name becomes a path of the public host in this mode too.
    servers.redirect(&servers.setup.url("/v2/other?x=y"));
    assert_eq!(servers.setup.get("/v2/a").header("location"), Some("/v2/other?x=y"));
    // Write requests are not redirected to the storage, and redirects with another status are not followed.
    servers.redirect(&servers.url("/a"));
    for method in ["PUT", "PATCH", "POST", "DELETE"] {
        let body = if method == "DELETE" { "" } else { "hello" };
        let answer = servers.setup.ask(&alice(Request::new(method, "/v2/a/blobs/x").body(body)));
        assert_eq!(
            (answer.status, answer.header("location")),
            (307, Some(&servers.url("/a")[..])),
            "{method}"
        );
    }
    for status in [301, 302, 303, 308] {
        let headers = format!("Location: {}\r\n", servers.url("/a"));
        servers.setup.ecr.say(Reply::with(&format!("{status} Go"), &headers, "body"));
        let answer = servers.setup.get("/v2/a");
        assert_eq!((answer.status, &answer.text()[..]), (status, "body"));
    }
    assert_eq!(servers.storage.connections(), 0, "{:?}", servers.storage.heard());
    servers.redirect(&servers.url("/a"));
    assert_eq!(servers.setup.get("/v2/a").text(), "layer");
    // A client without credentials gets neither.
    assert_eq!(servers.setup.ask(&Request::get("/v2/a")).status, 401);
    assert_eq!(servers.storage.requests(), 1);
}

#[test]
fn storage_that_refuses_credentials_gets_502_and_no_challenge() {
    let servers = RegistryWithStorage::start(STORAGE, 2099);
    servers.redirect(&servers.url("/a"));
    for status in [400, 401, 403] {
        let headers = "Content-Type: application/xml\r\nWWW-Authenticate: x\r\nSet-Cookie: a=b\r\n";
        servers.storage.say(Reply::with(&format!("{status} No"), headers, "<Error/>"));
        let answer = servers.setup.get("/v2/a");
        assert_json(&answer, 502, "UNAVAILABLE");
        assert_eq!(answer.header("www-authenticate"), None);
        assert!(answer.text().contains("the registry's storage is unavailable"), "{answer:?}");
    }
    for status in [404, 416, 503] {
        servers.storage.say(Reply::with(
            &format!("{status} No"),
            "Content-Type: application/xml\r\n",
            "<Error/>",
        ));
        assert_eq!(servers.setup.get("/v2/a").status, status);
    }
    // A redirect of the storage is not followed, and it cannot lead to an internal location of nginx.
    servers.storage.say(Reply::with(
        "307 Go",
        "Location: https://evil.test/\r\nX-Accel-Redirect: /_doorward\r\n",
        "",
    ));
    let answer = servers.setup.get("/v2/a");
    assert_eq!((answer.status, answer.header("location")), (307, Some("https://evil.test/")));
    let to = format!("https://a.store.test{SIGNED}");
    servers.redirect(&to);
    assert_json(&servers.setup.get("/v2/a"), 502, "UNAVAILABLE");
    assert!(servers.setup.reported_refusals().is_empty(), "none of it is about our credentials");
}

#[test]
fn storage_with_a_wrong_certificate_gets_no_request_pitfall_p41() {
    for (name, year) in [("other.ecr.test", 2099), (STORAGE, 2002)] {
        let servers = RegistryWithStorage::start(name, year);
        servers.redirect(&servers.url(SIGNED));
        assert_json(&servers.setup.get("/v2/a"), 502, "UNAVAILABLE");
        assert!(servers.storage.connections() > 0);
        assert_eq!(servers.storage.requests(), 0);
    }
}
