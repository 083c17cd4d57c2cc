//! API keys together with an htpasswd file and an HTTP authenticator.

use std::fs;

use super::{HOME, assert_challenged};
use crate::support::api::{Api, Reply};
use crate::support::client::{Answer, Request};
use crate::support::doorward::Doorward;
use crate::support::keys::{FIXED, Key, Presentation, file, from_now, presentations};
use crate::support::users;

/// A service that accepts any password of dora and has no other user.
pub(super) fn service_with_dora() -> Api {
    Api::start(|call| {
        Reply::status(if call.basic().is_some_and(|pair| pair.0 == "dora") { 200 } else { 404 })
    })
}

pub(super) const KINDS: [&str; 3] = ["htpasswd", "http", "api_keys"];

/// Returns the tables of these authenticators in this order.
fn tables(order: &[&str], service: &Api) -> String {
    let table = |kind: &&str| match *kind {
        "http" => format!(
            "[[authenticator]]\ntype = \"http\"\nname = \"vendor\"\nurl = \"{}/ask\"\nheaders = {{ Authorization = \"Basic {{basic}}\" }}\nunknown_user_statuses = [404]\n",
            service.url()
        ),
        kind => format!("[[authenticator]]\ntype = \"{kind}\"\nname = \"the-{kind}\"\n"),
    };
    order.iter().map(table).collect()
}

pub(super) fn start(order: &[&str], service: &Api, keys: &[&Key], more: &str) -> Doorward {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mut settings = format!("proxy_read_timeout = \"5m\"\napi_keys.file = \"{}\"\n{more}\n", path("keys"));
    settings += &tables(order, service);
    fs::write(path("doorward.toml"), settings).unwrap();
    fs::write(path("keys"), file(keys)).unwrap();
    if order.contains(&"htpasswd") {
        fs::write(path("htpasswd"), users::three()).unwrap();
    }
    let config = path("doorward.toml");
    Doorward::start_in(dir, &[&["--config", &config], &super::FLAGS[..]].concat())
}

pub(super) fn show(doorward: &Doorward, way: Presentation<'_>, secret: &str) -> Answer {
    doorward.ask(&way.present(Request::auth().from(HOME), secret))
}

fn assert_by(answer: &Answer, user: &str, by: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        (answer.header("x-auth-user"), answer.header("x-auth-by")),
        (Some(user), Some(by)),
        "{answer:?}"
    );
}

#[test]
fn secret_with_the_api_key_prefix_is_never_sent_to_a_service_in_any_order() {
    let good = Key::new("ann", "ci");
    let bad = [
        Key::new("ann", "unknown").secret,
        Key::new("ann", "over").secret,
        format!("{}x", good.secret),
        good.secret[..20].to_owned(),
        "dwk_".to_owned(),
        "dwk_a password of somebody's".to_owned(),
    ];
    for order in orders() {
        let service = service_with_dora();
        let over = Key::new("ann", "over").with("expires", from_now(-1));
        let doorward = start(&order, &service, &[&good, &over], "");
        for way in presentations("ann") {
            assert_by(&show(&doorward, way, &good.secret), "ann", "the-api_keys");
        }
        for user in ["ann", "dora", "nobody", FIXED] {
            for secret in bad.iter().chain([&over.secret]) {
                assert_challenged(&show(&doorward, Presentation::As(user), secret));
                assert_challenged(&show(&doorward, Presentation::Bearer, secret));
            }
        }
        assert_challenged(&show(&doorward, Presentation::As("dora"), &good.secret));
        // A key with a leading space.
        assert_challenged(&show(&doorward, Presentation::As("dora"), &format!(" {}", good.secret)));
        assert_challenged(&show(&doorward, Presentation::Bearer, "x"));
        assert_eq!(service.count(), 0, "{order:?}");
        // Control: other passwords are sent to the service.
        for password in ["dwk", "Dwk_x", "xdwk_"] {
            assert_by(&show(&doorward, Presentation::As("dora"), password), "dora", "vendor");
        }
        assert_challenged(&show(&doorward, Presentation::As("nobody"), "dwk-x"));
        assert_eq!(service.count(), 4, "{order:?}");
        assert_by(&show(&doorward, Presentation::As("ann"), "a1"), "ann", "the-htpasswd");
        assert!(
            service.calls().iter().all(|call| call.basic().is_some_and(|pair| !pair.1.starts_with("dwk_")))
        );
    }
}

