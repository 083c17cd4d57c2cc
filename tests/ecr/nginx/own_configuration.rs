//! The snippets in an own nginx.conf.

use std::net::SocketAddr;

use super::{Authority, Backend, NAME, Reply, SECRET, STORAGE, TOKEN, judge, page, server_named, value};
use crate::support::api::Api;
use crate::support::client::Request;
use crate::support::dns::DnsServer;
use crate::support::free_port;
use crate::support::nginx::{Image, Nginx, alice, assert_challenge, assert_json};

/// Returns the start of http{} and of every server{}.
fn lines(doorward: &Api, ecr: &Backend) -> (String, String) {
    let (auth, port) = (doorward.address, ecr.address.port());
    let keep = "keepalive 64; keepalive_requests 100000;";
    let http = format!(
        "include doorward/doorward-http.conf;\ninclude doorward/doorward-ecr-maps.conf;\nmap \"\" $doorward_ecr_host {{ default {NAME}:{port}; }}\nmap \"\" $doorward_proxy_secret {{ default \"{SECRET}\"; }}\nupstream doorward {{ server {auth}; {keep} }}\nupstream doorward_upstream {{ server 127.0.0.1:{port}; keepalive 16; keepalive_timeout 15s; }}\n"
    );
    (http, "listen ADDRESS; proxy_ssl_trusted_certificate CA;".to_owned())
}

fn start(http: &str, server: &str) -> (Nginx, Api, Backend, Backend, DnsServer) {
    let authority = Authority::new("Test Authority");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let of = |name: &str| Some(server_named(&authority.pair(name, 2099), name));
    let ecr = Backend::start_at(any, of(NAME), |_| Reply::json("{}"));
    let storage = Backend::start_at(any, of(STORAGE), |_| Reply::json("layer"));
    let doorward =
        Api::start(|call| if call.path() == "/auth/refused" { page() } else { judge(call, TOKEN) });
    let names = DnsServer::start(Some([127, 0, 0, 1]));
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (head, begin) = lines(&doorward, &ecr);
    let dir = tempfile::tempdir().unwrap();
    let ca = authority.file(dir.path()).display().to_string();
    let text = format!("{head}{http}server {{ {begin} {server} }}\n")
        .replace("ADDRESS", &address.to_string())
        .replace("CA;", &format!("{ca};"))
        .replace("RESOLVER", &names.address.to_string())
        .replace("STORE", &format!("{STORAGE}:{}", storage.address.port()));
    let nginx = Nginx::by_hand(Image::with(&text), address);
    (nginx, doorward, ecr, storage, names)
}

#[test]
fn own_configuration_for_an_upstream_registry_works() {
    let (nginx, doorward, ecr, ..) = start("", "include doorward/doorward-ecr.conf;");
    assert_challenge(&nginx.ask(&Request::get("/v2/")));
    assert_eq!(ecr.requests(), 0);
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a%3Ab?c=%20"))).status, 200);
    let heard = ecr.heard();
    assert_eq!((&heard[0].target[..], value(&heard[0], "authorization")), ("/v2/a%3Ab?c=%20", TOKEN));
    assert_json(&nginx.ask(&alice(Request::new("PUT", "/v2/a").body("x"))), 405, "UNSUPPORTED");
    assert_json(&nginx.ask(&alice(Request::get("/"))), 404, "UNSUPPORTED");
    ecr.say(Reply::status(401));
    assert_json(&nginx.ask(&alice(Request::get("/v2/a"))), 503, "UNAVAILABLE");
    let told = doorward.calls().pop().unwrap();
    assert_eq!((told.path(), told.header("x-auth-proxy-secret")), ("/auth/refused", SECRET));
    // Connections to the upstream are kept.
    ecr.say(Reply::json("{}"));
    let before = ecr.connections();
    for _ in 0..10 {
        assert_eq!(nginx.ask(&alice(Request::get("/v2/"))).status, 200);
    }
    assert!(ecr.connections() <= before + 1, "{} and {before}", ecr.connections());
}

#[test]
fn own_configuration_with_pushes_and_followed_redirects_works() {
    let http = "map \"\" $doorward_push { default on; }\nmap $doorward_storage_host $doorward_storage_allowed { default \"\"; STORE yes; }\n";
    let server = "resolver RESOLVER ipv6=off;\ninclude doorward/doorward-server-defaults.conf;\nlocation = /_doorward {\n    proxy_pass http://doorward/auth;\n    proxy_set_header X-Auth-Rewrite $doorward_rewrite;\n    include doorward/doorward-auth-subrequest.conf;\n}\ninclude doorward/doorward-protect.conf;\nlocation @doorward_ecr {\n    proxy_pass https://doorward_upstream$doorward_uri;\n    include doorward/doorward-ecr-proxy.conf;\n    error_page 307 = @doorward_follow_redirect;\n}\nlocation @doorward_upstream_refused {\n    proxy_pass http://doorward$doorward_refused_uri;\n    include doorward/doorward-ecr-upstream-refused.conf;\n}\ninclude doorward/doorward-ecr-error-pages.conf;\ninclude doorward/doorward-ecr-follow.conf;";
    let (nginx, _doorward, ecr, storage, _names) = start(http, server);
    assert_eq!(nginx.ask(&alice(Request::new("PUT", "/v2/a").body("x"))).status, 200);
    let to = format!("Location: https://{STORAGE}:{}/a\r\n", storage.address.port());
    ecr.say(Reply::with("307 Go", &to, ""));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a"))).text(), "layer");
    ecr.say(Reply::with("307 Go", "Location: https://other.test/a\r\n", ""));
    assert_eq!(nginx.ask(&alice(Request::get("/v2/a"))).status, 307);
    assert_eq!(storage.heard()[0].header("authorization"), None);
}

#[test]
fn own_configuration_without_a_ca_file_fails_at_start() {
    let head = "include doorward/doorward-http.conf;\ninclude doorward/doorward-ecr-maps.conf;\nmap \"\" $doorward_ecr_host { default x; }\nupstream doorward { server 127.0.0.1:1; }\nupstream doorward_upstream { server 127.0.0.1:1; }\n";
    let image = Image::with(&format!(
        "{head}server {{ listen 127.0.0.1:28087; include doorward/doorward-ecr.conf; }}\n"
    ));
    let output = crate::support::process::run(image.run(&["sh", "-c", "nginx -t"]));
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("no proxy_ssl_trusted_certificate"), "{}", output.stderr);
}
