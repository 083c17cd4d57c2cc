//! `doorward explain` and `doorward check --expect`.

use std::fs;

use super::{GROUPS, PolicySetup, RULES};
use crate::support::doorward::doorward;
use crate::support::process::Output;

fn run(setup: &PolicySetup, command: &[&str]) -> Output {
    let path = |name: &str| setup.path(name).display().to_string();
    let (policy, groups) = (path("policy.toml"), path("groups"));
    doorward(&[&command[..1], &["--policy", &policy, "--groups", &groups], &command[1..]].concat())
}

#[test]
fn explain_and_auth_agree_on_every_request() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let digest = format!("sha256:{}", "0".repeat(64));
    let blob = format!("/v2/team/app/blobs/{digest}");
    let mount = format!("/v2/team/app/blobs/uploads/?mount={digest}&from=public/x");
    for (method, uri) in [
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/team/app/manifests/v1"),
        ("PUT", "/v2/team/app/manifests/v1"),
        ("DELETE", &blob),
        ("POST", &mount),
        ("GET", "/v2/team/secret/tags/list"),
        ("GET", "/v2/public/base/tags/list"),
        ("GET", "/v2/public/../team/app/manifests/v1"),
        ("BREW", "/v2/"),
        ("GET", "/"),
    ] {
        for user in ["ann", "bob", "carl", "-"] {
            let verdict = match setup.status(user, method, uri) {
                200 => "allow",
                401 => "challenge",
                403 => "forbid",
                other => panic!("{other}"),
            };
            let output = run(&setup, &["explain", "--host", "registry.example.com", "--", user, method, uri]);
            assert_eq!(output.stdout.lines().next(), Some(verdict), "{user} {method} {uri}: {output:?}");
            assert_eq!(output.code, Some(i32::from(verdict != "allow")), "{output:?}");
        }
    }
}

#[test]
fn explain_names_the_deciding_rule_and_the_mismatch_of_the_nearest() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let told =
        |user: &str, method: &str, uri: &str| run(&setup, &["explain", "--", user, method, uri]).stdout;
    let file = setup.path("policy.toml").display().to_string();
    assert!(told("bob", "GET", "/v2/team/secret/tags/list").contains(&format!("{file}:21")), "the denial");
    let lacking = told("carl", "DELETE", "/v2/team/app/manifests/v1");
    assert!(lacking.contains(&format!("the nearest is {file}:7: it applies to ")), "{lacking}");
    // Pull and push by two grants.
    let both = told("ann", "PUT", "/v2/team/app/manifests/v1");
    assert!(
        both.contains(&format!("{file}:2, {file}:7")) && both.contains("these grants permit it"),
        "{both}"
    );
    let json = run(&setup, &["explain", "--json", "--", "ann", "GET", "/v2/team/app/manifests/v1"]).stdout;
    assert!(json.starts_with("{\"verdict\":\"allow\",\"required\":\"pull in team/app\""), "{json}");
}

#[test]
fn check_expect_runs_the_expectations_of_a_policy() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let file = setup.path("expect");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        run(&setup, &["check", "--expect", file.to_str().unwrap()])
    };
    let well = check(
        "# what we agreed on\n\nann push team/app allow # always\ncarl push team/app deny\n- pull public/x allow\n- pull team/app deny\nann catalog allow\nbob GET /v2/team/secret/tags/list host=h from=10.0.0.1 deny\n",
    );
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(well.stdout.contains("as expected: 6; not as expected: 0"), "{well:?}");
    let ill = check("carl push team/app allow\nann push team/app deny\nann push\nann pull team/app maybe\n");
    assert_eq!(ill.code, Some(1), "{ill:?}");
    let name = file.display();
    for line in [
        format!("{name}:1: carl push team/app: denied, expected allow; no grant permits it"),
        format!("{name}:2: ann push team/app: allowed, expected deny"),
        format!("{name}:3: write USER"),
        format!("{name}:4: write USER"),
    ] {
        assert!(ill.stdout.contains(&line), "{line}: {ill:?}");
    }
    assert!(
        ill.stdout.contains("docker, podman and skopeo request /v2/ first"),
        "the note on anyone: {ill:?}"
    );
}

#[test]
fn all_errors_of_an_invalid_policy_are_reported_and_start_fails() {
    let setup = PolicySetup::of(RULES, GROUPS);
    fs::write(
        setup.path("policy.toml"),
        "[[grant]]\nusers = [\"ann\"]\nrepositories = [\"A\"]\nactions = [\"x\"]\n",
    )
    .unwrap();
    fs::write(setup.path("groups"), "devs\n").unwrap();
    let (policy, groups) = (setup.path("policy.toml"), setup.path("groups"));
    let output = run(&setup, &["check", "--htpasswd", setup.path("htpasswd").to_str().unwrap()]);
    assert_eq!(output.code, Some(1), "{output:?}");
    for part in [
        format!("{}:3:17: repositories: a repository name cannot contain 'A'", policy.display()),
        format!(
            "{}:4:12: actions: unknown action; the actions are pull, push, delete and catalog",
            policy.display()
        ),
        format!("{}:1: no colon in the line of 4 bytes", groups.display()),
    ] {
        assert!(output.stdout.contains(&part), "{part}: {output:?}");
    }
    let serve = run(
        &setup,
        &["serve", "--listen", "127.0.0.1:0", "--htpasswd", setup.path("htpasswd").to_str().unwrap()],
    );
    assert_eq!(serve.code, Some(1), "{serve:?}");
    assert!(serve.stderr.contains("policy.toml:3:17"), "{serve:?}");
}

