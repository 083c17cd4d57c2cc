//! Errors quote no secret; renamed settings name their replacement.

use crate::support::doorward::command;
use crate::support::process::run;
use crate::support::secrets::MARK;
use crate::support::test_folder::{TestFolder, all_output, run_bare};
use crate::support::users;

/// Returns lines of a settings file with a pasted secret or a secret in a URL, and words of the error about
/// each.
fn pasted() -> Vec<(String, &'static str)> {
    let http = |more: &str| format!("[[authenticator]]\ntype = \"http\"\n{more}\n");
    let basic = "headers = { Authorization = \"Basic {basic}\" }";
    let url = |url: &str| http(&format!("url = \"{url}\"\n{basic}"));
    let upstream = |more: &str| format!("proxy_secret_file = \"SECRET_FILE\"\n[[upstream]]\n{more}\n");
    vec![
        (format!("listen = \"{MARK}\""), "listen: must be IP:PORT"),
        (format!("listen = \"http://ann:{MARK}@localhost:8000\""), "must be IP:PORT"),
        (
            format!("trusted_peers = [\"127.0.0.1\", \"{MARK}\"]"),
            "trusted_peers: value 2 of 2: must be an IP address",
        ),
        (format!("realm = \"basic {MARK}\""), "realm"),
        (format!("htpasswd.file = \"{MARK}\""), "not shown because it does not exist"),
        (format!("policy.file = \"{MARK}/{MARK}==\""), "not shown because it does not exist"),
        (format!("api_keys.file = \"dwk_0123456789_{MARK}\""), "not shown because it does not exist"),
        (format!("proxy_secret_file = \"/{MARK}\""), "not shown because it does not exist"),
        (format!("cache.idle_timeout = \"{MARK}\""), "cache.idle_timeout: must be a duration"),
        (format!("cache.max_entries = \"{MARK}\""), "cache.max_entries: must be a whole number"),
        (format!("log.level = \"{MARK}\""), "log.level: must be error"),
        (format!("token.realm = \"https://ann:{MARK}@\""), "token.realm"),
        (format!("token.challenge = \"{MARK}\""), "must be basic or bearer"),
        (format!("socket_mode = \"{MARK}\""), "socket_mode: must be a file mode"),
        (
            format!("admin.allowed_hosts = [\"https://ann:{MARK}@a\"]"),
            "admin.allowed_hosts: must be a host name",
        ),
        (format!("{MARK} = 1"), "unknown key of"),
        (MARK.to_owned(), ":1:"),
        (format!("alice:{MARK}"), ":1:"),
        (format!("listen = {MARK}"), ":1:"),
        (format!("listen = \"{MARK}"), ":1:"),
        (url(&format!("https://ann:{MARK}@[::1/login")), "not a URL"),
        (url(&format!("https://ann:{MARK}@api.example.com/login")), "a password in a URL"),
        (url(&format!("ftp://api.example.com/{MARK}?token={MARK}")), "write http:// or https://"),
        (url(&format!("https://api.example.com/a/../b?token={MARK}")), "the path must be percent-encoded"),
        (url(MARK), "write http:// or https://"),
        (http(&format!("url = \"https://a/b\"\n{basic}\n{MARK} = 1")), "unknown key; the keys are "),
        (http(&format!("url = \"https://a/b\"\n{basic}\ntimeout = \"{MARK}\"")), "must be a duration"),
        (http(&format!("url = \"https://a/b\"\n{basic}\nmethod = \"{MARK}\"")), "unknown method"),
        (
            http(&format!("url = \"https://a/b\"\n{basic}\nusername_pointer = \"{MARK}\"")),
            "not a JSON pointer",
        ),
        (http(&format!("url = \"https://a/b\"\n{basic}\nmax_connections = \"{MARK}\"")), "must be"),
        (http(&format!("name = \"{MARK}\"\nurl = \"https://a/b\"\n{basic}")), "a name must have 1 to 32"),
        (
            http(&format!("url = \"https://a/b\"\n{basic}\nca_file = \"{MARK}\"")),
            "not shown because it does not exist",
        ),
        (
            http(&format!("url = \"https://a/b\"\nheaders = {{ \"{MARK} x\" = \"{{password}}\" }}")),
            "invalid header name",
        ),
        (
            upstream(&format!("type = \"basic\"\nusername = \"a\"\npassword_file = \"{MARK}\"")),
            "not shown because it does not exist",
        ),
        (
            upstream(&format!("type = \"bearer\"\ntoken_file = \"{MARK}\"")),
            "not shown because it does not exist",
        ),
        (
            upstream(&format!("type = \"file\"\nfile = \"Basic {MARK}\"")),
            "not shown because it does not exist",
        ),
        (upstream(&format!("type = \"{MARK}\"")), "type must be"),
        (upstream(&format!("type = \"none\"\nhosts = [\"https://ann:{MARK}@a\"]")), ":7:"),
        (upstream(&format!("type = \"none\"\nrepositories = [\"a/{MARK}?\"]")), ":7:"),
        (
            upstream(&format!("type = \"basic\"\nusername = \"ann:{MARK}\"\npassword_file = \"/dev/null\"")),
            "no colon",
        ),
        #[cfg(feature = "ecr")]
        (upstream(&format!("type = \"ecr\"\nendpoint = \"https://ann:{MARK}@ecr\"")), "must be a URL"),
        #[cfg(feature = "ecr")]
        (upstream(&format!("type = \"ecr\"\nregion = \"{MARK}\"")), "must be a region"),
    ]
}

