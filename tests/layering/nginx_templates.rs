//! Rules for the nginx templates.

mod locations;
mod tls_upstream;
mod tokens;

use std::fs;
use std::path::PathBuf;

use super::{assert_none, files};
use crate::support::nginx::shipped;

/// A directive with its file, line and text.
struct Directive {
    place: String,
    text: String,
}

impl AsRef<Self> for Directive {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Returns the directives of a file without comments. The files have one directive on each line.
fn directives(path: &PathBuf) -> Vec<Directive> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    parse(&name, &text)
}

fn parse(name: &str, text: &str) -> Vec<Directive> {
    let code = |line: &str| {
        let comment = line.find(" #").or_else(|| line.starts_with('#').then_some(0)).unwrap_or(line.len());
        line[..comment].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, code(line)));
    lines
        .filter(|(_, text)| !text.is_empty())
        .map(|(line, text)| Directive { place: format!("{name}:{line}"), text })
        .collect()
}

fn all() -> Vec<Directive> {
    let snippets = files(&shipped().join("snippets"), ".conf");
    assert!(snippets.len() >= 5, "{}", snippets.len());
    let all: Vec<Directive> = snippets.iter().flat_map(directives).collect();
    assert!(all.len() > 100, "only {} directives were found", all.len());
    all
}

fn snippet(name: &str) -> Vec<Directive> {
    directives(&shipped().join("snippets").join(name))
}

/// Returns the files with a location that has a proxy_pass.
fn whole() -> Vec<Vec<Directive>> {
    let names = ["doorward-registry.conf", "doorward-ecr.conf", "doorward-site.conf", "doorward-auth.conf"];
    names.iter().map(|name| snippet(name)).collect()
}

/// Returns the directives that break a rule.
fn broken(directives: &[impl AsRef<Directive>], breaks: impl Fn(&str) -> bool) -> Vec<String> {
    directives
        .iter()
        .map(AsRef::as_ref)
        .filter(|d| breaks(&d.text))
        .map(|d| format!("{}: {}", d.place, d.text))
        .collect()
}

fn has(directives: &[Directive], wanted: &str) -> bool {
    directives.iter().any(|directive| directive.text == wanted)
}

/// Returns true if an error page turns a refusal into a success or a redirect.
fn turns_into_success(text: &str) -> bool {
    text.starts_with("error_page ") && (text.contains("=2") || text.contains("= 2") || text.contains("=3"))
}

#[test]
fn error_page_never_turns_a_refusal_into_success_pitfall_p6() {
    let bad = parse("x", "    error_page 401 =200 /ok;\nerror_page 404 @x; # =200\n");
    assert_eq!(broken(&bad, turns_into_success).len(), 1);
    assert_none("error_page … =2xx", &broken(&all(), turns_into_success));
}

#[test]
fn nginx_caches_no_response_of_doorward_pitfall_p5() {
    let caches = |text: &str| text.starts_with("proxy_cache") && text != "proxy_cache off;";
    assert_eq!(broken(&parse("x", "proxy_cache z;\nproxy_cache_valid 200 10m;"), caches).len(), 2);
    assert_none("proxy_cache", &broken(&all(), caches));
    assert!(
        has(&snippet("doorward-auth-subrequest.conf"), "proxy_cache off;"),
        "an inherited proxy_cache is not disabled"
    );
}

#[test]
fn no_directive_weakens_or_delays_the_auth_subrequest_pitfalls_p28_and_p48() {
    let weakens = |text: &str| {
        text.starts_with("satisfy any")
            || text.starts_with("auth_delay")
            || text.starts_with("proxy_intercept_errors on")
    };
    // Files that are used after the auth subrequest have rules of their own in `tls_upstream`.
    let before: Vec<Directive> = all().into_iter().filter(|d| !tls_upstream::is_behind(d)).collect();
    assert_none("satisfy any, auth_delay, proxy_intercept_errors on", &broken(&before, weakens));
    let question = snippet("doorward-auth-subrequest.conf");
    for wanted in [
        "internal;",
        "proxy_intercept_errors off;",
        "proxy_pass_request_headers off;",
        "client_max_body_size 0;",
        "proxy_pass_request_body off;",
        "proxy_set_header Content-Length \"\";",
        "proxy_http_version 1.1;",
        "proxy_set_header Connection \"\";",
    ] {
        assert!(has(&question, wanted), "the auth location has no {wanted}");
    }
}

