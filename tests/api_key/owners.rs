//! A key is as good as its owner: who has no usable line in the htpasswd file has no keys, unless the
//! settings say otherwise.

use super::{House, assert_admitted, assert_challenged, people};
use crate::support::keys::{Key, Way, file, ways};
use crate::support::users;

#[test]
fn api_keys_of_a_removed_owner_are_refused_until_the_owner_returns() {
    let (anns, bobs) = (Key::new("ann", "ci"), Key::new("bob", "ci"));
    let house = House::of(&[&anns, &bobs]);
    let file = house.path("htpasswd");
    let without: String =
        people().lines().filter(|line| !line.starts_with("ann:")).collect::<Vec<_>>().join("\n");
    let damaged = format!("ann:$2y$04$damaged\n{without}\n");
    let emptied = format!("ann:\n{without}\n");
    for text in [without, damaged, emptied] {
        assert_admitted(&house.show(Way::Bearer, &anns.secret), "ann");
        users::put(&file, &text);
        house.await_status(Way::Bearer, &anns.secret, 401);
        let why = format!("key {}: its owner ann has no line in the htpasswd file", anns.id());
        ways("ann").into_iter().for_each(|way| house.assert_refused(way, &anns.secret, &why));
        assert_admitted(&house.show(Way::Bearer, &bobs.secret), "bob");
        users::put(&file, people());
        house.await_status(Way::Bearer, &anns.secret, 200);
    }
    // A new password is no end of the keys.
    let changed = people()
        .replace(people().lines().next().unwrap(), users::line("ann", "another", users::QUICK).trim_end());
    users::put(&file, changed);
    house.await_status(Way::As("ann"), "another", 200);
    assert_admitted(&house.show(Way::Bearer, &anns.secret), "ann");
}

#[test]
fn api_key_of_an_unknown_owner_is_refused_unless_any_owner_is_allowed() {
    let (robots, anns) = (Key::new("robot", "ci"), Key::new("ann", "ci"));
    let keys = file(&[&robots, &anns]);
    let house = House::open(&keys);
    for way in ways("robot") {
        assert_challenged(&house.show(way, &robots.secret));
    }
    let house = House::with(&keys, None, &["--keys-owners", "any"]);
    for way in ways("robot") {
        assert_admitted(&house.show(way, &robots.secret), "robot");
    }
    assert_admitted(&house.show(Way::Bearer, &anns.secret), "ann");
    assert_challenged(&house.show(Way::As("ann"), &robots.secret));
    assert_challenged(&house.show(Way::As("robot"), "x"));
    // With a policy, what is granted to nobody by name is granted to him as to all.
    let house = House::with(&keys, Some(super::RULES), &["--keys-owners", "any"]);
    let ask = |method: &str| house.registry(Way::Bearer, &robots.secret, method, "/v2/team/app/manifests/v1");
    assert_admitted(&ask("GET"), "robot");
    assert_eq!(ask("PUT").status, 403);
}

#[test]
fn api_key_has_the_groups_of_its_owner_and_loses_them_with_the_owner() {
    let key = Key::new("ann", "ci");
    let house = House::ruled(&[&key]);
    let push = || house.registry(Way::Bearer, &key.secret, "PUT", "/v2/team/app/manifests/v1");
    let answer = push();
    assert_admitted(&answer, "ann");
    assert_eq!(answer.header("x-auth-groups"), Some("devs"));
    users::put(&house.path("groups"), "devs: bob\n");
    crate::support::eventually("ann is out of devs", || (push().status == 403).then_some(()));
    let pull = house.registry(Way::Bearer, &key.secret, "GET", "/v2/team/app/manifests/v1");
    assert_admitted(&pull, "ann");
}
