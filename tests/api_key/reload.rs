//! The API key file is missing, empty, invalid or truncated, at start and at run time.

use std::fs;

use super::{ApiKeySetup, FLAGS, assert_admitted, assert_challenged};
use crate::support::doorward::command;
use crate::support::eventually;
use crate::support::keys::{Key, Presentation, file};
use crate::support::process::{Output, run};
use crate::support::users;

/// Runs `doorward serve` with this content of the API key file, or without the file; it must fail.
fn refuses_to_start(text: Option<&[u8]>) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("htpasswd"), users::three()).unwrap();
    if let Some(text) = text {
        fs::write(path("keys"), text).unwrap();
    }
    let mut command = command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--htpasswd"]).arg(path("htpasswd"));
    command.arg("--api-keys").arg(path("keys"));
    let output = run(command);
    assert_eq!(output.code, Some(1), "{output:?}");
    output
}

#[test]
fn missing_or_garbage_file_at_start_is_an_error() {
    let output = refuses_to_start(None);
    assert!(output.stderr.contains("keys: the file does not exist"), "{output:?}");
    let output = refuses_to_start(Some(b"\x7fELF\0\x01\x02\n\xff\xfe\nann:$2y$05$x\n"));
    assert!(output.stderr.contains("keys: not an API key file: it is a program"), "{output:?}");
    let cut = &Key::new("ann", "ci").line()[..50];
    let output = refuses_to_start(Some(cut.as_bytes()));
    assert!(output.stderr.contains("keys: none of the 1 lines is an API key"), "{output:?}");
}

#[test]
fn file_without_keys_starts_and_a_key_added_later_is_accepted() {
    for text in ["", "\n\n", "# none yet\n"] {
        let setup = ApiKeySetup::open(text);
        let key = Key::new("ann", "ci");
        assert_challenged(&setup.show(Presentation::Bearer, &key.secret));
        assert_eq!(setup.show(Presentation::As("ann"), "a1").status, 200);
        setup.put(key.line());
        setup.await_status(Presentation::Bearer, &key.secret, 200);
        setup.await_log("API key file reloaded");
    }
}

/// Makes the API key file unusable. The last valid keys must stay in force without new ones, until a valid
/// file follows.
fn assert_survives(spoil: impl Fn(&ApiKeySetup), said: &str) {
    let (key, later) = (Key::new("ann", "ci"), Key::new("ann", "later"));
    let setup = ApiKeySetup::of(&[&key]);
    spoil(&setup);
    eventually("the last good keys are in force", || {
        let answer = setup.doorward.ready();
        assert_eq!(answer.status, 200, "503 would take every replica out at once");
        let degraded =
            "ready, degraded: the API key file cannot be used; the last valid content is active (since 2";
        answer.text().starts_with(degraded).then_some(())
    });
    assert_admitted(&setup.show(Presentation::Bearer, &key.secret), "ann");
    assert_challenged(&setup.show(Presentation::Bearer, &later.secret));
    setup.await_log("API key file not reloaded, last valid content stays active");
    setup.await_log(said);
    assert_eq!(setup.doorward.metric("doorward_api_keys_outdated"), 1.0);
    assert_eq!(setup.doorward.metric("doorward_api_keys_reload_failures_total"), 1.0);
    setup.put(later.line());
    setup.await_status(Presentation::Bearer, &later.secret, 200);
    setup.await_status(Presentation::Bearer, &key.secret, 401);
    eventually("it is ready", || (setup.doorward.ready().text() == "ready\n").then_some(()));
    setup.await_log("API key file valid again");
    assert_eq!(setup.doorward.metric("doorward_api_keys_outdated"), 0.0);
}

#[test]
fn removed_file_keeps_the_last_valid_keys() {
    assert_survives(|setup| fs::remove_file(setup.path("keys")).unwrap(), "keys: the file does not exist");
}

