//! The snippets in an own nginx.conf.

use std::net::SocketAddr;

use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, alice, assert_challenge};
use crate::support::upstream::{Upstream, empty};
use crate::support::{free_port, users};

const UPSTREAM: &str = "keepalive 64; keepalive_requests 100000;";

/// Returns the content of http{}: the two upstreams, and one server with these lines.
fn lines(doorward: &Doorward, backend: &Upstream, http: &str, address: SocketAddr, server: &str) -> String {
    let (auth, backend) = (tcp(&doorward.address), backend.address);
    format!(
        "{http}\nupstream doorward {{ server {auth}; {UPSTREAM} }}\nupstream doorward_upstream {{ server {backend}; {UPSTREAM} }}\nserver {{ listen {address}; {server} }}\n"
    )
}

fn start(http: &str, server: &str) -> (Nginx, Doorward, Upstream) {
    let (doorward, backend) = (Doorward::start(&users::two(), &[]), Upstream::start(&empty("200 OK")));
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let image = Image::with(&lines(&doorward, &backend, http, address, server));
    (Nginx::by_hand(image, address), doorward, backend)
}

const HTTP: &str = "include doorward/doorward-http.conf;";

#[test]
fn own_configuration_for_a_registry_works() {
    let (nginx, _doorward, backend) = start(HTTP, "include doorward/doorward-registry.conf;");
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a%3Ab?c=%20"))).status, 200);
    assert!(backend.received().starts_with("GET /v2/a%3Ab?c=%20 HTTP/1.1\r\n"), "{}", backend.received());
    assert_eq!(nginx.ask(&alice(Request::get("/"))).status, 404);
}

#[test]
fn own_configuration_for_a_site_with_an_open_location_works() {
    let open = "location /open/ { auth_request off; proxy_pass http://doorward_upstream; }";
    let (nginx, _doorward, backend) = start(HTTP, &format!("include doorward/doorward-site.conf; {open}"));
    assert_eq!(nginx.ask(&Request::get("/")).status, 401);
    assert_eq!(backend.received(), "");
    assert_eq!(nginx.ask(&Request::get("/open/")).status, 200);
    assert_eq!(nginx.ask(&alice(Request::get("/a%2Fb"))).status, 200);
    assert!(backend.received().contains("GET /a%2Fb HTTP/1.1\r\n"), "{}", backend.received());
}

#[test]
fn own_configuration_with_one_protected_location_works() {
    let server = "include doorward/doorward-auth.conf; location / { return 200; } location /private/ { include doorward/doorward-protect.conf; include doorward/doorward-headers.conf; proxy_pass http://doorward_upstream; }";
    let (nginx, _doorward, backend) = start(HTTP, server);
    assert_eq!(nginx.ask(&Request::get("/")).status, 200);
    for path in ["/private/", "/private/../private/x", "/%70rivate/", "//private/"] {
        assert_eq!(nginx.ask(&Request::get(path)).status, 401, "{path}");
    }
    assert_eq!(backend.received(), "");
    assert_eq!(nginx.ask(&alice(Request::get("/private/"))).status, 200);
    assert!(backend.received().contains("X-Auth-User: alice\r\n"), "{}", backend.received());
}

#[test]
fn own_configuration_with_another_auth_service_behind_a_load_balancer_works() {
    let foreign = Upstream::start(&empty("200 OK"));
    let http = format!(
        "include doorward/doorward-maps.conf;\nmap $scheme $doorward_proto {{ default https; }}\nupstream mine {{ server {}; {UPSTREAM} }}",
        foreign.address
    );
    let server = "include doorward/doorward-server-defaults.conf;\nlocation = /_doorward {\n    proxy_pass http://mine/check;\n    proxy_set_header Host auth.example.com;\n    include doorward/doorward-auth-subrequest.conf;\n}\ninclude doorward/doorward-protect.conf;\nlocation / {\n    proxy_pass http://doorward_upstream;\n    include doorward/doorward-site-proxy.conf;\n}\ninclude doorward/doorward-site-error-pages.conf;";
    let (nginx, _doorward, backend) = start(&http, server);
    assert_eq!(nginx.ask(&Request::get("/page")).status, 200);
    let asked = foreign.received();
    assert!(
        asked.starts_with("GET /check HTTP/1.1\r\n") && asked.contains("\r\nHost: auth.example.com\r\n"),
        "{asked}"
    );
    assert!(backend.received().contains("\r\nX-Forwarded-Proto: https\r\n"), "{}", backend.received());
    foreign.say(&empty("401 No"));
    let answer = nginx.ask(&Request::get("/page"));
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Registry\", charset=\"UTF-8\""));
}

#[test]
fn own_location_without_upstream_uri_is_denied_the_mount() {
    let rules = "[[grant]]\nusers = [\"alice\"]\nrepositories = [\"a/**\"]\nactions = [\"pull\", \"push\"]\n";
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    std::fs::write(dir.path().join("policy.toml"), rules).unwrap();
    let policy = dir.path().join("policy.toml").display().to_string();
    let doorward = Doorward::start_in(dir, &["--policy", &policy]);
    let backend = Upstream::start(&empty("202 Accepted"));
    let raw = "location ^~ /v2/a/raw/ { proxy_pass http://doorward_upstream; include doorward/doorward-registry-proxy.conf; }";
    let mine = "location ^~ /v2/a/mine/ { auth_request_set $mine $upstream_status; set $doorward_rewrite yes; proxy_pass http://doorward_upstream$doorward_uri; include doorward/doorward-registry-proxy.conf; }";
    let server = format!("include doorward/doorward-registry.conf; {raw} {mine}");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let nginx = Nginx::by_hand(Image::with(&lines(&doorward, &backend, HTTP, address, &server)), address);
    let mount = |name: &str| {
        let digest = format!("sha256:{}", "0".repeat(64));
        let uri = format!("/v2/a/{name}/blobs/uploads/?mount={digest}&from=secret/app");
        nginx.ask(&alice(Request::new("POST", &uri).body(""))).status
    };
    assert_eq!(mount("raw"), 403, "it would have made the mount");
    for name in ["x", "mine"] {
        assert_eq!(mount(name), 202, "{name}");
        let received = backend.received();
        assert!(received.contains(&format!("POST /v2/a/{name}/blobs/uploads/ HTTP/1.1\r\n")), "{received}");
    }
    assert!(!backend.received().contains("from="), "{}", backend.received());
}
