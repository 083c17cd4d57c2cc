//! Invalid, expired and revoked API keys: equal responses, one log line each, throttled.

use super::{ApiKeySetup, assert_admitted, assert_challenged};
use crate::support::client::Request;
use crate::support::eventually;
use crate::support::keys::{Key, Presentation, from_now, make, presentations, revoke};
use crate::support::policy::RULES;
use crate::support::users;

const MISTYPED: &str = "malformed API key: the length, a character or the checksum is wrong";

#[test]
fn mistyped_api_key_is_logged_as_such() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::of(&[&key]);
    let secret = &key.secret;
    let replaced = |at: usize| {
        let mut other = secret.clone();
        let letter = if &secret[at..=at] == "x" { "y" } else { "x" };
        other.replace_range(at..=at, letter);
        other
    };
    let mut wrong = vec![
        replaced(5),
        replaced(20),
        replaced(secret.len() - 1),
        secret[..secret.len() - 1].to_owned(),
        format!("{secret}0"),
        "dwk_".to_owned(),
        key.id(),
        format!("dwk_{secret}"),
        secret.replacen('_', "-", 2).replacen('-', "_", 1),
    ];
    for way in presentations("ann") {
        wrong.iter().for_each(|wrong| setup.assert_refused(way, wrong, MISTYPED));
        assert_admitted(&setup.show(way, secret), "ann");
    }
    // Values that no bearer header can contain.
    wrong = ["dwk_zoë_\u{1f511}", "dwk_ 0123456789", "dwk_\u{1}"].map(str::to_owned).into();
    wrong.iter().for_each(|wrong| setup.assert_refused(Presentation::As("ann"), wrong, MISTYPED));
}

#[test]
fn unknown_api_key_and_wrong_secret_are_refused() {
    let (anns, strange) = (Key::new("ann", "ci"), Key::new("ann", "ci"));
    // The id exists, but the rest is another well-formed key.
    let same_id = Key::new("ann", "other").with("id", anns.bare_id());
    let forged = forge(anns.bare_id());
    let setup = ApiKeySetup::of(&[&anns]);
    for way in presentations("ann") {
        let unknown = format!("API key {} is not in the file: it was revoked or never issued", strange.id());
        setup.assert_refused(way, &strange.secret, &unknown);
        setup.assert_refused(
            way,
            &forged,
            &format!("API key {} was presented with a wrong secret", anns.id()),
        );
        assert_admitted(&setup.show(way, &anns.secret), "ann");
    }
    // The line now has another secret under that id, so the old secret is invalid.
    setup.put(same_id.line());
    setup.await_status(Presentation::Bearer, &anns.secret, 401);
    setup.assert_refused(
        Presentation::Bearer,
        &anns.secret,
        &format!("API key {} was presented with a wrong secret", anns.id()),
    );
}

/// Returns a well-formed key with this id and an invalid secret.
fn forge(id: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let text = format!("dwk_{id}_{}", "0".repeat(30));
    let mut rest = usize::try_from(crc32fast::hash(text.as_bytes())).unwrap();
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % 62];
        rest /= 62;
    }
    text + std::str::from_utf8(&digits).unwrap()
}

#[test]
fn api_key_expires_at_its_second_and_not_before() {
    let [over, ahead, long_over] =
        [-1, 3600, -3600].map(|at| Key::new("ann", "ci").with("expires", from_now(at)));
    let setup = ApiKeySetup::of(&[&over, &ahead, &long_over]);
    for way in presentations("ann") {
        for key in [&over, &long_over] {
            setup.assert_refused(way, &key.secret, &format!("API key {} has expired", key.id()));
        }
        assert_admitted(&setup.show(way, &ahead.secret), "ann");
    }
    // A key expires while it is used: no cached answer outlives it.
    let soon = Key::new("ann", "soon").with("expires", from_now(3));
    setup.put(soon.line() + &ahead.line());
    setup.await_status(Presentation::Bearer, &soon.secret, 200);
    setup.await_status(Presentation::Bearer, &soon.secret, 401);
    setup.assert_refused(Presentation::Bearer, &soon.secret, &format!("API key {} has expired", soon.id()));
    assert_admitted(&setup.show(Presentation::Bearer, &ahead.secret), "ann");
}

