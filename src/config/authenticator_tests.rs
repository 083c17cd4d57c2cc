//! Tests of the `[[authenticator]]` tables: each error has its place and its remedy.

use super::*;

/// Returns the errors of a file, each as `line: message`.
fn errors(text: &str) -> Vec<String> {
    let mut errors = TableErrors::new();
    let document = DeTable::parse(text).unwrap();
    let value = document.get_ref().get("authenticator").unwrap();
    read_authenticators(value.get_ref(), 0, &|_| ConfigOrigin::Unset, &mut errors);
    errors.iter().map(|(at, what)| format!("{}: {what}", text[..*at].matches('\n').count() + 1)).collect()
}

const VALID: &str = r#"[[authenticator]]
type = "http"
name = "api"
url = "https://api.example.com/login"
json = { login = "{username}", password = "{password}", device = { kinds = ["a", 1, true, 1.5] } }
headers = { X-Client = "doorward" }
accepted_if = { "/active" = true, "/login" = "{username}" }
groups = [{ pointer = "/teams", name_pointer = "/id", where = { "/open" = true } }, { header = "X-Groups" }]
facts = { plan = "/plan", customer-id = { header = "X-Customer" } }
connect_timeout = "500ms"
timeout = "2s"
cache_ttl = "1m"
stale_if_unavailable = "1h"
"#;

