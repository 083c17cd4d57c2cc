//! Rules for an upstream over TLS.

use super::{Block, Directive, all_directives, broken, example, golden};
use crate::layering::assert_none;

/// The maps of an upstream response, which are read only with that response.
const RESPONSE_MAPS: [&str; 6] = [
    "$doorward_link",
    "$doorward_location",
    "$doorward_storage_host",
    "$doorward_storage_url",
    "$doorward_upstream_status",
    "$doorward_fetch_url",
];

/// Returns true for a line that opens a map of an upstream response.
pub(super) fn is_of_a_response(text: &str) -> bool {
    let variable = text.trim_end_matches(" {").rsplit(' ').next().unwrap_or_default();
    RESPONSE_MAPS.iter().any(|name| variable.starts_with(name))
}

fn location(name: &str) -> Block {
    let found =
        golden("ecr").locations().into_iter().find(|location| location.name == format!("location {name}"));
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

#[test]
fn only_internal_locations_skip_the_auth_subrequest() {
    let locations = golden("ecr").locations();
    let (checked, without): (Vec<&Block>, Vec<&Block>) =
        locations.iter().partition(|location| !location.has("auth_request off;"));
    let checked: Vec<&str> = checked.iter().map(|location| &location.name[..]).collect();
    assert_eq!(checked, ["location ^~ /v2/"]);
    for location in without {
        let is_named = location.name.starts_with("location @");
        let is_fixed = location.starts("return ") && !location.starts("proxy_pass ");
        assert!(is_named || is_fixed || location.has("internal;"), "{}: {}", location.place, location.name);
    }
}

#[test]
fn auth_subrequest_reads_no_map_of_its_own_response_pitfall_p8() {
    let reads = |d: &Directive| {
        let is_behind = d.location().is_some_and(|name| name.starts_with("@doorward_"));
        let is_in_map = d.blocks.first().is_some_and(|block| block.starts_with("map "));
        !is_behind && !is_in_map && RESPONSE_MAPS.iter().any(|name| d.text.contains(name))
    };
    assert_eq!(example("location = /_doorward {\nproxy_set_header A $doorward_link;\n}", reads), 1);
    assert_none("a map of an upstream response in another place", &broken(&all_directives(), reads));
}

#[test]
fn tls_upstream_is_verified_and_gets_only_listed_headers_pitfalls_p40_and_p41() {
    for (name, verified) in [
        ("@doorward_ecr", "proxy_ssl_name 123456789012.dkr.ecr.eu-central-1.amazonaws.com;"),
        ("@doorward_follow_redirect", "proxy_ssl_name $doorward_storage_tls_name;"),
    ] {
        location(name).assert_has(&[
            "auth_request off;",
            verified,
            "proxy_ssl_verify on;",
            "proxy_ssl_server_name on;",
            "proxy_pass_request_headers off;",
            "proxy_hide_header Set-Cookie;",
            "proxy_hide_header WWW-Authenticate;",
        ]);
    }
    golden("ecr").protected_servers()[0]
        .assert_has(&["proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;"]);
    let gives = |d: &Directive| d.text.starts_with("proxy_set_header Authorization ");
    for name in ["@doorward_follow_redirect", "@doorward_upstream_refused"] {
        assert_none("credentials sent to another server", &broken(&location(name).directives, gives));
    }
    let insecure = |d: &Directive| d.text.starts_with("proxy_ssl_verify off");
    assert_none("proxy_ssl_verify off", &broken(&all_directives(), insecure));
}
