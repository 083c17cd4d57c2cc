//! The requests of the OCI conformance suite, compared with the registry alone.

use std::fs;

use doorward::internals::RegistryErrorCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::setup::TokenSetup;
use crate::support::api::{Api, Reply};
use crate::support::client::{Answer, Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Nginx, Template, assert_json};
use crate::support::registry::Registry;
use crate::support::users::{self, QUICK};

/// A policy: dora may do everything, and bob may pull from one repository.
const RULES: &str = r#"
[[grant]]
users = ["dora"]
actions = ["pull", "push", "delete", "catalog"]

[[grant]]
users = ["bob"]
repositories = ["suite/one"]
actions = ["pull"]
"#;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(content: impl AsRef<[u8]>) -> String {
    let sum = Sha256::digest(content);
    format!("sha256:{}", sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A function that sends a request as dora and answers challenges.
type RequestSender<'s> = Box<dyn Fn(Request) -> Answer + 's>;

/// Returns a client that sends a password with each request.
fn with_basic(nginx: &Nginx) -> RequestSender<'_> {
    Box::new(|request| nginx.ask(&request.basic("dora", "d4")))
}

/// Returns a client that requests the token named in the challenge.
fn with_tokens(setup: &TokenSetup) -> RequestSender<'_> {
    Box::new(|request| {
        let first = setup.nginx.ask(&request.clone());
        let Some(challenge) = first.header("www-authenticate") else { return first };
        assert_eq!(first.status, 401, "{first:?}");
        let scope = challenge.split("scope=\"").nth(1).and_then(|rest| rest.split('"').next());
        let scopes: Vec<&str> = scope.map(|text| text.split(' ').collect()).unwrap_or_default();
        setup.with_token("dora", &scopes, request)
    })
}

/// Returns the path and query of the `Location` of an upload.
fn path_of(answer: &Answer) -> String {
    let location = answer.header("location").unwrap_or_else(|| panic!("no Location: {answer:?}"));
    let behind = location.split_once("://").map_or(location, |(_, rest)| rest);
    behind[behind.find('/').expect("a path")..].to_owned()
}

