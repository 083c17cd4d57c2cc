//! Headers that a client can make a proxy send, and the log under a flood.

mod client_address;
mod header_contract;
mod log_flood;
mod log_lines;
mod paths;
mod scoped_keys;

use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

/// A policy by which alice may pull everything, and anyone what is public.
const POLICY: &str = r#"
[[grant]]
users = ["alice"]
actions = ["pull"]
[[grant]]
who = "anyone"
repositories = ["public/**"]
actions = ["pull"]
"#;

/// doorward with alice and bob, with [`POLICY`] if `ruled`.
fn start(ruled: bool, flags: &[&str]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    std::fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
    let policy = dir.path().join("policy.toml").display().to_string();
    let own = if ruled { vec!["--policy", &policy] } else { Vec::new() };
    Doorward::start_in(dir, &[&own[..], flags].concat())
}

/// The headers that nginx sends of a request.
fn question(method: &str, uri: &str) -> Request {
    Request::auth()
        .header("X-Original-Method", method)
        .header("X-Original-URI", uri)
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:")
        .from("192.0.2.1")
}

/// The same of a registry's configuration, for alice.
fn of_alice(method: &str, uri: &str) -> Request {
    question(method, uri).header("X-Auth-Rewrite", "yes").basic("alice", "wonderland")
}

/// That nobody is named, and why it is forbidden.
fn assert_forbidden(answer: &Answer, reason: &str) {
    assert_eq!((answer.status, answer.header("x-auth-reason")), (403, Some(reason)), "{answer:?}");
    for name in ["x-auth-user", "x-upstream-authorization", "www-authenticate"] {
        assert_eq!(answer.header(name), None, "{answer:?}");
    }
}

/// Waits for a line of the log in which all of `parts` are.
fn line(doorward: &Doorward, parts: &[&str]) -> String {
    eventually(&format!("a line with {parts:?}"), || {
        let log = doorward.log();
        log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    })
}
