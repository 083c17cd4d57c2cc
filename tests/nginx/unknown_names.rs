//! Names that no server lists: the default server of each address refuses them, or the server with the name `_` gets them.

use std::net::SocketAddr;

use crate::support::client::{self, Address, OF_NGINX, Request};
use crate::support::free_port;
use crate::support::nginx::{Image, Nginx};
use crate::support::upstream::{Upstream, empty};

/// nginx with two servers without TLS, each in front of a service of its own.
struct TwoServers {
    nginx: Nginx,
    auth: Upstream,
    services: [Upstream; 2],
    /// The addresses of the servers.
    addresses: [SocketAddr; 2],
}

fn local_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

fn two_settings(auth: &Upstream, services: &[Upstream; 2], lines: [&str; 2]) -> String {
    let server = |number: usize| {
        format!("[[proxy_config.server]]\nupstream = \"{}\"\n{}\n", services[number].address, lines[number])
    };
    format!("[proxy_config]\nauth = \"{}\"\nipv6 = \"off\"\n{}{}", auth.address, server(0), server(1))
}

fn services() -> (Upstream, [Upstream; 2]) {
    let start = || Upstream::start(&empty("200 OK"));
    (start(), [start(), start()])
}

impl TwoServers {
    fn start(names: [&str; 2], addresses: [SocketAddr; 2]) -> Self {
        let (auth, services) = services();
        let lines = [0, 1].map(|number| {
            let (name, address) = (names[number], addresses[number]);
            format!("plain_http = true\nserver_name = {name}\nlisten = \"{address}\"")
        });
        let text = two_settings(&auth, &services, [&lines[0], &lines[1]]);
        let nginx = Nginx::by_hand(Image::new().settings_file(&text), addresses[0]);
        Self { nginx, auth, services, addresses }
    }

    /// Sends a request to one of the servers. Returns the status, and the services that received it.
    fn ask(&self, number: usize, request: &Request) -> (u16, Vec<&'static str>) {
        let all = [("auth", &self.auth), ("first", &self.services[0]), ("second", &self.services[1])];
        let before = all.map(|(_, service)| service.received().len());
        let answer = client::ask(&Address::Tcp(self.addresses[number]), OF_NGINX, request);
        let reached =
            all.into_iter().zip(before).filter(|((_, service), before)| service.received().len() > *before);
        let reached = reached.map(|((name, _), _)| name).collect();
        (answer.status, reached)
    }
}

#[test]
fn name_that_no_plain_http_server_lists_gets_421_without_an_auth_check() {
    let at = local_address();
    for addresses in [[at, at], [local_address(), local_address()]] {
        let servers = TwoServers::start(["[\"a.test\", \"*.dev.test\"]", "\"b.test\""], addresses);
        let admitted = |service| (200, vec!["auth", service]);
        for (number, name, service) in [
            (0, "a.test", "first"),
            (0, "x.dev.test", "first"),
            (1, "b.test", "second"),
            (1, "B.test:80", "second"),
        ] {
            assert_eq!(servers.ask(number, &Request::get("/").host(name)), admitted(service), "{name}");
        }
        for number in [0, 1] {
            for name in ["c.test", "dev.test", "127.0.0.1", "_", "a.test.c.test", "localhost"] {
                let asked = servers.ask(number, &Request::get("/").host(name));
                assert_eq!(asked, (421, vec![]), "{name}");
            }
        }
        assert!(!servers.nginx.log().contains("[warn]"), "{}", servers.nginx.log());
    }
}

#[test]
fn server_with_every_name_gets_unknown_names_at_any_position() {
    let at = local_address();
    for (names, every, other) in [
        (["\"_\"", "\"b.test\""], "first", "second"),
        (["\"b.test\"", "[\"x.test\", \"_\"]"], "second", "first"),
    ] {
        let servers = TwoServers::start(names, [at, at]);
        assert_eq!(servers.ask(0, &Request::get("/").host("b.test")), (200, vec!["auth", other]));
        for name in ["c.test", "127.0.0.1", "_", "x.test"] {
            assert_eq!(servers.ask(0, &Request::get("/").host(name)), (200, vec!["auth", every]), "{name}");
        }
    }
}

/// nginx with two sites with TLS at the default ports, which are replaced. Its address is that of the redirects.
struct TwoSites {
    nginx: Nginx,
    _auth: Upstream,
    _services: [Upstream; 2],
}

impl TwoSites {
    /// Starts nginx. `other` is a configuration file with `PLAIN` in place of the address of the redirects.
    fn start(names: [&str; 2], other: &str) -> Self {
        let (auth, services) = services();
        let (plain, tls) = (local_address(), local_address());
        let image = Image::new().pair("DNS:a.test");
        let pair = image.path("etc/nginx/tls");
        let lines = names.map(|name| {
            let pair = pair.display();
            format!(
                "server_name = {name}\ntls_certificate = \"{pair}/tls.crt\"\ntls_key = \"{pair}/tls.key\""
            )
        });
        let text = two_settings(&auth, &services, [&lines[0], &lines[1]]);
        let image = image.settings_file(&text).set("TLS_CERTIFICATE", "").set("TLS_KEY", "");
        let image = image.file("etc/nginx/conf.d/z.conf", &other.replace("PLAIN", &plain.to_string()));
        let nginx = Nginx::edited(image, plain, |text| {
            let text = text.replace("listen 80", &format!("listen {plain}"));
            text.replace("listen 443", &format!("listen {tls}"))
        });
        Self { nginx, _auth: auth, _services: services }
    }

    /// Sends a request over plain HTTP. Returns the status, the Location and the body.
    fn ask(&self, name: &str) -> (u16, Option<String>, String) {
        let answer = self.nginx.ask(&Request::get("/x?y=1").host(name));
        (answer.status, answer.header("location").map(str::to_owned), answer.text())
    }

    fn assert_redirect(&self, name: &str) {
        let (status, location, _) = self.ask(name);
        assert_eq!((status, location), (301, Some(format!("https://{name}/x?y=1"))));
    }
}

#[test]
fn redirect_to_https_never_names_a_host_that_no_server_lists() {
    let sites = TwoSites::start(["\"a.test\"", "\"*.b.test\""], "");
    sites.assert_redirect("a.test");
    sites.assert_redirect("x.b.test");
    for name in ["evil.test", "b.test", "a.test.evil.test", "127.0.0.1"] {
        let (status, location, _) = sites.ask(name);
        assert_eq!((status, location), (421, None), "{name}");
    }
    // The second site has every name, so every name is redirected.
    let sites = TwoSites::start(["\"a.test\"", "\"_\""], "");
    sites.assert_redirect("a.test");
    sites.assert_redirect("c.test");
}

#[test]
fn redirect_leaves_port_80_to_the_default_server_of_another_file() {
    let debian =
        "server {\n    listen PLAIN default_server;\n    server_name _;\n    return 200 welcome;\n}\n";
    let sites = TwoSites::start(["\"a.test\"", "\"b.test\""], debian);
    let (status, _, text) = sites.ask("c.test");
    assert_eq!((status, &text[..]), (200, "welcome"));
    sites.assert_redirect("b.test");
}
