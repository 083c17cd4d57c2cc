//! Tests of the parser for requests to a registry.

use super::*;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const WRITE: Actions = Actions::PULL.union(Actions::PUSH);

fn target_and_actions(method: &str, uri: &str) -> Result<(String, Actions), &'static str> {
    let uri = uri.replace("DIGEST", DIGEST);
    parse_request(method, &uri, "").map(|request| match request.target {
        RegistryTarget::Ping => ("ping".to_owned(), request.required_actions),
        RegistryTarget::Catalog => ("catalog".to_owned(), request.required_actions),
        RegistryTarget::Repository(name) => (name.to_owned(), request.required_actions),
    })
}

#[test]
fn each_registry_request_requires_the_specified_actions() {
    for (method, uri, target, actions) in [
        ("GET", "/v2/", "ping", Actions::default()),
        ("HEAD", "/v2/", "ping", Actions::default()),
        ("GET", "/v2/_catalog?n=10&last=a", "catalog", Actions::CATALOG),
        ("GET", "/v2/team/app/manifests/latest", "team/app", Actions::PULL),
        ("HEAD", "/v2/team/app/manifests/DIGEST", "team/app", Actions::PULL),
        ("PUT", "/v2/team/app/manifests/v1.0_x-y", "team/app", WRITE),
        ("PUT", "/v2/team/app/manifests/DIGEST?tag=a&tag=b", "team/app", WRITE),
        ("DELETE", "/v2/team/app/manifests/latest", "team/app", Actions::DELETE),
        ("GET", "/v2/team/app/blobs/DIGEST", "team/app", Actions::PULL),
        ("DELETE", "/v2/team/app/blobs/DIGEST", "team/app", Actions::DELETE),
        ("GET", "/v2/team/app/tags/list?n=5", "team/app", Actions::PULL),
        ("GET", "/v2/team/app/referrers/DIGEST?artifactType=a%2Fb", "team/app", Actions::PULL),
        ("POST", "/v2/team/app/blobs/uploads/", "team/app", WRITE),
        ("POST", "/v2/team/app/blobs/uploads/?digest=DIGEST", "team/app", WRITE),
        ("POST", "/v2/team/app/blobs/uploads/?digest-algorithm=sha512", "team/app", WRITE),
        ("PATCH", "/v2/team/app/blobs/uploads/a-B_9.=?_state=x%2Fy", "team/app", WRITE),
        ("PUT", "/v2/team/app/blobs/uploads/id?_state=x&digest=sha256%3ADIGEST", "", WRITE),
        ("PUT", "/v2/team/app/blobs/uploads/id?anything=1&digest=DIGEST", "team/app", WRITE),
        ("GET", "/v2/team/app/blobs/uploads/id", "team/app", WRITE),
        ("DELETE", "/v2/team/app/blobs/uploads/id", "team/app", WRITE),
        // Repository names that are also words of the protocol.
        ("GET", "/v2/a/manifests/b/manifests/c", "a/manifests/b", Actions::PULL),
        ("GET", "/v2/tags/tags/list", "tags", Actions::PULL),
        ("POST", "/v2/blobs/uploads/blobs/uploads/", "blobs/uploads", WRITE),
        ("GET", "/v2/a/blobs/uploads/manifests/x", "a/blobs/uploads", Actions::PULL),
        ("GET", "/v2/a/tags/list/tags/list", "a/tags/list", Actions::PULL),
    ] {
        if !target.is_empty() {
            assert_eq!(target_and_actions(method, uri), Ok((target.to_owned(), actions)), "{method} {uri}");
        }
    }
}

