//! Groups from a service in the policy.

use std::fs;

use super::{HOME, config, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::eventually;

const RULES: &str = r#"
[[grant]]
groups = ["devs"]
repositories = ["team/**"]
actions = ["pull"]

[[grant]]
groups = ["lic-r1"]
repositories = ["releases/r1"]
actions = ["pull"]

[[deny]]
groups = ["banned"]
repositories = ["**"]
"#;

const LINES: &str = "cache_ttl = \"0s\"\nstale_if_unavailable = \"1h\"\ngroups = [ { header = \"X-Groups\", separator = \",\", optional = true } ]";

/// Starts doorward with the policy, and with a group file that has no user of these tests.
fn policed(backend: &Backend) -> Doorward {
    start(backend, &["--groups"])
}

fn start(backend: &Backend, flags: &[&str]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy.toml");
    fs::write(&policy, RULES).unwrap();
    let settings = format!("{}{}", super::LONG_PROXY_READ_TIMEOUT, vendor(backend.address, LINES));
    let [flag, file] = config(dir.path(), &settings);
    let groups = dir.path().join("groups");
    fs::write(&groups, "devs: somebody\nlic-r1: somebody\nbanned: nobody\n").unwrap();
    let (policy, groups) = (policy.display().to_string(), groups.display().to_string());
    let mut all = vec![&flag[..], &file, "--policy", &policy];
    for flag in flags {
        all.extend([*flag, &groups]);
    }
    Doorward::start_in(dir, &all)
}

fn pull(doorward: &Doorward, user: &str, repository: &str) -> Answer {
    let request = Request::auth()
        .header("X-Original-Method", "GET")
        .header("X-Original-URI", format!("/v2/{repository}/manifests/v1"))
        .header("X-Original-Host", "registry.example.com")
        .header("X-Original-Content-Type", "ct:")
        .header("X-Auth-Rewrite", "yes")
        .from(HOME);
    doorward.ask(&request.basic(user, "x"))
}

fn says(groups: &str) -> Reply {
    Reply::with("200 OK", &format!("X-Groups: {groups}\r\n"), "")
}

#[test]
fn policy_uses_groups_from_the_service_response() {
    let backend = Backend::start(|heard| match &heard.who().0[..] {
        "ann" => says("devs"),
        "bob" => says("lic-r1, devs"),
        "carl" => says("devs, banned"),
        "dora" => Reply::status(200),
        _ => Reply::status(401),
    });
    let doorward = policed(&backend);
    let status = |user: &str, repository: &str| pull(&doorward, user, repository).status;
    assert_eq!((status("ann", "team/app"), status("ann", "releases/r1")), (200, 403));
    assert_eq!((status("bob", "team/app"), status("bob", "releases/r1")), (200, 200));
    assert_eq!((status("bob", "releases/r2"), status("carl", "team/app")), (403, 403));
    assert_eq!((status("dora", "team/app"), status("eve", "team/app")), (403, 401));
}

#[test]
fn policy_needs_no_group_file_if_a_service_returns_groups() {
    let backend = Backend::saying(says("devs"));
    let doorward = start(&backend, &[]);
    assert_eq!(pull(&doorward, "ann", "team/app").status, 200);
    assert_eq!(pull(&doorward, "ann", "releases/r1").status, 403);
}

#[test]
fn group_removed_at_the_service_is_gone_with_the_next_response() {
    let backend = Backend::saying(says("devs"));
    let doorward = policed(&backend);
    assert_eq!(pull(&doorward, "ann", "team/app").status, 200);
    backend.say(says("others"));
    assert_eq!(pull(&doorward, "ann", "team/app").status, 403);
    backend.say(says("devs,banned"));
    assert_eq!(pull(&doorward, "ann", "team/app").status, 403);
    backend.say(says("devs"));
    assert_eq!(pull(&doorward, "ann", "team/app").status, 200);
}

#[test]
fn policy_is_evaluated_for_a_stale_answer() {
    let backend = Backend::saying(says("devs"));
    let doorward = policed(&backend);
    assert_eq!(pull(&doorward, "ann", "team/app").status, 200);
    drop(backend);
    let stale = eventually("the service is away", || {
        Some(pull(&doorward, "ann", "team/app")).filter(|answer| answer.status != 503)
    });
    assert_eq!((stale.status, stale.header("x-auth-stale")), (200, Some("true")), "{stale:?}");
    let denied = pull(&doorward, "ann", "releases/r1");
    assert_eq!((denied.status, denied.header("x-auth-stale")), (403, None), "{denied:?}");
}
