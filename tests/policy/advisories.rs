//! Holes in other gates' paths and headers, each by its name: here the request is refused.

use super::{GROUPS, House, RULES};
use crate::support::client::Request;

/// What must not be had under cover of `public/**`, which anyone may pull, or of a right to pull.
fn refused(user: &str, method: &str, uri: &str) {
    let house = House::of(RULES, GROUPS);
    let status = house.status(user, method, uri);
    assert!(matches!(status, 401 | 403), "{user} {method} {uri}: {status}");
}

#[test]
fn ingress_nginx_8644_a_path_with_dots_is_not_what_it_begins_with() {
    for uri in [
        "/v2/public/../team/app/manifests/v1",
        "/v2/public/%2e%2e/team/app/manifests/v1",
        "/v2/public/..%2fteam/app/manifests/v1",
        "/v2/public//../team/app/manifests/v1",
        "/v2/public/./../team/app/manifests/v1",
    ] {
        refused("-", "GET", uri);
    }
}

#[test]
fn malcolm_cve_2026_63177_what_is_not_canonical_is_not_normalised() {
    for uri in [
        "//v2/team/app/manifests/v1",
        "/v2/team%2fapp/manifests/v1",
        "/V2/team/app/manifests/v1",
        "/v2/team/app//manifests/v1",
    ] {
        refused("carl", "GET", uri);
    }
}

#[test]
fn oauth2_proxy_ghsa_7rh7_c77v_6434_and_cve_2026_41059_query_and_fragment_are_no_path() {
    let with = |sign: char| format!("/v2/team/app/manifests/v1{sign}/v2/public/x/manifests/v1");
    for uri in ['?', '#'].map(with) {
        refused("-", "GET", &uri);
        refused("carl", "PUT", &uri);
    }
    refused("carl", "GET", &with('#'));
}

#[test]
fn oauth2_proxy_cve_2026_40575_other_names_of_the_uri_are_not_read() {
    let house = House::of(RULES, GROUPS);
    // Those of other proxies are refused whoever sends them, and misspelt ones are not read.
    for (name, status) in [
        ("X-Forwarded-Uri", 403),
        ("X-Original-URL", 403),
        ("X-Rewrite-URL", 403),
        ("X_Original_URI", 401),
        ("X.Original.URI", 401),
    ] {
        let request = House::question("-", "GET", "/v2/team/app/manifests/v1")
            .header(name, "/v2/public/x/manifests/v1");
        assert_eq!(house.doorward.ask(&request).status, status, "{name}");
    }
    for name in ["X-Forwarded-Method", "X-HTTP-Method-Override"] {
        let request = House::question("carl", "PUT", "/v2/team/app/manifests/v1").header(name, "GET");
        assert_eq!(house.doorward.ask(&request).status, 403, "{name}");
    }
}

#[test]
fn zot_ghsa_qg67_7m6v_qg25_to_delete_is_not_to_push() {
    let rules = "[[grant]]\nusers = [\"ann\"]\nactions = [\"pull\", \"push\"]\n";
    let house = House::of(rules, "");
    assert_eq!(house.status("ann", "PUT", "/v2/a/manifests/v1"), 200);
    assert_eq!(house.status("ann", "DELETE", "/v2/a/manifests/v1"), 403);
    assert_eq!(house.status("ann", "DELETE", &format!("/v2/a/blobs/sha256:{}", "0".repeat(64))), 403);
}

#[test]
fn authelia_cve_2026_48794_and_tinyauth_cve_2026_77560_case_of_host_and_path() {
    let rules = concat!(
        "[[grant]]\nwho = \"authenticated\"\nhosts = [\"registry.example.com\"]\nactions = [\"pull\"]\n",
        "[[deny]]\nwho = \"anyone\"\nhosts = [\"Registry.Example.Com\"]\nrepositories = [\"secret\"]\n",
    );
    let house = House::of(rules, "");
    for host in ["registry.example.com", "REGISTRY.example.com.", "registry.EXAMPLE.com:443"] {
        let ask = |uri: &str| {
            let request = Request::auth()
                .basic("ann", "a1")
                .header("X-Original-Method", "GET")
                .header("X-Original-URI", uri)
                .header("X-Original-Host", host)
                .header("X-Original-Content-Type", "ct:");
            house.doorward.ask(&request).status
        };
        assert_eq!(ask("/v2/open/tags/list"), 200, "{host}");
        assert_eq!(ask("/v2/secret/tags/list"), 403, "{host}");
        assert_eq!(ask("/v2/Secret/tags/list"), 403, "{host}");
    }
}

