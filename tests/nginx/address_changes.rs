//! Names whose addresses change while nginx runs.

use std::net::SocketAddr;

use crate::support::client::Request;
use crate::support::dns::DnsServer;
use crate::support::nginx::{Image, Nginx, alice, assert_json, nginx};
use crate::support::process::run;
use crate::support::upstream::{Upstream, empty};
use crate::support::{eventually, free_port};

const FIRST: [u8; 4] = [127, 0, 0, 2];
const SECOND: [u8; 4] = [127, 0, 0, 3];

fn at(address: [u8; 4], port: u16, answer: &str) -> Upstream {
    Upstream::start_at(SocketAddr::from((address, port)), answer)
}

fn page(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

fn image(names: &DnsServer) -> Image {
    Image::new().set("RESOLVER", names.address.to_string()).set("PLAIN_HTTP", "on")
}

#[test]
fn token_service_with_a_new_address_is_found_and_gets_the_query() {
    let names = DnsServer::start(Some(FIRST));
    let port = free_port();
    let first = at(FIRST, port, &page("first"));
    let second = at(SECOND, port, &page("second"));
    let registry = Upstream::start(&page("registry"));
    let image = image(&names).set("UPSTREAM", registry.address.to_string()).set("KIND", "registry");
    let nginx = Nginx::of(
        image
            .set("TOKENS", "registry")
            .set("AUTH", "127.0.0.1:1")
            .set("PUBLIC", format!("doorward.test:{port}")),
    );
    let text = || nginx.ask(&Request::get("/token?service=a%20b&scope=")).text();
    eventually("the first is asked", || (text() == "first").then_some(()));
    names.say(SECOND);
    eventually("the second is asked", || (text() == "second").then_some(()));
    for asked in [first.received(), second.received()] {
        assert!(asked.starts_with("GET /token?service=a%20b&scope= HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nHost: doorward\r\n"), "{asked}");
    }
    assert_eq!(nginx.ask(&Request::get("/v2/")).text(), "registry");
}

#[test]
fn doorward_with_a_new_address_is_found_pitfall_p43() {
    let names = DnsServer::start(Some(FIRST));
    let port = free_port();
    let first = at(FIRST, port, &empty("200 OK"));
    let second = at(SECOND, port, &empty("401 No"));
    let backend = Upstream::start(&page("secret"));
    let image = image(&names).set("UPSTREAM", backend.address.to_string()).set("KIND", "registry");
    let nginx = Nginx::of(image.set("AUTH", format!("http://doorward.test:{port}/check?a=b")));
    let status = || nginx.ask(&alice(Request::get("/v2/"))).status;
    eventually("the first is asked", || (status() == 200).then_some(()));
    assert!(first.received().contains("GET /check?a=b HTTP/1.1\r\n"), "{}", first.received());
    assert!(
        first.received().contains(&format!("\r\nHost: doorward.test:{port}\r\n")),
        "{}",
        first.received()
    );
    names.say(SECOND);
    eventually("the second is asked", || (status() == 401).then_some(()));
    assert!(second.received().contains("GET /check?a=b HTTP/1.1\r\n"), "{}", second.received());
    // Only the second service gets requests. No answer of the first one is reused.
    let asked = first.received().len();
    for _ in 0..5 {
        assert_eq!(status(), 401);
    }
    assert_eq!(first.received().len(), asked);
}

#[test]
fn backend_with_a_new_address_gets_the_uri_unchanged() {
    for kind in ["registry", "site"] {
        let names = DnsServer::start(Some(FIRST));
        let port = free_port();
        let backends = [at(FIRST, port, &page("one")), at(SECOND, port, &page("two"))];
        let auth = Upstream::start(&empty("200 OK"));
        let image = image(&names).set("KIND", kind).set("AUTH", auth.address.to_string());
        let nginx = Nginx::of(image.set("UPSTREAM", format!("backend.test:{port}")));
        let says = |text: &str| {
            let answer = nginx.ask(&Request::get("/v2/"));
            (answer.text() == text).then_some(())
        };
        for (backend, (text, address)) in backends.iter().zip([("one", FIRST), ("two", SECOND)]) {
            names.say(address);
            eventually("the backend is found", || says(text));
            let raw: &[&str] = match kind {
                "site" => &["/v2/a%2Fb", "/v2/a?b=%20&c=/../", "/v2/%c3%a9", "/v2//x", "/%76%32/x;y"],
                _ => &["/v2/a%3ab", "/v2/a%3Ab", "/v2/a?b=%20&c=/../"],
            };
            for uri in raw {
                assert_eq!(nginx.ask(&Request::get(uri)).text(), text, "{uri}");
                assert!(backend.received().contains(&format!("GET {uri} HTTP/1.1\r\n")), "{uri}");
            }
        }
    }
}

#[test]
fn unresolvable_doorward_name_gets_503_until_it_resolves() {
    let names = DnsServer::start(None);
    let port = free_port();
    let _auth = at(FIRST, port, &empty("200 OK"));
    let backend = Upstream::start(&page("secret"));
    let image = image(&names).set("UPSTREAM", backend.address.to_string()).set("KIND", "registry");
    let nginx = Nginx::of(image.set("AUTH", format!("doorward.test:{port}")));
    assert_json(&nginx.ask(&alice(Request::get("/v2/"))), 503, "UNAVAILABLE");
    names.say(FIRST);
    eventually("it is found", || (nginx.ask(&alice(Request::get("/v2/"))).status == 200).then_some(()));
}

#[test]
fn connections_to_a_resolved_name_are_kept_alive_if_nginx_supports_it_pitfall_p9() {
    let mut version = std::process::Command::new(nginx());
    version.arg("-v");
    let said = run(version).stderr;
    let number = |part: &str| part.trim().parse::<u32>().unwrap_or_default();
    let parts: Vec<u32> = said.rsplit('/').next().unwrap().split('.').map(number).collect();
    // Older versions resolve a name again only if they keep no connection.
    if parts < vec![1, 27, 3] {
        return;
    }
    let names = DnsServer::start(Some(FIRST));
    let port = free_port();
    let auth = at(FIRST, port, &empty("200 OK"));
    let backend = Upstream::start(&page("secret"));
    let image = image(&names).set("UPSTREAM", backend.address.to_string());
    let nginx = Nginx::of(image.set("AUTH", format!("doorward.test:{port}")));
    eventually("it is found", || (nginx.ask(&Request::get("/")).status == 200).then_some(()));
    let before = auth.connections();
    for _ in 0..20 {
        assert_eq!(nginx.ask(&Request::get("/")).status, 200);
    }
    assert_eq!(auth.connections(), before, "no new one");
}
