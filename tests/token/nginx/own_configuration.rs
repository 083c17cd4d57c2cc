//! Tokens in an own server{}, which includes the files of `doorward proxy-config nginx --include-only`.

use std::net::SocketAddr;

use super::{TOKEN, token_reply};
use crate::support::api::{Api, Reply};
use crate::support::client::Request;
use crate::support::free_port;
use crate::support::nginx::{Image, Nginx};

/// Starts nginx with an own server in this token mode, which contains `lines` too.
fn start(tokens: &str, doorward: &Api, registry: &Api, lines: &str) -> Nginx {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let server = format!("listen {address}; include conf.d/doorward-server.inc; {lines}");
    let image = Image::own_server("include conf.d/doorward-http.conf;", &server)
        .set("KIND", "registry")
        .set("TOKENS", tokens)
        .set("AUTH", doorward.address.to_string())
        .set("PUBLIC", doorward.address.to_string())
        .set("UPSTREAM", registry.address.to_string());
    Nginx::by_hand(image, address)
}

#[test]
fn own_server_serves_token_in_both_modes_and_its_other_locations_are_protected() {
    let doorward =
        Api::start(|call| if call.path() == "/token" { token_reply() } else { Reply::status(401) });
    let registry = Api::start(|_| Reply::json("{}"));
    let token = || Request::get("/v2/").header("Authorization", format!("Bearer {TOKEN}"));
    let nginx = start("mixed", &doorward, &registry, "");
    assert_eq!(nginx.ask(&Request::get("/token?a=b")).status, 200);
    assert_eq!(nginx.ask(&token()).status, 401, "doorward says so");
    assert_eq!(registry.count(), 0);
    let own = "location /own/ { proxy_pass http://doorward_upstream; }";
    let nginx = start("registry", &doorward, &registry, own);
    assert_eq!(nginx.ask(&Request::get("/token?a=b")).status, 200);
    let asked = doorward.count();
    assert_eq!(nginx.ask(&token()).status, 200, "the registry says so");
    assert_eq!(doorward.count(), asked);
    assert_eq!(nginx.ask(&Request::get("/own/")).status, 401);
    let calls = doorward.calls();
    assert!(calls.iter().filter(|call| call.path() == "/token").all(|call| call.target == "/token?a=b"));
}
