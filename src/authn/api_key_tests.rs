//! Whose key it is, and why one is no good.

use zeroize::Zeroizing;

use super::file::parse;
use super::secret::generate;
use super::*;

const NOW: u64 = 1_700_000_000;

struct House {
    keys: Keys,
    secret: Zeroizing<String>,
    line: String,
}

/// One key of alice's that ends an hour from now.
fn house(rules: Rules) -> House {
    let (secret, id, digest) = generate().unwrap();
    let line = format!(
        r#"{{"id":"{}","hash":"{digest}","owner":"alice","name":"ci","scope":["pull:team/**"],"expires":"2023-11-14T23:13:20Z"}}"#,
        id.as_str()
    );
    let parsed = parse(line.as_bytes(), &"keys".into(), None);
    assert_eq!(parsed.faults, []);
    House { keys: Keys::new(parsed.file, rules), secret, line }
}

fn rules() -> Rules {
    Rules { username: "token".into(), owners_in_htpasswd: true }
}

impl House {
    /// Whom it proves to be, or what is wrong, without the id.
    fn check(&self, user: Option<&str>, secret: &str, now: u64) -> String {
        let known = |owner: &[u8]| owner == b"alice";
        match self.keys.check(user.map(str::as_bytes), secret.as_bytes(), now, known) {
            Ok(identity) => format!("{} by {}", identity.user, identity.by),
            Err(fault) => format!("{fault:?}").split('(').next().unwrap().to_owned(),
        }
    }
}

#[test]
fn a_key_proves_its_owner_in_each_of_three_ways() {
    let house = house(rules());
    for user in [Some("alice"), Some("token"), None] {
        assert_eq!(house.check(user, &house.secret, NOW), "alice by keys");
    }
    for user in ["bob", "Alice", "Token", "alice2"] {
        assert_eq!(house.check(Some(user), &house.secret, NOW), "Owner");
    }
    let nameless = House {
        keys: Keys::new(parse(house.line.as_bytes(), &"keys".into(), None).file, Rules::default()),
        ..house
    };
    assert_eq!(nameless.check(Some("token"), &nameless.secret, NOW), "Owner");
    assert_eq!(nameless.check(Some(""), &nameless.secret, NOW), "Owner");
}

#[test]
fn a_key_that_is_no_good_is_told_why() {
    let house = house(rules());
    let check = |secret: &str| house.check(None, secret, NOW);
    assert_eq!(check("dwk_"), "Mistyped");
    assert_eq!(check(&house.secret[..house.secret.len() - 1]), "Mistyped");
    assert_eq!(check(&generate().unwrap().0), "Unknown");
    assert_eq!(house.check(None, &house.secret, NOW + 3599), "alice by keys");
    assert_eq!(house.check(None, &house.secret, NOW + 3600), "Expired");
    // The id of the one, the hash of another.
    let other = generate().unwrap().2.to_string();
    let hash = house.line.split('"').find(|part| part.starts_with("sha256:")).unwrap();
    let line = house.line.replace(hash, &other);
    let swapped =
        House { keys: Keys::new(parse(line.as_bytes(), &"keys".into(), None).file, rules()), ..house };
    assert_eq!(swapped.check(None, &swapped.secret, NOW), "Secret");
    let broken = swapped.line.replace("pull:team", "pul:team");
    let broken =
        House { keys: Keys::new(parse(broken.as_bytes(), &"keys".into(), None).file, rules()), ..swapped };
    assert_eq!(broken.check(None, &broken.secret, NOW), "Line");
}

#[test]
fn an_owner_who_may_not_log_in_has_no_keys_unless_that_is_set_otherwise() {
    let house = house(rules());
    let line = house.line.replace("alice", "bob");
    let file = || parse(line.as_bytes(), &"keys".into(), None).file;
    let gone = House { keys: Keys::new(file(), rules()), secret: house.secret.clone(), line: line.clone() };
    assert_eq!(gone.check(None, &gone.secret, NOW), "OwnerGone");
    let any = House { keys: Keys::new(file(), Rules::default()), ..gone };
    assert_eq!(any.check(None, &any.secret, NOW), "bob by keys");
}

#[test]
fn a_use_is_noted_and_outlives_a_reload() {
    let house = house(rules());
    house.check(None, &house.secret, NOW);
    house.check(None, &house.secret, NOW + 5);
    house.check(Some("bob"), &house.secret, NOW + 9);
    let uses = || {
        let file = house.keys.file();
        let key = Arc::clone(file.records().next().unwrap().identity.key.as_ref().unwrap());
        (key.uses.count(), key.uses.last())
    };
    assert_eq!(uses(), (2, NOW + 5));
    let again = parse(house.line.as_bytes(), &"keys".into(), Some(&house.keys.file()));
    house.keys.replace(again.file);
    assert_eq!(uses(), (2, NOW + 5));
    let metrics = Metrics::default();
    house.keys.measure(&metrics);
    let text = metrics.encode().unwrap();
    assert!(text.contains("doorward_key_uses{id=\"dwk_") && text.contains("} 2\n"), "{text}");
}