#[test]
fn non_canonical_request_is_rejected_pitfalls_p19_p20_p21() {
    for (method, uri) in [
        ("GET", "/v2"),
        ("GET", "/v2//"),
        ("GET", "/V2/team/app/manifests/latest"),
        ("GET", "/v2/team%2Fapp/manifests/latest"),
        ("GET", "/v2/%74eam/app/manifests/latest"),
        ("GET", "/v2/team/app/manifests/sha256%3Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("GET", "/v2/team/../app/manifests/latest"),
        ("GET", "/v2/./team/manifests/latest"),
        ("GET", "/x/../v2/team/manifests/latest"),
        ("GET", "//v2/team/manifests/latest"),
        ("GET", "/v2/team//app/manifests/latest"),
        ("GET", "/v2/team/app/manifests/latest/"),
        ("GET", "/v2/team/app/manifests/.."),
        ("GET", "/v2/manifests/latest"),
        ("GET", "/v2/tags/list"),
        ("POST", "/v2/team/app/blobs/uploads"),
        ("PUT", "/v2/team/app/blobs/uploads/.."),
        ("PUT", "/v2/team/app/blobs/uploads/a%2Fb"),
        ("POST", "/v2/blobs/uploads/"),
        ("GET", "/v2/_catalog/"),
        ("GET", "/v2/_ext/x"),
        ("GET", "/v2/team/app/_ext/x"),
        ("GET", "/v2/team/app/extensions/x"),
        ("POST", "/v2/"),
        ("OPTIONS", "/v2/team/app/manifests/latest"),
        ("POST", "/v2/team/app/manifests/latest"),
        ("PATCH", "/v2/team/app/manifests/latest"),
        ("PUT", "/v2/team/app/blobs/DIGEST"),
        ("GET", "/v2/team/app/blobs/uploads/"),
        ("PUT", "/v2/team/app/blobs/uploads/"),
        ("DELETE", "/v2/_catalog"),
        ("DELETE", "/v2/team/app/tags/list"),
        ("get", "/v2/team/app/manifests/latest"),
        ("FOO", "/v2/team/app/manifests/latest"),
        ("", "/v2/team/app/manifests/latest"),
        ("GET", "http://host/v2/team/app/manifests/latest"),
        ("GET", "/v2/team/app/manifests/latest#x"),
        ("GET", "/v2/team/app/tags/list?n=%zz"),
        ("GET", "/v2/team/app/tags/list?n=1;last=2"),
        ("GET", "/v2/team/app/tags/list?n=%00"),
        ("GET", "/v2/team/app/tags/list?n=%ff"),
        ("PUT", "/v2/team/app/blobs/uploads/id?mount=DIGEST&from=secret/app"),
        ("PUT", "/v2/team/app/blobs/uploads/id?digest=DIGEST&%64igest=DIGEST"),
    ] {
        let parsed = target_and_actions(method, uri);
        assert!(parsed.is_err(), "{method} {uri}: {parsed:?}");
    }
}

/// Returns the repository and the error code of a request with a malformed reference.
fn malformed(method: &str, uri: &str) -> Option<(String, &'static str)> {
    let uri = uri.replace("DIGEST", DIGEST);
    let request = parse_request(method, &uri, "").unwrap_or_else(|error| panic!("{method} {uri}: {error}"));
    let RegistryTarget::Repository(name) = request.target else { return None };
    assert!(request.mount_source.is_none() || request.malformed_reference.is_none(), "{method} {uri}");
    request.malformed_reference.map(|malformed| (name.to_owned(), malformed.code.name()))
}

#[test]
fn malformed_reference_gets_the_specified_error_code_field_c15() {
    let long_tag = "x".repeat(129);
    let long_name = "a".repeat(256);
    for (method, uri, name, code) in [
        ("GET", "/v2/team/app/manifests/", "team/app", "MANIFEST_UNKNOWN"),
        ("GET", "/v2/team/app/manifests/.INVALID_MANIFEST_NAME", "team/app", "MANIFEST_UNKNOWN"),
        ("HEAD", "/v2/team/app/manifests/sha256:totallywrong", "team/app", "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/team/app/manifests/sha256:totallywrong", "team/app", "DIGEST_INVALID"),
        ("DELETE", "/v2/team/app/manifests/sha256:totallywrong", "team/app", "DIGEST_INVALID"),
        ("PUT", "/v2/team/app/manifests/-x", "team/app", "MANIFEST_INVALID"),
        ("PUT", &format!("/v2/team/app/manifests/{long_tag}"), "team/app", "MANIFEST_INVALID"),
        ("GET", &format!("/v2/team/app/manifests/{long_tag}"), "team/app", "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/team/app/manifests/x?tag=../y", "team/app", "MANIFEST_INVALID"),
        ("GET", "/v2/team/app/blobs/sha256:abc", "team/app", "BLOB_UNKNOWN"),
        ("GET", "/v2/team/app/blobs/uploads", "team/app", "BLOB_UNKNOWN"),
        ("DELETE", "/v2/team/app/blobs/latest", "team/app", "DIGEST_INVALID"),
        ("GET", "/v2/team/app/referrers/latest", "team/app", "DIGEST_INVALID"),
        ("POST", "/v2/team/app/blobs/uploads/?digest=sha256:abc", "team/app", "DIGEST_INVALID"),
        ("POST", "/v2/team/app/blobs/uploads/?mount=x&from=a", "team/app", "DIGEST_INVALID"),
        ("POST", "/v2/team/app/blobs/uploads/?mount=DIGEST&from=../a", "team/app", "NAME_INVALID"),
        ("PATCH", "/v2/team/app/blobs/uploads/a~b", "team/app", "BLOB_UPLOAD_INVALID"),
        ("GET", "/v2/team/app/blobs/uploads/a~b", "team/app", "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/Team/app/manifests/latest", "Team/app", "NAME_UNKNOWN"),
        ("PUT", "/v2/Team/app/manifests/.x", "Team/app", "NAME_INVALID"),
        ("GET", "/v2/host:5000/app/tags/list", "host:5000/app", "NAME_UNKNOWN"),
        ("GET", "/v2/team_/app/manifests/latest", "team_/app", "NAME_UNKNOWN"),
        ("POST", "/v2/te._am/blobs/uploads/", "te._am", "NAME_INVALID"),
        ("GET", &format!("/v2/{long_name}/manifests/x"), &long_name, "NAME_UNKNOWN"),
    ] {
        assert_eq!(malformed(method, uri), Some((name.to_owned(), code)), "{method} {uri}");
    }
    for (method, uri) in [
        ("GET", format!("/v2/{}/manifests/x", &long_name[1..])),
        ("PUT", format!("/v2/a/manifests/{}", &long_tag[1..])),
        ("GET", "/v2/a/manifests/DIGEST".to_owned()),
    ] {
        assert_eq!(malformed(method, &uri), None, "{method} {uri}");
    }
}

#[test]
fn read_request_accepts_only_harmless_parameters_field_c14() {
    for query in [
        "?cache=0c1e&page=1",
        "?orderby=timedesc",
        "?n=1&n=2&last=a&LAST=b",
        "?_method=DELETE&digest=DIGEST",
        "?filter[ns]=x&nsx=1&xns=2",
    ] {
        for path in ["/v2/a/tags/list", "/v2/a/referrers/DIGEST", "/v2/a/manifests/x", "/v2/_catalog", "/v2/"]
        {
            let uri = format!("{path}{query}").replace("DIGEST", DIGEST);
            let [with, without] = [&uri, path].map(|uri| target_and_actions("GET", uri));
            assert_eq!(with, without, "{uri}");
            assert!(!parse_request("HEAD", &uri, "").unwrap().has_parameters_to_strip, "{uri}");
        }
    }
    // The namespace parameter of mirrors is stripped in every spelling that a server could read as one.
    for name in ["ns", "NS", "n%73", "%6E%53", "ns[]", "Ns[0]"] {
        let uri = format!("/v2/a/tags/list?x=1&{name}=docker.io&{name}=ghcr.io&last=b");
        let request = parse_request("GET", &uri, "").unwrap();
        assert!(request.has_parameters_to_strip, "{uri}");
        assert_eq!(request.stripped_uri(), "/v2/a/tags/list?x=1&last=b", "{uri}");
    }
    for query in
        ["mount=DIGEST", "from=b", "FROM=b", "m%6Funt[]=DIGEST", "%20ns=x", "+ns=x", "n%C5%BF=x", "x=1;ns=y"]
    {
        for method in ["GET", "HEAD"] {
            let uri = format!("/v2/a/tags/list?{query}");
            assert!(target_and_actions(method, &uri).is_err(), "{method} {query}");
        }
    }
    for (method, uri) in [
        ("PUT", "/v2/a/manifests/x?cache=1"),
        ("PUT", "/v2/a/manifests/x?origin=h"),
        ("DELETE", "/v2/a/manifests/x?page=1"),
        ("POST", "/v2/a/blobs/uploads/?cache=1"),
        ("POST", "/v2/a/blobs/uploads/?NS=x"),
        ("PATCH", "/v2/a/blobs/uploads/id?From=b"),
        ("PUT", "/v2/a/blobs/uploads/id?digest=DIGEST&Digest=DIGEST"),
    ] {
        assert!(target_and_actions(method, uri).is_err(), "{method} {uri}");
    }
}

/// Returns the mount source, the stripped URI, and the URI without the mount.
fn mount(query: &str) -> Result<(Option<String>, String, String), &'static str> {
    let uri = format!("/v2/team/app/blobs/uploads/?{}", query.replace("DIGEST", DIGEST));
    parse_request("POST", &uri, "").map(|request| {
        let source = request.mount_source.clone().map(|source| source.repository);
        (source, request.stripped_uri(), request.uri_without_mount())
    })
}

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";

