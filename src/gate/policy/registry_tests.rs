//! The registry protocol's requests: what each takes, and what is none of them.

use super::*;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const WRITE: Actions = Actions::PULL.and(Actions::PUSH);

fn asked(method: &str, uri: &str) -> Result<(String, Actions), &'static str> {
    let uri = uri.replace("DIGEST", DIGEST);
    read(method, &uri, "").map(|asked| match asked.target {
        Target::Ping => ("ping".to_owned(), asked.actions),
        Target::Catalog => ("catalog".to_owned(), asked.actions),
        Target::Repository(name) => (name.to_owned(), asked.actions),
    })
}

#[test]
fn each_request_of_the_specification_takes_what_it_does() {
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
        // Names that are words of the protocol.
        ("GET", "/v2/a/manifests/b/manifests/c", "a/manifests/b", Actions::PULL),
        ("GET", "/v2/tags/tags/list", "tags", Actions::PULL),
        ("POST", "/v2/blobs/uploads/blobs/uploads/", "blobs/uploads", WRITE),
        ("GET", "/v2/a/blobs/uploads/manifests/x", "a/blobs/uploads", Actions::PULL),
        ("GET", "/v2/a/tags/list/tags/list", "a/tags/list", Actions::PULL),
    ] {
        if !target.is_empty() {
            assert_eq!(asked(method, uri), Ok((target.to_owned(), actions)), "{method} {uri}");
        }
    }
}

#[test]
fn what_is_not_canonical_is_no_request_pitfalls_p19_p20_p21() {
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
        ("GET", "/v2/team/app/manifests/"),
        ("GET", "/v2/team/app/manifests/.."),
        ("GET", "/v2/team/app/manifests/-x"),
        ("GET", "/v2/Team/app/manifests/latest"),
        ("GET", "/v2/host:5000/app/manifests/latest"),
        ("GET", "/v2/team_/app/manifests/latest"),
        ("GET", "/v2/te___am/manifests/latest"),
        ("GET", "/v2/te._am/manifests/latest"),
        ("GET", "/v2/manifests/latest"),
        ("GET", "/v2/tags/list"),
        ("GET", "/v2/team/app/blobs/sha256:abc"),
        ("GET", "/v2/team/app/blobs/latest"),
        ("GET", "/v2/team/app/blobs/uploads"),
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
        ("GET", "/v2/team/app/manifests/latest?x=1"),
        ("GET", "/v2/team/app/manifests/latest#x"),
        ("GET", "/v2/team/app/tags/list?n=1&n=2"),
        ("GET", "/v2/team/app/tags/list?n=%zz"),
        ("GET", "/v2/team/app/tags/list?n=1;last=2"),
        ("GET", "/v2/team/app/tags/list?n=%00"),
        ("GET", "/v2/team/app/tags/list?n=%ff"),
        ("PUT", "/v2/team/app/manifests/x?tag=../y"),
        ("PUT", "/v2/team/app/blobs/uploads/id?mount=DIGEST&from=secret/app"),
        ("PUT", "/v2/team/app/blobs/uploads/id?digest=DIGEST&%64igest=DIGEST"),
    ] {
        assert!(asked(method, uri).is_err(), "{method} {uri}: {:?}", asked(method, uri));
    }
    let long = format!("/v2/{}/manifests/x", "a".repeat(256));
    assert!(asked("GET", &long).is_err());
    assert!(asked("GET", &long.replacen("/a", "/", 1)).is_ok());
}

fn mount(query: &str) -> Result<(Option<String>, String, String), &'static str> {
    let uri = format!("/v2/team/app/blobs/uploads/?{}", query.replace("DIGEST", DIGEST));
    read("POST", &uri, "").map(|asked| (asked.source.clone(), asked.stripped(), asked.without_mount()))
}

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";

#[test]
fn a_mount_names_its_source_however_it_is_written_pitfalls_p16_p17_p18() {
    for query in
        ["mount=DIGEST&from=secret/app", "from=secret%2Fapp&mount=DIGEST", "%66rom=secret/app&m%6Funt=DIGEST"]
    {
        let (source, whole, without) = mount(query).unwrap();
        assert_eq!(source.as_deref(), Some("secret/app"), "{query}");
        assert_eq!(whole, format!("{UPLOADS}?{}", query.replace("DIGEST", DIGEST)));
        assert_eq!(without, UPLOADS);
    }
    // From anywhere, for some registries, and from nowhere: an ordinary upload.
    for query in ["mount=DIGEST", "from=secret/app"] {
        let (source, stripped, _) = mount(query).unwrap();
        assert_eq!((source, stripped), (None, UPLOADS.to_owned()), "{query}");
    }
    for query in [
        "mount=DIGEST&from=a&from=b",
        "mount=DIGEST&from=a&%66rom=b",
        "mount=DIGEST&mount=DIGEST&from=a",
        "mount=x&from=a",
        "mount=DIGEST&from=Secret/app",
        "mount=DIGEST&from=../app",
        "mount=DIGEST&from=a&%zz=1",
        "mount=DIGEST;from=a",
    ] {
        assert!(mount(query).is_err(), "{query}");
    }
}

#[test]
fn a_form_is_no_upload_pitfall_p15() {
    let uri = format!("{UPLOADS}?from=public/app&mount={DIGEST}");
    for content_type in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLencoded; charset=utf-8",
        " multipart/form-data; boundary=x",
        "text/plain; multipart/mixed",
        "multipart\u{212a}",
    ] {
        assert!(read("POST", &uri, content_type).is_err(), "{content_type}");
        assert!(read("PATCH", "/v2/a/blobs/uploads/id", content_type).is_err(), "{content_type}");
    }
    for content_type in ["", "application/octet-stream", "?"] {
        assert!(read("POST", &uri, content_type).is_ok(), "{content_type}");
    }
}

#[test]
fn a_mirrors_namespace_is_stripped_pitfall_p23() {
    let asked = read("GET", "/v2/team/app/tags/list?n=1&ns=docker.io&last=x", "").unwrap();
    assert!(asked.strip);
    assert_eq!(asked.stripped(), "/v2/team/app/tags/list?n=1&last=x");
    assert!(!read("GET", "/v2/team/app/tags/list?n=1", "").unwrap().strip);
}
