//! Tokens presented to `/auth`.

use std::fs;

use super::{REALM, get, start, token};
use crate::support::client::{Answer, Request};
use crate::support::doorward::{Doorward, doorward};
use crate::support::eventually;

pub(crate) const BEARER: [&str; 2] = ["--token-challenge", "bearer"];

pub(crate) fn question(method: &str, uri: &str) -> Request {
    Request::auth()
        .header("X-Original-Method", method)
        .header("X-Original-URI", uri)
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:")
        .header("X-Auth-Rewrite", "yes")
        .from("192.0.2.1")
}

pub(crate) fn show(doorward: &Doorward, token: &str, method: &str, uri: &str) -> Answer {
    doorward.ask(&question(method, uri).header("Authorization", format!("Bearer {token}")))
}

fn of_bob(doorward: &Doorward, scope: &str) -> String {
    token(doorward, &get(&format!("service=registry.test&scope={scope}")).basic("bob", "builder"))
}

pub(super) fn challenged(answer: &Answer, rest: &str) {
    let wanted = format!("Bearer realm=\"{REALM}\",service=\"registry.test\"{rest}");
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(&wanted[..])), "{answer:?}");
    assert!(answer.header("x-auth-user").is_none());
}

pub(crate) const MANIFEST: &str = "/v2/team/app/manifests/v1";

#[test]
fn challenge_names_the_token_realm_and_scope() {
    let doorward = start(&BEARER);
    challenged(&doorward.ask(&question("GET", "/v2/")), "");
    challenged(&doorward.ask(&question("GET", MANIFEST)), ",scope=\"repository:team/app:pull\"");
    challenged(&doorward.ask(&question("PUT", MANIFEST)), ",scope=\"repository:team/app:pull,push\"");
    challenged(&doorward.ask(&question("GET", "/v2/_catalog")), ",scope=\"registry:catalog:*\"");
    let mount = format!("/v2/team/app/blobs/uploads/?mount=sha256:{}&from=public/base", "a".repeat(64));
    challenged(
        &doorward.ask(&question("POST", &mount)),
        ",scope=\"repository:team/app:pull,push repository:public/base:pull\"",
    );
    challenged(&doorward.ask(&question("GET", "/v2/a\"b/manifests/x")), "");
}

#[test]
fn token_grants_only_its_scopes() {
    let doorward = start(&BEARER);
    let pull = of_bob(&doorward, "repository:team/app:pull");
    let answer = show(&doorward, &pull, "GET", MANIFEST);
    assert_eq!(
        (answer.status, answer.header("x-auth-user"), answer.header("x-auth-by")),
        (200, Some("bob"), Some("token"))
    );
    assert_eq!(show(&doorward, &pull, "GET", "/v2/").status, 200);
    let more = ",error=\"insufficient_scope\"";
    challenged(
        &show(&doorward, &pull, "PUT", MANIFEST),
        &format!(",scope=\"repository:team/app:pull,push\"{more}"),
    );
    challenged(
        &show(&doorward, &pull, "GET", "/v2/team/lib/manifests/v1"),
        &format!(",scope=\"repository:team/lib:pull\"{more}"),
    );
    challenged(
        &show(&doorward, &pull, "GET", "/v2/_catalog"),
        &format!(",scope=\"registry:catalog:*\"{more}"),
    );
    // A path that is not canonical is denied to every client, with or without a token.
    assert_eq!(show(&doorward, &pull, "GET", "/v2/team/../team/app/manifests/v1").status, 403);
}

#[test]
fn anonymous_token_pulls_public_repositories_only() {
    let doorward = start(&BEARER);
    let public = "/v2/public/base/manifests/v1";
    let anonymous = token(&doorward, &get("service=registry.test&scope=repository:public/base:pull"));
    let answer = show(&doorward, &anonymous, "GET", public);
    assert_eq!((answer.status, answer.header("x-auth-user")), (200, Some("")));
    assert_eq!(show(&doorward, &anonymous, "PUT", public).status, 401);
    assert_eq!(show(&doorward, &anonymous, "GET", MANIFEST).status, 401);
    // Basic credentials still work.
    let basic = question("PUT", MANIFEST).basic("alice", "wonderland");
    assert_eq!(doorward.ask(&basic).status, 200);
    assert_eq!(doorward.ask(&question("PUT", MANIFEST).basic("bob", "builder")).status, 403);
    challenged(
        &doorward.ask(&question("GET", MANIFEST).basic("bob", "wrong")),
        ",scope=\"repository:team/app:pull\"",
    );
}

