//! Headers that reach the upstream registry.

use std::collections::BTreeSet;

use super::{EcrSetup, NAME, Reply, SECRET, TOKEN, alice, is_since, value};
use crate::support::client::{Request, basic};
use crate::support::nginx::assert_json;

#[test]
fn registry_gets_only_the_headers_of_its_protocol() {
    let setup = EcrSetup::plain();
    let request = alice(Request::get("/v2/a/manifests/x%3Ay?n=1%20"))
        .header("Accept", "application/vnd.oci.image.index.v1+json")
        .header("Content-Type", "application/json")
        .header("Content-Range", "0-4")
        .header("Range", "bytes=1-2")
        .header("If-Range", "\"e\"")
        .header("If-Match", "\"m\"")
        .header("If-None-Match", "\"n\"")
        .header("User-Agent", "docker/27");
    let hostile = [
        "Cookie",
        "Forwarded",
        "Proxy",
        "Proxy-Authorization",
        "Referer",
        "Remote-User",
        "X-Amz-Security-Token",
        "X-Auth-By",
        "X-Auth-Groups",
        "X-Auth-Proxy-Secret",
        "X-Auth-User",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-HTTP-Method-Override",
        "X-Original-URI",
        "X-Real-IP",
        "X-Upstream-Authorization",
        "X-Upstream-URI",
    ];
    let request = hostile.iter().fold(request, |request, name| request.header(name, "Basic ZXZpbA=="));
    assert_eq!(setup.ask(&request).status, 200);
    let heard = setup.heard("/v2/a/manifests/x%3Ay?n=1%20");
    let [heard] = &heard[..] else { panic!("{heard:?}") };
    let names: BTreeSet<&str> = heard.headers.iter().map(|(name, _)| &name[..]).collect();
    let wanted = [
        ("accept", "application/vnd.oci.image.index.v1+json"),
        ("authorization", TOKEN),
        ("content-range", "0-4"),
        ("content-type", "application/json"),
        ("host", &format!("{NAME}:{}", setup.ecr.address.port())),
        ("if-match", "\"m\""),
        ("if-none-match", "\"n\""),
        ("if-range", "\"e\""),
        ("range", "bytes=1-2"),
        ("user-agent", "docker/27"),
    ];
    // If the client sent only one `Accept` header, nginx before 1.23.0 adds media types that it cannot
    // detect.
    for (name, text) in wanted {
        assert!(value(heard, name).starts_with(text), "{name}: {heard:?}");
    }
    assert_eq!(names, wanted.iter().map(|(name, _)| *name).collect());
    let log = setup.nginx.log();
    assert!(!log.contains("[warn]") && !log.contains("[error]") && !log.contains("[crit]"), "{log}");
}

#[test]
fn doorward_gets_the_proxy_secret_and_never_one_from_the_client() {
    let setup = EcrSetup::plain();
    let forged = alice(Request::get("/v2/x"))
        .header("X-Auth-Proxy-Secret", "forged")
        .header("X-Upstream-Authorization", "Basic Zm9yZ2Vk")
        .header("X-Upstream-Status", "403");
    assert_eq!(setup.ask(&forged).status, 200);
    let calls = setup.doorward.calls();
    let last = calls.last().unwrap();
    assert_eq!(last.header("x-original-uri"), "/v2/x");
    assert_eq!(last.header("x-auth-proxy-secret"), SECRET);
    assert_eq!((last.header("x-upstream-authorization"), last.header("x-upstream-status")), ("", ""));
    let [heard] = &setup.heard("/v2/x")[..] else { panic!() };
    assert_eq!(value(heard, "authorization"), TOKEN);
}

#[test]
fn tokens_of_12_and_16_kib_are_passed_on_and_a_longer_one_is_refused() {
    let setup = EcrSetup::plain();
    for length in [12 << 10, 16 << 10] {
        let token = format!("Basic {}", "x".repeat(length - 6));
        token.clone_into(&mut setup.token.lock().unwrap());
        let target = format!("/v2/{length}");
        let answer = setup.get(&target);
        assert_eq!(answer.status, 200, "{length}: {}", setup.nginx.log());
        assert_eq!(value(&setup.heard(&target)[0], "authorization"), token);
        assert!(!format!("{:?}", answer.headers).contains("xxxx"));
    }
    *setup.token.lock().unwrap() = "x".repeat(70_000);
    assert_json(&setup.get("/v2/more"), 503, "UNAVAILABLE");
    assert!(setup.heard("/v2/more").is_empty());
}

#[test]
fn without_upstream_credentials_no_credentials_are_sent() {
    let setup = EcrSetup::plain();
    setup.token.lock().unwrap().clear();
    assert_eq!(setup.get("/v2/none").status, 200);
    let heard = &setup.heard("/v2/none")[0];
    assert_eq!(heard.header("authorization"), None);
    assert!(!format!("{heard:?}").contains(&basic("alice:wonderland")[6..]));
}

#[test]
fn all_accept_headers_are_forwarded() {
    let setup = EcrSetup::plain();
    let types = [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    ];
    let request = types.iter().fold(alice(Request::get("/v2/a/manifests/x")), |r, t| r.header("Accept", t));
    assert_eq!(setup.ask(&request).status, 200);
    let heard = &setup.heard("/v2/a/manifests/x")[0];
    let asked: BTreeSet<&str> = value(heard, "accept").split(", ").collect();
    assert_eq!(asked, BTreeSet::from(types), "{heard:?}");
    // No type is added if no header is hidden.
    let one = alice(Request::get("/v2/one")).header("Accept", types[0]);
    assert_eq!(setup.ask(&one).status, 200);
    if is_since([1, 23, 0]) {
        assert_eq!(value(&setup.heard("/v2/one")[0], "accept"), types[0]);
    }
    assert_eq!(setup.ask(&alice(Request::get("/v2/json")).header("Accept", "*/*")).status, 200);
    assert_eq!(value(&setup.heard("/v2/json")[0], "accept"), "*/*");
}

#[test]
fn upstream_uri_from_doorward_is_requested_from_the_registry() {
    let setup = EcrSetup::start(|image| image.set("PUSH", "on"), |_| Reply::status(202));
    let mount = "/v2/a/blobs/uploads/?mount=sha256:0&from=secret/app";
    assert_eq!(setup.ask(&alice(Request::new("POST", mount).body(""))).status, 202);
    assert_eq!(setup.heard(mount).len(), 0);
    assert_eq!(setup.heard("/v2/a/blobs/uploads/").len(), 1);
    assert_eq!(setup.doorward.calls().last().unwrap().header("x-auth-rewrite"), "yes");
}

#[test]
fn connections_to_the_registry_are_kept_alive_if_nginx_supports_it() {
    let setup = EcrSetup::plain();
    let before = setup.ecr.connections();
    for _ in 0..20 {
        assert_eq!(setup.get("/v2/").status, 200);
    }
    if is_since([1, 27, 3]) {
        assert_eq!(setup.ecr.connections(), before, "no new one");
    }
}
