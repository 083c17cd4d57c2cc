//! Many commands at once on one API key file.

use std::process::{Child, Stdio};

use super::{ApiKeySetup, assert_admitted};
use crate::support::client::Request;
use crate::support::doorward::command;
use crate::support::keys::{Presentation, make};

const AT_ONCE: usize = 30;

#[test]
fn thirty_concurrent_new_keys_are_all_written_and_valid() {
    let setup = ApiKeySetup::open("# the first line\n");
    let file = setup.path("keys");
    let old = make(&file, "ann", "old", &[]);
    let start = |arguments: &[&str]| -> Child {
        let mut command = command();
        command.arg("api-key").args(arguments).arg("--api-keys").arg(&file);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut running: Vec<Child> = (0..AT_ONCE)
        .map(|i| start(&["new", "--owner", ["ann", "bob"][i % 2], "--name", &format!("new{i}")]))
        .collect();
    running.push(start(&["revoke", "old", "--owner", "ann"]));
    let stable = make(&file, "bob", "stable", &[]);
    let mut client = setup.doorward.client();
    setup.await_status(Presentation::Bearer, &stable, 200);
    let mut secrets = Vec::new();
    for child in running {
        let answer = client.ask(&Presentation::Bearer.present(Request::auth(), &stable));
        assert_admitted(&answer, "bob");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        secrets.push(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    let revoked = secrets.pop().unwrap();
    assert!(revoked.starts_with("revoked: "), "{revoked}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2 + AT_ONCE, "{text}");
    assert!(text.starts_with("# the first line\n"));
    for (i, secret) in secrets.iter().enumerate() {
        setup.await_status(Presentation::Bearer, secret, 200);
        assert_admitted(&setup.show(Presentation::Bearer, secret), ["ann", "bob"][i % 2]);
    }
    setup.await_status(Presentation::Bearer, &old, 401);
}

#[test]
fn concurrent_new_commands_with_one_name_create_one_key() {
    let setup = ApiKeySetup::open("");
    let file = setup.path("keys");
    let running: Vec<Child> = (0..8)
        .map(|_| {
            let mut command = command();
            command.args(["api-key", "new", "--owner", "ann", "--name", "ci", "--api-keys"]).arg(&file);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert_eq!(outputs.iter().filter(|output| output.status.success()).count(), 1);
    for output in outputs.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("ann already has an API key named ci"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
}
