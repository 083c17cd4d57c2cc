//! The policy and the groups change at run time.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{GROUPS, PolicySetup, RULES};
use crate::support::eventually;
use crate::support::users::put;

const PUSH: (&str, &str) = ("PUT", "/v2/team/app/manifests/v1");

fn await_push(setup: &PolicySetup, user: &str, status: u16) {
    eventually(&format!("{user} gets {status}"), || {
        (setup.status(user, PUSH.0, PUSH.1) == status).then_some(())
    });
}

#[test]
fn user_removed_from_a_group_is_denied_without_a_new_hash_as_in_zot_ghsa_c9p4_xwr9_rfhx() {
    let setup = PolicySetup::of(RULES, GROUPS);
    assert_eq!(setup.status("bob", PUSH.0, PUSH.1), 200);
    assert_eq!(setup.status("ann", PUSH.0, PUSH.1), 200);
    let hashes = setup.doorward.hashes();
    put(&setup.path("groups"), "devs: ann\n");
    await_push(&setup, "bob", 403);
    assert_eq!(setup.status("ann", PUSH.0, PUSH.1), 200);
    put(&setup.path("groups"), GROUPS);
    await_push(&setup, "bob", 200);
    assert_eq!(setup.doorward.hashes(), hashes);
}

#[test]
fn invalid_policy_keeps_the_last_valid_one_and_is_reported() {
    let setup = PolicySetup::of(RULES, GROUPS);
    for bad in ["", "[[grant", "grant = 1", "[[grant]]\nuser = [\"carl\"]\nactions = [\"push\"]\n"] {
        put(&setup.path("policy.toml"), bad);
        eventually("it says so", || setup.doorward.ready().text().contains("policy file").then_some(()));
        assert_eq!(setup.status("ann", PUSH.0, PUSH.1), 200, "{bad}");
        assert_eq!(setup.status("carl", PUSH.0, PUSH.1), 403, "{bad}");
        put(&setup.path("policy.toml"), RULES);
        eventually("it is well again", || (setup.doorward.ready().text() == "ready\n").then_some(()));
    }
    fs::remove_file(setup.path("policy.toml")).unwrap();
    eventually("it says so", || setup.doorward.ready().text().contains("degraded").then_some(()));
    assert_eq!(setup.status("carl", PUSH.0, PUSH.1), 403);
    put(&setup.path("groups"), "devs ann\n");
    eventually("it is told", || {
        setup.doorward.log().contains("no colon in the line of 8 bytes").then_some(())
    });
    assert_eq!(setup.status("bob", PUSH.0, PUSH.1), 200);
    assert!(setup.doorward.log().contains("policy.toml:2:1: unknown key \"user\"; did you mean \"users\"?"));
    assert!(setup.doorward.metric("doorward_policy_reload_failures_total") >= 5.0);
}

#[test]
fn request_during_a_reload_sees_one_whole_policy() {
    // In each, ann may do exactly one of two things; half of one and half of the other would be
    // both, or none.
    let rules = |name: &str| {
        format!("[[grant]]\nusers = [\"ann\"]\nrepositories = [\"{name}\"]\nactions = [\"pull\"]\n")
    };
    let setup = PolicySetup::of(&rules("one"), "");
    let done = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = setup.doorward.client();
            let mut asked = 0;
            while !done.load(Ordering::Acquire) {
                let [one, two] = ["one", "two"].map(|name| {
                    let uri = format!("/v2/{name}/tags/list");
                    client.ask(&PolicySetup::question("ann", "GET", &uri)).status
                });
                assert!([one, two].iter().all(|status| matches!(status, 200 | 403)), "{one} {two}");
                asked += 2;
            }
            asked
        });
        for name in ["two", "one", "two", "one"] {
            put(&setup.path("policy.toml"), rules(name));
            let other = if name == "one" { "two" } else { "one" };
            eventually("it is in force", || {
                (setup.status("ann", "GET", &format!("/v2/{name}/tags/list")) == 200).then_some(())
            });
            assert_eq!(setup.status("ann", "GET", &format!("/v2/{other}/tags/list")), 403);
        }
        done.store(true, Ordering::Release);
        asking.join().unwrap()
    });
    assert!(asked > 100, "it was asked all the time: {asked}");
}
