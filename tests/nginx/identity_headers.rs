//! Identity headers come only from doorward.

use std::net::SocketAddr;

use crate::ecr::nginx as ecr;
use crate::ecr::nginx::Reply;
use crate::support::api::{Api, Reply as ApiReply};
use crate::support::client::Request;
use crate::support::eventually;
use crate::support::nginx::{Image, Nginx, alice, shipped};
use crate::support::upstream::{Upstream, empty};
use crate::token::nginx as token;

const SECRET: &str = "of-a-test-0123456789-of-a-test";

/// Starts an auth service that admits every request and returns these headers.
fn auth_service(headers: &'static [(&'static str, &'static str)]) -> Api {
    Api::start(move |_| {
        headers.iter().fold(ApiReply::status(200), |reply, (name, value)| reply.with(name, value))
    })
}

fn image(kind: &str, auth: SocketAddr, backend: SocketAddr) -> Image {
    let image = Image::new().set("KIND", kind).set("PLAIN_HTTP", "on");
    image.set("AUTH", auth.to_string()).set("UPSTREAM", backend.to_string())
}

/// Sets this token mode. The public listener is set only if the mode uses it.
fn with_tokens(image: Image, way: &str) -> Image {
    let image = image.set("TOKENS", way);
    if way == "off" { image } else { image.set("PUBLIC", "127.0.0.1:1") }
}

/// Names that applications trust, from public reports and product documentation (caddyserver/caddy#7545). The list is
/// repeated here so that a line that is missing in the snippet is detected.
const TRUSTED: &str = "X-Auth-User X-Auth-Groups X-Auth-By X-Auth-Stale X-Auth-Rewrite X-Auth-Reason X-Auth-Proxy-Secret \
    X-Upstream-Authorization X-Upstream-URI X-Authentik-Username X-authentik-groups X-authentik-email X-authentik-uid \
    X-authentik-jwt X-authentik-entitlements X-Vouch-User X-Vouch-IdP-AccessToken X-Vouch-IdP-Claims-Groups \
    X-Pomerium-Jwt-Assertion X-Pomerium-Claim-Email X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups \
    X-Auth-Request-Preferred-Username X-Auth-Request-Access-Token X-Forwarded-User X-Forwarded-Groups X-Forwarded-Email \
    X-Forwarded-Preferred-Username X-Forwarded-Access-Token X-WEBAUTH-USER X-WEBAUTH-EMAIL X-WEBAUTH-NAME X-WEBAUTH-ROLE \
    X-WEBAUTH-GROUPS X-WEBAUTH-FULLNAME Tailscale-User-Login Tailscale-User-Name Tailscale-User-Profile-Pic \
    Cf-Access-Jwt-Assertion Cf-Access-Authenticated-User-Email X-Remote-User X-Remote-Group X-Remote-Groups Remote-User \
    Remote-Groups Remote-Name Remote-Email X-Authenticated-User X-Authenticated-Groups X-Goog-Iap-Jwt-Assertion \
    X-Goog-Authenticated-User-Email X-Amzn-Oidc-Identity X-Amzn-Oidc-Data X-MS-CLIENT-PRINCIPAL-NAME X-Consumer-Username \
    Impersonate-User Impersonate-Group Client-Cert X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert X-SSL-Client-Cert \
    X-SSL-Client-Verify SSL-Client-Cert X-Token-Subject Teleport-Jwt-Assertion X-Auth-Username X-Auth-Email X-Auth-Roles \
    True-Client-IP CF-Connecting-IP X-Client-IP X-Cluster-Client-IP X-Original-Forwarded-For";

/// Returns these names and all other names that the template clears.
fn names() -> Vec<String> {
    let template = std::fs::read_to_string(shipped().join("templates/headers.conf")).unwrap();
    let cleared =
        template.lines().filter_map(|line| line.strip_prefix("proxy_set_header ")?.strip_suffix(" \"\";"));
    let names: Vec<String> = TRUSTED.split_whitespace().chain(cleared).map(str::to_owned).collect();
    assert!(names.len() > 150, "{}", names.len());
    names
}

