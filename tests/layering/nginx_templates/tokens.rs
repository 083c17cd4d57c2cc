//! Templates for the token protocol.

use super::{Directive, all, broken, has, parse, snippet};
use crate::layering::assert_none;

/// Returns true for a directive of the only location whose requests are limited.
pub(super) fn is_of_tokens(directive: &Directive) -> bool {
    directive.place.starts_with("doorward-token-")
}

#[test]
fn token_location_is_rate_limited_and_forwards_only_listed_headers() {
    let proxy = snippet("doorward-token-proxy.conf");
    for wanted in [
        "auth_request off;",
        "limit_req zone=doorward_token burst=200 nodelay;",
        "limit_req_status 429;",
        "client_max_body_size 16k;",
        "proxy_pass_request_headers off;",
        "proxy_set_header Authorization $doorward_authorization;",
        "proxy_set_header X-Real-IP $remote_addr;",
        "proxy_max_temp_file_size 0;",
        "proxy_cache off;",
        "proxy_store off;",
        "proxy_intercept_errors off;",
        "gzip off;",
    ] {
        assert!(has(&proxy, wanted), "{wanted} is missing");
    }
    let of_the_client = |text: &str| text.contains("$http_") || text.contains("$cookie_");
    assert_none("a header of the client", &broken(&proxy, of_the_client));
}

#[test]
fn no_template_redirects_to_the_host_of_the_request_pitfall_p35() {
    let names = |text: &str| text.contains("$host") || text.contains("$http_host");
    let answers = |text: &str| text.starts_with("add_header ") || text.starts_with("return ");
    assert_eq!(broken(&parse("x", "return 401 $host;"), |t| names(t) && answers(t)).len(), 1);
    assert_none(
        "a response that contains the Host header",
        &broken(&all(), |text| names(text) && answers(text)),
    );
    // Only doorward or the registry sets a realm. The fallback realm for other auth services is not a URL.
    let realms = |text: &str| text.contains("realm=") && !text.contains("realm=\"Registry\"");
    assert_none("a realm that nginx sets", &broken(&all(), realms));
}

#[test]
fn template_for_a_verifying_registry_forwards_no_password_pitfall_p27() {
    let proxy = snippet("doorward-registry-tokens-proxy.conf");
    for wanted in [
        "auth_request off;",
        "include doorward/doorward-headers.conf;",
        "proxy_set_header Authorization $doorward_bearer;",
        "proxy_set_header Content-Type $doorward_content_type;",
        "include doorward/doorward-blobs.conf;",
    ] {
        assert!(has(&proxy, wanted), "{wanted} is missing");
    }
    let hides = |text: &str| text.starts_with("proxy_hide_header WWW-Authenticate");
    assert_none("the challenge of the registry must reach the client", &broken(&proxy, hides));
    let guarded = snippet("doorward-registry-proxy.conf");
    assert_eq!(
        broken(&guarded, hides).len(),
        1,
        "the challenge of a registry behind doorward must not reach the client"
    );
    // Locations that are added to this server are still protected.
    let server = snippet("doorward-registry-tokens.conf");
    assert!(has(&server, "include doorward/doorward-server.conf;"), "doorward-server.conf is not included");
}
