//! Trusted peers, unix sockets, and which request headers are read.

use std::os::unix::fs::PermissionsExt;

use super::{assert_allow, assert_challenge, assert_no_user};
use crate::support::client::{Address, Request, unix};
use crate::support::doorward::Doorward;
use crate::support::users;

#[test]
fn untrusted_peer_is_refused_with_any_headers_as_in_cve_2026_40575() {
    let doorward = Doorward::start(&users::alice(), &["--trusted-peers", "192.0.2.1"]);
    let right = Request::auth().basic("alice", "wonderland");
    let is_closed = |request: &Request| doorward.client().try_ask(request).is_err();
    assert!(is_closed(&right) && is_closed(&Request::auth()), "no byte is answered");
    // No header makes the peer trusted.
    for name in ["X-Real-IP", "X-Forwarded-For", "Forwarded", "X-Client-IP", "True-Client-IP", "Via"] {
        assert!(is_closed(&right.clone().header(name, "192.0.2.1")), "{name}");
    }
    assert_eq!(doorward.hashes(), 0.0, "untrusted peers cost no hash");
    assert_eq!(doorward.metric("doorward_connections_rejected_total{listener=\"auth\""), 8.0);
}

#[test]
fn trusted_peer_is_answered() {
    let doorward = Doorward::start(&users::alice(), &["--trusted-peers", "192.0.2.1,127.0.0.0/8"]);
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
    assert_challenge(&doorward.ask(&Request::auth()));
}

#[test]
fn admin_listener_has_its_own_trusted_peers() {
    let flags = ["--admin-listen", "127.0.0.1:0", "--admin-trusted-peers", "192.0.2.1"];
    let doorward = Doorward::start(&users::alice(), &flags);
    for request in [Request::get("/metrics"), Request::new("POST", "/flush"), Request::get("/flush")] {
        let answer = doorward.admin(&request.host("localhost"));
        assert_eq!(
            (answer.status, &answer.text()[..]),
            (403, "the peer is not one of admin.trusted_peers\n")
        );
    }
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
}

#[test]
fn admin_listener_does_not_serve_auth() {
    let doorward = Doorward::start(&users::alice(), &[]);
    let answer = doorward.admin(&Request::auth().basic("alice", "wonderland"));
    assert_eq!(answer.status, 404);
    assert_no_user(&answer);
}

#[test]
fn unix_socket_has_the_configured_mode_and_its_peers_are_trusted() {
    let dir = tempfile::tempdir().unwrap();
    for (flags, mode) in
        [(vec![], 0o660), (vec!["--socket-mode", "0600"], 0o600), (vec!["--socket-mode", "0666"], 0o666)]
    {
        let path = dir.path().join("doorward.sock");
        let socket = unix(&path);
        let flags: Vec<&str> =
            flags.into_iter().chain(["--listen", &socket[..], "--trusted-peers", "192.0.2.1"]).collect();
        let doorward = Doorward::start(&users::alice(), &flags);
        assert!(matches!(doorward.address, Address::Unix(_)));
        let permissions = std::fs::symlink_metadata(&path).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode);
        assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland")), b"alice");
        assert_challenge(&doorward.ask(&Request::auth().basic("alice", "x")));
    }
}

#[test]
fn several_listeners_share_cache_and_throttle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("doorward.sock");
    let doorward = Doorward::start(&users::alice(), &["--listen", "127.0.0.1:0", "--listen", &unix(&path)]);
    let right = Request::auth().basic("alice", "wonderland");
    assert_allow(&doorward.ask(&right), b"alice");
    let other =
        crate::support::client::ask(&Address::Unix(path), crate::support::client::OF_DOORWARD, &right);
    assert_allow(&other, b"alice");
    assert_eq!(doorward.hashes(), 1.0);
}

#[test]
fn identity_headers_of_the_client_are_ignored_as_in_cve_2025_64484() {
    let doorward = Doorward::start(&users::two(), &[]);
    let spellings = [
        "X-Auth-User",
        "x-auth-user",
        "X_Auth_User",
        "X-Auth_User",
        "X.Auth.User",
        "X-AUTH-USER",
        "X-Auth-Groups",
        "Remote-User",
        "X-Remote-User",
        "X-Forwarded-User",
        "X-Forwarded-Prefix",
        "X-Auth-Reason",
    ];
    for name in spellings {
        let forged = Request::auth().header(name, "root");
        assert_challenge(&doorward.ask(&forged));
        assert_allow(&doorward.ask(&forged.basic("bob", "builder")), b"bob");
    }
}

#[test]
fn headers_outside_the_closed_list_are_ignored_as_in_cve_2026_35051() {
    let doorward = Doorward::start(&users::alice(), &["--throttle-user-failures", "2"]);
    // None of these headers is used as the client address: all failures are counted against `X-Real-IP`.
    for (number, name) in
        ["X-Forwarded-For", "X-Client-IP", "CF-Connecting-IP", "X_Real_IP"].into_iter().enumerate()
    {
        let request = Request::auth().from("192.0.2.1").header(name, format!("198.51.100.{number}"));
        let answer = doorward.ask(&request.basic("alice", &format!("guess {number}")));
        assert_eq!(answer.status, if number < 2 { 401 } else { 403 }, "{name}: {answer:?}");
    }
    assert_allow(&doorward.ask(&Request::auth().basic("alice", "wonderland").from("198.51.100.1")), b"alice");
}
