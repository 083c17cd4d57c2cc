//! A key is revoked, reassigned or narrowed during use.

use super::{ApiKeySetup, question};
use crate::support::eventually;
use crate::support::keys::{Key, Presentation, file, make, presentations, revoke};
use crate::support::policy::RULES;
use crate::support::users;

const URI: &str = "/v2/team/app/manifests/v1";

#[test]
fn api_key_revoked_during_a_pull_is_refused_and_other_keys_of_the_owner_are_not() {
    for rules in [None, Some(RULES)] {
        let setup = ApiKeySetup::with("", rules, &[]);
        let path = setup.path("keys");
        let made = ["ci", "laptop"].map(|name| make(&path, "ann", name, &["--scope", "pull:team/**"]));
        let [ci, laptop] = &made;
        made.iter().for_each(|secret| setup.await_status_of(secret, 200));
        // One connection, so that the cache of its worker is used.
        let mut client = setup.doorward.client();
        let mut pull = |way: Presentation<'_>, secret: &str| {
            client.ask(&way.present(question("yes", "GET", URI), secret)).status
        };
        for way in presentations("ann") {
            (0..20).for_each(|_| assert_eq!((pull(way, ci), pull(way, laptop)), (200, 200)));
        }
        revoke(&path, &ci[..14]);
        let mut refused = false;
        eventually("the revoked key is refused", || {
            for way in presentations("ann") {
                let status = pull(way, ci);
                assert!(matches!(status, 200 | 401) && !(refused && status == 200), "{status}");
                refused |= status == 401;
                assert_eq!(pull(way, laptop), 200, "her other key");
            }
            assert_eq!(pull(Presentation::As("ann"), "a1"), 200, "her password");
            refused.then_some(())
        });
        for way in presentations("ann") {
            (0..20).for_each(|_| assert_eq!((pull(way, ci), pull(way, laptop)), (401, 200)));
        }
    }
}

impl ApiKeySetup {
    /// Waits until a pull with this key has this status.
    fn await_status_of(&self, secret: &str, status: u16) {
        eventually(&format!("a pull gets {status}"), || {
            (self.registry(Presentation::Bearer, secret, "GET", URI).status == status).then_some(())
        });
    }
}

#[test]
fn narrowed_scope_or_new_expiry_takes_effect_with_the_reload() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::of(&[&key]);
    let push = || setup.registry(Presentation::As("ann"), &key.secret, "PUT", URI).status;
    assert_eq!(push(), 200);
    setup.put(key.clone().scope(&["pull:**"]).line());
    eventually("the scope is in force", || (push() == 403).then_some(()));
    setup.put(key.clone().scope(&["pull,push:**"]).line());
    eventually("the wider one is", || (push() == 200).then_some(()));
    setup.put(key.clone().with("expires", "2020-01-01T00:00:00Z").line());
    eventually("the end is", || (push() == 401).then_some(()));
    setup.put(key.line());
    eventually("the key is good again", || (push() == 200).then_some(()));
}

#[test]
fn api_key_reassigned_to_another_owner_acts_for_that_owner() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::of(&[&key]);
    assert_eq!(setup.show(Presentation::Bearer, &key.secret).header("x-auth-user"), Some("ann"));
    users::put(&setup.path("keys"), file(&[&key.clone().with("owner", "bob")]));
    eventually("it is bob's", || {
        let answer = setup.show(Presentation::Bearer, &key.secret);
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.header("x-auth-user") == Some("bob")).then_some(())
    });
    assert_eq!(setup.show(Presentation::As("ann"), &key.secret).status, 401);
    assert_eq!(setup.show(Presentation::As("bob"), &key.secret).status, 200);
}
