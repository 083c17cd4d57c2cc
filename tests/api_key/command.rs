//! The command that creates, lists and revokes API keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::api::{Api, Reply};
use crate::support::client::{Address, unix};
use crate::support::doorward::doorward;
use crate::support::keys::Presentation;
use crate::support::process::Output;

/// A folder with or without an API key file.
struct ApiKeyFile {
    _dir: TempDir,
    path: PathBuf,
}

impl ApiKeyFile {
    fn new(text: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        Self { _dir: dir, path }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    fn run(&self, what: &str, arguments: &[&str]) -> Output {
        let path = self.path.display().to_string();
        doorward(&[&["api-key", what, "--api-keys", &path], arguments].concat())
    }

    /// Runs a command that must succeed, and returns its output.
    fn succeeds(&self, what: &str, arguments: &[&str]) -> String {
        let output = self.run(what, arguments);
        assert_eq!((output.code, &output.stderr[..]), (Some(0), ""), "{what} {arguments:?}: {output:?}");
        output.stdout
    }

    /// Runs a command that must fail with `why` and change nothing.
    fn refuses(&self, what: &str, arguments: &[&str], why: &str) {
        let before = fs::read(&self.path).ok();
        let output = self.run(what, arguments);
        assert_eq!((output.code, &output.stdout[..]), (Some(1), ""), "{what} {arguments:?}: {output:?}");
        let says = output.stderr.starts_with("doorward: ") && output.stderr.contains(why);
        assert!(says, "{what} {arguments:?} does not say {why:?}: {output:?}");
        assert_eq!(fs::read(&self.path).ok(), before, "{what} {arguments:?} changed the file");
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const CI: [&str; 4] = ["--owner", "ann", "--name", "ci"];

#[test]
fn secret_of_a_new_api_key_is_printed_once_and_not_stored() {
    let file = ApiKeyFile::new(None);
    let said = file.succeeds("new", &[&CI[..], &["--create"]].concat());
    let secret = said.strip_suffix('\n').expect("a line");
    assert!(secret.len() == 51 && secret.starts_with("dwk_") && !secret.contains('\n'), "{said}");
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    let mode = fs::metadata(&file.path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o640, "{mode:o}");
    let told = [
        file.text(),
        file.succeeds("list", &[]),
        file.succeeds("list", &["--json"]),
        file.succeeds("revoke", &[&secret[..14], "--json"]),
    ];
    for text in told {
        assert!(text.contains(&secret[4..14]) && text.contains("ci"), "{text}");
        assert!(!text.contains(&secret[15..45]) && !text.contains(&secret[15..]), "{text}");
    }
}

#[test]
fn new_api_key_as_json_has_the_secret_and_every_field() {
    let file = ApiKeyFile::new(Some(""));
    let more = ["--expires-in", "90d", "--scope", "pull,push:team/**", "--scope", "catalog", "--json"];
    let told = json(&file.succeeds("new", &[&CI[..], &more].concat()));
    let line = json(&file.text());
    let secret = told["key"].as_str().unwrap();
    assert_eq!(told["id"].as_str().unwrap(), &secret[..14]);
    assert_eq!(line["id"].as_str().unwrap(), &secret[4..14]);
    for field in ["owner", "name", "scope", "created", "expires"] {
        assert_eq!(told[field], line[field], "{field}");
    }
    assert_eq!(line["scope"], serde_json::json!(["pull,push:team/**", "catalog"]));
    let time = |field: &str| humantime::parse_rfc3339(line[field].as_str().unwrap()).unwrap();
    assert_eq!(time("expires").duration_since(time("created")).unwrap().as_secs(), 90 * 24 * 3600);
    assert_eq!(told["expired"], false);
    let listed = json(&file.succeeds("list", &["--json"]));
    assert_eq!(listed[0]["id"], told["id"]);
    assert_eq!(listed[0].get("key"), None);
    let plain = json(&file.succeeds("new", &["--owner", "ann", "--name", "plain", "--json"]));
    assert_eq!((plain.get("expires"), plain.get("scope")), (None, None));
}

#[test]
fn list_shows_owner_scope_and_expiry() {
    let file = ApiKeyFile::new(Some(""));
    file.succeeds("new", &CI);
    file.succeeds("new", &["--owner", "bob", "--name", "ci", "--scope", "pull:**", "--expires-in", "1h"]);
    let over = crate::support::keys::Key::new("bob", "over").with("expires", "2020-01-01T00:00:00Z");
    fs::write(&file.path, file.text() + &over.line()).unwrap();
    let all = file.succeeds("list", &[]);
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(all.contains("\tann\tci\teverything\tno expiry\n"), "{all}");
    assert!(all.contains("\tbob\tci\tpull:**\tuntil 20"), "{all}");
    assert!(all.contains("\tbob\tover\teverything\tEXPIRED 2020-01-01T00:00:00Z\n"), "{all}");
    let bobs = json(&file.succeeds("list", &["--owner", "bob", "--json"]));
    let expired: Vec<&Value> = bobs.as_array().unwrap().iter().map(|one| &one["expired"]).collect();
    assert_eq!(expired, [false, true]);
    assert_eq!(file.succeeds("list", &["--owner", "carl"]), "");
    assert_eq!(json(&file.succeeds("list", &["--owner", "carl", "--json"])), serde_json::json!([]));
}

#[test]
fn list_shows_use_counts_if_doorward_is_reachable() {
    let setup = super::ApiKeySetup::open("");
    let path = setup.path("keys");
    let [ci, _] = ["ci", "laptop"].map(|name| crate::support::keys::make(&path, "ann", name, &[]));
    setup.await_status(Presentation::Bearer, &ci, 200);
    let uses = setup.doorward.metric(&format!("doorward_api_key_uses{{id=\"{}\"", &ci[..14]));
    let Address::Unix(admin) = &setup.doorward.admin else { panic!("not a unix socket") };
    let url = unix(admin);
    let list = |more: &[&str]| {
        doorward(&[&["api-key", "list", "--api-keys", &path.display().to_string(), "--usage"], more].concat())
    };
    let told = list(&["--url", &url]);
    assert!(told.stdout.contains("\tci\teverything\tno expiry\tused 1 times, last 20"), "{told:?}");
    assert!(told.stdout.contains("\tlaptop\teverything\tno expiry\tused 0 times, last never\n"), "{told:?}");
    assert_eq!(uses, 1.0);
    let told = json(&list(&["--url", &url, "--json"]).stdout);
    assert_eq!((&told[0]["use_count"], told[1].get("last_used_at")), (&Value::from(1), None));
    // No process listens there, or another program does.
    let free = format!("http://127.0.0.1:{}", crate::support::free_port());
    for url in [&free[..], "", "unix:/nowhere"] {
        assert_eq!(list(&["--url", url]).code, Some(1), "{url}");
    }
    let raw = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    let other = Api::start(move |_| Reply::Raw(raw.clone()));
    let told = list(&["--url", &other.url()]);
    assert!(told.code == Some(1) && told.stderr.contains("no list of API keys in the response"), "{told:?}");
}

#[test]
fn revoke_removes_only_the_named_keys() {
    let text = "# the team's keys\n\n{\"id\": \"damaged\n";
    let file = ApiKeyFile::new(Some(text));
    let keys: Vec<String> = [("ann", "ci"), ("ann", "laptop"), ("bob", "ci")]
        .iter()
        .map(|(owner, name)| file.succeeds("new", &["--owner", owner, "--name", name])[..14].to_owned())
        .collect();
    let before = file.text();
    assert!(before.starts_with(text) && before.lines().count() == 6, "{before}");
    // Several users can have a key of this name. A key of another user is not one of ann.
    file.refuses("revoke", &["ci"], "no such API key; a name requires --owner");
    file.refuses("revoke", &["laptop", "--owner", "bob"], "no such API key");
    file.refuses("revoke", &[&keys[2], "--owner", "ann"], "no such API key");
    file.refuses("revoke", &["dwk_0000000000"], "no such API key");
    let said = file.succeeds("revoke", &["ci", "--owner", "ann"]);
    assert!(said.starts_with(&format!("revoked: {}\tann\tci\t", keys[0])), "{said}");
    let kept: Vec<String> =
        before.lines().filter(|line| !line.contains(&keys[0][4..])).map(str::to_owned).collect();
    assert_eq!(file.text(), kept.join("\n") + "\n");
    let told = json(&file.succeeds("revoke", &[&keys[1][4..], "--json"]));
    assert_eq!((&told[0]["name"], &told[0]["id"]), (&Value::from("laptop"), &Value::from(&keys[1][..])));
    file.succeeds("revoke", &[&keys[2], "--owner", "bob"]);
    // Without the comment, a running service would not recognize the file as an API key file, and would keep
    // the key of bob.
    assert_eq!(file.text(), format!("{text}# no keys\n"));
    file.refuses("revoke", &[&keys[2]], "no such API key");
}

#[test]
fn api_key_name_is_unique_per_owner_and_reusable_after_revocation() {
    let file = ApiKeyFile::new(Some(""));
    let id = file.succeeds("new", &CI)[..14].to_owned();
    file.refuses("new", &CI, "ann already has an API key named ci; revoke it, or choose another name");
    file.succeeds("new", &["--owner", "bob", "--name", "ci"]);
    file.succeeds("revoke", &[&id]);
    file.succeeds("new", &CI);
}

#[test]
fn invalid_api_key_arguments_are_refused_and_nothing_is_written() {
    let file = ApiKeyFile::new(Some("# none\n"));
    for (scope, why) in [
        ("pul:team/**", "--scope: permission "),
        ("pull", "; write ACTIONS:REPOSITORY"),
        ("", "--scope: permission "),
        ("catalog:x", "write it without a repository"),
        ("get:/docs", "capitals"),
        ("pull:{user}/**", "for the policy"),
    ] {
        file.refuses("new", &[&CI[..], &["--scope", scope]].concat(), why);
        file.refuses("new", &[&CI[..], &["--scope", "pull:**", "--scope", scope]].concat(), why);
    }
    for (span, why) in [
        ("soon", "--expires-in: not a duration"),
        ("", "--expires-in: not a duration"),
        ("90", "not a duration"),
        ("2027-01-01T00:00:00Z", "not a duration"),
        ("0s", "must be between one second and ten years"),
        ("11y", "must be between one second and ten years"),
    ] {
        file.refuses("new", &[&CI[..], &["--expires-in", span]].concat(), why);
    }
    let long = "x".repeat(65);
    for (owner, name, why) in [
        ("", "ci", "doorward: "),
        ("a:b", "ci", "a:b: "),
        ("ann", "", "name: must be 1 to 64 characters"),
        ("ann", "two words", "without spaces"),
        ("ann", &long, "1 to 64"),
    ] {
        file.refuses("new", &["--owner", owner, "--name", name], why);
    }
    for argument in ["--owner", "--name"] {
        let output = file.run("new", &[argument, "x"]);
        assert_eq!(output.code, Some(2), "{output:?}");
    }
    file.succeeds(
        "new",
        &[&CI[..], &["--scope", "pull:**", "--scope", "/own/*", "--expires-in", "10y"]].concat(),
    );
}

#[test]
fn missing_api_key_file_is_created_only_with_create_flag() {
    let file = ApiKeyFile::new(None);
    file.refuses("new", &CI, "the file does not exist; add --create to make it");
    file.refuses("list", &[], "the file does not exist");
    file.refuses("revoke", &["dwk_0000000000"], "the file does not exist");
    file.succeeds("new", &[&CI[..], &["--create"]].concat());
    assert_eq!(file.text().lines().count(), 1);
    let output = doorward(&["api-key", "list"]);
    assert!(output.code == Some(1) && output.stderr.contains("no API key file is set"), "{output:?}");
}

#[test]
fn command_leaves_other_lines_unchanged_to_the_byte() {
    let text = "\u{feff}# first\r\n\r\n  not a key\n{\"id\":\"0123456789\"}\n# no break at the end";
    let file = ApiKeyFile::new(Some(text));
    let id = file.succeeds("new", &CI)[..14].to_owned();
    assert!(file.text().starts_with(&format!("{text}\n{{\"id\":\"")), "{}", file.text());
    file.succeeds("revoke", &[&id]);
    assert_eq!(file.text(), format!("{text}\n# no keys\n"));
}