#[test]
fn auth_location_sets_no_variable_of_the_main_request_pitfall_p8() {
    let mut auth = snippet("doorward-auth.conf");
    auth.extend(snippet("doorward-auth-subrequest.conf"));
    let sets =
        |text: &str| text.starts_with("set ") || text.starts_with("rewrite ") || text.starts_with("if ");
    assert_eq!(broken(&parse("x", "set $a 1;"), sets).len(), 1);
    assert_none("set, rewrite or if in the auth location", &broken(&auth, sets));
    // The two requests have different values of these variables. A map of them would be computed in one request and
    // used in the other.
    let differs = |text: &str| {
        text.starts_with("map ")
            && ["$uri", "$document_uri", "$args", "$query_string", "$upstream_"]
                .iter()
                .any(|v| text.contains(v))
    };
    assert_eq!(broken(&parse("x", "map $uri $x {"), differs).len(), 1);
    // Maps of an upstream response are excluded. `tls_upstream` checks that no auth subrequest reads them.
    let shared: Vec<Directive> = all().into_iter().filter(|d| !tls_upstream::is_of_an_answer(d)).collect();
    assert_none("a map of $uri, $args or $upstream_*", &broken(&shared, differs));
}

/// Returns the variables that more than one map of the snippets defines.
fn defined_twice(directives: &[Directive]) -> Vec<String> {
    let names = directives.iter().filter_map(|directive| {
        let variable = directive.text.strip_prefix("map ")?.strip_suffix(" {")?.rsplit(' ').next()?;
        Some(variable.to_owned())
    });
    let mut seen = std::collections::BTreeSet::new();
    names.filter(|name| !seen.insert(name.clone())).collect()
}

#[test]
fn no_two_maps_of_the_snippets_define_the_same_variable() {
    let twice =
        parse("x", "map $a $doorward_b {\n}\nmap \"$c $d\" $doorward_b {\n}\nmap $b $doorward_c {\n}\n");
    assert_eq!(defined_twice(&twice), ["$doorward_b"]);
    // nginx uses the last of two such maps and does not report the other one.
    let snippets: Vec<Directive> =
        files(&shipped().join("snippets"), ".conf").iter().flat_map(directives).collect();
    assert_none("maps of the same variable", &defined_twice(&snippets));
}

/// Returns the directives of each location that has a proxy_pass.
fn proxying(directives: &[Directive]) -> Vec<Vec<&Directive>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Vec<&Directive>)> = None;
    for directive in directives {
        let depth = |text: &str| text.matches('{').count() as isize - text.matches('}').count() as isize;
        match &mut open {
            None if directive.text.starts_with("location ") && !directive.text.ends_with('}') => {
                open = Some((1, vec![directive]));
            }
            Some((level, inside)) => {
                inside.push(directive);
                *level = level.saturating_add_signed(depth(&directive.text));
                if *level == 0 {
                    found.extend(open.take().map(|(_, inside)| inside));
                }
            }
            None => {}
        }
    }
    found.retain(|location| location.iter().any(|d| d.text.starts_with("proxy_pass ")));
    found
}

