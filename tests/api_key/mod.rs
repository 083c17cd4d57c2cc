//! API keys: presentation, scopes, expiry, revocation, the command.

mod authenticator_chain;
mod command;
mod concurrent_commands;
mod explain;
mod log_and_check;
mod nginx;
mod other_program;
mod owners;
mod presentation;
mod refused_keys;
mod reload;
mod revocation;
mod scopes;
mod unusable_lines;

use std::fs;
use std::path::PathBuf;

use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::keys::{Key, Presentation, file};
use crate::support::policy::{GROUPS, RULES};
use crate::support::{eventually, users};

/// A client network (TEST-NET-1 of RFC 5737).
const HOME: &str = "192.0.2.10";

/// Default flags of the tests: files are polled often, guesses are not throttled, and every refusal is
/// logged.
const FLAGS: [&str; 8] = [
    "--reload-poll-interval",
    "100ms",
    "--throttle-user-failures",
    "1000000",
    "--throttle-network-failures",
    "1000000",
    "--log-denials-per-second",
    "10000",
];

/// A doorward with ann (a1), bob (b2) and carl (c3), and an API key file.
struct ApiKeySetup {
    doorward: Doorward,
}

impl ApiKeySetup {
    /// Starts doorward without a policy.
    fn open(keys: &str) -> Self {
        Self::with(keys, None, &[])
    }

    fn of(keys: &[&Key]) -> Self {
        Self::open(&file(keys))
    }

    /// Starts doorward with the policy [`RULES`].
    fn ruled(keys: &[&Key]) -> Self {
        Self::with(&file(keys), Some(RULES), &[])
    }

    fn with(keys: &str, rules: Option<&str>, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let [keys_at, policy, groups] = ["keys", "policy.toml", "groups"].map(path);
        fs::write(&keys_at, keys).unwrap();
        fs::write(&groups, GROUPS).unwrap();
        fs::write(path("htpasswd"), users::three()).unwrap();
        let mut flags = [&FLAGS[..], &["--api-keys", &keys_at], more].concat();
        if let Some(rules) = rules {
            fs::write(&policy, rules).unwrap();
            flags.extend(["--policy", &policy, "--groups", &groups]);
        }
        Self { doorward: Doorward::start_in(dir, &flags) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.doorward.folder().join(name)
    }

    /// Replaces the API key file.
    fn put(&self, text: impl AsRef<[u8]>) {
        users::put(&self.path("keys"), text);
    }

    /// Presents a key in a request without information from nginx.
    fn show(&self, way: Presentation<'_>, secret: &str) -> Answer {
        self.doorward.ask(&way.present(Request::auth().from(HOME), secret))
    }

    /// Presents a key in a registry request.
    fn registry(&self, way: Presentation<'_>, secret: &str, method: &str, uri: &str) -> Answer {
        self.doorward.ask(&way.present(question("yes", method, uri), secret))
    }

    /// Presents a key in a request to a site.
    fn site(&self, way: Presentation<'_>, secret: &str, method: &str, uri: &str) -> Answer {
        self.doorward.ask(&way.present(question("", method, uri), secret))
    }

    /// Waits until a key is answered with this status.
    fn await_status(&self, way: Presentation<'_>, secret: &str, status: u16) {
        eventually(&format!("{way:?} gets {status}"), || {
            (self.show(way, secret).status == status).then_some(())
        });
    }

    /// Waits until the log contains this text.
    fn await_log(&self, text: &str) {
        eventually(&format!("the log says {text:?}:\n{}", self.doorward.log()), || {
            self.doorward.log().contains(text).then_some(())
        });
    }

    /// Checks that a key gets the same response as a wrong password, and that the log has the reason and the
    /// user.
    fn assert_refused(&self, way: Presentation<'_>, secret: &str, why: &str) {
        let answer = self.show(way, secret);
        assert_challenged(&answer);
        let user = match way {
            Presentation::As(user) => user,
            Presentation::Bearer => "",
        };
        self.await_log(&format!("reason=\"invalid_api_key\" detail=\"{why}\" user=\"{user}\""));
    }
}

/// Hosts of a registry and of a site.
const HOSTS: [&str; 2] = ["registry.example.com", "docs.example.com"];

/// Returns the subrequest of nginx; `rewrites` is the value that the registry configuration sends.
fn question(rewrites: &str, method: &str, uri: &str) -> Request {
    Request::auth()
        .header("X-Original-Method", method)
        .header("X-Original-URI", uri)
        .header("X-Original-Host", HOSTS[usize::from(rewrites.is_empty())])
        .header("X-Original-Content-Type", "ct:")
        .header("X-Auth-Rewrite", rewrites)
        .from(HOME)
}

/// Checks that the request is allowed as `owner` by the API keys.
fn assert_admitted(answer: &Answer, owner: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), Some(owner), "{answer:?}");
    assert_eq!(answer.header("x-auth-by"), Some("api_keys"), "{answer:?}");
}

/// Checks for a challenge that does not reveal why the credentials are wrong.
fn assert_challenged(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Basic realm="), "{answer:?}");
    for name in ["x-auth-user", "x-auth-by", "x-auth-groups", "x-auth-scope"] {
        assert_eq!(answer.header(name), None, "{answer:?}");
    }
}

/// Checks that the user is authenticated but the policy denies the request.
fn assert_denied(answer: &Answer, scope: Option<&str>) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some("policy"), "{answer:?}");
    assert_eq!(answer.header("x-auth-scope"), scope, "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), None, "{answer:?}");
}
