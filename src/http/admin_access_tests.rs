//! Requests from browsers, monitors and administrators to the admin listener.

use super::*;

const TCP: Peer = Peer { address: Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)), is_trusted: true };

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn check_origin_of(pairs: &[(&'static str, &str)]) -> Result<(), AdminAccessError> {
    let hosts = ["doorward.internal".to_owned()];
    AdminAccess::new(hosts.into_iter(), None, Clock::manual()).check_origin(&TCP, &headers(pairs))
}

#[test]
fn host_that_is_an_address_localhost_or_configured_is_accepted() {
    for host in [
        "127.0.0.1:8001",
        "127.0.0.1",
        "[::1]:8001",
        "[::1]",
        "localhost",
        "LOCALHOST:8001",
        "10.0.0.7:1",
        "doorward.internal:8001",
        "Doorward.Internal",
    ] {
        assert_eq!(check_origin_of(&[("host", host)]), Ok(()), "{host}");
    }
    assert_eq!(check_origin_of(&[]), Ok(()), "browsers always send Host");
}

#[test]
fn unknown_host_is_rejected() {
    for host in [
        "evil.test",
        "evil.test:8001",
        "localhost.evil.test",
        "127.0.0.1.evil.test",
        "127.0.0.1:8001.evil.test",
        "[::1]evil.test",
        "[::1].evil.test:8001",
        "",
        ":8001",
        "[]",
        "localhost:8001:1",
        "doorward.internal.",
    ] {
        assert_eq!(check_origin_of(&[("host", host)]), Err(AdminAccessError::UnknownHost), "{host}");
    }
    assert_eq!(
        check_origin_of(&[("host", "localhost"), ("host", "evil.test")]),
        Err(AdminAccessError::UnknownHost)
    );
}

#[test]
fn cross_site_request_is_rejected() {
    let own_host = ("host", "localhost:8001");
    for site in ["cross-site", "same-site", "", "CROSS-SITE", "none, cross-site"] {
        assert_eq!(
            check_origin_of(&[own_host, ("sec-fetch-site", site)]),
            Err(AdminAccessError::CrossSiteRequest),
            "{site}"
        );
    }
    for origin in [
        "http://evil.test",
        "null",
        "",
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:8001",
    ] {
        assert_eq!(
            check_origin_of(&[own_host, ("origin", origin)]),
            Err(AdminAccessError::CrossSiteRequest),
            "{origin}"
        );
    }
    let twice = [own_host, ("origin", "http://localhost:8001"), ("origin", "http://evil.test")];
    assert_eq!(check_origin_of(&twice), Err(AdminAccessError::CrossSiteRequest));
    let twice = [own_host, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
    assert_eq!(check_origin_of(&twice), Err(AdminAccessError::CrossSiteRequest));
}

#[test]
fn same_origin_or_direct_request_is_accepted() {
    let own_host = ("host", "localhost:8001");
    for pair in
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none"), ("origin", "http://localhost:8001")]
    {
        assert_eq!(check_origin_of(&[own_host, pair]), Ok(()), "{pair:?}");
    }
}

#[test]
fn token_is_read_from_bearer_or_basic_password() {
    // any:the-token-itself and any:with:colons
    for (value, token) in [
        (&b"Bearer the-token"[..], Some(&b"the-token"[..])),
        (b"bearer  the-token ", Some(b"the-token")),
        (b"Basic YW55OnRoZS10b2tlbi1pdHNlbGY=", Some(b"the-token-itself")),
        (b"Basic YW55OndpdGg6Y29sb25z", Some(b"with:colons")),
        (b"Basic !", None),
        (b"Basic YW55", None),
        (b"Digest the-token", None),
        (b"the-token", None),
    ] {
        assert_eq!(presented_token(value).as_deref().map(|token| &token[..]), token, "{value:?}");
    }
}
