//! Tests of the path parser for sites, and of host names.

use super::*;
use crate::permissions::host::normalize_host;

fn segments_of(uri: &str) -> Result<Vec<String>, &'static str> {
    parse_path_segments(uri).map(|segments| segments.into_iter().map(Cow::into_owned).collect())
}

#[test]
fn path_is_decoded_once_into_segments() {
    for (uri, segments) in [
        ("/", &[""][..]),
        ("/a", &["a"]),
        ("/a/", &["a", ""]),
        ("/%61dmin/x?y=/../z", &["admin", "x"]),
        ("/a%2Fb/c%2fd", &["a%2Fb", "c%2Fd"]),
        ("/%C3%A4", &["ä"]),
        ("/a...b/..c", &["a...b", "..c"]),
    ] {
        assert_eq!(segments_of(uri), Ok(segments.iter().map(|s| (*s).to_owned()).collect()), "{uri}");
    }
}

#[test]
fn ambiguous_path_is_rejected() {
    for uri in [
        "",
        "a",
        "*",
        "http://h/a",
        "//a",
        "/a//b",
        "/./a",
        "/a/..",
        "/a/%2e%2E/b",
        "/a/.%2e",
        "/a\\b",
        "/a%5Cb",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%252e",
        "/a%00",
        "/a%0a",
        "/a%ff",
        "/a;b",
        "/..;/a",
        "/a%3Bb",
        "/a b",
        "/ä",
        "/a#b",
        "/docs/..%2Fadmin",
        "/docs/%2e%2e%2fadmin",
        "/%2Fadmin",
        "/a/.%2Fb",
        "/a%2F",
    ] {
        assert!(segments_of(uri).is_err(), "{uri}");
    }
    assert!(segments_of(&"/a".repeat(SEGMENTS_MAX)).is_ok());
    assert!(segments_of(&"/a".repeat(SEGMENTS_MAX + 1)).is_err());
}

#[test]
fn host_is_compared_without_case_port_and_trailing_dot() {
    for text in ["example.com", "Example.COM", "example.com:8443", "example.com.", "example.com.:80"] {
        assert_eq!(normalize_host(text).as_deref(), Ok("example.com"), "{text}");
    }
    for text in ["[2001:DB8::1]:443", "[2001:db8:0:0::1]", "[2001:db8::1]"] {
        assert_eq!(normalize_host(text).as_deref(), Ok("[2001:db8::1]"), "{text}");
    }
    for text in ["", ".", "..", "a..b", ".a", ":80", "a/b", "a b", "[::1", "[::1]x", "[x]", "[:a]", "a\u{e4}"]
    {
        assert!(normalize_host(text).is_err(), "{text}");
    }
}