#[test]
fn secret_in_the_wrong_setting_is_not_quoted_field_r6() {
    for (text, words) in pasted() {
        let folder = TestFolder::of(users::alice());
        // A file that is valid except for this line.
        let is_set = |key: &str| text.contains(&format!("{key} = "));
        let users = if is_set("htpasswd.file") {
            String::new()
        } else {
            format!("htpasswd.file = \"{}\"\n", folder.name())
        };
        let listen = if is_set("listen") { "" } else { "listen = \"127.0.0.1:0\"\n" };
        let listen = format!("{listen}admin.listen = \"127.0.0.1:0\"\n");
        let chain = "\n[[authenticator]]\ntype = \"htpasswd\"\n";
        // The added top-level settings must precede the first table.
        let whole = match text.contains("[[authenticator]]") {
            true => format!("{text}\n{chain}").replacen("[[auth", &format!("{users}{listen}[[auth"), 1),
            false if text.contains("[[upstream]]") => {
                text.replacen("[[up", &format!("{users}{listen}[[up"), 1)
            }
            false => format!("{text}\n{users}{listen}"),
        };
        let secret = folder.add_file("secret", "0123456789abcdef0123456789abcdef\n");
        let config = folder.add_file("doorward.toml", &whole.replace("SECRET_FILE", &secret));
        for command in ["check", "serve"] {
            let output = run_bare(&[command, "--config", &config]);
            let told = all_output(&output);
            if command == "serve" || !told.contains(words) {
                assert_eq!(output.code, Some(1), "{whole}\n{told}");
            }
            if command == "serve" {
                assert!(told.contains(words), "{whole}\n{told}");
            }
        }
    }
}

