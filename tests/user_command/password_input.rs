//! Sources of a password: stdin, a terminal prompt, or a generated password.

use std::process::Command;

use super::{QUICK, Users, command};
use crate::support::process::{program, run};
use crate::support::users;

/// Returns the hash in the line of a user.
fn hash(users: &Users, name: &str) -> String {
    let text = users.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[test]
fn bcrypt_cost_is_10_by_default_and_configurable() {
    let users = Users::of("");
    users.quietly("add", &["usual", "--stdin"], "wonderland");
    users.quietly("add", &["four", "--stdin", "--cost", "4"], "wonderland");
    users.quietly("set", &["usual", "--stdin", "--cost", "6"], "wonderland");
    users.quietly("set", &["four", "--stdin"], "wonderland");
    assert!(hash(&users, "usual").starts_with("$2y$06$"));
    assert!(hash(&users, "four").starts_with("$2y$10$"));
}

#[test]
fn password_is_the_first_line_of_stdin() {
    for (stdin, password) in [
        ("wonderland", "wonderland"),
        ("wonderland\n", "wonderland"),
        ("wonderland\r\n", "wonderland"),
        (" wonder land \nmore\n", " wonder land "),
        ("wünder:länd\n\n", "wünder:länd"),
    ] {
        let users = Users::of("");
        users.add("alice", stdin);
        users.quietly("verify", &["alice", "--stdin"], password);
        users.refuses("verify", &["alice", "--stdin"], b"wonderlan", "wrong password");
    }
}

#[test]
fn unusable_password_is_refused() {
    let users = Users::of(&users::alice());
    let (most, more) = ("x".repeat(72), "x".repeat(73));
    users.refuses("add", &["bob", "--stdin"], b"", "empty");
    users.refuses("add", &["bob", "--stdin"], b"\n", "empty");
    users.refuses("set", &["alice", "--stdin"], b"nul\0nul", "NUL");
    users.refuses("set", &["alice", "--stdin"], more.as_bytes(), "72 bytes");
    users.refuses("add", &["bob", "--stdin"], &[b'x'; 5000], "72 bytes");
    users.add("bob", &most);
    users.quietly("verify", &["bob", "--stdin"], &most);
}

#[test]
fn verify_rejects_passwords_that_the_service_rejects() {
    // {SHA} of an empty password, {SHA} of 1024 letters a, and bcrypt of "ab".
    let text = "nothing:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\nlong:{SHA}jspVRjHfnq0UUQ4acK5Ixw+bk4Q=\n";
    let users = Users::of(&(text.to_owned() + &users::line("bcrypt", "ab", 4)));
    users.quietly("verify", &["bcrypt", "--stdin"], "ab");
    users.quietly("verify", &["long", "--stdin"], &"a".repeat(1024));
    users.refuses("verify", &["nothing", "--stdin"], b"", "nothing: ");
    users.refuses("verify", &["long", "--stdin"], &[b'a'; 1025], "long: ");
    users.refuses("verify", &["bcrypt", "--stdin"], b"ab\0ab", "bcrypt: ");
}

#[test]
fn generated_password_is_printed_once_and_differs_each_time() {
    let users = Users::of("");
    let mut printed = Vec::new();
    for (what, name) in [("add", "alice"), ("add", "bob"), ("set", "alice")] {
        let output = users.run(what, &[name, "--generate", QUICK[0], QUICK[1]], b"");
        assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{output:?}");
        let password = output.stdout.strip_suffix('\n').expect("one line").to_owned();
        assert_eq!(password.len(), 20, "{password}");
        assert!(password.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{password}");
        assert!(!users.text().contains(&password));
        users.quietly("verify", &[name, "--stdin"], &password);
        assert!(!printed.contains(&password), "twice the same");
        printed.push(password);
    }
    users.refuses("verify", &["alice", "--stdin"], printed[0].as_bytes(), "wrong password");
    users.refuses("add", &["alice", "--generate"], b"", "already");
}

#[test]
fn plaintext_password_is_verified_only_if_allowed() {
    let users = Users::of("alice:{PLAIN}wonderland\n");
    let refused = users.run("verify", &["alice", "--stdin"], b"wonderland");
    assert_eq!(refused.code, Some(3), "it can't be checked: {refused:?}");
    assert!(refused.stderr.contains("{PLAIN} stores the password unencrypted"), "{refused:?}");
    users.quietly("verify", &["alice", "--stdin", "--htpasswd-insecure-formats", "plain"], "wonderland");
}

#[test]
fn no_prompt_is_shown_without_a_terminal() {
    let users = Users::of(&users::alice());
    for (what, name) in [("add", "bob"), ("set", "alice"), ("verify", "alice")] {
        users.refuses(what, &[name], b"wonderland\n", "--stdin");
    }
}

/// Runs a command on a terminal and answers its prompts. Returns the exit code and the text that the terminal
/// showed.
fn on_a_terminal(users: &Users, what: &str, name: &str, prompts: &[(&str, &str)]) -> (i32, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/type_on_terminal.py");
    let inner = command(&users.path, what);
    let mut outer = Command::new(program("python3", "python3"));
    outer.arg(script).args(prompts.iter().flat_map(|(prompt, answer)| [prompt, answer])).arg("--");
    outer.arg(inner.get_program()).args(inner.get_args()).arg(name);
    outer.env_remove("DOORWARD_HTPASSWD");
    let output = run(outer);
    assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{output:?}");
    let (result, shown) = output.stdout.split_once('\n').unwrap();
    let (code, echo) = result.split_once(' ').unwrap();
    assert_eq!(echo, "echo", "the terminal is left as it was found");
    (code.parse().unwrap(), shown.to_owned())
}

#[test]
fn terminal_prompt_reads_a_new_password_twice_without_echo() {
    let users = Users::of("");
    let both = [("Password: ", "wonder land"), ("Again: ", "wonder land")];
    for (what, name) in [("add", "alice"), ("set", "alice")] {
        let (code, shown) = on_a_terminal(&users, what, name, &both);
        assert_eq!((code, shown.split_whitespace().collect::<Vec<_>>()), (0, vec!["Password:", "Again:"]));
    }
    let (code, shown) = on_a_terminal(&users, "verify", "alice", &both[..1]);
    assert_eq!((code, shown.trim()), (0, "Password:"));
    let (code, shown) = on_a_terminal(&users, "verify", "alice", &[("Password: ", "wonderland")]);
    assert_eq!(code, 1);
    assert!(shown.contains("alice: wrong password") && !shown.contains("wonder"), "{shown}");
}

#[test]
fn terminal_prompt_with_different_passwords_changes_nothing() {
    let users = Users::of(&users::alice());
    let different = [("Password: ", "one thing"), ("Again: ", "another thing")];
    for (what, name) in [("add", "bob"), ("set", "alice")] {
        let (code, shown) = on_a_terminal(&users, what, name, &different);
        assert_eq!(code, 1, "{shown}");
        assert!(shown.contains("the two passwords differ; nothing was changed"), "{shown}");
        assert!(!shown.contains("thing\r"), "{shown}");
    }
    assert_eq!(users.text(), users::alice());
}
