//! The three ways to present an API key: as the password, with the fixed user name, as a bearer.

use super::{ApiKeySetup, assert_admitted, assert_challenged};
use crate::support::client::{Request, basic};
use crate::support::doorward::Doorward;
use crate::support::keys::{FIXED, Key, Presentation, presentations};
use crate::support::users;

#[test]
fn api_key_is_accepted_as_password_with_the_fixed_name_and_as_bearer() {
    let (anns, bobs) = (Key::new("ann", "ci"), Key::new("bob", "ci"));
    let setup = ApiKeySetup::of(&[&anns, &bobs]);
    for (owner, other, key) in [("ann", "bob", &anns), ("bob", "ann", &bobs)] {
        for way in presentations(owner) {
            assert_admitted(&setup.show(way, &key.secret), owner);
            assert_challenged(&setup.show(way, &format!("{}x", key.secret)));
        }
        for wrong in [other, "carl", "nobody", "Token", "tokens", &owner.to_uppercase(), &key.id()] {
            assert_challenged(&setup.show(Presentation::As(wrong), &key.secret));
        }
    }
    assert_eq!(setup.doorward.hashes(), 0.0, "no key is hashed as a password is");
    assert_eq!(
        setup.doorward.metric("doorward_verdicts_total{verdict=\"challenge\",reason=\"invalid_api_key\""),
        18.0
    );
    // With a key id as the user name, the credentials are malformed.
    assert_eq!(
        setup
            .doorward
            .metric("doorward_verdicts_total{verdict=\"challenge\",reason=\"malformed_credentials\""),
        2.0
    );
}

#[test]
fn password_of_the_owner_is_still_accepted() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::of(&[&key]);
    let answer = setup.show(Presentation::As("ann"), "a1");
    assert_eq!((answer.status, answer.header("x-auth-by")), (200, Some("htpasswd")), "{answer:?}");
    assert_challenged(&setup.show(Presentation::As(FIXED), "a1"));
    assert_challenged(&setup.show(Presentation::Bearer, "a1"));
    assert_challenged(&setup.show(Presentation::As("ann"), "a2"));
    assert_admitted(&setup.show(Presentation::As("ann"), &key.secret), "ann");
}

#[test]
fn bearer_value_without_the_api_key_prefix_is_challenged_and_not_throttled() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::of(&[&key]);
    let ask = |value: &str| setup.doorward.ask(&Request::auth().header("Authorization", value));
    for value in [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x",
        &format!("Bearer x{}", key.secret),
        &format!("Bearer {} {}", key.secret, key.secret),
        &format!("Bearer {},{}", key.secret, "x"),
        &format!("Bearer {}", key.secret.to_uppercase()),
        &format!("Token {}", key.secret),
        &key.secret,
        &basic(format!(":{}", key.secret)),
        &basic(&key.secret),
        &basic(format!("ann:{}:", key.secret)),
        &basic(format!("ann:{} ", key.secret)),
        &basic(format!("ann: {}", key.secret)),
    ] {
        assert_challenged(&ask(value));
    }
    for value in ["Bearer", "bearer", "BEARER", "Bearer  "] {
        assert_admitted(&ask(&format!("{value} {}", key.secret)), "ann");
    }
    let twice = Request::auth().basic("ann", &key.secret);
    assert_challenged(&setup.doorward.ask(&Presentation::Bearer.present(twice, &key.secret)));
}

#[test]
fn fixed_user_name_is_configurable_and_a_user_of_that_name_keeps_its_password() {
    let (anns, tokens) = (Key::new("ann", "ci"), Key::new(FIXED, "ci"));
    let setup =
        ApiKeySetup::with(&crate::support::keys::file(&[&anns]), None, &["--api-keys-username", "robot"]);
    assert_admitted(&setup.show(Presentation::As("robot"), &anns.secret), "ann");
    assert_challenged(&setup.show(Presentation::As(FIXED), &anns.secret));

    let setup = ApiKeySetup::of(&[&anns, &tokens]);
    users::put(&setup.path("htpasswd"), users::three() + &users::line(FIXED, "t4", users::QUICK));
    setup.await_status(Presentation::As(FIXED), "t4", 200);
    assert_admitted(&setup.show(Presentation::As(FIXED), &tokens.secret), FIXED);
    assert_admitted(&setup.show(Presentation::As(FIXED), &anns.secret), "ann");
    assert_challenged(&setup.show(Presentation::As("ann"), &tokens.secret));
}

#[test]
fn secret_with_the_api_key_prefix_is_a_password_if_api_keys_are_not_configured() {
    let key = Key::new("ann", "ci");
    let lines = users::line("ann", &key.secret, users::QUICK) + &users::line("bob", "b2", users::QUICK);
    let doorward = Doorward::start(&lines, &super::FLAGS);
    let ask = |way: Presentation<'_>, secret: &str| doorward.ask(&way.present(Request::auth(), secret));
    let answer = ask(Presentation::As("ann"), &key.secret);
    assert_eq!((answer.status, answer.header("x-auth-by")), (200, Some("htpasswd")), "{answer:?}");
    for way in [Presentation::Bearer, Presentation::As("bob"), Presentation::As(FIXED)] {
        assert_challenged(&ask(way, &key.secret));
    }
    assert_eq!(doorward.hashes(), 3.0, "all but the bearer were hashed");
    assert_eq!(doorward.admin(&Request::get("/api-keys")).status, 404);
    // If API keys are configured, the same secret is not accepted as a password.
    let setup = ApiKeySetup::with("", None, &[]);
    users::put(&setup.path("htpasswd"), &lines);
    setup.await_status(Presentation::As("ann"), "a1", 401);
    assert_challenged(&setup.show(Presentation::As("ann"), &key.secret));
    assert_eq!(setup.show(Presentation::As("bob"), "b2").status, 200);
}

#[test]
fn each_use_of_an_api_key_is_counted_and_refusals_are_not() {
    let keys = ["ci", "laptop", "unused"].map(|name| Key::new("ann", name));
    let setup = ApiKeySetup::of(&keys.each_ref());
    for (key, count) in keys.iter().zip([3, 1, 0]) {
        (0..count).for_each(|_| assert_admitted(&setup.show(Presentation::Bearer, &key.secret), "ann"));
        assert_challenged(&setup.show(Presentation::As("bob"), &key.secret));
    }
    let answer = setup.doorward.admin(&Request::get("/api-keys"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let told: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let mut told: Vec<String> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["owner"], one["name"], one["use_count"]))
        .collect();
    told.sort();
    assert_eq!(told, ["\"ann\" \"ci\" 3", "\"ann\" \"laptop\" 1"]);
    let uses = |key: &Key| setup.doorward.metric(&format!("doorward_api_key_uses{{id=\"{}\"", key.id()));
    assert_eq!(keys.each_ref().map(uses), [3.0, 1.0, 0.0]);
    assert_eq!(setup.doorward.metric("doorward_api_keys"), 3.0);
    let public = setup.doorward.ask(&Request::get("/api-keys"));
    assert_ne!(public.status, 200, "{public:?}");
    for text in [answer.text(), setup.doorward.log(), setup.doorward.admin(&Request::get("/metrics")).text()]
    {
        keys.iter().for_each(|key| assert!(!text.contains(&key.secret[15..]), "a secret is told: {text}"));
    }
}
