//! `doorward explain --api-key` agrees with `/auth`.

use super::{ApiKeySetup, HOSTS};
use crate::support::client::Answer;
use crate::support::doorward::doorward;
use crate::support::keys::{Key, Presentation, file};
use crate::support::policy::RULES;

const REQUESTS: [(&str, &str); 12] = [
    ("GET", "/v2/"),
    ("GET", "/v2/team/app/manifests/v1"),
    ("PUT", "/v2/team/app/manifests/v1"),
    ("DELETE", "/v2/team/app/manifests/v1"),
    ("GET", "/v2/team/secret/tags/list"),
    ("HEAD", "/v2/other/app/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000"),
    (
        "POST",
        "/v2/team/app/blobs/uploads/?mount=sha256:0000000000000000000000000000000000000000000000000000000000000000&from=other/app",
    ),
    ("POST", "/v2/team/app/blobs/uploads/"),
    ("GET", "/v2/_catalog"),
    ("GET", "/docs/a"),
    ("POST", "/docs/a"),
    ("GET", "/v2/team/../app/tags/list"),
];

fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    for owner in ["ann", "bob", "carl"] {
        keys.push(Key::new(owner, "all"));
        keys.push(Key::new(owner, "pull").scope(&["pull:team/**", "GET:/docs/**"]));
        keys.push(Key::new(owner, "wide").scope(&["pull,push,delete:**", "catalog", "/**"]));
        keys.push(Key::new(owner, "none").scope(&[]));
    }
    keys
}

/// Returns the verdict, the reason as text, and the upstream request if it differs.
fn explained(arguments: &[&str]) -> (String, String, Option<String>) {
    let output = doorward(&[&["explain", "--json"], arguments].concat());
    let told: serde_json::Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(output.code, Some(i32::from(told["verdict"] != "allow")), "{output:?}");
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    (text("verdict").expect("a verdict"), text("explanation").expect("a reason"), text("upstream_uri"))
}

fn said(answer: &Answer) -> (&'static str, Option<String>) {
    let verdict = if answer.status == 200 { "allow" } else { "forbid" };
    assert!(matches!(answer.status, 200 | 403), "{answer:?}");
    (verdict, answer.header("x-upstream-uri").map(str::to_owned))
}

/// Compares `explain` with `/auth` for the keys of each owner and each request. Keys are given by name and by
/// id in turn.
fn assert_agree(setup: &ApiKeySetup, keys: &[Key], rules: &[&str]) {
    let file = setup.path("keys").display().to_string();
    let (mut allowed, mut by_key) = (0, 0);
    for (at, key) in keys.iter().enumerate() {
        let line: serde_json::Value = serde_json::from_str(&key.line()).unwrap();
        let (owner, name) = (line["owner"].as_str().unwrap(), line["name"].as_str().unwrap());
        let (id, named) = (key.id(), name.to_owned());
        for (number, (method, uri)) in REQUESTS.into_iter().enumerate() {
            let host = HOSTS[usize::from(!uri.starts_with("/v2/"))];
            let answer = match uri.starts_with("/v2/") {
                true => setup.registry(Presentation::Bearer, &key.secret, method, uri),
                false => setup.site(Presentation::Bearer, &key.secret, method, uri),
            };
            let key = if (at + number) % 2 == 0 { &id } else { &named };
            let arguments = ["--host", host, "--api-keys", &file, "--api-key", key, owner, method, uri];
            let (verdict, why, upstream) = explained(&[rules, &arguments].concat());
            assert_eq!((&verdict[..], upstream), said(&answer), "{owner}'s {name}: {method} {uri}: {why}");
            allowed += usize::from(verdict == "allow");
            if why.contains("the API key does not") {
                by_key += 1;
                // The owner is permitted without the key.
                let alone = ["--host", host, owner, method, uri];
                assert_eq!(explained(&[rules, &alone].concat()).0, "allow", "{owner} {method} {uri}");
            }
        }
    }
    let count = keys.len() * REQUESTS.len();
    assert!(
        allowed > count / 4 && allowed < count * 3 / 4 && by_key > count / 8,
        "{count} {allowed} {by_key}"
    );
}

#[test]
fn explain_and_auth_agree_on_api_keys_with_a_policy() {
    let keys = keys();
    let rules = format!(
        "registries = [\"registry.example.com\"]\n{RULES}\n[[grant]]\nusers = [\"ann\"]\npaths = [\"/docs/**\"]\n"
    );
    let setup = ApiKeySetup::with(&file(&keys.iter().collect::<Vec<_>>()), Some(&rules), &[]);
    let [policy, groups] = ["policy.toml", "groups"].map(|name| setup.path(name).display().to_string());
    assert_agree(&setup, &keys, &["--policy", &policy, "--groups", &groups]);
}

#[test]
fn explain_and_auth_agree_on_api_keys_without_a_policy() {
    let keys = keys();
    let setup = ApiKeySetup::of(&keys.iter().collect::<Vec<_>>());
    let file = setup.path("keys").display().to_string();
    let keys: Vec<Key> = keys.into_iter().filter(|key| key.line().contains("\"scope\"")).collect();
    assert_agree(&setup, &keys, &[]);
    let unscoped =
        explained(&["--api-keys", &file, "--api-key", "all", "ann", "PUT", "/v2/team/app/manifests/v1"]);
    assert_eq!(unscoped.0, "allow");
}

#[test]
fn explain_names_the_api_key_and_the_missing_scope() {
    let keys = keys();
    let setup = ApiKeySetup::ruled(&keys.iter().collect::<Vec<_>>());
    let path = |name: &str| setup.path(name).display().to_string();
    let (file, policy, groups) = (path("keys"), path("policy.toml"), path("groups"));
    let ask = |user: &str, key: &str, method: &str| {
        let files = ["explain", "--api-keys", &file, "--policy", &policy, "--groups", &groups];
        doorward(&[&files[..], &["--api-key", key, user, method, "/v2/team/app/manifests/v1"]].concat())
    };
    let lacks = "the user has this permission, and the API key does not: its scope lacks push";
    let output = ask("ann", "pull", "PUT");
    assert!(output.code == Some(1) && output.stdout.contains(lacks), "{output:?}");
    assert_eq!(ask("ann", "pull", "GET").code, Some(0));
    // carl lacks the permission, not only the key.
    let output = ask("carl", "wide", "PUT");
    assert!(output.code == Some(1) && !output.stdout.contains("the API key does not"), "{output:?}");
    // The key belongs to bob, not to ann.
    let output = ask("ann", &keys[4].id(), "GET");
    assert!(output.code == Some(1) && output.stdout.contains("ann has no such API key"), "{output:?}");
    assert_eq!(ask("bob", &keys[4].id(), "GET").code, Some(0));
}