#[test]
fn expectation_met_by_another_rule_is_an_error() {
    let rules = concat!(
        "registries = [\"registry.example.com\"]\n",
        "[[grant]]\nwho = \"authenticated\"\nmethods = [\"GET\"]\n",
        "[[grant]]\nusers = [\"ann\"]\nactions = [\"pull\"]\n",
        "[[deny]]\nusers = [\"bob\"]\nnetworks = [\"192.0.2.0/24\"]\n",
    );
    let setup = PolicySetup::of(rules, GROUPS);
    let file = setup.path("expect");
    let check = |line: &str| {
        fs::write(&file, line).unwrap();
        run(&setup, &["check", "--expect", file.to_str().unwrap()]).stdout
    };
    assert!(
        check("carl pull secret/app deny\n").contains("not as expected: 0"),
        "it is asked of the registry"
    );
    assert!(
        check("carl GET /v2/secret/app/tags/list allow\n").contains("not as expected: 0"),
        "elsewhere it is a path"
    );
    for user in ["ann", "carl"] {
        let told = check(&format!("{user} pull Secret deny\n"));
        assert!(told.contains("the repository name is malformed"), "{told}");
    }
    assert!(check("ann pull a host=www.example.com allow\n").contains("is not a registry in this policy"));
    assert!(check("bob pull a deny\n").contains("add from=IP"));
    assert!(check("bob pull a from=10.0.0.1 deny\n").contains("not as expected: 0"));
    assert!(check("a:b pull a deny\n").contains("the user name has a colon"));
}

#[test]
fn rule_on_a_group_without_members_or_group_file_is_reported() {
    let setup = PolicySetup::of(RULES, "ops: ann\n");
    assert!(
        run(&setup, &["check", "--expect", "/dev/null"])
            .stdout
            .contains("a rule names the group devs, which has no members")
    );
    let policy = setup.path("policy.toml").display().to_string();
    let alone = doorward(&["explain", "--policy", &policy, "--", "ann", "GET", "/v2/"]);
    assert_eq!(alone.code, Some(1), "{alone:?}");
    assert!(alone.stderr.contains("rules name groups, but there is no group file"), "{alone:?}");
    for nobody in ["", "a:b", " x"] {
        assert_eq!(run(&setup, &["explain", "--", nobody, "GET", "/v2/"]).code, Some(1), "{nobody:?}");
    }
}

#[test]
fn explain_accepts_groups_that_only_an_auth_backend_defines() {
    let setup = PolicySetup::of(RULES, "ops: ann\n");
    let push = |more: &[&str]| {
        let asked = ["explain", "--", "eve", "POST", "/v2/team/app/blobs/uploads/"];
        run(&setup, &[&asked[..1], more, &asked[1..]].concat())
    };
    assert_eq!(push(&[]).code, Some(1));
    assert_eq!(push(&["--group", "devs"]).code, Some(0));
    assert_eq!(push(&["--group", "ops"]).code, Some(1));
    assert!(push(&["--group", "a b"]).stderr.contains("not a group name"));
    let file = setup.path("expect");
    fs::write(&file, "eve push team/app groups=x,devs allow\neve push team/app groups=x deny\n").unwrap();
    let checked = run(&setup, &["check", "--expect", file.to_str().unwrap()]);
    assert!(checked.stdout.contains("as expected: 2; not as expected: 0"), "{checked:?}");
}

#[test]
fn explain_reports_that_the_user_cannot_log_in() {
    let setup = PolicySetup::of(RULES, "ops: ann\n");
    let users = setup.path("htpasswd");
    fs::write(&users, "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:$2y$\n").unwrap();
    let told = |user: &str| {
        let asked = ["explain", "--htpasswd", users.to_str().unwrap(), "--", user, "GET", "/v2/"];
        run(&setup, &asked).stdout
    };
    assert!(!told("ann").contains("note:"), "{}", told("ann"));
    assert!(told("bob").contains(":2: bob cannot log in: the bcrypt hash is truncated"), "{}", told("bob"));
    assert!(told("eve").contains("explanation: eve has no line in "), "{}", told("eve"));
    assert!(told("eve").contains("note: for a user who can log in: allow"), "{}", told("eve"));
    assert!(!told("-").contains("note:"));
}
