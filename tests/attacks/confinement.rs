//! Raw request lines that nginx and a backend read differently (CVE-2026-63177).
//!
//! Each kind of backend and each token mode gets 10,000 raw request lines, with and without a policy. The backend routes
//! by the raw path.

mod raw_client;
mod recording_backend;
mod request_lines;

use std::fs;

use crate::support::backend::{Authority, server};
use crate::support::client::{Address, Request, basic};
use crate::support::dns::DnsServer;
use crate::support::doorward::Doorward;
use crate::support::nginx::{Image, Nginx, alice};
use crate::support::random::Random;
use crate::support::scale::scaled;
use crate::support::upstream::{Upstream, empty};
use crate::support::{eventually, users};
use recording_backend::RecordingBackend;

/// The secret that nginx sends to doorward, and the credentials that doorward sends to the upstream.
const SECRET: &str = "of-a-test-0123456789-of-a-test";
const TOKEN: &str = "Bearer of-the-upstream";

/// A value with the form of a client's token.
const CLIENT_TOKEN: &str = "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIifQ.c2lnbmF0dXJl";

/// The name of the remote registry.
const REMOTE: &str = "registry.ecr.test";

const REGISTRY_RULES: &str =
    "[[grant]]\nusers = [\"alice\"]\nactions = [\"pull\", \"push\", \"delete\", \"catalog\"]\n";
const SITE_RULES: &str = "[[grant]]\nusers = [\"alice\"]\npaths = [\"/**\"]\n";

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Returns the number of random lines that are sent in addition to the fixed ones.
fn count() -> usize {
    scaled(400, 10_000)
}

/// Starts doorward with the user alice, credentials for the upstream, and the policy `rules`.
fn doorward(rules: Option<&str>) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display().to_string();
    fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    fs::write(dir.path().join("secret"), SECRET).unwrap();
    fs::write(dir.path().join("token"), "of-the-upstream").unwrap();
    let mut settings = format!("htpasswd.file = \"{at}/htpasswd\"\nproxy_secret_file = \"{at}/secret\"\n");
    if let Some(rules) = rules {
        fs::write(dir.path().join("policy.toml"), rules).unwrap();
        settings += &format!("policy.file = \"{at}/policy.toml\"\n");
    }
    settings += &format!("[[upstream]]\ntype = \"bearer\"\ntoken_file = \"{at}/token\"\n");
    fs::write(dir.path().join("doorward.toml"), settings).unwrap();
    Doorward::start_in(dir, &["--config", &format!("{at}/doorward.toml")])
}

/// Returns a container with the settings that all tests share.
fn image(kind: &str, auth: impl ToString, backend: impl ToString) -> Image {
    let image = Image::new().file("secret", SECRET);
    let secret = image.path("secret").display().to_string();
    image
        .set("KIND", kind)
        .set("AUTH", auth.to_string())
        .set("UPSTREAM", backend.to_string())
        .set("PROXY_SECRET_FILE", secret)
        .set("PLAIN_HTTP", "on")
}

fn address(listener: &Address) -> String {
    match listener {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// An attack: the location in front of `backend`, and the credentials of the client.
struct Attack<'a> {
    name: &'a str,
    has_policy: bool,
    nginx: &'a Nginx,
    backend: &'a RecordingBackend,
    /// The path of the location, without its slashes.
    root: &'a str,
    /// The credentials that the client sends, if any.
    shown: Option<&'a str>,
    /// The only credentials that may reach the backend. They must not be sent outside the location.
    passed: &'a str,
}

impl Attack<'_> {
    #[expect(clippy::print_stdout, reason = "the figures, shown with --nocapture")]
    fn run(&self) {
        let headers = self.shown.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
        self.pass_the_usual(&headers);
        let mut random = Random::new();
        let mut all = request_lines::fixed(self.root);
        all.extend((0..count()).map(|_| request_lines::random(&mut random, self.root)));
        let answers = raw_client::send(self.nginx.address, &all, &headers);
        let reached = self.backend.take();
        let root = format!("/{}/", self.root);
        let outside: Vec<_> = reached.iter().filter(|request| request.is_outside(&root)).collect();
        let belong = |request: &recording_backend::ReceivedLine| {
            request.authorization.is_empty()
                || request.authorization == self.passed && !request.is_outside(&root)
        };
        let astray: Vec<_> = reached.iter().filter(|request| !belong(request)).collect();
        println!(
            "{}: {} request lines, answers 2xx {} 3xx {} 4xx {} 5xx {} none {}, reached the backend {}, outside {root} {}, with credentials where none belong {}",
            self.name,
            all.len(),
            answers[2],
            answers[3],
            answers[4],
            answers[5],
            answers[0],
            reached.len(),
            outside.len(),
            astray.len()
        );
        let show = |some: &[&recording_backend::ReceivedLine]| {
            let line = |r: &&recording_backend::ReceivedLine| {
                format!("{} {}", r.target.escape_ascii(), r.authorization)
            };
            some.iter().take(20).map(line).collect::<Vec<_>>().join("\n")
        };
        assert!(outside.is_empty(), "{}, outside {root}:\n{}", self.name, show(&outside));
        assert!(astray.is_empty(), "{}, with credentials:\n{}", self.name, show(&astray));
        assert!(!reached.is_empty(), "{}: nothing at all was let through", self.name);
        assert_eq!(answers[5], 0, "{}: an answer of 5xx\n{}", self.name, self.nginx.log());
    }

    /// Checks that ordinary request lines reach the backend unchanged. Otherwise a refusal would prove nothing.
    fn pass_the_usual(&self, headers: &str) {
        let escaped = (!self.has_policy).then_some(&request_lines::ESCAPED);
        for target in request_lines::USUAL.iter().chain(escaped) {
            let target = target.replace("v2", self.root);
            let line = format!("GET {target} HTTP/1.1").into_bytes();
            let answers = raw_client::send(self.nginx.address, &[line], headers);
            let reached = self.backend.take();
            let last = reached
                .last()
                .unwrap_or_else(|| panic!("{}: {target} did not arrive: {answers:?}", self.name));
            assert_eq!(
                (last.target.escape_ascii().to_string(), &last.authorization[..]),
                (target, self.passed)
            );
        }
    }
}

