//! API keys of removed and unknown owners.

use super::{ApiKeySetup, assert_admitted, assert_challenged};
use crate::support::keys::{Key, Presentation, file, presentations};
use crate::support::policy::RULES;
use crate::support::users;

#[test]
fn api_keys_of_a_removed_owner_are_refused_until_the_owner_returns() {
    let (anns, bobs) = (Key::new("ann", "ci"), Key::new("bob", "ci"));
    let setup = ApiKeySetup::of(&[&anns, &bobs]);
    let file = setup.path("htpasswd");
    let without: String =
        users::three().lines().filter(|line| !line.starts_with("ann:")).collect::<Vec<_>>().join("\n");
    let damaged = format!("ann:$2y$04$damaged\n{without}\n");
    let emptied = format!("ann:\n{without}\n");
    for text in [without, damaged, emptied] {
        assert_admitted(&setup.show(Presentation::Bearer, &anns.secret), "ann");
        users::put(&file, &text);
        setup.await_status(Presentation::Bearer, &anns.secret, 401);
        let why = format!("API key {}: the owner ann has no line in the htpasswd file", anns.id());
        presentations("ann").into_iter().for_each(|way| setup.assert_refused(way, &anns.secret, &why));
        assert_admitted(&setup.show(Presentation::Bearer, &bobs.secret), "bob");
        users::put(&file, users::three());
        setup.await_status(Presentation::Bearer, &anns.secret, 200);
    }
    // A changed password does not disable the keys.
    let changed = users::three().replace(
        users::three().lines().next().unwrap(),
        users::line("ann", "another", users::QUICK).trim_end(),
    );
    users::put(&file, changed);
    setup.await_status(Presentation::As("ann"), "another", 200);
    assert_admitted(&setup.show(Presentation::Bearer, &anns.secret), "ann");
}

#[test]
fn api_key_of_an_unknown_owner_is_refused_unless_any_owner_is_allowed() {
    let (robots, anns) = (Key::new("robot", "ci"), Key::new("ann", "ci"));
    let keys = file(&[&robots, &anns]);
    let setup = ApiKeySetup::open(&keys);
    for way in presentations("robot") {
        assert_challenged(&setup.show(way, &robots.secret));
    }
    let setup = ApiKeySetup::with(&keys, None, &["--api-keys-owners", "any"]);
    for way in presentations("robot") {
        assert_admitted(&setup.show(way, &robots.secret), "robot");
    }
    assert_admitted(&setup.show(Presentation::Bearer, &anns.secret), "ann");
    assert_challenged(&setup.show(Presentation::As("ann"), &robots.secret));
    assert_challenged(&setup.show(Presentation::As("robot"), "x"));
    // With a policy, such an owner gets the permissions of all users and none by name.
    let setup = ApiKeySetup::with(&keys, Some(RULES), &["--api-keys-owners", "any"]);
    let ask = |method: &str| {
        setup.registry(Presentation::Bearer, &robots.secret, method, "/v2/team/app/manifests/v1")
    };
    assert_admitted(&ask("GET"), "robot");
    assert_eq!(ask("PUT").status, 403);
}

#[test]
fn api_key_has_the_groups_of_its_owner_and_loses_them_with_the_owner() {
    let key = Key::new("ann", "ci");
    let setup = ApiKeySetup::ruled(&[&key]);
    let push = || setup.registry(Presentation::Bearer, &key.secret, "PUT", "/v2/team/app/manifests/v1");
    let answer = push();
    assert_admitted(&answer, "ann");
    assert_eq!(answer.header("x-auth-groups"), Some("devs"));
    users::put(&setup.path("groups"), "devs: bob\n");
    crate::support::eventually("ann is out of devs", || (push().status == 403).then_some(()));
    let pull = setup.registry(Presentation::Bearer, &key.secret, "GET", "/v2/team/app/manifests/v1");
    assert_admitted(&pull, "ann");
}
