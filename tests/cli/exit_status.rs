//! Exit statuses of `check`, `explain` and unknown commands for scripts.

use crate::support::test_folder::{TestFolder, run_bare};
use crate::support::users;

const POLICY: &str = "[[grant]]\nwho = \"authenticated\"\nrepositories = [\"**\"]\nactions = [\"pull\"]\n
[[grant]]\nusers = [\"alice\"]\nrepositories = [\"team/**\"]\nactions = [\"push\"]\n
[[grant]]\nusers = [\"bob\"]\nrepositories = [\"shared/*\"]\nactions = [\"push\", \"delete\"]\n";

#[test]
fn check_of_policy_and_groups_without_an_htpasswd_file_exits_0_field_n5() {
    let folder = TestFolder::of("");
    let (policy, groups) =
        (folder.add_file("policy.toml", POLICY), folder.add_file("groups", "devs: alice\n"));
    for arguments in [
        &["check", "--policy", &policy, "--groups", &groups][..],
        &["check", "--policy", &policy],
        &["check", "--groups", &groups],
    ] {
        let output = run_bare(arguments);
        assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{output:?}");
        assert!(output.stdout.contains("only the named files were checked"), "{output:?}");
    }
    // An invalid file is still an error, and so are incomplete settings of `serve`.
    let faulty = folder.add_file("faulty.toml", &POLICY.replace("actions", "action"));
    assert_eq!(run_bare(&["check", "--policy", &faulty]).code, Some(1));
    let config = folder.add_file("doorward.toml", &format!("policy.file = \"{policy}\"\n"));
    let output = run_bare(&["check", "--config", &config]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("no source of users is set"), "{output:?}");
    assert_eq!(run_bare(&["check"]).code, Some(1));
}

#[test]
fn explain_for_a_user_that_cannot_log_in_exits_1_and_shows_the_policy_result_field_n6() {
    let folder = TestFolder::of(users::alice() + "carl:hunter2\n");
    let policy = folder.add_file("policy.toml", POLICY);
    let ask =
        |user: &str| folder.run(&["explain", "--policy", &policy, user, "GET", "/v2/a/manifests/x"], "");
    assert_eq!(ask("alice").code, Some(0));
    for (user, why) in
        [("eve", "eve has no line in "), ("carl", ":2: carl cannot log in: the hash format is unknown")]
    {
        let output = ask(user);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stdout.starts_with("challenge\n") && output.stdout.contains(why), "{output:?}");
        assert!(output.stdout.contains("for a user who can log in: allow"), "{output:?}");
    }
    // Without an htpasswd file, users are not checked.
    let alone = run_bare(&["explain", "--policy", &policy, "eve", "GET", "/v2/a/manifests/x"]);
    assert_eq!(alone.code, Some(0), "{alone:?}");
}

#[test]
fn explain_of_a_denied_push_shows_the_nearest_push_grant_field_n6() {
    let folder = TestFolder::of(users::two());
    let policy = folder.add_file("policy.toml", POLICY);
    for (user, method, uri, line, lacks) in [
        ("alice", "PUT", "/v2/other/app/manifests/x", 6, "it applies to other resources"),
        ("alice", "POST", "/v2/other/app/blobs/uploads/", 6, "it applies to other resources"),
        ("bob", "DELETE", "/v2/other/app/manifests/x", 11, "it applies to other resources"),
        ("bob", "PUT", "/v2/team/app/manifests/x", 11, "it applies to other resources"),
    ] {
        let output = folder.run(&["explain", "--policy", &policy, user, method, uri], "");
        assert_eq!(output.code, Some(1), "{output:?}");
        let told = format!("the nearest is {policy}:{line}: {lacks}");
        assert!(output.stdout.contains(&told), "{user} {method} {uri}: {output:?}");
    }
}

#[test]
fn old_command_exits_2_and_names_the_present_one() {
    for (old, new) in [("key", "api-key"), ("keys", "api-key"), ("token", "signing-key")] {
        for arguments in [&[old][..], &[old, "new"]] {
            let output = run_bare(arguments);
            let line = format!(
                "doorward: unknown command \"{old}\"; did you mean \"doorward {new}\"? (see --help)\n"
            );
            assert_eq!((output.code, output.stderr), (Some(2), line), "{arguments:?}");
        }
    }
    // A misspelled command gets a suggestion. Any other argument is not quoted, since it can be a password.
    let output = run_bare(&["sevre"]);
    assert_eq!(
        output.stderr,
        "doorward: unknown command; did you mean \"user\" or \"serve\"? (see --help)\n"
    );
    let output = run_bare(&["zq8Kp2"]);
    assert_eq!(output.stderr, "doorward: unknown command of 6 bytes (see --help)\n");
}

#[test]
fn only_api_key_list_has_the_flags_of_the_admin_listener() {
    for (command, has_admin_flags) in [("new", false), ("revoke", false), ("list", true)] {
        let help = run_bare(&["api-key", command, "--help"]).stdout;
        assert!(help.contains("--api-keys"), "{command}: {help}");
        for flag in ["--admin-listen", "--admin-token"] {
            assert_eq!(help.contains(flag), has_admin_flags, "{command}: {help}");
        }
    }
}
