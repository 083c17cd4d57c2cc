//! The token setting of the nginx container, and own configurations.

use std::fs;
use std::net::SocketAddr;

use super::{TOKEN, token_reply};
use crate::support::api::{Api, Reply};
use crate::support::client::Request;
use crate::support::free_port;
use crate::support::nginx::{Image, Nginx, busybox};
use crate::support::process::Output;

/// Runs the container with the shell of Debian and, if available, with that of Alpine. Both must give the same result.
fn try_each(settings: &[(&str, &str)]) -> Vec<(Output, String)> {
    let once = |image: Image| {
        let image =
            image.set("AUTH", "127.0.0.1:8000").set("UPSTREAM", "127.0.0.1:5000").set("PLAIN_HTTP", "on");
        let image = image.set("LISTEN", "127.0.0.1:28087").set("PUBLIC", "127.0.0.1:8002");
        let image = settings.iter().fold(image, |image, (name, value)| image.set(name, *value));
        let output = image.try_out();
        let written = fs::read_to_string(image.path("etc/nginx/conf.d/default.conf")).unwrap_or_default();
        (output, written)
    };
    let alpine = busybox().map(|busybox| Image::new().on(&busybox));
    [Some(Image::new()), alpine].into_iter().flatten().map(once).collect()
}

fn assert_fails(settings: &[(&str, &str)], said: &str) {
    for (output, _) in try_each(settings) {
        assert_ne!(output.code, Some(0), "{settings:?}: {output:?}");
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
}

#[test]
fn invalid_token_setting_is_named() {
    let registry = ("KIND", "registry");
    assert_fails(&[registry, ("TOKENS", "yes")], "NGX_DOORWARD_TOKENS=yes is not one of: off mixed registry");
    for kind in ["site", "ecr"] {
        let said =
            format!("NGX_DOORWARD_TOKENS=registry requires NGX_DOORWARD_KIND=registry, and it is {kind}");
        let backend = ("UPSTREAM", "127.0.0.1:443");
        let ca = crate::support::nginx::shipped().join("README.md").display().to_string();
        let mut settings = vec![("KIND", kind), ("TOKENS", "registry"), backend];
        if kind == "ecr" {
            settings.extend([("UPSTREAM_CA", &ca[..]), ("UPSTREAM", "localhost")]);
        }
        assert_fails(&settings, &said);
    }
    assert_fails(
        &[registry, ("TOKENS", "mixed"), ("AUTH", "http://127.0.0.1:8000/auth")],
        "only doorward issues tokens, but NGX_DOORWARD_AUTH is another auth service",
    );
    let without = [registry, ("TOKENS", "registry"), ("PUBLIC", "")];
    assert_fails(
        &without,
        "NGX_DOORWARD_TOKENS=registry: set NGX_DOORWARD_PUBLIC to the public listener of doorward",
    );
    assert_fails(
        &[registry, ("TOKENS", "registry"), ("PUBLIC", "8002")],
        "NGX_DOORWARD_PUBLIC=8002 has no port",
    );
}

#[test]
fn each_token_mode_starts_and_off_changes_nothing() {
    let wanted = [
        ("off", "registry-proxy", false),
        ("mixed", "registry-proxy", true),
        ("registry", "registry-tokens-proxy", true),
    ];
    for (tokens, proxy, gives) in wanted {
        for (output, text) in try_each(&[("KIND", "registry"), ("TOKENS", tokens)]) {
            assert_eq!(output.code, Some(0), "{}", output.stderr);
            assert!(!output.stderr.contains("99-doorward-check.sh"), "no warning: {}", output.stderr);
            assert!(text.contains(&format!("include doorward/doorward-{proxy}.conf;")), "{text}");
            assert_eq!(text.contains("location = /token {"), gives, "{text}");
            // Clients reach only the public listener at this location, and never the auth listener.
            let passed_on = text.lines().find(|line| line.contains("/token$is_args")).map(str::trim);
            assert_eq!(
                passed_on,
                gives.then_some("proxy_pass http://doorward_public/token$is_args$args;"),
                "{text}"
            );
            assert_eq!(text.contains("server 127.0.0.1:8002;"), gives, "{text}");
            let said = output.stderr.contains("the registry must verify tokens itself");
            assert_eq!(said, tokens == "registry", "{}", output.stderr);
        }
    }
    let without = try_each(&[("KIND", "registry")]);
    let off = try_each(&[("KIND", "registry"), ("TOKENS", "off")]);
    // The paths of the log folders differ.
    let bare = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("access_log ")).collect::<Vec<_>>();
        lines.join("\n").replace("tokens=off ", "tokens= ")
    };
    for ((_, without), (_, off)) in without.iter().zip(&off) {
        assert_eq!(bare(without), bare(off));
    }
}

