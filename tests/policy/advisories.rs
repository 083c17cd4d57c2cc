//! Published bypasses of other proxies, each refused here.

use super::{GROUPS, PolicySetup, RULES};
use crate::support::client::Request;

/// Checks that a request is refused. `public/**`, which anonymous clients may pull, or a pull permission must not make
/// it possible.
fn refused(user: &str, method: &str, uri: &str) {
    let setup = PolicySetup::of(RULES, GROUPS);
    let status = setup.status(user, method, uri);
    assert!(matches!(status, 401 | 403), "{user} {method} {uri}: {status}");
}

#[test]
fn path_with_dot_segments_is_denied_as_in_ingress_nginx_8644() {
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
fn non_canonical_path_is_denied_and_not_normalized_as_in_malcolm_cve_2026_63177() {
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
fn query_and_fragment_are_not_matched_as_path_as_in_oauth2_proxy_ghsa_7rh7_c77v_6434_and_cve_2026_41059() {
    let with = |sign: char| format!("/v2/team/app/manifests/v1{sign}/v2/public/x/manifests/v1");
    for uri in ['?', '#'].map(with) {
        refused("-", "GET", &uri);
        refused("carl", "PUT", &uri);
    }
    refused("carl", "GET", &with('#'));
}

#[test]
fn other_uri_headers_are_ignored_as_in_oauth2_proxy_cve_2026_40575() {
    let setup = PolicySetup::of(RULES, GROUPS);
    // URI headers of other proxies are refused for every client. Misspelled headers are ignored.
    for (name, status) in [
        ("X-Forwarded-Uri", 403),
        ("X-Original-URL", 403),
        ("X-Rewrite-URL", 403),
        ("X_Original_URI", 401),
        ("X.Original.URI", 401),
    ] {
        let request = PolicySetup::question("-", "GET", "/v2/team/app/manifests/v1")
            .header(name, "/v2/public/x/manifests/v1");
        assert_eq!(setup.doorward.ask(&request).status, status, "{name}");
    }
    for name in ["X-Forwarded-Method", "X-HTTP-Method-Override"] {
        let request = PolicySetup::question("carl", "PUT", "/v2/team/app/manifests/v1").header(name, "GET");
        assert_eq!(setup.doorward.ask(&request).status, 403, "{name}");
    }
}

#[test]
fn push_grant_does_not_allow_delete_as_in_zot_ghsa_qg67_7m6v_qg25() {
    let rules = "[[grant]]\nusers = [\"ann\"]\nactions = [\"pull\", \"push\"]\n";
    let setup = PolicySetup::of(rules, "");
    assert_eq!(setup.status("ann", "PUT", "/v2/a/manifests/v1"), 200);
    assert_eq!(setup.status("ann", "DELETE", "/v2/a/manifests/v1"), 403);
    assert_eq!(setup.status("ann", "DELETE", &format!("/v2/a/blobs/sha256:{}", "0".repeat(64))), 403);
}

#[test]
fn host_is_case_insensitive_and_path_is_not_as_in_authelia_cve_2026_48794_and_tinyauth_cve_2026_77560() {
    let rules = concat!(
        "[[grant]]\nwho = \"authenticated\"\nhosts = [\"registry.example.com\"]\nactions = [\"pull\"]\n",
        "[[deny]]\nwho = \"anyone\"\nhosts = [\"Registry.Example.Com\"]\nrepositories = [\"secret\"]\n",
    );
    let setup = PolicySetup::of(rules, "");
    for host in ["registry.example.com", "REGISTRY.example.com.", "registry.EXAMPLE.com:443"] {
        let ask = |uri: &str| {
            let request = Request::auth()
                .basic("ann", "a1")
                .header("X-Original-Method", "GET")
                .header("X-Original-URI", uri)
                .header("X-Original-Host", host)
                .header("X-Original-Content-Type", "ct:");
            setup.doorward.ask(&request).status
        };
        assert_eq!(ask("/v2/open/tags/list"), 200, "{host}");
        assert_eq!(ask("/v2/secret/tags/list"), 403, "{host}");
        assert_eq!(ask("/v2/Secret/tags/list"), 403, "{host}");
    }
}

#[test]
fn form_body_cannot_hide_a_mount_as_in_pulp_container_1286_pitfall_p15() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let upload = |content_type: &str| {
        let request = Request::auth()
            .basic("ann", "a1")
            .header("X-Original-Method", "POST")
            .header("X-Original-URI", "/v2/team/app/blobs/uploads/")
            .header("X-Original-Host", "h")
            .header("X-Original-Content-Type", format!("ct:{content_type}"))
            .header("X-Auth-Rewrite", "yes");
        setup.doorward.ask(&request).status
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
fn path_in_another_case_is_another_path_as_in_caddy_cve_2026_27587_and_27588() {
    let rules = "[[grant]]\nwho = \"anyone\"\npaths = [\"/docs/**\"]\n[[grant]]\nusers = [\"ann\"]\npaths = [\"/**\"]\n";
    let setup = PolicySetup::of(rules, "");
    assert_eq!(setup.of_site("-", "GET", "/docs/a"), 200);
    for uri in ["/Docs/a", "/DOCS/a", "/doc%53/a"] {
        assert_eq!(setup.of_site("-", "GET", uri), 401, "{uri}");
        assert_eq!(setup.of_site("ann", "GET", uri), 200, "{uri}");
    }
}

#[test]
fn overwriting_a_tag_requires_push_as_in_zot_cve_2026_31801() {
    let setup = PolicySetup::of(RULES, GROUPS);
    for reference in ["latest", "v1", &format!("sha256:{}", "0".repeat(64))] {
        assert_eq!(setup.status("carl", "PUT", &format!("/v2/team/app/manifests/{reference}")), 403);
        assert_eq!(setup.status("ann", "PUT", &format!("/v2/team/app/manifests/{reference}")), 200);
    }
}

#[test]
fn header_name_in_another_case_is_the_same_header_as_in_traefik_cve_2026_33433() {
    let setup = PolicySetup::of(RULES, GROUPS);
    for name in ["x-original-uri", "X-ORIGINAL-URI", "x-Original-uRI"] {
        let twice = PolicySetup::question("carl", "GET", "/v2/team/app/manifests/v1")
            .header(name, "/v2/public/x/manifests/v1");
        let answer = setup.doorward.ask(&twice);
        assert_eq!(
            (answer.status, answer.header("x-auth-reason")),
            (403, Some("invalid_proxy_headers")),
            "{name}"
        );
    }
}

#[test]
fn cached_answer_covers_identity_and_never_permission_as_in_vouch() {
    let rules = "[[grant]]\nusers = [\"ann\"]\nhosts = [\"one.test\"]\nactions = [\"pull\"]\n";
    let setup = PolicySetup::of(rules, "");
    let ask = |host: &str, uri: &str| {
        let request = Request::auth()
            .basic("ann", "a1")
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", uri)
            .header("X-Original-Host", host)
            .header("X-Original-Content-Type", "ct:");
        setup.doorward.ask(&request).status
    };
    for _ in 0..3 {
        assert_eq!(ask("one.test", "/v2/a/tags/list"), 200);
        assert_eq!(ask("two.test", "/v2/a/tags/list"), 403);
        assert_eq!(ask("one.test", "/v2/_catalog"), 403);
    }
    assert_eq!(setup.doorward.hashes(), 1.0);
}

#[test]
fn request_header_configures_nothing_as_in_nginx_ldap_auth_of_2022() {
    let setup = PolicySetup::of(RULES, GROUPS);
    for (name, value) in [
        ("X-Auth-Groups", "devs"),
        ("X-Auth-User", "ann"),
        ("X-Policy", "allow"),
        ("X-Doorward-Policy", "/dev/null"),
        ("X-Forwarded-Groups", "devs"),
    ] {
        let request = PolicySetup::question("carl", "PUT", "/v2/team/app/manifests/v1").header(name, value);
        assert_eq!(setup.doorward.ask(&request).status, 403, "{name}");
    }
}
