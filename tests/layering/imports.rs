//! The layers of imports, and a check for import cycles between files.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, assert_none, example, sources};

/// The layers of `src`, from the bottom up. A module may import modules of its own line and of the lines above it.
const LAYERS: &[&[&str]] = &[
    &["clock", "dialect", "identity", "metrics", "network"],
    &["permissions", "reload", "request"],
    &["atomic_write", "authn", "token", "upstream"],
    &["policy"],
    &["pipeline"],
    &["http", "config"],
    &["server", "telemetry"],
    &["cli", "internals"],
    &["main", "lib"],
];

/// Modules of one line that do import each other: importer and imported. Every other pair of one line stays apart.
const NEIGHBOURS: &[(&str, &str)] = &[("upstream", "authn"), ("request", "permissions")];

/// Returns the top-level module of a file.
fn top(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or(name)
}

fn layer(module: &str) -> usize {
    let place = LAYERS.iter().position(|line| line.contains(&module));
    place.unwrap_or_else(|| panic!("module {module} has no layer; add it to LAYERS"))
}

/// Returns the paths that a file imports or names, from the crate's root: `["authn", "hash", "Format"]`.
fn imports(source: &Source) -> BTreeSet<Vec<String>> {
    let code: String = source.code().into_iter().map(|(_, line)| format!("{line}\n")).collect();
    let module: Vec<String> = source.name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let mut found = BTreeSet::new();
    for (at, start) in ["crate::", "super::", "self::"].iter().flat_map(|way| code.match_indices(way)) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let mut base = match start {
            "crate::" => Vec::new(),
            _ => module.clone(),
        };
        let mut rest = &code[at..];
        loop {
            if let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            } else if let Some(after) = rest.strip_prefix("crate::").or_else(|| rest.strip_prefix("self::")) {
                rest = after;
            } else {
                break;
            }
        }
        expand(&base, rest, &mut found);
    }
    found
}

/// Adds the path that `text` begins with to `base`, or each path of its list in braces.
fn expand(base: &[String], text: &str, found: &mut BTreeSet<Vec<String>>) {
    let length = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (word, rest) = text.split_at(length);
    let mut path = base.to_vec();
    if !word.is_empty() && word != "self" {
        path.push(word.to_owned());
    }
    if let Some(rest) = rest.strip_prefix("::") {
        expand(&path, rest, found);
    } else if let (true, Some(list)) = (word.is_empty(), text.strip_prefix('{')) {
        for item in items(list) {
            expand(&path, item, found);
        }
    } else {
        found.insert(path);
    }
}

/// Returns the items of a list up to its closing brace, split at the commas outside of inner braces.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut from, mut items) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(list[from..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(list[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

/// Returns the imports of a file that break the order of the layers.
fn crossings(source: &Source) -> Vec<String> {
    let importer = top(&source.name);
    let mut broken = Vec::new();
    for path in imports(source) {
        let Some(imported) = path.first().map(String::as_str) else { continue };
        if imported == importer || !LAYERS.iter().any(|line| line.contains(&imported)) {
            continue;
        }
        let is_above = layer(imported) > layer(importer);
        let is_beside = layer(imported) == layer(importer) && !NEIGHBOURS.contains(&(importer, imported));
        if is_above || is_beside {
            broken.push(format!("src/{}: {importer} imports {}", source.name, path.join("::")));
        }
    }
    broken
}

/// Returns the files that each file imports. The parent modules of a file are left out, because a file may use what its
/// parent module defines.
fn graph(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeSet<&str> = sources.iter().map(|source| source.name.trim_end_matches(".rs")).collect();
    let file_of = |path: &[String]| {
        (1..=path.len()).rev().map(|n| path[..n].join("/")).find(|name| names.contains(name.as_str()))
    };
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let name = source.name.trim_end_matches(".rs").to_owned();
        let targets = imports(source).into_iter().filter_map(|path| file_of(&path));
        let targets = targets.filter(|target| *target != name && !name.starts_with(&format!("{target}/")));
        edges.entry(name.clone()).or_default().extend(targets);
    }
    edges
}

