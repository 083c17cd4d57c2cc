//! Parses any text as the scopes of a token request. The resource is returned unchanged, and never with an action that was
//! not requested.

use crate::permissions::actions::Actions;
use crate::token::scope::{SCOPES_MAX, ScopeResource, parse_scope, parse_scopes};

/// Runs the check with one input of the fuzzer.
pub fn run(text: &str) {
    let Ok(scopes) = parse_scopes([text].into_iter()) else { return };
    assert!(scopes.len() <= SCOPES_MAX);
    let all = Actions::PULL.union(Actions::PUSH).union(Actions::DELETE);
    for scope in &scopes {
        assert!(text.contains(scope.name) && !scope.name.is_empty() && scope.name.matches(':').count() <= 1);
        let Some(wanted) = &scope.requested else { continue };
        match wanted.resource {
            ScopeResource::Repository(name) => {
                assert!(name == scope.name && wanted.actions.difference(all).is_empty())
            }
            ScopeResource::Catalog => {
                assert!(scope.kind == "registry" && wanted.actions.difference(Actions::CATALOG).is_empty())
            }
        }
        // Each action was named, or all were.
        for action in wanted.actions.names() {
            assert!(text.contains(action) || text.contains('*'), "{scope:?}");
        }
        // Written as a registry would, it is the same again.
        let names: Vec<&str> = wanted.actions.names().collect();
        let again = format!("{}:{}:{}", scope.kind, scope.name, names.join(","));
        if matches!(wanted.resource, ScopeResource::Repository(_)) && again.len() <= 1024 {
            let again = parse_scope(&again).expect("what was read can be written");
            assert_eq!(again.expect("a name").requested.expect("a repository").actions, wanted.actions);
        }
    }
}
