//! The table of locations in nginx/README.md.

use std::collections::BTreeSet;
use std::fs;

use super::{Directive, all, has, parse, snippet};
use crate::support::nginx::shipped;

/// Returns the name of a location. `NNN` replaces the status in the name of an error page.
fn name(text: &str) -> Option<String> {
    let name = text.strip_prefix("location ")?.strip_suffix(" {")?;
    let is_status = |part: &str| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    Some(name.split('_').map(|part| if is_status(part) { "NNN" } else { part }).collect::<Vec<_>>().join("_"))
}

/// Returns the locations of the files.
fn shipped_locations() -> BTreeSet<String> {
    all().iter().filter_map(|directive| name(&directive.text)).collect()
}

/// Returns the first cells of the table.
fn listed() -> Vec<String> {
    let text = fs::read_to_string(shipped().join("README.md")).unwrap();
    let table = text.split("## Every location").nth(1).and_then(|rest| rest.split("## What to know").next());
    let rows = table
        .expect("nginx/README.md has no table of locations")
        .lines()
        .filter(|line| line.starts_with("| `"));
    let cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).collect();
    cells
        .iter()
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect()
}

#[test]
fn readme_lists_exactly_the_locations_and_their_paths_field_r1() {
    assert_eq!(name("location @doorward_503_html {").as_deref(), Some("@doorward_NNN_html"));
    assert_eq!(name("location = /token {").as_deref(), Some("= /token"));
    let (shipped, listed) = (shipped_locations(), listed());
    let all: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(shipped, all, "left: the files, right: nginx/README.md");
    assert_eq!(
        listed.iter().filter(|name| *name == "/").count(),
        2,
        "the location / of a registry and of a site"
    );
}

/// Returns true if the directives contain the three lines that refuse a request.
fn refuses(directives: &[Directive], variable: &str) -> bool {
    let lines = [format!("if (${variable}) {{"), "return 418;".to_owned(), "}".to_owned()];
    directives.windows(3).any(|three| three.iter().map(|d| &d.text).eq(&lines))
}

#[test]
fn every_server_refuses_ambiguous_paths_field_r1() {
    assert!(refuses(&parse("x", "if ($a) {\n    return 418;\n}\n"), "a"));
    assert!(!refuses(&parse("x", "if ($a) {\n    return 200;\n}\n"), "a"));
    for (file, path) in [("registry", "doorward_bad_path"), ("site", "doorward_bad_site_path")] {
        let answers = snippet(&format!("doorward-{file}-error-pages.conf"));
        let first = answers.iter().position(|d| d.text.starts_with("location ")).unwrap();
        assert!(refuses(&answers[..first], path), "{file}: {path}");
        assert!(refuses(&answers[..first], "doorward_bad_body"), "{file}");
    }
    assert!(refuses(&snippet("doorward-open.conf"), "doorward_bad_open_path"));
    // Every file with locations includes one of the two.
    for (file, include) in [
        ("doorward-registry.conf", "registry"),
        ("doorward-registry-tokens.conf", "registry"),
        ("doorward-ecr.conf", "ecr"),
        ("doorward-ecr-error-pages.conf", "registry"),
        ("doorward-site.conf", "site"),
    ] {
        let include = format!("include doorward/doorward-{include}-error-pages.conf;");
        assert!(has(&snippet(file), &include), "{file}: {include}");
    }
    // The maps are allow lists: a request that they do not list is refused.
    let maps = snippet("doorward-maps.conf");
    for variable in ["doorward_bad_path", "doorward_bad_site_path", "doorward_bad_open_path"] {
        let at = maps.iter().position(|d| d.text == format!("map $request_uri ${variable} {{")).unwrap();
        assert_eq!(maps[at + 1].text, "default 1;", "{variable}");
        assert!(maps[at + 2].text.ends_with("\\z\" \"\";") && maps[at + 3].text == "}", "{variable}");
    }
}

#[test]
fn every_snippet_with_proxy_pass_hides_identity_headers_from_clients() {
    for file in [
        "registry-proxy",
        "registry-tokens-proxy",
        "site-proxy",
        "tls-upstream",
        "token-proxy",
        "ecr-upstream-refused",
        "open",
    ] {
        let name = format!("doorward-{file}.conf");
        assert!(has(&snippet(&name), "include doorward/doorward-hide-headers.conf;"), "{name}");
    }
    for file in ["registry-proxy", "site-proxy"] {
        let name = format!("doorward-{file}.conf");
        assert!(
            has(&snippet(&name), "include doorward/doorward-protect.conf;"),
            "{name} does not include doorward-protect.conf"
        );
    }
    assert!(!broken_names().is_empty());
}

/// Returns the headers that are hidden. Each of them is also removed from the request, or set.
fn broken_names() -> Vec<String> {
    let headers = snippet("doorward-headers.conf");
    let hidden = snippet("doorward-hide-headers.conf");
    let names = hidden.iter().filter_map(|d| d.text.strip_prefix("proxy_hide_header ")?.strip_suffix(';'));
    let names: Vec<String> = names.map(str::to_owned).collect();
    for name in &names {
        let set = format!("proxy_set_header {name} ");
        assert!(headers.iter().any(|d| d.text.starts_with(&set)), "{name} of the client is forwarded");
    }
    names
}