#[test]
fn mount_requires_both_scopes() {
    let doorward = start(&BEARER);
    let mount = format!("/v2/team/app/blobs/uploads/?mount=sha256:{}&from=public/base", "a".repeat(64));
    let ask = |scope: &str| {
        let request = get(&format!("service=registry.test&scope={scope}")).basic("alice", "wonderland");
        let answer = show(&doorward, &token(&doorward, &request), "POST", &mount);
        (answer.status, answer.header("x-upstream-uri").map(str::to_owned))
    };
    let both = "repository:team/app:pull,push&scope=repository:public/base:pull";
    assert_eq!(ask(both), (200, None));
    // A mount source that the token does not name is tested in `denied_scopes`.
    assert_eq!(ask("repository:team/app:pull,push"), (401, None));
    assert_eq!(ask("repository:public/base:pull"), (401, None));
}

#[test]
fn foreign_or_altered_token_is_refused() {
    let doorward = start(&BEARER);
    let other = start(&BEARER);
    let good = of_bob(&doorward, "repository:team/app:pull");
    let (head, signature) = good.rsplit_once('.').unwrap();
    let foreign = of_bob(&other, "repository:team/app:pull");
    let invalid = ",scope=\"repository:team/app:pull\",error=\"invalid_token\"";
    for token in [
        "x",
        "a.b.c",
        &format!("{head}."),
        &format!("{head}.{}", "A".repeat(86)),
        &foreign,
        &signature.repeat(3),
    ] {
        challenged(&show(&doorward, token, "GET", MANIFEST), invalid);
    }
    assert_eq!(show(&doorward, &good, "GET", MANIFEST).status, 200);
}

