//! Rules for the configuration that `doorward proxy-config nginx` writes. They are checked in the files of
//! `nginx/golden`, which contain every block of the templates and which the command writes again in another test.

mod locations;
mod protection;
mod tls_upstream;
mod tokens;

use std::fs;

use super::{assert_none, files};
use crate::support::nginx::shipped;

/// A directive with its file, line and text.
#[derive(Clone)]
struct Directive {
    place: String,
    text: String,
    /// The blocks around the directive, the outermost first. A directive that opens a block is in this block.
    blocks: Vec<String>,
}

impl Directive {
    /// Returns the location of the directive.
    fn location(&self) -> Option<&str> {
        self.blocks.iter().find_map(|block| block.strip_prefix("location "))
    }
}

/// A server or a location: its name and its directives.
struct Block {
    place: String,
    name: String,
    directives: Vec<Directive>,
}

impl Block {
    fn has(&self, wanted: &str) -> bool {
        self.directives.iter().any(|directive| directive.text == wanted)
    }

    fn starts(&self, start: &str) -> bool {
        self.directives.iter().any(|directive| directive.text.starts_with(start))
    }

    /// Checks that every one of these lines is in the block.
    fn assert_has(&self, all: &[&str]) {
        for wanted in all {
            assert!(self.has(wanted), "{}: {} has no {wanted}", self.place, self.name);
        }
    }
}

/// A generated configuration.
struct Configuration {
    name: String,
    directives: Vec<Directive>,
}

