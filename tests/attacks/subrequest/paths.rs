//! Registry requests outside `/v2/`.

use super::{assert_forbidden, line, of_alice, question, start};
use crate::support::doorward::{Doorward, doorward};
use crate::support::keys::{Key, file};
use crate::support::users;

/// Spellings that nginx reads as a path below `/v2/`, or that a backend could read as a path outside it.
const SPELLINGS: [&str; 18] = [
    "/api/admin/%2e%2e/%2e%2e/v2/",
    "/api/admin/../../v2/",
    "/v2/../api/admin",
    "/v2/..%2fapi",
    "/v2/%2e%2e/api",
    "/v2/.%2E/api",
    "/v2/%252e%252e/api",
    "/v2/a/./b",
    "/v2//api",
    "//v2/",
    "/v2/..;/api",
    "/v2;/api",
    "/v2/..%5capi",
    "/v2/%c0%ae%c0%ae/api",
    "/%76%32/",
    "/V2/",
    "/v2/a%00",
    "/api",
];

#[test]
fn registry_path_outside_v2_or_not_canonical_is_denied_without_a_policy_field_r1() {
    let doorward = start(false, &["--log-denials-per-second", "1000"]);
    let mut client = doorward.client();
    // The second request is answered from the worker cache.
    for uri in ["/v2/", "/v2/", "/v2/a/manifests/1", "/v2/a/manifests/sha256%3A0", "/v2/_catalog?last=../x"] {
        assert_eq!(client.ask(&of_alice("GET", uri)).status, 200, "{uri}");
    }
    for uri in SPELLINGS {
        for method in ["GET", "POST", "DELETE", "PROPFIND"] {
            assert_forbidden(&client.ask(&of_alice(method, uri)), "malformed_reference");
            let nobody = question(method, uri).header("X-Auth-Rewrite", "yes");
            assert_eq!(client.ask(&nobody).status, 401, "{method} {uri}");
        }
        // Paths of a site are not restricted without a policy.
        assert_eq!(client.ask(&question("GET", uri).basic("alice", "wonderland")).status, 200, "{uri}");
    }
    let line = line(&doorward, &["reason=\"malformed_reference\"", "path=\"/api/admin/%2e%2e/%2e%2e/v2/\""]);
    assert!(line.contains("does not begin with /v2/") && line.contains("user=\"alice\""), "{line}");
    let unsaid = of_alice("GET", "/v2/").header("X-Original-URI", "/v2/");
    assert_forbidden(&client.ask(&unsaid), "invalid_proxy_headers");
    let missing = crate::support::client::Request::auth().header("X-Auth-Rewrite", "yes");
    assert_forbidden(&client.ask(&missing.basic("alice", "wonderland")), "invalid_proxy_headers");
}

#[test]
fn registry_path_outside_v2_is_denied_with_a_policy_or_an_api_key_field_r1() {
    let dir = tempfile::tempdir().unwrap();
    let (all, pull) = (Key::new("alice", "all"), Key::new("alice", "pull").scope(&["pull:**", "/**"]));
    std::fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    std::fs::write(dir.path().join("keys"), file(&[&all, &pull])).unwrap();
    let keys = dir.path().join("keys").display().to_string();
    let keyed = Doorward::start_in(dir, &["--api-keys", &keys]);
    let ruled = start(true, &[]);
    for uri in SPELLINGS {
        assert_forbidden(&ruled.ask(&of_alice("GET", uri)), "policy");
        // The scope of a key is evaluated as a policy.
        for (key, reason) in [(&all, "malformed_reference"), (&pull, "policy")] {
            let request = question("GET", uri).header("X-Auth-Rewrite", "yes").basic("alice", &key.secret);
            assert_forbidden(&keyed.ask(&request), reason);
        }
    }
    for key in [&all, &pull] {
        let request = question("GET", "/v2/").header("X-Auth-Rewrite", "yes").basic("alice", &key.secret);
        assert_eq!(keyed.ask(&request).status, 200);
    }
}

#[test]
fn explain_and_auth_agree_on_each_path_spelling_field_r1_c10() {
    let service = start(false, &[]);
    let file = service.htpasswd().display().to_string();
    for uri in SPELLINGS.into_iter().chain(["/v2/", "/v2/a/manifests/1", "/index.html"]) {
        for rewrite in ["yes", "no", "-"] {
            let told =
                doorward(&["explain", "--htpasswd", &file, "--auth-rewrite", rewrite, "alice", "GET", uri]);
            let request = question("GET", uri).basic("alice", "wonderland");
            let request = if rewrite == "-" { request } else { request.header("X-Auth-Rewrite", rewrite) };
            let allowed = service.ask(&request).status == 200;
            assert_eq!(told.code, Some(i32::from(!allowed)), "{rewrite} {uri}: {told:?}");
        }
    }
}
