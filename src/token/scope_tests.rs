//! The scopes that real clients ask for, and those that nobody should.

use super::*;

fn actions(text: &str) -> Vec<&'static str> {
    let scope = read(text).unwrap().unwrap();
    scope.wanted.map(|wanted| wanted.actions.names().collect()).unwrap_or_default()
}

#[test]
fn what_clients_ask_for_is_read() {
    assert_eq!(actions("repository:team/app:pull"), ["pull"]);
    assert_eq!(actions("repository:team/app:pull,push"), ["pull", "push"]);
    // crane, to delete; skopeo, to delete.
    assert_eq!(actions("repository:team/app:push,pull,delete"), ["pull", "push", "delete"]);
    assert_eq!(actions("repository:team/app:*"), ["pull", "push", "delete"]);
    assert_eq!(actions("registry:catalog:*"), ["catalog"]);
    assert_eq!(actions("repository(plugin):team/app:pull"), ["pull"]);
    assert_eq!(
        read("repository:localhost:5000/team/app:pull").unwrap().unwrap().name,
        "localhost:5000/team/app"
    );
    assert_eq!(actions("repository:team/app:"), Vec::<&str>::new());
}

#[test]
fn what_nobody_can_grant_has_no_actions() {
    for text in ["registry:other:*", "registry:catalog:pull", "key:x:read", "repository:a:fly"] {
        assert_eq!(actions(text), Vec::<&str>::new(), "{text}");
    }
    // What is about repositories is never asked of the catalogue, nor the other way round.
    assert_eq!(actions("registry:catalog:push,delete"), Vec::<&str>::new());
    assert_eq!(actions("repository:a:catalog"), Vec::<&str>::new());
}

#[test]
fn what_is_no_scope_is_refused() {
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
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn a_scope_with_an_empty_name_is_ignored_field_d7_zot() {
    for text in [
        "repository::pull",
        "repository::pull,push",
        "registry::*",
        "repository(plugin)::pull",
        "repository::",
    ] {
        assert_eq!(read(text), Ok(None), "{text}");
        let scopes = read_all([text, "repository:a:pull"].into_iter()).unwrap();
        assert_eq!(scopes.iter().map(|scope| scope.name).collect::<Vec<_>>(), ["a"], "{text}");
    }
    // No more of it is ignored than that.
    for text in ["::pull", "repository::PULL", "repository:::pull:x", "Repository::pull"] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn several_are_read_however_they_are_written() {
    let one = ["repository:a:pull repository:b:push"];
    let two = ["repository:a:pull", "repository:b:push"];
    let of = |parameters: &[&'static str]| read_all(parameters.iter().copied()).unwrap();
    assert_eq!(of(&one), of(&two));
    let twice = of(&["repository:a:pull", "", "repository:a:push  repository:a:pull"]);
    assert_eq!(twice.len(), 1);
    assert_eq!(twice[0].wanted.as_ref().unwrap().actions, Actions::PULL.and(Actions::PUSH));
    let many: Vec<String> = (0..65).map(|n| format!("repository:r{n}:pull")).collect();
    assert!(read_all(many.iter().map(String::as_str)).is_err());
    assert!(read_all(many[1..].iter().map(String::as_str)).is_ok());
    assert!(read_all(["repository:a:pull", "nonsense"].into_iter()).is_err());
}
