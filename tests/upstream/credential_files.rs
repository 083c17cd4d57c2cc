//! Files of upstream credentials that are rotated.

use std::fs;

use super::{assert_upstream_credentials, of_alice, start};
use crate::support::doorward::{command, doorward};
use crate::support::process::run;
use crate::support::{eventually, users};

const TABLE: &str = "[[upstream]]\ntype = \"bearer\"\ntoken_file = \"{dir}/token\"\n";

#[test]
fn rotated_credential_file_is_used_and_an_invalid_one_keeps_the_last() {
    let doorward = start(TABLE, &[("token", "one\n")], &[]);
    let path = doorward.folder().join("token");
    let now = || doorward.ask(&of_alice("GET", "/v2/")).header(super::HEADER).map(str::to_owned);
    let becomes = |value: &str| {
        eventually(value, || (now().as_deref() == Some(value)).then_some(()));
    };
    becomes("Bearer one");
    // Replaced atomically by another tool.
    fs::write(doorward.folder().join("new"), "two\n").unwrap();
    fs::rename(doorward.folder().join("new"), &path).unwrap();
    becomes("Bearer two");
    // Changed in place.
    fs::write(&path, "three").unwrap();
    becomes("Bearer three");
    fs::write(&path, "").unwrap();
    let degraded = || doorward.ready().text().contains("upstream credentials").then_some(());
    eventually("it is told that the file is empty", degraded);
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", "/v2/")), Some("Bearer three"));
    fs::remove_file(&path).unwrap();
    assert_upstream_credentials(&doorward.ask(&of_alice("GET", "/v2/")), Some("Bearer three"));
    fs::write(&path, "four").unwrap();
    becomes("Bearer four");
    eventually("all is well again", || (doorward.ready().text() == "ready\n").then_some(()));
    assert_eq!(doorward.ready().status, 200);
}

#[test]
fn invalid_credential_file_at_start_is_reported_with_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display().to_string();
    fs::write(dir.path().join("htpasswd"), users::alice()).unwrap();
    let settings = dir.path().join("doorward.toml");
    fs::write(dir.path().join("secret"), super::SECRET).unwrap();
    let secret = format!("{at}/secret");
    fs::write(&settings, format!("htpasswd.file = \"{at}/htpasswd\"\n{}", TABLE.replace("{dir}", &at)))
        .unwrap();
    let config = settings.to_str().unwrap();
    let told = || {
        let mut serve = command();
        serve.args(["serve", "--config", config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        serve.args(["--proxy-secret-file", &secret]);
        let served = run(serve);
        assert_eq!(served.code, Some(1), "{served:?}");
        let checked = doorward(&["check", "--config", config, "--proxy-secret-file", &secret]);
        assert_eq!(checked.code, Some(1), "{checked:?}");
        let line = |text: &str| {
            text.lines()
                .find(|line| line.contains("token") && !line.contains("note: "))
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(line(&served.stderr), line(&format!("{}{}", checked.stdout, checked.stderr)));
        line(&served.stderr)
    };
    assert!(
        told().contains("doorward.toml:2:1: upstream bearer") && told().contains("the file does not exist")
    );
    fs::write(dir.path().join("token"), "s3cret s3cret").unwrap();
    let line = told();
    assert!(
        line.contains("upstream bearer")
            && line.contains("not allowed in a token")
            && !line.contains("s3cret"),
        "{line}"
    );
}
