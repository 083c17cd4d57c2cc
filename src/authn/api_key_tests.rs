//! Accepted API keys, and the reasons for rejections.

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

/// Returns one key that is owned by alice and expires in an hour.
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
    /// Returns the identity, or the name of the error.
    fn authenticate(&self, user: Option<&str>, secret: &str, now: u64) -> String {
        let has_htpasswd_line = |owner: &[u8]| owner == b"alice";
        match self.keys.authenticate(user.map(str::as_bytes), secret.as_bytes(), now, has_htpasswd_line) {
            Ok(identity) => format!("{} by {}", identity.user, identity.authenticator),
            Err(error) => format!("{error:?}").split('(').next().unwrap().to_owned(),
        }
    }
}

#[test]
fn api_key_is_accepted_with_owner_name_shared_name_or_as_bearer() {
    let fixture = api_key_fixture(rules());
    for user in [Some("alice"), Some("token"), None] {
        assert_eq!(fixture.authenticate(user, &fixture.secret, NOW), "alice by keys");
    }
    for user in ["bob", "Alice", "Token", "alice2"] {
        assert_eq!(fixture.authenticate(Some(user), &fixture.secret, NOW), "OwnerMismatch");
    }
    let nameless = ApiKeyFixture {
        keys: ApiKeys::new(
            parse(fixture.line.as_bytes(), &"keys".into(), None).index,
            ApiKeyRules::default(),
        ),
        ..fixture
    };
    assert_eq!(nameless.authenticate(Some("token"), &nameless.secret, NOW), "OwnerMismatch");
    assert_eq!(nameless.authenticate(Some(""), &nameless.secret, NOW), "OwnerMismatch");
}

#[test]
fn invalid_api_key_is_rejected_with_its_reason() {
    let fixture = api_key_fixture(rules());
    let authenticate = |secret: &str| fixture.authenticate(None, secret, NOW);
    assert_eq!(authenticate("dwk_"), "Malformed");
    assert_eq!(authenticate(&fixture.secret[..fixture.secret.len() - 1]), "Malformed");
    assert_eq!(authenticate(&generate_api_key().unwrap().0), "NotFound");
    assert_eq!(fixture.authenticate(None, &fixture.secret, NOW + 3599), "alice by keys");
    assert_eq!(fixture.authenticate(None, &fixture.secret, NOW + 3600), "Expired");
    // The id of one key and the hash of another.
    let other = generate_api_key().unwrap().2.to_string();
    let hash = fixture.line.split('"').find(|part| part.starts_with("sha256:")).unwrap();
    let line = fixture.line.replace(hash, &other);
    let swapped = ApiKeyFixture {
        keys: ApiKeys::new(parse(line.as_bytes(), &"keys".into(), None).index, rules()),
        ..fixture
    };
    assert_eq!(swapped.authenticate(None, &swapped.secret, NOW), "SecretMismatch");
    let broken = swapped.line.replace("pull:team", "pul:team");
    let broken = ApiKeyFixture {
        keys: ApiKeys::new(parse(broken.as_bytes(), &"keys".into(), None).index, rules()),
        ..swapped
    };
    assert_eq!(broken.authenticate(None, &broken.secret, NOW), "InvalidLine");
}

#[test]
fn api_key_of_owner_without_htpasswd_line_is_rejected_if_required() {
    let fixture = api_key_fixture(rules());
    let line = fixture.line.replace("alice", "bob");
    let file = || parse(line.as_bytes(), &"keys".into(), None).index;
    let ownerless = ApiKeyFixture {
        keys: ApiKeys::new(file(), rules()),
        secret: fixture.secret.clone(),
        line: line.clone(),
    };
    assert_eq!(ownerless.authenticate(None, &ownerless.secret, NOW), "OwnerNotInHtpasswd");
    let any = ApiKeyFixture { keys: ApiKeys::new(file(), ApiKeyRules::default()), ..ownerless };
    assert_eq!(any.authenticate(None, &any.secret, NOW), "bob by keys");
}

#[test]
fn api_key_usage_survives_a_reload() {
    let fixture = api_key_fixture(rules());
    fixture.authenticate(None, &fixture.secret, NOW);
    fixture.authenticate(None, &fixture.secret, NOW + 5);
    fixture.authenticate(Some("bob"), &fixture.secret, NOW + 9);
    let uses = || {
        let file = fixture.keys.index();
        let key = Arc::clone(file.records().next().unwrap().identity.api_key.as_ref().unwrap());
        (key.usage.count(), key.usage.last_used_at())
    };
    assert_eq!(uses(), (2, NOW + 5));
    let again = parse(fixture.line.as_bytes(), &"keys".into(), Some(&fixture.keys.index()));
    fixture.keys.replace(again.index);
    assert_eq!(uses(), (2, NOW + 5));
    let metrics = Metrics::default();
    fixture.keys.update_metrics(&metrics);
    let text = metrics.encode().unwrap();
    assert!(text.contains("doorward_api_key_uses{id=\"dwk_") && text.contains("} 2\n"), "{text}");
}
