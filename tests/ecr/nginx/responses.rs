//! Responses of the upstream registry, and refusals of doorward.

use super::{Authority, EcrSetup, Reply, alice, value};
use crate::support::client::Request;
use crate::support::nginx::{assert_challenge, assert_json};

#[test]
fn location_at_the_registry_becomes_a_path_and_any_other_is_unchanged_pitfall_p38() {
    let setup = EcrSetup::plain();
    let own = setup.url("/v2/a/blobs/uploads/1?_state=x%3D&y=/z");
    let port = setup.ecr.address.port();
    let storage =
        "https://prod-eu-starport-layer-bucket.s3.eu-central-1.amazonaws.com/a/b?X-Amz-Signature=0a%2F&x=y";
    let others = [
        storage.to_owned(),
        format!("https://registry.ecr.test.evil.test:{port}/v2/"),
        format!("https://evil.test/?{own}"),
        format!("https://registry.ecr.test:{port}@evil.test/"),
        format!("https://registry.ecr.test:{port}0/"),
        "/v2/relative".to_owned(),
    ];
    let cases = others.iter().map(|other| (other, &other[..]));
    for (said, wanted) in cases.chain([(&own, "/v2/a/blobs/uploads/1?_state=x%3D&y=/z")]) {
        for status in ["307 Temporary Redirect", "202 Accepted", "201 Created"] {
            setup.ecr.say(Reply::with(status, &format!("Location: {said}\r\n"), ""));
            for host in ["registry.test:8443", "registry.test"] {
                let answer = setup.ask(&alice(Request::get("/v2/a/blobs/sha256:0")).host(host));
                assert_eq!(answer.header("location"), Some(wanted), "{status}: {answer:?}");
            }
        }
    }
}

