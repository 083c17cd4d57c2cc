//! What should be so and is not yet: each of these fails, and says in a word what happens instead.

use std::fs;

use super::authenticator_chain::{KINDS, doras, show, start};
use super::{House, assert_challenged, question};
use crate::support::doorward::{Doorward, doorward};
use crate::support::keys::{Key, Way, file, from_now};

#[test]
fn a_password_is_challenged_where_there_are_only_keys() {
    let key = Key::new("robot", "ci");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").display().to_string();
    fs::write(&path, key.line()).unwrap();
    let doorward = Doorward::start_in(dir, &["--keys", &path]);
    assert_eq!(show(&doorward, Way::Bearer, &key.secret).status, 200);
    assert_challenged(&show(&doorward, Way::As("robot"), "x"));
}

#[test]
fn check_says_which_lines_of_the_keys_cannot_be_used_and_that_there_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("htpasswd"), super::people()).unwrap();
    let check = |keys: &str| {
        let output = doorward(&["check", "--htpasswd", &path("htpasswd"), "--keys", &path(keys)]);
        (output.code, output.stdout + &output.stderr)
    };
    let good = Key::new("ann", "ci");
    fs::write(path("good"), good.line()).unwrap();
    assert_eq!(check("good").0, Some(0));
    fs::write(path("bad"), good.line() + &Key::new("ann", "x").with("expire", "x").line()).unwrap();
    let (code, said) = check("bad");
    assert!(
        code == Some(1) && said.contains("bad:2: it is no key: expire: there is no such field"),
        "{code:?} {said}"
    );
    fs::write(path("garbage"), "garbage\n").unwrap();
    for (name, what) in
        [("garbage", "none of its 1 lines is about a key"), ("missing", "there is no such file")]
    {
        let (code, said) = check(name);
        assert!(code == Some(1) && said.contains(what), "{code:?} {said}");
    }
}

#[test]
fn a_key_that_is_sent_as_the_user_name_is_not_logged() {
    // As with GitHub's tokens, which curl -u TOKEN: sends so.
    let key = Key::new("ann", "ci");
    let house = House::of(&[&key]);
    assert_challenged(&house.show(Way::As(&key.secret), "x-oauth-basic"));
    house.await_log("reason=\"malformed\"");
    assert!(!house.doorward.log().contains(&key.secret[15..]), "{}", house.doorward.log());
}

#[test]
fn a_key_that_is_sent_as_the_user_name_does_not_go_to_a_service() {
    let (key, service) = (Key::new("ann", "ci"), doras());
    let doorward = start(&KINDS, &service, &[&key], "");
    assert_challenged(&show(&doorward, Way::As(&key.secret), "x-oauth-basic"));
    assert_eq!(service.count(), 0);
}

#[test]
fn a_line_of_the_file_makes_no_line_of_the_log() {
    let key = Key::new("ann", "ci").scope(&["x\nINFO forged"]);
    let house = House::of(&[&key, &Key::new("ann", "other")]);
    house.await_log("keys:1: scope: ");
    assert!(!house.doorward.log().contains("\nINFO forged"), "{}", house.doorward.log());
}

#[test]
fn the_log_says_which_key_lacked_a_right() {
    let key = Key::new("ann", "ci").scope(&["pull:**"]);
    let house = House::of(&[&key]);
    let put = question("yes", "PUT", "/v2/team/app/manifests/v1");
    assert_eq!(house.doorward.ask(&Way::Bearer.present(put, &key.secret)).status, 403);
    house.await_log("is beyond the scope");
    let log = house.doorward.log();
    assert!(log.contains(&key.id()) && log.contains("ann"), "{log}");
}

#[test]
fn the_log_says_who_was_allowed_by_which_key() {
    let key = Key::new("ann", "ci");
    let house = House::with(&file(&[&key]), None, &["--log-allowed", "true"]);
    assert_eq!(house.show(Way::Bearer, &key.secret).status, 200);
    house.await_log("verdict=\"allow\"");
    let log = house.doorward.log();
    assert!(log.contains(&key.id()) && log.contains("ann"), "{log}");
}

#[test]
fn explain_says_that_a_key_is_no_good_any_more() {
    let over = Key::new("ann", "over").with("expires", from_now(-60));
    let damaged = Key::new("ann", "damaged").with("hash", "sha256:00");
    let twice = Key::new("ann", "twice");
    let again = twice.clone().with("name", "again");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").display().to_string();
    fs::write(&path, file(&[&over, &damaged, &twice, &again])).unwrap();
    for key in [&over, &damaged, &twice] {
        let output =
            doorward(&["explain", "--keys", &path, "--key", &key.id(), "ann", "GET", "/v2/a/tags/list"]);
        assert_eq!(output.code, Some(1), "{output:?}");
    }
}

#[test]
fn a_key_for_less_than_a_second_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").display().to_string();
    let arguments =
        ["key", "new", "--create", "--keys", &path, "--owner", "ann", "--name", "ci", "--expires", "1ms"];
    let output = doorward(&arguments);
    assert!(output.code == Some(1) && output.stderr.contains("not within a second"), "{output:?}");
}

#[test]
fn a_whole_key_that_cannot_be_revoked_is_not_repeated() {
    let house = House::open("");
    let path = house.path("keys").display().to_string();
    let secret = Key::new("ann", "ci").secret;
    let output = doorward(&["key", "revoke", "--keys", &path, &secret]);
    assert!(output.code == Some(1) && !output.stderr.contains(&secret[15..]), "{output:?}");
}