/// Attacks the nginx of a registry in the token mode `tokens`, without and with a policy.
fn attack_registry(tokens: &str) {
    for rules in [None, Some(REGISTRY_RULES)] {
        let (doorward, backend) = (doorward(rules), RecordingBackend::start(None));
        let image = image("registry", address(&doorward.address), backend.address).set("TOKENS", tokens);
        let public = if tokens == "off" { String::new() } else { address(&doorward.public) };
        let nginx = Nginx::of(image.set("PUBLIC", public));
        Attack {
            name: &format!("registry, tokens {tokens}, policy {}", yes(rules.is_some())),
            has_policy: rules.is_some(),
            nginx: &nginx,
            backend: &backend,
            root: "v2",
            shown: Some(&basic("alice:wonderland")),
            passed: TOKEN,
        }
        .run();
    }
}

#[test]
fn no_request_outside_v2_reaches_a_registry_field_r1() {
    attack_registry("off");
}

#[test]
fn no_request_outside_v2_reaches_a_registry_in_mixed_token_mode_field_r1() {
    attack_registry("mixed");
}

#[test]
fn no_request_outside_v2_reaches_a_verifying_registry_field_r1() {
    let (doorward, backend) = (doorward(None), RecordingBackend::start(None));
    let nginx = Nginx::of(
        image("registry", address(&doorward.address), backend.address)
            .set("TOKENS", "registry")
            .set("PUBLIC", address(&doorward.public)),
    );
    let alice = basic("alice:wonderland");
    for (who, shown, passed) in [
        ("nobody", None, ""),
        ("a token", Some(CLIENT_TOKEN), CLIENT_TOKEN),
        ("a password", Some(&alice[..]), ""),
    ] {
        let name = format!("registry, tokens on, {who}");
        Attack {
            name: &name,
            has_policy: false,
            nginx: &nginx,
            backend: &backend,
            root: "v2",
            shown,
            passed,
        }
        .run();
    }
}

#[test]
fn no_request_outside_v2_reaches_an_upstream_registry_field_r1() {
    for (rules, more) in [
        (None, [("PUSH", "off"), ("REDIRECTS", "pass")]),
        (Some(REGISTRY_RULES), [("PUSH", "off"), ("REDIRECTS", "pass")]),
        (None, [("PUSH", "on"), ("REDIRECTS", "follow")]),
        (Some(REGISTRY_RULES), [("PUSH", "on"), ("REDIRECTS", "follow")]),
    ] {
        let authority = Authority::new("Test Authority");
        let tls = server(&authority.pair(REMOTE, 2099));
        let (doorward, backend) = (doorward(rules), RecordingBackend::start(Some(tls)));
        let names = DnsServer::start(Some([127, 0, 0, 1]));
        let remote = format!("{REMOTE}:{}", backend.address.port());
        let image = image("ecr", address(&doorward.address), remote);
        let ca = authority.file(image.root()).display().to_string();
        let image = image.set("UPSTREAM_CA", ca).set("RESOLVER", names.address.to_string());
        let image = more.iter().fold(image, |image, (name, value)| image.set(name, *value));
        let nginx = Nginx::of(image);
        eventually("the registry is found", || {
            (nginx.ask(&alice(Request::get("/v2/"))).status == 200).then_some(())
        });
        backend.take();
        Attack {
            name: &format!(
                "ecr, push {}, redirects {}, policy {}",
                more[0].1,
                more[1].1,
                yes(rules.is_some())
            ),
            has_policy: rules.is_some(),
            nginx: &nginx,
            backend: &backend,
            root: "v2",
            shown: Some(&basic("alice:wonderland")),
            passed: TOKEN,
        }
        .run();
    }
}

#[test]
fn no_request_outside_v2_reaches_a_registry_behind_another_auth_service_field_r1() {
    let answerer = Upstream::start(&empty(&format!("200 OK\r\nX-Upstream-Authorization: {TOKEN}")));
    let backend = RecordingBackend::start(None);
    let nginx = Nginx::of(image("registry", format!("http://{}/check", answerer.address), backend.address));
    Attack {
        name: "registry, another answerer",
        has_policy: false,
        nginx: &nginx,
        backend: &backend,
        root: "v2",
        shown: None,
        passed: TOKEN,
    }
    .run();
}

#[test]
fn public_path_of_a_site_gives_access_only_to_its_own_paths_field_r1() {
    for rules in [None, Some(SITE_RULES)] {
        let (doorward, backend) = (doorward(rules), RecordingBackend::start(None));
        let image = image("site", address(&doorward.address), backend.address);
        let nginx = Nginx::of(image.set("PUBLIC_PATHS", "/public/"));
        Attack {
            name: &format!("site with a public path, policy {}", yes(rules.is_some())),
            has_policy: rules.is_some(),
            nginx: &nginx,
            backend: &backend,
            root: "public",
            shown: None,
            passed: "",
        }
        .run();
    }
}
