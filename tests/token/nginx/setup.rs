//! nginx, doorward with token signing, and a real registry. The registry either verifies tokens itself or is behind
//! doorward.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::image;
use crate::support::client::{Answer, Request, tcp};
use crate::support::doorward::{Doorward, doorward};
use crate::support::free_port;
use crate::support::image::{make, skopeo};
use crate::support::keys::{Key, file};
use crate::support::nginx::Nginx;
use crate::support::process::Output;
use crate::support::registry::Registry;
use crate::support::upstream::Tap;
use crate::support::users::{self, QUICK};

pub(super) const SERVICE: &str = "registry.test";

/// A policy: ann may push to and pull from team, and bob may only pull from it. dora may do everything, and anonymous
/// clients may pull public repositories.
const RULES: &str = r#"
[[grant]]
users = ["ann"]
repositories = ["team/**"]
actions = ["pull", "push"]

[[grant]]
users = ["bob"]
repositories = ["team/**"]
actions = ["pull"]

[[grant]]
users = ["dora"]
actions = ["pull", "push", "delete", "catalog"]

[[grant]]
who = "anyone"
repositories = ["public/**"]
actions = ["pull"]
"#;

pub(super) const PEOPLE: [(&str, &str); 3] = [("ann", "a1"), ("bob", "b2"), ("dora", "d4")];

pub(super) fn password(user: &str) -> &'static str {
    PEOPLE.iter().find(|(name, _)| *name == user).expect("one of them").1
}

pub(super) struct TokenSetup {
    home: TempDir,
    pub(super) nginx: Nginx,
    pub(super) doorward: Doorward,
    pub(super) registry: Registry,
    /// The tap before the registry, which records each request with its headers.
    pub(super) tap: Tap,
    /// An API key of ann that permits only pulls.
    pub(super) key: Key,
}

/// Creates the signing keys and the files of the registry with the command of doorward. Returns the configuration lines
/// for the registry.
fn init(dir: &Path, realm: &str) -> String {
    let keys = dir.join("token/keys.pem").display().to_string();
    fs::create_dir(dir.join("token")).unwrap();
    let flags = ["--signing-keys", &keys, "--service", SERVICE, "--issuer", "doorward", "--realm", realm];
    let output = doorward(&[&["signing-key", "init"], &flags[..]].concat());
    assert_eq!(output.code, Some(0), "{output:?}");
    fs::read_to_string(dir.join("token/registry-auth.yml")).unwrap()
}

impl TokenSetup {
    /// Starts the servers with the token mode `tokens`, `mixed` or `registry`.
    pub(super) fn start(tokens: &str) -> Self {
        Self::start_with(tokens, &[])
    }

    pub(super) fn start_with(tokens: &str, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let realm = format!("http://{address}/token");
        let key = Key::new("ann", "pull").scope(&["pull:team/**"]);
        let lines: String = PEOPLE.iter().map(|(user, word)| users::line(user, word, QUICK)).collect();
        for (name, text) in [("htpasswd", &lines[..]), ("policy.toml", RULES), ("keys", &file(&[&key]))] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let auth = init(dir.path(), &realm);
        let (policy, keys, signing) = (path("policy.toml"), path("keys"), path("token/keys.pem"));
        let mut flags = vec!["--policy", &policy, "--api-keys", &keys, "--token-signing-keys", &signing];
        flags.extend(["--token-service", SERVICE, "--token-realm", &realm, "--token-challenge", "bearer"]);
        flags.extend(more);
        let registry =
            if tokens == "registry" { Registry::start_with(&auth) } else { Registry::start_with_log() };
        let doorward = Doorward::start_in(dir, &flags);
        let tap = Tap::start(registry.address);
        let nginx =
            Nginx::at(address, image(tokens, (tcp(&doorward.address), tcp(&doorward.public)), tap.address));
        let home = tempfile::tempdir().unwrap();
        make(&home.path().join("image"), 2);
        Self { home, nginx, doorward, registry, tap, key }
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns the challenge of both modes, without the scope.
    pub(super) fn challenge(&self) -> String {
        format!("Bearer realm=\"http://{}/token\",service=\"{SERVICE}\"", self.nginx.address)
    }

    /// Requests a token. The request is anonymous if `user` is empty.
    pub(super) fn ask(&self, user: &str, scopes: &[&str]) -> Answer {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
        let request = Request::get(&format!("/token?service={SERVICE}{scopes}"));
        self.nginx.ask(&if user.is_empty() { request } else { request.basic(user, password(user)) })
    }

    /// Requests a token and returns it.
    pub(super) fn token(&self, user: &str, scopes: &[&str]) -> String {
        let answer = self.ask(user, scopes);
        assert_eq!(answer.status, 200, "{answer:?}");
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        value["token"].as_str().expect("a token").to_owned()
    }

    /// Requests a token for these scopes, and sends the request with it.
    pub(super) fn with_token(&self, user: &str, scopes: &[&str], request: Request) -> Answer {
        self.nginx.ask(&request.header("Authorization", format!("Bearer {}", self.token(user, scopes))))
    }

    /// Runs skopeo. `REGISTRY/` in an argument is replaced with the address of the registry. `user` is a user name, a
    /// pair of credentials, or empty for an anonymous client.
    pub(super) fn run(&self, user: &str, arguments: &[&str]) -> Output {
        let address = format!("docker://{}/", self.nginx.address);
        let mut all: Vec<String> = arguments.iter().map(|text| text.replace("REGISTRY/", &address)).collect();
        let side = match arguments {
            ["copy", .., to] if to.starts_with("REGISTRY") => "dest-",
            ["copy", ..] => "src-",
            _ => "",
        };
        let credentials = match user {
            "" => format!("--{side}no-creds"),
            pair if pair.contains(':') => format!("--{side}creds={pair}"),
            name => format!("--{side}creds={name}:{}", password(name)),
        };
        all.splice(1..1, [format!("--{side}tls-verify=false"), credentials]);
        skopeo(self.home(), &all)
    }

    pub(super) fn push(&self, user: &str, image: &str, name: &str) -> Output {
        let from = format!("oci:{}:one", self.home().join(image).display());
        self.run(user, &["copy", "--preserve-digests", &from, &format!("REGISTRY/{name}:one")])
    }

    pub(super) fn pull(&self, user: &str, name: &str) -> Output {
        let back = tempfile::tempdir().unwrap();
        let to = format!("oci:{}:one", back.path().display());
        self.run(user, &["copy", "--preserve-digests", &format!("REGISTRY/{name}:one"), &to])
    }
}
