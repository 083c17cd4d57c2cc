//! Which module can import which.

use super::{Source, assert_none, example, sources};

/// The top-level modules of the crate that a line of `source` names: by `crate::`, or by enough
/// `super::` to reach the top.
fn imported(source: &Source, line: &str) -> Vec<String> {
    let path = source.name.trim_end_matches(".rs");
    // In src/a/b.rs, super is a and super::super is the crate.
    let depth = path.split('/').count();
    let to_the_top = "super::".repeat(depth);
    let word =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for way in ["crate::", &to_the_top] {
        for (at, _) in line.match_indices(way) {
            let rest = &line[at + way.len()..];
            match rest.strip_prefix('{') {
                // `use crate::{a::X, b}`: each of them.
                Some(list) => found.extend(list.split(',').map(|part| word(part.trim()))),
                None => found.push(word(rest)),
            }
        }
    }
    found
}

/// Whether `source` is the module `name` or below it.
fn within(source: &Source, name: &str) -> bool {
    source.name == format!("{name}.rs") || source.name.starts_with(&format!("{name}/"))
}

/// The lines of `importer` that name one of `others`.
fn crossings(source: &Source, importer: &str, others: &[&str]) -> Vec<String> {
    if !within(source, importer) {
        return Vec::new();
    }
    source.lines(|line| imported(source, line).iter().any(|name| others.contains(&&name[..])))
}

fn assert_apart(importer: &str, others: &[&str]) {
    let sources = sources();
    assert!(sources.iter().any(|source| within(source, importer)), "there is no {importer}");
    let broken: Vec<String> = sources.iter().flat_map(|source| crossings(source, importer, others)).collect();
    assert_none(&format!("{importer} imports none of {others:?}"), &broken);
}

#[test]
fn import_rules_detect_a_forbidden_import() {
    let crossing =
        |name: &str, line: &str| crossings(&example(name, line), "gate", &["http", "server"]).len();
    assert_eq!(crossing("gate.rs", "use crate::http::Front;"), 1);
    assert_eq!(crossing("gate/cache.rs", "use crate::{clock::Clock, http::Front};"), 1);
    assert_eq!(crossing("gate/cache.rs", "use super::super::server::Server;"), 1);
    assert_eq!(
        crossing("gate/throttle/table.rs", "use super::super::server::Server;"),
        0,
        "a module of gate's own"
    );
    assert_eq!(crossing("gate/cache.rs", "use crate::clock::Clock;"), 0);
    assert_eq!(crossing("gate/cache.rs", "//! Unlike [`crate::http`]"), 0);
    assert_eq!(crossing("http/auth.rs", "use crate::http::Front;"), 0);
    assert_eq!(crossing("gateway.rs", "use crate::http::Front;"), 0);
}

#[test]
fn leaf_modules_import_no_other_module() {
    for leaf in ["clock", "dialect", "identity", "metrics", "network"] {
        let found: Vec<Source> = sources().into_iter().filter(|source| within(source, leaf)).collect();
        assert_eq!(found.len(), 1, "{leaf} is one file");
        let broken: Vec<String> =
            found.iter().flat_map(|s| s.lines(|l| !imported(s, l).is_empty())).collect();
        assert_none("a leaf imports nothing of ours", &broken);
    }
}

#[test]
fn permissions_import_no_upper_layer() {
    assert_apart("rights", &["authn", "gate", "http", "server", "settings", "cli"]);
}

#[test]
fn upstream_imports_no_upper_layer() {
    assert_apart("upstream", &["gate", "http", "server", "settings", "cli"]);
}

#[test]
fn token_imports_no_upper_layer() {
    assert_apart("token", &["authn", "gate", "http", "server", "settings", "cli", "upstream"]);
}

#[test]
fn authn_imports_neither_pipeline_nor_http() {
    assert_apart("authn", &["gate", "upstream", "http", "server", "settings", "cli"]);
}

#[test]
fn pipeline_imports_neither_http_nor_config_nor_server() {
    assert_apart("gate", &["http", "settings", "server", "cli"]);
}

#[test]
fn http_imports_neither_config_nor_server() {
    assert_apart("http", &["settings", "server", "cli"]);
}

#[test]
fn only_cli_and_server_import_the_upper_layers() {
    assert_apart("settings", &["http", "server", "cli"]);
    assert_apart("server", &["cli"]);
}

/// Where actix may be named.
fn is_front(source: &Source) -> bool {
    within(source, "http") || within(source, "server") || source.name == "cli/serve.rs"
}

#[test]
fn actix_is_used_only_by_http_and_server() {
    let names_actix = |line: &str| line.contains("actix_");
    assert_eq!(example("gate.rs", "use actix_web::web;").lines(names_actix).len(), 1);
    let (front, rest): (Vec<Source>, Vec<Source>) = sources().into_iter().partition(is_front);
    assert!(front.iter().any(|source| !source.lines(names_actix).is_empty()), "nobody names actix");
    // What telemetry silences it names in a string.
    let in_code = |line: &str| names_actix(line) && !line.contains("\"actix_");
    let broken: Vec<String> = rest.iter().flat_map(|source| source.lines(in_code)).collect();
    assert_none("actix is named in src/http*, src/server* and src/cli/serve.rs alone", &broken);
}

#[test]
fn responses_are_built_only_in_reply() {
    let builds = |line: &str| {
        ["HttpResponse::", "HttpResponseBuilder::", "Response::", "ResponseBuilder::", "StatusCode::"]
            .iter()
            .any(|word| line.contains(word))
    };
    assert_eq!(example("http/auth.rs", "    HttpResponse::Ok().finish()").lines(builds).len(), 1);
    let sources = sources();
    let (reply, rest): (Vec<&Source>, Vec<&Source>) =
        sources.iter().partition(|source| source.name == "http/reply.rs");
    assert!(reply.iter().any(|source| !source.lines(builds).is_empty()), "src/http/reply.rs builds none");
    let broken: Vec<String> = rest.iter().flat_map(|source| source.lines(builds)).collect();
    assert_none("an answer is built in src/http/reply.rs alone", &broken);
}

#[test]
fn success_status_for_nginx_is_written_in_one_place() {
    let sources = sources();
    let reply = sources.iter().find(|source| source.name == "http/reply.rs").expect("src/http/reply.rs");
    let text = &reply.text;
    let allow = text.find("fn allow(").expect("a function that admits");
    let after = text[allow..].find("\n}\n").expect("its end") + allow;
    assert!(text[allow..after].contains("StatusCode::OK"), "allow writes 200");
    // The others are the text for probes and the JSON of tokens, which nginx never asks for.
    assert_eq!(text.matches("StatusCode::OK").count(), 3, "one for nginx, one for probes, one for clients");
    assert!(!text.contains("StatusCode::ACCEPTED") && !text.contains("HttpResponse::Ok"));
}
