//! A site behind nginx.

use crate::support::client::{Request, basic, tcp};
use crate::support::doorward::Doorward;
use crate::support::nginx::{Nginx, Template, alice};
use crate::support::upstream::Upstream;
use crate::support::{eventually, users};

/// Starts nginx with a site whose every page contains `welcome`.
fn site() -> (Nginx, Doorward, Upstream) {
    let doorward = Doorward::start(&users::two(), &["--throttle-user-failures", "2"]);
    let upstream =
        Upstream::start("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nwelcome");
    let nginx = Nginx::start(Template::Site, tcp(&doorward.address), upstream.address);
    (nginx, doorward, upstream)
}

#[test]
fn site_is_served_to_its_users_only() {
    let (nginx, doorward, upstream) = site();
    let forged = Request::get("/page").header("X-Auth-User", "root").header("X_Auth_User", "root");
    let answer = nginx.ask(&forged);
    assert_eq!((answer.status, &answer.text()[..]), (401, "Authentication is required.\n"));
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Registry\", charset=\"UTF-8\""));
    assert_eq!(upstream.received(), "", "nothing was asked of the site");
    let answer = nginx.ask(&alice(forged));
    assert_eq!((answer.status, &answer.text()[..]), (200, "welcome"));
    let received = upstream.received();
    assert!(received.starts_with("GET /page HTTP/1.1\r\n"), "{received}");
    assert!(
        received.contains("X-Auth-User: alice\r\n") && received.contains("X-Auth-By: htpasswd\r\n"),
        "{received}"
    );
    assert!(!received.contains("root"), "GHSA-7r4p-vjf4-gxv4: {received}");
    assert!(
        !received.contains("Authorization") && !received.contains(&basic("alice:wonderland")[6..]),
        "P27: {received}"
    );
    assert_eq!(doorward.hashes(), 1.0);
}

#[test]
fn site_gets_the_uri_unchanged() {
    let (nginx, _doorward, upstream) = site();
    for uri in
        ["/a%2Fb", "/a?b=%20&c=/../", "/%c3%a9", "/a;b/c", "/.well-known/a..b/...", "//x", "/a//b", "/%61%25"]
    {
        assert_eq!(nginx.ask(&alice(Request::get(uri))).status, 200, "{uri}");
        assert!(upstream.received().contains(&format!("GET {uri} HTTP/1.1\r\n")), "{uri}");
    }
}

#[test]
fn site_has_its_own_refusal_pages_and_no_reachable_auth_location_pitfall_p50() {
    let (nginx, doorward, upstream) = site();
    let answer = nginx.ask(&alice(Request::get("/_doorward")));
    assert_eq!(answer.status, 404, "{answer:?}");
    for (password, status, text) in [
        ("a", 401, "Authentication is required.\n"),
        ("b", 401, "Authentication is required.\n"),
        ("c", 429, "Too many requests. Try again later.\n"),
    ] {
        let answer = nginx.ask(&Request::get("/").basic("bob", password));
        assert_eq!((answer.status, &answer.text()[..]), (status, text));
        assert_eq!(answer.header("retry-after").is_some(), status == 429);
    }
    drop(doorward);
    let answer = nginx.ask(&alice(Request::get("/")));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text().starts_with("Try again later: "), "{answer:?}");
    assert!(!upstream.received().contains("_doorward"));
}

#[test]
fn large_upload_with_a_length_passes_pitfall_p1() {
    let (nginx, _doorward, upstream) = site();
    let answer = nginx.ask(&alice(Request::new("POST", "/upload")).body(vec![b'x'; 2 << 20]));
    assert_eq!(answer.status, 200, "{answer:?}");
    // The response can arrive before the end of the body.
    eventually("the site has all of it", || (upstream.received().len() > 2 << 20).then_some(()));
}

#[test]
fn refusal_has_the_format_of_the_accept_header() {
    let (protected, _doorward, _upstream) = site();
    for (accept, content_type, part) in [
        ("*/*", "text/plain", "Authentication is required.\n"),
        (
            "application/json, text/plain, */*",
            "application/json",
            "{\"status\":401,\"message\":\"Authentication is required.\"}",
        ),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html",
            "<h1>Authentication required</h1>",
        ),
        ("_html", "text/plain", "Authentication is required.\n"),
        ("text/html\r\nAccept: application/json", "text/html", "<h1>Authentication required</h1>"),
    ] {
        let answer = protected.ask(&Request::get("/").header("Accept", accept));
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (401, Some(content_type)),
            "{accept}: {answer:?}"
        );
        assert!(answer.text().contains(part), "{accept}: {answer:?}");
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic ")));
        assert_eq!(protected.ask(&alice(Request::get("/").header("Accept", accept))).status, 200);
    }
}
