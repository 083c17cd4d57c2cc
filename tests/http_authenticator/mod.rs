//! Users checked by an HTTP service: requests, responses, failures, outages.

mod authenticator_chain;
mod check_probe;
mod concurrent_calls;
mod failure_table;
mod fallback;
mod invalid_settings;
mod long_secrets;
mod nginx;
mod outage;
mod policy_groups;
mod responses;
mod value_encoding;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::support::backend::{Backend, ReceivedRequest, Reply};
use crate::support::client::Answer;
use crate::support::doorward::Doorward;

/// A client network (TEST-NET-1 of RFC 5737).
const HOME: &str = "192.0.2.10";

/// Most tests do not depend on the timeout of nginx, and a hash can take long on a busy machine.
const LONG_PROXY_READ_TIMEOUT: &str = "proxy_read_timeout = \"5m\"\n";

/// Returns an authenticator that calls the service at this address with Basic credentials, with `more` lines
/// of settings.
fn vendor(address: SocketAddr, more: &str) -> String {
    format!(
        "[[authenticator]]\ntype = \"http\"\nname = \"vendor\"\nurl = \"http://{address}/ask\"\nheaders = {{ Authorization = \"Basic {{basic}}\" }}\n{more}\n"
    )
}

/// Returns an authenticator that reads the htpasswd file.
fn staff(more: &str) -> String {
    format!("[[authenticator]]\ntype = \"htpasswd\"\nname = \"staff\"\n{more}\n")
}

/// Writes the settings into a file of this folder, and returns the flags that name it.
fn config(folder: &Path, settings: &str) -> [String; 2] {
    let path = folder.join("doorward.toml");
    fs::write(&path, settings).unwrap();
    ["--config".to_owned(), path.to_str().unwrap().to_owned()]
}

/// Starts doorward with these settings, and with an htpasswd file if `users` is set.
fn start(users: Option<&str>, settings: &str) -> Doorward {
    start_with(users, settings, &[])
}

fn start_with(users: Option<&str>, settings: &str, flags: &[&str]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    if let Some(users) = users {
        fs::write(dir.path().join("htpasswd"), users).unwrap();
    }
    let config = config(dir.path(), &format!("{LONG_PROXY_READ_TIMEOUT}{settings}"));
    Doorward::start_in(dir, &[&config.each_ref().map(String::as_str)[..], flags].concat())
}

/// A service that has one user, carol, whose password is sings. It answers 401 for another password and 404
/// for another user.
fn accepts_carol(heard: &ReceivedRequest) -> Reply {
    let (user, password) = heard.who();
    Reply::status(match (&user[..], &password[..]) {
        ("carol", "sings") => 200,
        ("carol", _) => 401,
        _ => 404,
    })
}

/// Setting by which a 404 means that the service does not have the user.
const UNKNOWN: &str = "unknown_user_statuses = [404]";

/// Starts a service that has the user carol.
fn service_with_carol() -> Backend {
    Backend::start(accepts_carol)
}

/// Checks that the request is allowed as `user`, and that the authenticator `by` is named.
fn assert_by(answer: &Answer, user: &str, by: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-auth-user"), Some(user), "{answer:?}");
    assert_eq!(answer.header("x-auth-by"), Some(by), "{answer:?}");
    assert_eq!(answer.header("x-auth-stale"), Some(""), "{answer:?}");
}

/// Checks for a challenge that names no user.
fn assert_challenged(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    assert_no_identity(answer);
}

/// Checks that no authenticator was available.
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("x-auth-reason"), Some("authenticator_unavailable"), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
    assert_no_identity(answer);
}

fn assert_no_identity(answer: &Answer) {
    for name in ["x-auth-user", "x-auth-groups", "x-auth-by", "x-auth-stale", "x-auth-fact-plan"] {
        assert_eq!(answer.header(name), None, "{answer:?}");
    }
}
