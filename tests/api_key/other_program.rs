//! A key that somebody else's program wrote, which knows the documented format and nothing of doorward.

use std::path::Path;
use std::process::Command;

use super::{House, assert_admitted, assert_denied};
use crate::support::keys::{Way, from_now, ways};
use crate::support::process::{program, run};

fn write(house: &House, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/write_api_key.py");
    let mut command = Command::new(program("python3", "python3"));
    command.arg(script).arg(house.path("keys")).args(arguments);
    let output = run(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout.trim().to_owned()
}

#[test]
fn api_key_written_by_another_program_is_accepted() {
    let house = House::open("");
    // Many, so that one whose checksum begins with a nought is among them.
    let secrets: Vec<String> = (0..20).map(|i| write(&house, &["ann", &format!("key{i}")])).collect();
    house.await_status(Way::Bearer, &secrets[19], 200);
    for secret in &secrets {
        for way in ways("ann") {
            assert_admitted(&house.show(way, secret), "ann");
        }
        assert_eq!(house.show(Way::As("bob"), secret).status, 401);
        assert_eq!(house.show(Way::Bearer, &secret[..50]).status, 401);
    }
    assert_eq!(house.doorward.metric("doorward_keys_bad_lines"), 0.0);
    let listed = crate::support::doorward::doorward(&[
        "key",
        "list",
        "--keys",
        &house.path("keys").display().to_string(),
    ]);
    assert_eq!(listed.stdout.lines().count(), 20, "{listed:?}");
}

#[test]
fn scope_and_expiry_written_by_another_program_apply() {
    let house = House::open("");
    let over = write(&house, &["ann", "over", &from_now(-1), "pull:team/**"]);
    let good = write(&house, &["ann", "good", &from_now(3600), "pull:team/**"]);
    let uri = "/v2/team/app/manifests/v1";
    crate::support::eventually("the key is there", || {
        (house.registry(Way::Bearer, &good, "GET", uri).status == 200).then_some(())
    });
    assert_denied(&house.registry(Way::Bearer, &good, "PUT", uri), Some("repository:team/app:push"));
    assert_eq!(house.registry(Way::Bearer, &over, "GET", uri).status, 401);
    house.await_log(&format!("key {} has expired", &over[..14]));
}
