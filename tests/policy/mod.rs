//! Grants and denials of `/auth`, anonymous access, mounts, required headers.

mod advisories;
mod explain_agreement;
mod explain_and_check;
mod malformed_references;
mod nginx;
mod readme_examples;
mod reload;
mod unusable_push;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::policy::{GROUPS, RULES};
use crate::support::users;

/// doorward with a policy and a group file.
struct PolicySetup {
    doorward: Doorward,
}

impl PolicySetup {
    fn of(rules: &str, groups: &str) -> Self {
        let dir: TempDir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("htpasswd"), users::three()).unwrap();
        fs::write(dir.path().join("policy.toml"), rules).unwrap();
        fs::write(dir.path().join("groups"), groups).unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (policy, groups) = (path("policy.toml"), path("groups"));
        let flags = ["--policy", &policy, "--groups", &groups, "--reload-poll-interval", "100ms"];
        Self { doorward: Doorward::start_in(dir, &flags) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.doorward.folder().join(name)
    }

    /// Returns the auth request of nginx for `user`. The request has no credentials if `user` is `-`.
    fn question(user: &str, method: &str, uri: &str) -> Request {
        Self::question_of("yes", user, method, uri)
    }

    /// Returns the status of an auth request of a site, whose configuration always forwards the URI of the client.
    fn of_site(&self, user: &str, method: &str, uri: &str) -> u16 {
        self.doorward.ask(&Self::question_of("", user, method, uri)).status
    }

    fn question_of(rewrites: &str, user: &str, method: &str, uri: &str) -> Request {
        let request = Request::auth()
            .header("X-Original-Method", method)
            .header("X-Original-URI", uri)
            .header("X-Original-Host", "registry.example.com")
            .header("X-Original-Content-Type", "ct:")
            .header("X-Auth-Rewrite", rewrites)
            .from("192.0.2.1");
        match user {
            "ann" => request.basic("ann", "a1"),
            "bob" => request.basic("bob", "b2"),
            "carl" => request.basic("carl", "c3"),
            _ => request,
        }
    }

    fn ask(&self, user: &str, method: &str, uri: &str) -> Answer {
        self.doorward.ask(&Self::question(user, method, uri))
    }

    fn status(&self, user: &str, method: &str, uri: &str) -> u16 {
        self.ask(user, method, uri).status
    }
}

#[test]
fn granted_request_is_allowed_and_any_other_is_denied_with_its_scope() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let answer = setup.ask("ann", "PUT", "/v2/team/app/manifests/v1");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), Some("ann"));
    assert_eq!(answer.header("x-auth-groups"), Some("devs"));
    assert_eq!(answer.header("x-upstream-uri"), None, "nothing is to be rewritten");

    let answer = setup.ask("carl", "PUT", "/v2/team/app/manifests/v1");
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some("policy"));
    assert_eq!(answer.header("x-auth-scope"), Some("repository:team/app:push"));
    assert_eq!(answer.header("x-auth-user"), None);
    for (user, method, uri, status) in [
        ("carl", "GET", "/v2/team/app/manifests/v1", 200),
        ("carl", "DELETE", "/v2/team/app/manifests/v1", 403),
        ("bob", "DELETE", "/v2/team/app/manifests/v1", 200),
        ("bob", "GET", "/v2/team/secret/tags/list", 403),
        ("ann", "GET", "/v2/team/secret/tags/list", 200),
        ("ann", "GET", "/v2/_catalog", 200),
        ("bob", "GET", "/v2/_catalog", 403),
        ("carl", "GET", "/v2/", 200),
        ("ann", "GET", "/", 403),
        ("ann", "OPTIONS", "/v2/", 403),
    ] {
        assert_eq!(setup.status(user, method, uri), status, "{user} {method} {uri}");
    }
    assert_eq!(setup.ask("bob", "GET", "/v2/_catalog").header("x-auth-scope"), Some("registry:catalog:*"));
}

#[test]
fn anonymous_client_gets_anyone_grants_and_a_wrong_password_does_not() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let answer = setup.ask("-", "GET", "/v2/public/base/manifests/v1");
    assert_eq!(answer.status, 200, "{answer:?}");
    for name in ["x-auth-user", "x-auth-groups", "x-auth-by"] {
        assert_eq!(answer.header(name), Some(""), "a client's own copy must find its place taken");
    }
    // The ping is always challenged (pitfall P12), and so is every request that needs a user.
    for (method, uri) in [
        ("GET", "/v2/"),
        ("GET", "/v2/team/app/manifests/v1"),
        ("PUT", "/v2/public/base/manifests/v1"),
        ("GET", "/v2/public/../team/app/manifests/v1"),
        ("GET", "/v2/_catalog"),
    ] {
        let answer = setup.ask("-", method, uri);
        assert_eq!(answer.status, 401, "{method} {uri}: {answer:?}");
        assert!(answer.header("www-authenticate").is_some());
    }
    for wrong in ["ann:a2", "nobody:x", "nobody:", ":", "x"] {
        let credentials = crate::support::client::basic(wrong);
        let request = PolicySetup::question("-", "GET", "/v2/public/base/manifests/v1")
            .header("Authorization", credentials);
        assert_eq!(setup.doorward.ask(&request).status, 401, "{wrong}");
    }
    let bearer =
        PolicySetup::question("-", "GET", "/v2/public/base/manifests/v1").header("Authorization", "Bearer x");
    assert_eq!(setup.doorward.ask(&bearer).status, 401);
}

