//! Every location is protected, and the auth subrequest cannot be weakened.

use super::{Block, Configuration, Directive, all, all_directives, broken, example, golden};
use crate::layering::assert_none;

/// The headers that an upstream must get from doorward only.
const IDENTITY: [&str; 4] = [
    "proxy_set_header X-Auth-User $doorward_user;",
    "proxy_set_header X-Auth-Groups $doorward_groups;",
    "proxy_set_header X-Auth-By $doorward_by;",
    "proxy_set_header X-Auth-Stale $doorward_stale;",
];

/// The headers that no upstream gets from a client.
const CLEARED: [&str; 4] = [
    "proxy_set_header X-Upstream-Authorization \"\";",
    "proxy_set_header X-Auth-Proxy-Secret \"\";",
    "proxy_set_header Forwarded \"\";",
    "proxy_set_header X-Forwarded-Host \"\";",
];

fn is_checked(location: &Block) -> bool {
    !location.has("auth_request off;")
}

#[test]
fn every_server_has_an_auth_check_or_a_fixed_response() {
    let (mut protected, mut fixed) = (0, 0);
    for configuration in all() {
        for server in configuration.blocks("server").iter().filter(|block| block.name == "server") {
            if server.starts("auth_request ") {
                server.assert_has(&["auth_request /_doorward;", "satisfy all;"]);
                protected += 1;
            } else {
                assert!(server.starts("return "), "{}: no auth check", server.place);
                assert!(!server.starts("location ") && !server.starts("proxy_pass "), "{}", server.place);
                fixed += 1;
            }
        }
    }
    assert_eq!(protected, 7, "one for each configuration, and two for two servers");
    assert!(fixed >= 6, "{fixed}: redirects and other names");
}

#[test]
fn no_directive_weakens_or_delays_the_auth_subrequest_pitfalls_p28_and_p48() {
    // Named locations without an auth check come after it, and remove a challenge of an upstream.
    let weakens = |d: &Directive| {
        let weak = ["satisfy any", "auth_delay", "proxy_intercept_errors on"];
        weak.iter().any(|start| d.text.starts_with(start))
            && !d.location().is_some_and(|name| name.starts_with("@doorward_"))
    };
    assert_eq!(example("location / {\nsatisfy any;\n}\nauth_delay 1s;", weakens), 2);
    assert_none("satisfy any, auth_delay, proxy_intercept_errors on", &broken(&all_directives(), weakens));
    let mut count = 0;
    for location in all().iter().flat_map(Configuration::locations) {
        if location.starts("satisfy any") || location.starts("proxy_intercept_errors on") {
            location.assert_has(&["auth_request off;"]);
        }
        if location.name != "location = /_doorward" {
            continue;
        }
        count += 1;
        location.assert_has(&[
            "internal;",
            "auth_request off;",
            "proxy_intercept_errors off;",
            "proxy_pass_request_headers off;",
            "client_max_body_size 0;",
            "proxy_pass_request_body off;",
            "proxy_set_header Content-Length \"\";",
            "proxy_http_version 1.1;",
            "proxy_set_header Connection \"\";",
            "proxy_cache off;",
            "proxy_store off;",
        ]);
        let sets = |d: &Directive| ["set ", "rewrite ", "if "].iter().any(|word| d.text.starts_with(word));
        assert_none("set, rewrite or if in the auth location", &broken(&location.directives, sets));
        assert_eq!(location.directives.iter().filter(|d| d.text.starts_with("proxy_pass ")).count(), 1);
    }
    assert_eq!(count, 7);
}

/// Returns true for a directive that runs before the auth check. It would admit or change a request.
fn runs_before(directive: &Directive) -> bool {
    let text = &directive.text;
    let word = ["return ", "rewrite ", "set ", "if ", "try_files "].iter().any(|word| text.starts_with(word));
    // This variable only describes the location.
    let describes = text == "set $doorward_rewrite yes;";
    // This refuses only.
    let refuses = text == "return 405;" || text == "if ($request_method !~ \"^(GET|HEAD)$\") {";
    // This only selects one of two proxy_pass.
    let selects = text == "if ($args) {";
    word && !describes && !refuses && !selects
}