#[test]
fn pulp_container_1286_a_form_can_hide_a_mount_pitfall_p15() {
    let house = House::of(RULES, GROUPS);
    let upload = |content_type: &str| {
        let request = Request::auth()
            .basic("ann", "a1")
            .header("X-Original-Method", "POST")
            .header("X-Original-URI", "/v2/team/app/blobs/uploads/")
            .header("X-Original-Host", "h")
            .header("X-Original-Content-Type", format!("ct:{content_type}"))
            .header("X-Auth-Rewrite", "yes");
        house.doorward.ask(&request).status
    };
    assert_eq!(upload(""), 200);
    assert_eq!(upload("application/octet-stream"), 200);
    for form in [
        "application/x-www-form-urlencoded",
        "Multipart/Form-Data; boundary=x",
        " application/x-www-form-urlencoded;a",
    ] {
        assert_eq!(upload(form), 403, "{form}");
    }
}

#[test]
fn caddy_cve_2026_27587_and_27588_a_path_in_another_case_is_another_path() {
    let rules = "[[grant]]\nwho = \"anyone\"\npaths = [\"/docs/**\"]\n[[grant]]\nusers = [\"ann\"]\npaths = [\"/**\"]\n";
    let house = House::of(rules, "");
    assert_eq!(house.of_site("-", "GET", "/docs/a"), 200);
    for uri in ["/Docs/a", "/DOCS/a", "/doc%53/a"] {
        assert_eq!(house.of_site("-", "GET", uri), 401, "{uri}");
        assert_eq!(house.of_site("ann", "GET", uri), 200, "{uri}");
    }
}

#[test]
fn zot_cve_2026_31801_to_overwrite_a_tag_is_to_push() {
    let house = House::of(RULES, GROUPS);
    for reference in ["latest", "v1", &format!("sha256:{}", "0".repeat(64))] {
        assert_eq!(house.status("carl", "PUT", &format!("/v2/team/app/manifests/{reference}")), 403);
        assert_eq!(house.status("ann", "PUT", &format!("/v2/team/app/manifests/{reference}")), 200);
    }
}

#[test]
fn traefik_cve_2026_33433_a_header_in_other_letters_is_the_same_header() {
    let house = House::of(RULES, GROUPS);
    for name in ["x-original-uri", "X-ORIGINAL-URI", "x-Original-uRI"] {
        let twice = House::question("carl", "GET", "/v2/team/app/manifests/v1")
            .header(name, "/v2/public/x/manifests/v1");
        let answer = house.doorward.ask(&twice);
        assert_eq!((answer.status, answer.header("x-auth-reason")), (403, Some("incomplete")), "{name}");
    }
}

#[test]
fn vouch_a_cached_answer_is_about_who_and_never_about_what() {
    let rules = "[[grant]]\nusers = [\"ann\"]\nhosts = [\"one.test\"]\nactions = [\"pull\"]\n";
    let house = House::of(rules, "");
    let ask = |host: &str, uri: &str| {
        let request = Request::auth()
            .basic("ann", "a1")
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", uri)
            .header("X-Original-Host", host)
            .header("X-Original-Content-Type", "ct:");
        house.doorward.ask(&request).status
    };
    for _ in 0..3 {
        assert_eq!(ask("one.test", "/v2/a/tags/list"), 200);
        assert_eq!(ask("two.test", "/v2/a/tags/list"), 403);
        assert_eq!(ask("one.test", "/v2/_catalog"), 403);
    }
    assert_eq!(house.doorward.hashes(), 1.0);
}

#[test]
fn nginx_ldap_auth_of_2022_no_header_configures_the_gate() {
    let house = House::of(RULES, GROUPS);
    for (name, value) in [
        ("X-Auth-Groups", "devs"),
        ("X-Auth-User", "ann"),
        ("X-Policy", "allow"),
        ("X-Doorward-Policy", "/dev/null"),
        ("X-Forwarded-Groups", "devs"),
    ] {
        let request = House::question("carl", "PUT", "/v2/team/app/manifests/v1").header(name, value);
        assert_eq!(house.doorward.ask(&request).status, 403, "{name}");
    }
}