#[test]
fn resolved_doorward_name_keeps_the_token_query() {
    // Before nginx 1.27.3 a variable holds the name. In this case nginx does not add the query itself.
    let settings = [
        ("KIND", "registry"),
        ("TOKENS", "registry"),
        ("AUTH", "doorward.test:8000"),
        ("PUBLIC", "doorward.test:8002"),
        ("RESOLVER", "127.0.0.1"),
    ];
    for (output, text) in try_each(&settings) {
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let line = text.lines().find(|line| line.contains("/token$is_args$args;"));
        assert!(line.is_some_and(|line| line.trim_start().starts_with("proxy_pass http://")), "{text}");
    }
}

/// Starts nginx with an own configuration that contains these lines in the server.
fn by_hand(doorward: &Api, registry: &Api, server: &str) -> Nginx {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let lines = format!(
        "include doorward/doorward-http.conf;\ninclude doorward/doorward-token-maps.conf;\nupstream doorward {{ server {0}; keepalive 64; }}\nupstream doorward_public {{ server {0}; keepalive 64; }}\nupstream doorward_upstream {{ server {1}; keepalive 64; }}\nserver {{ listen {address}; {server} }}\n",
        doorward.address, registry.address
    );
    Nginx::by_hand(Image::with(&lines), address)
}

#[test]
fn own_configuration_serves_token_in_the_registry_server_or_in_another() {
    let doorward =
        Api::start(|call| if call.path() == "/token" { token_reply() } else { Reply::status(401) });
    let registry = Api::start(|_| Reply::json("{}"));
    let token = || Request::get("/v2/").header("Authorization", format!("Bearer {TOKEN}"));
    let both = "include doorward/doorward-registry.conf; include doorward/doorward-token.conf;";
    let nginx = by_hand(&doorward, &registry, both);
    assert_eq!(nginx.ask(&Request::get("/token?a=b")).status, 200);
    assert_eq!(nginx.ask(&token()).status, 401, "doorward says so");
    assert_eq!(registry.count(), 0);
    let nginx = by_hand(&doorward, &registry, "include doorward/doorward-registry-tokens.conf;");
    assert_eq!(nginx.ask(&Request::get("/token?a=b")).status, 200);
    let asked = doorward.count();
    assert_eq!(nginx.ask(&token()).status, 200, "the registry says so");
    assert_eq!(doorward.count(), asked);
    // Other locations of the server are protected too.
    let own = "include doorward/doorward-registry-tokens.conf; location /own/ { proxy_pass http://doorward_upstream; }";
    let nginx = by_hand(&doorward, &registry, own);
    assert_eq!(nginx.ask(&token()).status, 200);
    assert_eq!(nginx.ask(&Request::get("/own/")).status, 401);
    let alone = "include doorward/doorward-server.conf; include doorward/doorward-token.conf; location / { return 404; }";
    let nginx = by_hand(&doorward, &registry, alone);
    assert_eq!(nginx.ask(&Request::get("/token?a=b")).status, 200);
    assert_eq!(nginx.ask(&Request::get("/v2/")).status, 404);
    assert!(
        doorward
            .calls()
            .iter()
            .filter(|call| call.path() == "/token")
            .all(|call| call.target == "/token?a=b")
    );
}

#[test]
fn own_server_with_tokens_counts_as_protected() {
    let mine = "include doorward/doorward-token-maps.conf;\nupstream doorward_public { server 127.0.0.1:8002; }\nserver { listen 127.0.0.1:28088; include doorward/doorward-registry-tokens.conf; }\n";
    let image = Image::new().set("AUTH", "127.0.0.1:8000").set("UPSTREAM", "127.0.0.1:5000");
    let image = image.set("PLAIN_HTTP", "on").set("LISTEN", "127.0.0.1:28087");
    let output = image.file("etc/nginx/conf.d/mine.conf", mine).try_out();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(!output.stderr.contains("99-doorward-check.sh"), "no warning: {}", output.stderr);
}
