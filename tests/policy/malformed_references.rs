//! Malformed references and parameters of registry requests.

use super::{GROUPS, PolicySetup, RULES};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn malformed_reference_is_reported_only_to_users_with_the_permission_field_c15() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let long = format!("/v2/team/app/manifests/{}", "x".repeat(129));
    for (method, uri, error) in [
        ("GET", "/v2/team/app/manifests/.INVALID_MANIFEST_NAME", "MANIFEST_UNKNOWN"),
        ("HEAD", "/v2/team/app/manifests/sha256:totallywrong", "MANIFEST_UNKNOWN"),
        ("GET", "/v2/team/app/manifests/.INVALID?cache=1&page=2", "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/team/app/manifests/sha256:totallywrong", "DIGEST_INVALID"),
        ("DELETE", "/v2/team/app/manifests/-x", "MANIFEST_INVALID"),
        ("PUT", &long, "MANIFEST_INVALID"),
        ("GET", "/v2/team/app/blobs/sha256:0", "BLOB_UNKNOWN"),
        ("POST", "/v2/team/app/blobs/uploads/?digest=sha256:0", "DIGEST_INVALID"),
        ("POST", &format!("/v2/team/app/blobs/uploads/?mount={DIGEST}&from=A"), "NAME_INVALID"),
        ("GET", "/v2/team/A/manifests/x", "NAME_UNKNOWN"),
    ] {
        let answer = setup.ask("ann", method, uri);
        assert_eq!(answer.status, 403, "{method} {uri}: {answer:?}");
        assert_eq!(answer.header("x-auth-reason"), Some("malformed_reference"), "{method} {uri}");
        assert_eq!(answer.header("x-auth-error"), Some(error), "{method} {uri}");
        assert_eq!(answer.header("x-auth-scope"), None, "nothing is lacking: {method} {uri}");
        // bob is denied one repository of these, and carl may pull only: they learn nothing more than before.
        let denied = uri.replace("/team/app/", "/team/secret/");
        if denied != uri {
            let answer = setup.ask("bob", method, &denied);
            assert_eq!(answer.header("x-auth-error"), None, "bob {method} {denied}");
            assert_eq!(answer.header("x-auth-reason"), Some("policy"), "bob {method} {denied}");
        }
        if !matches!(method, "GET" | "HEAD") {
            let answer = setup.ask("carl", method, uri);
            assert_eq!(answer.header("x-auth-reason"), Some("policy"), "carl {method} {uri}");
            assert_eq!(answer.header("x-auth-error"), None, "carl {method} {uri}");
        }
        // Whoever shows no credentials is challenged.
        assert_eq!(setup.ask("-", method, uri).status, 401, "{method} {uri}");
    }
    // In a repository that is granted to anyone, credentials would change nothing.
    let answer = setup.ask("-", "GET", "/v2/public/base/manifests/.x");
    assert_eq!((answer.status, answer.header("x-auth-error")), (403, Some("MANIFEST_UNKNOWN")));
    assert_eq!(setup.ask("-", "PUT", "/v2/public/base/manifests/.x").status, 401);
    let log = setup.doorward.log();
    assert!(log.contains("reason=\"malformed_reference\"") && log.contains("the tag is malformed"), "{log}");
    assert!(
        setup.doorward.metric("doorward_verdicts_total{verdict=\"forbid\",reason=\"malformed_reference\"}")
            >= 10.0
    );
}

#[test]
fn ambiguous_path_is_denied_field_c15() {
    let setup = PolicySetup::of(RULES, GROUPS);
    for uri in [
        "/v2/team/app/manifests/sha256%3Atotallywrong",
        "/v2/team%2Fapp/manifests/.x",
        "/v2/team/app/manifests/..",
        "/v2/team/app/x/../manifests/.x",
        "/v2/team//app/manifests/.x",
        "/v2/team/app/manifests/.x;y",
        "/v2/team/app/unknown/.x",
        "/v2/manifests/.x",
        "/v2/",
    ] {
        let answer = setup.ask("ann", "PUT", uri);
        let expected =
            if uri.ends_with(";y") { (403, Some("malformed_reference")) } else { (403, Some("policy")) };
        assert_eq!((answer.status, answer.header("x-auth-reason")), expected, "{uri}: {answer:?}");
    }
}

