//! The scope of an API key narrows the permissions of its owner.

use super::{ApiKeySetup, assert_admitted, assert_denied};
use crate::support::client::Request;
use crate::support::keys::{Key, Presentation, presentations};

const MANIFEST: &str = "/v2/team/app/manifests/v1";

#[test]
fn pull_scope_allows_pull_and_denies_push_although_the_owner_may_push() {
    let all = Key::new("ann", "all");
    let pull = Key::new("ann", "pull").scope(&["pull:team/**"]);
    for setup in [ApiKeySetup::ruled(&[&all, &pull]), ApiKeySetup::of(&[&all, &pull])] {
        for way in presentations("ann") {
            assert_admitted(&setup.registry(way, &pull.secret, "GET", MANIFEST), "ann");
            assert_admitted(&setup.registry(way, &pull.secret, "GET", "/v2/"), "ann");
            let refused = setup.registry(way, &pull.secret, "PUT", MANIFEST);
            assert_denied(&refused, Some("repository:team/app:push"));
            assert_admitted(&setup.registry(way, &all.secret, "PUT", MANIFEST), "ann");
        }
        let refused = setup.registry(Presentation::Bearer, &pull.secret, "GET", "/v2/other/app/manifests/v1");
        assert_denied(&refused, Some("repository:other/app:pull"));
        let refused = setup.registry(Presentation::Bearer, &pull.secret, "DELETE", MANIFEST);
        assert_denied(&refused, Some("repository:team/app:delete"));
        let refused = setup.registry(Presentation::Bearer, &pull.secret, "GET", "/v2/_catalog");
        assert_denied(&refused, Some("registry:catalog:*"));
        assert_admitted(&setup.registry(Presentation::Bearer, &all.secret, "GET", "/v2/_catalog"), "ann");
        setup.await_log(
            "reason=\"policy\" detail=\"repository:team/app:push is beyond the API key's scope; key ",
        );
        // The password is still accepted.
        assert_eq!(setup.registry(Presentation::As("ann"), "a1", "PUT", MANIFEST).status, 200);
    }
}

#[test]
fn scope_never_grants_what_the_owner_lacks() {
    let wide: &[&str] = &["pull,push,delete:**", "catalog", "/**"];
    let keys = ["bob", "carl"].map(|owner| Key::new(owner, "wide").scope(wide));
    let setup = ApiKeySetup::ruled(&keys.each_ref());
    let [bobs, carls] = &keys;
    assert_admitted(&setup.registry(Presentation::Bearer, &bobs.secret, "PUT", MANIFEST), "bob");
    assert_denied(
        &setup.registry(Presentation::Bearer, &bobs.secret, "GET", "/v2/team/secret/tags/list"),
        Some("repository:team/secret:pull"),
    );
    assert_denied(
        &setup.registry(Presentation::Bearer, &bobs.secret, "GET", "/v2/_catalog"),
        Some("registry:catalog:*"),
    );
    assert_admitted(&setup.registry(Presentation::Bearer, &carls.secret, "GET", MANIFEST), "carl");
    assert_denied(
        &setup.registry(Presentation::Bearer, &carls.secret, "PUT", MANIFEST),
        Some("repository:team/app:push"),
    );
    assert_key_scope_is_not_blamed(&setup);
}

/// Checks that the log does not name the scope of the key if the owner lacks the permission.
fn assert_key_scope_is_not_blamed(setup: &ApiKeySetup) {
    setup.await_log("detail=\"repository:team/app:push is not granted; key ");
    assert!(!setup.doorward.log().contains("is beyond the API key's scope"), "{}", setup.doorward.log());
}

#[test]
fn empty_scope_allows_only_the_login() {
    let key = Key::new("ann", "none").scope(&[]);
    let catalog = Key::new("ann", "catalog").scope(&["catalog"]);
    for setup in [ApiKeySetup::ruled(&[&key, &catalog]), ApiKeySetup::of(&[&key, &catalog])] {
        assert_admitted(&setup.registry(Presentation::Bearer, &key.secret, "GET", "/v2/"), "ann");
        for uri in [MANIFEST, "/v2/_catalog"] {
            assert_eq!(setup.registry(Presentation::Bearer, &key.secret, "GET", uri).status, 403, "{uri}");
        }
        assert_admitted(&setup.registry(Presentation::Bearer, &catalog.secret, "GET", "/v2/_catalog"), "ann");
        assert_eq!(setup.registry(Presentation::Bearer, &catalog.secret, "GET", MANIFEST).status, 403);
    }
}