#[test]
fn secret_in_a_variable_or_on_the_command_line_is_not_quoted_field_r6() {
    for (name, value) in [
        ("DOORWARD_LISTEN", MARK.to_owned()),
        ("DOORWARD_HTPASSWD", MARK.to_owned()),
        ("DOORWARD_TRUSTED_PEERS", format!("10.0.0.1,{MARK}")),
        ("DOORWARD_PROXY_SECRET_FILE", MARK.to_owned()),
        ("DOORWARD_CONFIG", MARK.to_owned()),
        ("DOORWARD_PASSWORD", MARK.to_owned()),
    ] {
        let mut serve = command();
        serve.arg("serve").env(name, &value);
        let output = run(serve);
        assert_ne!(output.code, Some(0), "{name}: {output:?}");
    }
    let value = format!("--password={MARK}");
    for arguments in [
        &["user", "add", "alice", MARK][..],
        &["user", "add", "alice", &value],
        &["user", "add", "alice", "--password", MARK],
        &["user", MARK],
        &[MARK],
        &["user", "add", "--cost", MARK, "alice"],
        &["completions", MARK],
        &["serve", "--listen", MARK],
        &["user", "verify", "alice", "-p", MARK],
        &[
            "api-key",
            "new",
            "--owner",
            "alice",
            "--name",
            "x",
            "--expires-in",
            MARK,
            "--api-keys",
            "/tmp/keys",
        ],
        &["api-key", "new", "--owner", "alice", "--name", "x", "--scope", MARK, "--api-keys", "/tmp/keys"],
    ] {
        let output = run_bare(arguments);
        assert_ne!(output.code, Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.lines().count() == 1, "{arguments:?}: {output:?}");
    }
}

