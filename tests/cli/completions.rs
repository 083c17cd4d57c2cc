//! `doorward completions`, `--help` and `--version`.

use crate::support::doorward::doorward;

#[test]
fn completions_for_bash_contain_commands_and_flags() {
    let output = doorward(&["completions", "bash"]);
    assert_eq!(output.code, Some(0));
    for word in ["_doorward()", "serve", "check", "health", "--htpasswd", "--trusted-peers", "--admin-listen"]
    {
        assert!(output.stdout.contains(word), "{word} is not completed");
    }
    assert_eq!(output.stderr, "");
}

#[test]
fn completions_for_bash_are_valid_bash() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), doorward(&["completions", "bash"]).stdout).unwrap();
    let mut command = std::process::Command::new(crate::support::process::program("bash", "bash"));
    command.arg("-n").arg(script.path());
    let output = crate::support::process::run(command);
    assert_eq!((output.code, &output.stderr[..]), (Some(0), ""));
}

#[test]
fn completions_for_an_unknown_shell_exit_2() {
    for arguments in [&["completions", "cmd"][..], &["completions"], &["nonsense"], &["serve", "extra"]] {
        assert_eq!(doorward(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn help_and_version_exit_0() {
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let output = doorward(arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
    let help = doorward(&["serve", "--help"]).stdout;
    for word in ["--htpasswd", "[env: DOORWARD_HTPASSWD]", "[default: 127.0.0.1:8000]"] {
        assert!(help.contains(word), "{word} is not in the help");
    }
}
