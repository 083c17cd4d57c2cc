//! API keys for a test: made here, or by doorward's own command, and presented in each way that there is.

use std::path::Path;
use std::time::{Duration, SystemTime};

use doorward::authn::api_key::format;
use serde_json::{Value, json};

use super::client::Request;
use super::doorward::doorward;

/// The user name with which any key may be presented, unless the settings say otherwise.
pub(crate) const FIXED: &str = "token";

/// How a key is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presentation<'u> {
    /// As this user's password.
    As(&'u str),
    /// By itself.
    Bearer,
}

impl Presentation<'_> {
    /// The request with the key.
    pub(crate) fn present(self, request: Request, secret: &str) -> Request {
        match self {
            Self::As(user) => request.basic(user, secret),
            Self::Bearer => request.header("Authorization", format!("Bearer {secret}")),
        }
    }
}

/// The ways in which a key of `owner`'s is good.
pub(crate) fn presentations(owner: &str) -> [Presentation<'_>; 3] {
    [Presentation::As(owner), Presentation::As(FIXED), Presentation::Bearer]
}

/// A key and its line.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) secret: String,
    line: Value,
}

impl Key {
    /// A new one, with what a line needs and no more.
    pub(crate) fn new(owner: &str, name: &str) -> Self {
        let (secret, id, digest) = format::generate_api_key().unwrap();
        let line = json!({"id": id.as_str(), "hash": digest.to_string(), "owner": owner, "name": name});
        Self { secret: (*secret).clone(), line }
    }

    /// The same with a field of the line set.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.line[field] = value.into();
        self
    }

    pub(crate) fn scope(self, scope: &[&str]) -> Self {
        self.with("scope", scope.to_vec())
    }

    /// As it is shown, with the prefix.
    pub(crate) fn id(&self) -> String {
        format!("dwk_{}", self.bare_id())
    }

    /// As it stands in the file.
    pub(crate) fn bare_id(&self) -> &str {
        self.line["id"].as_str().unwrap()
    }

    /// Its line, with the break at its end.
    pub(crate) fn line(&self) -> String {
        format!("{}\n", self.line)
    }
}

/// A file of these keys.
pub(crate) fn file(keys: &[&Key]) -> String {
    keys.iter().map(|key| key.line()).collect()
}

/// A date so many seconds from now, before it if they are negative, as the file has it.
pub(crate) fn from_now(seconds: i64) -> String {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let then = if seconds < 0 { now - span } else { now + span };
    humantime::format_rfc3339_seconds(then).to_string()
}

/// Makes a key with `doorward api-key new`, which must succeed: its secret.
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