/// Returns a cycle of files that import each other, if there is one.
fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit<'e>(
        at: &'e str,
        edges: &'e BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<&'e str>,
        done: &mut BTreeSet<&'e str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|one| *one == at) {
            return Some(way[start..].iter().map(|one| (*one).to_owned()).collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found = edges.get(at)?.iter().find_map(|next| visit(next, edges, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|at| visit(at, edges, &mut Vec::new(), &mut done))
}

#[test]
fn import_rules_fail_on_broken_examples() {
    let broken = |name: &str, line: &str| crossings(&example(name, line)).len();
    assert_eq!(broken("pipeline.rs", "use crate::http::AppState;"), 1);
    assert_eq!(broken("pipeline/cache.rs", "use crate::{clock::Clock, http::{self, AppState}};"), 2);
    assert_eq!(broken("pipeline/cache.rs", "use super::super::server::Server;"), 1);
    assert_eq!(
        broken("pipeline/throttle/table.rs", "use super::super::server::Server;"),
        0,
        "an import of its own layer"
    );
    assert_eq!(broken("pipeline/cache.rs", "use crate::clock::Clock;"), 0);
    assert_eq!(broken("pipeline/cache.rs", "//! Unlike [`crate::http`]"), 0);
    assert_eq!(broken("authn.rs", "use crate::token::TokenIssuer;"), 1, "an import of the same line");
    assert_eq!(broken("upstream/ecr.rs", "use crate::authn::http::CallError;"), 0);

    let files = [
        example("a.rs", "use crate::b::X;"),
        example("b.rs", "use self::c::Y;\npub use self::c::Z;"),
        example("b/c.rs", "use super::X;\nuse crate::d::{e, f};"),
        example("d.rs", ""),
    ];
    assert_eq!(cycle(&graph(&files)), None);
    let closed: Vec<Source> =
        files.into_iter().chain([example("d/f.rs", "fn f() { crate::a::g() }")]).collect();
    assert_eq!(cycle(&graph(&closed)), Some(["a", "b", "b/c", "d/f"].map(str::to_owned).to_vec()));
}

#[test]
fn every_module_imports_lower_layers_only() {
    let broken: Vec<String> = sources().iter().flat_map(crossings).collect();
    assert_none("a module must import only lower layers", &broken);
}

#[test]
fn files_have_no_import_cycle() {
    assert_eq!(cycle(&graph(&sources())), None);
}

/// Returns whether actix may be named in a file.
fn is_http_layer(source: &Source) -> bool {
    matches!(top(&source.name), "http" | "server")
        || ["cli/serve.rs", "internals/auth_service.rs"].contains(&&*source.name)
}

#[test]
fn only_http_server_and_serve_command_name_actix() {
    let names_actix = |line: &str| line.contains("actix_");
    assert_eq!(example("pipeline.rs", "use actix_web::web;").lines(names_actix).len(), 1);
    let (front, rest): (Vec<Source>, Vec<Source>) = sources().into_iter().partition(is_http_layer);
    assert!(front.iter().any(|source| !source.lines(names_actix).is_empty()), "no file uses actix");
    // The telemetry module names actix in a string, to silence its log.
    let in_code = |line: &str| names_actix(line) && !line.contains("\"actix_");
    let broken: Vec<String> = rest.iter().flat_map(|source| source.lines(in_code)).collect();
    assert_none(
        "actix must be used only in src/http*, src/server*, src/cli/serve.rs and src/internals/auth_service.rs",
        &broken,
    );
}

#[test]
fn only_response_rs_builds_responses() {
    let builds = |line: &str| {
        ["HttpResponse::", "HttpResponseBuilder::", "Response::", "ResponseBuilder::", "StatusCode::"]
            .iter()
            .any(|word| names_type(line, word))
    };
    assert_eq!(example("http/auth.rs", "    HttpResponse::Ok().finish()").lines(builds).len(), 1);
    let sources = sources();
    let (response, rest): (Vec<&Source>, Vec<&Source>) =
        sources.iter().partition(|source| source.name == "http/response.rs");
    assert!(
        response.iter().any(|source| !source.lines(builds).is_empty()),
        "src/http/response.rs builds no response"
    );
    let broken: Vec<String> = rest.iter().flat_map(|source| source.lines(builds)).collect();
    assert_none("responses must be built only in src/http/response.rs", &broken);
}

#[test]
fn only_allow_writes_200_to_the_proxy() {
    let sources = sources();
    let response = sources
        .iter()
        .find(|source| source.name == "http/response.rs")
        .expect("src/http/response.rs is missing");
    let text = &response.text;
    let allow = text.find("fn allow_response(").expect("fn allow_response is missing");
    let after = text[allow..].find("\n}\n").expect("the end of fn allow_response is missing") + allow;
    assert!(text[allow..after].contains("StatusCode::OK"), "allow_response does not return 200");
    // The other two lines are the text for health checks and the JSON of tokens. The proxy never requests them.
    assert_eq!(
        text.matches("StatusCode::OK").count(),
        3,
        "one for the proxy, one for health checks, one for clients"
    );
    assert!(!text.contains("StatusCode::ACCEPTED") && !text.contains("HttpResponse::Ok"));
}

/// Returns whether a line names this type, and not a type whose name only ends with it.
fn names_type(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].chars().next_back().is_some_and(char::is_alphanumeric))
}