#[test]
fn token_of_a_removed_signing_key_is_refused() {
    let doorward_ = start(&BEARER);
    let keys = doorward_.folder().join("keys.pem").to_str().unwrap().to_owned();
    let old = of_bob(&doorward_, "repository:team/app:pull");
    assert_eq!(show(&doorward_, &old, "GET", MANIFEST).status, 200);
    let run = |arguments: &[&str]| {
        let output = doorward(&[arguments, &["--signing-keys", &keys]].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        output.stdout
    };
    let list = |at: usize| {
        let listed: serde_json::Value =
            serde_json::from_str(&run(&["signing-key", "list", "--json"])).unwrap();
        listed[at]["kid"].as_str().unwrap().to_owned()
    };
    let first = list(0);
    run(&["signing-key", "add"]);
    let second = list(1);
    run(&["signing-key", "use", &second]);
    let header = |token: &str| {
        use base64::Engine;
        let text = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    let new = eventually("the new key signs", || {
        Some(of_bob(&doorward_, "repository:team/app:pull")).filter(|token| header(token) == second)
    });
    // Tokens of both keys are accepted while both keys are in the file.
    assert_eq!(show(&doorward_, &old, "GET", MANIFEST).status, 200);
    assert_eq!(show(&doorward_, &new, "GET", MANIFEST).status, 200);
    run(&["signing-key", "remove", &first]);
    eventually("the old one is gone", || {
        (show(&doorward_, &old, "GET", MANIFEST).status == 401).then_some(())
    });
    assert_eq!(show(&doorward_, &new, "GET", MANIFEST).status, 200);
    // If the file is invalid, the last valid one stays in force.
    fs::write(&keys, "nothing").unwrap();
    eventually("it is told", || doorward_.ready().text().contains("token.signing_keys").then_some(()));
    assert_eq!(show(&doorward_, &new, "GET", MANIFEST).status, 200);
}

#[test]
fn token_is_valid_only_at_the_host_of_its_policy_decision() {
    let policy = r#"
[[grant]]
who = "anyone"
hosts = ["public.test"]
repositories = ["**"]
actions = ["pull"]
[[grant]]
users = ["bob"]
repositories = ["team/app"]
actions = ["pull"]
"#;
    let doorward = super::start_with(policy, &BEARER);
    let at = |host: &str, token: &str, uri: &str| {
        let request = Request::auth()
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", uri)
            .header("X-Original-Host", host)
            .header("X-Original-Content-Type", "ct:")
            .header("X-Auth-Rewrite", "yes")
            .from("192.0.2.1");
        doorward.ask(&request.header("Authorization", format!("Bearer {token}"))).status
    };
    let public = Request::get("/token?service=registry.test&scope=repository:secret/a:pull")
        .header("X-Original-Host", "public.test")
        .from("192.0.2.1");
    let public = token(&doorward, &public);
    assert_eq!(at("public.test", &public, "/v2/secret/a/manifests/v"), 200);
    assert_eq!(at("registry.test", &public, "/v2/secret/a/manifests/v"), 401);
    let own = of_bob(&doorward, "repository:team/app:pull");
    assert_eq!(at("registry.test", &own, MANIFEST), 200);
    assert_eq!(at("REGISTRY.test:443", &own, MANIFEST), 200, "one host, however it is written");
    assert_eq!(at("other.test", &own, MANIFEST), 401);
}

#[test]
fn later_denial_applies_to_tokens_issued_before() {
    let policy = r#"
[[grant]]
who = "authenticated"
repositories = ["**"]
actions = ["pull"]
[[deny]]
who = "anyone"
networks = ["198.51.100.0/24"]
repositories = ["team/**"]
actions = ["pull"]
"#;
    let doorward = super::start_with(policy, &BEARER);
    let own = of_bob(&doorward, "repository:team/app:pull&scope=repository:other:pull");
    let from = |address: &str, uri: &str| {
        let request = Request::auth()
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", uri)
            .header("X-Original-Host", "registry.test")
            .header("X-Original-Content-Type", "ct:")
            .header("X-Auth-Rewrite", "yes")
            .header("X-Real-IP", address);
        doorward.ask(&request.header("Authorization", format!("Bearer {own}"))).status
    };
    assert_eq!(from("192.0.2.1", MANIFEST), 200);
    assert_eq!(from("198.51.100.7", MANIFEST), 403);
    assert_eq!(from("198.51.100.7", "/v2/other/manifests/v1"), 200);
    assert_eq!(from("nonsense", MANIFEST), 403);
    let path = doorward.folder().join("policy.toml");
    fs::write(&path, format!("{policy}[[deny]]\nusers = [\"bob\"]\n")).unwrap();
    eventually("bob is denied everything", || (from("192.0.2.1", MANIFEST) == 403).then_some(()));
    assert_eq!(from("192.0.2.1", "/v2/"), 403);
}

#[test]
fn mount_from_a_repository_denied_since_is_refused() {
    let policy = "[[grant]]\nwho = \"authenticated\"\nactions = [\"pull\", \"push\"]\n";
    let doorward = super::start_with(policy, &BEARER);
    let own = of_bob(&doorward, "repository:team/app:pull,push&scope=repository:secret/base:pull");
    let mount = format!("/v2/team/app/blobs/uploads/?mount=sha256:{}&from=secret/base", "a".repeat(64));
    let ask = || {
        let answer = show(&doorward, &own, "POST", &mount);
        (answer.status, answer.header("x-upstream-uri").map(str::to_owned))
    };
    assert_eq!(ask(), (200, None));
    let denied = format!(
        "{policy}[[deny]]\nusers = [\"bob\"]\nrepositories = [\"secret/**\"]\nactions = [\"pull\"]\n"
    );
    fs::write(doorward.folder().join("policy.toml"), denied).unwrap();
    let upload = (200, Some("/v2/team/app/blobs/uploads/".to_owned()));
    eventually("it goes on as an upload", || (ask() == upload).then_some(()));
}