#[test]
fn protected_location_only_proxies_pitfall_p7() {
    let bad = parse("x", "location / {\n    return 200;\n    proxy_pass http://x;\n}\n");
    let runs_before = |text: &str| {
        let word = ["return ", "rewrite ", "set ", "if ", "try_files "].iter().any(|w| text.starts_with(w));
        // This variable only describes the location.
        word && !text.starts_with("set $doorward_rewrite ")
    };
    assert_eq!(proxying(&bad).len(), 1);
    assert!(proxying(&bad)[0].iter().any(|d| runs_before(&d.text)));
    let mut count = 0;
    let mut inside = Vec::new();
    for directives in whole() {
        count += proxying(&directives).len();
        inside.extend(broken(&proxying(&directives).concat(), runs_before));
    }
    for name in [
        "doorward-registry-proxy.conf",
        "doorward-site-proxy.conf",
        "doorward-auth-subrequest.conf",
        "doorward-ecr-upstream-refused.conf",
        "doorward-tls-upstream.conf",
    ] {
        inside.extend(broken(&snippet(name).iter().collect::<Vec<_>>(), runs_before));
    }
    assert_none("return, rewrite, set, if or try_files in a protected location", &inside);
    assert_eq!(
        count, 7,
        "a registry, an upstream registry with its error page, a site, the auth subrequest of each"
    );
}

#[test]
fn every_protected_location_sends_the_identity_and_drops_the_password_pitfalls_p27_and_p46() {
    let parts =
        ["-registry-proxy.conf;", "-ecr-proxy.conf;", "-ecr-upstream-refused.conf;", "-site-proxy.conf;"];
    for directives in whole() {
        for location in proxying(&directives) {
            let includes = |d: &&&Directive| {
                parts.iter().any(|part| d.text == format!("include doorward/doorward{part}"))
                    || d.text == "include doorward/doorward-auth-subrequest.conf;"
            };
            assert_eq!(location.iter().filter(includes).count(), 1, "{}", location[0].place);
        }
    }
    for kind in ["registry", "site"] {
        let wanted = "include doorward/doorward-headers.conf;";
        assert!(has(&snippet(&format!("doorward-{kind}-proxy.conf")), wanted), "{kind}: {wanted} is missing");
    }
    let headers = snippet("doorward-headers.conf");
    for wanted in [
        "proxy_set_header Authorization $doorward_upstream_authorization;",
        "proxy_set_header X-Upstream-Authorization \"\";",
        "proxy_set_header X-Auth-Proxy-Secret \"\";",
        "proxy_set_header Forwarded \"\";",
        "proxy_set_header X-Forwarded-Host \"\";",
        "proxy_set_header X-Auth-User $doorward_user;",
        "proxy_set_header X-Auth-Groups $doorward_groups;",
        "proxy_set_header X-Auth-By $doorward_by;",
    ] {
        assert!(has(&headers, wanted), "{wanted} is missing");
    }
}

#[test]
fn blob_requests_are_not_buffered_and_not_rate_limited_pitfalls_p25_and_p47() {
    for name in ["doorward-blobs.conf", "doorward-tls-upstream.conf"] {
        for wanted in ["proxy_request_buffering off;", "proxy_buffering off;"] {
            assert!(has(&snippet(name), wanted), "{name}: {wanted} is missing");
        }
    }
    let layers = "include doorward/doorward-blobs.conf;";
    assert!(has(&snippet("doorward-registry-proxy.conf"), layers), "{layers} is missing");
    let counted: Vec<Directive> = all().into_iter().filter(|d| !tokens::is_of_tokens(d)).collect();
    assert_none("limit_req", &broken(&counted, |text| text.starts_with("limit_req")));
}

#[test]
fn log_formats_contain_no_password_pitfall_p27() {
    let logs = |text: &str| {
        // The client's header may be read only for the auth subrequest and in the map that removes control bytes.
        let read = ["proxy_set_header Authorization ", "map $http_authorization ", "\"~^[", "\"~*^bearer "];
        // Headers between doorward and nginx come from the response of doorward. They are sent to the backend or to
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
        assert_eq!(broken(&parse("x", &format!("log_format x '{bad}';")), logs).len(), 1);
    }
    assert_none("$http_authorization", &broken(&all(), logs));
}
