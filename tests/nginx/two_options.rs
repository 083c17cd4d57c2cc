//! nginx with the fewest options.

use std::fs;

use crate::support::client::{Request, tcp, unix};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, alice, assert_challenge};
use crate::support::upstream::{Upstream, empty};
use crate::support::{eventually, users};

#[test]
fn two_options_protect_a_site() {
    let doorward = Doorward::start(&users::two(), &[]);
    let site = Upstream::start("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome");
    let nginx = Nginx::of(
        Image::new()
            .set("UPSTREAM", site.address.to_string())
            .set("AUTH", tcp(&doorward.address).to_string())
            .set("PLAIN_HTTP", "on"),
    );
    let answer = nginx.ask(&Request::get("/"));
    assert_eq!((answer.status, &answer.text()[..]), (401, "Authentication is required.\n"));
    assert_eq!(nginx.ask(&Request::get("/").basic("alice", "x")).status, 401);
    assert_eq!(site.received(), "");
    assert_eq!(nginx.ask(&alice(Request::get("/a%2Fb?c=%20"))).text(), "welcome");
    assert!(site.received().starts_with("GET /a%2Fb?c=%20 HTTP/1.1\r\n"), "{}", site.received());
    // nginx writes the log line after the response.
    let log = eventually("alice is in the log", || {
        let log = fs::read_to_string(nginx.image().path("var/log/nginx/access.log")).unwrap();
        log.contains(" \"alice\" [").then_some(log)
    });
    assert!(!log.contains("Basic"), "{log}");
}

#[test]
fn registry_and_doorward_over_unix_sockets_work() {
    let dir = tempfile::tempdir().unwrap();
    let socket = unix(&dir.path().join("doorward.sock"));
    let _doorward = Doorward::start(&users::two(), &["--listen", &socket]);
    let registry = Upstream::start(&empty("200 OK"));
    let image = Image::new().set("KIND", "registry").set("AUTH", socket).set("PLAIN_HTTP", "on");
    let nginx = Nginx::of(image.set("UPSTREAM", registry.address.to_string()));
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/"))).status, 200);
}