#[test]
fn mount_source_is_found_in_every_spelling_pitfalls_p16_p17_p18() {
    for query in
        ["mount=DIGEST&from=secret/app", "from=secret%2Fapp&mount=DIGEST", "%66rom=secret/app&m%6Funt=DIGEST"]
    {
        let (source, stripped, without_mount) = mount(query).unwrap();
        assert_eq!(source.as_deref(), Some("secret/app"), "{query}");
        assert_eq!(stripped, format!("{UPLOADS}?{}", query.replace("DIGEST", DIGEST)));
        assert_eq!(without_mount, UPLOADS);
    }
    // A mount without a source, which is from any repository in some registries, and a source without a mount: both
    // become an ordinary upload.
    for query in ["mount=DIGEST", "from=secret/app", "origin=h", "origin=h&mount=DIGEST"] {
        let (source, stripped, _) = mount(query).unwrap();
        assert_eq!((source, stripped), (None, UPLOADS.to_owned()), "{query}");
    }
    for query in [
        "mount=DIGEST&from=a&from=b",
        "mount=DIGEST&from=a&%66rom=b",
        "mount=DIGEST&mount=DIGEST&from=a",
        "mount=DIGEST&from=a&%zz=1",
        "mount=DIGEST;from=a",
    ] {
        assert!(mount(query).is_err(), "{query}");
    }
}

#[test]
fn upload_with_form_body_is_rejected_pitfall_p15() {
    let uri = format!("{UPLOADS}?from=public/app&mount={DIGEST}");
    for content_type in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLencoded; charset=utf-8",
        " multipart/form-data; boundary=x",
        "text/plain; multipart/mixed",
        "multipart\u{212a}",
    ] {
        assert!(parse_request("POST", &uri, content_type).is_err(), "{content_type}");
        assert!(parse_request("PATCH", "/v2/a/blobs/uploads/id", content_type).is_err(), "{content_type}");
    }
    for content_type in ["", "application/octet-stream", "?"] {
        assert!(parse_request("POST", &uri, content_type).is_ok(), "{content_type}");
    }
}

#[test]
fn mirror_namespace_parameter_is_stripped_pitfall_p23() {
    let request = parse_request("GET", "/v2/team/app/tags/list?n=1&ns=docker.io&last=x", "").unwrap();
    assert!(request.has_parameters_to_strip);
    assert_eq!(request.stripped_uri(), "/v2/team/app/tags/list?n=1&last=x");
    assert!(!parse_request("GET", "/v2/team/app/tags/list?n=1", "").unwrap().has_parameters_to_strip);
}
