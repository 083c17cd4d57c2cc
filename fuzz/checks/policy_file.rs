//! Parses any text as a policy file. The result is rules, or errors with their places. The index finds the same rules as a
//! search through all of them.

use crate::permissions::actions::Actions;
use crate::permissions::resource::Resource;
use crate::policy::read::read_policy;
use crate::policy::rule::{Effect, Subject};
use crate::policy::rules::{PolicyDecision, PolicyRules};
use crate::request::original::{DeclaredUpstream, OriginalRequest};

const NAMES: [&str; 4] = ["a", "a/b", "team/app", "ann/x/y"];

/// Evaluates all rules, one after the other.
fn is_granted(rules: &PolicyRules, subject: &Subject<'_>, host: &str, object: &Resource<'_>) -> bool {
    let mut granted = false;
    for rule in rules.rules() {
        let applies = rule.applicable_actions(subject, host, object).unwrap_or_default();
        if applies.intersection(Actions::PULL).is_empty() {
            continue;
        }
        match rule.effect {
            Effect::Grant => granted = true,
            Effect::Deny => return false,
        }
    }
    granted
}

fn check(rules: &PolicyRules) {
    let client = Some([10, 0, 0, 1].into());
    for (user, groups) in [(None, &[][..]), (Some(&b"ann"[..]), &[&b"devs"[..]][..])] {
        let subject = Subject { user, groups, client_address: client, api_key_scope: None };
        for host in ["registry.example.com", "www.example.com"] {
            for name in NAMES {
                let parts: Vec<&str> = name.split('/').collect();
                let is_registry = rules.is_registry(host, true);
                let (uri, object) = if is_registry {
                    (format!("/v2/{name}/tags/list"), Resource::Repository(&parts))
                } else {
                    (format!("/{name}"), Resource::Path(&parts, "GET"))
                };
                let backend =
                    if is_registry { DeclaredUpstream::Registry } else { DeclaredUpstream::Unspecified };
                let asking = OriginalRequest::new("GET", &uri, host, "", backend);
                let judged = matches!(rules.evaluate(&subject, &asking), PolicyDecision::Allowed { .. });
                assert_eq!(judged, is_granted(rules, &subject, host, &object), "{subject:?} {host} {uri}");
                let explained = rules.explain(&subject, &asking);
                assert_eq!(matches!(explained.decision, PolicyDecision::Allowed { .. }), judged);
            }
        }
    }
}

/// Runs the check with one input of the fuzzer.
pub fn run(text: &str) {
    match read_policy(text) {
        Ok(rules) => check(&rules),
        Err(faults) => {
            assert!(!faults.is_empty());
            let lines = text.split('\n').count();
            assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line) && fault.column >= 1));
        }
    }
}
