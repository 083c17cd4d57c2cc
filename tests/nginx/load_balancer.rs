//! nginx behind a load balancer.

use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, alice};
use crate::support::registry::Registry;
use crate::support::upstream::{Upstream, empty};
use crate::support::users;

/// Returns the value of a header in the last request that the server received.
fn received_header(auth: &Upstream, name: &str) -> String {
    let received = auth.received();
    let last = received.rsplit(&format!("\r\n{name}: ")).next().unwrap();
    last.split("\r\n").next().unwrap().to_owned()
}

fn behind(networks: &str) -> (Nginx, Upstream, Upstream) {
    let (auth, backend) = (Upstream::start(&empty("200 OK")), Upstream::start(&empty("200 OK")));
    let image = Image::new()
        .set("AUTH", auth.address.to_string())
        .set("UPSTREAM", backend.address.to_string())
        .set("PLAIN_HTTP", "on")
        .set("SCHEME", "https")
        .set("REAL_IP_FROM", networks);
    (Nginx::of(image), auth, backend)
}

#[test]
fn client_address_is_the_last_one_that_is_not_a_load_balancer() {
    let (nginx, auth, backend) = behind("127.0.0.0/30,10.0.0.0/8,fd00::/8");
    for (forwarded, client) in [
        ("203.0.113.7", "203.0.113.7"),
        ("192.0.2.66, 203.0.113.7", "203.0.113.7"),
        ("192.0.2.66,203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("10.0.0.1, 203.0.113.7, 10.1.2.3,127.0.0.2", "203.0.113.7"),
        ("203.0.113.7:4321", "203.0.113.7"),
        ("2001:db8::7, fd00::1", "2001:db8::7"),
        // None of these values is an address, so the address of the peer is used.
        ("not an address", "127.0.0.1"),
        ("203.0.113.7, unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let request = Request::get("/").header("X-Forwarded-For", forwarded);
        assert_eq!(nginx.ask(&request).status, 200);
        assert_eq!(received_header(&auth, "X-Real-IP"), client, "{forwarded}");
        assert_eq!(received_header(&backend, "X-Forwarded-For"), client, "{forwarded}");
    }
    // Several header lines form one list.
    let lines =
        Request::get("/").header("X-Forwarded-For", "192.0.2.66").header("X-Forwarded-For", "203.0.113.7");
    nginx.ask(&lines);
    assert_eq!(received_header(&auth, "X-Real-IP"), "203.0.113.7");
}

#[test]
fn forwarded_address_from_an_untrusted_peer_is_ignored() {
    let (nginx, auth, _backend) = behind("127.0.0.1");
    let claim = Request::get("/").header("X-Forwarded-For", "203.0.113.7").header("X-Real-IP", "203.0.113.7");
    nginx.ask_from([127, 0, 0, 9], &claim);
    assert_eq!(received_header(&auth, "X-Real-IP"), "127.0.0.9");
    nginx.ask(&claim);
    assert_eq!(received_header(&auth, "X-Real-IP"), "203.0.113.7", "the other side of it");
}

#[test]
fn locations_have_the_scheme_of_the_client_connection() {
    let (registry, doorward) = (Registry::start(), Doorward::start(&users::two(), &[]));
    let image = |proto: &str| {
        let image = Image::new().set("KIND", "registry").set("PLAIN_HTTP", "on").set("SCHEME", proto);
        image.set("AUTH", tcp(&doorward.address).to_string()).set("UPSTREAM", registry.address.to_string())
    };
    for (proto, scheme) in [("https", "https"), ("http", "http"), ("", "http")] {
        let nginx = Nginx::of(image(proto));
        let post = alice(Request::new("POST", "/v2/a/blobs/uploads/").body("")).host("registry.test");
        let answer = nginx.ask(&post.header("X-Forwarded-Proto", "gopher"));
        let location = answer.header("location").unwrap();
        assert!(location.starts_with(&format!("{scheme}://registry.test/v2/a/")), "{proto}: {location}");
    }
}
