//! Certificates of the upstream registry.

use super::{Authority, EcrSetup, NAME};
use crate::support::backend::server;
use crate::support::nginx::assert_json;

/// Checks that a registry with this certificate receives no request.
fn assert_nothing_is_sent(make: impl Fn(&Authority) -> std::sync::Arc<rustls::ServerConfig>, said: &str) {
    let authority = Authority::new("Test Authority");
    let tls = make(&authority);
    let setup = EcrSetup::over(authority, Some(tls), |image| image);
    crate::support::eventually("the name is found, and the certificate refused", || {
        assert_json(&setup.get("/v2/"), 502, "UNAVAILABLE");
        setup.nginx.log().contains(said).then_some(())
    });
    assert!(setup.ecr.connections() > 0, "it was asked for");
    assert_eq!(setup.ecr.requests(), 0, "{:?}", setup.ecr.heard());
}

#[test]
fn registry_with_a_certificate_for_another_name_gets_no_token_pitfall_p41() {
    assert_nothing_is_sent(|authority| server(&authority.pair("other.ecr.test", 2099)), "does not match");
}

#[test]
fn registry_with_an_expired_certificate_gets_no_token_pitfall_p41() {
    assert_nothing_is_sent(|authority| server(&authority.pair(NAME, 2002)), "certificate has expired");
}

#[test]
fn registry_with_a_certificate_of_another_ca_gets_no_token_pitfall_p41() {
    let stranger = Authority::new("Another Authority");
    assert_nothing_is_sent(|_| server(&stranger.pair(NAME, 2099)), "upstream SSL certificate verify error");
}

#[test]
fn registry_without_tls_gets_no_token() {
    let authority = Authority::new("Test Authority");
    let setup = EcrSetup::over(authority, None, |image| image);
    crate::support::eventually("it is found", || {
        assert_json(&setup.get("/v2/"), 502, "UNAVAILABLE");
        (setup.ecr.connections() > 0).then_some(())
    });
    assert_eq!(setup.ecr.requests(), 0, "{:?}", setup.ecr.heard());
}

#[test]
fn unreachable_registry_gets_502_and_recovers() {
    let mut setup = EcrSetup::plain();
    let address = setup.ecr.address;
    let tls = super::server_named(&setup.authority.pair(NAME, 2099), NAME);
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let other = super::Backend::start_at(nowhere, None, |_| super::Reply::json("{}"));
    drop(std::mem::replace(&mut setup.ecr, other));
    assert_json(&setup.get("/v2/"), 502, "UNAVAILABLE");
    setup.ecr = super::Backend::start_at(address, Some(tls), |_| super::Reply::json("{}"));
    setup.found();
}

#[test]
fn registry_that_changes_its_address_is_found_pitfall_p43() {
    let setup = EcrSetup::plain();
    let second = std::net::SocketAddr::from(([127, 0, 0, 3], setup.ecr.address.port()));
    let tls = super::server_named(&setup.authority.pair(NAME, 2099), NAME);
    let second = super::Backend::start_at(second, Some(tls), |_| super::Reply::json("second"));
    assert_eq!(setup.get("/v2/").text(), "{}");
    setup.names.say([127, 0, 0, 3]);
    crate::support::eventually("the second is asked", || {
        (setup.get("/v2/").text() == "second").then_some(())
    });
    assert!(second.heard().iter().all(|heard| super::value(heard, "authorization") == super::TOKEN));
}
