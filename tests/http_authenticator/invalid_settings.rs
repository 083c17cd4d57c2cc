//! Invalid settings of an authenticator.

use std::fs;

use super::config;
use crate::support::doorward::command;
use crate::support::process::{Output, run};
use crate::support::users;

/// Runs `check` and `serve` with these settings and with no other htpasswd file. Both must fail.
fn both(settings: &str) -> (String, [Output; 2]) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("htpasswd"), users::alice()).unwrap();
    let settings = settings.replace("{DIR}", dir.path().to_str().unwrap());
    let flags = config(dir.path(), &settings);
    let outputs = [&["check"][..], &["serve", "--listen", "127.0.0.1:0"]].map(|words| {
        let mut command = command();
        command.args(words).args(&flags);
        let output = run(command);
        // `serve` would not end by itself, so settings that `check` accepts fail the test here.
        assert_eq!(output.code, Some(1), "{settings}\n{output:?}");
        output
    });
    (flags[1].clone(), outputs)
}

/// Checks that both commands print an error for line `line` of the file, with all these words.
fn assert_error(settings: &str, line: usize, words: &[&str]) {
    let (path, outputs) = both(settings);
    for output in outputs {
        let begin = format!("doorward: {path}:{line}:");
        let is_it = |said: &&str| {
            let column = said.strip_prefix(&begin).and_then(|rest| rest.split_once(": "));
            column.is_some_and(|(column, _)| column.parse::<usize>().is_ok_and(|column| column > 0))
                && words.iter().all(|word| said.contains(word))
        };
        let found = output.stderr.lines().find(is_it);
        assert!(found.is_some(), "wanted line {line}, {words:?}\n{settings}\n   got: {}", output.stderr);
        assert!(!output.stderr.contains("panicked"), "{output:?}");
        assert!(!output.stderr.contains("doorward started"), "{output:?}");
    }
}

/// Returns an authenticator with a valid URL in line 4 and these lines from line 5.
fn with(lines: &str) -> String {
    format!(
        "[[authenticator]]\ntype = \"http\"\nname = \"vendor\"\nurl = \"http://127.0.0.1:9/ask\"\n{lines}\n"
    )
}

/// Returns an authenticator with this URL in line 4.
fn at(url: &str) -> String {
    with("").replace("http://127.0.0.1:9/ask", url)
}

const BASIC: &str = "headers = { Authorization = \"Basic {basic}\" }\n";

#[test]
fn valid_authenticator_settings_pass_check() {
    let dir = tempfile::tempdir().unwrap();
    for settings in [with(BASIC), at("http://127.0.0.1:9/{username}?a={{b}}").replace("\n\n", "\n") + BASIC] {
        let mut command = command();
        command.arg("check").args(config(dir.path(), &settings));
        let output = run(command);
        assert_eq!(output.code, Some(0), "{settings}: {output:?}");
    }
}

#[test]
fn invalid_request_template_is_an_error() {
    let cases = [
        ("http://127.0.0.1:9/{usernam}", "username"),
        ("http://127.0.0.1:9/{username", "}"),
        ("http://127.0.0.1:9/username}", "}}"),
        ("http://127.0.0.1:9/{}", "username"),
        ("http://127.0.0.1:9/{password}", "password"),
        ("http://127.0.0.1:9/?p={password}", "password"),
        ("http://127.0.0.1:9/?p={basic}", "basic"),
        ("http://{username}.example.test/", "host"),
        ("http://127.0.0.1:{username}/", ""),
        ("{username}://127.0.0.1/", ""),
        ("ftp://127.0.0.1/", "http"),
        ("127.0.0.1:9/ask", "http"),
        ("", ""),
        ("http://user:hunter2@127.0.0.1:9/", ""),
        ("http://127.0.0.1:9/#{username}", ""),
    ];
    for (url, word) in cases {
        assert_error(&(at(url) + BASIC), 4, &[word]);
    }
    for headers in [
        "headers = { Authorization = \"Basic {bsic}\" }",
        "headers = { X-Both = \"{username}{password}\" }",
        "headers = { X-Early = \"{password} is it\" }",
        "headers = { \"X Space\" = \"{password}\" }",
        "headers = { X-Line = \"a\\r\\nb {password}\" }",
        "json = { p = \"{basic}\" }",
        "form = { p = \"{basic}\" }",
        "json = { p = \"{passwrd}\" }",
    ] {
        assert_error(&with(headers), 5, &[]);
    }
}