/// Returns all orders of the three authenticators.
fn orders() -> Vec<[&'static str; 3]> {
    let [a, b, c] = KINDS;
    vec![[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]]
}

#[test]
fn api_key_is_accepted_during_a_service_outage() {
    let key = Key::new("ann", "ci");
    let mut service = service_with_dora();
    let doorward = start(&KINDS, &service, &[&key], "");
    service.go();
    assert_eq!(show(&doorward, Presentation::As("dora"), "x").status, 503);
    assert_by(&show(&doorward, Presentation::Bearer, &key.secret), "ann", "the-api_keys");
    assert_challenged(&show(&doorward, Presentation::As("dora"), &key.secret));
}

#[test]
fn user_known_only_to_a_service_has_api_keys_if_configured() {
    let key = Key::new("dora", "ci");
    let service = service_with_dora();
    let doorward = start(&KINDS, &service, &[&key], "");
    assert_challenged(&show(&doorward, Presentation::Bearer, &key.secret));
    let doorward = start(&KINDS, &service, &[&key], "api_keys.owners = \"any\"");
    assert_by(&show(&doorward, Presentation::Bearer, &key.secret), "dora", "the-api_keys");
    // Without an htpasswd file, the owner need not be listed in one.
    let doorward = start(&["http", "api_keys"], &service, &[&key], "");
    assert_by(&show(&doorward, Presentation::As("dora"), &key.secret), "dora", "the-api_keys");
    assert_challenged(&show(&doorward, Presentation::As("nobody"), &key.secret));
    assert_eq!(service.count(), 0);
}

#[test]
fn api_keys_without_another_authenticator_start() {
    let (key, other) = (Key::new("robot", "ci"), Key::new("robot", "other"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").display().to_string();
    fs::write(&path, key.line()).unwrap();
    let doorward = Doorward::start_in(dir, &["--api-keys", &path]);
    assert_by(&show(&doorward, Presentation::Bearer, &key.secret), "robot", "api_keys");
    assert_challenged(&show(&doorward, Presentation::Bearer, &other.secret));
}

#[test]
fn unused_api_key_file_or_missing_file_setting_is_an_error() {
    let service = service_with_dora();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("htpasswd"), users::alice()).unwrap();
    fs::write(path("keys"), "").unwrap();
    let says = |settings: String, what: &str| {
        let settings = format!("htpasswd.file = \"{}\"\n{settings}", path("htpasswd"));
        fs::write(path("doorward.toml"), settings).unwrap();
        let output = crate::support::doorward::doorward(&["check", "--config", &path("doorward.toml")]);
        let said = output.stdout.clone() + &output.stderr;
        assert_eq!(output.code == Some(0), what.is_empty(), "{said}");
        assert!(said.contains(what), "{what}: {said}");
    };
    let keys = format!("api_keys.file = \"{}\"\n", path("keys"));
    says(keys.clone() + &tables(&KINDS, &service), "");
    says(keys.clone() + &tables(&KINDS[..2], &service), "api_keys.file is set, but no authenticator uses it");
    says(tables(&KINDS, &service), "an authenticator of type api_keys requires api_keys.file");
    let two = tables(&["htpasswd", "api_keys"], &service)
        + "[[authenticator]]\ntype = \"api_keys\"\nname = \"again\"\n";
    says(keys.clone() + &two, "two authenticators of type api_keys, which has one file");
    says(keys + "api_keys.owners = \"some\"\n", "must be htpasswd or any");
}
