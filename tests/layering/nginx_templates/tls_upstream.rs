//! Templates for an upstream over TLS.

use super::{Directive, all, broken, has, snippet};
use crate::layering::assert_none;

/// The files that are used only after doorward has admitted a request.
const BEHIND: [&str; 4] = [
    "doorward-ecr-error-pages.conf",
    "doorward-ecr-follow.conf",
    "doorward-ecr-proxy.conf",
    "doorward-ecr-upstream-refused.conf",
];

fn file(directive: &Directive) -> &str {
    directive.place.split(':').next().unwrap_or_default()
}

/// Returns true if the rules for the auth subrequest do not apply to a directive.
pub(super) fn is_behind(directive: &Directive) -> bool {
    BEHIND.contains(&file(directive))
}

/// Returns true for a map of an upstream response, which is read only with that response.
pub(super) fn is_of_an_answer(directive: &Directive) -> bool {
    file(directive) == "doorward-ecr-maps.conf" && directive.text.contains("$upstream_")
}

/// Returns the locations of a file, each with its first line.
fn locations(directives: &[Directive]) -> Vec<Vec<&Directive>> {
    let mut found: Vec<Vec<&Directive>> = Vec::new();
    for directive in directives {
        if directive.text.starts_with("location ") {
            found.push(Vec::new());
        }
        if let Some(last) = found.last_mut() {
            last.push(directive);
        }
    }
    found
}

#[test]
fn only_internal_locations_skip_the_auth_subrequest() {
    let mut without = Vec::new();
    for name in ["doorward-ecr.conf", "doorward-ecr-error-pages.conf", "doorward-ecr-follow.conf"] {
        for location in locations(&snippet(name)) {
            let text = &location[0].text;
            let asks = !location.iter().any(|d| d.text == "auth_request off;");
            let includes = |part: &str| location.iter().any(|d| d.text.ends_with(part));
            if !asks
                || includes("doorward-ecr-proxy.conf;")
                || includes("doorward-ecr-upstream-refused.conf;")
            {
                without.push(text.clone());
            }
            let forgets = location.iter().any(|d| d.text == "satisfy any;");
            assert!(!forgets || !asks, "{text}: an allow directive would replace the answer of doorward");
        }
    }
    assert_eq!(without.len(), 6, "{without:?}");
    let open: Vec<&String> = without.iter().filter(|text| !text.starts_with("location @")).collect();
    assert!(open.is_empty(), "{open:?}");
    for name in ["doorward-ecr-proxy.conf", "doorward-ecr-upstream-refused.conf"] {
        assert!(has(&snippet(name), "auth_request off;"), "{name} would send a second auth subrequest");
    }
    // The location that leads there, and the auth subrequest before it.
    let answers = snippet("doorward-ecr-error-pages.conf");
    let first = &locations(&answers)[0];
    let texts: Vec<&str> = first.iter().map(|d| &d.text[..]).collect();
    let wanted = [
        "location ^~ /v2/ {",
        "set $doorward_rewrite yes;",
        "root /dev/null;",
        "try_files /none @doorward_ecr;",
        "}",
    ];
    assert_eq!(texts[..5], wanted);
}

#[test]
fn auth_subrequest_reads_no_map_of_its_own_response_pitfall_p8() {
    let answers =
        ["$doorward_link", "$doorward_location", "$doorward_storage_url", "$doorward_upstream_status"];
    let reads = |text: &str| answers.iter().any(|name| text.contains(name));
    assert_eq!(broken(&super::parse("x", "proxy_set_header A $doorward_link;"), reads).len(), 1);
    let elsewhere: Vec<Directive> =
        all().into_iter().filter(|d| !file(d).starts_with("doorward-ecr-")).collect();
    assert_none("a map of an upstream response in another place", &broken(&elsewhere, reads));
}

#[test]
fn tls_upstream_is_verified_and_gets_only_listed_headers_pitfalls_p40_and_p41() {
    let outside = snippet("doorward-tls-upstream.conf");
    for wanted in [
        "proxy_ssl_verify on;",
        "proxy_ssl_server_name on;",
        "proxy_pass_request_headers off;",
        "proxy_hide_header Set-Cookie;",
        "proxy_hide_header WWW-Authenticate;",
    ] {
        assert!(has(&outside, wanted), "{wanted} is missing");
    }
    for (name, verified) in [
        ("doorward-ecr-proxy.conf", "proxy_ssl_name $doorward_ecr_tls_name;"),
        ("doorward-ecr-follow.conf", "proxy_ssl_name $doorward_storage_tls_name;"),
    ] {
        let directives = snippet(name);
        for wanted in ["include doorward/doorward-tls-upstream.conf;", verified, "auth_request off;"] {
            assert!(has(&directives, wanted), "{name}: {wanted} is missing");
        }
    }
    let gives = |text: &str| text.starts_with("proxy_set_header Authorization ");
    for name in
        ["doorward-ecr-follow.conf", "doorward-ecr-upstream-refused.conf", "doorward-tls-upstream.conf"]
    {
        assert_none("credentials sent to the storage", &broken(&snippet(name), gives));
    }
    let insecure = |text: &str| text.starts_with("proxy_ssl_verify off");
    assert_none("proxy_ssl_verify off", &broken(&all(), insecure));
}
