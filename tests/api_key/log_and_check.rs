//! The log, `check` and `explain` report API keys without their secrets.

use std::fs;

use super::authenticator_chain::{KINDS, service_with_dora, show, start};
use super::{ApiKeySetup, assert_challenged, question};
use crate::support::doorward::{Doorward, doorward};
use crate::support::keys::{Key, Presentation, file, from_now};
use crate::support::users;

#[test]
fn password_is_challenged_if_only_api_keys_are_configured() {
    let key = Key::new("robot", "ci");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").display().to_string();
    fs::write(&path, key.line()).unwrap();
    let doorward = Doorward::start_in(dir, &["--api-keys", &path]);
    assert_eq!(show(&doorward, Presentation::Bearer, &key.secret).status, 200);
    assert_challenged(&show(&doorward, Presentation::As("robot"), "x"));
}

#[test]
fn check_reports_unusable_api_key_lines_and_a_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("htpasswd"), users::three()).unwrap();
    let check = |keys: &str| {
        let output = doorward(&["check", "--htpasswd", &path("htpasswd"), "--api-keys", &path(keys)]);
        (output.code, output.stdout + &output.stderr)
    };
    let good = Key::new("ann", "ci");
    fs::write(path("good"), good.line()).unwrap();
    assert_eq!(check("good").0, Some(0));
    fs::write(path("bad"), good.line() + &Key::new("ann", "x").with("expire", "x").line()).unwrap();
    let (code, said) = check("bad");
    assert!(
        code == Some(1) && said.contains("bad:2: invalid API key: unknown field \"expire\""),
        "{code:?} {said}"
    );
    fs::write(path("garbage"), "garbage\n").unwrap();
    for (name, what) in
        [("garbage", "none of the 1 lines is an API key"), ("missing", "the file does not exist")]
    {
        let (code, said) = check(name);
        assert!(code == Some(1) && said.contains(what), "{code:?} {said}");
    }
}

#[test]
fn api_key_sent_as_the_user_name_is_not_logged() {
    // `curl -u TOKEN:` sends a key as the user name, as with the tokens of GitHub.
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::of(&[&key]);
    assert_challenged(&setup.show(Presentation::As(&key.secret), "x-oauth-basic"));
    setup.await_log("reason=\"malformed_credentials\"");
    assert!(!setup.doorward.log().contains(&key.secret[15..]), "{}", setup.doorward.log());
}

#[test]
fn api_key_sent_as_the_user_name_is_sent_to_no_service() {
    let (key, service) = (Key::new("ann", "ci"), service_with_dora());
    let doorward = start(&KINDS, &service, &[&key], "");
    assert_challenged(&show(&doorward, Presentation::As(&key.secret), "x-oauth-basic"));
    assert_eq!(service.count(), 0);
}

#[test]
fn line_break_in_the_api_key_file_adds_no_log_line() {
    let key = Key::new("ann", "ci").scope(&["x\nINFO forged"]);
    let setup = ApiKeySetup::of(&[&key, &Key::new("ann", "other")]);
    setup.await_log("keys:1: scope: ");
    assert!(!setup.doorward.log().contains("\nINFO forged"), "{}", setup.doorward.log());
}

#[test]
fn log_names_the_api_key_that_lacks_a_permission() {
    let key = Key::new("ann", "ci").scope(&["pull:**"]);
    let setup = ApiKeySetup::of(&[&key]);
    let put = question("yes", "PUT", "/v2/team/app/manifests/v1");
    assert_eq!(setup.doorward.ask(&Presentation::Bearer.present(put, &key.secret)).status, 403);
    setup.await_log("is beyond the API key's scope");
    let log = setup.doorward.log();
    assert!(log.contains(&key.id()) && log.contains("ann"), "{log}");
}

#[test]
fn log_names_user_and_api_key_of_an_allowed_request() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::with(&file(&[&key]), None, &["--log-allowed-requests", "true"]);
    assert_eq!(setup.show(Presentation::Bearer, &key.secret).status, 200);
    setup.await_log("verdict=\"allow\"");
    let log = setup.doorward.log();
    assert!(log.contains(&key.id()) && log.contains("ann"), "{log}");
}

#[test]
fn explain_reports_an_expired_damaged_or_duplicate_api_key() {
    let over = Key::new("ann", "over").with("expires", from_now(-60));
    let damaged = Key::new("ann", "damaged").with("hash", "sha256:00");
    let twice = Key::new("ann", "twice");
    let again = twice.clone().with("name", "again");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").display().to_string();
    fs::write(&path, file(&[&over, &damaged, &twice, &again])).unwrap();
    for key in [&over, &damaged, &twice] {
        let output = doorward(&[
            "explain",
            "--api-keys",
            &path,
            "--api-key",
            &key.id(),
            "ann",
            "GET",
            "/v2/a/tags/list",
        ]);
        assert_eq!(output.code, Some(1), "{output:?}");
    }
}

#[test]
fn api_key_with_an_expiry_below_one_second_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").display().to_string();
    let arguments = [
        "api-key",
        "new",
        "--create",
        "--api-keys",
        &path,
        "--owner",
        "ann",
        "--name",
        "ci",
        "--expires-in",
        "1ms",
    ];
    let output = doorward(&arguments);
    assert!(output.code == Some(1) && output.stderr.contains("must be between one second"), "{output:?}");
}

#[test]
fn revoke_of_a_full_secret_does_not_print_the_secret() {
    let setup = ApiKeySetup::open("");
    let path = setup.path("keys").display().to_string();
    let secret = Key::new("ann", "ci").secret;
    let output = doorward(&["api-key", "revoke", "--api-keys", &path, &secret]);
    assert!(output.code == Some(1) && !output.stderr.contains(&secret[15..]), "{output:?}");
}
