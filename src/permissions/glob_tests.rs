//! Names that each pattern matches, and similar names that it does not match.

use super::*;

fn glob(text: &str) -> Result<Glob, GlobError> {
    let is_invalid_char = |c: char| c.is_ascii_uppercase() || c.is_control();
    Glob::parse(
        text,
        PatternSyntax { noun: "repository name", is_invalid_char, is_trailing_slash_allowed: false },
    )
}

fn matches(pattern: &str, name: &str) -> bool {
    let names = PlaceholderValues { user: Some(b"ann"), groups: &[b"devs", b"**"] };
    glob(pattern).unwrap().matches(&name.split('/').collect::<Vec<_>>(), names)
}

#[test]
fn glob_matches_exactly_the_documented_names() {
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
fn placeholder_value_is_never_parsed_as_a_pattern() {
    let home = glob("home/{user}").unwrap();
    assert!(!home.matches(&["home", ""], PlaceholderValues::default()));
    let starry = PlaceholderValues { user: Some(b"**"), groups: &[] };
    assert!(home.matches(&["home", "**"], starry));
    assert!(!home.matches(&["home", "ann"], starry));
    assert!(!home.matches(&["home", "a", "b"], PlaceholderValues { user: Some(b"a/b"), groups: &[] }));
}

#[test]
fn invalid_glob_is_rejected_with_a_specific_error() {
    for (text, error) in [
        ("", GlobError::Empty),
        ("/a", GlobError::EmptySegment),
        ("a/", GlobError::EmptySegment),
        ("a//b", GlobError::EmptySegment),
        ("a**", GlobError::DoubleStarInsideSegment),
        ("a/**b", GlobError::DoubleStarInsideSegment),
        ("x-{user}", GlobError::InvalidPlaceholder),
        ("{users}", GlobError::InvalidPlaceholder),
        ("Team/a", GlobError::InvalidCharacter("repository name", 'T')),
    ] {
        assert_eq!(glob(text), Err(error), "{text}");
    }
    assert_eq!(glob(&"a".repeat(PATTERN_BYTES_MAX + 1)), Err(GlobError::TooLong));
}

#[test]
fn worst_case_glob_matches_in_bounded_time() {
    // Backtracking to every ** would take exponential time.
    let pattern = glob(&("**/a/".repeat(100) + "b")).unwrap();
    assert!(!pattern.matches(&["a"; 1000], PlaceholderValues::default()));
    let stars = glob(&("a*".repeat(100) + "b")).unwrap();
    assert!(!stars.matches(&["a".repeat(1000).as_str()], PlaceholderValues::default()));
}

#[test]
fn literal_prefix_stops_at_the_first_wildcard() {
    let prefix = |text: &str| glob(text).unwrap().literal_prefix().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(prefix("team/app"), ["team", "app"]);
    assert_eq!(prefix("team/**"), ["team"]);
    assert_eq!(prefix("{user}/x"), [""; 0]);
    assert_eq!(prefix("a/*/b"), ["a"]);
}

#[test]
fn path_glob_accepts_a_trailing_slash() {
    let path = |text: &str| {
        Glob::parse(
            text,
            PatternSyntax { noun: "path", is_invalid_char: |_| false, is_trailing_slash_allowed: true },
        )
    };
    let matches = |text: &str, name: &[&str]| path(text).unwrap().matches(name, PlaceholderValues::default());
    assert!(matches("", &[""]) && !matches("", &["a"]));
    assert!(matches("docs/", &["docs", ""]) && !matches("docs/", &["docs"]));
    assert!(matches("docs", &["docs"]) && !matches("docs", &["docs", ""]));
    assert!(matches("docs/**", &["docs", ""]) && !matches("docs/**", &["docs"]));
    assert_eq!(path("/docs"), Err(GlobError::EmptySegment));
    assert_eq!(path("docs//"), Err(GlobError::EmptySegment));
}
