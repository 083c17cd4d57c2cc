//! Tests of rules for sites and registries, and of hosts that can be either.

use super::*;
use crate::policy::read::tests::PolicyFixture;

#[test]
fn site_rules_match_paths_and_methods() {
    let team = PolicyFixture::from_text(concat!(
        "[[grant]]\nwho = \"authenticated\"\nmethods = [\"GET\", \"HEAD\"]\n",
        "[[grant]]\ngroups = [\"ops\"]\npaths = [\"/admin/**\", \"/admin\"]\n",
        "[[grant]]\nwho = \"anyone\"\npaths = [\"/\", \"/docs/**\"]\nmethods = [\"GET\"]\n",
        "[[deny]]\nwho = \"anyone\"\npaths = [\"/admin/keys\"]\n",
    ));
    for (user, method, uri, may) in [
        ("ann", "GET", "/x/y?z", true),
        ("ann", "POST", "/x/y", false),
        ("bob", "POST", "/admin/x", true),
        ("bob", "POST", "/admin", true),
        ("bob", "POST", "/%61dmin/x", true),
        ("ann", "POST", "/admin/x", false),
        ("bob", "GET", "/admin/keys", false),
        ("bob", "GET", "/admin/%6beys", false),
        ("bob", "GET", "/admin//keys", false),
        ("bob", "GET", "/x/../admin/keys", false),
        ("-", "GET", "/", true),
        ("-", "GET", "/docs/", true),
        ("-", "GET", "/docs/../x", false),
        ("-", "GET", "/docs%2Fx", false),
        ("-", "GET", "/Docs/x", false),
        ("-", "POST", "/docs/x", false),
        ("-", "GET", "/x", false),
        ("-", "GET", "/x?/docs/x", false),
        ("-", "GET", "/x#/docs/x", false),
    ] {
        assert_eq!(team.is_allowed(user, method, uri), may, "{user} {method} {uri}");
    }
}

#[test]
fn host_outside_registries_is_evaluated_as_a_site() {
    let mut team = PolicyFixture::from_text(concat!(
        "registries = [\"registry.example.com\"]\n",
        "[[grant]]\nusers = [\"ann\"]\nactions = [\"pull\"]\n",
        "[[grant]]\nusers = [\"ann\"]\npaths = [\"/v2/**\"]\n",
    ));
    assert_eq!(team.allowed_actions("ann", "a"), "p--");
    team.host = "www.example.com";
    assert_eq!(team.allowed_actions("ann", "a"), "pPd", "a path of a site");
}

#[test]
fn encoded_slash_is_allowed_only_if_both_readings_are() {
    // ingress-nginx#8644: nginx and many sites decode the slash, and then have other segments.
    let team = PolicyFixture::from_text(concat!(
        "[[grant]]\nwho = \"anyone\"\npaths = [\"/docs/**\"]\n",
        "[[grant]]\nwho = \"authenticated\"\npaths = [\"/*\", \"/x/**\"]\n",
        "[[deny]]\nusers = [\"carl\"]\npaths = [\"/admin/**\", \"/x/admin/**\"]\n",
    ));
    for (user, uri, may) in [
        ("-", "/docs/x%2Fy", true),
        ("-", "/docs/..%2Fadmin/users", false),
        ("-", "/docs/%2e%2e%2fadmin/users", false),
        ("-", "/docs%2Fx", false),
        ("ann", "/x/a%2Fb", true),
        ("ann", "/admin%2Fusers", false),
        ("carl", "/x/a%2Fb", true),
        ("carl", "/x/admin%2Fusers", false),
        ("carl", "/admin%2Fusers", false),
        ("carl", "/%2Fadmin/users", false),
    ] {
        assert_eq!(team.is_allowed(user, "GET", uri), may, "{user} {uri}");
    }
}

#[test]
fn client_host_header_cannot_turn_a_registry_into_a_site() {
    let text = concat!(
        "registries = [\"registry.example.com\"]\n",
        "[[grant]]\nwho = \"authenticated\"\nmethods = [\"GET\"]\n",
        "[[grant]]\nusers = [\"ann\"]\nactions = [\"pull\"]\n",
    );
    let team = PolicyFixture::from_text(text);
    let is_allowed = |host, is_registry| {
        let subject = Subject { user: Some(b"carl"), groups: &[], client_address: None, api_key_scope: None };
        let declared = if is_registry { DeclaredUpstream::Registry } else { DeclaredUpstream::Unspecified };
        let request = OriginalRequest::new("GET", "/v2/secret/tags/list", host, "", declared);
        matches!(team.rules.evaluate(&subject, &request), PolicyDecision::Allowed { .. })
    };
    assert!(!is_allowed("registry.example.com", true));
    // nginx protects a registry, whatever host the client sends.
    assert!(!is_allowed("other.example.com", true) && !is_allowed("_", true));
    assert!(is_allowed("other.example.com", false));
}

#[test]
fn policy_without_registries_follows_the_proxy_header() {
    let team = PolicyFixture::from_text("[[grant]]\nusers = [\"ann\"]\n");
    let is_allowed = |user: &'static str, uri, is_registry| {
        let subject =
            Subject { user: Some(user.as_bytes()), groups: &[], client_address: None, api_key_scope: None };
        let declared = if is_registry { DeclaredUpstream::Registry } else { DeclaredUpstream::Unspecified };
        let request = OriginalRequest::new("GET", uri, "h", "", declared);
        matches!(team.rules.evaluate(&subject, &request), PolicyDecision::Allowed { .. })
    };
    assert!(is_allowed("ann", "/v2/a/tags/list", true) && is_allowed("ann", "/index.html", false));
    assert!(!is_allowed("ann", "/index.html", true), "not a path of the registry protocol");
    assert!(!is_allowed("carl", "/v2/a/tags/list", true) && !is_allowed("carl", "/index.html", false));
}

#[test]
fn path_deny_rule_covers_the_trailing_slash() {
    let team = PolicyFixture::from_text(concat!(
        "[[grant]]\nwho = \"authenticated\"\npaths = [\"/**\"]\n",
        "[[deny]]\nwho = \"anyone\"\npaths = [\"/closed\", \"/shut/\", \"/a/*\"]\n",
    ));
    for uri in ["/closed", "/closed/", "/shut", "/shut/", "/a/b", "/a/b/"] {
        assert!(!team.is_allowed("ann", "GET", uri), "{uri}");
    }
    for uri in ["/", "/close", "/closed/x", "/shut/x", "/a", "/a/b/c"] {
        assert!(team.is_allowed("ann", "GET", uri), "{uri}");
    }
}
