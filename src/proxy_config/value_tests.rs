//! Tests of the parsers of single options.

use super::*;

#[test]
fn addresses_are_read_in_each_form() {
    let tcp = |text: &str| parse_server_address(text).unwrap().to_string();
    assert_eq!(tcp("Registry_1.Example.com.:5000"), "registry_1.example.com.:5000");
    assert_eq!(tcp("[FD00::2]:1"), "[fd00::2]:1");
    assert_eq!(tcp("unix:/run/a.sock"), "unix:/run/a.sock");
    assert_eq!(parse_server_address("10.0.0.1:80").unwrap().host_name(), None);
    assert_eq!(parse_server_address("a.test:80").unwrap().host_name(), Some("a.test"));
    assert_eq!(parse_upstream("a.test").unwrap().address.to_string(), "a.test:443");
    for text in ["", ":", "a", "a:", "a:0", "a:00", "a:+1", "a:1 ", "1.2.3.4.5:1", "[::1", "[::1]", "a b:1"] {
        assert!(parse_server_address(text).is_err(), "{text}");
    }
}

#[test]
fn auth_service_is_doorward_or_a_url() {
    let doorward = parse_auth_service("doorward:8000").unwrap();
    assert!(doorward.is_doorward && doorward.path == "/auth" && doorward.host_header == "doorward");
    let other = parse_auth_service("http://[::1]/check?a=b").unwrap();
    assert!(!other.is_doorward && other.path == "/check?a=b" && other.host_header == "[::1]");
    assert_eq!(other.address.to_string(), "[::1]:80");
    for text in ["http://a", "https://a/b", "http:///b", "http://unix:/a:/b", "http://a/b c", "http://a/$b"] {
        assert!(parse_auth_service(text).is_err(), "{text}");
    }
}

#[test]
fn resolver_can_have_a_port() {
    for (text, written) in [
        ("10.0.0.2", "10.0.0.2"),
        ("10.0.0.2:5353", "10.0.0.2:5353"),
        ("fd00::53", "[fd00::53]"),
        ("[fd00::53]", "[fd00::53]"),
        ("[fd00::53]:5353", "[fd00::53]:5353"),
    ] {
        assert_eq!(parse_resolver(text).unwrap().to_string(), written);
    }
    for text in ["", "dns", "10.0.0.2:", "10.0.0.2:x", "[10.0.0.2]", "fe80::1%eth0", "[fd00::53]5353"] {
        assert!(parse_resolver(text).is_err(), "{text}");
    }
}

#[test]
fn storage_host_is_a_name_with_a_domain() {
    let host = parse_storage_host("*.S3.Example.com:9000").unwrap();
    assert!(host.with_subdomains && host.name == "s3.example.com:9000");
    for text in
        ["*", "*.com", "a", "a.1", "127.0.0.1", "a.localhost", "a..b", "a_b.test", "a.test.", "a.test:0"]
    {
        assert!(parse_storage_host(text).is_err(), "{text}");
    }
}

#[test]
fn origin_has_no_default_port_and_no_path() {
    assert_eq!(parse_cors_origin("https://UI.example.com:443").unwrap(), "https://ui.example.com");
    assert_eq!(parse_cors_origin("http://[::1]:8080").unwrap(), "http://[::1]:8080");
    for text in
        ["*", "null", "ftp://a.test", "https://a.test/", "https://", "https://a:x", "https://*.a.test"]
    {
        assert!(parse_cors_origin(text).is_err(), "{text}");
    }
}

#[test]
fn paths_have_only_safe_characters() {
    assert!(parse_path("/etc/nginx/tls/tls.crt").is_ok() && parse_include("/etc/nginx/own/*.conf").is_ok());
    assert!(parse_public_path("/.well-known/acme-challenge/").is_ok());
    for text in ["", "/a b", "/a;b", "/$a", "/a\"", "/a'", "/a{", "/a\n", "/\u{e9}", "/a#"] {
        assert!(parse_path(text).is_err() && parse_include(text).is_err(), "{text}");
        assert!(parse_public_path(&format!("{text}/")).is_err(), "{text}");
    }
    for text in ["/", "//", "/a", "/a//b/", "/./", "/a/.../", "/%2e/"] {
        assert!(parse_public_path(text).is_err(), "{text}");
    }
    for text in ["/a*/b", "/a/", "b.conf"] {
        assert!(parse_include(text).is_err(), "{text}");
    }
}