/// Parses a configuration with one directive on each line.
fn parse(name: &str, text: &str) -> Configuration {
    let code = |line: &str| {
        let comment = line.find(" #").or_else(|| line.starts_with('#').then_some(0)).unwrap_or(line.len());
        line[..comment].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (mut blocks, mut directives) = (Vec::<String>::new(), Vec::new());
    for (at, text) in text.lines().enumerate().map(|(at, line)| (at + 1, code(line.trim()))) {
        if text.is_empty() {
            continue;
        }
        if let Some(block) = text.strip_suffix(" {") {
            blocks.push(block.to_owned());
        }
        let place = format!("{name}:{at}");
        directives.push(Directive { place, text: text.clone(), blocks: blocks.clone() });
        if text == "}" {
            blocks.pop();
        }
    }
    assert!(blocks.is_empty(), "{name}: {blocks:?} is not closed");
    Configuration { name: name.to_owned(), directives }
}

impl Configuration {
    /// Returns the outermost blocks that begin with `start`.
    fn blocks(&self, start: &str) -> Vec<Block> {
        let mut found: Vec<Block> = Vec::new();
        let mut depth = None;
        for directive in &self.directives {
            let own = directive.blocks.iter().position(|block| block.starts_with(start));
            if let (Some(at), None) = (own, depth) {
                let (place, name) = (directive.place.clone(), directive.blocks[at].clone());
                found.push(Block { place, name, directives: Vec::new() });
                depth = Some(at);
            }
            let Some(at) = depth else { continue };
            if let Some(block) = found.last_mut() {
                block.directives.push(directive.clone());
            }
            if directive.text == "}" && directive.blocks.len() == at + 1 {
                depth = None;
            }
        }
        found
    }

    fn locations(&self) -> Vec<Block> {
        self.blocks("location ")
    }

    /// Returns the servers that protect something.
    fn protected_servers(&self) -> Vec<Block> {
        self.blocks("server")
            .into_iter()
            .filter(|server| server.name == "server" && server.starts("auth_request "))
            .collect()
    }
}

/// Returns the generated configurations.
fn all() -> Vec<Configuration> {
    let found = files(&shipped().join("golden"), ".conf");
    assert!(found.len() >= 6, "{found:?}");
    let read = |path: &std::path::PathBuf| {
        parse(&path.file_name().unwrap().to_string_lossy(), &fs::read_to_string(path).unwrap())
    };
    found.iter().map(read).collect()
}

/// Returns the configuration with this name.
fn golden(name: &str) -> Configuration {
    let found = all().into_iter().find(|configuration| configuration.name == format!("{name}.conf"));
    found.unwrap_or_else(|| panic!("there is no nginx/golden/{name}.conf"))
}

fn all_directives() -> Vec<Directive> {
    let all: Vec<Directive> = all().into_iter().flat_map(|configuration| configuration.directives).collect();
    assert!(all.len() > 1000, "only {} directives were found", all.len());
    all
}

/// Returns the directives that break a rule.
fn broken(directives: &[Directive], breaks: impl Fn(&Directive) -> bool) -> Vec<String> {
    directives.iter().filter(|d| breaks(d)).map(|d| format!("{}: {}", d.place, d.text)).collect()
}

/// Returns the texts of an example that break a rule.
fn example(text: &str, breaks: impl Fn(&Directive) -> bool) -> usize {
    broken(&parse("x", text).directives, breaks).len()
}

/// Returns true if an error page turns a refusal into a success or a redirect. The answer to a preflight of a browser is
/// no refusal, and its location returns a fixed response.
fn turns_into_success(directive: &Directive) -> bool {
    let text = &directive.text;
    text.starts_with("error_page ")
        && (text.contains("=2") || text.contains("= 2") || text.contains("=3"))
        && text != "error_page 417 =204 @doorward_preflight;"
}

#[test]
fn error_page_never_turns_a_refusal_into_success_pitfall_p6() {
    assert_eq!(example("    error_page 401 =200 /ok;\nerror_page 404 @x; # =200\n", turns_into_success), 1);
    assert_none("error_page … =2xx", &broken(&all_directives(), turns_into_success));
    let preflights: Vec<Block> = all()
        .iter()
        .flat_map(Configuration::locations)
        .filter(|location| location.name == "location @doorward_preflight")
        .collect();
    assert_eq!(preflights.len(), 2, "a registry and a site");
    for preflight in preflights {
        preflight.assert_has(&["auth_request off;", "return 204;"]);
        assert!(!preflight.starts("proxy_pass "), "{}", preflight.place);
    }
}

#[test]
fn nginx_caches_no_response_of_doorward_pitfall_p5() {
    let caches = |d: &Directive| d.text.starts_with("proxy_cache") && d.text != "proxy_cache off;";
    assert_eq!(example("proxy_cache z;\nproxy_cache_valid 200 10m;", caches), 2);
    assert_none("proxy_cache", &broken(&all_directives(), caches));
}

#[test]
fn auth_location_sets_no_variable_of_the_main_request_pitfall_p8() {
    // The two requests have different values of these variables. A map of them would be computed in one request and
    // used in the other. Maps of an upstream response are excluded: `tls_upstream` checks that no auth subrequest reads
    // them.
    let differs = |d: &Directive| {
        let names = ["$uri", "$document_uri", "$args", "$query_string", "$upstream_"];
        d.text.starts_with("map ")
            && names.iter().any(|name| d.text.contains(name))
            && !tls_upstream::is_of_a_response(&d.text)
    };
    assert_eq!(example("map $uri $x {\n}", differs), 1);
    assert_none("a map of $uri, $args or $upstream_*", &broken(&all_directives(), differs));
}

/// Returns the variables that more than one map of a configuration defines.
fn defined_twice(configuration: &Configuration) -> Vec<String> {
    let names = configuration.directives.iter().filter_map(|directive| {
        let variable = directive.text.strip_prefix("map ")?.strip_suffix(" {")?.rsplit(' ').next()?;
        Some(format!("{}: {variable}", configuration.name))
    });
    let mut seen = std::collections::BTreeSet::new();
    names.filter(|name| !seen.insert(name.clone())).collect()
}

#[test]
fn no_two_maps_define_the_same_variable() {
    let twice =
        parse("x", "map $a $doorward_b {\n}\nmap \"$c $d\" $doorward_b {\n}\nmap $b $doorward_c {\n}\n");
    assert_eq!(defined_twice(&twice), ["x: $doorward_b"]);
    // nginx uses the last of two such maps and does not report the other one.
    let found: Vec<String> = all().iter().flat_map(defined_twice).collect();
    assert_none("maps of the same variable", &found);
}

#[test]
fn log_formats_contain_no_password_pitfall_p27() {
    let logs = |d: &Directive| {
        let text = &d.text;
        // The client's header may be read only for the auth subrequest, and in maps that remove everything else.
        let read = [
            "proxy_set_header Authorization ",
            "map $http_authorization ",
            "map \"$http_authorization$content_type\\n$request_uri\" $doorward_has_control_byte ",
            "\"~^[",
            "\"~*^bearer ",
        ];
        // Headers between doorward and nginx come from the response of doorward. They are sent to the upstream or to
        // doorward.
        let own = ["auth_request_set ", "proxy_set_header ", "map \"\" $doorward_proxy_secret "];
        let named = text.contains("$http_authorization") || text.contains("$doorward_authorization");
        let secret =
            ["$doorward_upstream_authorization", "$upstream_http_x_upstream_", "$doorward_proxy_secret"];
        named && !read.iter().any(|start| text.starts_with(start))
            || secret.iter().any(|name| text.contains(name))
                && !own.iter().any(|start| text.starts_with(start))
    };
    for bad in ["$http_authorization", "$doorward_upstream_authorization", "$doorward_proxy_secret"] {
        assert_eq!(example(&format!("log_format x '{bad}';"), logs), 1);
    }
    assert_none("a password in a log or response", &broken(&all_directives(), logs));
}

#[test]
fn no_part_of_a_template_is_left_in_a_configuration() {
    let left =
        |d: &Directive| ["{{", "}}", "{%", "%}", "NGX_DOORWARD_"].iter().any(|part| d.text.contains(part));
    assert_eq!(example("server {{ a }};", left), 1);
    assert_none("a tag of a template", &broken(&all_directives(), left));
}