#[test]
fn mount_from_a_repository_outside_the_scope_becomes_an_upload() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let uri = |from: &str| format!("/v2/team/app/blobs/uploads/?mount={digest}&from={from}");
    let key = Key::new("ann", "ci").scope(&["pull,push:team/app", "pull:team/base"]);
    let all = Key::new("ann", "all");
    for setup in [ApiKeySetup::ruled(&[&key, &all]), ApiKeySetup::of(&[&key, &all])] {
        let mount =
            |key: &Key, from: &str| setup.registry(Presentation::Bearer, &key.secret, "POST", &uri(from));
        let allowed = mount(&key, "team/base");
        assert_admitted(&allowed, "ann");
        assert_eq!(allowed.header("x-upstream-uri"), None, "{allowed:?}");
        let degraded = mount(&key, "team/other");
        assert_admitted(&degraded, "ann");
        assert_eq!(degraded.header("x-upstream-uri"), Some("/v2/team/app/blobs/uploads/"), "{degraded:?}");
        assert_eq!(mount(&all, "team/other").header("x-upstream-uri"), None);
        // A proxy that does not use the rewritten URI.
        let plain = Request::auth()
            .header("X-Original-Method", "POST")
            .header("X-Original-URI", uri("team/other"))
            .header("X-Original-Host", "h")
            .header("X-Original-Content-Type", "ct:");
        let refused = setup.doorward.ask(&Presentation::Bearer.present(plain, &key.secret));
        assert_eq!(refused.status, 403, "{refused:?}");
    }
}

#[test]
fn site_scope_is_limited_to_its_methods_and_paths() {
    let key = Key::new("ann", "docs").scope(&["GET,HEAD:/docs/**", "/own/*"]);
    let rules = "[[grant]]\nwho = \"authenticated\"\npaths = [\"/docs/**\", \"/own/**\"]\n";
    let keys = crate::support::keys::file(&[&key]);
    for (ruled, setup) in
        [(true, ApiKeySetup::with(&keys, Some(rules), &[])), (false, ApiKeySetup::open(&keys))]
    {
        let ask = |method: &str, uri: &str| setup.site(Presentation::Bearer, &key.secret, method, uri);
        for (method, uri) in
            [("GET", "/docs/a"), ("HEAD", "/docs/a/b?c=d"), ("POST", "/own/a"), ("GET", "/own/a")]
        {
            assert_admitted(&ask(method, uri), "ann");
        }
        for (method, uri) in [
            ("POST", "/docs/a"),
            ("get", "/docs/a"),
            ("GET", "/own/a/b"),
            ("GET", "/"),
            ("GET", "/docs/../own/x/y"),
            ("GET", "/own/a%2fb"),
            ("GET", "/Docs/a"),
        ] {
            assert_eq!(ask(method, uri).status, 403, "{method} {uri}, a policy: {ruled}");
        }
        // The password is permitted every readable request.
        let own = setup.site(Presentation::As("ann"), "a1", "POST", "/docs/a");
        assert_eq!(own.status, 200, "{own:?}");
        assert_eq!(
            setup.site(Presentation::As("ann"), "a1", "GET", "/else").status,
            if ruled { 403 } else { 200 }
        );
        // A permission for a registry does not apply to a path that looks like a registry request, and vice
        // versa.
        assert_eq!(
            setup.registry(Presentation::Bearer, &key.secret, "GET", "/v2/docs/a/manifests/v1").status,
            403
        );
    }
    let pull = Key::new("ann", "pull").scope(&["pull:**"]);
    let setup = ApiKeySetup::of(&[&pull]);
    assert_eq!(
        setup.site(Presentation::Bearer, &pull.secret, "GET", "/v2/team/app/manifests/v1").status,
        403
    );
    assert_admitted(&setup.registry(Presentation::Bearer, &pull.secret, "GET", MANIFEST), "ann");
}

#[test]
fn scope_with_incomplete_proxy_headers_is_denied() {
    let (all, pull) = (Key::new("ann", "all"), Key::new("ann", "pull").scope(&["pull:**"]));
    let setup = ApiKeySetup::of(&[&all, &pull]);
    assert_admitted(&setup.show(Presentation::Bearer, &all.secret), "ann");
    let answer = setup.show(Presentation::Bearer, &pull.secret);
    assert_eq!(
        (answer.status, answer.header("x-auth-reason")),
        (403, Some("invalid_proxy_headers")),
        "{answer:?}"
    );
    let twice = question_twice(&pull);
    assert_eq!(setup.doorward.ask(&twice).header("x-auth-reason"), Some("invalid_proxy_headers"));
}

/// Returns a request with two URI headers.
fn question_twice(key: &Key) -> Request {
    let request = super::question("yes", "GET", MANIFEST).header("X-Original-URI", "/v2/other/tags/list");
    Presentation::Bearer.present(request, &key.secret)
}