#[test]
fn unknown_value_is_an_error_that_lists_the_known_ones() {
    assert_error(
        &with(&format!("{BASIC}usrname_pointer = \"/x\"")),
        6,
        &["usrname_pointer", "username_pointer"],
    );
    assert_error(&with(&format!("{BASIC}retries = 3")), 6, &["unknown key; the keys are", "timeout"]);
    assert_error(&with(BASIC).replace("\"http\"", "\"ldap\""), 2, &["\"htpasswd\"", "\"http\""]);
    let group = format!("{BASIC}groups = [ {{ pointr = \"/x\" }} ]");
    assert_error(&with(&group), 6, &["pointr", "pointer"]);
    assert_error(&with(BASIC).replace("type = \"http\"\n", ""), 1, &["type"]);
    assert_error("[[authenticator]]\ntype = \"http\"\nname = \"vendor\"\n", 1, &["url"]);
    let staff = "[[authenticator]]\ntype = \"htpasswd\"\nurl = \"http://127.0.0.1:9/\"\n";
    assert_error(
        &format!("htpasswd.file = \"{{DIR}}/htpasswd\"\n{staff}"),
        4,
        &["unknown key; the keys are name, fallback_for"],
    );
}

#[test]
fn duplicate_or_malformed_authenticator_name_is_an_error() {
    let second = with(BASIC);
    // The second authenticator begins after the six lines of the first.
    assert_error(&(with(BASIC) + &second), 7, &["vendor"]);
    for name in ["Vendor", "", "a b", "-a", "a,b", &"a".repeat(33)] {
        assert_error(&with(BASIC).replace("\"vendor\"", &format!("\"{name}\"")), 3, &["name"]);
    }
}

#[test]
fn htpasswd_authenticator_without_a_file_or_twice_is_an_error() {
    let staff = "[[authenticator]]\ntype = \"htpasswd\"\n";
    assert_error(staff, 1, &["htpasswd"]);
    let two = format!("htpasswd.file = \"{{DIR}}/htpasswd\"\n{staff}{staff}name = \"more\"\n");
    assert_error(&two, 4, &["htpasswd"]);
}

#[test]
fn fallback_for_a_later_or_unknown_authenticator_is_an_error() {
    let other = with(BASIC).replace("\"vendor\"", "\"other\"");
    assert_error(&(with(&format!("{BASIC}fallback_for = [\"other\"]")) + &other), 6, &["fallback_for"]);
    assert_error(&with(&format!("{BASIC}fallback_for = [\"vendor\"]")), 6, &["fallback_for"]);
    assert_error(&with(&format!("{BASIC}fallback_for = [\"vendro\"]")), 6, &["fallback_for"]);
}

#[test]
fn timeouts_beyond_proxy_read_timeout_are_an_error() {
    // The sum has no line of its own, so the error names the line of the authenticator.
    assert_error(&with(&format!("{BASIC}timeout = \"12s\"")), 1, &["proxy_read_timeout", "12s", "10s"]);
    assert_error(&with(&format!("{BASIC}timeout = \"10s\"")), 1, &["proxy_read_timeout"]);
    let whole = with(&format!("{BASIC}timeout = \"4s\""));
    assert_error(&format!("proxy_read_timeout = \"3s\"\n{whole}"), 2, &["proxy_read_timeout"]);
    // Each timeout is valid alone, but their sum is too long.
    let other = with(&format!("{BASIC}timeout = \"6s\"")).replace("\"vendor\"", "\"other\"");
    let first = with(&format!("{BASIC}timeout = \"6s\""));
    let (_, outputs) = both(&(first + &other));
    for output in outputs {
        assert!(output.stderr.contains("proxy_read_timeout"), "{output:?}");
    }
    let long = with(&format!("{BASIC}connect_timeout = \"5s\"\ntimeout = \"4s\""));
    assert_error(&long, 6, &["timeout"]);
}

