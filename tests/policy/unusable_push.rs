//! Warnings about a push permission without pull (distribution/distribution#2932).

use crate::support::test_folder::{TestFolder, run_bare};
use crate::support::users;

const PUSH: &str = "[[grant]]\nusers = [\"ci\"]\nrepositories = [\"team/**\"]\nactions = [\"push\"]\n";

const PULL: &str = "[[grant]]\nwho = \"authenticated\"\nrepositories = [\"**\"]\nactions = [\"pull\"]\n";

#[test]
fn check_warns_about_a_push_grant_without_a_pull_grant_field_d6() {
    let folder = TestFolder::of(users::alice());
    for (policy, warned) in [
        (PUSH.to_owned(), true),
        (PUSH.to_owned() + PULL, false),
        (PUSH.to_owned() + &PULL.replace("**", "other/**"), true),
        (PUSH.replace("\"push\"", "\"push\", \"pull\""), false),
    ] {
        let path = folder.add_file("policy.toml", &policy);
        let output = run_bare(&["check", "--policy", &path]);
        assert_eq!(output.code, Some(0), "{output:?}");
        let warning = format!("{path}:1: warning: a push also requires pull");
        assert_eq!(output.stdout.contains(&warning), warned, "{policy}: {output:?}");
        // What check warns of is what is refused.
        let asked = ["explain", "--policy", &path, "ci", "POST", "/v2/team/app/blobs/uploads/"];
        assert_eq!(run_bare(&asked).code == Some(0), !warned, "{policy}");
    }
}

#[test]
fn check_and_key_new_warn_about_a_scope_with_push_only_field_n2() {
    let folder = TestFolder::of(users::alice());
    let keys = folder.dir.path().join("keys").display().to_string();
    for (name, scope, warned) in [
        ("one", &["push:team/app"][..], true),
        ("two", &["pull,push:team/app"], false),
        ("three", &["push:team/app", "pull:team/*"], false),
        ("four", &["push:team/**", "pull:other/**"], true),
        ("five", &["pull:team/app", "GET:/docs/**"], false),
    ] {
        let mut arguments =
            vec!["api-key", "new", "--create", "--api-keys", &keys, "--owner", "alice", "--name", name];
        scope.iter().for_each(|right| arguments.extend(["--scope", right]));
        let output = run_bare(&arguments);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(
            output.stderr.contains("--scope: warning: a push also requires pull"),
            warned,
            "{scope:?}: {output:?}"
        );
        assert_eq!(output.stdout.lines().count(), 1, "the key alone");
    }
    let check = run_bare(&["check", "--api-keys", &keys]);
    assert_eq!(check.code, Some(0), "{check:?}");
    let lines: Vec<bool> = (1..=5)
        .map(|line| check.stdout.contains(&format!("{keys}:{line}: warning: a push also requires pull")))
        .collect();
    assert_eq!(lines, [true, false, false, true, false], "{check:?}");
}
