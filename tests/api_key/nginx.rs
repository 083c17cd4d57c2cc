//! API keys through nginx to a registry, by skopeo and curl.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::support::client::{Request, tcp};
use crate::support::doorward::Doorward;
use crate::support::eventually;
use crate::support::image::{make, skopeo};
use crate::support::keys::{FIXED, Key, Presentation, file, from_now, presentations, revoke};
use crate::support::nginx::{Nginx, Template};
use crate::support::process::{Output, program, run};
use crate::support::registry::Registry;
use crate::support::upstream::{Tap, Upstream, empty};
use crate::support::users;

const PEOPLE: [(&str, &str); 2] = [("ann", "a1"), ("bob", "b2")];

/// Keys of ann: without a scope, with pull only, and expired; and a key of bob.
struct PresentedKeys {
    all: Key,
    pull: Key,
    over: Key,
    bobs: Key,
}

/// nginx, doorward with API keys, and a registry; an image for skopeo to push.
struct RegistrySetup {
    home: TempDir,
    nginx: Nginx,
    doorward: Doorward,
    registry: Registry,
    tap: Tap,
    keys: PresentedKeys,
}

impl RegistrySetup {
    fn start() -> Self {
        let keys = PresentedKeys {
            all: Key::new("ann", "all"),
            pull: Key::new("ann", "pull").scope(&["pull:team/**"]),
            over: Key::new("ann", "over").with("expires", from_now(-60)),
            bobs: Key::new("bob", "bobs"),
        };
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let lines: String = PEOPLE.iter().map(|(user, word)| users::line(user, word, users::QUICK)).collect();
        fs::write(path("htpasswd"), lines).unwrap();
        fs::write(path("keys"), file(&[&keys.all, &keys.pull, &keys.over, &keys.bobs])).unwrap();
        let (at, registry) = (path("keys"), Registry::start());
        let flags = ["--api-keys", &at, "--reload-poll-interval", "100ms"];
        let doorward = Doorward::start_in(dir, &flags);
        let tap = Tap::start(registry.address);
        // The default before nginx 1.19.10 is 100, which closes a client's connection during a test.
        let lines = "keepalive_requests 1000;";
        let nginx = Nginx::start_with(Template::Registry, tcp(&doorward.address), tap.address, lines);
        let home = tempfile::tempdir().unwrap();
        make(&home.path().join("image"), 2);
        Self { home, nginx, doorward, registry, tap, keys }
    }

    fn remote(&self, name: &str) -> String {
        format!("docker://{}/{name}:one", self.nginx.address)
    }

    fn push(&self, credentials: &str, name: &str) -> Output {
        let image = format!("oci:{}:one", self.home.path().join("image").display());
        let flags = ["copy", "--preserve-digests", "--dest-tls-verify=false", credentials];
        skopeo(self.home.path(), &[&flags[..], &[&image, &self.remote(name)]].concat())
    }

    fn pull(&self, credentials: &str, name: &str) -> Output {
        let back = tempfile::tempdir().unwrap();
        let to = format!("oci:{}:one", back.path().display());
        let flags = ["copy", "--preserve-digests", "--src-tls-verify=false", credentials];
        skopeo(self.home.path(), &[&flags[..], &[&self.remote(name), &to]].concat())
    }

    /// Runs curl as a user would, and returns the status and the body.
    fn curl(&self, more: &[&str], method: &str, path: &str) -> (String, String) {
        let mut command = Command::new(program("curl", "curl"));
        command.args(["-sS", "-w", "\n%{http_code}", "-X", method]).args(more);
        command.arg(format!("http://{}{path}", self.nginx.address));
        let output = run(command);
        assert_eq!(output.code, Some(0), "{output:?}");
        let (body, status) = output.stdout.rsplit_once('\n').expect("a status");
        (status.to_owned(), body.to_owned())
    }
}