/// Sends the requests of the suite in its order. Returns a description of each request, with the status and the error
/// code of the registry.
fn run(ask: &RequestSender<'_>) -> Vec<(String, u16, String)> {
    let mut seen = Vec::new();
    let mut go = |what: &str, request: Request| {
        let answer = ask(request);
        let code = serde_json::from_slice::<Value>(&answer.body).ok();
        let code = code.and_then(|value| Some(value["errors"][0]["code"].as_str()?.to_owned()));
        seen.push((what.to_owned(), answer.status, code.unwrap_or_default()));
        answer
    };
    let of = |method: &str, target: &str| Request::new(method, target);
    let sent = |method: &str, target: &str, body: &str| {
        Request::new(method, target).header("Content-Type", "application/octet-stream").body(body)
    };
    let (one, two) = ("/v2/suite/one", "/v2/suite/two");
    let (blob, config) = ("hello", "{}");
    let (blob_digest, config_digest) = (digest(blob), digest(config));

    go("ping", of("GET", "/v2/"));
    let post = go("upload: begin", of("POST", &format!("{one}/blobs/uploads/")).body(""));
    go("upload: where it is", of("GET", &path_of(&post)));
    let patch = go("upload: a chunk", sent("PATCH", &path_of(&post), blob).header("Content-Range", "0-4"));
    let at = path_of(&patch);
    let join = if at.contains('?') { '&' } else { '?' };
    go("upload: the end", of("PUT", &format!("{at}{join}digest={blob_digest}")).body(""));
    let whole = format!("{one}/blobs/uploads/?digest={config_digest}");
    let post = go("upload: in one request", sent("POST", &whole, config));
    if post.status == 202 {
        let at = path_of(&post);
        let join = if at.contains('?') { '&' } else { '?' };
        go("upload: in two", sent("PUT", &format!("{at}{join}digest={config_digest}"), config));
    }
    let post = go("upload: another", of("POST", &format!("{one}/blobs/uploads/")).body(""));
    let at = path_of(&post);
    let join = if at.contains('?') { '&' } else { '?' };
    go("upload: a wrong digest", sent("PUT", &format!("{at}{join}digest=sha256:0"), blob));
    let post = go("upload: one to cancel", of("POST", &format!("{one}/blobs/uploads/")).body(""));
    go("upload: cancel", of("DELETE", &path_of(&post)));
    go("blob: head", of("HEAD", &format!("{one}/blobs/{blob_digest}")));
    go("blob: get", of("GET", &format!("{one}/blobs/{blob_digest}")));
    go("blob: a part", of("GET", &format!("{one}/blobs/{blob_digest}")).header("Range", "bytes=1-2"));
    go("blob: unknown", of("GET", &format!("{one}/blobs/{}", digest("none"))));

    let mount = format!("{two}/blobs/uploads/?mount={blob_digest}");
    go("mount", of("POST", &format!("{mount}&from=suite%2Fone")).body(""));
    go(
        "mount: with its origin, field C13",
        of("POST", &format!("{mount}&from=suite/one&origin=doorward.test")).body(""),
    );
    go("mount: from nowhere", of("POST", &format!("{mount}&from=suite/none")).body(""));
    go("mount: without a source", of("POST", &mount).body(""));

    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config":
        { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": 2 } });
    let manifest = manifest.to_string();
    let by_digest = format!("{one}/manifests/{}", digest(&manifest));
    let put =
        |target: &str| Request::new("PUT", target).header("Content-Type", MANIFEST).body(manifest.clone());
    go("manifest: put by tag", put(&format!("{one}/manifests/v1")));
    go("manifest: put by digest", put(&by_digest));
    go("manifest: put with tags", put(&format!("{by_digest}?tag=v2&tag=v3")));
    go("manifest: the longest tag", put(&format!("{one}/manifests/{}", "t".repeat(128))));
    go("manifest: put by another digest", put(&format!("{one}/manifests/{}", digest("other"))));
    let accept = |request: Request| request.header("Accept", MANIFEST);
    go("manifest: get by tag", accept(of("GET", &format!("{one}/manifests/v1"))));
    go("manifest: head by digest", accept(of("HEAD", &by_digest)));
    go("manifest: unknown", accept(of("GET", &format!("{one}/manifests/none"))));
    go(
        "manifest: parameters of its own, field C14",
        accept(of("GET", &format!("{one}/manifests/v1?cache=1&page=2"))),
    );
    go("tags", of("GET", &format!("{one}/tags/list")));
    go("tags: a page", of("GET", &format!("{one}/tags/list?n=1&last=v1")));
    go(
        "tags: parameters of its own, field C14",
        of("GET", &format!("{one}/tags/list?n=1&orderby=timedesc&page=2&page=3")),
    );
    go("tags: of no repository", of("GET", "/v2/suite/none/tags/list"));
    let referrers = format!("{one}/referrers/{}", digest(&manifest));
    go("referrers", of("GET", &referrers));
    go(
        "referrers: a page, field C14",
        of("GET", &format!("{referrers}?artifactType=a%2Fb&cache=1c0e&page=1")),
    );
    go("catalog", of("GET", "/v2/_catalog?n=10&last=a"));
    go("manifest: delete a tag", of("DELETE", &format!("{one}/manifests/v1")));
    go("manifest: delete", of("DELETE", &by_digest));
    go("manifest: gone", accept(of("GET", &by_digest)));
    go("blob: delete", of("DELETE", &format!("{one}/blobs/{blob_digest}")));
    go("blob: gone", of("HEAD", &format!("{one}/blobs/{blob_digest}")));
    seen
}

/// Starts the servers with Basic authentication, with or without a policy.
fn basic(rules: Option<&str>) -> (Registry, Doorward, Nginx) {
    let dir = tempfile::tempdir().unwrap();
    let lines = [users::line("dora", "d4", QUICK), users::line("bob", "b2", QUICK)].concat();
    fs::write(dir.path().join("htpasswd"), lines).unwrap();
    let policy = dir.path().join("policy.toml").display().to_string();
    fs::write(&policy, rules.unwrap_or_default()).unwrap();
    let flags: &[&str] = if rules.is_some() { &["--policy", &policy] } else { &[] };
    let (registry, doorward) = (Registry::start_with_log(), Doorward::start_in(dir, flags));
    let nginx = Nginx::start(Template::Registry, tcp(&doorward.address), registry.address);
    (registry, doorward, nginx)
}

#[test]
fn well_formed_requests_get_the_same_responses_as_from_the_registry_alone_field_c13_c14() {
    let alone = Registry::start_with_log();
    let bare = run(&(Box::new(|request: Request| alone.ask(&request)) as RequestSender<'_>));
    assert!(bare.len() >= 40 && bare.iter().filter(|(_, status, _)| *status < 300).count() > 25, "{bare:?}");
    for (how, rules) in [("Basic", None), ("Basic with a policy", Some(RULES))] {
        let (_registry, _doorward, nginx) = basic(rules);
        assert_eq!(run(&with_basic(&nginx)), bare, "{how}");
    }
    for tokens in ["mixed", "registry"] {
        let setup = TokenSetup::start(tokens);
        assert_eq!(run(&with_tokens(&setup)), bare, "{tokens}");
    }
}

/// Returns the malformed requests of the suite (v1.1.1 and later) and variants. Each has the response for a user with
/// the required permission.
fn malformed() -> Vec<(&'static str, String, u16, &'static str)> {
    let long = "t".repeat(129);
    let one = "/v2/suite/one";
    vec![
        ("GET", format!("{one}/manifests/.INVALID_MANIFEST_NAME"), 404, "MANIFEST_UNKNOWN"),
        ("GET", format!("{one}/manifests/sha256:totallywrong"), 404, "MANIFEST_UNKNOWN"),
        ("HEAD", format!("{one}/manifests/.INVALID_MANIFEST_NAME"), 404, ""),
        ("PUT", format!("{one}/manifests/sha256:totallywrong"), 400, "DIGEST_INVALID"),
        ("PUT", format!("{one}/manifests/{long}"), 400, "MANIFEST_INVALID"),
        ("GET", format!("{one}/manifests/{long}"), 404, "MANIFEST_UNKNOWN"),
        ("PUT", format!("{one}/manifests/{}?tag=.x", digest("x")), 400, "MANIFEST_INVALID"),
        ("DELETE", format!("{one}/manifests/@x"), 400, "MANIFEST_INVALID"),
        ("GET", format!("{one}/blobs/sha256:totallywrong"), 404, "BLOB_UNKNOWN"),
        ("GET", format!("{one}/referrers/none"), 400, "DIGEST_INVALID"),
        ("POST", format!("{one}/blobs/uploads/?digest=sha256:totallywrong"), 400, "DIGEST_INVALID"),
        ("GET", format!("{one}/blobs/uploads/a@b"), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", format!("{one}/blobs/uploads/a@b"), 400, "BLOB_UPLOAD_INVALID"),
    ]
}

fn assert_malformed(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"), "{what}");
    for header in ["x-auth-error", "x-auth-reason", "www-authenticate"] {
        assert_eq!(answer.header(header), None, "{what}");
    }
    if !code.is_empty() {
        let value: Value =
            serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{what}: {answer:?}"));
        assert_eq!(value["errors"][0]["code"], code, "{what}");
        assert!(
            value["errors"][0]["message"].as_str().is_some_and(|text| text.contains("malformed")),
            "{what}"
        );
    }
}

#[test]
fn malformed_reference_gets_the_error_of_the_specification_from_the_proxy_field_c15() {
    let (registry, _doorward, nginx) = basic(Some(RULES));
    let seen = |target: &str| registry.log().contains(target.split('?').next().unwrap());
    for (method, target, status, code) in malformed() {
        let what = format!("{method} {target}");
        let body = if matches!(method, "GET" | "HEAD" | "DELETE") { "" } else { "x" };
        let request = |user: &str, password: &str| {
            let request = Request::new(method, &target).basic(user, password);
            if body.is_empty() { request } else { request.body(body) }
        };
        assert_malformed(&nginx.ask(&request("dora", "d4")), status, code, &what);
        // bob has only pull, and no permission for another repository.
        let bob = nginx.ask(&request("bob", "b2"));
        if matches!(method, "GET" | "HEAD") && !target.contains("/uploads/") {
            assert_malformed(&bob, status, code, &what);
        } else {
            assert_eq!(bob.status, 403, "{what}: {bob:?}");
        }
        let elsewhere = target.replace("/suite/one/", "/suite/two/");
        let bob = Request::new(method, &elsewhere).basic("bob", "b2");
        assert_eq!(nginx.ask(&bob).status, 403, "{what}");
        assert_eq!(nginx.ask(&Request::new(method, &target)).status, 401, "{what}");
        assert_eq!(nginx.ask(&request("dora", "wrong")).status, 401, "{what}");
        assert!(!seen(&target), "it reached the registry: {what}");
    }
    assert_malformed(
        &nginx.ask(&Request::get("/v2/Suite/one/manifests/x").basic("dora", "d4")),
        404,
        "NAME_UNKNOWN",
        "a name",
    );
    assert!(registry.log().contains("http.request.uri") || !seen("/v2/suite/one/"), "the log names requests");
}

#[test]
fn malformed_reference_with_a_token_gets_the_error_from_the_proxy_field_c15() {
    let setup = TokenSetup::start("mixed");
    let ask = with_tokens(&setup);
    for (method, target, status, code) in malformed() {
        let request = Request::new(method, &target);
        let request = if matches!(method, "GET" | "HEAD" | "DELETE") { request } else { request.body("x") };
        assert_malformed(&ask(request.clone()), status, code, &format!("{method} {target}"));
        // A token for another repository gets a challenge for the right scope.
        let other = setup.with_token("dora", &["repository:suite/two:pull"], request);
        assert_eq!(other.status, 401, "{method} {target}: {other:?}");
        assert!(
            other.header("www-authenticate").unwrap().contains("error=\"insufficient_scope\""),
            "{other:?}"
        );
    }
    let name = Request::get("/v2/Suite/o%22ne/manifests/x");
    assert!(matches!(setup.nginx.ask(&name).status, 400 | 401));
    assert_eq!(ask(Request::get("/v2/Suite/one/manifests/x")).status, 403, "no token is for such a name");
}

#[test]
fn proxy_maps_every_listed_error_code_and_ignores_unlisted_ones() {
    let answers = |reason: &'static str, error: String| {
        let doorward = Api::start(move |_| {
            Reply::status(403).with("X-Auth-Reason", reason).with("X-Auth-Error", &error)
        });
        let registry = Api::start(|_| Reply::json("{}"));
        let nginx = Nginx::start(Template::Registry, doorward.address, registry.address);
        let answer = nginx.ask(&Request::get("/v2/a/manifests/.x"));
        assert_eq!(registry.count(), 0, "{answer:?}");
        answer
    };
    for code in RegistryErrorCode::ALL.iter().map(|code| code.name()) {
        let status = if code.ends_with("_UNKNOWN") { 404 } else { 400 };
        assert_malformed(&answers("malformed_reference", code.to_owned()), status, code, code);
    }
    // An unknown error code sets no status and is not written into the body.
    for error in ["", "OK", "X_UNKNOWN", "NAME_UNKNOWN\",\"x\":\"", "xNAME_UNKNOWN"] {
        assert_json(&answers("malformed_reference", error.to_owned()), 403, "DENIED");
    }
}
