//! User names with characters that a terminal or log would show as another name.

use std::fs;

use super::{QUICK, Users};
use crate::support::backend::{Backend, Reply};
use crate::support::client::Request;
use crate::support::doorward::{Doorward, doorward};
use crate::support::keys::{Key, file};
use crate::support::users;

/// Names with an invisible or misleading character: U+00A0 at the end, a control character (U+0080 to
/// U+009F), another space, a zero-width space, a direction override, and a line separator.
const BAD: [&str; 6] =
    ["alice\u{a0}", "al\u{9b}ice", "alice\u{2003}", "alice\u{200b}", "al\u{202e}ice", "al\u{2028}ice"];

/// Returns true if a text has a character that must not be printed.
fn is_unsafe(text: &str) -> bool {
    text.contains(|c: char| {
        c.is_control() && c != '\n' && c != '\t' || ('\u{2028}'..='\u{202e}').contains(&c)
    })
}

#[test]
fn deceptive_name_is_refused_from_a_file_and_by_every_command() {
    let users = Users::of(&users::alice());
    for name in BAD {
        users.refuses("add", &["--stdin", QUICK[0], QUICK[1], "--", name], b"x", "the user name has a");
        let keys = users.dir.path().join("keys");
        let output = doorward(&[
            "api-key",
            "new",
            "--create",
            "--owner",
            name,
            "--name",
            "ci",
            "--api-keys",
            keys.to_str().unwrap(),
        ]);
        assert!(output.code == Some(1) && output.stderr.contains("the user name has a"), "{output:?}");
        assert!(!is_unsafe(&output.stderr) && !keys.exists(), "{output:?}");
    }
    let lines: String = BAD.iter().map(|name| users::line(name, "x", users::QUICK)).collect();
    let doorward_ = Doorward::start(&(users::alice() + &lines), &[]);
    for name in BAD {
        assert_eq!(doorward_.log_in(name, "x", "192.0.2.1"), 401, "{name:?}");
    }
    assert_eq!(doorward_.log_in("alice", "wonderland", "192.0.2.1"), 200);
    let path = doorward_.htpasswd().display().to_string();
    let check = doorward(&["check", "--htpasswd", &path]);
    assert_eq!(check.code, Some(1));
    assert!(check.stdout.contains(&format!("invalid lines: {}", BAD.len())), "{check:?}");
    assert!(!is_unsafe(&check.stdout) && !is_unsafe(&doorward_.log()), "{check:?}");
}

#[test]
fn deceptive_name_returned_by_a_service_is_refused() {
    for name in BAD {
        let backend = Backend::saying(Reply::json(&serde_json::json!({ "login": name }).to_string()));
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("doorward.toml");
        let table = "[[authenticator]]\ntype = \"http\"\nname = \"vendor\"\nusername_pointer = \"/login\"\n";
        let request = "headers = { Authorization = \"Basic {basic}\" }\n";
        fs::write(&config, format!("{table}url = \"http://{}/ask\"\n{request}", backend.address)).unwrap();
        let doorward = Doorward::start_in(folder, &["--config", config.to_str().unwrap()]);
        let answer = doorward.ask(&Request::auth().basic("alice", "x").from("192.0.2.1"));
        assert_eq!(answer.status, 503, "{name:?}: {answer:?}");
        assert_eq!(backend.requests(), 1);
        assert!(!is_unsafe(&doorward.log()), "{name:?}");
    }
}

#[test]
fn key_list_escapes_terminal_control_characters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys").display().to_string();
    let keys: Vec<Key> = BAD.iter().map(|name| Key::new(name, &format!("ci{name}"))).collect();
    fs::write(&path, file(&keys.iter().collect::<Vec<_>>())).unwrap();
    for format in [&[][..], &["--json"]] {
        let output = doorward(&[&["api-key", "list", "--api-keys", &path], format].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(!is_unsafe(&output.stdout) && !is_unsafe(&output.stderr), "{output:?}");
    }
    let json = doorward(&["api-key", "list", "--json", "--api-keys", &path]).stdout;
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told[4]["owner"], "-", "of a line that can't be used no text is told");
    let revoked = doorward(&["api-key", "revoke", "--json", "--api-keys", &path, &keys[4].id()]);
    assert!(revoked.code == Some(0) && !is_unsafe(&revoked.stdout), "{revoked:?}");
    let revoked = doorward(&["api-key", "revoke", "--api-keys", &path, &keys[1].id()]);
    assert!(revoked.code == Some(0) && !is_unsafe(&revoked.stdout), "{revoked:?}");
}
