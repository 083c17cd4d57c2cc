//! Credentials for the protected registry or site.

mod credential_files;
mod credentials;

use std::fs;

use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::users;

/// The header with the upstream credentials.
pub(crate) const HEADER: &str = "x-upstream-authorization";

/// The proxy secret in every request of these tests.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The header with the proxy secret.
pub(crate) const SECRET_HEADER: &str = "X-Auth-Proxy-Secret";

/// Starts doorward with alice and bob, these tables, the proxy secret, and these files next to its settings;
/// `{dir}` is their folder.
pub(crate) fn start(settings: &str, files: &[(&str, &str)], flags: &[&str]) -> Doorward {
    start_without_secret(&format!("proxy_secret_file = \"{{dir}}/secret\"\n{settings}"), files, flags)
}

fn start_without_secret(settings: &str, files: &[(&str, &str)], flags: &[&str]) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), SECRET).unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::write(dir.path().join("htpasswd"), users::two()).unwrap();
    let text = settings.replace("{dir}", dir.path().to_str().unwrap());
    let path = dir.path().join("doorward.toml");
    fs::write(&path, format!("htpasswd.file = \"{}/htpasswd\"\n{text}", dir.path().display())).unwrap();
    let config = path.to_str().unwrap().to_owned();
    let flags: Vec<&str> = ["--config", &config].into_iter().chain(flags.iter().copied()).collect();
    Doorward::start_in(dir, &flags)
}

/// Returns a subrequest without headers about the request of the client.
pub(crate) fn bare() -> Request {
    Request::auth().header(SECRET_HEADER, SECRET)
}

/// Returns the subrequest of nginx for a registry request.
pub(crate) fn question(method: &str, uri: &str) -> Request {
    bare()
        .header("X-Original-Method", method)
        .header("X-Original-URI", uri)
        .header("X-Original-Host", "registry.test")
        .header("X-Original-Content-Type", "ct:")
        .from("192.0.2.1")
}

/// Returns the same subrequest with the password of alice.
pub(crate) fn of_alice(method: &str, uri: &str) -> Request {
    question(method, uri).basic("alice", "wonderland")
}

/// Checks that the request is allowed with these upstream credentials.
pub(crate) fn assert_upstream_credentials(answer: &Answer, value: Option<&str>) {
    assert_eq!((answer.status, answer.header(HEADER)), (200, value), "{answer:?}");
}

/// Checks that the request is refused and that the response does not contain `secret`.
pub(crate) fn assert_refused(answer: &Answer, status: u16, reason: &str, secret: &str) {
    assert_eq!((answer.status, answer.header("x-auth-reason")), (status, Some(reason)), "{answer:?}");
    assert!(answer.header(HEADER).is_none() && !format!("{answer:?}").contains(secret), "{answer:?}");
}