#[test]
fn pagination_parameters_are_passed_on_and_the_ns_parameter_is_not_field_c14() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let referrers = format!("/v2/team/app/referrers/{DIGEST}");
    for (uri, upstream) in [
        (format!("{referrers}?cache=1c0e&page=1"), None),
        (format!("{referrers}?artifactType=a%2Fb&Page=1&page=2"), None),
        ("/v2/team/app/tags/list?orderby=timedesc&n=1".to_owned(), None),
        ("/v2/team/app/manifests/v1?_method=DELETE".to_owned(), None),
        (format!("{referrers}?page=1&NS=ghcr.io"), Some(format!("{referrers}?page=1"))),
        (format!("{referrers}?n%73=a&x=1&ns=b"), Some(format!("{referrers}?x=1"))),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = setup.ask("carl", method, &uri);
            assert_eq!(answer.status, 200, "{method} {uri}: {answer:?}");
            assert_eq!(answer.header("x-upstream-uri"), upstream.as_deref(), "{method} {uri}");
        }
        // The repository and the action are judged as before.
        let secret = uri.replace("/team/app/", "/team/secret/");
        assert_eq!(setup.status("bob", "GET", &secret), 403, "{secret}");
        assert_eq!(setup.status("ann", "DELETE", &uri), 403, "{uri}");
    }
    for uri in [
        format!("{referrers}?from=a"),
        format!("{referrers}?Mount={DIGEST}"),
        format!("{referrers}?page=1;ns=x"),
        format!("{referrers}?%20ns=x"),
    ] {
        assert_eq!(setup.status("ann", "GET", &uri), 403, "{uri}");
    }
}

#[test]
fn mount_origin_is_passed_on_for_pullable_repositories_field_c13() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let uri = |name: &str, more: &str| format!("/v2/team/{name}/blobs/uploads/?{more}&mount={DIGEST}");
    let upload = "/v2/team/app/blobs/uploads/";
    for (user, more, upstream) in [
        ("ann", "from=team/secret&origin=registry.example.com", None),
        ("ann", "from=team%2Fsecret&origin=Registry.Example.Com%3A5000", None),
        // bob may not pull there: an ordinary upload, without any parameter of the mount.
        ("bob", "from=team/secret&origin=registry.example.com", Some(upload)),
        // At another registry the same name is another repository.
        ("ann", "from=team/secret&origin=gcr.io", Some(upload)),
        ("ann", "from=team/secret&origin=registry.example.com.evil.test", Some(upload)),
        ("ann", "origin=registry.example.com", Some(upload)),
    ] {
        let answer = setup.ask(user, "POST", &uri("app", more));
        assert_eq!(answer.status, 200, "{user} {more}: {answer:?}");
        assert_eq!(answer.header("x-upstream-uri"), upstream, "{user} {more}");
    }
    for more in [
        "from=team/lib&origin=registry.example.com&origin=gcr.io",
        "from=team/lib&origin=registry.example.com&%6Frigin=gcr.io",
        "from=team/lib&Origin=registry.example.com",
        "from=team/lib&origin=registry.example.com@gcr.io",
        "from=team/lib&from=team/secret&origin=registry.example.com",
    ] {
        assert_eq!(setup.status("ann", "POST", &uri("app", more)), 403, "{more}");
    }
    assert_eq!(setup.status("carl", "POST", &uri("app", "from=team/lib&origin=registry.example.com")), 403);
    assert_eq!(setup.status("ann", "PUT", "/v2/team/app/manifests/v1?origin=registry.example.com"), 403);
}