#[test]
fn revoked_api_key_and_key_of_another_user_are_refused() {
    let setup = ApiKeySetup::open("");
    let file = setup.path("keys");
    let (ci, laptop) = (make(&file, "ann", "ci", &[]), make(&file, "ann", "laptop", &[]));
    setup.await_status(Presentation::Bearer, &ci, 200);
    setup.await_status(Presentation::Bearer, &laptop, 200);
    let id = &ci[..14];
    for user in ["bob", "nobody", "Token"] {
        setup.assert_refused(
            Presentation::As(user),
            &ci,
            &format!("API key {id} belongs to ann and was presented with another user name"),
        );
    }
    revoke(&file, id);
    setup.await_status(Presentation::Bearer, &ci, 401);
    for way in presentations("ann") {
        setup.assert_refused(
            way,
            &ci,
            &format!("API key {id} is not in the file: it was revoked or never issued"),
        );
        assert_admitted(&setup.show(way, &laptop), "ann");
    }
}

#[test]
fn every_api_key_refusal_gets_the_same_response() {
    let key = Key::new("ann", "ci");
    let over = Key::new("ann", "over").with("expires", from_now(-1));
    let strange = Key::new("ann", "x");
    let setup = ApiKeySetup::of(&[&key, &over]);
    let wrong = setup.show(Presentation::As("ann"), "a wrong password").face();
    for way in presentations("ann") {
        for secret in [&over.secret, &strange.secret, "dwk_", &forge(key.bare_id())] {
            assert_eq!(setup.show(way, secret).face(), wrong, "{way:?}");
        }
    }
    assert_eq!(setup.show(Presentation::As("bob"), &key.secret).face(), wrong);
    assert_eq!(setup.show(Presentation::Bearer, "no key").face(), wrong);
}

#[test]
fn client_with_many_invalid_api_keys_is_throttled_and_a_valid_key_is_accepted() {
    let (key, file) = (Key::new("ann", "ci"), Key::new("ann", "x"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("htpasswd"), users::three()).unwrap();
    let path = dir.path().join("keys").display().to_string();
    std::fs::write(&path, key.line()).unwrap();
    let flags = ["--api-keys", &path, "--throttle-user-failures", "3", "--throttle-network-failures", "6"];
    let doorward = crate::support::doorward::Doorward::start_in(dir, &flags);
    let show = |way: Presentation<'_>, secret: &str| {
        doorward.ask(&way.present(Request::auth().from(super::HOME), secret))
    };
    // The same key again counts as one failure.
    for _ in 0..10 {
        assert_challenged(&show(Presentation::As("ann"), &file.secret));
    }
    let limited = |way: Presentation<'_>| {
        eventually("bad keys are limited", || {
            let answer = show(way, &Key::new("ann", "y").secret);
            (answer.status == 403).then(|| assert_eq!(answer.header("x-auth-reason"), Some("throttled")))
        });
        for way in presentations("ann") {
            assert_admitted(&show(way, &key.secret), "ann");
        }
    };
    limited(Presentation::As("ann"));
    assert_challenged(&show(Presentation::Bearer, &Key::new("ann", "z").secret));
    limited(Presentation::Bearer);
    // Three failures of the user, and one with a key alone, which counts for the network.
    assert!(doorward.metric("doorward_throttle_failures_total") >= 4.0);
}

#[test]
fn invalid_api_key_is_refused_where_anonymous_access_is_allowed() {
    let rules = format!(
        "{}\n[[grant]]\nwho = \"anyone\"\nrepositories = [\"public/**\"]\nactions = [\"pull\"]\n",
        RULES
    );
    let (key, over) =
        (Key::new("ann", "ci").scope(&["pull:team/**"]), Key::new("ann", "x").with("expires", from_now(-1)));
    let setup = ApiKeySetup::with(&crate::support::keys::file(&[&key, &over]), Some(&rules), &[]);
    let uri = "/v2/public/base/manifests/v1";
    let anonymous = setup.doorward.ask(&super::question("yes", "GET", uri));
    assert_eq!((anonymous.status, anonymous.header("x-auth-user")), (200, Some("")), "{anonymous:?}");
    for way in presentations("ann") {
        assert_challenged(&setup.registry(way, &over.secret, "GET", uri));
        // A valid key is refused too if its scope excludes the request.
        assert_eq!(setup.registry(way, &key.secret, "GET", uri).status, 403);
    }
    assert_challenged(&setup.registry(Presentation::Bearer, "x", "GET", uri));
}