#[test]
fn missing_file_is_reported_with_its_table_and_key() {
    let key = "headers = { X-Key = \"{file:{DIR}/nowhere.pem}\" }";
    for (line, named) in [("ca_file = \"{DIR}/nowhere.pem\"", "ca_file "), (key, "the file ")] {
        let settings = if line == key { BASIC.replace("headers", "# ") } else { BASIC.to_owned() };
        let settings =
            format!("{settings}username_pointer = \"/login\"\njson = {{ p = \"{{password}}\" }}\n{line}");
        assert_error(
            &with(&settings),
            1,
            &["authenticator vendor: ", named, "nowhere.pem: the file does not exist"],
        );
    }
    let pair = "client_cert_file = \"{DIR}/nowhere.pem\"\nclient_key_file = \"{DIR}/nowhere.key\"";
    assert_error(&with(&format!("{BASIC}{pair}")), 1, &["client_cert_file ", "nowhere.pem"]);
    // A file that exists and is not a certificate.
    let none = format!("{BASIC}ca_file = \"{{DIR}}/htpasswd\"");
    assert_error(&with(&none), 1, &["ca_file ", "htpasswd: no certificate found"]);
    // Half of a pair.
    assert_error(&with(&format!("{BASIC}client_cert_file = \"{{DIR}}/htpasswd\"")), 6, &["client_key_file"]);
}

#[test]
fn value_out_of_range_is_an_error() {
    for line in [
        "max_connections = 0",
        "timeout = \"soon\"",
        "timeout = 4",
        "cache_ttl = 5",
        "max_response_bytes = \"64KB of it\"",
        "accepted_statuses = [99]",
        "rejected_statuses = [200]",
        "rejected_statuses = [401]\nunknown_user_statuses = [401]",
        "rejected_statuses = [500]",
        "unknown_user_statuses = [429]",
        "accepted_statuses = [302]",
        "method = \"PATCHY\"",
        "username_pointer = \"login\"",
        "accepted_if = { active = true }",
        "accepted_if = { \"/active\" = [true] }",
        "groups = [ { pointer = \"/a\", header = \"X-A\" } ]",
        "groups = [ {} ]",
        "facts = { \"a b\" = \"/a\" }",
        "cache_ttl = \"5m\"\nstale_if_unavailable = \"1m\"",
        "per_user_limit = 0",
        "per_user_limit = 9\nper_network_limit = 5",
    ] {
        let (path, outputs) = both(&with(&format!("{BASIC}{line}")));
        for output in outputs {
            // The error names the line itself, or the line of the URL if two settings conflict.
            let places = [4, 6, 7].map(|line| format!("doorward: {path}:{line}:"));
            let is_it = |said: &str| places.iter().any(|place| said.starts_with(place));
            assert!(output.stderr.lines().any(is_it), "{line}: {output:?}");
        }
    }
    let bodies = "json = { p = \"{password}\" }\nform = { p = \"{password}\" }";
    assert_error(&with(bodies), 5, &["json", "form"]);
}

#[test]
fn invalid_authenticator_is_not_reported_as_missing() {
    for output in both(&with(&format!("{BASIC}max_connections = 0"))).1 {
        assert_eq!(output.stderr.lines().count(), 1, "one fault is one line: {output:?}");
    }
}

#[test]
fn all_errors_are_reported_at_once_without_secrets() {
    let settings = format!(
        "{}{}",
        at("http://user:hunter2@127.0.0.1:9/{usernam}"),
        "headers = { X-Key = \"hunter2 {passwrd}\" }\ntimeout = \"soon\"\n"
    );
    let (_, outputs) = both(&settings);
    for output in outputs {
        assert!(output.stderr.lines().count() >= 3, "{output:?}");
        assert!(!output.stderr.contains("hunter2"), "{output:?}");
    }
}