/// Returns the error of the valid table with `to` in place of `from`. There must be exactly one.
fn error(from: &str, to: &str) -> String {
    assert!(VALID.contains(from), "{from}");
    let found = errors(&VALID.replace(from, to));
    assert_eq!(found.len(), 1, "{to}: {found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn valid_table_is_read_without_errors() {
    assert_eq!(errors(VALID), Vec::<String>::new());
}

#[test]
fn each_invalid_key_is_reported_with_its_line() {
    for (from, to, line, what) in [
        (
            "type = \"http\"",
            "type = \"ldap\"",
            2,
            "unknown type; set it to one of \"http\", \"htpasswd\", \"api_keys\"",
        ),
        ("name = \"api\"", "name = \"Api\"", 3, "lower-case"),
        ("https://api", "https://{username}", 4, "fixed host"),
        ("/login\"", "/{password}\"", 4, "logs"),
        ("url = ", "uri = ", 4, "unknown key \"uri\"; did you mean \"url\"?"),
        ("\"{password}\"", "\"x\"", 4, "every password would be accepted"),
        ("\"{password}\"", "\"{pasword}\"", 5, "unknown placeholder; use {username}"),
        ("\"doorward\"", "\"{username}, x\"", 6, "at the end"),
        ("X-Client", "Host", 6, "remove it"),
        ("\"/active\"", "\"active\"", 7, "JSON pointer"),
        ("= true, \"/login\"", "= [], \"/login\"", 7, "a text, a number, true or false"),
        ("\"{username}\" }\ngroups", "\"x{username}\" }\ngroups", 7, "alone"),
        ("pointer = \"/teams\", ", "", 8, "pointer"),
        ("name_pointer = \"/id\", ", "", 8, "name_pointer"),
        ("plan =", "Plan =", 9, "lower-case"),
        ("{ header = \"X-Customer\" }", "{ heder = \"X\" }", 9, "header"),
        ("500ms", "500", 10, "must be a duration"),
        ("500ms", "3s", 10, "longer than timeout"),
        ("2s", "2h", 11, "must be from"),
        ("1h", "30s", 13, "longer than cache_ttl"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nmethod = \"GET\"", 12, "POST or PUT"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nmethod = \"TRACE\"", 12, "unknown method"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nform = {}", 5, "one body"),
        ("timeout = \"2s\"", "timeout = \"2s\"\naccepted_statuses = [302]", 12, "200 to 299"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nrejected_statuses = [500]", 12, "200 to 499 without 429"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nrejected_statuses = [200]", 4, "two of"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nfallback_for = [\"x\"]", 12, "before this one"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nclient_cert_file = \"x\"", 12, "set together"),
        ("\"doorward\"", "[1]", 6, "must be a string"),
        ("timeout = \"2s\"", "timeout = \"2s\"\naccepted_statuses = []", 12, "no user could be accepted"),
        ("name_pointer = \"/id\"", "name_pointer = \"/id\", prefix = \"a b\"", 8, "prefix"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nmax_connections = 0", 12, "from 1 to 1024"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nqueue_limit = 2\nper_user_limit = 3", 13, "from 1 to 2"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nmax_response_bytes = \"1GiB\"", 12, "number of bytes"),
    ] {
        let message = error(from, to);
        assert!(message.starts_with(&format!("{line}: ")) && message.contains(what), "{to}: {message}");
    }
}

#[test]
fn duplicate_names_and_second_htpasswd_table_are_errors() {
    let file = "[[authenticator]]\ntype = \"htpasswd\"\n";
    assert!(errors(&format!("{VALID}{VALID}"))[0].contains("two authenticators are named api"));
    assert!(errors(&format!("{file}{file}name = \"b\"\n"))[0].contains("which has one file"));
    assert_eq!(errors(&format!("{VALID}{file}fallback_for = [\"api\"]\n")), Vec::<String>::new());
    assert!(errors("authenticator = 1\n")[0].contains("[[authenticator]]"));
    assert!(errors("authenticator = [1]\n")[0].contains("[[authenticator]]"));
    assert!(errors("authenticator = []\n")[0].contains("remove it"));
    assert!(errors("[[authenticator]]\nname = \"x\"\n")[0].contains("type is missing"));
}

#[test]
fn service_that_neither_gets_nor_returns_the_username_is_an_error() {
    let blind = "[[authenticator]]\ntype = \"http\"\nurl = \"https://a/me\"\nheaders = { Authorization = \"Bearer {password}\" }\n";
    assert!(errors(blind)[0].contains("log in under any name"), "{:?}", errors(blind));
    for more in ["accepted_if = { \"/email\" = \"{username}\" }", "username_pointer = \"/login\""] {
        assert_eq!(errors(&format!("{blind}{more}\n")), Vec::<String>::new());
    }
    let message = blind.replace("/me", "/me?user={username}");
    assert_eq!(errors(&message), Vec::<String>::new());
    let head = format!("{blind}username_pointer = \"/login\"\nmethod = \"HEAD\"\n");
    assert!(errors(&head)[0].contains("no body"), "{:?}", errors(&head));
}

#[test]
fn fallback_must_also_cover_the_services_in_between() {
    let service = |name: &str, covers: &str| {
        format!("{}fallback_for = [{covers}]\n", VALID.replace("\"api\"", &format!("\"{name}\"")))
    };
    let chain = |last: &str| [service("a", ""), service("b", ""), service("c", last)].concat();
    assert!(errors(&chain("\"a\""))[0].contains("b would be skipped"));
    assert_eq!(errors(&chain("\"a\", \"b\"")), Vec::<String>::new());
    assert_eq!(errors(&chain("\"b\"")), Vec::<String>::new());
    let covered = [service("a", ""), service("b", "\"a\""), service("c", "\"a\"")].concat();
    assert_eq!(errors(&covered), Vec::<String>::new());
}

#[test]
fn api_keys_table_has_no_position_in_the_chain() {
    let keys = "[[authenticator]]\ntype = \"api_keys\"\n".to_owned();
    let service = |name: &str, covers: &str| {
        format!("{}fallback_for = [{covers}]\n", VALID.replace("\"api\"", &format!("\"{name}\"")))
    };
    let chain = |tables: &[String]| {
        let text = tables.concat();
        let document = DeTable::parse(&text).unwrap();
        let mut errors = TableErrors::new();
        let value = document.get_ref().get("authenticator").unwrap();
        let chain = read_authenticators(value.get_ref(), 0, &|_| ConfigOrigin::Unset, &mut errors);
        assert_eq!(errors, []);
        let covers: Vec<_> = chain.iter().map(|one| (one.name.to_string(), one.fallback_for)).collect();
        covers
    };
    let (a, b) = (service("a", ""), service("b", "\"a\""));
    let last = chain(&[a.clone(), b.clone(), keys.clone()]);
    assert_eq!(last[1], ("b".to_owned(), AuthenticatorSet::default().with(0)));
    assert_eq!(last[2].0, "api_keys");
    assert_eq!(chain(&[keys.clone(), a.clone(), b.clone()]), last);
    assert_eq!(chain(&[a.clone(), keys.clone(), b]), last);
    assert!(errors(&[keys, a, service("c", "\"api_keys\"")].concat())[0].contains("before this one"));
}

#[test]
fn error_does_not_quote_the_value() {
    let text = VALID.replace("headers = { X-Client = \"doorward\" }", "headers = \"s3cret\"");
    assert!(!errors(&text)[0].contains("s3cret"), "{:?}", errors(&text));
}

#[test]
fn errors_of_all_tables_are_reported() {
    let text = format!("{}{}", VALID.replace("2s", "2h"), VALID.replace("api", "b").replace("500ms", "x"));
    assert_eq!(errors(&text).len(), 2);
}

/// Returns the keys of a table.
fn keys_of<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
    let error = toml::from_str::<T>("no_such_key = 1").unwrap_err();
    let (_, keys) = error.message().split_once("expected one of ").unwrap();
    keys.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

#[test]
fn shared_keys_are_those_of_the_remote_table() {
    assert_eq!(keys_of::<RemoteTable>(), remote::SHARED_KEYS);
}

#[test]
fn readme_lists_every_key_of_an_http_authenticator() {
    let keys = [keys_of::<http_table::HttpTable>(), remote::SHARED_KEYS.map(str::to_owned).to_vec()].concat();
    let readme = include_str!("../../README.md");
    let section = readme.split("## HTTP authenticators").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        assert!(section.contains(&format!("`{key}`")), "README.md lacks {key}");
    }
}

#[test]
fn renamed_key_is_an_error_with_the_new_name() {
    for (from, to, line, what) in [
        (
            "cache_ttl = \"1m\"",
            "trusted_for = \"1m\"",
            12,
            "unknown key \"trusted_for\"; did you mean \"cache_ttl\"?",
        ),
        ("name_pointer", "member", 8, "unknown key \"member\"; did you mean \"name_pointer\"?"),
        ("timeout = \"2s\"", "timeout = \"2s\"\naccepted = [200]", 12, "did you mean \"accepted_statuses\"?"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nrejected = [401]", 12, "did you mean \"rejected_statuses\"?"),
        (
            "timeout = \"2s\"",
            "timeout = \"2s\"\nunknown = [404]",
            12,
            "did you mean \"unknown_user_statuses\"?",
        ),
        (
            "timeout = \"2s\"",
            "timeout = \"2s\"\nusername = \"/name\"",
            12,
            "did you mean \"username_pointer\"?",
        ),
        ("timeout = \"2s\"", "timeout = \"2s\"\nhtml = true", 12, "did you mean \"allow_html\"?"),
        (
            "timeout = \"2s\"",
            "timeout = \"2s\"\nmax_body = \"1MiB\"",
            12,
            "did you mean \"max_response_bytes\"?",
        ),
        ("timeout = \"2s\"", "timeout = \"2s\"\nconnections = 2", 12, "did you mean \"max_connections\"?"),
        ("timeout = \"2s\"", "timeout = \"2s\"\nqueue = 2", 12, "did you mean \"queue_limit\"?"),
        (
            "timeout = \"2s\"",
            "timeout = \"2s\"\nnetwork_share = 2",
            12,
            "did you mean \"per_network_limit\"?",
        ),
        ("timeout = \"2s\"", "timeout = \"2s\"\nuser_share = 2", 12, "did you mean \"per_user_limit\"?"),
        ("timeout = \"2s\"", "timeout = \"2s\"\ncovers = []", 12, "did you mean \"fallback_for\"?"),
        ("type = \"http\"", "type = \"keys\"", 2, "\"api_keys\""),
    ] {
        let message = error(from, to);
        assert!(message.starts_with(&format!("{line}: ")) && message.contains(what), "{to}: {message}");
    }
}