#[test]
fn identity_headers_of_the_client_do_not_reach_a_backend_field_c12() {
    let doorward = auth_service(&[("X-Auth-User", "alice")]);
    for (kind, tokens) in
        [("site", "off"), ("registry", "off"), ("registry", "mixed"), ("registry", "registry")]
    {
        let backend = Upstream::start(&empty("200 OK"));
        let nginx = Nginx::of(with_tokens(image(kind, doorward.address, backend.address), tokens));
        let names = names();
        for some in names.chunks(40) {
            let request =
                some.iter().fold(Request::get("/v2/"), |request, name| request.header(name, "forged-value"));
            assert_eq!(nginx.ask(&request).status, 200);
            let upper =
                |request: Request, name: &String| request.header(&name.to_uppercase(), "forged-value");
            assert_eq!(nginx.ask(&some.iter().fold(Request::get("/v2/"), upper)).status, 200);
        }
        let received = backend.received();
        let arrived: Vec<&str> = received.lines().filter(|line| line.contains("forged-value")).collect();
        assert!(arrived.is_empty(), "{kind} {tokens}: {arrived:?}");
        assert_eq!(received.contains("X-Auth-User: alice\r\n"), kind == "site", "{kind} {tokens}");
        // A header that is not an identity header is forwarded.
        let request = Request::get("/v2/").header("X-Requested-With", "kept").header("Cookie", "a=b");
        assert_eq!(nginx.ask(&request).status, 200);
        let received = backend.received();
        assert!(received.contains("X-Requested-With: kept\r\n") && received.contains("Cookie: a=b\r\n"));
        assert!(!nginx.log().contains("[warn]"), "{}", nginx.log());
    }
}

#[test]
fn stale_and_fact_headers_come_only_from_doorward_field_s6() {
    let says = &[
        ("X-Auth-User", "alice"),
        ("X-Auth-Stale", "true"),
        ("X-Auth-Fact-Plan", "gold"),
        ("X-Auth-Fact-Customer-Id", ""),
    ];
    let doorward = auth_service(says);
    for kind in ["site", "registry"] {
        let backend = Upstream::start(&empty("200 OK\r\nX-Auth-Fact-Plan: told"));
        let facts = image(kind, doorward.address, backend.address).set("FACTS", "plan,customer-id,unknown");
        let nginx = Nginx::of(facts);
        let forged = ["X-Auth-Stale", "X-Auth-Fact-Plan", "x-auth-fact-customer-id", "X-Auth-Fact-Unknown"]
            .iter()
            .fold(Request::get("/v2/"), |request, name| request.header(name, "forged"));
        // The test client rejects headers that are not on its list, so the response contains no fact.
        assert_eq!(nginx.ask(&forged).status, 200);
        let received = backend.received().to_lowercase();
        assert_eq!(received.matches("x-auth-fact-plan: gold\r\n").count(), 1, "{kind}: {received}");
        for wanted in ["x-auth-stale: true\r\n", "x-auth-user: alice\r\n"] {
            let count = usize::from(kind == "site");
            assert_eq!(received.matches(wanted).count(), count, "{kind} {wanted}: {received}");
        }
        assert!(!received.contains("forged") && !received.contains("customer-id"), "{kind}: {received}");
    }
}

#[test]
fn own_location_gets_all_identity_headers_and_no_credentials_unless_it_asks_for_them_field_s6() {
    let says = &[
        ("X-Auth-User", "alice"),
        ("X-Auth-Fact-Plan", "gold"),
        ("X-Upstream-Authorization", "Basic dG9rZW4="),
    ];
    let (doorward, backend) = (auth_service(says), Upstream::start(&empty("200 OK")));
    let own = "location /own/ { proxy_pass http://doorward_upstream; }\n\
        location /same/ { set $doorward_credentials selected; proxy_pass http://doorward_upstream; }\n";
    let image = image("site", doorward.address, backend.address).file("etc/nginx/own.inc", own);
    let image = image.file("etc/secret", SECRET);
    let (include, secret) = (image.path("etc/nginx/own.inc"), image.path("etc/secret"));
    let image = image.set("INCLUDE", include.display().to_string());
    let nginx = Nginx::of(image.set("FACTS", "plan").set("PROXY_SECRET_FILE", secret.display().to_string()));
    for (path, count) in [("/own/", 0), ("/same/", 1), ("/other/", 1)] {
        assert_eq!(nginx.ask(&Request::get(path).header("X-Auth-Fact-Plan", "forged")).status, 200);
        let received = backend.received();
        let last = received.rsplit("GET ").next().unwrap();
        assert!(last.starts_with(path), "{received}");
        for wanted in ["X-Auth-User: alice\r\n", "X-Auth-Fact-plan: gold\r\n"] {
            assert_eq!(last.matches(wanted).count(), 1, "{path} {wanted}: {last}");
        }
        assert_eq!(last.matches("Authorization: Basic dG9rZW4=\r\n").count(), count, "{path}: {last}");
    }
}

