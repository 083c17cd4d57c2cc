//! Rules for the token protocol.

use super::{Directive, all_directives, broken, example, golden};
use crate::layering::assert_none;

#[test]
fn token_location_is_rate_limited_and_forwards_only_listed_headers() {
    for name in ["registry-tokens-mixed", "registry-tokens-registry"] {
        let locations = golden(name).locations();
        let token = locations.iter().find(|location| location.name == "location = /token").unwrap();
        token.assert_has(&[
            "auth_request off;",
            "limit_req zone=doorward_token burst=200 nodelay;",
            "limit_req_status 429;",
            "client_max_body_size 16k;",
            "proxy_pass_request_headers off;",
            "proxy_set_header Authorization $http_authorization;",
            "proxy_set_header X-Real-IP $remote_addr;",
            "proxy_max_temp_file_size 0;",
            "proxy_cache off;",
            "proxy_store off;",
            "proxy_intercept_errors off;",
            "gzip off;",
        ]);
        let of_the_client = |d: &Directive| {
            let is_password = d.text == "proxy_set_header Authorization $http_authorization;";
            (d.text.contains("$http_") && !is_password) || d.text.contains("$cookie_")
        };
        assert_none("a header of the client", &broken(&token.directives, of_the_client));
    }
}

#[test]
fn no_response_contains_the_host_of_the_request_pitfall_p35() {
    // A redirect to https keeps the host, and sites only have it.
    let names = |d: &Directive| {
        let answers = d.text.starts_with("add_header ") || d.text.starts_with("return ");
        answers
            && (d.text.contains("$host") || d.text.contains("$http_host"))
            && d.text != "return 301 https://$host$request_uri;"
    };
    assert_eq!(example("return 401 $host;", names), 1);
    assert_none("a response that contains the Host header", &broken(&all_directives(), names));
    for name in ["registry", "registry-tokens-registry", "ecr"] {
        let redirects = |d: &Directive| d.text.starts_with("return 301 ");
        assert_none("a redirect of a registry", &broken(&golden(name).directives, redirects));
    }
    // Only doorward or the registry sets a realm. The fallback realm for other auth services is not a URL.
    let realms = |d: &Directive| d.text.contains("realm=") && !d.text.contains("realm=\"Registry\"");
    assert_none("a realm that nginx sets", &broken(&all_directives(), realms));
}

#[test]
fn verifying_registry_gets_no_password_and_its_challenge_reaches_the_client_pitfall_p27() {
    let server = &golden("registry-tokens-registry").protected_servers()[0];
    server.assert_has(&[
        "proxy_set_header Authorization $doorward_bearer;",
        "proxy_set_header Content-Type $doorward_content_type;",
    ]);
    let hides = "proxy_hide_header WWW-Authenticate;";
    assert!(!server.has(hides), "the challenge of the registry must reach the client");
    for name in ["registry", "registry-tokens-mixed"] {
        let server = &golden(name).protected_servers()[0];
        let level = server.directives.iter().filter(|d| d.location().is_none() && d.text == hides);
        assert_eq!(level.count(), 1, "the challenge of a registry behind doorward must not reach the client");
    }
    // Locations that are added to this server are still protected.
    server.assert_has(&["auth_request /_doorward;"]);
    let location = golden("registry-tokens-registry").locations();
    let v2 = location.iter().find(|location| location.name == "location ^~ /v2/").unwrap();
    v2.assert_has(&["auth_request off;", "proxy_pass http://doorward_upstream;"]);
}
