//! A remote registry in an own server{}, which includes the files of `doorward proxy-config nginx --include-only`.

use std::net::SocketAddr;

use super::{Authority, Backend, NAME, Reply, SECRET, STORAGE, TOKEN, judge, page, server_named, value};
use crate::support::api::Api;
use crate::support::client::Request;
use crate::support::dns::DnsServer;
use crate::support::nginx::{Image, Nginx, alice, assert_challenge, assert_json};
use crate::support::{eventually, free_port};

struct OwnServer {
    nginx: Nginx,
    doorward: Api,
    ecr: Backend,
    storage: Backend,
    _names: DnsServer,
}

/// Starts nginx with an own server and these options. `STORE` in an option is the storage.
fn start(options: &[(&str, &str)]) -> OwnServer {
    let authority = Authority::new("Test Authority");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let of = |name: &str| Some(server_named(&authority.pair(name, 2099), name));
    let ecr = Backend::start_at(any, of(NAME), |_| Reply::json("{}"));
    let storage = Backend::start_at(any, of(STORAGE), |_| Reply::json("layer"));
    let doorward =
        Api::start(|call| if call.path() == "/auth/refused" { page() } else { judge(call, TOKEN) });
    let names = DnsServer::start(Some([127, 0, 0, 1]));
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let server = format!("listen {address}; include conf.d/doorward-server.inc;");
    let image = Image::own_server("include conf.d/doorward-http.conf;", &server).file("secret", SECRET);
    let (ca, secret) = (authority.file(image.root()), image.path("secret"));
    let image = image
        .set("KIND", "ecr")
        .set("AUTH", doorward.address.to_string())
        .set("UPSTREAM", format!("{NAME}:{}", ecr.address.port()))
        .set("UPSTREAM_CA", ca.display().to_string())
        .set("PROXY_SECRET_FILE", secret.display().to_string())
        .set("RESOLVER", names.address.to_string());
    let store = format!("{STORAGE}:{}", storage.address.port());
    let image =
        options.iter().fold(image, |image, (name, value)| image.set(name, value.replace("STORE", &store)));
    let nginx = Nginx::by_hand(image, address);
    eventually("the registry is found", || {
        (nginx.ask(&alice(Request::get("/v2/"))).status == 200).then_some(())
    });
    OwnServer { nginx, doorward, ecr, storage, _names: names }
}

#[test]
fn own_server_for_a_remote_registry_works() {
    let own = start(&[]);
    let OwnServer { nginx, doorward, ecr, .. } = &own;
    let before = ecr.requests();
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
    assert_eq!(ecr.requests(), before);
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a%3Ab?c=%20"))).status, 200);
    let heard = ecr.heard().pop().unwrap();
    assert_eq!((&heard.target[..], value(&heard, "authorization")), ("/v2/a%3Ab?c=%20", TOKEN));
    assert_json(&nginx.ask(&alice(Request::new("PUT", "/v2/a").body("x"))), 405, "UNSUPPORTED");
    assert_json(&nginx.ask(&alice(Request::get("/"))), 404, "UNSUPPORTED");
    ecr.say(Reply::status(401));
    assert_json(&nginx.ask(&alice(Request::get("/v2/a"))), 503, "UNAVAILABLE");
    let told = doorward.calls().pop().unwrap();
    assert_eq!((told.path(), told.header("x-auth-proxy-secret")), ("/auth/refused", SECRET));
}

#[test]
fn own_server_with_pushes_and_followed_redirects_works() {
    let options = [("PUSH", "on"), ("REDIRECTS", "follow"), ("REDIRECT_HOSTS", "STORE")];
    let own = start(&options);
    let OwnServer { nginx, ecr, storage, .. } = &own;
    assert_eq!(nginx.ask(&alice(Request::new("PUT", "/v2/a").body("x"))).status, 200);
    let to = format!("Location: https://{STORAGE}:{}/a\r\n", storage.address.port());
    ecr.say(Reply::with("307 Go", &to, ""));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a"))).text(), "layer");
    ecr.say(Reply::with("307 Go", "Location: https://other.test/a\r\n", ""));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a"))).status, 307);
    assert_eq!(storage.heard()[0].header("authorization"), None);
}
