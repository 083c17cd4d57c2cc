//! `doorward check --probe`.

use std::net::SocketAddr;

use super::{UNKNOWN, config, vendor};
use crate::support::backend::{Backend, Reply};
use crate::support::doorward::command;
use crate::support::free_port;
use crate::support::process::{Output, run};

/// Runs `check` for a service at this address, with these flags and variables.
fn check(address: SocketAddr, lines: &str, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command();
    command.arg("check").args(flags).args(config(dir.path(), &vendor(address, lines)));
    command.envs(variables.iter().copied());
    run(command)
}

fn probe(address: SocketAddr, lines: &str) -> Output {
    check(address, lines, &["--probe"], &[])
}

/// Returns stdout and stderr.
fn said(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[test]
fn check_probe_reports_a_reachable_service_with_its_status() {
    for (code, lines) in [(401, ""), (403, ""), (404, UNKNOWN)] {
        let backend = Backend::saying(Reply::status(code));
        let output = probe(backend.address, lines);
        assert_eq!(output.code, Some(0), "{output:?}");
        let line = format!("authenticator vendor: reachable: {code} after ");
        assert!(said(&output).contains(&line), "{output:?}");
        assert_eq!(backend.requests(), 1);
        let (user, password) = backend.heard()[0].who();
        assert!(!user.is_empty() && password.len() >= 8, "made up, and nothing to guess: {user}");
        assert!(!said(&output).contains(&password), "{output:?}");
    }
}

#[test]
fn check_probe_uses_a_new_made_up_user_each_time() {
    let backend = Backend::saying(Reply::status(401));
    probe(backend.address, "");
    probe(backend.address, "");
    let heard = backend.heard();
    assert_ne!(heard[0].who().1, heard[1].who().1);
}

#[test]
fn check_probe_of_a_failing_service_exits_1_with_the_cause() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let output = probe(nowhere, "");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(said(&output).contains("authenticator vendor: cannot connect: "), "{output:?}");
    for (reply, words) in [
        (
            Reply::status(418),
            "responded with 418, which is in none of accepted_statuses, rejected_statuses and unknown_user_statuses",
        ),
        (Reply::status(500), "responded with 500"),
        (Reply::status(404), "responded with 404"),
        (Reply::raw("").close(), "the connection broke: "),
    ] {
        let backend = Backend::saying(reply);
        let output = probe(backend.address, "");
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(said(&output).contains(&format!("authenticator vendor: {words}")), "{output:?}");
    }
}

#[test]
fn check_probe_of_a_service_that_admits_any_user_exits_1() {
    let backend = Backend::saying(Reply::status(200));
    let output = probe(backend.address, "");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(said(&output).contains("made-up credentials accepted with 200"), "{output:?}");
    // The other side of it: the same answer with a no in it.
    let backend = Backend::saying(Reply::json("{\"active\": false}"));
    let output = probe(backend.address, "accepted_if = { \"/active\" = true }");
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn check_without_probe_calls_no_service() {
    let backend = Backend::saying(Reply::status(200));
    let output = check(backend.address, "", &[], &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn proxy_of_the_environment_is_not_used() {
    let (backend, proxy) = (Backend::saying(Reply::status(401)), Backend::saying(Reply::status(401)));
    let url = format!("http://{}", proxy.address);
    let variables = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let variables = variables.map(|name| (name, &url[..]));
    let output = check(backend.address, "", &["--probe"], &variables);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!((backend.requests(), proxy.connections()), (1, 0), "it would see every password");
}

#[test]
fn check_probe_reports_each_of_several_services() {
    let (first, second) = (Backend::saying(Reply::status(401)), Backend::saying(Reply::status(500)));
    let other = vendor(second.address, "").replace("\"vendor\"", "\"other\"");
    let dir = tempfile::tempdir().unwrap();
    let mut command = command();
    let settings = vendor(first.address, UNKNOWN) + &other;
    command.args(["check", "--probe"]).args(config(dir.path(), &settings));
    let output = run(command);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(said(&output).contains("authenticator vendor: reachable: 401"), "{output:?}");
    assert!(said(&output).contains("authenticator other: responded with 500"), "{output:?}");
    assert_eq!((first.requests(), second.requests()), (1, 1));
}