#[test]
fn list_of_three_pages_is_read_under_the_own_host_name_pitfall_p39() {
    let setup = EcrSetup::plain();
    let base = setup.url("");
    setup.ecr.behave(move |heard| {
        let (tags, next) = match &heard.target[..] {
            "/v2/a/tags/list?n=2" => (r#"["1","2"]"#, Some("/v2/a/tags/list?last=2%2B&n=2")),
            "/v2/a/tags/list?last=2%2B&n=2" => (r#"["3","4"]"#, Some("/v2/a/tags/list?last=4%2B&n=2")),
            "/v2/a/tags/list?last=4%2B&n=2" => (r#"["5"]"#, None),
            other => panic!("{other}"),
        };
        let link = next.map_or(String::new(), |next| format!("Link: <{base}{next}>; rel=\"next\"\r\n"));
        Reply::with("200 OK", &link, &format!(r#"{{"name":"a","tags":{tags}}}"#))
    });
    let mut next = Some("/v2/a/tags/list?n=2".to_owned());
    let mut seen = String::new();
    while let Some(target) = next {
        let answer = setup.get(&target);
        assert_eq!(answer.status, 200, "{answer:?}");
        seen += &answer.text();
        next = answer.header("link").map(|link| {
            let path = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
            path.unwrap_or_else(|| panic!("{link}")).to_owned()
        });
        assert!(next.as_ref().is_none_or(|next| next.starts_with("/v2/")), "{next:?}");
    }
    assert_eq!(seen.matches("tags").count(), 3, "{seen}");
    // One that leads elsewhere is none of ours.
    let elsewhere = "<https://other.test/v2/a>; rel=\"next\"";
    setup.ecr.say(Reply::with("200 OK", &format!("Link: {elsewhere}\r\n"), "{}"));
    assert_eq!(setup.get("/v2/").header("link"), Some(elsewhere));
}

#[test]
fn other_registry_responses_are_passed_on_unchanged() {
    let setup = EcrSetup::plain();
    let body = r#"{"errors":[{"code":"OF_ECR","message":"in its own words"}]}"#;
    let headers = "Content-Type: application/json; charset=utf-8\r\nDocker-Distribution-Api-Version: registry/2.0\r\nSet-Cookie: a=b\r\nStrict-Transport-Security: max-age=9\r\nX-Accel-Redirect: /_doorward\r\n";
    for status in [200, 206, 400, 404, 405, 406, 409, 413, 416, 429, 500, 503] {
        setup.ecr.say(Reply::with(&format!("{status} Said"), headers, body));
        let answer = setup.get("/v2/a/manifests/x");
        assert_eq!((answer.status, &answer.text()[..]), (status, body), "{answer:?}");
        // The client of the tests takes no header that is not on its list: no cookie is left.
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    }
    // A gateway's own, in HTML as a rule.
    for status in [502, 504] {
        setup.ecr.say(Reply::with(&format!("{status} Said"), "Content-Type: text/html\r\n", "<html>"));
        assert_json(&setup.get("/v2/a/manifests/x"), 502, "UNAVAILABLE");
    }
    // A challenge beside another status is none for our clients.
    setup.ecr.say(Reply::with("400 Said", "WWW-Authenticate: Basic realm=\"ecr\"\r\n", "{}"));
    assert_eq!(setup.get("/v2/").header("www-authenticate"), None);
}

#[test]
fn range_and_head_responses_are_passed_on() {
    let setup = EcrSetup::plain();
    let headers = "Content-Range: bytes 1-2/5\r\nDocker-Content-Digest: sha256:0\r\nETag: \"e\"\r\n";
    setup.ecr.say(Reply::with("206 Partial Content", headers, "el"));
    let part = setup.ask(&alice(Request::get("/v2/a/blobs/x")).header("Range", "bytes=1-2"));
    assert_eq!((part.status, &part.text()[..]), (206, "el"));
    assert_eq!(part.header("docker-content-digest"), Some("sha256:0"));
    setup.ecr.say(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    let head = setup.ask(&alice(Request::new("HEAD", "/v2/a/blobs/y")));
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!(setup.heard("/v2/a/blobs/y")[0].method, "HEAD");
}

#[test]
fn doorward_refusals_are_the_same_as_for_a_local_registry() {
    let setup = EcrSetup::plain();
    let asked = setup.ecr.requests();
    assert_challenge(&setup.ask(&Request::get("/v2/")));
    assert_challenge(&setup.ask(&Request::get("/v2/").basic("alice", "x")));
    let head = setup.ask(&Request::new("HEAD", "/v2/"));
    assert_eq!((head.status, head.header("www-authenticate").is_some()), (401, true));
    let denied = setup.get("/v2/denied/tags/list");
    assert_json(&denied, 403, "DENIED");
    assert!(denied.text().contains("is denied: repository:denied:pull"), "{denied:?}");
    for path in ["/", "/v1/_ping", "/x", "/@doorward_ecr", "/@doorward_upstream_refused"] {
        assert_json(&setup.get(path), 404, "UNSUPPORTED");
    }
    for path in ["/_doorward", "/_doorward/refused"] {
        assert_eq!(setup.get(path).status, 404, "{path}");
    }
    assert_json(&setup.get("/v2/../_doorward"), 400, "UNSUPPORTED");
    assert_eq!(setup.ecr.requests(), asked, "the registry hears of none of it");
    assert!(setup.told().is_empty());
}

#[test]
fn refusal_reasons_map_to_distinct_responses() {
    use crate::support::upstream::{Upstream, empty};
    let doorward = Upstream::start("");
    let at = doorward.address.to_string();
    let authority = Authority::new("Test Authority");
    let setup = EcrSetup::over(authority, None, |image| image.set("AUTH", &at));
    let says = |status: &str, headers: &str| {
        doorward.say(&empty(&format!("{status}\r\n{headers}")).replace("\r\n\r\nContent", "\r\nContent"));
        setup.get("/v2/")
    };
    let throttled = says("403 No", "X-Auth-Reason: throttled\r\nRetry-After: 7");
    assert_json(&throttled, 429, "TOOMANYREQUESTS");
    assert_eq!(throttled.header("retry-after"), Some("7"));
    assert_json(&says("403 No", "X-Auth-Reason: invalid_proxy_headers"), 403, "DENIED");
    let upstream = says("503 No", "X-Auth-Reason: upstream_credentials");
    assert_json(&upstream, 503, "UNAVAILABLE");
    assert!(upstream.text().contains("the registry's credentials are unavailable"), "{upstream:?}");
    let other = says("503 No", "X-Auth-Reason: authenticator_unavailable");
    assert!(other.text().contains("authentication is unavailable"), "{other:?}");
    assert!(
        says("500 No", "X-Auth-Reason: upstream_credentials")
            .text()
            .contains("authentication is unavailable")
    );
    drop(doorward);
    assert_eq!(setup.ecr.connections(), 0);
}

#[test]
fn request_that_was_not_authorized_never_reaches_the_registry() {
    let setup = EcrSetup::plain();
    for target in ["/v2/a", "/v2//a", "/v2/%2e%2e/v2/x", "/%76%32/a", "//v2/a", "/x/../v2/a"] {
        let before = setup.ecr.requests();
        let answer = setup.ask(&Request::get(target));
        assert!(matches!(answer.status, 400 | 401 | 404), "{target}: {answer:?}");
        assert_eq!(setup.ecr.requests(), before, "{target}");
        let status = if target == "/v2/a" { 200 } else { 400 };
        assert_eq!(setup.get(target).status, status, "{target}");
    }
    let all = setup.ecr.heard();
    assert!(all.iter().all(|heard| value(heard, "authorization") == super::TOKEN));
}
