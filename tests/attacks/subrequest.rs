//! Headers that a client can make a proxy send, and log messages during a flood.

mod client_address;
mod header_contract;
mod log_flood;
mod log_lines;
mod paths;
mod scoped_keys;

use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::{eventually, users};

/// A policy that permits alice to pull everything, and anonymous clients to pull public repositories.
const POLICY: &str = r#"
[[grant]]
users = ["alice"]
actions = ["pull"]
[[grant]]
who = "anyone"
repositories = ["public/**"]
actions = ["pull"]
"#;

/// Starts doorward with alice and bob, and with [`POLICY`] if `ruled` is set.
fn start(ruled: bool, flags: &[&str]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    std::fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
    let policy = dir.path().join("policy.toml").display().to_string();
    let own = if ruled { vec!["--policy", &policy] } else { Vec::new() };
    Doorward::start_in(dir, &[&own[..], flags].concat())
}

/// Returns an auth request with the headers that nginx sends.
fn question(method: &str, uri: &str) -> Request {
    Request::auth()
        .header("X-Original-Method", method)
        .header("X-Original-URI", uri)
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:")
        .from("192.0.2.1")
}

/// Returns an auth request with the headers of a registry's configuration, with the credentials of alice.
fn of_alice(method: &str, uri: &str) -> Request {
    question(method, uri).header("X-Auth-Rewrite", "yes").basic("alice", "wonderland")
}

/// Checks that the response is 403 with this reason and names no user.
fn assert_forbidden(answer: &Answer, reason: &str) {
    assert_eq!((answer.status, answer.header("x-auth-reason")), (403, Some(reason)), "{answer:?}");
    for name in ["x-auth-user", "x-upstream-authorization", "www-authenticate"] {
        assert_eq!(answer.header(name), None, "{answer:?}");
    }
}

/// Waits for a log line that contains all `parts`.
fn line(doorward: &Doorward, parts: &[&str]) -> String {
    eventually(&format!("a line with {parts:?}"), || {
        let log = doorward.log();
        log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    })
}
