//! Compares evaluation with the index and evaluation of every rule.

use super::*;
use crate::policy::read::read_policy;
use crate::policy::test_random::TestRandom;

const USERS: [&str; 3] = ["ann", "bob", "a"];
const GROUPS: [&str; 3] = ["devs", "ops", "b"];
const HOSTS: [&str; 3] = ["h.test", "*.test", "x.h.test"];
const REPOSITORIES: [&str; 11] =
    ["**", "a", "a/b", "a/**", "*/b", "**/b", "{user}/**", "{group}/*", "a/{user}", "a*/b", "a/*/b"];
const NETWORKS: [&str; 2] = ["10.0.0.0/8", "192.0.2.1"];

fn random_policy(random: &mut TestRandom) -> String {
    let mut text = String::from("[[grant]]\nusers = [\"nobody\"]\nactions = [\"pull\"]\n");
    for _ in 0..1 + random.below(6) {
        text.push_str(if random.one_in(4) { "[[deny]]\n" } else { "[[grant]]\n" });
        match random.below(4) {
            0 => text.push_str("who = \"anyone\"\n"),
            1 => text.push_str("who = \"authenticated\"\n"),
            2 => text.push_str(&format!("users = {}\n", random.toml_list(&USERS))),
            _ => text.push_str(&format!("groups = {}\n", random.toml_list(&GROUPS))),
        }
        if random.one_in(4) {
            text.push_str(&format!("hosts = {}\n", random.toml_list(&HOSTS)));
        }
        if random.one_in(4) {
            text.push_str(&format!("networks = {}\n", random.toml_list(&NETWORKS)));
        }
        if !random.one_in(5) {
            text.push_str(&format!("repositories = {}\n", random.toml_list(&REPOSITORIES)));
            text.push_str(&format!(
                "actions = {}\n",
                random.toml_list(&["pull", "push", "delete", "catalog"])
            ));
        }
    }
    text
}

/// Evaluates all rules one after the other, without the index.
fn evaluate_every_rule(
    rules: &PolicyRules,
    subject: &Subject<'_>,
    host: &str,
    resource: &Resource<'_>,
    required: Actions,
) -> bool {
    let mut granted = Actions::default();
    for rule in rules.rules() {
        let actions =
            rule.applicable_actions(subject, host, resource).unwrap_or_default().intersection(required);
        match rule.effect {
            Effect::Grant => granted = granted.union(actions),
            Effect::Deny if !actions.is_empty() => return false,
            Effect::Deny => {}
        }
    }
    required.difference(granted).is_empty()
}

#[test]
fn indexed_evaluation_agrees_with_evaluating_every_rule() {
    let mut random = TestRandom::new(0x5EED);
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..3_000 {
        let text = random_policy(&mut random);
        let rules = read_policy(&text).unwrap_or_else(|errors| panic!("{text}\n{errors:?}"));
        for _ in 0..12 {
            let user = [None, Some(&b"ann"[..]), Some(b"bob"), Some(b"a")][random.below(4)];
            let devs: &[&[u8]] = &[b"devs"];
            let groups = [&[][..], devs, &[b"b", b"ops"]][if user.is_some() { random.below(3) } else { 0 }];
            let client = [None, Some([10, 0, 0, 1].into()), Some([192, 0, 2, 1].into())][random.below(3)];
            let subject = Subject { user, groups, client_address: client, api_key_scope: None };
            let host = random.pick(&["h.test", "x.h.test", "other"]);
            let name = random.pick(&["a", "a/b", "a/b/c", "a/x/b", "ann/x", "b/x", "a/a", "ax/b", "zz"]);
            let segments: Vec<&str> = name.split('/').collect();
            let (resource, required) = match random.below(5) {
                0 => (Resource::Catalog, Actions::CATALOG),
                1 => (Resource::Repository(&segments), Actions::PULL),
                2 => (Resource::Repository(&segments), Actions::PULL.union(Actions::PUSH)),
                _ => (Resource::Repository(&segments), Actions::DELETE),
            };
            let expected = evaluate_every_rule(&rules, &subject, host, &resource, required);
            let is_allowed = rules.evaluate_actions(&subject, host, &resource, required).is_ok();
            assert_eq!(is_allowed, expected, "{text}\n{subject:?} {host} {resource:?} {required:?}");
            if is_allowed { allowed += 1 } else { denied += 1 }
        }
    }
    assert!(allowed > 1_000 && denied > 1_000, "{allowed} {denied}");
}
