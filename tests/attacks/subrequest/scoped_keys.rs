//! API keys with a scope behind incomplete proxies (project-zot/zot#528).

use super::{assert_forbidden, line, question};
use crate::support::client::Request;
use crate::support::doorward::{Doorward, doorward};
use crate::support::keys::{Key, file};
use crate::support::users;

fn start(keys: &[&Key]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    std::fs::write(dir.path().join("keys"), file(keys)).unwrap();
    let keys = dir.path().join("keys").display().to_string();
    Doorward::start_in(dir, &["--api-keys", &keys])
}

fn with(request: Request, key: &Key) -> Request {
    request.basic("alice", &key.secret)
}

#[test]
fn scoped_api_key_without_a_policy_works_without_x_auth_rewrite_field_c10_zot_528() {
    let key = Key::new("alice", "ci").scope(&["pull,push:t/**"]);
    let doorward = start(&[&key]);
    let ask = |method: &str, uri: &str| doorward.ask(&with(question(method, uri), &key));
    for (method, uri) in [
        ("GET", "/v2/"),
        ("GET", "/v2/t/app/manifests/1"),
        ("PUT", "/v2/t/app/manifests/1"),
        ("POST", "/v2/t/app/blobs/uploads/"),
    ] {
        let answer = ask(method, uri);
        assert_eq!((answer.status, answer.header("x-auth-by")), (200, Some("api_keys")), "{method} {uri}");
    }
    // Another repository, another action, the catalog, what is no registry's, and what no proxy takes away.
    let digest = format!("sha256:{}", "0".repeat(64));
    for (method, uri, scope) in [
        ("GET", "/v2/other/manifests/1".to_owned(), Some("repository:other:pull")),
        ("DELETE", "/v2/t/app/manifests/1".to_owned(), Some("repository:t/app:delete")),
        ("GET", "/v2/_catalog".to_owned(), Some("registry:catalog:*")),
        ("GET", "/index.html".to_owned(), None),
        ("GET", "/v2/t/../other/manifests/1".to_owned(), None),
        (
            "POST",
            format!("/v2/t/app/blobs/uploads/?mount={digest}&from=other"),
            Some("repository:other:pull"),
        ),
    ] {
        let answer = ask(method, &uri);
        assert_forbidden(&answer, "policy");
        assert_eq!(answer.header("x-auth-scope"), scope, "{method} {uri}");
    }
    let line = line(&doorward, &["path=\"/index.html\""]);
    assert!(line.contains("detail=\"the request is beyond the API key's scope; key dwk_"), "{line}");
    assert!(!doorward.log().contains("detail=\" ") && !doorward.log().contains("detail=\";"));
    // By half of the headers it is judged by none.
    let bare = with(Request::auth().from("192.0.2.1"), &key);
    assert_forbidden(&doorward.ask(&bare), "invalid_proxy_headers");
}

#[test]
fn api_key_for_a_site_grants_no_registry_access_and_vice_versa() {
    let keys = [
        Key::new("alice", "docs").scope(&["GET:/docs/**"]),
        Key::new("alice", "path").scope(&["/v2/docs/**"]),
        Key::new("alice", "pull").scope(&["pull:docs/**"]),
        Key::new("alice", "none").scope(&[]),
    ];
    let doorward = start(&keys.each_ref());
    let status = |key: usize, rewrite: Option<&str>, uri: &str| {
        let request = question("GET", uri);
        let request =
            rewrite.into_iter().fold(request, |request, value| request.header("X-Auth-Rewrite", value));
        doorward.ask(&with(request, &keys[key])).status
    };
    let manifest = "/v2/docs/a/manifests/1";
    // Of what: nothing said, a registry, none.
    for (key, uri, expected) in [
        (0, "/docs/a", [200, 403, 200]),
        (0, manifest, [403, 403, 403]),
        // A site's own path, which only a registry's client may always ask for.
        (0, "/v2/", [403, 200, 403]),
        (1, manifest, [200, 403, 200]),
        (2, manifest, [200, 200, 403]),
        (2, "/v2/", [200, 200, 403]),
        (2, "/docs/a", [403, 403, 403]),
        (3, manifest, [403, 403, 403]),
        (3, "/v2/", [403, 200, 403]),
    ] {
        let found = [None, Some("yes"), Some("no")].map(|rewrite| status(key, rewrite, uri));
        assert_eq!(found, expected, "{key} {uri}");
    }
}

#[test]
fn explain_and_auth_agree_on_scoped_api_keys_behind_every_proxy_field_c10() {
    let scopes: [&[&str]; 5] =
        [&["pull,push:t/**"], &["catalog"], &["GET:/docs/**", "pull:docs"], &["/**"], &[]];
    let names = ["a", "b", "c", "d", "e"];
    let keys: Vec<Key> =
        names.iter().zip(scopes).map(|(name, scope)| Key::new("alice", name).scope(scope)).collect();
    let service = start(&keys.iter().collect::<Vec<_>>());
    let at = |name: &str| service.folder().join(name).display().to_string();
    let (htpasswd, file) = (at("htpasswd"), at("keys"));
    let requests = [
        ("GET", "/v2/"),
        ("PUT", "/v2/t/app/manifests/1"),
        ("GET", "/v2/docs/tags/list"),
        ("GET", "/v2/_catalog"),
        ("GET", "/docs/a"),
        ("GET", "/v2/../docs/a"),
    ];
    for (name, key) in names.iter().zip(&keys) {
        for (method, uri) in requests {
            for rewrite in ["yes", "no", "-"] {
                let files = ["explain", "--htpasswd", &htpasswd, "--api-keys", &file, "--api-key", name];
                let told =
                    doorward(&[&files[..], &["--auth-rewrite", rewrite, "alice", method, uri]].concat());
                let request = with(question(method, uri), key);
                let request =
                    if rewrite == "-" { request } else { request.header("X-Auth-Rewrite", rewrite) };
                let allowed = service.ask(&request).status == 200;
                assert_eq!(told.code, Some(i32::from(!allowed)), "{name} {rewrite} {method} {uri}: {told:?}");
            }
        }
    }
}
