//! Pushes, which are off by default.

use super::{ApiReply, EcrSetup, ReceivedRequest, Reply, TOKEN, alice, value};
use crate::support::client::Request;
use crate::support::nginx::{assert_challenge, assert_json};

#[test]
fn push_is_refused_by_default_with_a_clear_message() {
    let setup = EcrSetup::plain();
    let asked = setup.ecr.requests();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GETX", "PROPFIND"] {
        let body = if matches!(method, "DELETE" | "OPTIONS") { "" } else { "hello" };
        let request = Request::new(method, "/v2/a/blobs/uploads/").body(body);
        assert_challenge(&setup.ask(&request));
        let answer = setup.ask(&alice(request));
        assert_json(&answer, 405, "UNSUPPORTED");
        assert!(answer.text().contains("this registry is read-only here"), "{answer:?}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    let denied = alice(Request::new("PUT", "/v2/denied/manifests/x").body("{}"));
    assert_json(&setup.ask(&denied), 403, "DENIED");
    assert_eq!(setup.ecr.requests(), asked, "the registry heard of none");
    assert_eq!(setup.get("/v2/a/tags/list").status, 200);
    assert_eq!(setup.ask(&alice(Request::new("HEAD", "/v2/"))).status, 200);
}

/// Answers an upload as ECR does: each response names the next address with the registry's own host.
fn upload(heard: &ReceivedRequest, base: &str) -> Reply {
    assert_eq!(value(heard, "authorization"), TOKEN, "{heard:?}");
    let location = |path: &str| format!("Location: {base}{path}\r\n");
    match (&heard.method[..], &heard.target[..]) {
        ("POST", "/v2/a/blobs/uploads/") => {
            Reply::with("202 Accepted", &location("/v2/a/blobs/uploads/1"), "")
        }
        ("PATCH", "/v2/a/blobs/uploads/1") => {
            assert_eq!(value(heard, "content-range"), "0-4");
            let headers = location("/v2/a/blobs/uploads/2") + "Range: 0-4\r\n";
            Reply::with("202 Accepted", &headers, "")
        }
        ("PUT", "/v2/a/blobs/uploads/2?digest=sha256:0") => {
            Reply::with("201 Created", &location("/v2/a/blobs/sha256:0"), "")
        }
        _ => Reply::status(404),
    }
}

#[test]
fn upload_is_started_continued_and_finished_under_the_own_host_name() {
    let setup = EcrSetup::start(|image| image.set("PUSH", "on"), |_| Reply::status(500));
    let base = setup.url("");
    setup.ecr.behave(move |heard| upload(heard, &base));
    let go = |method: &str, target: &str, body: &str| {
        let request = Request::new(method, target).host("registry.test:8443");
        let request = alice(request).header("Content-Type", "application/octet-stream");
        let request = if method == "PATCH" { request.header("Content-Range", "0-4") } else { request };
        let answer =
            setup.ask(&if method == "PATCH" { request.chunked(body.as_bytes()) } else { request.body(body) });
        (answer.status, answer.header("location").map(str::to_owned))
    };
    let at = |path: &str| Some(path.to_owned());
    assert_eq!(go("POST", "/v2/a/blobs/uploads/", ""), (202, at("/v2/a/blobs/uploads/1")));
    assert_eq!(go("PATCH", "/v2/a/blobs/uploads/1", "hello"), (202, at("/v2/a/blobs/uploads/2")));
    assert_eq!(go("PUT", "/v2/a/blobs/uploads/2?digest=sha256:0", ""), (201, at("/v2/a/blobs/sha256:0")));
    let patch = &setup.heard("/v2/a/blobs/uploads/1")[0];
    // For a short body, nginx has the length before it sends the auth request.
    let framed = [value(patch, "transfer-encoding"), value(patch, "content-length")];
    assert!(patch.body == b"hello" && matches!(framed, ["chunked", ""] | ["", "5"]), "{patch:?}");
    assert_eq!(value(&setup.heard("/v2/a/blobs/uploads/")[0], "content-length"), "0");
    // A user that may not push cannot start an upload.
    assert_challenge(&setup.ask(&Request::new("POST", "/v2/a/blobs/uploads/").body("")));
    let denied = alice(Request::new("POST", "/v2/denied/blobs/uploads/").body(""));
    assert_json(&setup.ask(&denied), 403, "DENIED");
    assert_eq!(setup.ecr.heard().iter().filter(|heard| heard.method == "POST").count(), 1);
    assert!(setup.reported_refusals().is_empty());
}

#[test]
fn token_that_expires_during_a_push_gets_503_and_the_push_resumes_pitfall_p37() {
    let setup = EcrSetup::start(|image| image.set("PUSH", "on"), |_| Reply::status(500));
    setup.ecr.behave(|heard| match value(heard, "authorization") {
        "Basic bmV3" => Reply::with("202 Accepted", "Range: 0-4\r\n", ""),
        _ if heard.method == "POST" => Reply::with("202 Accepted", "", ""),
        _ => Reply::with(
            "403 Forbidden",
            "Content-Type: application/json\r\n",
            r#"{"errors":[{"code":"DENIED"}]}"#,
        ),
    });
    let ask = |method: &str| setup.ask(&alice(Request::new(method, "/v2/a/blobs/uploads/1").body("hello")));
    assert_eq!(ask("POST").status, 202);
    assert_json(&ask("PATCH"), 503, "UNAVAILABLE");
    let told = setup.reported_refusals();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].header("x-upstream-status"), told[0].header("x-original-method")), ("403", "PATCH"));
    *setup.token.lock().unwrap() = "Basic bmV3".to_owned();
    assert_eq!(ask("PATCH").status, 202);
    assert_eq!(setup.reported_refusals().len(), 1);
}

#[test]
fn two_mib_upload_is_not_buffered_to_disk() {
    let setup = EcrSetup::start(|image| image.set("PUSH", "on"), |_| Reply::status(201));
    let body = vec![7; 2 << 20];
    let put = || alice(Request::new("PUT", "/v2/a/blobs/uploads/1"));
    for request in [put().body(body.clone()), put().chunked(&body)] {
        assert_eq!(setup.ask(&request).status, 201);
        let heard = setup.ecr.heard().pop().unwrap();
        assert!(heard.body == body, "{} bytes", heard.body.len());
    }
    setup.ecr.say(Reply::with("200 OK", "", &"y".repeat(2 << 20)));
    assert_eq!(setup.get("/v2/a/blobs/x").body.len(), 2 << 20);
    assert!(!setup.nginx.log().contains("buffered to a temporary file"), "{}", setup.nginx.log());
    *setup.page.lock().unwrap() = ApiReply::status(503);
    setup.ecr.say(Reply::status(401));
    let refused = setup.ask(&put().body(body));
    assert_eq!(refused.status, 503);
}
