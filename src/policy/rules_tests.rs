//! The judgement by the index against one that looks at every rule.

use super::*;
use crate::policy::read::read_policy;

/// A small generator, the same at each run (xorshift64*).
struct Xorshift64(u64);

impl Xorshift64 {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }

    fn toml_list(&mut self, from: &[&str]) -> String {
        let count = 1 + self.below(2);
        let picked: Vec<String> = (0..count).map(|_| format!("\"{}\"", self.pick(from))).collect();
        format!("[{}]", picked.join(", "))
    }
}

const USERS: [&str; 3] = ["ann", "bob", "a"];
const GROUPS: [&str; 3] = ["devs", "ops", "b"];
const HOSTS: [&str; 3] = ["h.test", "*.test", "x.h.test"];
const REPOSITORIES: [&str; 11] =
    ["**", "a", "a/b", "a/**", "*/b", "**/b", "{user}/**", "{group}/*", "a/{user}", "a*/b", "a/*/b"];
const NETWORKS: [&str; 2] = ["10.0.0.0/8", "192.0.2.1"];

fn policy(dice: &mut Xorshift64) -> String {
    let mut text = String::from("[[grant]]\nusers = [\"nobody\"]\nactions = [\"pull\"]\n");
    for _ in 0..1 + dice.below(6) {
        text.push_str(if dice.below(4) == 0 { "[[deny]]\n" } else { "[[grant]]\n" });
        match dice.below(4) {
            0 => text.push_str("who = \"anyone\"\n"),
            1 => text.push_str("who = \"authenticated\"\n"),
            2 => text.push_str(&format!("users = {}\n", dice.toml_list(&USERS))),
            _ => text.push_str(&format!("groups.file = {}\n", dice.toml_list(&GROUPS))),
        }
        if dice.below(4) == 0 {
            text.push_str(&format!("hosts = {}\n", dice.toml_list(&HOSTS)));
        }
        if dice.below(4) == 0 {
            text.push_str(&format!("networks = {}\n", dice.toml_list(&NETWORKS)));
        }
        if dice.below(5) != 0 {
            text.push_str(&format!("repositories = {}\n", dice.toml_list(&REPOSITORIES)));
            text.push_str(&format!("actions = {}\n", dice.toml_list(&["pull", "push", "delete", "catalog"])));
        }
    }
    text
}

/// All rules, one after the other.
fn evaluate_every_rule(
    rules: &PolicyRules,
    subject: &Subject<'_>,
    host: &str,
    object: &Resource<'_>,
    wanted: Actions,
) -> bool {
    let mut granted = Actions::default();
    for rule in rules.rules() {
        let actions = rule.applicable_actions(subject, host, object).unwrap_or_default().intersection(wanted);
        match rule.effect {
            Effect::Grant => granted = granted.union(actions),
            Effect::Deny if !actions.is_empty() => return false,
            Effect::Deny => {}
        }
    }
    wanted.difference(granted).is_empty()
}

#[test]
fn indexed_evaluation_agrees_with_evaluating_every_rule() {
    let mut dice = Xorshift64(0x5EED);
    let (mut allowed, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let text = policy(&mut dice);
        let rules = read_policy(&text).unwrap_or_else(|faults| panic!("{text}\n{faults:?}"));
        for _ in 0..12 {
            let user = [None, Some(&b"ann"[..]), Some(b"bob"), Some(b"a")][dice.below(4)];
            let devs: &[&[u8]] = &[b"devs"];
            let groups = [&[][..], devs, &[b"b", b"ops"]][if user.is_some() { dice.below(3) } else { 0 }];
            let client = [None, Some([10, 0, 0, 1].into()), Some([192, 0, 2, 1].into())][dice.below(3)];
            let subject = Subject { user, groups, client_address: client, api_key_scope: None };
            let host = dice.pick(&["h.test", "x.h.test", "other"]);
            let name = dice.pick(&["a", "a/b", "a/b/c", "a/x/b", "ann/x", "b/x", "a/a", "ax/b", "zz"]);
            let parts: Vec<&str> = name.split('/').collect();
            let (object, wanted) = match dice.below(5) {
                0 => (Resource::Catalog, Actions::CATALOG),
                1 => (Resource::Repository(&parts), Actions::PULL),
                2 => (Resource::Repository(&parts), Actions::PULL.union(Actions::PUSH)),
                _ => (Resource::Repository(&parts), Actions::DELETE),
            };
            let expected = evaluate_every_rule(&rules, &subject, host, &object, wanted);
            let judged = rules.evaluate_actions(&subject, host, &object, wanted).is_ok();
            assert_eq!(judged, expected, "{text}\n{subject:?} {host} {object:?} {wanted:?}");
            if judged { allowed += 1 } else { refused += 1 }
        }
    }
    assert!(allowed > 1_000 && refused > 1_000, "{allowed} {refused}");
}
