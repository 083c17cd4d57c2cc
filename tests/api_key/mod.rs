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

/// What a test sets unless it says otherwise: files are looked at often, guesses are not counted, and every
/// refusal is logged.
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

/// doorward with ann (a1), bob (b2) and carl (c3), and a file of keys.
struct ApiKeySetup {
    doorward: Doorward,
}

impl ApiKeySetup {
    /// Without a policy.
    fn open(keys: &str) -> Self {
        Self::with(keys, None, &[])
    }

    fn of(keys: &[&Key]) -> Self {
        Self::open(&file(keys))
    }

    /// With [`RULES`].
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

    /// Puts another file of keys in the place of the one in force.
    fn put(&self, text: impl AsRef<[u8]>) {
        users::put(&self.path("keys"), text);
    }

    /// What is answered to a key, nginx saying nothing of the request.
    fn show(&self, way: Presentation<'_>, secret: &str) -> Answer {
        self.doorward.ask(&way.present(Request::auth().from(HOME), secret))
    }

    /// The same of a request to the registry.
    fn registry(&self, way: Presentation<'_>, secret: &str, method: &str, uri: &str) -> Answer {
        self.doorward.ask(&way.present(question("yes", method, uri), secret))
    }

    /// The same of a request to a site.
    fn site(&self, way: Presentation<'_>, secret: &str, method: &str, uri: &str) -> Answer {
        self.doorward.ask(&way.present(question("", method, uri), secret))
    }

    /// Waits until a key is answered with this status.
    fn await_status(&self, way: Presentation<'_>, secret: &str, status: u16) {
        eventually(&format!("{way:?} gets {status}"), || {
            (self.show(way, secret).status == status).then_some(())
        });
    }

    /// Waits until the log has this.
    fn await_log(&self, text: &str) {
        eventually(&format!("the log says {text:?}:\n{}", self.doorward.log()), || {
            self.doorward.log().contains(text).then_some(())
        });
    }

    /// Refused as any wrong password is, and the log says why and who was named.
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

/// The hosts of a registry and of a site.
const HOSTS: [&str; 2] = ["registry.example.com", "docs.example.com"];

/// What nginx says of a request; `rewrites` is what a registry's configuration says of itself.
fn question(rewrites: &str, method: &str, uri: &str) -> Request {
    Request::auth()
        .header("X-Original-Method", method)
        .header("X-Original-URI", uri)
        .header("X-Original-Host", HOSTS[usize::from(rewrites.is_empty())])
        .header("X-Original-Content-Type", "ct:")
        .header("X-Auth-Rewrite", rewrites)
        .from(HOME)
}

/// Admitted, as `owner`, on the word of the keys.
fn assert_admitted(answer: &Answer, owner: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), Some(owner), "{answer:?}");
    assert_eq!(answer.header("x-auth-by"), Some("api_keys"), "{answer:?}");
}

/// Asked for credentials; nothing says what was wrong with those that there were.
fn assert_challenged(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Basic realm="), "{answer:?}");
    for name in ["x-auth-user", "x-auth-by", "x-auth-groups", "x-auth-scope"] {
        assert_eq!(answer.header(name), None, "{answer:?}");
    }
}

/// Known, and not permitted this.
fn assert_denied(answer: &Answer, scope: Option<&str>) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some("policy"), "{answer:?}");
    assert_eq!(answer.header("x-auth-scope"), scope, "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), None, "{answer:?}");
}
