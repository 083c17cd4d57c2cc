//! An API key written by another program from the documented format.

use std::path::Path;
use std::process::Command;

use super::{ApiKeySetup, assert_admitted, assert_denied};
use crate::support::keys::{Presentation, from_now, presentations};
use crate::support::process::{program, run};

fn write(setup: &ApiKeySetup, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/write_api_key.py");
    let mut command = Command::new(program("python3", "python3"));
    command.arg(script).arg(setup.path("keys")).args(arguments);
    let output = run(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout.trim().to_owned()
}

#[test]
fn api_key_written_by_another_program_is_accepted() {
    let setup = ApiKeySetup::open("");
    // Twenty keys, so that one has a checksum with a leading zero.
    let secrets: Vec<String> = (0..20).map(|i| write(&setup, &["ann", &format!("key{i}")])).collect();
    setup.await_status(Presentation::Bearer, &secrets[19], 200);
    for secret in &secrets {
        for way in presentations("ann") {
            assert_admitted(&setup.show(way, secret), "ann");
        }
        assert_eq!(setup.show(Presentation::As("bob"), secret).status, 401);
        assert_eq!(setup.show(Presentation::Bearer, &secret[..50]).status, 401);
    }
    assert_eq!(setup.doorward.metric("doorward_api_keys_invalid_lines"), 0.0);
    let listed = crate::support::doorward::doorward(&[
        "api-key",
        "list",
        "--api-keys",
        &setup.path("keys").display().to_string(),
    ]);
    assert_eq!(listed.stdout.lines().count(), 20, "{listed:?}");
}

#[test]
fn scope_and_expiry_written_by_another_program_apply() {
    let setup = ApiKeySetup::open("");
    let over = write(&setup, &["ann", "over", &from_now(-1), "pull:team/**"]);
    let good = write(&setup, &["ann", "good", &from_now(3600), "pull:team/**"]);
    let uri = "/v2/team/app/manifests/v1";
    crate::support::eventually("the key is there", || {
        (setup.registry(Presentation::Bearer, &good, "GET", uri).status == 200).then_some(())
    });
    assert_denied(&setup.registry(Presentation::Bearer, &good, "PUT", uri), Some("repository:team/app:push"));
    assert_eq!(setup.registry(Presentation::Bearer, &over, "GET", uri).status, 401);
    setup.await_log(&format!("API key {} has expired", &over[..14]));
}