/// All headers that nginx and doorward exchange.
const BETWEEN: &str = "X-Auth-User X-Auth-Groups X-Auth-By X-Auth-Stale X-Auth-Reason X-Auth-Scope X-Auth-Error X-Auth-Rewrite \
    X-Auth-Proxy-Secret X-Upstream-Authorization X-Upstream-URI X-Upstream-Status";

#[test]
fn identity_headers_of_a_backend_do_not_reach_the_client() {
    let doorward = auth_service(&[("X-Auth-User", "alice")]);
    let headers: String = BETWEEN.split_whitespace().map(|name| format!("\r\n{name}: evil")).collect();
    for (kind, way) in [("site", "off"), ("registry", "off"), ("registry", "mixed"), ("registry", "registry")]
    {
        for status in ["200 OK", "404 Not Found", "401 No", "500 No"] {
            let backend = Upstream::start(&empty(&format!("{status}{headers}")));
            let nginx = Nginx::of(with_tokens(image(kind, doorward.address, backend.address), way));
            // The test client fails if a header is not on its list.
            let answer = nginx.ask(&Request::get("/v2/"));
            assert_eq!(answer.status.to_string(), status[..3], "{kind} {way}: {answer:?}");
        }
    }
}

#[test]
fn identity_headers_of_ecr_storage_and_token_do_not_reach_the_client() {
    let lines: String = BETWEEN.split_whitespace().map(|name| format!("{name}: evil\r\n")).collect();
    let setup = ecr::EcrSetup::plain();
    for status in ["200 OK", "404 No", "307 Go", "401 No", "503 No"] {
        setup.ecr.say(Reply::with(status, &lines, "{}"));
        assert!(!format!("{:?}", setup.ask(&alice(Request::get("/v2/a")))).contains("evil"), "{status}");
    }
    let servers = ecr::redirects::RegistryWithStorage::start(ecr::STORAGE, 2099);
    servers.redirect(&servers.url("/a"));
    for status in ["200 OK", "404 No", "403 No"] {
        servers.storage.say(Reply::with(status, &lines, "layer"));
        assert!(!format!("{:?}", servers.setup.get("/v2/a")).contains("evil"), "{status}");
    }
    let services = token::FakeServices::start("mixed", move |_| {
        BETWEEN.split_whitespace().fold(token::token_reply(), |reply, name| reply.with(name, "evil"))
    });
    assert_eq!(services.nginx.ask(&Request::get("/token")).status, 200);
}

#[test]
fn user_name_with_spaces_is_one_field_of_the_access_log() {
    let says = &[("X-Auth-User", "al ice\" [01/Jan/2026:00:00:00 +0000] \"GET /forged")];
    let (doorward, backend) = (auth_service(says), Upstream::start(&empty("200 OK")));
    let nginx = Nginx::of(image("site", doorward.address, backend.address));
    assert_eq!(nginx.ask(&Request::get("/page")).status, 200);
    let log = eventually("the request is in the log", || {
        let log = std::fs::read_to_string(nginx.image().path("var/log/nginx/access.log")).unwrap();
        log.lines().find(|line| line.contains("/page")).map(str::to_owned)
    });
    let user = r#" - "al ice\x22 [01/Jan/2026:00:00:00 +0000] \x22GET /forged" ["#;
    assert!(log.starts_with(&format!("127.0.0.1{user}")), "{log}");
}
