//! Scopes that clients request, and scopes that are ignored or rejected.

use super::*;

fn actions(text: &str) -> Vec<&'static str> {
    let scope = parse_scope(text).unwrap().unwrap();
    scope.requested.map(|requested| requested.actions.names().collect()).unwrap_or_default()
}

#[test]
fn client_scopes_are_parsed() {
    assert_eq!(actions("repository:team/app:pull"), ["pull"]);
    assert_eq!(actions("repository:team/app:pull,push"), ["pull", "push"]);
    // Deletion by crane, and by skopeo.
    assert_eq!(actions("repository:team/app:push,pull,delete"), ["pull", "push", "delete"]);
    assert_eq!(actions("repository:team/app:*"), ["pull", "push", "delete"]);
    assert_eq!(actions("registry:catalog:*"), ["catalog"]);
    assert_eq!(actions("repository(plugin):team/app:pull"), ["pull"]);
    assert_eq!(
        parse_scope("repository:localhost:5000/team/app:pull").unwrap().unwrap().name,
        "localhost:5000/team/app"
    );
    assert_eq!(actions("repository:team/app:"), Vec::<&str>::new());
}

#[test]
fn ungrantable_scope_has_no_actions() {
    for text in ["registry:other:*", "registry:catalog:pull", "key:x:read", "repository:a:fly"] {
        assert_eq!(actions(text), Vec::<&str>::new(), "{text}");
    }
    // Actions on repositories are not valid for the catalog, and the reverse.
    assert_eq!(actions("registry:catalog:push,delete"), Vec::<&str>::new());
    assert_eq!(actions("repository:a:catalog"), Vec::<&str>::new());
}

#[test]
fn malformed_scope_is_rejected() {
    let long = format!("repository:{}:pull", "a".repeat(1100));
    for text in [
        "",
        "repository",
        "repository:a",
        ":a:pull",
        "repository:a:PULL",
        "Repository:a:pull",
        "repository:a:pull push",
        "repository:a\n:pull",
        "repository(:a:pull",
        "repository(plu gin):a:pull",
        "repository:a:b:c:pull",
        "repository:ä:pull",
        &long,
    ] {
        assert!(parse_scope(text).is_err(), "{text}");
    }
}

#[test]
fn scope_with_an_empty_name_is_ignored_field_d7_zot() {
    for text in [
        "repository::pull",
        "repository::pull,push",
        "registry::*",
        "repository(plugin)::pull",
        "repository::",
    ] {
        assert_eq!(parse_scope(text), Ok(None), "{text}");
        let scopes = parse_scopes([text, "repository:a:pull"].into_iter()).unwrap();
        assert_eq!(scopes.iter().map(|scope| scope.name).collect::<Vec<_>>(), ["a"], "{text}");
    }
    // A scope with an empty name and another error is not ignored.
    for text in ["::pull", "repository::PULL", "repository:::pull:x", "Repository::pull"] {
        assert!(parse_scope(text).is_err(), "{text}");
    }
}

#[test]
fn several_scopes_are_parsed_from_one_or_many_parameters() {
    let one_parameter = ["repository:a:pull repository:b:push"];
    let two_parameters = ["repository:a:pull", "repository:b:push"];
    let parse = |parameters: &[&'static str]| parse_scopes(parameters.iter().copied()).unwrap();
    assert_eq!(parse(&one_parameter), parse(&two_parameters));
    let repeated = parse(&["repository:a:pull", "", "repository:a:push  repository:a:pull"]);
    assert_eq!(repeated.len(), 1);
    assert_eq!(repeated[0].requested.as_ref().unwrap().actions, Actions::PULL.union(Actions::PUSH));
    let many: Vec<String> = (0..65).map(|n| format!("repository:r{n}:pull")).collect();
    assert!(parse_scopes(many.iter().map(String::as_str)).is_err());
    assert!(parse_scopes(many[1..].iter().map(String::as_str)).is_ok());
    assert!(parse_scopes(["repository:a:pull", "nonsense"].into_iter()).is_err());
}