#[test]
fn renamed_or_removed_setting_is_reported_in_file_environment_and_flags() {
    for (flag, key, words) in [
        ("--upstream-secret-file", "upstream_secret_file", "proxy"),
        ("--proxy", "proxy", "dialects"),
        (
            "--hash-queue",
            "hash.queue",
            "this setting was removed: the length of the queue follows from hash.wait_timeout",
        ),
        ("--hash-network-share", "hash.network_share", "this setting was removed: one network can use"),
        (
            "--cache-rejected-max-entries",
            "cache.rejected_max_entries",
            "this setting was removed: rejections are kept",
        ),
        ("--cache-idel", "cache.idel", "idle"),
    ] {
        let output = run_bare(&["serve", &format!("{flag}=7")]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(
            output.stderr.starts_with("doorward: ")
                && output.stderr.contains(flag)
                && output.stderr.contains(words),
            "{output:?}"
        );
        let folder = TestFolder::of("");
        let config = folder.add_file("doorward.toml", &format!("{key} = 7\n"));
        let output = run_bare(&["serve", "--config", &config]);
        assert!(
            output.stderr.contains(&format!("{config}:1:")) && output.stderr.contains(words),
            "{output:?}"
        );
        let mut serve = command();
        serve.arg("serve").env(format!("DOORWARD{}", flag[1..].replace('-', "_").to_uppercase()), "7");
        let output = run(serve);
        let told = output.stderr.to_lowercase();
        assert!(output.code == Some(1) && told.contains(words), "{output:?}");
    }
    let output = run_bare(&["serve", "--upstream-secret-file", "/x"]);
    assert!(
        output
            .stderr
            .contains("unknown flag \"--upstream-secret-file\"; did you mean \"--proxy-secret-file\"?"),
        "{output:?}"
    );
    let output = run_bare(&["user", "list", "--cache-idle-timeout", "1h"]);
    assert!(
        output.code == Some(2)
            && output.stderr.contains("--cache-idle-timeout: this command does not have this flag"),
        "{output:?}"
    );
}

/// Returns what `serve` prints about an invalid settings file, with `FILE` in place of its path.
fn errors_of(settings: &str) -> String {
    let folder = TestFolder::of("");
    let config = folder.add_file("doorward.toml", settings);
    run_bare(&["serve", "--config", &config]).stderr.replace(&config, "FILE")
}

#[test]
fn error_of_settings_that_do_not_fit_together_names_the_setting() {
    for (settings, error) in [
        ("listen = []", "settings: listen: the list is empty; delete"),
        ("dialects = []", "settings: dialects: no dialect is enabled"),
        ("trusted_peers = []", "settings: trusted_peers: the list is empty, so no peer could use"),
        ("listen = \"192.0.2.1:80\"", "FILE:1:10: listen: other machines can reach 192.0.2.1:80: "),
        ("throttle.user_failures = 99", "FILE:1:26: throttle.user_failures: the value is above "),
        ("token.signing_keys = \"/k\"", "FILE:1:22: token.signing_keys: token.service is missing: "),
        ("token.challenge = \"bearer\"", "FILE:1:19: token.challenge: token.realm is missing: "),
        ("realm = [\"a\"]", "FILE:1:9: realm: must be one value, not a list"),
        ("realm = 1.5", "FILE:1:9: realm: must be a string"),
    ] {
        let told = errors_of(settings);
        assert!(told.starts_with(&format!("doorward: {error}")), "{settings}\n{told}");
        assert_eq!(told.lines().count(), 1, "{settings}\n{told}");
    }
    // The place of a flag or a variable names the setting.
    let output = run_bare(&["serve", "--listen", "192.0.2.1:80"]);
    assert!(output.stderr.starts_with("doorward: --listen: other machines can reach"), "{output:?}");
    // An empty list of the admin listener is valid: /livez and /readyz answer every peer.
    assert!(!errors_of("admin.trusted_peers = []").contains("admin.trusted_peers"));
}

#[test]
fn setting_with_an_invalid_value_gets_no_second_error() {
    let upstream = "[[upstream]]\ntype = \"bearer\"\ntoken_file = \"/dev/null\"";
    let chain = "[[authenticator]]\ntype = \"htpasswd\"";
    for (settings, error) in [
        ("trusted_peers = [\"nginx\"]", "FILE:1:18: trusted_peers: must be an IP address"),
        ("trusted_peers = [\"nginx\"]\nlisten = \"192.0.2.1:80\"", "FILE:1:18: trusted_peers: must be"),
        ("trusted_peers = [1.5]\nlisten = \"192.0.2.1:80\"", "FILE:1:18: trusted_peers: must be a string"),
        ("listen = \"nowhere\"", "FILE:1:10: listen: must be IP:PORT"),
        ("dialects = \"apache\"", "FILE:1:12: dialects: "),
        (
            "throttle.user_failures = \"x\"\nthrottle.network_failures = 2",
            "FILE:1:26: throttle.user_failures: must be a whole number",
        ),
        ("token.signing_keys = \"/k\"\ntoken.service = \"a b\"", "FILE:2:17: token.service: must have"),
        (&format!("proxy_secret_file = \"\"\n{upstream}"), "FILE:1:21: proxy_secret_file: the path is"),
        (&format!("htpasswd.file = \"\"\n{chain}"), "FILE:1:17: htpasswd.file: the path is"),
    ] {
        let told = errors_of(settings);
        assert!(told.starts_with(&format!("doorward: {error}")), "{settings}\n{told}");
        assert_eq!(told.lines().count(), 1, "{settings}\n{told}");
    }
    // An error of one setting hides no error of others.
    let told = errors_of("realm = 1.5\nlisten = []\nthrottle.user_failures = 99");
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn every_unknown_key_of_a_table_is_reported_in_one_run() {
    let told = errors_of(
        "[[authenticator]]\ntype = \"htpasswd\"\nfallback = 1\nsecret = 2\n[[authenticator]]\ntype = \"http\"\nurl = \"http://127.0.0.1/\"\ncovers = [\"a\"]\nmax_body = \"1m\"\nhtml = true\n[[upstream]]\ntype = \"none\"\nanyone = true\nhost = \"a\"\n",
    );
    let wanted = [
        "FILE:3:1: authenticator: unknown key \"fallback\"; did you mean \"fallback_for\"?",
        "FILE:4:1: authenticator: unknown key; the keys are name, fallback_for",
        "FILE:8:1: authenticator: unknown key \"covers\"; did you mean \"fallback_for\"?",
        "FILE:9:1: authenticator: unknown key \"max_body\"; did you mean \"max_response_bytes\"?",
        "FILE:10:1: authenticator: unknown key \"html\"; did you mean \"allow_html\"?",
        "FILE:13:1: upstream: unknown key \"anyone\"; did you mean \"allow_anonymous\"?",
        "FILE:14:1: upstream: unknown key \"host\"; did you mean \"hosts\"?",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), wanted.map(|line| format!("doorward: {line}")));
}

#[test]
fn renamed_flag_is_reported_with_a_flag_that_the_command_has() {
    for (command, old, new) in [
        (&["signing-key", "init"][..], "keys", "signing-keys"),
        (&["signing-key", "list"], "keys", "signing-keys"),
        (&["signing-key", "init"], "key", "private-key"),
        (&["explain", "alice", "pull", "a"], "key", "api-key"),
        (&["user", "add", "bob"], "first", "if-empty"),
        (&["user", "add", "bob"], "once", "marker-file"),
        (&["api-key", "list"], "used", "usage"),
        (&["api-key", "new"], "expires", "expires-in"),
    ] {
        let output = run_bare(&[command, &[&format!("--{old}=f")]].concat());
        assert_eq!(output.code, Some(2), "{command:?}: {output:?}");
        let error = format!("doorward: unknown flag \"--{old}\"; did you mean \"--{new}\"? (see --help)\n");
        assert_eq!(output.stderr, error, "{command:?}");
    }
    for command in [&["serve"][..], &["api-key", "list"], &["user", "list"]] {
        let flag = format!("--{}", "keys");
        let output = run_bare(&[command, &[&flag, "f"]].concat());
        assert!(output.stderr.contains("did you mean \"--api-keys\"?"), "{command:?}: {output:?}");
    }
    // These commands do not have the new flag.
    for (arguments, error) in [
        (&["signing-key", "init", "--proxy", "f"][..], "unknown flag of 7 bytes"),
        (&["signing-key", "init", "--htpaswd", "f"], "unknown flag of 9 bytes"),
        (&["user", "list", "--first"], "unknown flag of 7 bytes"),
        (&["signing-key", "init", "--algoritm", "f"], "unknown flag; did you mean \"--algorithm\"?"),
    ] {
        let output = run_bare(arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        assert_eq!(output.stderr, format!("doorward: {error} (see --help)\n"), "{arguments:?}");
    }
}

#[test]
fn invalid_text_of_policy_groups_and_api_keys_is_not_quoted_field_c2() {
    let folder = TestFolder::of(users::alice());
    let grant = |keys: &str| format!("[[grant]]\nwho = \"anyone\"\n{keys}\n");
    for (flag, text, words) in [
        (
            "--policy",
            grant(&format!("users = [\"alice:{MARK}\"]\nactions = [\"pull\"]")),
            "users: the user name has a colon",
        ),
        (
            "--policy",
            grant(&format!("actions = [\"{MARK}\"]")),
            "actions: unknown action; the actions are pull",
        ),
        (
            "--policy",
            grant(&format!("networks = [\"{MARK}\"]\nactions = [\"pull\"]")),
            "networks: not an IP address",
        ),
        ("--policy", grant(&format!("groups = [\"{MARK} x\"]\nactions = [\"pull\"]")), "not a group name"),
        ("--policy", grant(&format!("hosts = [\"https://a:{MARK}@b\"]\nactions = [\"pull\"]")), "hosts: "),
        ("--policy", format!("{MARK}\n"), ":1:"),
        ("--groups", format!("{MARK}\n"), "bytes; write GROUP: USER USER"),
        ("--groups", format!("alice {MARK}: x\n"), "not a group name"),
        ("--groups", format!("devs: \"{MARK}\"\n"), "user 1: quotes"),
        ("--groups", format!("alice:$2y$05${MARK}:x{MARK}:y\n"), "user 1: "),
        ("--api-keys", format!("{MARK}\n"), "is not an API key; write one JSON object per line"),
        ("--api-keys", format!("{{\"id\": \"{MARK}\"}}\n"), "missing field hash"),
        ("--api-keys", format!("{{\"{MARK}\": 1}}\n"), "missing field id"),
        (
            "--api-keys",
            format!("{{\"id\":\"0123456789\",\"hash\":\"x\",\"owner\":\"a\",\"name\":\"b\",\"{MARK}\":1}}\n"),
            "unknown field; the fields are id",
        ),
        (
            "--api-keys",
            format!("{{\"id\":[\"{MARK}\"],\"hash\":\"x\",\"owner\":\"a\",\"name\":\"b\"}}\n"),
            "id: must be a string",
        ),
        (
            "--api-keys",
            format!("{{\"id\":\"0123456789\",\"hash\":\"{MARK}\",\"owner\":\"a\",\"name\":\"b\"}}\n"),
            "hash: write sha256:",
        ),
        (
            "--api-keys",
            format!("{{\"id\":\"{MARK}\",\"hash\":\"x\",\"owner\":\"{MARK} \",\"name\":\"{MARK} \"}}\n"),
            "id: must be 10",
        ),
        ("--api-keys", format!("{{{MARK}\n"), "not JSON at byte"),
        (
            "--token-signing-keys",
            format!("-----BEGIN {MARK}-----\nAAAA\n-----END {MARK}-----\n"),
            "block 1 (unknown label",
        ),
        ("--token-signing-keys", format!("{MARK}\n"), "it contains no key"),
    ] {
        let path = folder.add_file("file", &text);
        let output = folder.run(&["check", flag, &path], "");
        assert_ne!(output.code, Some(0), "{flag}: {text}: {output:?}");
        assert!(all_output(&output).contains(words), "{flag}: {text}: {output:?}");
        if flag == "--api-keys" {
            // An unusable line is listed without its text.
            let list = run_bare(&["api-key", "list", "--api-keys", &path]);
            assert_eq!(list.code, Some(0), "{list:?}");
            assert_eq!(run_bare(&["api-key", "list", "--json", "--api-keys", &path]).code, Some(0));
        }
    }
}

#[test]
fn terminal_control_character_is_refused_in_a_name_and_not_printed() {
    let folder = TestFolder::of(users::alice());
    for bad in ["\u{9b}31m", "\u{202e}", "\u{2028}", "\u{2066}", "\u{85}"] {
        let json = format!(
            "{{\"id\":\"0123456789\",\"hash\":\"sha256:{}\",\"owner\":\"al{bad}ice\",\"name\":\"c{bad}i\"}}\n",
            "0".repeat(64)
        );
        let path = folder.add_file("keys", &json);
        for arguments in [
            &["api-key", "list", "--api-keys", &path][..],
            &["api-key", "list", "--json", "--api-keys", &path],
            &["check", "--api-keys", &path],
        ] {
            let told = all_output(&run_bare(arguments));
            assert!(!told.contains(bad) && !told.is_empty(), "{bad:?}, {arguments:?}: {told:?}");
        }
        let name = format!("al{bad}ice");
        let add = folder.run(&["user", "add", "--stdin", &name], "wonderland");
        assert!(add.code == Some(1) && !all_output(&add).contains(bad), "{add:?}");
        let new =
            run_bare(&["api-key", "new", "--create", "--api-keys", &path, "--owner", &name, "--name", "ci"]);
        assert!(new.code == Some(1) && !all_output(&new).contains(bad), "{new:?}");
    }
    for name in ["alice\u{a0}", "\u{a0}alice", "alice\u{200b}"] {
        let add = folder.run(&["user", "add", "--stdin", name], "wonderland");
        assert!(
            add.code == Some(1) && add.stderr.contains("invisible character at the start or end"),
            "{add:?}"
        );
    }
}
