//! nginx and doorward together.

use std::fs;

use super::{Authority, EcrSetup, NAME, Reply, SECRET, alice, server_named, value};
use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{assert_challenge, assert_json};
use crate::support::{eventually, users};

const SETTINGS: &str = r#"
policy.file = "{dir}/policy.toml"
proxy_secret_file = "{dir}/secret"
[[upstream]]
name = "vendor"
repositories = ["releases/**"]
type = "basic"
username = "AWS"
password_file = "{dir}/password"
"#;

const POLICY: &str = r#"
[[grant]]
users = ["alice"]
actions = ["pull", "push"]
"#;

/// `AWS:first` and `AWS:second`.
const FIRST: &str = "Basic QVdTOmZpcnN0";
const SECOND: &str = "Basic QVdTOnNlY29uZA==";

pub(super) fn doorward() -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("htpasswd"), users::two()).unwrap();
    fs::write(at("policy.toml"), POLICY).unwrap();
    fs::write(at("secret"), SECRET).unwrap();
    fs::write(at("password"), "first\n").unwrap();
    let settings = SETTINGS.replace("{dir}", &dir.path().display().to_string());
    fs::write(at("doorward.toml"), format!("htpasswd.file = \"{}\"\n{settings}", at("htpasswd").display()))
        .unwrap();
    let config = at("doorward.toml").display().to_string();
    Doorward::start_in(dir, &["--config", &config])
}

/// Starts nginx between doorward and a registry that accepts only this token, as ECR does. The registry answers every
/// ping.
fn start(secret: bool) -> (EcrSetup, Doorward) {
    let doorward = doorward();
    let address = tcp(&doorward.address).to_string();
    let authority = Authority::new("Test Authority");
    let tls = server_named(&authority.pair(NAME, 2099), NAME);
    let set = |image: crate::support::nginx::Image| {
        let image = image.set("AUTH", &address).set("PUSH", "on");
        if secret {
            return image;
        }
        let image = image.file("other-secret", "of-another-test-0123456789\n");
        let path = image.path("other-secret").display().to_string();
        image.set("PROXY_SECRET_FILE", path)
    };
    let setup = EcrSetup::over(authority, Some(tls), set);
    if secret {
        setup.found();
    }
    (setup, doorward)
}

#[test]
fn each_request_is_forwarded_with_its_upstream_credentials() {
    let (setup, doorward) = start(true);
    let released = "/v2/releases/a/manifests/x";
    assert_eq!(setup.get(released).status, 200);
    assert_eq!(value(&setup.heard(released)[0], "authorization"), FIRST);
    let other = "/v2/other/manifests/x";
    assert_eq!(setup.get(other).status, 200);
    assert_eq!(setup.heard(other)[0].header("authorization"), None);
    let asked = setup.ecr.requests();
    assert_challenge(&setup.ask(&Request::get(released)));
    assert_json(&setup.ask(&Request::get(released).basic("bob", "builder")), 403, "DENIED");
    assert_eq!(setup.ecr.requests(), asked);
    // The file is replaced. The old credentials are not sent any more.
    fs::write(doorward.folder().join("password"), "second\n").unwrap();
    eventually("the new one is sent", || {
        assert_eq!(setup.get(released).status, 200);
        (value(setup.heard(released).last().unwrap(), "authorization") == SECOND).then_some(())
    });
}

#[test]
fn upstream_refusal_gets_the_error_page_and_is_counted() {
    let (setup, doorward) = start(true);
    setup.ecr.behave(|heard| match value(heard, "authorization") {
        SECOND => Reply::with("202 Accepted", "", ""),
        _ => Reply::with("403 Forbidden", "WWW-Authenticate: Basic realm=\"ecr\"\r\n", "{}"),
    });
    let at = |rest: &str| format!("/v2/releases/a/{rest}");
    let cases = [
        alice(Request::get(&at("manifests/x"))),
        alice(Request::new("PATCH", &at("blobs/uploads/x")).body("hello")),
        alice(Request::new("HEAD", &at("manifests/x"))),
        alice(Request::new("POST", &at("blobs/uploads/")).body("")),
        alice(Request::new("PUT", &at("blobs/uploads/x?digest=sha256:0")).chunked(&[7; 1 << 17])),
    ];
    for (count, request) in (1_u8..).zip(&cases) {
        let answer = setup.ask(request);
        assert_eq!((answer.status, answer.header("www-authenticate")), (503, None), "{answer:?}");
        if request.method != "HEAD" {
            assert_json(&answer, 503, "UNAVAILABLE");
            assert!(
                answer.text().contains("the registry refused the credentials of this proxy"),
                "{answer:?}"
            );
        }
        let told = doorward.metric("doorward_upstream_refused_total{upstream=\"vendor\"");
        assert_eq!(told, f64::from(count), "{request:?}");
    }
    fs::write(doorward.folder().join("password"), "second\n").unwrap();
    eventually("the new one is taken", || {
        let patch = alice(Request::new("PATCH", "/v2/releases/a/blobs/uploads/x").body("hello"));
        (setup.ask(&patch).status == 202).then_some(())
    });
}

#[test]
fn with_another_proxy_secret_no_credentials_are_given_and_the_registry_gets_no_request() {
    let (setup, doorward) = start(false);
    assert_json(&setup.get("/v2/releases/a/tags/list"), 403, "DENIED");
    let forged = alice(Request::get("/v2/releases/a/tags/list")).header("X-Auth-Proxy-Secret", SECRET);
    assert_json(&setup.ask(&forged), 403, "DENIED");
    // The rule applies to all requests, including those that need no upstream credentials.
    assert_json(&setup.get("/v2/other/tags/list"), 403, "DENIED");
    assert_eq!(setup.ecr.connections(), 0);
    assert!(!doorward.log().contains(SECRET));
}
