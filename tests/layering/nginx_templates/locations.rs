//! The table of locations in nginx/README.md, and which paths and headers reach an upstream.

use std::collections::BTreeSet;
use std::fs;

use super::{Block, Configuration, Directive, all, golden, parse};
use crate::support::nginx::shipped;

/// Replaces the status in the name of an error page with `NNN`.
fn name(location: &str) -> String {
    let is_status = |part: &str| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    location.split('_').map(|part| if is_status(part) { "NNN" } else { part }).collect::<Vec<_>>().join("_")
}

/// Returns the locations of all configurations. The public paths are options.
fn written_locations() -> BTreeSet<String> {
    let all: Vec<Block> = all().iter().flat_map(Configuration::locations).collect();
    let public = |location: &Block| location.has("if ($doorward_bad_open_path) {");
    assert_eq!(all.iter().filter(|location| public(location)).count(), 2, "the public paths of a site");
    all.iter()
        .filter(|location| !public(location))
        .map(|location| name(&location.name["location ".len()..]))
        .collect()
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
    // The public paths are options, so the table does not list them.
    let is_option = |cell: &&&str| cell.contains("`public_paths`");
    assert_eq!(cells.iter().filter(is_option).count(), 1, "the public paths of a site");
    let cells = cells.iter().filter(|cell| !is_option(cell));
    cells.flat_map(|cell| cell.split(", ")).map(|cell| name(cell.trim().trim_matches('`'))).collect()
}

#[test]
fn readme_lists_exactly_the_locations_and_their_paths_field_r1() {
    assert_eq!(name("@doorward_503_html"), "@doorward_NNN_html");
    assert_eq!(name("= /token"), "= /token");
    let listed = listed();
    let all: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(written_locations(), all, "left: nginx/golden, right: nginx/README.md");
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

/// Returns true if the directives refuse ambiguous paths before a registry. Only the page for requests that nginx has
/// refused itself is exempt. No client can reach it.
fn refuses_before_registry(directives: &[Directive], refused: &str) -> bool {
    let lines = [
        refused,
        "if ($uri = /_doorward_400) {",
        "set $doorward_refused \"\";",
        "}",
        "if ($doorward_refused) {",
        "return 418;",
        "}",
    ];
    directives.windows(lines.len()).any(|some| some.iter().map(|d| &d.text[..]).eq(lines))
}

#[test]
fn every_server_refuses_ambiguous_paths_field_r1() {
    assert!(refuses(&parse("x", "if ($a) {\n    return 418;\n}\n").directives, "a"));
    assert!(!refuses(&parse("x", "if ($a) {\n    return 200;\n}\n").directives, "a"));
    let (mut by_nginx, mut by_doorward, mut sites) = (0, 0, 0);
    for configuration in all() {
        for server in configuration.protected_servers() {
            // doorward checks the paths of every request that declares a registry.
            let declares = server.has("proxy_set_header X-Auth-Rewrite yes;");
            // Before nginx chooses the location.
            let level: Vec<Directive> =
                server.directives.iter().filter(|d| d.location().is_none()).cloned().collect();
            let is_site = refuses(&level, "doorward_bad_site_path");
            let refused = ["$doorward_bad_path", "$doorward_bad_path$doorward_bad_body"];
            let is_refused = refused
                .iter()
                .any(|value| refuses_before_registry(&level, &format!("set $doorward_refused {value};")));
            assert!(is_site || is_refused || declares, "{}", server.place);
            assert_eq!(is_site, refuses(&level, "doorward_bad_body"), "{}", server.place);
            *match (is_site, is_refused) {
                (true, _) => &mut sites,
                (false, true) => &mut by_nginx,
                (false, false) => &mut by_doorward,
            } += 1;
            let has_v2 = server.starts("location ^~ /v2/ {");
            assert_eq!(has_v2, !is_site, "{}", server.place);
        }
        // A location of a site without an auth check passes on only paths with one reading.
        for location in configuration.locations().iter().filter(|location| location.starts("proxy_pass ")) {
            let is_open = location.has("auth_request off;") && location.name.starts_with("location /");
            assert_eq!(
                is_open,
                refuses(&location.directives, "doorward_bad_open_path"),
                "{}",
                location.place
            );
        }
    }
    assert_eq!((by_nginx, by_doorward, sites), (3, 2, 2));
    // The maps are allow lists: a request that they do not list is refused.
    for (name, variable) in
        [("ecr", "doorward_bad_path"), ("site", "doorward_bad_site_path"), ("site", "doorward_bad_open_path")]
    {
        let maps = golden(name).blocks(&format!("map $request_uri ${variable}"));
        let lines: Vec<&str> = maps[0].directives[1..]
            .iter()
            .map(|d| &d.text[..])
            .filter(|text| *text != "\"\" \"\";")
            .collect();
        assert_eq!((lines[0], lines[2]), ("default 1;", "}"), "{variable}");
        assert!(lines[1].ends_with("\\z\" \"\";") && lines.len() == 3, "{variable}: {lines:?}");
    }
}

/// Returns the headers that a location hides from clients: its own, or else those of its server.
fn hidden(server: &Block, location: &Block) -> BTreeSet<String> {
    let names = |directives: &mut dyn Iterator<Item = &Directive>| -> BTreeSet<String> {
        directives
            .filter_map(|d| d.text.strip_prefix("proxy_hide_header ")?.strip_suffix(';').map(str::to_owned))
            .collect()
    };
    let own = names(&mut location.directives.iter());
    match own.is_empty() {
        true => names(&mut server.directives.iter().filter(|d| d.location().is_none())),
        false => own,
    }
}

#[test]
fn every_location_with_proxy_pass_hides_identity_headers_from_clients() {
    let template = fs::read_to_string(shipped().join("templates/hide_headers.conf")).unwrap();
    let names: Vec<&str> = template
        .lines()
        .filter_map(|line| line.strip_prefix("proxy_hide_header ")?.strip_suffix(';'))
        .collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.contains("{{")).collect();
    assert!(names.len() >= 12, "{names:?}");
    let headers = fs::read_to_string(shipped().join("templates/headers.conf")).unwrap();
    for name in &names {
        let set = format!("proxy_set_header {name} ");
        assert!(headers.lines().any(|line| line.starts_with(&set)), "{name} of the client is forwarded");
    }
    let mut count = 0;
    for configuration in all() {
        for server in configuration.protected_servers() {
            let inner =
                Configuration { name: configuration.name.clone(), directives: server.directives.clone() };
            for location in inner.locations().iter().filter(|location| location.starts("proxy_pass ")) {
                // No client gets a response of the auth subrequest.
                if location.name == "location = /_doorward" {
                    continue;
                }
                count += 1;
                let hidden = hidden(&server, location);
                for name in &names {
                    assert!(hidden.contains(*name), "{}: {} shows {name}", location.place, location.name);
                }
            }
        }
    }
    assert!(count >= 12, "{count}");
}
