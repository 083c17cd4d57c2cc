//! An own server{}, which includes the files of `doorward proxy-config nginx --include-only`.

use std::net::SocketAddr;

use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, alice, assert_challenge};
use crate::support::upstream::{Upstream, empty};
use crate::support::{free_port, users};

/// Returns nginx with an own server, which contains `lines` too, and the upstream `mine` of the administrator.
fn own(kind: &str, auth: impl ToString, mine: SocketAddr, lines: &str) -> (Image, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let http = format!("upstream mine {{ server {mine}; keepalive 8; }} include conf.d/doorward-http.conf;");
    let server = format!("listen {address}; include conf.d/doorward-server.inc; {lines}");
    (Image::own_server(&http, &server).set("KIND", kind).set("AUTH", auth.to_string()), address)
}

fn start(kind: &str, lines: &str, change: impl Fn(Image) -> Image) -> (Nginx, Doorward, Upstream) {
    let (doorward, backend) = (Doorward::start(&users::two(), &[]), Upstream::start(&empty("200 OK")));
    let (image, address) = own(kind, tcp(&doorward.address), backend.address, lines);
    let image = change(image).set("UPSTREAM", backend.address.to_string());
    (Nginx::by_hand(image, address), doorward, backend)
}

#[test]
fn own_server_for_a_registry_works() {
    let (nginx, _doorward, backend) = start("registry", "", |image| image);
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a%3Ab?c=%20"))).status, 200);
    assert!(backend.received().starts_with("GET /v2/a%3Ab?c=%20 HTTP/1.1\r\n"), "{}", backend.received());
    assert_eq!(nginx.ask(&alice(Request::get("/"))).status, 404);
}

#[test]
fn own_server_for_a_site_with_a_public_path_works() {
    let more = "location /mine/ { proxy_pass http://mine; }";
    let (nginx, _doorward, backend) = start("site", more, |image| image.set("PUBLIC_PATHS", "/public/"));
    for path in ["/", "/mine/", "/public/..;/x"] {
        assert_ne!(nginx.ask(&Request::get(path)).status, 200, "{path}");
    }
    assert_eq!(backend.received(), "");
    assert_eq!(nginx.ask(&Request::get("/public/")).status, 200);
    for path in ["/a%2Fb", "/mine/"] {
        assert_eq!(nginx.ask(&alice(Request::get(path))).status, 200);
        let received = backend.received();
        let last = received.rsplit("GET ").next().unwrap();
        assert!(last.starts_with(path) && last.contains("X-Auth-User: alice\r\n"), "{received}");
        assert!(!last.contains("Authorization"), "{received}");
    }
}

#[test]
fn own_locations_in_place_of_an_upstream_are_protected() {
    for (kind, path) in [("site", "/private/"), ("registry", "/v2/private/")] {
        let (doorward, backend) = (Doorward::start(&users::two(), &[]), Upstream::start(&empty("200 OK")));
        let open = "location /open/ { auth_request off; return 200; }";
        let lines = format!("{open} location {path} {{ proxy_pass http://mine; }}");
        let (image, address) = own(kind, tcp(&doorward.address), backend.address, &lines);
        let nginx = Nginx::by_hand(image, address);
        assert_eq!(nginx.ask(&Request::get("/open/")).status, 200, "{kind}");
        for path in [path.to_owned(), format!("{path}x"), path.replacen('p', "%70", 1), format!("/{path}")] {
            assert_ne!(nginx.ask(&Request::get(&path)).status, 200, "{kind} {path}");
        }
        assert_eq!(nginx.ask(&Request::get(path)).status, 401, "{kind}");
        assert_eq!(backend.received(), "", "{kind}");
        assert_eq!(nginx.ask(&alice(Request::get(path))).status, 200, "{kind}");
        assert!(backend.received().contains("X-Auth-User: alice\r\n"), "{}", backend.received());
    }
}

#[test]
fn own_server_with_another_auth_service_behind_a_load_balancer_works() {
    let (foreign, backend) = (Upstream::start(&empty("200 OK")), Upstream::start(&empty("200 OK")));
    let auth = format!("http://{}/check", foreign.address);
    let (image, address) = own("site", auth, backend.address, "");
    let image = image.set("SCHEME", "https").set("UPSTREAM", backend.address.to_string());
    let nginx = Nginx::by_hand(image, address);
    assert_eq!(nginx.ask(&Request::get("/page")).status, 200);
    let asked = foreign.received();
    let host = format!("\r\nHost: {}\r\n", foreign.address);
    assert!(asked.starts_with("GET /check HTTP/1.1\r\n") && asked.contains(&host), "{asked}");
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
    let raw = "location ^~ /v2/a/raw/ { proxy_pass http://mine; }";
    let mine = "location ^~ /v2/a/mine/ { set $doorward_rewrite yes; proxy_pass http://mine$doorward_uri; }";
    let lines = format!("{raw} {mine}");
    let (image, address) = own("registry", tcp(&doorward.address), backend.address, &lines);
    let nginx = Nginx::by_hand(image.set("UPSTREAM", backend.address.to_string()), address);
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