/// Returns the flags with which curl presents a key.
fn of_curl(way: Presentation<'_>, secret: &str) -> [String; 2] {
    match way {
        Presentation::As(user) => ["-u".to_owned(), format!("{user}:{secret}")],
        Presentation::Bearer => ["-H".to_owned(), format!("Authorization: Bearer {secret}")],
    }
}

fn assert_allowed(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// Checks that the client failed and its error contains `words`.
fn assert_says(output: &Output, words: &str) {
    assert!(output.code != Some(0) && output.stderr.contains(words), "{words}: {output:?}");
}

#[test]
fn skopeo_pushes_and_pulls_with_an_api_key_as_password_and_with_the_fixed_name() {
    let setup = RegistrySetup::start();
    let PresentedKeys { all, pull, over, bobs } = &setup.keys;
    let address = setup.nginx.address.to_string();
    for user in ["ann", FIXED] {
        let log_in = |secret: &str| {
            skopeo(setup.home.path(), &["login", "--tls-verify=false", "-u", user, "-p", secret, &address])
        };
        assert!(log_in(&all.secret).stdout.contains("Login Succeeded"));
        assert!(log_in(&pull.secret).stdout.contains("Login Succeeded"));
        assert_says(&log_in(&over.secret), "invalid username/password");
        let name = format!("team/{user}");
        let to = |key: &Key| format!("--dest-creds={user}:{}", key.secret);
        let from = |key: &Key| format!("--src-creds={user}:{}", key.secret);
        assert_allowed(&setup.push(&to(all), &name));
        assert_allowed(&setup.pull(&from(all), &name));
        assert_allowed(&setup.pull(&from(pull), &name));
        let said = "requested access to the resource is denied: repository:team/new:push";
        assert_says(&setup.push(&to(pull), "team/new"), said);
        let said = "requested access to the resource is denied: repository:other/app:pull";
        assert_says(&setup.pull(&from(pull), "other/app"), said);
        for wrong in [to(over), format!("--dest-creds=bob:{}", all.secret)] {
            assert_says(&setup.push(&wrong, "team/new"), "unauthorized");
        }
        let as_bob = format!("--src-creds=ann:{}", bobs.secret);
        assert_says(&setup.pull(&as_bob, &name), "unauthorized");
    }
    assert_eq!(setup.doorward.hashes(), 0.0, "no password was used");
}

#[test]
fn skopeo_registry_token_without_a_bearer_challenge_is_unauthorized() {
    let setup = RegistrySetup::start();
    let PresentedKeys { all, .. } = &setup.keys;
    assert_allowed(&setup.push(&format!("--dest-creds={FIXED}:{}", all.secret), "team/app"));
    let said = setup.pull(&format!("--src-registry-token={}", all.secret), "team/app");
    assert_says(&said, "unauthorized");
    let said = setup.push(&format!("--dest-registry-token={}", all.secret), "team/new");
    assert_says(&said, "unauthorized");
}

#[test]
fn curl_with_an_api_key_in_each_form_is_allowed_within_its_scope_only() {
    let setup = RegistrySetup::start();
    let PresentedKeys { all, pull, over, bobs } = &setup.keys;
    assert_allowed(&setup.push(&format!("--dest-creds=ann:{}", all.secret), "team/app"));
    let tags = "/v2/team/app/tags/list";
    let uploads = "/v2/team/app/blobs/uploads/";
    for way in presentations("ann") {
        let ask = |key: &Key, method: &str, path: &str| {
            let flags = of_curl(way, &key.secret);
            setup.curl(&flags.each_ref().map(String::as_str), method, path)
        };
        let (status, body) = ask(pull, "GET", tags);
        assert!(status == "200" && body.contains("\"one\""), "{status} {body}");
        assert_eq!(ask(pull, "GET", "/v2/").0, "200");
        let (status, body) = ask(pull, "POST", uploads);
        let denied = "requested access to the resource is denied: repository:team/app:push";
        assert!(status == "403" && body.contains("\"DENIED\"") && body.contains(denied), "{status} {body}");
        let (status, body) = ask(pull, "GET", "/v2/_catalog");
        assert!(status == "403" && body.contains("denied: registry:catalog:*"), "{status} {body}");
        assert_eq!(ask(all, "POST", uploads).0, "202");
        assert_eq!(ask(all, "GET", "/v2/_catalog").0, "200");
        let (status, body) = ask(over, "GET", tags);
        assert!(status == "401" && body.contains("\"UNAUTHORIZED\""), "{status} {body}");
        // A key of bob authenticates bob, not ann.
        assert_eq!(ask(bobs, "GET", tags).0, if way == Presentation::As("ann") { "401" } else { "200" });
    }
    let received = setup.tap.received();
    assert!(received.contains("GET /v2/team/app/tags/list"), "{received}");
    for part in [&all.secret[15..], &pull.secret[15..], "Bearer", "Basic"] {
        assert!(!received.contains(part), "the registry was told a secret");
        assert!(!setup.nginx.log().contains(part) && !setup.registry.log().contains(part));
    }
}

#[test]
fn api_key_revoked_during_a_pull_gets_401_and_another_users_key_does_not() {
    let setup = RegistrySetup::start();
    let PresentedKeys { all, pull, bobs, .. } = &setup.keys;
    assert_allowed(&setup.push(&format!("--dest-creds=ann:{}", all.secret), "team/app"));
    let mut client = setup.nginx.client();
    let mut tags = |key: &Key| {
        client.ask(&Presentation::Bearer.present(Request::get("/v2/team/app/tags/list"), &key.secret)).status
    };
    (0..50).for_each(|_| assert_eq!((tags(all), tags(bobs)), (200, 200)));
    revoke(&setup.doorward.folder().join("keys"), &all.id());
    eventually("the key is refused", || {
        let status = tags(all);
        assert!(matches!(status, 200 | 401), "{status}");
        assert_eq!((tags(bobs), tags(pull)), (200, 200), "another's, and another of hers");
        (status == 401).then_some(())
    });
    (0..50).for_each(|_| assert_eq!((tags(all), tags(bobs)), (401, 200)));
    let said = setup.pull(&format!("--src-creds=ann:{}", all.secret), "team/app");
    assert_says(&said, "unauthorized");
    assert_allowed(&setup.pull(&format!("--src-creds=ann:{}", pull.secret), "team/app"));
}

#[test]
fn api_key_with_a_site_scope_reads_and_cannot_write() {
    let key = Key::new("ann", "docs").scope(&["GET,HEAD:/docs/**"]);
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("keys").display().to_string();
    fs::write(&at, key.line()).unwrap();
    fs::write(dir.path().join("htpasswd"), users::line("ann", "a1", users::QUICK)).unwrap();
    let doorward = Doorward::start_in(dir, &["--api-keys", &at]);
    let backend = Upstream::start(&empty("200 OK"));
    let nginx = Nginx::start(Template::Site, tcp(&doorward.address), backend.address);
    for way in presentations("ann") {
        let ask = |method: &str, path: &str| {
            nginx.ask(&way.present(Request::new(method, path), &key.secret)).status
        };
        assert_eq!(ask("GET", "/docs/a?b=c"), 200);
        assert_eq!(ask("HEAD", "/docs/a"), 200);
        for (method, path) in [("POST", "/docs/a"), ("GET", "/"), ("GET", "/other")] {
            assert_eq!(ask(method, path), 403, "{way:?} {method} {path}");
        }
        assert_eq!(ask("GET", "/docs/%2e%2e/other"), 400, "nginx refuses it before it asks");
    }
    assert_eq!(nginx.ask(&Request::get("/other").basic("ann", "a1")).status, 200);
    assert_eq!(nginx.ask(&Request::get("/docs/a").basic("ann", "a2")).status, 401);
    let received = backend.received();
    assert!(received.contains("GET /docs/a?b=c") && !received.contains(&key.secret[15..]), "{received}");
}