#[test]
fn missing_or_duplicate_policy_header_is_refused_as_incomplete() {
    let setup = PolicySetup::of(RULES, GROUPS);
    let headers = [
        ("X-Original-Method", "GET"),
        ("X-Original-URI", "/v2/team/app/manifests/v1"),
        ("X-Original-Host", "registry.example.com"),
        ("X-Original-Content-Type", "ct:"),
        ("X-Real-IP", "192.0.2.1"),
    ];
    let with = |left_out: usize, twice: usize| {
        let mut request = Request::auth().basic("ann", "a1");
        for (at, (name, value)) in headers.into_iter().enumerate().filter(|(at, _)| *at != left_out) {
            request = request.header(name, value);
            if at == twice {
                request = request.header(name, value);
            }
        }
        setup.doorward.ask(&request)
    };
    assert_eq!(with(9, 9).status, 200);
    for (at, (name, _)) in headers.into_iter().enumerate() {
        for (what, answer) in [("left out", with(at, 9)), ("twice", with(9, at))] {
            // Without X-Real-IP the address of the peer is used. No rule of this policy names a network.
            let expected = if (at, what) == (4, "left out") { 200 } else { 403 };
            assert_eq!(answer.status, expected, "{name} {what}: {answer:?}");
            if expected == 403 {
                assert_eq!(answer.header("x-auth-reason"), Some("invalid_proxy_headers"));
            }
        }
    }
    // A request without credentials and without proxy headers.
    assert_eq!(setup.doorward.ask(&Request::auth()).header("x-auth-reason"), Some("invalid_proxy_headers"));
    let bare = PolicySetup::question("-", "GET", "/v2/team/app/manifests/v1");
    let request = Request::auth().basic("ann", "a1").header("X-Original-Content-Type", "");
    assert_eq!(setup.doorward.ask(&request).header("x-auth-reason"), Some("invalid_proxy_headers"));
    assert_eq!(setup.doorward.ask(&bare).status, 401);
}

#[test]
fn mount_from_a_repository_without_pull_permission_becomes_an_upload_pitfall_p18() {
    let rules = "[[grant]]\nusers = [\"ann\"]\nrepositories = [\"a/**\"]\nactions = [\"pull\", \"push\"]\n";
    let setup = PolicySetup::of(rules, "");
    let digest = format!("sha256:{}", "0".repeat(64));
    let uri = |from: &str| format!("/v2/a/x/blobs/uploads/?mount={digest}&from={from}");
    let allowed = setup.ask("ann", "POST", &uri("a/y"));
    assert_eq!((allowed.status, allowed.header("x-upstream-uri")), (200, None));
    let degraded = setup.ask("ann", "POST", &uri("secret%2Fy"));
    assert_eq!((degraded.status, degraded.header("x-upstream-uri")), (200, Some("/v2/a/x/blobs/uploads/")));
    // If the proxy does not support a replaced URI, the mount is denied and not turned into an upload.
    let plain = Request::auth()
        .basic("ann", "a1")
        .header("X-Original-Method", "POST")
        .header("X-Original-URI", uri("secret/y"))
        .header("X-Original-Host", "h")
        .header("X-Original-Content-Type", "ct:");
    let refused = setup.doorward.ask(&plain);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.header("x-auth-scope"), Some("repository:secret/y:pull"));
}

#[test]
fn address_of_nginx_is_not_matched_as_client_network() {
    let rules = "[[grant]]\nusers = [\"ann\"]\nnetworks = [\"127.0.0.0/8\"]\nactions = [\"pull\"]\n";
    let setup = PolicySetup::of(rules, "");
    let question = || {
        Request::auth()
            .basic("ann", "a1")
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", "/v2/a/tags/list")
            .header("X-Original-Host", "h")
            .header("X-Original-Content-Type", "ct:")
    };
    assert_eq!(setup.doorward.ask(&question().from("127.0.0.9")).status, 200);
    assert_eq!(setup.doorward.ask(&question().from("192.0.2.1")).status, 403);
    assert_eq!(setup.doorward.ask(&question()).status, 403, "nginx, at 127.0.0.1, named nobody");
}
