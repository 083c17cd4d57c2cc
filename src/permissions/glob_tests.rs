//! Patterns: what each matches, and the nearest thing that it does not.

use super::*;

fn glob(text: &str) -> Result<Glob, GlobFault> {
    let foreign = |c: char| c.is_ascii_uppercase() || c.is_control();
    Glob::parse(text, NamesOf { what: "repository", foreign, open_end: false })
}

fn matches(pattern: &str, name: &str) -> bool {
    let names = Names { user: Some(b"ann"), groups: &[b"devs", b"**"] };
    glob(pattern).unwrap().matches(&name.split('/').collect::<Vec<_>>(), names)
}

#[test]
fn each_pattern_matches_what_it_says_and_no_more() {
    for (pattern, yes, no) in [
        ("team/app", &["team/app"][..], &["team", "team/app/x", "team/apple", "x/team/app"][..]),
        ("team/*", &["team/a", "team/abc"], &["team", "team/a/b", "teams/a"]),
        ("team/**", &["team/a", "team/a/b/c"], &["team", "teams/a", "x/team/a"]),
        ("**", &["a", "a/b"], &[]),
        ("**/app", &["app", "a/app", "a/b/app"], &["apps", "app/x", "a/xapp"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a", "b", "a/x", "ab"]),
        ("**/a/**/b", &["a/b", "x/a/b/x/b", "a/a/b"], &["b/a", "a/b/x"]),
        ("a/**/**/b", &["a/b", "a/x/y/b"], &["a/x"]),
        ("a/**/b/**", &["a/b/c", "a/x/b/c/d", "a/b/b/b"], &["a/b", "a/x/b", "a/c"]),
        ("*-app", &["x-app", "-app", "a-b-app"], &["app", "x-apps", "a/x-app"]),
        ("a*b*c", &["abc", "axbxc", "abbcc"], &["ab", "acb", "abcd", "a/b/c"]),
        ("a*a", &["aa", "aba"], &["a", "ab"]),
        ("ab*bc", &["abbc", "abxbc"], &["abc"]),
        ("home/{user}/**", &["home/ann/x"], &["home/bob/x", "home/{user}/x", "home/ann", "home/annx/x"]),
        ("by/{group}", &["by/devs", "by/**"], &["by/ops", "by/devs/x", "by/x"]),
    ] {
        assert!(yes.iter().all(|name| matches(pattern, name)), "{pattern} matches all of {yes:?}");
        assert!(!no.iter().any(|name| matches(pattern, name)), "{pattern} matches none of {no:?}");
    }
}

#[test]
fn nobody_has_a_name_and_a_name_is_never_a_pattern() {
    let home = glob("home/{user}").unwrap();
    assert!(!home.matches(&["home", ""], Names::default()));
    let starry = Names { user: Some(b"**"), groups: &[] };
    assert!(home.matches(&["home", "**"], starry));
    assert!(!home.matches(&["home", "ann"], starry));
    assert!(!home.matches(&["home", "a", "b"], Names { user: Some(b"a/b"), groups: &[] }));
}

#[test]
fn what_is_no_pattern_is_told_apart() {
    for (text, fault) in [
        ("", GlobFault::Empty),
        ("/a", GlobFault::EmptySegment),
        ("a/", GlobFault::EmptySegment),
        ("a//b", GlobFault::EmptySegment),
        ("a**", GlobFault::PartOfSegment),
        ("a/**b", GlobFault::PartOfSegment),
        ("x-{user}", GlobFault::Braces),
        ("{users}", GlobFault::Braces),
        ("Team/a", GlobFault::Character("repository", 'T')),
    ] {
        assert_eq!(glob(text), Err(fault), "{text}");
    }
    assert_eq!(glob(&"a".repeat(PATTERN_MAX + 1)), Err(GlobFault::Long));
}

#[test]
fn the_worst_pattern_is_quick_on_the_longest_name() {
    // With a way back to every ** this would not end.
    let pattern = glob(&("**/a/".repeat(100) + "b")).unwrap();
    assert!(!pattern.matches(&["a"; 1000], Names::default()));
    let stars = glob(&("a*".repeat(100) + "b")).unwrap();
    assert!(!stars.matches(&["a".repeat(1000).as_str()], Names::default()));
}

#[test]
fn the_prefix_is_what_every_match_begins_with() {
    let prefix = |text: &str| glob(text).unwrap().prefix().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(prefix("team/app"), ["team", "app"]);
    assert_eq!(prefix("team/**"), ["team"]);
    assert_eq!(prefix("{user}/x"), [""; 0]);
    assert_eq!(prefix("a/*/b"), ["a"]);
}

#[test]
fn a_path_may_end_with_a_slash_and_may_be_one() {
    let path = |text: &str| Glob::parse(text, NamesOf { what: "path", foreign: |_| false, open_end: true });
    let matches = |text: &str, name: &[&str]| path(text).unwrap().matches(name, Names::default());
    assert!(matches("", &[""]) && !matches("", &["a"]));
    assert!(matches("docs/", &["docs", ""]) && !matches("docs/", &["docs"]));
    assert!(matches("docs", &["docs"]) && !matches("docs", &["docs", ""]));
    assert!(matches("docs/**", &["docs", ""]) && !matches("docs/**", &["docs"]));
    assert_eq!(path("/docs"), Err(GlobFault::EmptySegment));
    assert_eq!(path("docs//"), Err(GlobFault::EmptySegment));
}
