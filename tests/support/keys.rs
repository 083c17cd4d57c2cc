//! API keys for tests: created here or by the doorward command, and presented in each supported way.

use std::path::Path;
use std::time::{Duration, SystemTime};

use doorward::internals::generate_api_key;
use serde_json::{Value, json};

use super::client::Request;
use super::doorward::doorward;

/// The default user name with which any key can be presented.
pub(crate) const FIXED: &str = "token";

/// Way in which a client presents a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presentation<'u> {
    /// The key is the password of this user.
    As(&'u str),
    /// The key is a bearer token.
    Bearer,
}

impl Presentation<'_> {
    /// Adds the key to the request.
    pub(crate) fn present(self, request: Request, secret: &str) -> Request {
        match self {
            Self::As(user) => request.basic(user, secret),
            Self::Bearer => request.header("Authorization", format!("Bearer {secret}")),
        }
    }
}

/// Returns all ways in which a key of `owner` is accepted.
pub(crate) fn presentations(owner: &str) -> [Presentation<'_>; 3] {
    [Presentation::As(owner), Presentation::As(FIXED), Presentation::Bearer]
}

/// An API key and its line in the API key file.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) secret: String,
    line: Value,
}

impl Key {
    /// Creates a key whose line has only the required fields.
    pub(crate) fn new(owner: &str, name: &str) -> Self {
        let (secret, id, digest) = generate_api_key().unwrap();
        let line = json!({"id": id.as_str(), "hash": digest.to_string(), "owner": owner, "name": name});
        Self { secret: (*secret).clone(), line }
    }

    /// Sets a field of the line.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.line[field] = value.into();
        self
    }

    pub(crate) fn scope(self, scope: &[&str]) -> Self {
        self.with("scope", scope.to_vec())
    }

    /// Returns the key id with its prefix.
    pub(crate) fn id(&self) -> String {
        format!("dwk_{}", self.bare_id())
    }

    /// Returns the key id as written in the file.
    pub(crate) fn bare_id(&self) -> &str {
        self.line["id"].as_str().unwrap()
    }

    /// Returns the line with its line end.
    pub(crate) fn line(&self) -> String {
        format!("{}\n", self.line)
    }
}

/// Returns an API key file with these keys.
pub(crate) fn file(keys: &[&Key]) -> String {
    keys.iter().map(|key| key.line()).collect()
}

/// Returns the date this many seconds from now, in the format of the file. Negative numbers are in the past.
pub(crate) fn from_now(seconds: i64) -> String {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let then = if seconds < 0 { now - span } else { now + span };
    humantime::format_rfc3339_seconds(then).to_string()
}

/// Creates a key with `doorward api-key new`, which must succeed, and returns its secret.
pub(crate) fn make(file: &Path, owner: &str, name: &str, more: &[&str]) -> String {
    let path = file.display().to_string();
    let arguments = ["api-key", "new", "--create", "--api-keys", &path, "--owner", owner, "--name", name];
    let output = doorward(&[&arguments[..], more].concat());
    assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{output:?}");
    output.stdout.trim().to_owned()
}

/// Revokes a key with `doorward api-key revoke`, which must succeed.
pub(crate) fn revoke(file: &Path, id: &str) {
    let output = doorward(&["api-key", "revoke", "--api-keys", &file.display().to_string(), id]);
    assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{output:?}");
}