#[test]
fn protected_location_only_proxies_pitfall_p7() {
    assert_eq!(example("location / {\nreturn 200;\nproxy_pass http://x;\n}\n", runs_before), 1);
    let mut count = 0;
    for configuration in all() {
        for location in configuration.locations().iter().filter(|location| is_checked(location)) {
            count += 1;
            // The location of a remote registry continues in a named location after the auth check.
            if configuration.name == "ecr.conf" {
                let texts: Vec<&str> = location.directives.iter().map(|d| &d.text[..]).collect();
                let wanted = ["location ^~ /v2/ {", "root /dev/null;", "try_files /none @doorward_ecr;", "}"];
                assert_eq!(texts, wanted);
                continue;
            }
            assert!(location.starts("proxy_pass http://"), "{}: {}", location.place, location.name);
            assert_none("a directive before the auth check", &broken(&location.directives, runs_before));
        }
    }
    assert_eq!(count, 6, "/v2/ of four servers and / of two; a registry that verifies tokens has none");
}

#[test]
fn every_protected_server_sends_the_identity_and_drops_the_password_pitfalls_p27_and_p46() {
    for configuration in all() {
        for server in configuration.protected_servers() {
            let own: Vec<Directive> =
                server.directives.iter().filter(|d| d.location().is_none()).cloned().collect();
            let level = Block { place: server.place.clone(), name: "server".into(), directives: own };
            level.assert_has(&CLEARED);
            // A registry gets none of the identity headers.
            let is_site = level.has("if ($doorward_bad_site_path) {");
            let identity = IDENTITY.map(|line| match is_site {
                true => line.to_owned(),
                false => format!("{} \"\";", line.rsplit_once(' ').unwrap().0),
            });
            level.assert_has(&identity.each_ref().map(|line| &line[..]));
            let values = match &configuration.name[..] {
                "registry-tokens-registry.conf" => ["$doorward_bearer"; 3],
                // A location of the administrator gets no credentials, and a remote registry has a list of its own.
                _ => ["$doorward_upstream_authorization", "$doorward_authorization", "\"\""],
            };
            let lines = values.map(|value| format!("proxy_set_header Authorization {value};"));
            assert!(lines.iter().any(|line| level.has(line)), "{}", configuration.name);
            let given =
                level.directives.iter().filter(|d| d.text.starts_with("proxy_set_header Authorization "));
            assert_eq!(given.count(), 1, "{}", configuration.name);
        }
        // A location with a header of its own inherits none of the server.
        for location in configuration.locations() {
            let passes = location.starts("proxy_pass http://doorward_upstream")
                || location.starts("proxy_pass http://$doorward_upstream")
                    && configuration.name != "ecr.conf";
            assert!(
                !passes || !location.starts("proxy_set_header "),
                "{}: {}",
                location.place,
                location.name
            );
            assert!(!location.starts("auth_request_set "), "{}: {}", location.place, location.name);
        }
    }
}

#[test]
fn blob_requests_are_not_buffered_and_not_rate_limited_pitfalls_p25_and_p47() {
    let off = ["proxy_request_buffering off;", "proxy_buffering off;", "client_max_body_size 0;"];
    for name in ["registry", "registry-tokens-mixed", "registry-tokens-registry"] {
        golden(name).protected_servers()[0].assert_has(&off);
    }
    let remote = golden("ecr").locations();
    for name in ["location @doorward_ecr", "location @doorward_follow_redirect"] {
        let location = remote.iter().find(|location| location.name == name).unwrap();
        location.assert_has(&off[..2]);
    }
    let counted = |d: &Directive| {
        d.text.starts_with("limit_req")
            && !d.text.starts_with("limit_req_zone ")
            && d.location() != Some("= /token")
    };
    assert_eq!(example("limit_req zone=a;\nlocation = /token {\nlimit_req zone=a;\n}", counted), 1);
    assert_none("limit_req", &broken(&all_directives(), counted));
}

#[test]
fn each_read_only_registry_refuses_other_methods() {
    let registry = &golden("site-and-registry").protected_servers()[0];
    registry.assert_has(&["if ($request_method !~ \"^(GET|HEAD)$\") {", "return 405;"]);
    assert!(!golden("registry").protected_servers()[0].has("return 405;"));
}