#[test]
fn garbage_file_keeps_the_last_valid_keys() {
    let garbage = [0x7f, b'E', b'L', b'F', 0, 0xff, b'\n', 0xfe].repeat(100);
    assert_survives(|setup| setup.put(&garbage), "not an API key file: it is a program");
}

#[test]
fn file_with_only_a_truncated_line_keeps_the_last_valid_keys() {
    let line = Key::new("ann", "other").line();
    assert_survives(|setup| setup.put(&line[..line.len() / 2]), "none of the 1 lines is an API key");
}

#[test]
fn file_beyond_the_size_limit_keeps_the_last_valid_keys() {
    let grow = |setup: &ApiKeySetup| {
        let file = fs::OpenOptions::new().write(true).open(setup.path("keys")).unwrap();
        file.set_len((64 << 20) + 1).unwrap();
    };
    assert_survives(grow, "the file is larger than 67108864 bytes");
}

#[test]
fn file_with_a_truncated_last_line_disables_that_key_only() {
    let (first, last) = (Key::new("ann", "first"), Key::new("bob", "last"));
    let setup = ApiKeySetup::of(&[&first, &last]);
    assert_admitted(&setup.show(Presentation::Bearer, &last.secret), "bob");
    let whole = file(&[&first, &last]);
    setup.put(&whole[..whole.len() - 40]);
    setup.await_status(Presentation::Bearer, &last.secret, 401);
    assert_admitted(&setup.show(Presentation::Bearer, &first.secret), "ann");
    setup.await_log("/keys:2: invalid API key: not JSON at byte ");
    setup.await_log("invalid_lines=1");
    assert_eq!(setup.doorward.ready().text(), "ready\n");
    // The line end is optional.
    setup.put(whole.trim_end());
    setup.await_status(Presentation::Bearer, &last.secret, 200);
}

#[test]
fn emptied_file_takes_effect_after_a_wait_and_is_reported_field_m3() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::of(&[&key]);
    let emptied = std::time::Instant::now();
    fs::write(setup.path("keys"), "").unwrap();
    setup.await_status(Presentation::Bearer, &key.secret, 401);
    let after = emptied.elapsed();
    // A tool may be between truncating and writing. On a busy machine, the wait is shorter than the usual 1.6 s.
    assert!(after.as_millis() >= 400, "{after:?}");
    assert_eq!(setup.doorward.metric("doorward_api_keys"), 0.0);
    assert_eq!(setup.show(Presentation::As("ann"), "a1").status, 200);
    let told = "ready, degraded: the API key file has no keys, so it accepts no API key (since 2";
    eventually("it is told", || setup.doorward.ready().text().starts_with(told).then_some(()));
    setup.put("# no keys\n");
    eventually("it says so itself", || (setup.doorward.ready().text() == "ready\n").then_some(()));
    setup.put(key.line());
    setup.await_status(Presentation::Bearer, &key.secret, 200);
}

#[test]
fn sighup_reloads_api_keys_and_keeps_use_counts() {
    let key = Key::new("ann", "ci");
    let more = ["--reload-poll-interval", "1h"];
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("htpasswd"), users::three()).unwrap();
    let path = dir.path().join("keys").display().to_string();
    fs::write(&path, key.line()).unwrap();
    let flags = [&FLAGS[2..], &more, &["--api-keys", &path]].concat();
    let setup = ApiKeySetup { doorward: crate::support::doorward::Doorward::start_in(dir, &flags) };
    assert_admitted(&setup.show(Presentation::Bearer, &key.secret), "ann");
    let other = Key::new("ann", "other");
    setup.put(other.line() + &key.clone().with("name", "renamed").line());
    assert_challenged(&setup.show(Presentation::Bearer, &other.secret));
    setup.doorward.signal(rustix::process::Signal::HUP);
    setup.await_status(Presentation::Bearer, &other.secret, 200);
    assert_admitted(&setup.show(Presentation::Bearer, &key.secret), "ann");
    assert_eq!(setup.doorward.metric(&format!("doorward_api_key_uses{{id=\"{}\"", key.id())), 2.0);
}
