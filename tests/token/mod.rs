//! The registry token protocol, and signing keys.

pub(crate) mod bearer;
mod denied_scopes;
mod forged_tokens;
mod issue_log;
mod issuing;
pub(crate) mod nginx;
mod rejection_details;
mod request_errors;
mod signing_key;

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::client::{Answer, Request};
use crate::support::doorward::{Doorward, doorward};
use crate::support::users;

/// The audience of the tokens, and the URL that issues them.
pub(crate) const SERVICE: &str = "registry.test";
pub(crate) const REALM: &str = "https://registry.test/token";

/// Anonymous clients may pull public repositories. alice may do everything with team/app, and bob may pull it.
pub(crate) const POLICY: &str = r#"
[[grant]]
who = "anyone"
repositories = ["public/**"]
actions = ["pull"]
[[grant]]
users = ["alice"]
repositories = ["team/app"]
actions = ["pull", "push", "delete"]
[[grant]]
users = ["alice"]
actions = ["catalog"]
[[grant]]
users = ["bob"]
repositories = ["team/app"]
actions = ["pull"]
"#;

/// Starts doorward with token signing, and with the users alice and bob.
fn start(flags: &[&str]) -> Doorward {
    start_with(POLICY, flags)
}

fn start_with(policy: &str, flags: &[&str]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    fs::write(&path, policy).unwrap();
    launch(dir, &[&["--policy", path.to_str().unwrap()], flags].concat())
}

/// Starts doorward with token signing and without a policy.
fn start_open(flags: &[&str]) -> Doorward {
    launch(tempfile::tempdir().unwrap(), flags)
}

fn launch(dir: tempfile::TempDir, flags: &[&str]) -> Doorward {
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("htpasswd"), users::two()).unwrap();
    let made = doorward(&[
        "signing-key",
        "init",
        "--signing-keys",
        &at("keys.pem"),
        "--service",
        SERVICE,
        "--realm",
        REALM,
    ]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let keys = at("keys.pem");
    let own = ["--token-signing-keys", &keys, "--token-service", SERVICE, "--token-realm", REALM];
    Doorward::start_in(dir, &[&own, flags].concat())
}

/// Returns a token request as nginx forwards it.
pub(crate) fn get(query: &str) -> Request {
    let target = if query.is_empty() { "/token".to_owned() } else { format!("/token?{query}") };
    Request::get(&target).header("X-Original-Host", "registry.test").from("192.0.2.1")
}

/// Returns a token request with a form in the body.
pub(crate) fn post(form: &str) -> Request {
    Request::new("POST", "/token")
        .header("X-Original-Host", "registry.test")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .from("192.0.2.1")
        .body(form)
}

/// Returns the claims of a token without verifying its signature.
pub(crate) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Returns the response to a successful token request, and the claims of the token.
fn token_response(answer: &Answer) -> (Value, Value) {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["token"], told["access_token"]);
    assert!(told.get("refresh_token").is_none());
    let claims = claims(told["token"].as_str().unwrap());
    (told, claims)
}

/// Returns the permissions of a token as `type:name:actions`.
fn access(answer: &Answer) -> Vec<String> {
    let (_, claims) = token_response(answer);
    let one = |access: &Value| {
        let actions: Vec<&str> =
            access["actions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        format!(
            "{}:{}:{}",
            access["type"].as_str().unwrap(),
            access["name"].as_str().unwrap(),
            actions.join(",")
        )
    };
    claims["access"].as_array().unwrap().iter().map(one).collect()
}

/// Requests a token and returns it.
pub(crate) fn token(doorward: &Doorward, request: &Request) -> String {
    let (told, _) = token_response(&doorward.ask(request));
    told["token"].as_str().unwrap().to_owned()
}

/// Checks that the request is refused with a message in the format that clients print.
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (status, Some("application/json")),
        "{answer:?}"
    );
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["errors"][0]["code"], code, "{told}");
    assert!(told["errors"][0]["message"].as_str().is_some_and(|message| !message.is_empty()));
    assert!(!answer.text().contains("eyJ"), "{answer:?}");
}
