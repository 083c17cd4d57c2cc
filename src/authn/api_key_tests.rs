//! Whose key it is, and why one is no good.

use zeroize::Zeroizing;

use super::file::parse;
use super::format::generate_api_key;
use super::*;

const NOW: u64 = 1_700_000_000;

struct ApiKeyFixture {
    keys: ApiKeys,
    secret: Zeroizing<String>,
    line: String,
}

/// One key of alice's that ends an hour from now.
fn api_key_fixture(rules: ApiKeyRules) -> ApiKeyFixture {
    let (secret, id, digest) = generate_api_key().unwrap();
    let line = format!(
        r#"{{"id":"{}","hash":"{digest}","owner":"alice","name":"ci","scope":["pull:team/**"],"expires":"2023-11-14T23:13:20Z"}}"#,
        id.as_str()
    );
    let parsed = parse(line.as_bytes(), &"keys".into(), None);
    assert_eq!(parsed.line_errors, []);
    ApiKeyFixture { keys: ApiKeys::new(parsed.index, rules), secret, line }
}

fn rules() -> ApiKeyRules {
    ApiKeyRules { username: "token".into(), is_owner_line_required: true }
}

impl ApiKeyFixture {
    /// Whom it proves to be, or what is wrong, without the id.
    fn check(&self, user: Option<&str>, secret: &str, now: u64) -> String {
        let known = |owner: &[u8]| owner == b"alice";
        match self.keys.authenticate(user.map(str::as_bytes), secret.as_bytes(), now, known) {
            Ok(identity) => format!("{} by {}", identity.user, identity.authenticator),
            Err(fault) => format!("{fault:?}").split('(').next().unwrap().to_owned(),
        }
    }
}

#[test]
fn api_key_is_accepted_with_owner_name_shared_name_or_as_bearer() {
    let house = api_key_fixture(rules());
    for user in [Some("alice"), Some("token"), None] {
        assert_eq!(house.check(user, &house.secret, NOW), "alice by keys");
    }
    for user in ["bob", "Alice", "Token", "alice2"] {
        assert_eq!(house.check(Some(user), &house.secret, NOW), "Owner");
    }
    let nameless = ApiKeyFixture {
        keys: ApiKeys::new(parse(house.line.as_bytes(), &"keys".into(), None).index, ApiKeyRules::default()),
        ..house
    };
    assert_eq!(nameless.check(Some("token"), &nameless.secret, NOW), "Owner");
    assert_eq!(nameless.check(Some(""), &nameless.secret, NOW), "Owner");
}

#[test]
fn invalid_api_key_is_rejected_with_its_reason() {
    let house = api_key_fixture(rules());
    let check = |secret: &str| house.check(None, secret, NOW);
    assert_eq!(check("dwk_"), "Mistyped");
    assert_eq!(check(&house.secret[..house.secret.len() - 1]), "Mistyped");
    assert_eq!(check(&generate_api_key().unwrap().0), "Unknown");
    assert_eq!(house.check(None, &house.secret, NOW + 3599), "alice by keys");
    assert_eq!(house.check(None, &house.secret, NOW + 3600), "Expired");
    // The id of the one, the hash of another.
    let other = generate_api_key().unwrap().2.to_string();
    let hash = house.line.split('"').find(|part| part.starts_with("sha256:")).unwrap();
    let line = house.line.replace(hash, &other);
    let swapped = ApiKeyFixture {
        keys: ApiKeys::new(parse(line.as_bytes(), &"keys".into(), None).index, rules()),
        ..house
    };
    assert_eq!(swapped.check(None, &swapped.secret, NOW), "Secret");
    let broken = swapped.line.replace("pull:team", "pul:team");
    let broken = ApiKeyFixture {
        keys: ApiKeys::new(parse(broken.as_bytes(), &"keys".into(), None).index, rules()),
        ..swapped
    };
    assert_eq!(broken.check(None, &broken.secret, NOW), "Line");
}

#[test]
fn api_key_of_owner_without_htpasswd_line_is_rejected_if_required() {
    let house = api_key_fixture(rules());
    let line = house.line.replace("alice", "bob");
    let file = || parse(line.as_bytes(), &"keys".into(), None).index;
    let gone = ApiKeyFixture {
        keys: ApiKeys::new(file(), rules()),
        secret: house.secret.clone(),
        line: line.clone(),
    };
    assert_eq!(gone.check(None, &gone.secret, NOW), "OwnerGone");
    let any = ApiKeyFixture { keys: ApiKeys::new(file(), ApiKeyRules::default()), ..gone };
    assert_eq!(any.check(None, &any.secret, NOW), "bob by keys");
}

#[test]
fn api_key_usage_survives_a_reload() {
    let house = api_key_fixture(rules());
    house.check(None, &house.secret, NOW);
    house.check(None, &house.secret, NOW + 5);
    house.check(Some("bob"), &house.secret, NOW + 9);
    let uses = || {
        let file = house.keys.index();
        let key = Arc::clone(file.records().next().unwrap().identity.api_key.as_ref().unwrap());
        (key.usage.count(), key.usage.last_used_at())
    };
    assert_eq!(uses(), (2, NOW + 5));
    let again = parse(house.line.as_bytes(), &"keys".into(), Some(&house.keys.index()));
    house.keys.replace(again.index);
    assert_eq!(uses(), (2, NOW + 5));
    let metrics = Metrics::default();
    house.keys.update_metrics(&metrics);
    let text = metrics.encode().unwrap();
    assert!(text.contains("doorward_api_key_uses{id=\"dwk_") && text.contains("} 2\n"), "{text}");
}
